//! Which crate may know which.

use std::collections::BTreeSet;

use super::check::Check;
use crate::components;
use crate::failure::Result;
use crate::process;
use crate::workspace::Workspace;

pub const GUESTS_KNOW_NO_HOST: Check = Check {
    name: "components and kit know no runtime, engine or database",
    reason: "they run wherever their imports are served, and must compile to wasm; time, storage and sockets are the host's",
    find: |workspace| {
        let guests = components::all(workspace).into_iter().map(|component| component.package.name.as_str());
        let kit = workspace
            .members()
            .map(|package| package.name.as_str())
            .filter(|name| name.starts_with("trellis-kit"));
        let foreign =
            ["tokio", "wasmtime", "redb", "hyper", "trellis-host", "trellis-broker", "trellis-store"];
        reached(workspace, guests.chain(kit), &foreign)
    },
};

pub const ONE_CRATE_KNOWS_THE_DATABASE: Check = Check {
    name: "only crates/store knows redb",
    reason: "durability is one crate's promise: nobody else may open the file, or depend on how it is laid out",
    find: |workspace| direct(workspace, "redb", &["trellis-store"]),
};

pub const ONE_CRATE_KNOWS_THE_ENGINE: Check = Check {
    name: "only crates/host knows wasmtime",
    reason: "limits, deadlines and the life of instances are set in one place; a second one would forget some of them",
    find: |workspace| direct(workspace, "wasmtime", &["trellis-host"]),
};

pub const BROKER_KNOWS_NO_WASM: Check = Check {
    name: "crates/broker knows no wasm, and no name of Trellis",
    reason: "it is held against a real nats-server, operation by operation, as that server's equal: messages only",
    find: |workspace| {
        let foreign = [
            "wasmtime",
            "wasmparser",
            "wit-bindgen",
            "wasmcloud-component",
            "trellis-host",
            "trellis-kit",
            "trellis-names",
        ];
        reached(workspace, ["trellis-broker"], &foreign)
    },
};

pub const STORE_KNOWS_NO_MESSAGES: Check = Check {
    name: "crates/store knows neither messages nor components",
    reason: "it stores bytes under keys; whoever owns a key alone knows what is in it",
    find: |workspace| {
        let foreign =
            ["trellis-broker", "trellis-host", "trellis-kit", "wasmtime", "serde_json", "async-nats"];
        reached(workspace, ["trellis-store"], &foreign)
    },
};

pub const LATTICE_STANDS_ALONE: Check = Check {
    name: "lattice/ and Trellis know nothing of each other",
    reason: "what runs on lattice/ has to run on what wasmCloud publishes, and each has versions of its own of what it depends on",
    find: |workspace| {
        let lattice = workspace.lattice()?;
        let ours: BTreeSet<&str> = workspace.members().map(|package| package.name.as_str()).collect();
        let theirs: BTreeSet<&str> = lattice.members().map(|package| package.name.as_str()).collect();
        let known_there = lattice.packages.iter().filter(|package| ours.contains(package.name.as_str()));
        let known_here = workspace.packages.iter().filter(|package| theirs.contains(package.name.as_str()));
        Ok(known_there
            .map(|package| format!("lattice/ depends on {}", package.name))
            .chain(known_here.map(|package| format!("Trellis depends on {} of lattice/", package.name)))
            .collect())
    },
};

/// Which of `foreign` can be reached from the packages, over any number of dependencies, on any platform.
fn reached<'a>(
    workspace: &Workspace,
    packages: impl IntoIterator<Item = &'a str>,
    foreign: &[&str],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in packages {
        let known = tree(workspace, package, &["--edges", "normal"])?;
        found.extend(
            foreign
                .iter()
                .filter(|name| known.contains(**name))
                .map(|name| format!("{package} reaches {name}")),
        );
    }
    Ok(found)
}

/// Which packages other than `allowed` name `dependency` in their own manifest. Tests may: they look from outside.
fn direct(workspace: &Workspace, dependency: &str, allowed: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in workspace.members().filter(|package| !allowed.contains(&package.name.as_str())) {
        if tree(workspace, &package.name, &["--edges", "normal,build", "--depth", "1"])?.contains(dependency)
        {
            found.push(format!("{} depends on {dependency}", package.name));
        }
    }
    Ok(found)
}

/// The names of the packages in the tree below one of ours.
fn tree(workspace: &Workspace, package: &str, options: &[&str]) -> Result<BTreeSet<String>> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "tree",
        "--quiet",
        "--package",
        package,
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let printed = process::output(cargo.args(options))?;
    Ok(printed.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

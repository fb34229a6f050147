//! What is in `deploy/`, as far as it can be checked where there is no container engine: by those who know the formats, and
//! by the server that reads the configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use system::{repository, wrong_for_kubernetes, wrong_in_dockerfile};
use tempfile::NamedTempFile;

fn file(path: &str) -> PathBuf {
    repository().join("deploy").join(path)
}

/// A copy with something else in the place of something.
fn copy(of: &Path, text: &str, with: &str) -> NamedTempFile {
    let original = std::fs::read_to_string(of).unwrap();
    assert!(original.contains(text), "{} has {text}", of.display());
    let extension = format!(".{}", of.extension().unwrap_or_default().display());
    let mut copy = NamedTempFile::with_suffix(&extension).unwrap();
    copy.write_all(original.replacen(text, with, 1).as_bytes()).unwrap();
    copy
}

#[test]
fn the_dockerfile_is_well_made_and_a_slip_would_be_seen() {
    let dockerfile = file("Dockerfile");
    assert_eq!(wrong_in_dockerfile(&dockerfile), None);
    let broken = copy(&dockerfile, "FROM debian:bookworm-slim", "FROM debian");
    assert!(wrong_in_dockerfile(broken.path()).is_some());
}

#[test]
fn what_kubernetes_gets_is_as_its_schemas_say_and_a_slip_would_be_seen() {
    for name in ["embedded", "lattice", "nats"] {
        let manifest = file(&format!("kubernetes/{name}.yaml"));
        assert_eq!(wrong_for_kubernetes(&manifest), None, "{name}");
        let broken = copy(&manifest, "containerPort:", "containersPort:");
        assert!(wrong_for_kubernetes(broken.path()).is_some(), "{name}");
    }
}

#[test]
fn nats_takes_its_configuration_and_would_refuse_another() {
    let manifest = std::fs::read_to_string(file("kubernetes/nats.yaml")).unwrap();
    let (_, after) = manifest.split_once("  nats.conf: |\n").expect("a configuration");
    let indented = after.split("---").next().unwrap();
    let configuration: String =
        indented.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert!(configuration.contains("sync_interval: always"), "{configuration}");
    // What is made for an application is beside it there; `deploy/accounts` has tests of its own.
    let configuration = configuration.replace("include ../nats-accounts/accounts.conf", "");
    let tried = try_configuration(&configuration);
    assert!(tried.status.success(), "{tried:?}");
    let tried = try_configuration(&configuration.replace("sync_interval", "sync_intervall"));
    assert!(!tried.status.success(), "{tried:?}");
}

fn try_configuration(text: &str) -> Output {
    let server =
        std::env::var_os("TRELLIS_NATS_SERVER").expect("TRELLIS_NATS_SERVER: `cargo xtask test` sets it");
    let mut file = NamedTempFile::with_suffix(".conf").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Command::new(server)
        .arg("-t")
        .arg("--config")
        .arg(file.path())
        .env("POD_NAME", "nats-0")
        .output()
        .unwrap()
}

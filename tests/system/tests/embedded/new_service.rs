//! The checklist for a new service, as the kit's documentation has it, walked through in a copy of the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system::{Embedded, Request, eventually, repository};
use tempfile::tempdir;
use trellis_manifest::Manifest;

/// What cargo has to know to build one component.
const PARTS: [&str; 12] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "bench",
    "components",
    "crates",
    "deploy",
    "rustfmt.toml",
    "tests",
    "wadm.yaml",
    "wit",
    "xtask",
];

#[test]
fn it_answers_through_the_gateway_and_nobody_else_was_touched() {
    let here = repository().join("target/new-service");
    let copy = here.join("repository");
    bring_up_to_date(&copy);
    let before = contents(&copy);
    let xtask = |arguments: &[&str]| {
        let mut xtask = Command::new(xtask());
        xtask.args(arguments).env("CARGO_MANIFEST_DIR", copy.join("xtask"));
        let status = xtask.env("CARGO_TARGET_DIR", here.join("target")).status().unwrap();
        assert!(status.success(), "cargo xtask {arguments:?}");
    };

    xtask(&["new", "service", "likes"]);
    let after = contents(&copy);
    let changed: Vec<&str> = after
        .iter()
        .filter(|(file, content)| before.get(*file) != Some(content))
        .map(|(file, _)| file.as_str())
        .collect();
    let expected = [
        "components/likes/Cargo.toml",
        "components/likes/src/lib.rs",
        "components/likes/src/tests.rs",
        "wadm.yaml",
        "wit/likes/likes.wit",
    ];
    assert_eq!(changed, expected);

    xtask(&["build", "likes"]);
    let manifest = fs::read_to_string(copy.join("wadm.yaml")).unwrap();
    let manifest = manifest
        .replace("file://build/likes", &format!("file://{}/build/likes", copy.display()))
        .replace("file://build/", &format!("file://{}/build/", repository().display()));
    let data = tempdir().unwrap();
    let trellis = Embedded::start_on(data.path(), &Manifest::read(&manifest).unwrap(), &[]);
    let made = trellis.send(&Request::post("/likes", r#"{"text": "The first"}"#));
    assert_eq!(made.status, 201, "{made:?}");
    eventually("it is listed", || {
        let listed = trellis.send(&Request::get("/likes"));
        (listed.json()[0]["text"] == "The first").then_some(())
    });
    let document = trellis.send(&Request::get("/openapi.json")).json();
    assert_eq!(document["paths"]["/likes"]["post"]["operationId"], "likes_create");
    trellis.stop();
}

/// The command that runs this test.
fn xtask() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("xtask")
}

/// Copies what is otherwise, so that what has not changed need not be built again, and removes what is not there.
fn bring_up_to_date(copy: &Path) {
    let (wanted, there) = (contents(&repository()), contents(copy));
    for file in there.keys().filter(|file| !wanted.contains_key(*file)) {
        fs::remove_file(copy.join(file)).unwrap();
    }
    for folder in ["components/likes", "wit/likes"].map(|folder| copy.join(folder)) {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    for (file, content) in wanted.iter().filter(|(file, content)| there.get(*file) != Some(content)) {
        let file = copy.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
}

/// Each file of those parts, by its path.
fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left: Vec<PathBuf> = PARTS.iter().map(|part| root.join(part)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

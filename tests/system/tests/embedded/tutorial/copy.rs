//! A copy of the repository, which a test may change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system::repository;

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

/// Copies what is otherwise, so that what has not changed need not be built again, and removes what is not there.
pub(super) fn bring_up_to_date(copy: &Path) {
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

/// Takes over what was built once, unless that was done: other people's crates are the same here and there.
pub(super) fn bring_dependencies(built: &Path, target: &Path) {
    if target.exists() {
        return;
    }
    let half = target.with_extension("unfinished");
    fs::create_dir_all(&half).unwrap();
    // With the times, by which cargo sees that nothing has changed.
    let mut copy = Command::new("cp");
    assert!(
        copy.args(["--archive", "--no-target-directory"]).args([built, &half]).status().unwrap().success()
    );
    fs::rename(half, target).unwrap();
}

/// Each file of those parts, by its path.
pub(super) type Contents = BTreeMap<String, Vec<u8>>;

pub(super) fn contents(root: &Path) -> Contents {
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

//! Small file operations that leave alone what is already right, so that nothing downstream is built again.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// Writes only if the content differs. Says whether it did.
pub fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool> {
    match fs::read(path) {
        Ok(old) if old == content => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::io("read", path, &error)),
    }
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    // Written beside and renamed: a reader never sees half a file, whenever this is interrupted.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, content).map_err(|error| Failure::io("write", &beside, &error))?;
    fs::rename(&beside, path).map_err(|error| Failure::io("write", path, &error))?;
    Ok(true)
}

/// Writes what only its owner may read: there are keys in it.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_added_extension("new");
    // One that an interrupted run has left may be for everybody.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::io("remove", &beside, &error));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&beside);
    file.and_then(|mut file| file.write_all(content))
        .map_err(|error| Failure::io("write", &beside, &error))?;
    fs::rename(&beside, path).map_err(|error| Failure::io("write", path, &error))
}

pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::io("read", path, &error))
}

pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| Failure::io("create", path, &error))
}

pub fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// Every file below `folder`, sorted, as paths relative to it. A folder that does not exist has none.
pub fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::io("read", &next, &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| Failure::io("read", &next, &error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_has_keys_in_it_is_for_its_owner_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wadm.yaml");
        let beside = folder.path().join("wadm.yaml.new");
        for text in ["a", "b"] {
            write_private(&file, text.as_bytes()).unwrap();
            assert_eq!(read_text(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            for left in [&file, &beside] {
                fs::write(left, "left by an older version, or half-way").unwrap();
                fs::set_permissions(left, fs::Permissions::from_mode(0o644)).unwrap();
            }
        }
    }
}

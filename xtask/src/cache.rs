//! What is slow to get or to build, kept between checkouts in folders that are called by what is in them and its version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::failure::{Failure, Result};
use crate::files;

/// How long a version stays that nobody asks for.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where all of it is: `${XDG_CACHE_HOME:-~/.cache}/trellis`.
pub fn folder() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".cache")));
    match base {
        Some(base) => Ok(base.join("trellis")),
        None => Err(Failure::new("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")
            .remedy("set HOME or XDG_CACHE_HOME")),
    }
}

/// A folder with what `fill` puts in it, unless an earlier run has. Whoever fills one removes other versions of the same, `a-1`
/// beside `a-2`, that nobody has asked for in a long time.
pub fn filled_once(folder: PathBuf, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let _lock = lock(&folder)?;
    if !folder.is_dir() {
        // Under another name until complete, so that an interrupted run is not taken for a finished one.
        let unfinished = folder.with_added_extension("unfinished");
        files::remove_folder(&unfinished)?;
        files::create_folder(&unfinished)?;
        fill(&unfinished)?;
        fs::rename(&unfinished, &folder).map_err(|error| Failure::io("rename", &unfinished, &error))?;
        remove_old_versions(&folder)?;
    }
    Ok(folder)
}

/// Waits until no other process holds the lock of this folder, which need not exist yet. Held until dropped. It knows when
/// it was last held.
pub fn lock(folder: &Path) -> Result<fs::File> {
    let path = lock_file(folder);
    path.parent().map_or(Ok(()), files::create_folder)?;
    let file = fs::File::create(&path).map_err(|error| Failure::io("create", &path, &error))?;
    let held = file.lock().and_then(|()| file.set_modified(SystemTime::now()));
    held.map_err(|error| Failure::io("lock", &path, &error))?;
    Ok(file)
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.with_added_extension("lock")
}

fn remove_old_versions(of: &Path) -> Result<()> {
    let Some(cache) = of.parent() else { return Ok(()) };
    let entries = fs::read_dir(cache).map_err(|error| Failure::io("read", cache, &error))?;
    let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    for folder in folders.filter(|folder| folder != of && kind(folder) == kind(of)) {
        let Ok(lock) = fs::File::open(lock_file(&folder)) else { continue };
        // Not waited for: somebody who fills that one might wait for this one. Who asks for it from now on waits for us.
        if lock.try_lock().is_err() {
            continue;
        }
        let last = lock.metadata().and_then(|of| of.modified());
        if last.is_ok_and(|last| last.elapsed().is_ok_and(|unused| unused >= KEPT_FOR)) {
            files::remove_folder(&folder)?;
        }
    }
    Ok(())
}

/// What is in a folder, without its version.
fn kind(folder: &Path) -> Option<&str> {
    folder.file_name()?.to_str()?.rsplit_once('-').map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_nobody_asks_for_gives_way_to_the_next() {
        let cache = tempfile::tempdir().unwrap();
        let filled = |name: &str| filled_once(cache.path().join(name), |_| Ok(())).unwrap();
        let [old, recent, another] = ["a-1", "a-2", "b-a-1"].map(filled);
        for folder in [&old, &another] {
            let lock = fs::File::open(lock_file(folder)).unwrap();
            lock.set_modified(SystemTime::now() - KEPT_FOR).unwrap();
        }
        let new = filled("a-3");
        let there = [&old, &recent, &another, &new].map(|folder| folder.is_dir());
        assert_eq!(there, [false, true, true, true]);
        assert!(filled("a-1").is_dir(), "who wants it again gets it again");
        assert!(recent.is_dir());
    }

    #[test]
    fn what_was_interrupted_is_begun_anew() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("a-1");
        let half = |folder: &Path| {
            fs::write(folder.join("half"), "").unwrap();
            Err(Failure::new("interrupted"))
        };
        assert!(filled_once(folder.clone(), half).is_err() && !folder.exists());
        let whole = |folder: &Path| files::write_if_changed(&folder.join("whole"), b"").map(drop);
        filled_once(folder.clone(), whole).unwrap();
        let found: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(found, ["whole"]);
        assert!(filled_once(folder, |_| Err(Failure::new("not again"))).is_ok());
    }
}

//! Reading files that somebody names: whatever it is that has that name, it is read whole and soon, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// What is in a regular file of at most `len_max` bytes.
pub(crate) fn read(path: &Path, len_max: u64) -> Result<Vec<u8>> {
    read_with_mode(path, len_max).map(|(contents, _)| contents)
}

/// The same, and who may read, write and execute it.
pub(crate) fn read_with_mode(path: &Path, len_max: u64) -> Result<(Vec<u8>, u32)> {
    // To open a device can do something; to open a pipe waits for a writer, unless asked not to.
    check(&fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(Error::other)?;
    let file: File = options.read(true).custom_flags(flags).open(path)?;
    // It may be another by now.
    let meta = file.metadata()?;
    check(&meta)?;
    let mut contents = Vec::new();
    let len = file.take(len_max.saturating_add(1)).read_to_end(&mut contents)?;
    if len as u64 > len_max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {len_max} bytes")));
    }
    Ok((contents, meta.permissions().mode() & 0o7777))
}

fn check(meta: &fs::Metadata) -> Result<()> {
    if meta.is_file() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidInput, "it is no regular file")) }
}

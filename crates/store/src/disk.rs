//! The disk as the store sees it: one flat directory of files. A real one here, a simulated one in [`crate::sim`].

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use std::os::unix::fs::FileExt;

/// A directory of files. Names are plain: no separators.
///
/// What the store relies on: bytes survive once `DiskFile::sync` returned, names once `sync_directory` returned,
/// a rename is atomic, and a sector of 512 bytes is written whole or not at all.
pub trait Disk: Debug + Send + Sync + 'static {
    /// What to call this directory in a message.
    fn label(&self) -> String;
    /// All names, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// An existing file.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// A new, empty file, in place of any other of this name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_directory(&self) -> io::Result<()>;
    /// Takes the directory for this process for as long as the guard lives; `None` if another has it.
    /// With `Access::Read` nothing is created for it.
    fn lock(&self, access: Access) -> io::Result<Option<Lock>>;
    /// A number that no guest can know and no other directory has.
    fn nonce(&self) -> io::Result<u64>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Held for as long as the directory is ours.
#[derive(Debug)]
pub struct Lock {
    _guard: Option<Box<dyn Guard>>,
}

/// Anything that lets go of a lock when dropped.
pub trait Guard: Any + Debug + Send + Sync {}
impl<T: Any + Debug + Send + Sync> Guard for T {}

impl Lock {
    pub fn new(guard: impl Guard) -> Lock {
        Lock { _guard: Some(Box::new(guard)) }
    }

    /// For a directory in which nothing can be locked without changing it.
    pub fn nothing_to_lock() -> Lock {
        Lock { _guard: None }
    }
}

/// A file that is read and written at places.
pub trait DiskFile: Debug + Send + Sync + 'static {
    fn length(&self) -> io::Result<u64>;
    /// Fills `out`, or fails.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data`, growing the file where needed.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Returns when the bytes, and the length, would survive a loss of power.
    fn sync(&self) -> io::Result<()>;
}

/// The whole content, refused beyond `bytes_max`.
pub(crate) fn read_all(file: &dyn DiskFile, bytes_max: u64) -> io::Result<Vec<u8>> {
    let length = file.length()?;
    if length > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the file has {length} bytes, more than the {bytes_max} it can have"),
        ));
    }
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_at(0, &mut content)?;
    Ok(content)
}

const LOCK_FILE: &str = "lock";

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
}

impl RealDisk {
    /// Creates the directory if there is none.
    pub fn create(directory: impl AsRef<Path>) -> io::Result<RealDisk> {
        let directory = directory.as_ref();
        if !directory.is_dir() {
            fs::create_dir_all(directory)?;
            if let Some(parent) = directory.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        RealDisk::existing(directory)
    }

    /// Fails if there is no such directory.
    pub fn existing(directory: impl AsRef<Path>) -> io::Result<RealDisk> {
        let directory = directory.as_ref().canonicalize()?;
        if !directory.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a directory"));
        }
        Ok(RealDisk { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Disk for RealDisk {
    fn label(&self) -> String {
        self.directory.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not text is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let write = access == Access::Write;
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(write).open(self.path(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(RealFile(options.open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn lock(&self, access: Access) -> io::Result<Option<Lock>> {
        let path = self.path(LOCK_FILE);
        let file = match access {
            Access::Write => OpenOptions::new().write(true).create(true).truncate(false).open(path)?,
            Access::Read => match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Some(Lock::nothing_to_lock()));
                }
                opened => opened?,
            },
        };
        let taken = match access {
            Access::Write => file.try_lock(),
            Access::Read => file.try_lock_shared(),
        };
        match taken {
            Ok(()) => Ok(Some(Lock::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn nonce(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

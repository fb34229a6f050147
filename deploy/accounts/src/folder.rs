//! The folder in which all that is made is kept, and the keys, each made once.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nkeys::{KeyPair, KeyPairType};

use crate::manifest::Credentials;

#[derive(Debug)]
pub struct Folder(PathBuf);

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    Everybody,
    /// There are keys in it.
    Owner,
}

impl Folder {
    pub fn open(path: PathBuf) -> Result<Self> {
        let keys = path.join("keys");
        fs::create_dir_all(&keys).with_context(|| format!("cannot create {}", keys.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The key of this name, made if it is not there.
    pub fn key(&self, kind: KeyPairType, name: &str) -> Result<KeyPair> {
        let file = self.0.join("keys").join(name);
        let seed = match fs::read_to_string(&file) {
            Ok(seed) => seed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made =
                    KeyPair::new(kind).seed().map_err(|error| anyhow!("cannot make a key: {error}"))?;
                write(&file, For::Owner, &made)?;
                made
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        KeyPair::from_seed(seed.trim()).map_err(|error| {
            anyhow!(
                "{} is not the seed of a key: {error}; without the file a new one is made",
                file.display()
            )
        })
    }

    pub fn write(&self, name: &str, readers: For, text: &str) -> Result<()> {
        write(&self.0.join(name), readers, text)
    }

    /// As clients of NATS read them.
    pub fn write_credentials(&self, name: &str, Credentials { jwt, seed, .. }: &Credentials) -> Result<()> {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        self.write(&format!("{name}.creds"), For::Owner, &text)
    }
}

/// Beside and renamed: a server may be reading it.
fn write(path: &Path, readers: For, text: &str) -> Result<()> {
    let beside = path.with_added_extension("new");
    let mode = if readers == For::Owner { 0o600 } else { 0o644 };
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(&beside);
    // The mode above is for a new file; there may be one, of a run that was interrupted.
    file.and_then(|file| file.set_permissions(Permissions::from_mode(mode)).map(|()| file))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

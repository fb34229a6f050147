//! Compiled components, kept in a directory so that a second start does not compile.
//!
//! * A file is named by the hash of the component, of the engine's settings and of this host's version.
//! * It is written beside its name and renamed, so that no reader sees half of it. A checksum stands in a file beside it.
//! * It holds machine code that will run in this process. It is therefore loaded only when it, and the directory, belong to
//!   the user who runs the host and nobody else may write them. Anything else is compiled again, and replaced.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::xxh3_128;

/// Where compiled components are kept.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache in `dir`, which is made when missing. `None` when it cannot be used: then components are compiled each time.
    pub(crate) fn open(dir: &Path) -> Option<Cache> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        match made.and_then(|()| trusted(&fs::metadata(dir)?)) {
            Ok(()) => Some(Cache { dir: dir.to_owned() }),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "compiled components are not cached");
                None
            }
        }
    }

    /// The component in `wasm`, from the cache when it is there.
    pub(crate) fn component(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let path = self.dir.join(format!("{}.cwasm", key(engine, wasm)));
        match load(engine, &path) {
            Ok(component) => return Ok(component),
            Err(error) if !path.exists() => tracing::debug!(%error, "not compiled before"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled component not usable: compiling again")
            }
        }
        let component = Component::from_binary(engine, wasm)?;
        let compiled = component.serialize()?;
        let kept = self
            .keep(&path, &compiled)
            .and_then(|()| self.keep(&checksum_file(&path), checksum(&compiled).as_bytes()));
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), %error, "compiled component not kept");
        }
        Ok(component)
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let partial = path.with_extension(format!("{}.partial", std::process::id()));
        let written = (|| {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
            file.write_all(bytes)?;
            // Without this a crash of the machine could leave the name with empty contents.
            file.sync_all()?;
            fs::rename(&partial, path)
        })();
        if written.is_err() {
            // The error that matters is already on its way.
            let _ = fs::remove_file(&partial);
        }
        written
    }
}

fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file").into());
    }
    trusted(&meta)?;
    if checksum(&fs::read(path)?) != fs::read_to_string(checksum_file(path))? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is another").into());
    }
    // SAFETY: the file can only have been written by the user who runs this process (checked above, for the file here and
    // for its directory when the cache was opened), and this module is what writes there, with `Component::serialize`.
    // wasmtime itself refuses files of another version or other settings. Once mapped, the file is not modified: it is only
    // ever replaced by renaming another over it.
    #[allow(unsafe_code)]
    unsafe {
        Component::deserialize_file(engine, path)
    }
}

fn checksum_file(path: &Path) -> PathBuf {
    path.with_extension("xxh3")
}

fn checksum(compiled: &[u8]) -> String {
    format!("{:032x}", xxh3_128(compiled))
}

/// Refuses what somebody else owns or may write.
fn trusted(meta: &fs::Metadata) -> io::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may write it: chmod go-w"));
    }
    Ok(())
}

fn key(engine: &Engine, wasm: &[u8]) -> String {
    let mut settings = Settings(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut settings);
    let digest = settings.0.chain_update(env!("CARGO_PKG_VERSION")).chain_update(wasm).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The engine describes its settings to a `Hasher` only.
struct Settings(Sha256);

impl Hasher for Settings {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

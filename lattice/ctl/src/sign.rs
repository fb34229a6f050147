//! Signatures in components: a secrets backend goes by them, and a host asks none for a component that has no signature.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nkeys::KeyPair;
use wascap::wasm::sign_buffer_with_claims;

/// The account whose seed is in a file, which is made if there is none.
pub fn signer(file: &Path) -> Result<KeyPair> {
    let name = file.display();
    let seed = match fs::read_to_string(file) {
        Ok(seed) => seed,
        Err(error) if error.kind() == ErrorKind::NotFound => return new_signer(file),
        Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
    };
    KeyPair::from_seed(seed.trim()).with_context(|| format!("there is no seed in {name}"))
}

fn new_signer(file: &Path) -> Result<KeyPair> {
    let pair = KeyPair::new_account();
    let seed = pair.seed().context("a new key has no seed")?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(seed.as_bytes()));
    written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(pair)
}

/// Writes a component with a signature in it, which runs wherever it runs without.
pub fn sign(signer: &KeyPair, component: &Path, destination: &Path) -> Result<()> {
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let module = KeyPair::new_module();
    let signed =
        sign_buffer_with_claims(name, bytes, &module, signer, None, None, vec![], false, None, None, None)
            .map_err(|error| anyhow!("cannot sign {}: {error}", component.display()))?;
    // A host that reads it meanwhile finds all of the one or of the other.
    let beside = destination.with_added_extension("new");
    fs::write(&beside, signed)
        .and_then(|()| fs::rename(&beside, destination))
        .with_context(|| format!("cannot write {}", destination.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use wascap::wasm::extract_claims;

    use super::*;

    /// A component with nothing in it.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn components_are_signed_by_the_account_whose_seed_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let first = signer(&file("seed")).unwrap();
        assert_eq!(fs::metadata(file("seed")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(signer(&file("seed")).unwrap().public_key(), first.public_key());

        fs::write(file("payments.wasm"), EMPTY).unwrap();
        sign(&first, &file("payments.wasm"), &file("signed.wasm")).unwrap();
        let signed = fs::read(file("signed.wasm")).unwrap();
        assert!(signed.starts_with(EMPTY));
        let claims = extract_claims(signed).unwrap().unwrap().claims;
        assert_eq!((claims.issuer.clone(), claims.name()), (first.public_key(), "payments".to_owned()));
    }

    #[test]
    fn what_is_no_seed_and_what_is_no_component_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odd");
        fs::write(&file, "odd").unwrap();
        let error = signer(&file).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("there is no seed in") && error.contains("odd"), "{error}");
        let error = sign(&KeyPair::new_account(), &file, &folder.path().join("signed")).unwrap_err();
        assert!(error.to_string().starts_with("cannot sign"), "{error}");
        assert!(!folder.path().join("signed").exists());
    }
}

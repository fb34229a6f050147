//! The file with the secrets. What is in it is printed nowhere, not even in the error about a file that cannot be read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

/// The secret with this key.
pub fn secret(file: &Path, key: &str) -> Result<Option<String>> {
    let name = file.display();
    let mut opened = File::open(file).with_context(|| format!("cannot read the secrets in {name}"))?;
    let mode = opened.metadata()?.permissions().mode() & 0o777;
    ensure!(
        mode == 0o600,
        "the mode of {name} is {mode:04o}, and a file with secrets must have 0600: run `chmod 600 {name}`. \
         If others could read it, change the secrets"
    );
    let mut text = Vec::new();
    opened.read_to_end(&mut text).with_context(|| format!("cannot read the secrets in {name}"))?;
    // What serde says quotes what it has found.
    let mut secrets: BTreeMap<String, String> = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        anyhow!("{name}, line {line}, column {column}: this is no JSON object of texts")
    })?;
    Ok(secrets.remove(key))
}

//! A provider archive: the program for one kind of machine, and claims signed with keys that are made for it and forgotten.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nkeys::KeyPair;
use provider_archive::ProviderArchive;

const VENDOR: &str = "Trellis";

pub async fn write(name: &str, version: &str, program: &Path, destination: &Path) -> Result<()> {
    let bytes =
        tokio::fs::read(program).await.with_context(|| format!("cannot read {}", program.display()))?;
    let mut archive = ProviderArchive::new(name, VENDOR, None, Some(version.to_owned()));
    let machine = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    archive
        .add_library(&machine, &bytes)
        .map_err(|error| anyhow!("cannot add {}: {error}", program.display()))?;
    let (issuer, subject) = (KeyPair::new_account(), KeyPair::new_service());
    archive
        .write(destination, &issuer, &subject, true)
        .await
        .map_err(|error| anyhow!("cannot write {}: {error}", destination.display()))
}

//! Where the components of a lattice have their secrets from: a backend that gives out what is in a file, and goes by signatures.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use trellis_manifest::types::Component;
use trellis_manifest::{FILE, Manifest, Parts};

use super::tools::Tools;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;

/// Files in the folder of a lattice.
const SECRETS: &str = "secrets.json";
const SEED: &str = "signer.seed";
const SIGNED: &str = "signed";

/// A file with secrets, a JSON object of texts.
#[derive(Clone, Debug)]
pub struct Secrets {
    file: PathBuf,
}

impl Secrets {
    /// How subjects begin on which hosts ask for secrets.
    pub const TOPIC: &str = "wasmcloud.secrets";

    pub fn of(file: &Path) -> Result<Self> {
        let file = file.canonicalize().map_err(|error| Failure::io("read", file, &error))?;
        Ok(Self { file })
    }

    /// A file in a folder. There is none before [`Secrets::write`].
    pub fn in_folder(folder: &Path) -> Self {
        Self { file: folder.join(SECRETS) }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Components that are started from now on have these.
    pub fn write(&self, secrets: &Value) -> Result<()> {
        files::write_private(&self.file, secrets.to_string().as_bytes())
    }

    /// Signs the components that the manifest gives secrets. Those with signatures take their place in it.
    pub fn sign(&self, manifest: &mut Manifest, tools: &Tools, folder: &Path) -> Result<()> {
        let signed = folder.join(SIGNED);
        let mut components = Vec::new();
        let given = |component: &&mut Component| !component.is_provider() && component.has_secrets();
        for component in manifest.components_mut().iter_mut().filter(given) {
            let Some(image) = component.image_mut() else { continue };
            let Some(file) = image.strip_prefix(FILE).map(PathBuf::from) else { continue };
            *image = format!("{FILE}{}", signed.join(file.file_name().unwrap_or_default()).display());
            components.push(file);
        }
        if components.is_empty() {
            return Ok(());
        }
        files::create_folder(&signed)?;
        process::output_alone(sign(tools, folder).args(components)).map(drop)
    }

    /// The public key of who signs.
    pub fn signer(&self, tools: &Tools, folder: &Path) -> Result<String> {
        process::output_alone(&mut sign(tools, folder)).map(|key| key.trim().to_owned())
    }

    pub fn to_json(&self) -> Value {
        self.file.display().to_string().into()
    }

    pub fn from_json(noted: &Value) -> Option<Self> {
        Some(Self { file: noted.get("secrets")?.as_str()?.into() })
    }
}

fn sign(tools: &Tools, folder: &Path) -> Command {
    let mut sign = Command::new(tools.program("lattice-ctl"));
    sign.arg("sign").arg("--seed").arg(folder.join(SEED)).arg("--into").arg(folder.join(SIGNED));
    sign
}

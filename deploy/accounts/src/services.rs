//! The services of the application, as their components say it of themselves.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use trellis_kit::access::Member;
use trellis_manifest::types::Properties;
use trellis_manifest::{FILE, Manifest};

/// Where the components of a manifest are.
#[derive(Debug)]
pub struct Components<'a> {
    /// The folder of the manifest, from where the files are seen that it names.
    pub manifest: &'a Path,
    /// Where `<name>.wasm` is of a component whose image is in a registry.
    pub downloaded: Option<&'a Path>,
}

impl Components<'_> {
    /// Each component that says it is a service.
    pub fn services(&self, manifest: &Manifest) -> Result<Vec<Member>> {
        let mut services = Vec::new();
        for component in manifest.components() {
            let Properties::Component { properties } = &component.properties else { continue };
            let file = self.file(&component.name, properties.image.as_deref().unwrap_or_default())?;
            let wasm = std::fs::read(&file)
                .with_context(|| format!("cannot read {}; `cargo xtask build` makes it", file.display()))?;
            let service = Member::in_component(&wasm).with_context(|| file.display().to_string())?;
            services.extend(service);
        }
        Ok(services)
    }

    fn file(&self, name: &str, image: &str) -> Result<PathBuf> {
        match (image.strip_prefix(FILE), self.downloaded) {
            (Some(file), _) => Ok(self.manifest.join(file)),
            (None, Some(folder)) => Ok(folder.join(format!("{name}.wasm"))),
            (None, None) => bail!(
                "the image of {name}, {image:?}, is no file: download the components, and say with --components where they are"
            ),
        }
    }
}

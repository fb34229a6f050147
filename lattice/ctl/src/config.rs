//! The configs of an application: what its manifest says, and whether the lattice has it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, anyhow};
use wadm_types::{ConfigProperty, Manifest, Properties, TraitProperty};
use wasmcloud_control_interface::Client as Control;

/// By the names that the lattice knows them by.
pub struct Configs(BTreeMap<String, HashMap<String, String>>);

impl Configs {
    /// Those that the manifest states. One that it only names is somebody else's.
    pub fn of(manifest: &Manifest) -> Self {
        let stated = manifest.components().flat_map(|component| {
            let own = match &component.properties {
                Properties::Component { properties } => &properties.config,
                Properties::Capability { properties } => &properties.config,
            };
            let traits = component.traits.iter().flatten();
            own.iter().chain(traits.flat_map(|of| of_link(&of.properties)))
        });
        let application = &manifest.metadata.name;
        Self(
            stated
                .filter_map(|config| Some((key(application, &config.name), config.properties.clone()?)))
                .collect(),
        )
    }

    /// The names of those that the lattice does not have as they are stated.
    pub async fn missing(&self, control: &Control) -> Result<Vec<&str>> {
        let mut missing = Vec::new();
        for (name, stated) in &self.0 {
            let answer = control.get_config(name).await.map_err(|error| anyhow!("{error}"))?;
            if answer.into_data().as_ref() != Some(stated) {
                missing.push(name.as_str());
            }
        }
        Ok(missing)
    }
}

fn of_link(of: &TraitProperty) -> impl Iterator<Item = &ConfigProperty> {
    let link = if let TraitProperty::Link(link) = of { Some(link) } else { None };
    link.into_iter().flat_map(|link| {
        let source = link.source.iter().flat_map(|source| &source.config);
        source.chain(&link.target.config)
    })
}

/// As wadm makes it, so that two applications may use one name.
fn key(application: &str, config: &str) -> String {
    let plain = |name: &str| name.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
    format!("{}-{}", plain(application), plain(config))
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_config_belongs_to_its_application() {
        assert_eq!(key("Trellis", "posts-service"), "trellis-posts_service");
    }
}

//! `wadm.yaml`: read into the published types of wadm, edited in them, and written.
//!
//! [`Lines`] knows where everything stood, for whoever has to say what is wrong there. What is written is for machines: it has
//! no comments, and its keys are in the order of the alphabet.

mod lines;
mod parts;
mod problem;
mod shape;
mod subscription;

use std::fmt;

use wadm_types::{Component, ConfigProperty};

pub use lines::Lines;
pub use parts::Parts;
pub use problem::{Problem, Unreadable};
pub use subscription::{SUBSCRIPTIONS, Subscription};
pub use wadm_types as types;

/// The scheme of images that are files.
pub const FILE: &str = "file://";

/// A manifest: an application of wadm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest(types::Manifest);

impl Manifest {
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        Self::read_with_lines(text).map(|(manifest, _)| manifest)
    }

    pub fn read_with_lines(text: &str) -> Result<(Self, Lines), Unreadable> {
        let lines = Lines::parse(text).map_err(|problem| Unreadable(vec![problem]))?;
        Ok((Self(shape::typed(&lines)?), lines))
    }

    pub fn as_wadm(&self) -> &types::Manifest {
        &self.0
    }

    /// The name of the application.
    pub fn application(&self) -> &str {
        &self.0.metadata.name
    }

    /// All that is deployed, providers too.
    pub fn components(&self) -> &[Component] {
        &self.0.spec.components
    }

    pub fn components_mut(&mut self) -> &mut Vec<Component> {
        &mut self.0.spec.components
    }

    pub fn component_mut(&mut self, name: &str) -> Option<&mut Component> {
        self.components_mut().iter_mut().find(|component| component.name == name)
    }

    /// The images of components and providers.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.components().iter().filter_map(Parts::image)
    }

    pub fn images_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.components_mut().iter_mut().filter_map(Parts::image_mut)
    }

    /// All configurations: of components, of providers and of links.
    pub fn configs(&self) -> impl Iterator<Item = &ConfigProperty> {
        self.components().iter().flat_map(Parts::configs)
    }

    pub fn configs_mut(&mut self) -> impl Iterator<Item = &mut ConfigProperty> {
        self.components_mut().iter_mut().flat_map(Parts::configs_mut)
    }

    pub fn config_mut(&mut self, name: &str) -> Option<&mut ConfigProperty> {
        self.configs_mut().find(|config| config.name == name)
    }

    /// All settings: what each is called, and what it says.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let each = self.configs().flat_map(|config| config.properties.iter().flatten());
        each.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn settings_mut(&mut self) -> impl Iterator<Item = (&str, &mut String)> {
        let each = self.configs_mut().flat_map(|config| config.properties.iter_mut().flatten());
        each.map(|(name, value)| (name.as_str(), value))
    }

    /// What a setting says, at the first place that has it.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings().find_map(|(other, value)| (other == name).then_some(value))
    }

    /// What all components are subscribed to.
    pub fn subscriptions(&self) -> impl Iterator<Item = Subscription<'_>> {
        let lists = self.settings().filter(|(name, _)| *name == SUBSCRIPTIONS);
        lists.flat_map(|(_, list)| Subscription::list(list))
    }
}

/// As YAML.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The types of wadm keep settings in no order. A JSON value has one, so that the same manifest is the same text.
        let sorted = serde_json::to_value(&self.0).map_err(|_| fmt::Error)?;
        serde_saphyr::to_fmt_writer(f, &sorted).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Manifest {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wadm.yaml");
        Manifest::read(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut manifest = ours();
        let odd =
            ["off", "1", "", " a: b #c", "'\"\\", "two\nlines\n", "{\"a\": [\"b\"]}", "~", "- x", "\u{e9}"];
        let settings = manifest.config_mut("posts-service").unwrap().properties.as_mut().unwrap();
        settings.extend(odd.iter().enumerate().map(|(n, value)| (format!("odd-{n}"), (*value).to_owned())));
        let written = manifest.to_string();
        assert_eq!(Manifest::read(&written).unwrap(), manifest, "{written}");
        assert_eq!(Manifest::read(&written).unwrap().to_string(), written);
    }

    #[test]
    fn all_of_a_manifest_is_found() {
        let manifest = ours();
        assert_eq!(manifest.application(), "trellis");
        assert!(manifest.images().any(|image| image == "file://build/posts.wasm"));
        assert_eq!(manifest.setting("address"), Some("127.0.0.1:8080"));
        let subscription = Subscription { subject: "svc.posts", queue: Some("posts") };
        assert!(manifest.subscriptions().any(|other| other == subscription));
        let names: Vec<&str> = manifest.configs().map(|config| config.name.as_str()).collect();
        for name in ["posts-service", "posts-nats", "posts-bucket", "gateway-http", "posts-subscriptions"] {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn an_invalid_manifest_is_refused_with_the_line() {
        let wrong = |text: &str| Manifest::read(text).unwrap_err().to_string();
        assert!(wrong("a: [").starts_with("line "));
        assert!(wrong("a: 1\na: 2\n").contains("line 2: not valid YAML"), "{}", wrong("a: 1\na: 2\n"));
        let text = "apiVersion: v\nkind: k\nmetadata:\n  name: [1]\nspec: { components: [] }\n";
        assert!(wrong(text).starts_with("line 4: "), "{}", wrong(text));
        let text =
            "apiVersion: v\nkind: k\nmetadata:\n  name: a\n  annotations: {}\nspec: { components: [] }\n";
        assert!(wrong(text).starts_with("line 5: there are no annotations"), "{}", wrong(text));
    }
}

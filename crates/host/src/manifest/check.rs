//! From the text of a manifest to an [`Application`], with every rule that does not concern links.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trellis_manifest::types::{
    APPLICATION_KIND, CapabilityProperties, Component, ComponentProperties, ConfigProperty,
    DAEMONSCALER_TRAIT, LINK_TRAIT, Manifest, OAM_VERSION, Properties, SPREADSCALER_TRAIT, SecretProperty,
    SecretSourceProperty, TraitProperty,
};
use trellis_manifest::{FILE, Lines, Parts, Unreadable};

use super::plan::{Application, ComponentPlan, Problem, SecretPlan};

/// The type of the policies that say who keeps secrets. Here it is a file, whatever they say.
const SECRETS: &str = "policy.secret.wasmcloud.dev/v1alpha1";

/// What a capability image is recognised by, and what it then is.
const CAPABILITIES: [(&str, Capability); 4] = [
    ("http-server", Capability::HttpServer),
    ("http-client", Capability::HttpClient),
    ("messaging-nats", Capability::Messaging),
    ("keyvalue-", Capability::KeyValue),
];

/// A capability that this host serves in process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capability {
    HttpServer,
    HttpClient,
    Messaging,
    KeyValue,
}

/// The manifest while it is being checked.
pub(super) struct Checking<'a> {
    lines: Lines,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) manifest: Manifest,
    /// Named configurations that have properties, from anywhere in the manifest.
    configs: BTreeMap<String, BTreeMap<String, String>>,
}

/// The application without its links, and what they are checked with.
pub(super) fn begin<'a>(
    file: &Path,
    text: &str,
    problems: &'a mut Vec<Problem>,
) -> Option<(Checking<'a>, Application)> {
    let (manifest, lines) = match trellis_manifest::Manifest::read_with_lines(text) {
        Ok(read) => read,
        Err(Unreadable(found)) => {
            problems.extend(found.into_iter().map(Problem::from));
            return None;
        }
    };
    let mut checking =
        Checking { lines, problems, manifest: manifest.as_wadm().clone(), configs: BTreeMap::new() };
    checking.header();
    checking.names();
    checking.collect_configs();
    let components = checking.components(file);
    let application = Application {
        name: checking.manifest.metadata.name.clone(),
        file: file.to_owned(),
        components,
        http: Vec::new(),
    };
    Some((checking, application))
}

impl Checking<'_> {
    pub(super) fn line(&self, path: &[&str]) -> usize {
        self.lines.of(path)
    }

    pub(super) fn problem(&mut self, path: &[&str], what: impl Into<String>, remedy: impl Into<String>) {
        let line = Some(self.line(path));
        self.problems.push(Problem { line, what: what.into(), remedy: remedy.into() });
    }

    fn header(&mut self) {
        let (version, kind) = (self.manifest.api_version.clone(), self.manifest.kind.clone());
        if version != OAM_VERSION {
            self.problem(
                &["apiVersion"],
                format!("apiVersion {version} is not known"),
                format!("write {OAM_VERSION}"),
            );
        }
        if kind != APPLICATION_KIND {
            self.problem(&["kind"], format!("kind {kind} is not known"), format!("write {APPLICATION_KIND}"));
        }
        for (i, policy) in self.manifest.spec.policies.clone().iter().enumerate() {
            if policy.policy_type != SECRETS {
                self.problem(
                    &["spec", "policies", &i.to_string()],
                    format!("policies of the type {} are not honoured here", policy.policy_type),
                    "remove it, or deploy on a lattice",
                );
            }
        }
    }

    fn names(&mut self) {
        let names: Vec<String> =
            self.manifest.spec.components.iter().map(|component| component.name.clone()).collect();
        for (i, name) in names.iter().enumerate() {
            let at = i.to_string();
            let path = ["spec", "components", &at, "name"];
            let good = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if !good {
                self.problem(
                    &path,
                    format!("{name:?} is not a name"),
                    "use up to 64 letters, digits, - and _",
                );
            }
            if let Some(first) = names.iter().take(i).position(|other| other == name) {
                let first = self.line(&["spec", "components", &first.to_string(), "name"]);
                self.problem(
                    &path,
                    format!("{name} is declared twice, first on line {first}"),
                    "rename one of them",
                );
            }
        }
    }

    fn collect_configs(&mut self) {
        let mut configs = BTreeMap::new();
        for config in self.manifest.spec.components.iter().flat_map(Parts::configs) {
            if let Some(properties) = &config.properties {
                let properties = properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                configs.insert(config.name.clone(), properties);
            }
        }
        self.configs = configs;
    }

    /// The values of `configs`, later ones winning.
    pub(super) fn resolve(&mut self, path: &[&str], configs: &[ConfigProperty]) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (i, config) in configs.iter().enumerate() {
            if let Some(properties) = &config.properties {
                values.extend(properties.iter().map(|(key, value)| (key.clone(), value.clone())));
            } else if let Some(named) = self.configs.get(&config.name) {
                values.extend(named.clone());
            } else {
                let at = i.to_string();
                let path: Vec<&str> = path.iter().copied().chain(["config", &at]).collect();
                let what = format!("the config {} has no properties anywhere in this manifest", config.name);
                self.problem(&path, what, "add its properties: this host has no store of named configs");
            }
        }
        values
    }

    fn components(&mut self, file: &Path) -> Vec<ComponentPlan> {
        let mut plans = Vec::new();
        for (i, component) in self.manifest.spec.components.clone().iter().enumerate() {
            let at = i.to_string();
            let instances = self.scalers(&at, component);
            match &component.properties {
                Properties::Component { properties } => {
                    plans.push(self.component(file, &at, &component.name, properties, instances));
                }
                Properties::Capability { properties } => self.capability(&at, &component.name, properties),
            }
        }
        plans
    }

    fn component(
        &mut self,
        file: &Path,
        at: &str,
        name: &str,
        properties: &ComponentProperties,
        instances: Option<usize>,
    ) -> ComponentPlan {
        let path = ["spec", "components", at, "properties"];
        let [spec, list, at, own] = path;
        let image = [spec, list, at, own, "image"];
        ComponentPlan {
            name: name.to_owned(),
            line: self.line(&image),
            wasm: self.wasm(file, &image, properties),
            instances,
            config: self.resolve(&path, &properties.config),
            secrets: self.secrets(at, &properties.secrets),
            buckets: BTreeMap::new(),
            imports: Vec::new(),
            subscriptions: Vec::new(),
        }
    }

    fn secrets(&mut self, at: &str, secrets: &[SecretProperty]) -> Vec<SecretPlan> {
        let mut plans: Vec<SecretPlan> = Vec::new();
        for (i, SecretProperty { name, properties }) in secrets.iter().enumerate() {
            let i = i.to_string();
            let path = ["spec", "components", at, "properties", "secrets", &i];
            let SecretSourceProperty { policy, key, field, version } = properties;
            if !self.manifest.spec.policies.iter().any(|declared| declared.name == *policy) {
                let what = format!("the secret {name} has the policy {policy}, which is not declared");
                self.problem(&path, what, format!("declare it under spec.policies, with the type {SECRETS}"));
            }
            if field.is_some() || version.is_some() {
                let what =
                    format!("the secret {name} is a field or a version of one, and here are whole ones");
                self.problem(&path, what, "leave out field and version, or deploy on a lattice");
            }
            if plans.iter().any(|plan| plan.name == *name) {
                self.problem(&path, format!("there are two secrets {name}"), "rename one of them");
            }
            plans.push(SecretPlan { line: self.line(&path), name: name.clone(), key: key.clone() });
        }
        plans
    }

    fn wasm(&mut self, file: &Path, path: &[&str], properties: &ComponentProperties) -> PathBuf {
        let Some(image) = &properties.image else {
            let what = "the component has no image; components of other applications are not reachable here";
            self.problem(path, what, "add image: file://build/<name>.wasm");
            return PathBuf::new();
        };
        let Some(relative) = image.strip_prefix(FILE) else {
            let remedy = "build it and write file://build/<name>.wasm";
            self.problem(
                path,
                format!("{image} is a registry reference, and this host does not download"),
                remedy,
            );
            return PathBuf::new();
        };
        let wasm = file.parent().unwrap_or(Path::new("")).join(relative);
        if !wasm.is_file() {
            self.problem(path, format!("{} does not exist", wasm.display()), "run `cargo xtask build`");
        }
        wasm
    }

    fn capability(&mut self, at: &str, name: &str, properties: &CapabilityProperties) {
        let path = ["spec", "components", at, "properties", "image"];
        let image = properties.image.as_deref().unwrap_or_default();
        if capability(image).is_none() {
            let known = CAPABILITIES.map(|(name, _)| name.trim_end_matches('-')).join(", ");
            let what = format!("the image of {name}, {image:?}, is no capability that this host serves");
            self.problem(&path, what, format!("use one whose name says what it provides: {known}"));
        }
        if !properties.secrets.is_empty() {
            let remedy = "leave them out: providers are in this process, and ask nobody who they are";
            self.problem(&path, "secrets of providers are not honoured here", remedy);
        }
    }

    /// How many instances the component's scaler asks for.
    fn scalers(&mut self, at: &str, component: &Component) -> Option<usize> {
        let mut instances = None;
        for (t, scaler) in component.traits.iter().flatten().enumerate() {
            let t = t.to_string();
            let path = ["spec", "components", at, "traits", &t, "type"];
            match (scaler.trait_type.as_str(), &scaler.properties) {
                (LINK_TRAIT, _) => {}
                (SPREADSCALER_TRAIT | DAEMONSCALER_TRAIT, TraitProperty::SpreadScaler(scaler)) => {
                    if instances.is_some() {
                        self.problem(
                            &path,
                            format!("{} has two scalers", component.name),
                            "keep one of them",
                        );
                    }
                    instances = Some(scaler.instances);
                }
                (kind @ (SPREADSCALER_TRAIT | DAEMONSCALER_TRAIT), _) => {
                    self.problem(
                        &path,
                        format!("the {kind} has no instances"),
                        "write properties: { instances: 10 }",
                    );
                }
                (kind, _) => {
                    let known =
                        format!("known are {LINK_TRAIT}, {SPREADSCALER_TRAIT} and {DAEMONSCALER_TRAIT}");
                    self.problem(&path, format!("the trait type {kind} is not known"), known);
                }
            }
        }
        if let Some(count @ (0 | 10_001..)) = instances {
            let path = ["spec", "components", at, "traits"];
            self.problem(&path, format!("{count} instances cannot be had"), "ask for 1 to 10000");
        }
        instances
    }
}

/// What the capability image `image` provides: its name says so, wherever it comes from and whatever its version.
pub(super) fn capability(image: &str) -> Option<Capability> {
    let name = image.rsplit(['/']).next()?.split([':', '@']).next()?;
    CAPABILITIES.iter().find(|(part, _)| name.contains(part)).map(|(_, capability)| *capability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_recognised_by_its_name() {
        let cases = [
            ("ghcr.io/wasmcloud/http-server:0.27.0", Some(Capability::HttpServer)),
            ("ghcr.io/wasmcloud/http-client@sha256:abc", Some(Capability::HttpClient)),
            ("file://lattice/target/messaging-nats.par.gz", Some(Capability::Messaging)),
            ("wasmcloud+builtin://http-server", Some(Capability::HttpServer)),
            ("localhost:5000/keyvalue-nats:1.0.0", Some(Capability::KeyValue)),
            ("ghcr.io/wasmcloud/keyvalue-redis:0.28.2", Some(Capability::KeyValue)),
            ("ghcr.io/http-server/blobstore-fs:1", None),
            ("", None),
        ];
        for (image, expected) in cases {
            assert_eq!(capability(image), expected, "{image}");
        }
    }
}

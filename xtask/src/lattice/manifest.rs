//! wadm.yaml, made to run here: its image references become files of this machine, and its addresses those that this lattice
//! has. Nothing else is changed.

use std::collections::BTreeSet;
use std::path::Path;

use trellis_manifest::types::{
    DAEMONSCALER_TRAIT, SPREADSCALER_TRAIT, Spread, SpreadScalerProperty as Scaler, Trait,
};
use trellis_manifest::{FILE, Manifest, Parts, SUBSCRIPTIONS};
use trellis_names as names;

use super::tools::Tools;
use crate::failure::{Failure, Result};
use crate::files;

/// The manifest as it is deployed, and what can be seen from outside once it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub manifest: Manifest,
    /// Where the application answers HTTP.
    pub http: String,
    /// Where its components and providers expect NATS.
    pub nats: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What it is called in the lattice.
    pub id: String,
    /// Which program it is.
    pub image: String,
}

const NATS_SCHEME: &str = "nats://";
/// Of an image that is none: the host itself does what a provider would.
const BUILTIN_SCHEME: &str = "wasmcloud+builtin://";
/// The provider by which components ask servers outside. There is no crate of it, and the host has one built in.
const HTTP_CLIENT: &str = "http-client";
/// How subjects begin on which hosts of wasmCloud 1 say what happens.
const WASMCLOUD_1_EVENTS: &str = "wasmbus.evt.";
/// The provider that has the one address of the application.
const HTTP_SERVER: &str = "httpserver";

/// The manifest in a file.
pub fn read(file: &Path) -> Result<Manifest> {
    Manifest::read(&files::read_text(file)?)
        .map_err(|error| Failure::new(format!("{} is no manifest: {error}", file.display())))
}

impl Deployment {
    /// With image references that this machine has: files below `root`, and archives of providers.
    pub fn here(manifest: &Manifest, root: &Path, tools: &Tools) -> Result<Self> {
        Self::with_images(manifest, &|image| {
            let file = match (image.strip_prefix(FILE), image_name(image)) {
                (Some(file), _) => root.join(file),
                (None, HTTP_CLIENT) => return Some(format!("{BUILTIN_SCHEME}{HTTP_CLIENT}")),
                (None, name) => tools.archive(name)?,
            };
            Some(format!("{FILE}{}", file.display()))
        })
    }

    /// Of its components alone, from files below `root`, without what only hosts of wasmCloud 1 tell them.
    pub fn of_components(manifest: &Manifest, root: &Path) -> Result<Self> {
        let mut manifest = manifest.clone();
        for component in manifest.components_mut().iter_mut().filter(|component| !component.is_provider()) {
            if let Some(image) = component.image_mut()
                && let Some(file) = image.strip_prefix(FILE)
            {
                *image = format!("{FILE}{}", root.join(file).display());
            }
        }
        for (_, list) in manifest.settings_mut().filter(|(name, _)| *name == SUBSCRIPTIONS) {
            let mut subscriptions: Vec<&str> = list.split(',').collect();
            subscriptions.retain(|subscription| !subscription.trim().starts_with(WASMCLOUD_1_EVENTS));
            *list = subscriptions.join(",");
        }
        Self::as_it_is(manifest)
    }

    fn with_images(manifest: &Manifest, counterpart: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut manifest = manifest.clone();
        for component in manifest.components_mut() {
            let name = component.name.clone();
            let Some(image) = component.image_mut().filter(|image| !image.starts_with(BUILTIN_SCHEME)) else {
                continue;
            };
            *image = counterpart(image).ok_or_else(|| {
                Failure::new(format!(
                    "`image: {image}` of {name} in wadm.yaml has no counterpart on this machine"
                ))
                .remedy("add a provider to lattice/ and to xtask/src/lattice/tools.rs")
            })?;
        }
        Self::as_it_is(manifest)
    }

    /// As it was deployed: with image references of this machine.
    pub fn as_it_is(manifest: Manifest) -> Result<Self> {
        let incomplete = |what: &str| Failure::new(format!("wadm.yaml has {what}"));
        let http = manifest.setting("address").ok_or_else(|| incomplete("no `address` for HTTP"))?.to_owned();
        let mut urls = manifest.settings().filter_map(|(_, value)| value.strip_prefix(NATS_SCHEME));
        let first = urls.next().ok_or_else(|| incomplete("no `nats://` address"))?;
        let nats = first.split(',').next().unwrap_or_default().to_owned();
        drop(urls);
        Ok(Self { manifest, http, nats })
    }

    /// With other addresses, wherever they are named: one for HTTP, and those of all NATS servers for NATS. `nats://nats-2` is
    /// that server alone.
    #[must_use]
    pub fn at(self, http: &str, nats: &[String]) -> Self {
        let Self { mut manifest, http: old_http, nats: old_nats } = self;
        let urls: Vec<String> = nats.iter().map(|address| format!("{NATS_SCHEME}{address}")).collect();
        for (name, value) in manifest.settings_mut() {
            if name == "address" && *value == old_http {
                http.clone_into(value);
            }
            if value.contains(NATS_SCHEME) {
                *value = value.replace(&format!("{NATS_SCHEME}{old_nats}"), &urls.join(","));
                // The last first: nats-1 is how nats-10 begins.
                for (index, url) in urls.iter().enumerate().rev() {
                    *value = value.replace(&format!("{NATS_SCHEME}nats-{}", index + 1), url);
                }
            }
        }
        Self { manifest, http: http.to_owned(), nats: nats.first().cloned().unwrap_or(old_nats) }
    }

    /// With so many copies of every log and bucket.
    #[must_use]
    pub fn replicated(mut self, copies: u8) -> Self {
        for config in self.manifest.configs_mut() {
            let Some(settings) = &mut config.properties else { continue };
            if config.name.ends_with("-service") {
                settings.insert("replicas".to_owned(), copies.to_string());
            }
            if settings.contains_key("bucket") {
                settings.insert("num_replicas".to_owned(), copies.to_string());
            }
        }
        self
    }

    /// That every file is there that a host is to load.
    pub fn expect_files(&self) -> Result<()> {
        let mut files = self.manifest.images().filter_map(|image| image.strip_prefix(FILE));
        match files.find(|file| !Path::new(file).is_file()) {
            None => Ok(()),
            Some(file) => Err(Failure::new(format!("{file} is not there, which {} is to run", self.manifest.application()))
                .remedy("`cargo xtask build --components` builds the components, `cargo xtask lattice build` the providers")),
        }
    }

    /// What a host has to be told to allow, as it is off by default: what is built in of this application, and the HTTP client for
    /// whatever is deployed later.
    pub fn features(&self) -> BTreeSet<String> {
        let builtins = self.manifest.images().filter_map(|image| image.strip_prefix(BUILTIN_SCHEME));
        builtins.chain([HTTP_CLIENT]).map(|name| format!("builtin-{name}")).collect()
    }

    pub fn providers(&self) -> impl Iterator<Item = Provider> {
        let providers = self.manifest.components().iter().filter(|component| component.is_provider());
        providers.map(|component| Provider {
            id: format!("{}-{}", self.manifest.application(), component.name),
            image: image_name(component.image().unwrap_or_default()).to_owned(),
        })
    }

    /// The subjects to which the application will have subscribed.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.manifest.subscriptions().map(|subscription| subscription.subject)
    }

    /// The services that answer requests.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.subjects().filter_map(names::parse_request)
    }
}

/// Every component, and every provider but the HTTP server, on every host: nothing is lost with one of them. The HTTP server
/// has one address, and all hosts are on one machine here: it is for the first to run, since a second one would start, find
/// the address taken, and perhaps be the one that wadm keeps.
pub fn on_every_host(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    for component in manifest.components_mut() {
        for (kind, _) in component.scalers_mut().filter(|(kind, _)| *kind == SPREADSCALER_TRAIT) {
            DAEMONSCALER_TRAIT.clone_into(kind);
        }
        if component.is_provider() {
            let first = ("host".to_owned(), "1".to_owned());
            let on_first = Spread { name: "first".to_owned(), requirements: [first].into(), weight: None };
            let scaler = match component.name.as_str() {
                HTTP_SERVER => Trait::new_spreadscaler(Scaler { instances: 1, spread: vec![on_first] }),
                _ => Trait::new_daemonscaler(Scaler { instances: 1, spread: Vec::new() }),
            };
            component.traits_mut().insert(0, scaler);
        }
    }
    manifest
}

/// As tests deploy it on a lattice of so many hosts: with several, each has all of it.
pub fn on_hosts(manifest: &Manifest, hosts: usize) -> Manifest {
    if hosts > 1 { on_every_host(manifest) } else { manifest.clone() }
}

/// `http-server` of `registry/wasmcloud/http-server:0.27.0`.
fn image_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
  annotations: { description: test }
spec:
  components:
    - name: posts
      type: component
      properties:
        image: file://build/posts.wasm
      traits:
        - type: link
          properties:
            namespace: wasmcloud
            package: messaging
            interfaces: [consumer]
            target:
              name: bus
              config:
                - name: nats
                  properties: { cluster_uris: nats://127.0.0.1:4222 }
    - name: web
      type: capability
      properties:
        image: registry.example:5000/wasmcloud/http-server:0.27.0
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target:
              name: posts
            source:
              config:
                - name: posts-http
                  properties:
                    address: 127.0.0.1:8000
    - name: bus
      type: capability
      properties:
        image: registry.example/messaging-nats@sha256:00
        config:
          - name: bus
            properties:
              subscriptions: >-
                deliver.posts|posts,svc.posts|posts
";

    fn image(image: &str) -> Option<String> {
        match image_name(image) {
            "unknown" => None,
            name => Some(format!("file:///cache/{name}")),
        }
    }

    fn manifest(text: &str) -> Manifest {
        Manifest::read(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn with_images(text: &str) -> Deployment {
        Deployment::with_images(&manifest(text), &image).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn deployment() -> Deployment {
        with_images(MANIFEST)
    }

    #[test]
    fn only_image_references_change() {
        let mut deployment = deployment();
        assert_eq!(
            deployment.manifest.images().collect::<Vec<_>>(),
            ["file:///cache/posts.wasm", "file:///cache/http-server", "file:///cache/messaging-nats"]
        );
        let before = manifest(MANIFEST);
        for (image, before) in deployment.manifest.images_mut().zip(before.images()) {
            before.clone_into(image);
        }
        assert_eq!(deployment.manifest, before);
    }

    #[test]
    fn what_to_expect_is_read_from_it() {
        let deployment = deployment();
        assert_eq!(deployment.manifest.application(), "shop");
        assert_eq!(
            (deployment.http.as_str(), deployment.nats.as_str()),
            ("127.0.0.1:8000", "127.0.0.1:4222")
        );
        assert_eq!(deployment.subjects().collect::<Vec<_>>(), ["deliver.posts", "svc.posts"]);
        assert_eq!(deployment.services().collect::<Vec<_>>(), ["posts"]);
        let providers: Vec<_> = deployment.providers().collect();
        let ids: Vec<_> = providers.iter().map(|p| (p.id.as_str(), p.image.as_str())).collect();
        assert_eq!(ids, [("shop-web", "http-server"), ("shop-bus", "messaging-nats")]);
    }

    #[test]
    fn addresses_change_wherever_they_are_named() {
        let at = deployment().at("127.0.0.1:8001", &["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()]);
        assert_eq!((at.http.as_str(), at.nats.as_str()), ("127.0.0.1:8001", "127.0.0.1:1"));
        let text = at.manifest.to_string();
        assert_eq!(
            at.manifest.setting("cluster_uris"),
            Some("nats://127.0.0.1:1,nats://127.0.0.1:2"),
            "{text}"
        );
        assert!(text.contains("address: 127.0.0.1:8001") && !text.contains(":8000"), "{text}");
    }

    #[test]
    fn one_server_can_be_named() {
        let text = MANIFEST.replace(
            "subscriptions:",
            "cluster_uri: nats://nats-2,nats://nats-10\n              subscriptions:",
        );
        let servers: Vec<String> = (1..=10).map(|number| format!("127.0.0.1:{number}")).collect();
        let at = with_images(&text).at("127.0.0.1:8001", &servers);
        assert_eq!(at.manifest.setting("cluster_uri"), Some("nats://127.0.0.1:2,nats://127.0.0.1:10"));
    }

    #[test]
    fn copies_are_asked_for_of_every_log_and_bucket() {
        let with = |of_log: &str, of_bucket: &str| {
            let configs = format!(
                "      properties:
        config:
          - name: posts-service
            properties: {{ replicas: \"{of_log}\", other: x }}
          - name: posts-bucket
            properties: {{ bucket: posts{of_bucket} }}
"
            );
            with_images(&MANIFEST.replacen("      properties:\n", &configs, 1))
        };
        assert_eq!(with("1", "").replicated(3), with("3", ", num_replicas: \"3\""));
    }

    #[test]
    fn what_was_deployed_is_read_again() {
        let deployment = deployment();
        let again = Deployment::as_it_is(manifest(&deployment.manifest.to_string())).unwrap();
        assert_eq!(again, deployment);
        assert!(again.providers().eq(deployment.providers()));
    }

    #[test]
    fn a_missing_build_is_named_with_what_makes_it() {
        let failure = deployment().expect_files().unwrap_err().to_string();
        assert!(
            failure.contains("/cache/posts.wasm is not there") && failure.contains("--components"),
            "{failure}"
        );
    }

    #[test]
    fn an_image_that_is_not_here_is_an_error_that_names_it() {
        let unknown = manifest(&MANIFEST.replace("http-server:", "unknown:"));
        let Err(failure) = Deployment::with_images(&unknown, &image) else { panic!("accepted") };
        let text = failure.to_string();
        assert!(text.contains("unknown:0.27.0") && text.contains("of web"), "{text}");
    }

    #[test]
    fn what_the_host_does_itself_stays_and_has_to_be_allowed() {
        let features = |deployment: Deployment| deployment.features().into_iter().collect::<Vec<_>>();
        assert_eq!(features(deployment()), ["builtin-http-client"]);
        let text = MANIFEST
            .replace("registry.example:5000/wasmcloud/http-server:0.27.0", "wasmcloud+builtin://http-server");
        let deployment = with_images(&text);
        let text = deployment.manifest.to_string();
        assert!(text.contains("image: wasmcloud+builtin://http-server\n"), "{text}");
        assert_eq!(features(deployment), ["builtin-http-client", "builtin-http-server"]);
    }

    #[test]
    fn servers_outside_are_asked_by_the_host_itself() {
        let text = MANIFEST.replace(
            "registry.example:5000/wasmcloud/http-server:0.27.0",
            "ghcr.io/wasmcloud/http-client:0.13.1",
        );
        let tools = Tools::in_folder(Path::new("/cache"), "nats-server".into());
        let deployment = Deployment::here(&manifest(&text), Path::new("/root"), &tools).unwrap();
        assert!(deployment.manifest.images().any(|image| image == "wasmcloud+builtin://http-client"));
        assert!(deployment.providers().any(|provider| provider.image == "http-client"));
    }

    #[test]
    fn on_every_host_is_a_scaler_for_each() {
        let text = MANIFEST.replace("- name: web\n", "- name: httpserver\n").replacen(
            "      traits:\n",
            "      traits:\n        - type: spreadscaler\n          properties: { instances: 7 }\n",
            1,
        );
        let (before, every) = (manifest(&text), on_every_host(&manifest(&text)));
        let first = |manifest: &Manifest, name: &str| {
            let mut manifest = manifest.clone();
            let component = manifest.component_mut(name).unwrap();
            component.traits_mut().first().cloned()
        };
        let daemon = |instances| Some(Trait::new_daemonscaler(Scaler { instances, spread: Vec::new() }));
        assert_eq!((first(&every, "posts"), first(&every, "bus")), (daemon(7), daemon(1)));
        let pinned = first(&every, "httpserver").unwrap();
        assert_eq!(pinned.trait_type, SPREADSCALER_TRAIT);
        let text = every.to_string();
        assert!(text.contains("- name: first\n") && text.contains("host: \"1\"\n"), "{text}");
        let links = |manifest: &Manifest| manifest.to_string().matches("type: link").count();
        assert_eq!(links(&every), links(&before));
        assert_eq!(text.matches("type: daemonscaler").count(), 2, "{text}");
    }
}

//! wadm.yaml, made to run here: its image references become files of this machine, and its addresses those that this lattice
//! has. Nothing else is changed.

use std::path::Path;

use trellis_names as names;

use super::tools::Tools;
use crate::failure::{Failure, Result};

/// The manifest as it is deployed, and what can be seen from outside once it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub text: String,
    pub application: String,
    /// Where the application answers HTTP.
    pub http: String,
    /// Where its components and providers expect NATS.
    pub nats: String,
    pub providers: Vec<Provider>,
    /// The subjects to which the application will have subscribed.
    pub subjects: Vec<String>,
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

impl Manifest {
    /// With image references that this machine has: files below `root`, and archives of providers.
    pub fn read(text: &str, root: &Path, tools: &Tools) -> Result<Self> {
        Self::with_images(text, &|image| {
            let file = match image.strip_prefix("file://") {
                Some(file) => root.join(file),
                None => tools.archive(image_name(image))?,
            };
            Some(format!("file://{}", file.display()))
        })
    }

    fn with_images(text: &str, image: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let application = value_after(text, "metadata:", "name:")
            .ok_or_else(|| incomplete("no `name` in its `metadata`"))?
            .to_owned();
        let (text, providers) = images(text, &application, image)?;
        let http = value(&text, "address:").ok_or_else(|| incomplete("no `address` for HTTP"))?.to_owned();
        let nats = text
            .split_once(NATS_SCHEME)
            .map(|(_, rest)| {
                rest.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or_default().to_owned()
            })
            .ok_or_else(|| incomplete("no `nats://` address"))?;
        let subjects = subjects(&text);
        Ok(Self { text, application, http, nats, providers, subjects })
    }

    /// With other addresses, wherever they are named: one for HTTP, and those of all NATS servers for NATS. `nats://nats-2` is
    /// that server alone.
    #[must_use]
    pub fn at(self, http: &str, nats: &[String]) -> Self {
        let urls: Vec<String> = nats.iter().map(|address| format!("{NATS_SCHEME}{address}")).collect();
        let text = self.text.replace(&format!("{NATS_SCHEME}{}", self.nats), &urls.join(","));
        // The last first: nats-1 is how nats-10 begins.
        let text =
            urls.iter().enumerate().rev().fold(text, |text, (index, url)| {
                text.replace(&format!("{NATS_SCHEME}nats-{}", index + 1), url)
            });
        let text = text.replace(&format!("address: {}", self.http), &format!("address: {http}"));
        let nats = nats.first().cloned().unwrap_or(self.nats);
        Self { text, http: http.to_owned(), nats, ..self }
    }

    /// As it was deployed: with image references of this machine.
    pub fn deployed(text: &str) -> Result<Self> {
        Self::with_images(text, &|image| Some(image.to_owned()))
    }

    /// With so many copies of every log and bucket.
    #[must_use]
    pub fn replicated(self, copies: u8) -> Self {
        let mut lines = Vec::new();
        let mut is_service = false;
        for line in self.text.lines().filter(|line| !line.trim_start().starts_with("replicas:")) {
            lines.push(line.to_owned());
            let text = line.trim_start();
            let indent = &line[..line.len() - text.len()];
            if is_service && text == "properties:" {
                lines.push(format!("{indent}  replicas: \"{copies}\""));
            } else if text.starts_with("bucket:") {
                lines.push(format!("{indent}num_replicas: \"{copies}\""));
            }
            is_service = text.starts_with("- name: ") && text.ends_with("-service");
        }
        lines.push(String::new());
        Self { text: lines.join("\n"), ..self }
    }

    /// That every file is there that a host is to load.
    pub fn expect_files(&self) -> Result<()> {
        let images = self.text.lines().filter_map(|line| line.trim_start().strip_prefix("image: file://"));
        match images.map(str::trim).find(|file| !Path::new(file).is_file()) {
            None => Ok(()),
            Some(file) => Err(Failure::new(format!("{file} is not there, which {} is to run", self.application))
                .remedy("`cargo xtask build --components` builds the components, `cargo xtask lattice build` the providers")),
        }
    }

    /// What a host has to be told to allow, as it is off by default.
    pub fn features(&self) -> Vec<String> {
        let images = self.text.lines().filter_map(|line| line.trim_start().strip_prefix("image: "));
        let builtins = images.filter_map(|image| image.strip_prefix(BUILTIN_SCHEME));
        builtins.map(|name| format!("builtin-{name}")).collect()
    }

    /// The services that answer requests.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.subjects.iter().filter_map(|subject| names::parse_request(subject))
    }
}

/// Every component, and every provider but the HTTP server, on every host: nothing is lost with one of them. The HTTP server
/// has one address, and all hosts are on one machine here: it is for the first to run, since a second one would start, find
/// the address taken, and perhaps be the one that wadm keeps.
pub fn on_every_host(manifest: &str) -> String {
    const DAEMON: &str = "        - type: daemonscaler\n          properties:\n            instances: 1\n";
    const FIRST: &str = concat!(
        "        - type: spreadscaler\n          properties:\n            instances: 1\n",
        "            spread:\n              - name: first\n                requirements:\n                  host: \"1\"\n",
    );
    let mut manifest = manifest.replace("type: spreadscaler", "type: daemonscaler");
    for (provider, scaler) in [("httpserver", FIRST), ("messaging", DAEMON), ("keyvalue", DAEMON)] {
        let name = format!("    - name: {provider}\n");
        let Some((before, at)) = manifest.split_once(&name) else { continue };
        let (entry, after) = at.split_once("\n\n").unwrap_or((at.trim_end(), ""));
        let entry = match entry.split_once("      traits:\n") {
            Some((head, traits)) => format!("{head}      traits:\n{scaler}{traits}"),
            None => format!("{entry}\n      traits:\n{}", scaler.trim_end()),
        };
        manifest = format!("{before}{name}{entry}\n\n{after}");
    }
    manifest
}

/// As tests deploy it on a lattice of so many hosts: with several, each has all of it.
pub fn on_hosts(manifest: &str, hosts: usize) -> String {
    if hosts > 1 { on_every_host(manifest) } else { manifest.to_owned() }
}

fn incomplete(what: &str) -> Failure {
    Failure::new(format!("wadm.yaml has {what}"))
}

/// `http-server` of `registry/wasmcloud/http-server:0.27.0`.
fn image_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

/// With every image reference replaced; and the providers.
fn images(
    text: &str,
    application: &str,
    replace: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<Provider>)> {
    let (mut lines, mut providers, mut name, mut is_provider) = (Vec::new(), Vec::new(), "", false);
    for line in text.lines() {
        if let Some(value) = line.trim_start().strip_prefix("- name: ") {
            name = value.trim();
        }
        if let Some(kind) = line.trim_start().strip_prefix("type: ") {
            is_provider = kind.trim() == "capability";
        }
        let Some(image) = line.trim_start().strip_prefix("image:").map(str::trim) else {
            lines.push(line.to_owned());
            continue;
        };
        let builtin = image.starts_with(BUILTIN_SCHEME).then(|| image.to_owned());
        let here = builtin.or_else(|| replace(image)).ok_or_else(|| {
            Failure::new(format!(
                "`image: {image}` of {name} in wadm.yaml has no counterpart on this machine"
            ))
            .remedy("add a provider to lattice/ and to xtask/src/lattice/tools.rs")
        })?;
        lines.push(line.replace(image, &here));
        if is_provider {
            let image = image_name(image).to_owned();
            providers.push(Provider { id: format!("{application}-{name}"), image });
        }
    }
    lines.push(String::new());
    Ok((lines.join("\n"), providers))
}

/// The value of the first line that starts with `key`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix(key)).map(str::trim)
}

fn value_after<'a>(text: &'a str, start: &str, key: &str) -> Option<&'a str> {
    value(text.split_once(start)?.1, key)
}

/// Of `subscriptions: a|queue,b|queue`, on that line or folded onto the next.
fn subjects(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(inline) = line.trim_start().strip_prefix("subscriptions:").map(str::trim) else { continue };
        let list = if inline.starts_with('>') { lines.next().unwrap_or_default().trim() } else { inline };
        let each = list.split(',').filter_map(|entry| entry.split('|').next());
        found.extend(each.map(|subject| subject.trim().to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
kind: Application
metadata:
  name: shop
spec:
  components:
    - name: posts
      type: component
      properties:
        image: file://build/posts.wasm
      traits:
        - config:
            - name: nats
              properties: { cluster_uris: nats://127.0.0.1:4222 }
    - name: web
      type: capability
      properties:
        image: registry.example:5000/wasmcloud/http-server:0.27.0
      traits:
        - config:
            - name: posts-http
              properties:
                address: 127.0.0.1:8000
    - name: bus
      type: capability
      properties:
        image: registry.example/messaging-nats@sha256:00
      config:
        subscriptions: >-
          deliver.posts|posts,svc.posts|posts
";

    fn image(image: &str) -> Option<String> {
        match image_name(image) {
            "unknown" => None,
            name => Some(format!("file:///cache/{name}")),
        }
    }

    fn read() -> Manifest {
        Manifest::with_images(MANIFEST, &image).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn changed(manifest: &Manifest) -> Vec<&str> {
        let pairs = MANIFEST.lines().zip(manifest.text.lines());
        pairs.filter(|(before, after)| before != after).map(|(_, after)| after.trim()).collect()
    }

    #[test]
    fn only_image_references_change() {
        let manifest = read();
        assert_eq!(
            changed(&manifest),
            [
                "image: file:///cache/posts.wasm",
                "image: file:///cache/http-server",
                "image: file:///cache/messaging-nats"
            ]
        );
        assert_eq!(manifest.text.lines().count(), MANIFEST.lines().count());
    }

    #[test]
    fn what_to_expect_is_read_from_it() {
        let manifest = read();
        assert_eq!(manifest.application, "shop");
        assert_eq!((manifest.http.as_str(), manifest.nats.as_str()), ("127.0.0.1:8000", "127.0.0.1:4222"));
        assert_eq!(manifest.subjects, ["deliver.posts", "svc.posts"]);
        assert_eq!(manifest.services().collect::<Vec<_>>(), ["posts"]);
        let ids: Vec<_> = manifest.providers.iter().map(|p| (p.id.as_str(), p.image.as_str())).collect();
        assert_eq!(ids, [("shop-web", "http-server"), ("shop-bus", "messaging-nats")]);
    }

    #[test]
    fn addresses_change_wherever_they_are_named() {
        let manifest = read().at("127.0.0.1:8001", &["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()]);
        assert_eq!((manifest.http.as_str(), manifest.nats.as_str()), ("127.0.0.1:8001", "127.0.0.1:1"));
        let text = &manifest.text;
        assert!(text.contains("cluster_uris: nats://127.0.0.1:1,nats://127.0.0.1:2 }"), "{text}");
        assert!(text.contains("address: 127.0.0.1:8001") && !text.contains(":8000"), "{text}");
    }

    #[test]
    fn one_server_can_be_named() {
        let text = format!("{MANIFEST}\ncluster_uri: nats://nats-2,nats://nats-10\n");
        let manifest = Manifest::with_images(&text, &image).unwrap();
        let servers: Vec<String> = (1..=10).map(|number| format!("127.0.0.1:{number}")).collect();
        let manifest = manifest.at("127.0.0.1:8001", &servers);
        let expected = "cluster_uri: nats://127.0.0.1:2,nats://127.0.0.1:10\n";
        assert!(manifest.text.contains(expected), "{}", manifest.text);
    }

    #[test]
    fn copies_are_asked_for_of_every_log_and_bucket() {
        let text = "\
- name: posts-service
  properties:
    replicas: \"1\"
    other: x
- name: posts-bucket
  properties:
    bucket: posts
";
        let manifest = Manifest { text: text.to_owned(), ..read() }.replicated(3);
        let expected = text.replace("\"1\"", "\"3\"") + "    num_replicas: \"3\"\n";
        assert_eq!(manifest.text, expected);
    }

    #[test]
    fn what_was_deployed_is_read_again() {
        let manifest = read();
        let again = Manifest::deployed(&manifest.text).unwrap();
        let ids = |manifest: &Manifest| -> Vec<String> {
            manifest.providers.iter().map(|provider| provider.id.clone()).collect()
        };
        assert_eq!((&again.text, ids(&again)), (&manifest.text, ids(&manifest)));
    }

    #[test]
    fn a_missing_build_is_named_with_what_makes_it() {
        let failure = read().expect_files().unwrap_err().to_string();
        assert!(
            failure.contains("/cache/posts.wasm is not there") && failure.contains("--components"),
            "{failure}"
        );
    }

    #[test]
    fn an_image_that_is_not_here_is_an_error_that_names_it() {
        let Err(failure) = Manifest::with_images(&MANIFEST.replace("http-server:", "unknown:"), &image)
        else {
            panic!("accepted")
        };
        let text = failure.to_string();
        assert!(text.contains("unknown:0.27.0") && text.contains("of web"), "{text}");
    }

    #[test]
    fn what_the_host_does_itself_stays_and_has_to_be_allowed() {
        assert!(read().features().is_empty());
        let text = MANIFEST
            .replace("registry.example:5000/wasmcloud/http-server:0.27.0", "wasmcloud+builtin://http-server");
        let manifest = Manifest::with_images(&text, &image).unwrap();
        assert!(manifest.text.contains("image: wasmcloud+builtin://http-server\n"), "{}", manifest.text);
        assert_eq!(manifest.features(), ["builtin-http-server"]);
    }

    #[test]
    fn on_every_host_is_a_scaler_for_each() {
        let providers = "\
    - name: posts
      type: component
      traits:
        - type: spreadscaler

    - name: messaging
      type: capability
      properties:
        image: x
      traits:
        - type: link

    - name: httpserver
      type: capability
      traits:
        - type: link

    - name: keyvalue
      type: capability
      properties:
        image: y
";
        let manifest = on_every_host(providers);
        assert_eq!(manifest.matches("- type: daemonscaler").count(), 3, "{manifest}");
        assert_eq!(manifest.matches("      traits:\n").count(), 4, "{manifest}");
        assert_eq!(manifest.matches("- type: link").count(), 2, "{manifest}");
        let pinned = "        - type: spreadscaler\n          properties:\n            instances: 1\n            spread:\n";
        assert!(
            manifest.contains(&format!("      traits:\n{pinned}              - name: first\n")),
            "{manifest}"
        );
    }
}

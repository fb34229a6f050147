//! wadm.yaml, made to run here: its image references become files of this machine, and nothing else is changed, except
//! addresses that are taken.

use std::net::TcpListener;
use std::path::Path;

use super::tools::Tools;
use crate::failure::{Failure, Result};

/// The manifest as it is deployed, and what can be seen from outside once it runs.
#[derive(Debug, PartialEq, Eq)]
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

/// What it should say, in place of what it says.
pub struct Replacements<'a> {
    /// The image references: a provider's archive, or a component's file.
    pub image: &'a dyn Fn(&str) -> Option<String>,
    /// Whether nobody listens at this address.
    pub is_free: &'a dyn Fn(&str) -> bool,
    /// An address at which nobody listens.
    pub free: &'a dyn Fn() -> Result<String>,
}

const NATS_SCHEME: &str = "nats://";

impl Manifest {
    pub fn read(path: &Path, root: &Path, tools: &Tools) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        let image = |image: &str| match image.strip_prefix("file://") {
            Some(file) => Some(format!("file://{}", root.join(file).display())),
            None => tools.archive(image_name(image)).map(|archive| format!("file://{}", archive.display())),
        };
        let is_free = |address: &str| TcpListener::bind(address).is_ok();
        Self::replace(&text, &Replacements { image: &image, is_free: &is_free, free: &free_address })
    }

    pub fn replace(text: &str, with: &Replacements<'_>) -> Result<Self> {
        let application = value_after(text, "metadata:", "name:")
            .ok_or_else(|| incomplete("no `name` in its `metadata`"))?
            .to_owned();
        let (text, providers) = images(text, &application, with.image)?;
        let http = value(&text, "address:").ok_or_else(|| incomplete("no `address` for HTTP"))?.to_owned();
        let nats = text
            .split_once(NATS_SCHEME)
            .map(|(_, rest)| {
                rest.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or_default().to_owned()
            })
            .ok_or_else(|| incomplete("no `nats://` address"))?;
        let (text, http) = move_if_taken(text, http, with)?;
        let (text, nats) = move_if_taken(text, nats, with)?;
        let subjects = subjects(&text);
        Ok(Self { text, application, http, nats, providers, subjects })
    }
}

fn incomplete(what: &str) -> Failure {
    Failure::new(format!("wadm.yaml has {what}"))
}

/// `http-server` of `registry/wasmcloud/http-server:0.27.0`.
fn image_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

/// With every image reference replaced; and the providers, which are what is not a file already.
fn images(
    text: &str,
    application: &str,
    replace: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<Provider>)> {
    let (mut lines, mut providers, mut name) = (Vec::new(), Vec::new(), "");
    for line in text.lines() {
        if let Some(value) = line.trim_start().strip_prefix("- name: ") {
            name = value.trim();
        }
        let Some(image) = line.trim_start().strip_prefix("image:").map(str::trim) else {
            lines.push(line.to_owned());
            continue;
        };
        let here = replace(image).ok_or_else(|| {
            Failure::new(format!(
                "`image: {image}` of {name} in wadm.yaml has no counterpart on this machine"
            ))
            .remedy("add a provider to lattice/ and to xtask/src/lattice/tools.rs")
        })?;
        lines.push(line.replace(image, &here));
        if !image.starts_with("file://") {
            let image = image_name(image).to_owned();
            providers.push(Provider { id: format!("{application}-{name}"), image });
        }
    }
    lines.push(String::new());
    Ok((lines.join("\n"), providers))
}

fn move_if_taken(text: String, address: String, with: &Replacements<'_>) -> Result<(String, String)> {
    if (with.is_free)(&address) {
        return Ok((text, address));
    }
    let other = (with.free)()?;
    eprintln!("xtask: {address} is taken; this lattice uses {other}");
    Ok((text.replace(&address, &other), other))
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

fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.to_string())
        .map_err(|error| Failure::new(format!("no port is free on 127.0.0.1: {error}")))
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
      properties:
        image: file://build/posts.wasm
      traits:
        - config:
            - name: nats
              properties: { cluster_uris: nats://127.0.0.1:4222 }
    - name: web
      properties:
        image: registry.example:5000/wasmcloud/http-server:0.27.0
      traits:
        - config:
            - name: posts-http
              properties:
                address: 127.0.0.1:8000
    - name: bus
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

    fn replace(text: &str, taken: &str) -> Result<Manifest> {
        let is_free = |address: &str| address != taken;
        let free = || Ok("127.0.0.1:5555".to_owned());
        Manifest::replace(text, &Replacements { image: &image, is_free: &is_free, free: &free })
    }

    fn read(taken: &str) -> Manifest {
        replace(MANIFEST, taken).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn changed(manifest: &Manifest) -> Vec<&str> {
        let pairs = MANIFEST.lines().zip(manifest.text.lines());
        pairs.filter(|(before, after)| before != after).map(|(_, after)| after.trim()).collect()
    }

    #[test]
    fn only_image_references_change() {
        let manifest = read("");
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
        let manifest = read("");
        assert_eq!(manifest.application, "shop");
        assert_eq!((manifest.http.as_str(), manifest.nats.as_str()), ("127.0.0.1:8000", "127.0.0.1:4222"));
        assert_eq!(manifest.subjects, ["deliver.posts", "svc.posts"]);
        let ids: Vec<_> = manifest.providers.iter().map(|p| (p.id.as_str(), p.image.as_str())).collect();
        assert_eq!(ids, [("shop-web", "http-server"), ("shop-bus", "messaging-nats")]);
    }

    #[test]
    fn an_address_that_is_taken_is_moved_wherever_it_is_named() {
        let manifest = read("127.0.0.1:4222");
        assert_eq!(manifest.nats, "127.0.0.1:5555");
        assert!(manifest.text.contains("cluster_uris: nats://127.0.0.1:5555 }"));
        assert_eq!(read("127.0.0.1:8000").http, "127.0.0.1:5555");
    }

    #[test]
    fn an_image_that_is_not_here_is_an_error_that_names_it() {
        let Err(failure) = replace(&MANIFEST.replace("http-server:", "unknown:"), "") else {
            panic!("accepted")
        };
        let text = failure.to_string();
        assert!(text.contains("unknown:0.27.0") && text.contains("of web"), "{text}");
    }
}

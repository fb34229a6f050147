//! `wadm.yaml`, as far as it says what a service is linked to, and the same with credentials in it.
//!
//! A configuration belongs to the service that its name begins with: `posts-nats`, `posts-bucket`, `posts-subscriptions`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use trellis_kit::access::Member;
use trellis_manifest::types::ConfigProperty;
use trellis_manifest::{SUBSCRIPTIONS, Subscription};
use trellis_names as names;

use crate::services::Components;

const KINDS: [(&str, Link); 4] = [
    ("-service", Link::None),
    ("-nats", Link::Messages),
    ("-bucket", Link::Bucket),
    ("-subscriptions", Link::Messages),
];

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// The service itself.
    None,
    Messages,
    Bucket,
}

/// What a service has on NATS by its links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    pub buckets: BTreeSet<String>,
    /// Each with its queue group, separated by a blank as NATS writes it.
    pub subscriptions: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Manifest {
    content: trellis_manifest::Manifest,
    links: BTreeMap<String, Links>,
    /// The services that have a configuration of their own.
    configured: BTreeSet<String>,
}

/// What a user signs in with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub jwt: String,
    pub seed: String,
    /// What is before the subjects on which it gets answers.
    pub inbox: String,
}

impl Manifest {
    pub fn read(text: &str) -> Result<Self> {
        let content = trellis_manifest::Manifest::read(text)?;
        let mut links: BTreeMap<String, Links> = BTreeMap::new();
        let mut configured = BTreeSet::new();
        for config in content.configs() {
            let Some((name, link)) = service_of(&config.name) else { continue };
            if link == Link::None {
                configured.insert(name.to_owned());
                continue;
            }
            let setting = |name: &str| config.properties.as_ref()?.get(name);
            if let Some(bucket) = setting("bucket") {
                links.entry(name.to_owned()).or_default().buckets.insert(bucket.clone());
            }
            if let Some(list) = setting(SUBSCRIPTIONS) {
                let each = Subscription::list(list).map(|Subscription { subject, queue }| match queue {
                    Some(queue) => format!("{subject} {queue}"),
                    None => subject.to_owned(),
                });
                links.entry(name.to_owned()).or_default().subscriptions.extend(each);
            }
        }
        Ok(Self { content, links, configured })
    }

    pub fn links(&self, service: &str) -> Links {
        self.links.get(service).cloned().unwrap_or_default()
    }

    /// The services among its components, each of which has all that belongs to one.
    pub fn services(&self, components: &Components<'_>) -> Result<Vec<Member>> {
        let services = components.services(&self.content)?;
        self.expect(&services)?;
        Ok(services)
    }

    fn expect(&self, services: &[Member]) -> Result<()> {
        let known: BTreeSet<&str> = services.iter().map(|member| member.name).collect();
        if let Some(name) = self.links.keys().find(|name| !known.contains(name.as_str())) {
            bail!("the manifest links {name}, but none of its components says that it is that service");
        }
        if let Some(name) = known.iter().find(|name| !self.links.contains_key(**name)) {
            bail!("the manifest has no links of {name}, though a component of it is that service");
        }
        // A configuration may have more in its name, so that one with other contents is another.
        let is_of = |config: &str, service: &str| {
            config.strip_prefix(service).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        if let Some(name) =
            known.iter().find(|service| !self.configured.iter().any(|config| is_of(config, service)))
        {
            bail!("the manifest has no config {name}-service, where {name} is told where JetStream is");
        }
        Ok(())
    }

    /// With the credentials of its service on each link to NATS, and where each service finds JetStream.
    pub fn with(&self, credentials: &BTreeMap<(&str, Link), Credentials>) -> String {
        let mut manifest = self.content.clone();
        for ConfigProperty { name, properties } in manifest.configs_mut() {
            let (Some(of), Some(settings)) = (service_of(name), properties) else { continue };
            if of.1 == Link::None {
                settings.insert("jetstream-api".to_owned(), names::JETSTREAM_OF_SERVICES.to_owned());
            }
            let has_address = ["cluster_uri", "cluster_uris"].iter().any(|name| settings.contains_key(*name));
            if let Some(Credentials { jwt, seed, inbox }) = credentials.get(&of).filter(|_| has_address) {
                let signs_in = [("client_jwt", jwt), ("client_seed", seed), ("custom_inbox_prefix", inbox)];
                settings.extend(signs_in.map(|(name, value)| (name.to_owned(), value.clone())));
            }
        }
        manifest.to_string()
    }
}

/// Whose configuration this is, and which.
fn service_of(config: &str) -> Option<(&str, Link)> {
    KINDS.into_iter().find_map(|(kind, link)| Some((config.strip_suffix(kind)?, link)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    const MANIFEST: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: test
  annotations: { description: test }
spec:
  components:
    - name: posts
      type: component
      properties:
        image: file://posts.wasm
        config:
          - name: posts-service
            properties:
              caller-header: x
      traits:
        - type: link
          properties:
            namespace: wasmcloud
            package: messaging
            interfaces: [consumer]
            target:
              name: messaging
              config:
                - name: posts-nats
                  properties:
                    cluster_uris: nats://a:1
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target:
              name: keyvalue
              config:
                - name: posts-bucket
                  properties:
                    bucket: kept
                    cluster_uri: nats://a:1
                - name: posts-http
                  properties:
                    address: 127.0.0.1:1
    - name: messaging
      type: capability
      properties:
        image: messaging-nats
      traits:
        - type: link
          properties:
            namespace: wasmcloud
            package: messaging
            interfaces: [handler]
            target:
              name: web
            source:
              config:
                - name: web-subscriptions
                  properties:
                    cluster_uris: nats://a:1
                    subscriptions: >-
                      svc.web|web,$SRV.PING
";

    /// A manifest with one configuration.
    fn with_config(name: &str, setting: &str) -> Manifest {
        let before = "kind: k\napiVersion: v\nmetadata:\n  name: test\n  annotations: { description: test }\nspec:\n  components:\n    - name: a\n      type: component\n";
        let config = format!("[{{ name: {name}, properties: {{ {setting} }} }}]");
        Manifest::read(&format!("{before}      properties:\n        config: {config}\n")).unwrap()
    }

    #[test]
    fn what_a_service_has_is_read_from_its_links() {
        let manifest = Manifest::read(MANIFEST).unwrap();
        assert_eq!(manifest.links("posts").buckets, BTreeSet::from(["kept".to_owned()]));
        let heard = manifest.links("web").subscriptions;
        assert_eq!(heard, BTreeSet::from(["svc.web web".to_owned(), "$SRV.PING".to_owned()]));
    }

    #[test]
    fn every_link_gets_credentials_every_service_its_jetstream_and_nothing_else_changes() {
        let credentials = |name: &str| Credentials {
            jwt: format!("{name}-jwt"),
            seed: format!("{name}-seed"),
            inbox: format!("_INBOX.{name}"),
        };
        let all = BTreeMap::from([
            (("posts", Link::Messages), credentials("posts")),
            (("posts", Link::Bucket), credentials("posts-bucket")),
            (("web", Link::Messages), credentials("web")),
        ]);
        let manifest = Manifest::read(MANIFEST).unwrap();
        let (before, with) = (manifest.content.to_string(), manifest.with(&all));
        let is_new = |line: &&str| !before.lines().any(|before| before == *line);
        let (added, kept): (Vec<&str>, Vec<&str>) = with.lines().partition(is_new);
        assert_eq!(kept, before.lines().collect::<Vec<_>>());
        let added: Vec<&str> = added.into_iter().map(str::trim).collect();
        let of = |name: &str| {
            [
                format!("client_jwt: {name}-jwt"),
                format!("client_seed: {name}-seed"),
                format!("custom_inbox_prefix: _INBOX.{name}"),
            ]
        };
        let jetstream = vec!["jetstream-api: trellis.jetstream".to_owned()];
        assert_eq!(
            added,
            [jetstream, of("posts").into(), of("posts-bucket").into(), of("web").into()].concat()
        );
        assert_eq!(Manifest::read(&with).unwrap().links, manifest.links);
    }

    /// The services of the repository.
    fn all() -> Vec<Member> {
        let text = std::fs::read_to_string("../../wadm.yaml").unwrap();
        let components = Components { manifest: Path::new("../.."), downloaded: None };
        Manifest::read(&text).unwrap().services(&components).unwrap()
    }

    #[test]
    fn a_service_is_what_says_so_of_itself_wherever_its_component_is() {
        let text = std::fs::read_to_string("../../wadm.yaml").unwrap();
        let names =
            |services: &[Member]| services.iter().map(|service| service.name).collect::<BTreeSet<_>>();
        let configs = text.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
        assert_eq!(names(&all()), configs.filter_map(|name| name.strip_suffix("-service")).collect());
        let elsewhere = Manifest::read(&text.replace("file://build/posts.wasm", "registry/posts:1")).unwrap();
        let at = |downloaded| Components { manifest: Path::new("../.."), downloaded };
        let refused = elsewhere.services(&at(None)).unwrap_err().to_string();
        assert!(refused.contains("posts") && refused.contains("--components"), "{refused}");
        assert_eq!(elsewhere.services(&at(Some(Path::new("../../build")))).unwrap(), all());
        let missing = elsewhere.services(&at(Some(Path::new("nowhere")))).unwrap_err().to_string();
        assert!(missing.contains("nowhere/posts.wasm"), "{missing}");
    }

    #[test]
    fn a_service_is_told_where_jetstream_is_whatever_else_the_name_of_its_config_says() {
        let text = std::fs::read_to_string("../../wadm.yaml").unwrap();
        let all = all();
        let renamed = text.replace("- name: posts-service", "- name: posts-of-1a2b-service");
        let renamed = Manifest::read(&renamed).unwrap();
        renamed.expect(&all).unwrap();
        let told = renamed.with(&BTreeMap::new()).matches("jetstream-api: trellis.jetstream").count();
        assert_eq!(told, all.len());
        let without = Manifest::read(&text.replace("- name: posts-service", "- name: else")).unwrap();
        assert!(without.expect(&all).unwrap_err().to_string().contains("posts-service"));
    }

    #[test]
    fn a_service_that_only_one_side_knows_is_an_error_that_names_it() {
        let all = all();
        let stranger = with_config("stranger-nats", "bucket: x");
        assert!(stranger.expect(&all).unwrap_err().to_string().contains("stranger"));
        assert!(with_config("else", "x: y").expect(&all).unwrap_err().to_string().contains("no links of"));
    }
}

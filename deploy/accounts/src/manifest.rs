//! `wadm.yaml`, as far as it says what a service is linked to, and the same with credentials in it.
//!
//! A configuration belongs to the service that its name begins with: `posts-nats`, `posts-bucket`, `posts-subscriptions`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use trellis_kit::access::Member;

use crate::network::JETSTREAM;

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
    text: String,
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
    pub fn read(text: &str) -> Self {
        let mut links: BTreeMap<String, Links> = BTreeMap::new();
        let mut configured = BTreeSet::new();
        let mut lines = text.lines();
        let mut service = None;
        while let Some(line) = lines.next() {
            service = service_after(line, service);
            let Some((name, link)) = service else { continue };
            if link == Link::None {
                configured.insert(name.to_owned());
                continue;
            }
            let line = line.trim_start();
            if let Some(bucket) = line.strip_prefix("bucket:") {
                links.entry(name.to_owned()).or_default().buckets.insert(bucket.trim().to_owned());
            }
            if let Some(inline) = line.strip_prefix("subscriptions:").map(str::trim) {
                let list =
                    if inline.starts_with('>') { lines.next().unwrap_or_default().trim() } else { inline };
                let each = list.split(',').map(|one| one.trim().replace('|', " "));
                links.entry(name.to_owned()).or_default().subscriptions.extend(each);
            }
        }
        Self { text: text.to_owned(), links, configured }
    }

    pub fn links(&self, service: &str) -> Links {
        self.links.get(service).cloned().unwrap_or_default()
    }

    /// That its services are these.
    pub fn expect(&self, services: &[Member]) -> Result<()> {
        let known: BTreeSet<&str> = services.iter().map(|member| member.name).collect();
        if let Some(name) = self.links.keys().find(|name| !known.contains(name.as_str())) {
            bail!(
                "the manifest links {name}, of which deploy/accounts/src/services.rs knows nothing; add it there"
            );
        }
        if let Some(name) = known.iter().find(|name| !self.links.contains_key(**name)) {
            bail!("the manifest has no links of {name}, which is in deploy/accounts/src/services.rs");
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
        let mut lines = Vec::new();
        let mut of = None;
        for line in self.text.lines() {
            lines.push(line.to_owned());
            of = service_after(line, of);
            let text = line.trim_start();
            let indent = &line[..line.len() - text.len()];
            if text == "properties:" && of.is_some_and(|(_, link)| link == Link::None) {
                lines.push(format!("{indent}  jetstream-api: {JETSTREAM}"));
                // Those that come after it are not of this config.
                of = None;
            }
            let is_address = text.starts_with("cluster_uri:") || text.starts_with("cluster_uris:");
            if let Some(Credentials { jwt, seed, inbox }) =
                of.filter(|_| is_address).and_then(|of| credentials.get(&of))
            {
                lines.push(format!("{indent}client_jwt: {jwt}"));
                lines.push(format!("{indent}client_seed: {seed}"));
                lines.push(format!("{indent}custom_inbox_prefix: {inbox}"));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Whose configuration, and which, the lines from this one on are.
fn service_after<'a>(line: &'a str, before: Option<(&'a str, Link)>) -> Option<(&'a str, Link)> {
    match line.trim_start().strip_prefix("- name: ") {
        Some(name) => {
            KINDS.into_iter().find_map(|(kind, link)| Some((name.trim().strip_suffix(kind)?, link)))
        }
        None => before,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MANIFEST: &str = "\
    - name: posts
      config:
        - name: posts-service
          properties:
            caller-header: x
        - name: posts-nats
          properties:
            cluster_uris: nats://a:1
        - name: posts-bucket
          properties:
            bucket: kept
            cluster_uri: nats://a:1
        - name: posts-http
          properties:
            address: 127.0.0.1:1
    - name: messaging
      config:
        - name: web-subscriptions
          properties:
            cluster_uris: nats://a:1
            subscriptions: >-
              svc.web|web,$SRV.PING
";

    #[test]
    fn what_a_service_has_is_read_from_its_links() {
        let manifest = Manifest::read(MANIFEST);
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
        let with = Manifest::read(MANIFEST).with(&all);
        let added: Vec<&str> = with
            .lines()
            .filter(|line| !MANIFEST.lines().any(|before| before == *line))
            .map(str::trim)
            .collect();
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
        assert_eq!(Manifest::read(&with).links, Manifest::read(MANIFEST).links);
    }

    #[test]
    fn a_service_is_told_where_jetstream_is_whatever_else_the_name_of_its_config_says() {
        let text = std::fs::read_to_string("../../wadm.yaml").unwrap();
        let all = crate::services::all();
        let renamed = text.replace("- name: posts-service", "- name: posts-of-1a2b-service");
        let renamed = Manifest::read(&renamed);
        renamed.expect(&all).unwrap();
        let told = renamed.with(&BTreeMap::new()).matches("jetstream-api: trellis.jetstream").count();
        assert_eq!(told, all.len());
        let without = Manifest::read(&text.replace("- name: posts-service", "- name: else"));
        assert!(without.expect(&all).unwrap_err().to_string().contains("posts-service"));
    }

    #[test]
    fn a_service_that_only_one_side_knows_is_an_error_that_names_it() {
        let all = crate::services::all();
        let stranger = Manifest::read("- name: stranger-nats\n  bucket: x\n");
        assert!(stranger.expect(&all).unwrap_err().to_string().contains("stranger"));
        assert!(Manifest::read("").expect(&all).unwrap_err().to_string().contains("no links of"));
    }
}

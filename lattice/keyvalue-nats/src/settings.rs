//! What a link says: which bucket, on which servers, with which credentials.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use async_nats::ServerAddr;
use thiserror::Error;
use wasmcloud_provider_sdk::core::secrets::SecretValue;

const BUCKET: &str = "bucket";
/// Either is taken: the first is what the provider of wasmCloud reads, the second what its messaging provider does.
const SERVERS: [&str; 2] = ["cluster_uri", "cluster_uris"];
const SERVERS_DEFAULT: &str = "nats://127.0.0.1:4222";
const CREATE: &str = "enable_bucket_auto_create";
const REPLICAS: &str = "num_replicas";
const DOMAIN: &str = "js_domain";
const JWT: &str = "client_jwt";
const SEED: &str = "client_seed";
const CA_FILE: &str = "tls_ca_file";
/// As the messaging provider of wasmCloud calls it.
const INBOX: &str = "custom_inbox_prefix";
const KNOWN: [&str; 10] =
    [BUCKET, SERVERS[0], SERVERS[1], CREATE, REPLICAS, DOMAIN, JWT, SEED, CA_FILE, INBOX];

/// The most that JetStream takes.
const REPLICAS_MAX: usize = 5;

#[derive(Clone, PartialEq)]
pub struct Settings {
    pub bucket: String,
    pub servers: Vec<ServerAddr>,
    /// What to create the bucket with if it is missing; without this, a missing bucket is an error.
    pub create: Option<Create>,
    pub domain: Option<String>,
    pub credentials: Option<Credentials>,
    pub ca_file: Option<PathBuf>,
    /// Where answers come: a subject below which nobody else need listen.
    pub inbox: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create {
    pub num_replicas: usize,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub jwt: String,
    pub seed: String,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    #[error("the link's config names no `bucket`")]
    NoBucket,
    #[error("`bucket: {0}` is not a name for a bucket: letters, digits, - and _ only, at most 64")]
    BucketName(String),
    #[error("`{name}: {value}` is not the address of a NATS server (such as nats://127.0.0.1:4222)")]
    Server { name: &'static str, value: String },
    #[error("`{name}: {value}` should be {expected}")]
    Value { name: &'static str, value: String, expected: &'static str },
    #[error("`client_jwt` and `client_seed` belong together, and one of them is missing")]
    Credentials,
}

impl Settings {
    /// From the link's config over the provider's; secrets win over both.
    pub fn read(
        provider: &HashMap<String, String>,
        link: &HashMap<String, String>,
        secrets: &HashMap<String, SecretValue>,
    ) -> Result<Self, SettingsError> {
        let get = |name: &str| link.get(name).or_else(|| provider.get(name)).map(|value| value.trim());
        let secret = |name: &str| secrets.get(name).and_then(SecretValue::as_string).or_else(|| get(name));
        Ok(Self {
            bucket: bucket(get(BUCKET))?,
            servers: servers(get)?,
            create: create(get)?,
            domain: get(DOMAIN).filter(|domain| !domain.is_empty()).map(str::to_owned),
            credentials: match (secret(JWT), secret(SEED)) {
                (None, None) => None,
                (Some(jwt), Some(seed)) => Some(Credentials { jwt: jwt.to_owned(), seed: seed.to_owned() }),
                _ => return Err(SettingsError::Credentials),
            },
            ca_file: get(CA_FILE).map(PathBuf::from),
            inbox: get(INBOX).map(str::to_owned),
        })
    }

    /// The keys of a link's config that mean nothing here: most likely misspelt.
    pub fn unknown(link: &HashMap<String, String>) -> Vec<&str> {
        let mut unknown: Vec<&str> =
            link.keys().map(String::as_str).filter(|key| !KNOWN.contains(key)).collect();
        unknown.sort_unstable();
        unknown
    }

    /// The servers as one would write them; what a password would be part of is left out.
    pub fn servers_text(&self) -> String {
        let each = self.servers.iter().map(|server| format!("{}:{}", server.host(), server.port()));
        each.collect::<Vec<_>>().join(", ")
    }
}

fn bucket(name: Option<&str>) -> Result<String, SettingsError> {
    let name = name.filter(|name| !name.is_empty()).ok_or(SettingsError::NoBucket)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.len() > 64 || !name.bytes().all(allowed) {
        return Err(SettingsError::BucketName(name.to_owned()));
    }
    Ok(name.to_owned())
}

fn servers<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Vec<ServerAddr>, SettingsError> {
    let found = SERVERS.into_iter().find_map(|name| get(name).map(|list| (name, list)));
    let (name, list) = found.unwrap_or((SERVERS[0], SERVERS_DEFAULT));
    let each = list.split(',').map(str::trim).map(|server| {
        let refused = || SettingsError::Server { name, value: server.to_owned() };
        if server.is_empty() { Err(refused()) } else { server.parse().map_err(|_| refused()) }
    });
    each.collect()
}

fn create<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Create>, SettingsError> {
    let wanted = match get(CREATE).map(str::to_ascii_lowercase).as_deref() {
        Some("true") => true,
        None | Some("false") => false,
        Some(other) => {
            let value = other.to_owned();
            return Err(SettingsError::Value { name: CREATE, value, expected: "\"true\" or \"false\"" });
        }
    };
    let num_replicas = match get(REPLICAS) {
        None => 1,
        Some(text) => text.parse().ok().filter(|n| (1..=REPLICAS_MAX).contains(n)).ok_or_else(|| {
            SettingsError::Value { name: REPLICAS, value: text.to_owned(), expected: "a number from 1 to 5" }
        })?,
    };
    Ok(wanted.then_some(Create { num_replicas }))
}

impl fmt::Debug for Settings {
    /// Without what is secret: this is logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, servers: _, create, domain, credentials, ca_file, inbox } = self;
        f.debug_struct("Settings")
            .field("bucket", bucket)
            .field("servers", &self.servers_text())
            .field("create", create)
            .field("domain", domain)
            .field("has_credentials", &credentials.is_some())
            .field("ca_file", ca_file)
            .field("inbox", inbox)
            .finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn read(link: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(&HashMap::new(), &map(link), &HashMap::new())
    }

    #[test]
    fn a_bucket_is_all_that_a_link_must_name() {
        let settings = read(&[("bucket", "posts")]).unwrap();
        assert_eq!(settings.bucket, "posts");
        assert_eq!(settings.servers_text(), "127.0.0.1:4222");
        assert_eq!(settings.create, None);
    }

    #[test]
    fn the_link_wins_over_the_provider_and_secrets_over_both() {
        let provider = map(&[("bucket", "a"), ("cluster_uri", "nats://one:1"), ("client_seed", "s1")]);
        let link = map(&[("bucket", "b"), ("client_jwt", "j1")]);
        let secrets = HashMap::from([("client_seed".to_owned(), SecretValue::String("s2".to_owned()))]);
        let settings = Settings::read(&provider, &link, &secrets).unwrap();
        assert_eq!((settings.bucket.as_str(), settings.servers_text().as_str()), ("b", "one:1"));
        assert_eq!(settings.credentials, Some(Credentials { jwt: "j1".to_owned(), seed: "s2".to_owned() }));
    }

    #[test]
    fn several_servers_under_either_name() {
        for name in SERVERS {
            let settings = read(&[("bucket", "b"), (name, "nats://a:1, nats://u:secret@b:2")]).unwrap();
            assert_eq!(settings.servers_text(), "a:1, b:2");
            assert!(!format!("{settings:?}").contains("secret"));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_named() {
        let value =
            |name, value: &str, expected| SettingsError::Value { name, value: value.to_owned(), expected };
        let cases = [
            (vec![], SettingsError::NoBucket),
            (vec![("bucket", "")], SettingsError::NoBucket),
            (vec![("bucket", "a.b")], SettingsError::BucketName("a.b".to_owned())),
            (
                vec![("bucket", "b"), ("cluster_uri", "nats://a:1,")],
                SettingsError::Server { name: "cluster_uri", value: String::new() },
            ),
            (
                vec![("bucket", "b"), ("enable_bucket_auto_create", "yes")],
                value(CREATE, "yes", "\"true\" or \"false\""),
            ),
            (vec![("bucket", "b"), ("num_replicas", "6")], value(REPLICAS, "6", "a number from 1 to 5")),
            (vec![("bucket", "b"), ("client_jwt", "j")], SettingsError::Credentials),
        ];
        for (link, expected) in cases {
            assert_eq!(read(&link).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_misspelt_key_is_noticed() {
        let link = map(&[("bucket", "b"), ("cluster_url", "nats://a:1"), ("buckets", "c")]);
        assert_eq!(Settings::unknown(&link), ["buckets", "cluster_url"]);
    }
}

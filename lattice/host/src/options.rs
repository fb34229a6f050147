//! The command line and the variables, named as those of the official host, and what they become.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Parser};
use nkeys::KeyPair;
use wasmcloud_host::WasmbusHostConfig;
use wasmcloud_host::url::Url;
use wasmcloud_host::wasmbus::Features;

/// The wasmCloud release whose host crate this is built from; `wash` compares it.
const WASMCLOUD_VERSION: &str = "1.9.2";

/// `wash up --label zone=a` hands labels over as variables of this name.
const LABEL_VARIABLE: &str = "WASMCLOUD_LABEL_";

#[derive(Parser, Debug)]
#[command(name = "wasmcloud_host", version = WASMCLOUD_VERSION, about = "A wasmCloud host")]
pub struct Options {
    /// Where NATS listens, for requests between components and for control
    #[arg(long, env = "WASMCLOUD_NATS_HOST", default_value = "127.0.0.1")]
    nats_host: String,
    #[arg(long, env = "WASMCLOUD_NATS_PORT", default_value_t = 4222)]
    nats_port: u16,
    /// Where NATS listens for requests between components, if elsewhere
    #[arg(long, env = "WASMCLOUD_RPC_HOST")]
    rpc_host: Option<String>,
    #[arg(long, env = "WASMCLOUD_RPC_PORT")]
    rpc_port: Option<u16>,
    /// Where NATS listens for control, if elsewhere
    #[arg(long, env = "WASMCLOUD_CTL_HOST")]
    ctl_host: Option<String>,
    #[arg(long, env = "WASMCLOUD_CTL_PORT")]
    ctl_port: Option<u16>,
    /// A file with the credentials of a NATS user: the host's and, for what hosts and providers say to each other, that of
    /// its providers
    #[arg(long, env = "WASMCLOUD_NATS_CREDS")]
    nats_creds: Option<PathBuf>,
    /// The lattice to join
    #[arg(long, short = 'x', env = "WASMCLOUD_LATTICE", default_value = "default")]
    lattice: String,
    /// The JetStream domain of the host's own buckets
    #[arg(long, env = "WASMCLOUD_JS_DOMAIN")]
    js_domain: Option<String>,
    /// Let `file://` references load components and providers from this machine
    #[arg(long, env = "WASMCLOUD_ALLOW_FILE_LOAD", action = ArgAction::Set, num_args = 0..=1,
          default_value_t = false, default_missing_value = "true")]
    allow_file_load: bool,
    /// A label by which manifests place things, `key=value`; may be repeated
    #[arg(long, short = 'l', value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// How long a call from a component to a provider may take
    #[arg(long, env = "WASMCLOUD_RPC_TIMEOUT_MS", default_value_t = 2_000)]
    rpc_timeout_ms: u64,
    /// How long one call into a component may take
    #[arg(long, env = "WASMCLOUD_MAX_EXECUTION_TIME_MS", default_value_t = 600_000)]
    max_execution_time_ms: u64,
    /// How long a provider may take to stop before it is killed
    #[arg(long, env = "WASMCLOUD_PROV_SHUTDOWN_DELAY_MS", default_value_t = 300)]
    provider_shutdown_delay_ms: u64,
    /// How the subjects begin on which secrets are asked for; without it, no component has any
    #[arg(long, env = "WASMCLOUD_SECRETS_TOPIC")]
    secrets_topic: Option<String>,
    /// How often the host says that it lives; wadm forgets a host that was silent for a while
    #[arg(long, env = "WASMCLOUD_HEARTBEAT_INTERVAL_SECONDS", default_value_t = 30)]
    heartbeat_interval_seconds: u64,
    /// Features that are off by default, such as `builtin-http-server`
    #[arg(long, env = "WASMCLOUD_EXPERIMENTAL_FEATURES", value_delimiter = ',')]
    experimental_features: Vec<String>,
    /// What to log, unless RUST_LOG says so
    #[arg(long, env = "WASMCLOUD_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

impl Options {
    pub fn control_url(&self) -> Result<Url> {
        self.url(self.ctl_host.as_deref(), self.ctl_port)
    }

    pub fn into_configuration(self) -> Result<WasmbusHostConfig> {
        if self.heartbeat_interval_seconds == 0 {
            bail!("--heartbeat-interval-seconds must be at least 1");
        }
        let (jwt, key) = self.nats_creds.as_deref().map(credentials).transpose()?.unzip();
        Ok(WasmbusHostConfig {
            ctl_jwt: jwt.clone(),
            ctl_key: key.clone(),
            rpc_jwt: jwt,
            rpc_key: key,
            ctl_nats_url: self.control_url()?,
            rpc_nats_url: self.url(self.rpc_host.as_deref(), self.rpc_port)?,
            labels: labels(std::env::vars(), self.label),
            lattice: Arc::from(self.lattice),
            js_domain: self.js_domain,
            allow_file_load: self.allow_file_load,
            rpc_timeout: Duration::from_millis(self.rpc_timeout_ms),
            max_execution_time: Duration::from_millis(self.max_execution_time_ms),
            provider_shutdown_delay: Some(Duration::from_millis(self.provider_shutdown_delay_ms)),
            heartbeat_interval: Some(Duration::from_secs(self.heartbeat_interval_seconds)),
            experimental_features: self
                .experimental_features
                .iter()
                .map(|name| Features::from(&**name))
                .sum(),
            secrets_topic_prefix: self.secrets_topic,
            enable_component_auction: true,
            enable_provider_auction: true,
            version: WASMCLOUD_VERSION.to_owned(),
            ..WasmbusHostConfig::default()
        })
    }

    fn url(&self, host: Option<&str>, port: Option<u16>) -> Result<Url> {
        let address =
            format!("nats://{}:{}", host.unwrap_or(&self.nats_host), port.unwrap_or(self.nats_port));
        Url::parse(&address).with_context(|| format!("{address} is not the address of a NATS server"))
    }
}

/// What a user signs in with: what was signed for it, and its key.
fn credentials(file: &Path) -> Result<(String, Arc<KeyPair>)> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the credentials in {}", file.display()))?;
    let mut parts = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('-'));
    let (Some(jwt), Some(seed)) = (parts.next(), parts.next()) else {
        bail!("{} has no credentials of a NATS user, which are a JWT and a seed", file.display());
    };
    let key = KeyPair::from_seed(seed)
        .with_context(|| format!("the seed in {} is none of a NATS user", file.display()))?;
    Ok((jwt.to_owned(), Arc::new(key)))
}

/// Those of the command line win over those of the environment.
fn labels(
    variables: impl Iterator<Item = (String, String)>,
    arguments: Vec<(String, String)>,
) -> HashMap<String, String> {
    let from_environment = variables
        .filter_map(|(name, value)| name.strip_prefix(LABEL_VARIABLE).map(|label| (label.to_owned(), value)));
    from_environment.chain(arguments).collect()
}

fn parse_label(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("a label is `key=value`, and this is `{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn labels_come_from_arguments_and_from_what_wash_sets() {
        let variables =
            [pair("WASMCLOUD_LABEL_zone", "a"), pair("WASMCLOUD_LABEL_disk", "ssd"), pair("HOME", "/")];
        let found = labels(variables.into_iter(), vec![pair("zone", "b")]);
        assert_eq!(found, HashMap::from([pair("zone", "b"), pair("disk", "ssd")]));
    }

    #[test]
    fn a_label_without_a_key_or_a_value_is_refused() {
        assert_eq!(parse_label("zone=a=b").unwrap(), pair("zone", "a=b"));
        assert!(parse_label("zone").unwrap_err().to_string().contains("`zone`"));
        assert!(parse_label("=a").is_err());
    }

    #[test]
    fn credentials_are_what_nats_tools_write_and_anything_else_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            let options = Options::parse_from(["host", "--nats-creds", file.path().to_str().unwrap()]);
            options.into_configuration()
        };
        let seed = KeyPair::new_user().seed().unwrap();
        let configuration = with(&format!(
            "-----BEGIN NATS USER JWT-----\nsigned\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        ));
        let configuration = configuration.unwrap();
        assert_eq!(
            (configuration.ctl_jwt.as_deref(), configuration.rpc_jwt.as_deref()),
            (Some("signed"), Some("signed"))
        );
        assert_eq!(configuration.rpc_key.unwrap().seed().unwrap(), seed);
        for wrong in ["", "signed", "signed\nnot a seed"] {
            let error = with(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&file.path().display().to_string()), "{wrong}: {error}");
        }
    }

    #[test]
    fn control_and_requests_may_go_to_different_servers() {
        let options =
            Options::parse_from(["host", "--nats-port=4300", "--rpc-host=127.0.0.2", "--ctl-port=4301"]);
        let configuration = options.into_configuration().unwrap();
        assert_eq!(configuration.rpc_nats_url.as_str(), "nats://127.0.0.2:4300");
        assert_eq!(configuration.ctl_nats_url.as_str(), "nats://127.0.0.1:4301");
    }
}

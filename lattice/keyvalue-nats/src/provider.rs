//! The provider: which component has which bucket by which link, and its calls.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};
use wasmcloud_provider_sdk::{Context, HostData, LinkConfig, LinkDeleteInfo, Provider};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::patience;
use crate::settings::Settings;

mod generated {
    wit_bindgen_wrpc::generate!({
        world: "provider",
        path: "wit",
        with: {
            "wrpc:keyvalue/store@0.2.0-draft": generate,
            "wrpc:keyvalue/atomics@0.2.0-draft": generate,
            "wrpc:keyvalue/batch@0.2.0-draft": generate,
        },
    });
}
use generated::exports::wrpc::keyvalue::store::{self, KeyResponse};
use generated::exports::wrpc::keyvalue::{atomics, batch};
pub use generated::serve;

/// How long a host waits for a provider if it does not say.
const HOST_WAITS_DEFAULT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct KeyValue {
    config: Arc<HashMap<String, String>>,
    /// How long one call may take.
    limit: Duration,
    links: Arc<RwLock<BTreeMap<LinkId, Link>>>,
}

/// Which component, by which name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LinkId {
    component: String,
    name: String,
}

/// A link, or why it was refused: a component that calls nevertheless is told.
type Link = std::result::Result<Arc<Bucket>, String>;

impl KeyValue {
    pub fn from_host_data(host_data: &HostData) -> Self {
        let host_waits = host_data.default_rpc_timeout_ms.map_or(HOST_WAITS_DEFAULT, Duration::from_millis);
        Self {
            config: Arc::new(host_data.config.clone()),
            limit: patience::share_of(host_waits),
            links: Arc::default(),
        }
    }

    async fn link(&self, link: &LinkConfig<'_>) -> Link {
        let unknown = Settings::unknown(link.config);
        if !unknown.is_empty() {
            warn!(
                component = link.source_id,
                "config that means nothing to this provider: {}",
                unknown.join(", ")
            );
        }
        let settings =
            Settings::read(&self.config, link.config, link.secrets).map_err(|error| error.to_string())?;
        info!(component = link.source_id, link = link.link_name, ?settings, "linked");
        let bucket = Bucket::new(&settings, self.limit).await.map_err(|error| error.to_string())?;
        let bucket = Arc::new(bucket);
        tokio::spawn(open_early(Arc::clone(&bucket)));
        Ok(bucket)
    }

    fn bucket(&self, context: Option<&Context>, link: &str) -> Result<Arc<Bucket>> {
        let component = context.and_then(|context| context.component.clone()).unwrap_or_default();
        let id = LinkId { component, name: link.to_owned() };
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        match links.get(&id) {
            Some(Ok(bucket)) => Ok(Arc::clone(bucket)),
            Some(Err(why)) => {
                Err(Error::LinkRefused { component: id.component, link: id.name, why: why.clone() })
            }
            None => Err(Error::NotLinked { component: id.component, link: id.name }),
        }
    }

    fn put(&self, id: LinkId, link: Link) {
        self.links.write().unwrap_or_else(PoisonError::into_inner).insert(id, link);
    }
}

/// So that the bucket is there, or the log says why not, before the first call.
async fn open_early(bucket: Arc<Bucket>) {
    if let Err(error) = bucket.open().await {
        warn!(bucket = bucket.name, "the bucket is not open yet, and will be tried by each call: {error}");
    }
}

impl Provider for KeyValue {
    async fn receive_link_config_as_target(&self, config: LinkConfig<'_>) -> anyhow::Result<()> {
        let id = LinkId { component: config.source_id.to_owned(), name: config.link_name.to_owned() };
        let link = self.link(&config).await;
        let refused = link.as_ref().err().cloned();
        self.put(id, link);
        match refused {
            None => Ok(()),
            Some(why) => {
                warn!(component = config.source_id, link = config.link_name, "link refused: {why}");
                Err(anyhow::anyhow!(why))
            }
        }
    }

    async fn delete_link_as_target(&self, info: impl LinkDeleteInfo) -> anyhow::Result<()> {
        let id = LinkId { component: info.get_source_id().to_owned(), name: info.get_link_name().to_owned() };
        self.links.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    async fn shutdown(&self) -> anyhow::Result<()> {
        self.links.write().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
}

/// What a component gets: the inner result. The outer one is for failures of wRPC itself.
type Answer<T> = anyhow::Result<std::result::Result<T, store::Error>>;

#[expect(clippy::unnecessary_wraps, reason = "the generated traits want both results")]
fn answer<T>(call: impl Display, result: Result<T>) -> Answer<T> {
    Ok(result.map_err(|error| {
        warn!("{call}: {error}");
        match error {
            Error::NotLinked { .. } => store::Error::NoSuchStore,
            other => store::Error::Other(other.to_string()),
        }
    }))
}

impl store::Handler<Option<Context>> for KeyValue {
    async fn get(&self, context: Option<Context>, bucket: String, key: String) -> Answer<Option<Bytes>> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.get(&key).await };
        answer("get", work.await)
    }

    async fn set(&self, context: Option<Context>, bucket: String, key: String, value: Bytes) -> Answer<()> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.set(&key, value).await };
        answer("set", work.await)
    }

    async fn delete(&self, context: Option<Context>, bucket: String, key: String) -> Answer<()> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.delete(&key).await };
        answer("delete", work.await)
    }

    async fn exists(&self, context: Option<Context>, bucket: String, key: String) -> Answer<bool> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.exists(&key).await };
        answer("exists", work.await)
    }

    async fn list_keys(
        &self,
        context: Option<Context>,
        bucket: String,
        cursor: Option<u64>,
    ) -> Answer<KeyResponse> {
        let work = async {
            let page = self.bucket(context.as_ref(), &bucket)?.list_keys(cursor).await?;
            Ok(KeyResponse { keys: page.keys, cursor: page.cursor })
        };
        answer("list-keys", work.await)
    }
}

impl atomics::Handler<Option<Context>> for KeyValue {
    async fn increment(
        &self,
        context: Option<Context>,
        bucket: String,
        key: String,
        delta: u64,
    ) -> Answer<u64> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.increment(&key, delta).await };
        answer("increment", work.await)
    }
}

impl batch::Handler<Option<Context>> for KeyValue {
    async fn get_many(
        &self,
        context: Option<Context>,
        bucket: String,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Bytes)>>> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.get_many(keys).await };
        answer("get-many", work.await)
    }

    async fn set_many(
        &self,
        context: Option<Context>,
        bucket: String,
        entries: Vec<(String, Bytes)>,
    ) -> Answer<()> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.set_many(entries).await };
        answer("set-many", work.await)
    }

    async fn delete_many(&self, context: Option<Context>, bucket: String, keys: Vec<String>) -> Answer<()> {
        let work = async { self.bucket(context.as_ref(), &bucket)?.delete_many(keys).await };
        answer("delete-many", work.await)
    }
}

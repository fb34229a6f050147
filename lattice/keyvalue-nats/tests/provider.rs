//! The provider as a host runs it: the program, told on standard input what to connect to, called over wRPC by components.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use async_nats::HeaderMap;
use base64::Engine;
use common::{LIMIT, Nats};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use wasmcloud_provider_sdk::{HostData, InterfaceLinkDefinition};

mod component {
    wit_bindgen_wrpc::generate!({
        world: "component",
        path: "wit",
        with: {
            "wrpc:keyvalue/store@0.2.0-draft": generate,
            "wrpc:keyvalue/atomics@0.2.0-draft": generate,
            "wrpc:keyvalue/batch@0.2.0-draft": generate,
        },
    });
}
use component::wrpc::keyvalue::store::Error;
use component::wrpc::keyvalue::{atomics, batch, store};

const LATTICE: &str = "default";
const PROVIDER: &str = "app-keyvalue";

struct Provider {
    nats: Nats,
    /// Killed with the test.
    child: Child,
    wrpc: wrpc_transport_nats::Client,
}

impl Provider {
    async fn start(links: Vec<InterfaceLinkDefinition>) -> Self {
        Self::start_with(Nats::start(), links).await
    }

    async fn start_with(nats: Nats, links: Vec<InterfaceLinkDefinition>) -> Self {
        let host_data = HostData {
            host_id: "host".to_owned(),
            lattice_rpc_prefix: LATTICE.to_owned(),
            lattice_rpc_url: nats.url(),
            provider_key: PROVIDER.to_owned(),
            link_definitions: links.into_iter().map(|link| with_server(link, &nats)).collect(),
            ..HostData::default()
        };
        let line = base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(&host_data).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyvalue-nats"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let wrpc =
            wrpc_transport_nats::Client::new(nats.client().await, format!("{LATTICE}.{PROVIDER}"), None);
        let provider = Self { child, wrpc: wrpc.await.unwrap(), nats };
        provider.until_it_answers().await;
        provider
    }

    async fn until_it_answers(&self) {
        let answers = async {
            while store::get(&self.wrpc, from("nobody"), "default", "a").await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, answers).await.expect("the provider does not answer");
    }

    async fn tell(&self, what: &str, link: &InterfaceLinkDefinition) {
        let client = self.nats.client().await;
        let subject = format!("wasmbus.rpc.{LATTICE}.{PROVIDER}.linkdefs.{what}");
        client.publish(subject, serde_json::to_vec(link).unwrap().into()).await.unwrap();
        client.flush().await.unwrap();
    }
}

fn link(component: &str, name: &str, config: &[(&str, &str)]) -> InterfaceLinkDefinition {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    InterfaceLinkDefinition {
        source_id: component.to_owned(),
        target: PROVIDER.to_owned(),
        name: name.to_owned(),
        wit_namespace: "wasi".to_owned(),
        wit_package: "keyvalue".to_owned(),
        interfaces: ["store", "atomics", "batch"].map(str::to_owned).into(),
        target_config: config.collect::<HashMap<_, _>>(),
        ..InterfaceLinkDefinition::default()
    }
}

fn with_server(mut link: InterfaceLinkDefinition, nats: &Nats) -> InterfaceLinkDefinition {
    link.target_config.entry("cluster_uri".to_owned()).or_insert_with(|| nats.url());
    link
}

fn bucket(name: &'static str) -> [(&'static str, &'static str); 2] {
    [("bucket", name), ("enable_bucket_auto_create", "true")]
}

/// What a host adds to a component's call.
fn from(component: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("source-id", component);
    Some(headers)
}

#[tokio::test]
async fn every_call_arrives_and_is_answered() {
    let provider = Provider::start(vec![link("posts", "default", &bucket("posts"))]).await;
    let wrpc = &provider.wrpc;
    store::set(wrpc, from("posts"), "default", "a", &"1".into()).await.unwrap().unwrap();
    assert_eq!(store::get(wrpc, from("posts"), "default", "a").await.unwrap().unwrap(), Some("1".into()));
    assert!(store::exists(wrpc, from("posts"), "default", "a").await.unwrap().unwrap());
    assert_eq!(atomics::increment(wrpc, from("posts"), "default", "n", 5).await.unwrap().unwrap(), 5);
    batch::set_many(wrpc, from("posts"), "default", &[("b", &"2".into())]).await.unwrap().unwrap();
    let found = batch::get_many(wrpc, from("posts"), "default", &["b", "x", "a"]).await.unwrap().unwrap();
    assert_eq!(found, [Some(("b".to_owned(), "2".into())), None, Some(("a".to_owned(), "1".into()))]);
    batch::delete_many(wrpc, from("posts"), "default", &["b"]).await.unwrap().unwrap();
    store::delete(wrpc, from("posts"), "default", "n").await.unwrap().unwrap();
    let page = store::list_keys(wrpc, from("posts"), "default", None).await.unwrap().unwrap();
    assert_eq!((page.keys, page.cursor), (vec!["a".to_owned()], None));
}

#[tokio::test]
async fn a_component_reaches_its_own_links_only() {
    let links = vec![
        link("posts", "default", &bucket("posts")),
        link("posts", "archive", &bucket("old")),
        link("orders", "default", &bucket("orders")),
    ];
    let provider = Provider::start(links).await;
    let wrpc = &provider.wrpc;
    for (component, name) in [("posts", "default"), ("posts", "archive"), ("orders", "default")] {
        store::set(wrpc, from(component), name, "a", &format!("{component} {name}").into())
            .await
            .unwrap()
            .unwrap();
    }
    for (component, name) in [("posts", "default"), ("posts", "archive"), ("orders", "default")] {
        let value = store::get(wrpc, from(component), name, "a").await.unwrap().unwrap();
        assert_eq!(value, Some(format!("{component} {name}").into()));
    }
    for (component, name) in [("orders", "archive"), ("web", "default"), ("posts", "orders")] {
        let error = store::get(wrpc, from(component), name, "a").await.unwrap().unwrap_err();
        assert!(matches!(error, Error::NoSuchStore), "{component} {name}: {error:?}");
    }
}

#[tokio::test]
async fn a_link_that_is_refused_tells_its_component_why() {
    let provider = Provider::start(vec![link("posts", "default", &[("bucket", "not.a.name")])]).await;
    let error = store::get(&provider.wrpc, from("posts"), "default", "a").await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Other(why) if why.contains("not.a.name")), "{error:?}");
}

#[tokio::test]
async fn a_component_that_reaches_for_the_bucket_of_another_is_told_that_it_may_not() {
    let may_nothing = "publish: { deny: [\"$JS.API.STREAM.*.KV_orders\"] }";
    let configuration = format!(
        "jetstream {{ store_dir: STORE }}
         accounts {{ A {{ jetstream: enabled, users: [
           {{ user: lattice, password: x }}, {{ user: posts, password: x, permissions: {{ {may_nothing} }} }}
         ] }} }}
         no_auth_user: lattice"
    );
    let nats = Nats::with(&configuration);
    let url = format!("nats://posts:x@{}", nats.address());
    let links = ["posts", "orders"].map(|name| {
        let config = [("bucket", name), ("enable_bucket_auto_create", "true"), ("cluster_uri", url.as_str())];
        link("posts", name, &config)
    });
    let provider = Provider::start_with(nats, links.into()).await;
    let get = async |name| store::get(&provider.wrpc, from("posts"), name, "a").await.unwrap();
    assert_eq!(get("posts").await.unwrap(), None);
    let error = get("orders").await.unwrap_err();
    let names_it = |why: &str| why.contains("may touch its own bucket only") && why.contains("KV_orders");
    assert!(matches!(&error, Error::Other(why) if names_it(why)), "{error:?}");
}

#[tokio::test]
async fn links_come_and_go_while_it_runs() {
    let provider = Provider::start(vec![]).await;
    let link = with_server(link("posts", "default", &bucket("posts")), &provider.nats);
    for _ in 0..2 {
        provider.tell("put", &link).await;
        until(|| async { get(&provider).await.is_ok() }).await;
        provider.tell("del", &link).await;
        until(|| async { matches!(get(&provider).await, Err(Error::NoSuchStore)) }).await;
    }
    assert!(provider.child.id().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_at_once_every_one_is_answered() {
    const CALLERS: usize = 16;
    const CALLS: usize = 1_000;
    let provider = Provider::start(vec![link("posts", "default", &bucket("posts"))]).await;
    store::set(&provider.wrpc, from("posts"), "default", "a", &"1".into()).await.unwrap().unwrap();
    let nats = provider.nats.client().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let nats = nats.clone();
        callers.spawn(async move {
            for _ in 0..CALLS {
                // A client for each call, as a host makes it.
                let wrpc =
                    wrpc_transport_nats::Client::new(nats.clone(), format!("{LATTICE}.{PROVIDER}"), None);
                let wrpc = wrpc.await.unwrap();
                let call = store::get(&wrpc, from("posts"), "default", "a");
                let answer = tokio::time::timeout(LIMIT, call).await.expect("a call was not answered");
                assert_eq!(answer.unwrap().unwrap(), Some("1".into()));
            }
        });
    }
    callers.join_all().await;
}

async fn get(provider: &Provider) -> Result<Option<bytes::Bytes>, Error> {
    store::get(&provider.wrpc, from("posts"), "default", "a").await.unwrap()
}

async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let come_true = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, come_true).await.expect("it did not come to be");
}

//! What the host's tests share: applications made of real components, and requests to them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_store::Store;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `build/<name>.wasm` or `build/test/<name>.wasm`.
pub fn artifact(name: &str) -> PathBuf {
    let path = root().join("build").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `cargo xtask build`", path.display());
    path.canonicalize().unwrap()
}

/// A manifest for one component with every capability, `extra` lines under its properties, and its own bucket.
pub fn manifest(name: &str, wasm: &Path, instances: usize, subscriptions: &str, config: &str) -> String {
    let wasm = wasm.display();
    let handler = if subscriptions.is_empty() { NATS.to_owned() } else { handler(name, subscriptions) };
    format!(
        r#"
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: test, annotations: {{ description: test }} }}
spec:
  components:
    - name: {name}
      type: component
      properties:
        image: file://{wasm}
        config: [{{ name: settings, properties: {{ roles-header: trellis-roles, {config} }} }}]
      traits:
        - {{ type: spreadscaler, properties: {{ instances: {instances} }} }}
        - type: link
          properties: {{ namespace: wasmcloud, package: messaging, interfaces: [consumer], target: {{ name: nats }} }}
        - type: link
          properties: {{ namespace: wasi, package: keyvalue, interfaces: [store, atomics, batch], target: {{ name: kv }} }}
    - name: http
      type: capability
      properties: {{ image: "ghcr.io/wasmcloud/http-server:0.27.0" }}
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {{ name: {name} }}
            source: {{ config: [{{ name: address, properties: {{ address: "127.0.0.1:0" }} }}] }}
{handler}    - name: kv
      type: capability
      properties: {{ image: "ghcr.io/wasmcloud/keyvalue-nats:0.3.0" }}
"#
    )
}

const NATS: &str = r#"
    - name: nats
      type: capability
      properties: { image: "ghcr.io/wasmcloud/messaging-nats:0.27.0" }
"#;

fn handler(name: &str, subscriptions: &str) -> String {
    format!(
        r#"{NATS}      traits:
        - type: link
          properties:
            namespace: wasmcloud
            package: messaging
            interfaces: [handler]
            target: {{ name: {name} }}
            source: {{ config: [{{ name: subscriptions, properties: {{ subscriptions: "{subscriptions}" }} }}] }}
"#
    )
}

/// What `build/posts.wasm` subscribes to.
pub const POSTS: &str = "deliver.posts|posts,svc.posts|posts,trellis.announce|posts";

pub fn application(name: &str, artifact_name: &str, instances: usize, subscriptions: &str) -> Application {
    let text = manifest(name, &artifact(artifact_name), instances, subscriptions, "");
    Application::parse(&root().join("test.yaml"), &text).unwrap()
}

/// `build/posts.wasm`, running on a store in memory.
pub async fn posts(options: Options) -> App {
    let app = App::start(&application("posts", "posts", 4, POSTS), Env::real(Store::in_memory(), options))
        .await
        .unwrap();
    provisioned(&app).await;
    app
}

/// A guest of the test suite, running on a store in memory.
pub async fn guest(name: &str, instances: usize, options: Options) -> App {
    let application = application(name, &format!("test/{name}"), instances, "");
    App::start(&application, Env::real(Store::in_memory(), options)).await.unwrap()
}

/// Waits until posts has made its stream: from then on it takes posts.
pub async fn provisioned(app: &App) {
    for _ in 0..1000 {
        let (status, _) = send(app, "posts", post("probe")).await;
        if status == StatusCode::CREATED {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("posts was not provisioned");
}

pub fn get(path: &str) -> Request<Bytes> {
    Request::get(format!("http://localhost{path}")).body(Bytes::new()).unwrap()
}

pub fn post(title: &str) -> Request<Bytes> {
    let body = serde_json::json!({ "title": title }).to_string();
    Request::post("http://localhost/posts")
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

/// Sends a request without a socket, and reads the whole answer.
pub async fn send(app: &App, component: &str, request: Request<Bytes>) -> (StatusCode, String) {
    let response = app.http(component, request).await.unwrap();
    read(response).await
}

pub async fn read(response: Response<trellis_host::Body>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

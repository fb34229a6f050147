//! What a manifest can get wrong, and how it is told: the line, what is wrong there, and what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use common::{application, artifact, manifest, root};
use expect_test::{Expect, expect};
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::{Application, ManifestError, SubscriptionPlan};
use trellis_store::Store;

const GOOD: &str = r#"apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: test
  annotations: { description: test }
spec:
  components:
    - name: one
      type: component
      properties:
        image: file://build/one.wasm
      traits:
        - type: spreadscaler
          properties: { instances: 7 }
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: kv
    - name: http
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.27.0
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: { name: one }
            source:
              config:
                - name: address
                  properties: { address: "127.0.0.1:8000" }
    - name: kv
      type: capability
      properties:
        image: ghcr.io/wasmcloud/keyvalue-nats:0.3.0
"#;

/// The repository as these manifests see it: `build/one.wasm` is there, `build/other.wasm` is not.
fn parse(text: &str) -> Result<Application, ManifestError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("build")).unwrap();
    std::fs::write(dir.path().join("build/one.wasm"), b"").unwrap();
    Application::parse(&dir.path().join("wadm.yaml"), text)
}

/// The errors of [`GOOD`] with `old` replaced by `new`, without the folder's name.
#[track_caller]
fn check(old: &str, new: &str, expected: Expect) {
    assert!(GOOD.contains(old), "{old:?} is not in the manifest");
    expected.assert_eq(&errors(&GOOD.replacen(old, new, 1)));
}

fn errors(text: &str) -> String {
    let error = parse(text).expect_err("the manifest should have been refused");
    let folder = format!("{}/", error.file.parent().unwrap().display());
    error.to_string().replace(&folder, "")
}

#[test]
fn a_good_manifest_is_understood() {
    let application = parse(GOOD).unwrap();
    let one = &application.components[0];
    assert_eq!((one.name.as_str(), one.instances, one.line), ("one", Some(7), 11));
    assert_eq!(one.imports, ["wasi:keyvalue/store", "wasi:keyvalue/atomics"]);
    assert_eq!(one.buckets.get("default").map(String::as_str), Some("one"));
    assert_eq!(application.http[0].address.to_string(), "127.0.0.1:8000");
}

#[test]
fn the_applications_own_manifest_is_good() {
    artifact("posts");
    let application = Application::read(&root().join("wadm.yaml")).unwrap();
    let posts = application.components.iter().find(|component| component.name == "posts").unwrap();
    let queue = Some("posts".to_owned());
    let deliver = |plan: &&SubscriptionPlan| plan.subject == "deliver.posts" && plan.queue == queue;
    assert!(posts.subscriptions.iter().any(|plan| deliver(&plan)));
    assert_eq!(posts.buckets.get("default").map(String::as_str), Some("posts"));
}

#[test]
fn capabilities_that_are_not_served() {
    check(
        "http-server:0.27.0",
        "blobstore-fs:1.0.0",
        expect![[
            r#"wadm.yaml:25: the image of http, "ghcr.io/wasmcloud/blobstore-fs:1.0.0", is no capability that this host serves; use one whose name says what it provides: http-server, http-client, messaging-nats, keyvalue"#
        ]],
    );
    check(
        "keyvalue-nats:0.3.0",
        "vault:1",
        expect![[
            r#"wadm.yaml:40: the image of kv, "ghcr.io/wasmcloud/vault:1", is no capability that this host serves; use one whose name says what it provides: http-server, http-client, messaging-nats, keyvalue"#
        ]],
    );
}

#[test]
fn links_that_lead_nowhere_or_cannot_be() {
    check(
        "name: kv\n    - name: http",
        "name: kvv\n    - name: http",
        expect![
            "wadm.yaml:20: the link of one goes to kvv, which is not declared; declare it under spec.components, or correct the name"
        ],
    );
    check(
        "target: { name: one }",
        "target: { name: kv }",
        expect![
            "wadm.yaml:31: http and kv cannot be linked by wasi:http/incoming-handler; link a component to a capability that provides the interface, or a capability to a component that exports it"
        ],
    );
    check(
        "[store, atomics]",
        "[store, watch]",
        expect![
            "wadm.yaml:19: one and kv cannot be linked by wasi:keyvalue/watch; link a component to a capability that provides the interface, or a capability to a component that exports it"
        ],
    );
    check(
        "package: keyvalue",
        "package: blobstore",
        expect![[r#"
        wadm.yaml:19: one and kv cannot be linked by wasi:blobstore/store; link a component to a capability that provides the interface, or a capability to a component that exports it
        wadm.yaml:19: one and kv cannot be linked by wasi:blobstore/atomics; link a component to a capability that provides the interface, or a capability to a component that exports it"#]],
    );
}

#[test]
fn links_of_the_wrong_shape() {
    check(
        "namespace: wasi\n            package: keyvalue",
        "package: keyvalue",
        expect![
            "wadm.yaml:16: the link's namespace is missing or not a string; a link has namespace, package, interfaces and target: { name }"
        ],
    );
    check(
        "[store, atomics]",
        "store",
        expect![
            "wadm.yaml:19: the link's interfaces are missing, empty or not a list of strings; a link has namespace, package, interfaces and target: { name }"
        ],
    );
    check(
        "[store, atomics]",
        "[1]",
        expect![
            "wadm.yaml:19: the link's interfaces are missing, empty or not a list of strings; a link has namespace, package, interfaces and target: { name }"
        ],
    );
    check(
        "target: { name: one }",
        "target: []",
        expect![
            "wadm.yaml:32: the link's target is missing or has no name; a link has namespace, package, interfaces and target: { name }"
        ],
    );
    check(
        "properties: { address: \"127.0.0.1:8000\" }",
        "properties: { address: 8000 }",
        expect![
            "wadm.yaml:33: a config of the link's source is not of the right shape: invalid type: integer `8000`, expected a string; a link has namespace, package, interfaces and target: { name }"
        ],
    );
}

#[test]
fn settings_that_cannot_be_honoured() {
    check(
        "address: \"127.0.0.1:8000\"",
        "address: localhost",
        expect![[
            r#"wadm.yaml:36: "localhost" is not an address to listen on; write an IP address and a port, such as 127.0.0.1:8000"#
        ]],
    );
    check(
        "address: \"127.0.0.1:8000\"",
        "cors: \"*\"",
        expect![[r#"
        wadm.yaml:33: the link from http to one has no address; add source: { config: [{ name: ..., properties: { address: "127.0.0.1:8000" } }] }
        wadm.yaml:36: the setting cors is not honoured by http here; remove it; known are address, default_address, cors_allowed_origins"#]],
    );
    check(
        "properties: { address: \"127.0.0.1:8000\" }",
        "comment: none",
        expect![
            "wadm.yaml:33: a config of the link's source is not of the right shape: unknown field `comment`, expected `name` or `properties`; a link has namespace, package, interfaces and target: { name }"
        ],
    );
    check(
        "- name: address\n                  properties: { address: \"127.0.0.1:8000\" }",
        "- name: elsewhere",
        expect![[r#"
        wadm.yaml:33: the link from http to one has no address; add source: { config: [{ name: ..., properties: { address: "127.0.0.1:8000" } }] }
        wadm.yaml:35: the config elsewhere has no properties anywhere in this manifest; add its properties: this host has no store of named configs"#]],
    );
}

#[test]
fn components_that_cannot_be_had() {
    check(
        "file://build/one.wasm",
        "file://build/other.wasm",
        expect!["wadm.yaml:11: build/other.wasm does not exist; run `cargo xtask build`"],
    );
    check(
        "file://build/one.wasm",
        "ghcr.io/trellis/one:1.0.0",
        expect![
            "wadm.yaml:11: ghcr.io/trellis/one:1.0.0 is a registry reference, and this host does not download; build it and write file://build/<name>.wasm"
        ],
    );
    check(
        "- name: kv\n      type: capability",
        "- name: one\n      type: capability",
        expect![[r#"
        wadm.yaml:20: the link of one goes to kv, which is not declared; declare it under spec.components, or correct the name
        wadm.yaml:37: one is declared twice, first on line 8; rename one of them"#]],
    );
    check(
        "- name: one",
        "- name: one/two",
        expect![[r#"
        wadm.yaml:8: "one/two" is not a name; use up to 64 letters, digits, - and _
        wadm.yaml:20: "one/two" cannot be the name of a bucket; use up to 64 letters, digits, - and _
        wadm.yaml:32: the link of http goes to one, which is not declared; declare it under spec.components, or correct the name"#]],
    );
}

#[test]
fn traits_that_are_not_known() {
    check(
        "type: spreadscaler",
        "type: autoscaler",
        expect![
            "wadm.yaml:13: the trait type autoscaler is not known; known are link, spreadscaler and daemonscaler"
        ],
    );
    check(
        "{ instances: 7 }",
        "{ instances: 0 }",
        expect!["wadm.yaml:12: 0 instances cannot be had; ask for 1 to 10000"],
    );
    check(
        "{ instances: 7 }",
        "{ replicas_max: 2 }",
        expect!["wadm.yaml:13: the spreadscaler has no instances; write properties: { instances: 10 }"],
    );
}

#[test]
fn secrets_that_cannot_be_given() {
    const ONE: &str = "        image: file://build/one.wasm";
    let secret = |properties: &str| {
        format!("{ONE}\n        secrets:\n          - name: key\n            properties: {{ {properties} }}")
    };
    check(
        ONE,
        &secret("policy: vault, key: a"),
        expect![
            "wadm.yaml:13: the secret key has the policy vault, which is not declared; declare it under spec.policies, with the type policy.secret.wasmcloud.dev/v1alpha1"
        ],
    );
    let declared = |kind: &str| {
        let policy = format!(
            "spec:\n  policies: [{{ name: vault, type: {kind}, properties: {{ backend: nats-kv }} }}]"
        );
        GOOD.replace("spec:", &policy)
    };
    let vault = declared("policy.secret.wasmcloud.dev/v1alpha1");
    let application = parse(&vault.replace(ONE, &secret("policy: vault, key: a"))).unwrap();
    let [plan] = application.components[0].secrets.as_slice() else { panic!("{application:?}") };
    assert_eq!((plan.line, plan.name.as_str(), plan.key.as_str()), (14, "key", "a"));
    expect!["wadm.yaml:14: the secret key is a field or a version of one, and here are whole ones; leave out field and version, or deploy on a lattice"]
        .assert_eq(&errors(&vault.replace(ONE, &secret("policy: vault, key: a, field: b"))));
    let twice = format!(
        "{}\n          - name: key\n            properties: {{ policy: vault, key: b }}",
        secret("policy: vault, key: a")
    );
    expect!["wadm.yaml:16: there are two secrets key; rename one of them"]
        .assert_eq(&errors(&vault.replace(ONE, &twice)));
    expect!["wadm.yaml:7: policies of the type policy.opa are not honoured here; remove it, or deploy on a lattice"]
        .assert_eq(&errors(&declared("policy.opa")));
}

#[test]
fn headers_and_syntax() {
    check(
        "core.oam.dev/v1beta1",
        "core.oam.dev/v1",
        expect!["wadm.yaml:1: apiVersion core.oam.dev/v1 is not known; write core.oam.dev/v1beta1"],
    );
    check(
        "kind: Application",
        "kind: Deployment",
        expect!["wadm.yaml:2: kind Deployment is not known; write Application"],
    );
    check(
        "  name: test\n",
        "",
        expect!["wadm.yaml:3: missing field `name`; see https://wasmcloud.com/docs/ecosystem/wadm/model"],
    );
    check(
        "type: component",
        "type: actors",
        expect![
            "wadm.yaml:8: unknown variant `actors`, expected one of `actor`, `component`, `capability`; see https://wasmcloud.com/docs/ecosystem/wadm/model"
        ],
    );
    check(
        "spec:",
        "spec: [",
        expect![[
            r#"wadm.yaml:8: not valid YAML: 8:5: "-" is only valid inside a block; correct the syntax"#
        ]],
    );
    check(
        "  annotations: { description: test }",
        "  name: again",
        expect![[
            r#"wadm.yaml:5: not valid YAML: Duplicate key "name" in mapping at 4:3 and 5:3; correct the syntax"#
        ]],
    );
    expect!["wadm.yaml:1: missing field `apiVersion`; see https://wasmcloud.com/docs/ecosystem/wadm/model"]
        .assert_eq(&errors(""));
    expect!["wadm.yaml:1: not valid YAML: 1:1: Top level must be a mapping; correct the syntax"]
        .assert_eq(&errors("- a\n- b\n"));
    expect!["wadm.yaml:1: not valid YAML: 1:7: Unexpected definition of anchor; correct the syntax"]
        .assert_eq(&errors("a: &x [1]\nb: *x\n"));
    expect!["wadm.yaml:1: not valid YAML: more than 64 levels of nesting; correct the syntax"]
        .assert_eq(&errors(&format!("a: {}", "[".repeat(100_000))));
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_lines() {
    let text = GOOD
        .replace("http-server", "ftp-server")
        .replace("one.wasm", "other.wasm")
        .replace("name: kv\n    - name: http", "name: no\n    - name: http");
    expect![[r#"
        wadm.yaml:11: build/other.wasm does not exist; run `cargo xtask build`
        wadm.yaml:20: the link of one goes to no, which is not declared; declare it under spec.components, or correct the name
        wadm.yaml:25: the image of http, "ghcr.io/wasmcloud/ftp-server:0.27.0", is no capability that this host serves; use one whose name says what it provides: http-server, http-client, messaging-nats, keyvalue"#]].assert_eq(&errors(&text));
}

async fn start(application: &Application) -> String {
    match App::start(application, Env::real(Store::in_memory(), Options::default())).await {
        Ok(_) => panic!("the application should not have started"),
        Err(error) => error.to_string().replace(&format!("{}/", root().display()), ""),
    }
}

#[tokio::test]
async fn imports_without_a_link() {
    let text = manifest("posts", &artifact("posts"), 1, common::POSTS, "").replace(
        "namespace: wasmcloud, package: messaging, interfaces: [consumer], target: { name: nats }",
        "name: second, namespace: wasi, package: keyvalue, interfaces: [store], target: { name: kv }",
    );
    let application = Application::parse(&root().join("test.yaml"), &text).unwrap();
    expect!["test.yaml:10: posts imports wasmcloud:messaging/consumer@0.2.0, and no link provides it; add a link from posts to a messaging-nats capability"].assert_eq(&start(&application).await);
}

#[tokio::test]
async fn links_that_the_component_cannot_take() {
    let application = application("hello", "test/hello", 1, "a.b|c");
    expect!["test.yaml:40: hello does not export wasmcloud:messaging/handler, which this link calls; remove the link, or export the interface"].assert_eq(&start(&application).await);
}

#[tokio::test]
async fn files_that_are_no_components() {
    let dir = tempfile::tempdir().unwrap();
    for (contents, reason) in [(&b""[..], "empty"), (b"\0asm\x01\0\0\0", "a core module"), (b"hello", "text")]
    {
        let wasm = dir.path().join("x.wasm");
        std::fs::write(&wasm, contents).unwrap();
        let application =
            Application::parse(Path::new("/test.yaml"), &manifest("x", &wasm, 1, "", "")).unwrap();
        let error = start(&application).await;
        assert!(error.contains("is no component that can be run here"), "{reason}: {error}");
        assert!(error.ends_with("build it again with `cargo xtask build`"), "{reason}: {error}");
    }
}

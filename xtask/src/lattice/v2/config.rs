//! `wadm.yaml` as the config of `wash dev`: one workload with all components.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use trellis_manifest::{FILE, Parts, SUBSCRIPTIONS, Subscription};

use crate::failure::{Failure, Result};
use crate::lattice::manifest::Deployment;

/// How many instances of a component are kept for its next call. One that is made anew opens its bucket anew, which is a
/// request to JetStream.
const KEPT_INSTANCES: u32 = 16;
/// Of all components together; a quarter of two thirds of a fifth of it is how many messages one handles at once.
const CORE_INSTANCES: &str = "4000";

/// The bridge is the component that `wash dev` runs first; the others stand in the order of the manifest, of which the first
/// gets the requests from outside.
pub fn of(deployment: &Deployment, bridge: &Path) -> Result<Value> {
    let subscribed = subscriptions(deployment);
    let manifest = &deployment.manifest;
    let mut settings = BTreeMap::from([("own-bucket", "on")]);
    let mut all = Vec::new();
    for component in manifest.components().iter().filter(|component| !component.is_provider()) {
        let name = &component.name;
        for (key, value) in
            component.own_configs().iter().flat_map(|config| config.properties.iter().flatten())
        {
            // The bridge has one config, which is that of everybody.
            let other = settings.insert(key, value).filter(|other| other != value);
            if let Some(other) = other {
                return Err(Failure::new(format!(
                    "config {key} is {value:?} for {name}, and {other:?} for another"
                ))
                .remedy("components of one workload on wasmCloud 2 share one config: set it alike"));
            }
        }
        let subjects = subscribed.get(name.as_str()).cloned().unwrap_or_default().join(",");
        all.push(json!({
            "name": name,
            "file": component.image().and_then(|image| image.strip_prefix(FILE)),
            "config": { "subscriptions": subjects, "consumer_group": name },
            "poolSize": KEPT_INSTANCES,
        }));
    }
    Ok(json!({
        "build": { "command": "true", "component_path": bridge },
        "dev": {
            "address": deployment.http,
            "data_nats_url": format!("nats://{}", deployment.nats),
            "components": all,
            "environment": { "WASMTIME_POOLING_TOTAL_CORE_INSTANCES": CORE_INSTANCES },
        },
        "workload": { "config": settings },
    }))
}

/// The subjects of each component. The queue of each is the component's name, as it is in the manifest.
fn subscriptions(deployment: &Deployment) -> BTreeMap<&str, Vec<&str>> {
    let mut subscribed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for link in deployment.manifest.components().iter().flat_map(Parts::links) {
        let configs = link.source.iter().flat_map(|source| &source.config);
        let lists = configs.filter_map(|config| config.properties.as_ref()?.get(SUBSCRIPTIONS));
        let subjects = lists.flat_map(|list| Subscription::list(list)).map(|of| of.subject);
        subscribed.entry(&link.target.name).or_default().extend(subjects);
    }
    subscribed
}

#[cfg(test)]
mod tests {
    use trellis_manifest::Manifest;

    use super::*;

    fn ours() -> Deployment {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let text = std::fs::read_to_string(root.join("wadm.yaml")).unwrap();
        let manifest = Manifest::read(&text).unwrap_or_else(|error| panic!("{error}"));
        let deployment = Deployment::of_components(&manifest, Path::new("/app"));
        deployment.unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn every_component_is_there_with_what_it_is_subscribed_to() {
        let config = of(&ours(), Path::new("/app/bridge.wasm")).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(config["build"]["component_path"], "/app/bridge.wasm");
        let all = config["dev"]["components"].as_array().unwrap();
        // Who comes first gets the requests from outside.
        assert_eq!(all[0]["name"], "gateway");
        assert!(all.iter().all(|component| component["config"]["consumer_group"] == component["name"]));
        let posts = all.iter().find(|component| component["name"] == "posts").unwrap();
        assert_eq!(posts["file"], "/app/build/posts.wasm");
        let subjects = posts["config"]["subscriptions"].as_str().unwrap();
        assert!(subjects.starts_with("deliver.posts,svc.posts,trellis.announce,"), "{subjects}");
        assert!(!subjects.contains("wasmbus") && !subjects.contains('|'), "{subjects}");
        let settings = &config["workload"]["config"];
        assert_eq!([&settings["own-bucket"], &settings["caller-header"]], ["on", "trellis-caller"]);
    }

    #[test]
    fn two_settings_for_one_key_are_refused() {
        let mut deployment = ours();
        let of_posts = deployment.manifest.config_mut("posts-service").unwrap();
        of_posts.properties.as_mut().unwrap().insert("caller-header".to_owned(), "other".to_owned());
        let failure = of(&deployment, Path::new("/app/bridge.wasm")).unwrap_err().to_string();
        assert!(failure.contains("caller-header") && failure.contains("\"other\""), "{failure}");
    }
}

//! Edits of the manifest, as whoever runs a lattice makes them.

use std::fs;
use std::net::SocketAddr;

use system::repository;
use trellis_manifest::types::{Component, Spread, SpreadScalerProperty as Scaler, Trait, TraitProperty};
use trellis_manifest::{FILE, Manifest, Parts};
pub use xtask::lattice::on_every_host;

/// With so many instances of every component on each host.
pub fn with_instances(manifest: &Manifest, count: usize) -> Manifest {
    let mut manifest = manifest.clone();
    for component in manifest.components_mut().iter_mut().filter(|component| !component.is_provider()) {
        for (_, scaler) in component.scalers_mut() {
            scaler.instances = count;
        }
    }
    manifest
}

/// With buckets that are read and written by way of this address.
#[track_caller]
pub fn with_buckets_by_way_of(manifest: &Manifest, address: SocketAddr) -> Manifest {
    let mut by_way_of = manifest.clone();
    for (_, url) in by_way_of.settings_mut().filter(|(name, _)| *name == "cluster_uri") {
        *url = format!("nats://{address}");
    }
    assert_ne!(&by_way_of, manifest, "there are buckets");
    by_way_of
}

/// A section that every WebAssembly host passes over: its kind, its length, that of its name, and its name.
const NOTHING_NEW: &[u8] = b"\x00\x08\x07version";

/// With another version of a component, which does the same, and with another name of its config: the one that it has, wadm
/// takes away with the version before.
#[track_caller]
pub fn updated(manifest: &Manifest, component: &str) -> Manifest {
    let (build, file) = (repository().join("build"), format!("{component}.wasm"));
    let (old, new) = (build.join(&file), build.join("updated").join(&file));
    fs::create_dir_all(build.join("updated")).unwrap();
    fs::write(&new, [&fs::read(&old).unwrap(), NOTHING_NEW].concat()).unwrap();
    let mut manifest = manifest.clone();
    let component = manifest.component_mut(component).expect("the component is there");
    *component.image_mut().expect("it has an image") = format!("{FILE}{}", new.display());
    let config = component.own_configs_mut().iter_mut().find_map(|config| {
        let of = config.name.strip_suffix("-service")?.to_owned();
        Some((config, of))
    });
    let (config, of) = config.expect("it has a config");
    config.name = format!("{of}-updated-service");
    manifest
}

/// With these components only, and the providers.
pub fn only(manifest: &Manifest, components: &[&str]) -> Manifest {
    let mut manifest = manifest.clone();
    let all = manifest.components_mut();
    all.retain(|component| component.is_provider() || components.contains(&component.name.as_str()));
    let left: Vec<String> = all.iter().map(|component| component.name.clone()).collect();
    for traits in all.iter_mut().filter_map(|component| component.traits.as_mut()) {
        traits.retain(|of| match &of.properties {
            TraitProperty::Link(link) => left.contains(&link.target.name),
            _ => true,
        });
    }
    manifest
}

const GATEWAY: &str = "gateway";
const HTTP_SERVER: &str = "httpserver";
const MESSAGING: &str = "messaging";

/// With two gateways: on the second host there is nothing but another one, with an HTTP server of its own at this address. They are one
/// service, with one bucket, and an event or a request is given to either.
#[track_caller]
pub fn with_second_gateway(manifest: &Manifest, address: SocketAddr) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.components_mut().iter_mut().for_each(|component| on_host(component, "1"));
    let messaging = manifest.component_mut(MESSAGING).expect("there is a provider of messaging").traits_mut();
    let is_to_gateway = |link: &&Trait| match &link.properties {
        TraitProperty::Link(link) => link.target.name == GATEWAY,
        _ => false,
    };
    let link = messaging.iter().find(is_to_gateway).expect("the gateway is subscribed").clone();
    messaging.push(to_second(link));
    for name in [GATEWAY, HTTP_SERVER] {
        let mut second = manifest.component_mut(name).expect("there is a first").clone();
        second.name = second_of(name);
        on_host(&mut second, "2");
        for config in second.own_configs_mut() {
            config.name = second_of(&config.name);
        }
        *second.traits_mut() = second.traits_mut().drain(..).map(to_second).collect();
        for config in second.configs_mut() {
            if let Some(at) = config.properties.as_mut().and_then(|settings| settings.get_mut("address")) {
                *at = address.to_string();
            }
        }
        manifest.components_mut().push(second);
    }
    manifest
}

fn second_of(name: &str) -> String {
    format!("second-{name}")
}

/// What links the second gateway as this does the first.
fn to_second(mut of_first: Trait) -> Trait {
    if let TraitProperty::Link(link) = &mut of_first.properties {
        if link.target.name == GATEWAY {
            link.target.name = second_of(GATEWAY);
            link.name = link.name.as_deref().map(second_of);
        }
        let configs = link.source.iter_mut().flat_map(|source| &mut source.config);
        for config in configs.chain(&mut link.target.config) {
            config.name = second_of(&config.name);
        }
    }
    of_first
}

/// On this host, and on no other.
fn on_host(component: &mut Component, host: &str) {
    let requirements = [("host".to_owned(), host.to_owned())].into();
    let spread = vec![Spread { name: format!("host-{host}"), requirements, weight: None }];
    let mut scalers = component.scalers_mut().map(|(_, scaler)| scaler).peekable();
    if scalers.peek().is_some() {
        scalers.for_each(|scaler| scaler.spread.clone_from(&spread));
    } else {
        drop(scalers);
        let scaler = Trait::new_spreadscaler(Scaler { instances: 1, spread });
        component.traits_mut().insert(0, scaler);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: a, annotations: { description: test } }
spec:
  components:
    - name: posts
      type: component
      properties: { image: file://posts.wasm }
      traits:
        - type: spreadscaler
          properties:
            instances: 32
    - name: query
      type: component
      properties: { image: file://query.wasm }
    - name: messaging
      type: capability
      properties:
        image: x
      traits:
        - type: link
          properties: { namespace: a, package: b, interfaces: [c], target: { name: posts } }
        - type: link
          properties: { namespace: a, package: b, interfaces: [c], target: { name: query } }
    - name: keyvalue
      type: capability
      properties:
        image: y
";

    #[test]
    fn what_is_left_out_has_no_links() {
        let without = MANIFEST
            .replace(
                "    - name: query\n      type: component\n      properties: { image: file://query.wasm }\n",
                "",
            )
            .replace(
                "        - type: link\n          properties: { namespace: a, package: b, interfaces: [c], target: { name: query } }\n",
                "",
            );
        let [whole, without] = [MANIFEST, &without].map(|text| Manifest::read(text).unwrap());
        assert_ne!(whole, without);
        assert_eq!(only(&whole, &["posts"]).to_string(), without.to_string());
        assert_eq!(only(&whole, &["posts", "query"]).to_string(), whole.to_string());
    }

    #[test]
    fn instances_are_those_of_components() {
        let manifest = Manifest::read(MANIFEST).unwrap();
        let manifest = with_instances(&on_every_host(&manifest), 5).to_string();
        assert_eq!(
            (manifest.matches("instances: 5").count(), manifest.matches("instances: 1\n").count()),
            (1, 2)
        );
    }

    #[test]
    fn two_gateways_differ_in_their_hosts_and_addresses() {
        let (first, second) = ("127.0.0.1:8080", "127.0.0.1:1");
        let manifest = with_second_gateway(&system::configured(&[]), second.parse().unwrap());
        let names: Vec<&str> = manifest.configs().map(|config| config.name.as_str()).collect();
        let once: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), once.len(), "each has a config of its own: {names:?}");
        let addresses: Vec<&str> =
            manifest.settings().filter_map(|(name, value)| (name == "address").then_some(value)).collect();
        assert_eq!(addresses, [first, second]);
        let on_second = manifest.to_string().matches("host: \"2\"").count();
        assert_eq!(on_second, 2, "{manifest}");
        let twice = manifest.subscriptions().filter(|of| of.subject == "deliver.gateway").count();
        assert_eq!(twice, 2, "either is given events");
    }
}

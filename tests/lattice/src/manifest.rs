//! Edits of the manifest, as whoever runs a lattice makes them.

use std::fs;
use std::net::SocketAddr;

use system::repository;
use trellis_manifest::types::TraitProperty;
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
}

//! Edits of the manifest, as whoever runs a lattice makes them.

use std::fs;
use std::net::SocketAddr;

use system::repository;
pub use xtask::lattice::on_every_host;

/// With so many instances of every component on each host.
pub fn with_instances(manifest: &str, count: u32) -> String {
    let mut kind = "";
    let lines = manifest.lines().map(|line| {
        if let Some(found) = line.trim_start().strip_prefix("type: ") {
            kind = found;
        }
        match line.split_once("instances: ") {
            Some((indent, _)) if kind == "component" && indent.trim().is_empty() => {
                format!("{indent}instances: {count}\n")
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// With buckets that are read and written by way of this address.
#[track_caller]
pub fn with_buckets_by_way_of(manifest: &str, address: SocketAddr) -> String {
    let by_way_of =
        manifest.replace("cluster_uri: nats://127.0.0.1:4222", &format!("cluster_uri: nats://{address}"));
    assert_ne!(by_way_of, manifest, "there are buckets");
    by_way_of
}

/// A section that every WebAssembly host passes over: its kind, its length, that of its name, and its name.
const NOTHING_NEW: &[u8] = b"\x00\x08\x07version";

/// With another version of a component, which does the same, and with another name of its config: the one that it has, wadm
/// takes away with the version before.
#[track_caller]
pub fn updated(manifest: &str, component: &str) -> String {
    let (build, file) = (repository().join("build"), format!("{component}.wasm"));
    let (old, new) = (build.join(&file), build.join("updated").join(&file));
    fs::create_dir_all(build.join("updated")).unwrap();
    fs::write(&new, [&fs::read(&old).unwrap(), NOTHING_NEW].concat()).unwrap();
    let [old, new] = [old, new].map(|file| format!("image: file://{}\n", file.display()));
    let (before, after) = manifest.split_once(&old).expect("the component is there");
    format!("{before}{new}{}", after.replacen("-service\n", "-updated-service\n", 1))
}

/// With these components only, and the providers.
pub fn only(manifest: &str, components: &[&str]) -> String {
    let is_kept = |paragraph: &&str| {
        let of = |mark| paragraph.split_once(mark).and_then(|(_, rest)| rest.lines().next());
        let is_component = paragraph.contains("      type: component\n");
        // A link to a component stands by itself, but for the one of the provider that has only that.
        let is_link = paragraph.contains("        - type: link\n") && !paragraph.contains("      type: ");
        let name = match (is_component, is_link) {
            (true, _) => of("- name: "),
            (_, true) => of("            target:\n              name: "),
            _ => None,
        };
        name.is_none_or(|name| components.contains(&name))
    };
    let paragraphs: Vec<&str> = manifest.split("\n\n").filter(is_kept).collect();
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
    - name: posts
      type: component
      traits:
        - type: spreadscaler
          properties:
            instances: 32

    - name: messaging
      type: capability
      properties:
        image: x
      traits:
        - type: link
          properties:
            target:
              name: posts

        - type: link
          properties:
            target:
              name: query

    - name: keyvalue
      type: capability
      properties:
        image: y
";

    #[test]
    fn what_is_left_out_has_no_links() {
        let query = MANIFEST.replacen("- name: posts", "- name: query", 1);
        let query = query.split_once("\n\n").unwrap().0;
        let whole = format!("{query}\n\n{}", MANIFEST);
        let without = MANIFEST.replace(
            "\n        - type: link\n          properties:\n            target:\n              name: query\n",
            "",
        );
        assert_eq!(only(&whole, &["posts"]), without);
        assert_eq!(only(&whole, &["posts", "query"]), whole);
    }

    #[test]
    fn instances_are_those_of_components() {
        let manifest = with_instances(&on_every_host(MANIFEST), 5);
        assert_eq!(
            (manifest.matches("instances: 5").count(), manifest.matches("instances: 1\n").count()),
            (1, 2)
        );
    }
}

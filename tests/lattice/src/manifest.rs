//! Edits of the manifest, as whoever runs a lattice makes them.

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

    - name: keyvalue
      type: capability
      properties:
        image: y
";

    #[test]
    fn instances_are_those_of_components() {
        let manifest = with_instances(&on_every_host(MANIFEST), 5);
        assert_eq!(
            (manifest.matches("instances: 5").count(), manifest.matches("instances: 1\n").count()),
            (1, 2)
        );
    }
}

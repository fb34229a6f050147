//! Edits of the manifest, as whoever runs a lattice makes them.

/// Every component, and every provider but the HTTP server, on every host: nothing is lost with one of them. The HTTP server
/// has one address, and all hosts are on one machine here.
pub fn on_every_host(manifest: &str) -> String {
    let daemon = "        - type: daemonscaler\n          properties:\n            instances: 1\n";
    let mut manifest = manifest.replace("type: spreadscaler", "type: daemonscaler");
    for provider in ["messaging", "keyvalue"] {
        let (before, at) = manifest.split_once(&format!("    - name: {provider}\n")).expect("the provider");
        let (entry, after) = at.split_once("\n\n").unwrap_or((at.trim_end(), ""));
        let entry = match entry.split_once("      traits:\n") {
            Some((head, traits)) => format!("{head}      traits:\n{daemon}{traits}"),
            None => format!("{entry}\n      traits:\n{}", daemon.trim_end()),
        };
        manifest = format!("{before}    - name: {provider}\n{entry}\n\n{after}");
    }
    manifest
}

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
    fn on_every_host_is_a_scaler_for_each() {
        let manifest = on_every_host(MANIFEST);
        assert_eq!(manifest.matches("- type: daemonscaler").count(), 3, "{manifest}");
        assert_eq!(manifest.matches("      traits:\n").count(), 3, "{manifest}");
        assert_eq!(manifest.matches("- type: link").count(), 1, "{manifest}");
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

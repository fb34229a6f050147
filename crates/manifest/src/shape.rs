//! From YAML to the types of wadm.

use serde_json::Value;
use wadm_types::{ConfigProperty, LINK_TRAIT, Manifest};

use crate::lines::Lines;
use crate::problem::{Problem, Unreadable};

/// The manifest as wadm reads it.
pub(crate) fn typed(lines: &Lines) -> Result<Manifest, Unreadable> {
    let value = lines.to_json();
    let misshapen = misshapen_links(lines, &value);
    if !misshapen.is_empty() {
        return Err(Unreadable(misshapen));
    }
    let manifest: Manifest = serde_path_to_error::deserialize(value).map_err(|error| {
        let path: Vec<String> = error.path().iter().map(step).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        Unreadable(vec![Problem {
            line: lines.of(&path),
            what: error.inner().to_string(),
            remedy: "see https://wasmcloud.com/docs/ecosystem/wadm/model".to_owned(),
        }])
    })?;
    // Its client leaves out annotations of which there are none, and wadm does not read a manifest without them.
    if manifest.metadata.annotations.is_empty() {
        return Err(Unreadable(vec![Problem {
            line: lines.of(&["metadata", "annotations"]),
            what: "there are no annotations, and wadm refuses a manifest without any".to_owned(),
            remedy: "say what it is: annotations: { description: ... }".to_owned(),
        }]));
    }
    Ok(manifest)
}

fn step(segment: &serde_path_to_error::Segment) -> String {
    match segment {
        serde_path_to_error::Segment::Seq { index } => index.to_string(),
        other => other.to_string(),
    }
}

/// The wadm types take a link's parts for strings without looking, and a link of the wrong shape for another trait.
fn misshapen_links(lines: &Lines, value: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let components = value.pointer("/spec/components").and_then(Value::as_array);
    for (c, component) in components.into_iter().flatten().enumerate() {
        let traits = component.get("traits").and_then(Value::as_array);
        for (t, link) in traits.into_iter().flatten().enumerate() {
            if link.get("type").and_then(Value::as_str) != Some(LINK_TRAIT) {
                continue;
            }
            if let Err((field, what)) = link_shape(link.get("properties").unwrap_or(&Value::Null)) {
                let (c, t) = (c.to_string(), t.to_string());
                let line = lines.of(&["spec", "components", &c, "traits", &t, "properties", field]);
                let remedy = "a link has namespace, package, interfaces and target: { name }".to_owned();
                problems.push(Problem { line, what, remedy });
            }
        }
    }
    problems
}

fn link_shape(properties: &Value) -> Result<(), (&'static str, String)> {
    for field in ["namespace", "package"] {
        if !properties.get(field).is_some_and(Value::is_string) {
            return Err((field, format!("the link's {field} is missing or not a string")));
        }
    }
    let interfaces = properties.get("interfaces").and_then(Value::as_array);
    if !interfaces.is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string)) {
        return Err((
            "interfaces",
            "the link's interfaces are missing, empty or not a list of strings".to_owned(),
        ));
    }
    if properties.get("name").is_some_and(|name| !name.is_string()) {
        return Err(("name", "the link's name is not a string".to_owned()));
    }
    let target = properties.get("target").unwrap_or(&Value::Null);
    if !target.is_string() && !target.get("name").is_some_and(Value::is_string) {
        return Err(("target", "the link's target is missing or has no name".to_owned()));
    }
    for side in ["source", "target"] {
        let configs = properties.get(side).and_then(|side| side.get("config")).and_then(Value::as_array);
        for config in configs.into_iter().flatten() {
            serde_json::from_value::<ConfigProperty>(config.clone()).map_err(|error| {
                (side, format!("a config of the link's {side} is not of the right shape: {error}"))
            })?;
        }
    }
    Ok(())
}

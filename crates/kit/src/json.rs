//! JSON from callers and operators, read strictly.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::problem::Problem;

/// Reads JSON strictly: 400 if it is none, 422 naming the field if it is not the one expected.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut unknown = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut note = |path: serde_ignored::Path<'_>| {
        // It marks what is optional with a question mark.
        unknown.get_or_insert_with(|| path.to_string().replace(".?", ""));
    };
    let ignoring = serde_ignored::Deserializer::new(&mut reader, &mut note);
    let parsed = serde_path_to_error::deserialize::<_, T>(ignoring);
    let value = parsed.map_err(|error| {
        let field = dotted(error.path());
        let cause = error.into_inner();
        if cause.is_data() { wrong_field(&field, &cause.to_string()) } else { not_json(&cause) }
    })?;
    reader.end().map_err(|error| not_json(&error))?;
    match unknown {
        Some(field) => Err(Problem::invalid(field, "There is no such field.")),
        None => Ok(value),
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed(format!("The body is not JSON: line {}, column {}.", error.line(), error.column()))
}

/// serde reports a field that is missing or there twice at its parent; the caller is told of the field itself.
fn wrong_field(parent: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or_default();
    let named = |before| message.strip_prefix(before).and_then(|rest| rest.strip_suffix('`'));
    let (field, message) = match (named("missing field `"), named("duplicate field `")) {
        (Some(field), _) => (field, "This field is required."),
        (_, Some(field)) => (field, "This field is there twice."),
        (None, None) => return Problem::invalid(parent, message),
    };
    let dot = if parent.is_empty() { "" } else { "." };
    Problem::invalid(format!("{parent}{dot}{field}"), message)
}

/// `tags.1.name`.
fn dotted(path: &serde_path_to_error::Path) -> String {
    let words = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    });
    words.collect::<Vec<_>>().join(".")
}

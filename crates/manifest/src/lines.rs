//! YAML with its line numbers: read into a tree that knows where everything stands, and handed on as JSON values.

use std::fmt::Display;

use marked_yaml::{LoadError, Node, Span};
use serde_json::Value;

use crate::problem::Problem;

/// A file larger than this is not a manifest.
const BYTES_MAX: usize = 1 << 20;
/// Deeper than any manifest goes; the parser's own recursion is what this protects.
const DEPTH_MAX: usize = 64;

/// Where everything stands in a manifest.
#[derive(Debug)]
pub struct Lines {
    root: Node,
}

impl Lines {
    pub(crate) fn parse(text: &str) -> Result<Lines, Problem> {
        if text.len() > BYTES_MAX {
            return Err(malformed(1, &format!("the file has more than {BYTES_MAX} bytes")));
        }
        if let Some(line) = too_deep(text) {
            return Err(malformed(line, &format!("more than {DEPTH_MAX} levels of nesting")));
        }
        let options =
            marked_yaml::LoaderOptions::default().error_on_duplicate_keys(true).prevent_coercion(true);
        match marked_yaml::parse_yaml_with_options(0, text, options) {
            Ok(root) => Ok(Lines { root }),
            Err(error) => Err(malformed(line_of_error(&error), &error)),
        }
    }

    /// The line of what `path` leads to, or of the nearest thing around it that exists. Numbers index lists.
    pub fn of(&self, path: &[&str]) -> usize {
        let mut node = &self.root;
        let mut line = line_of(node.span());
        for step in path {
            let next = match node {
                Node::Mapping(mapping) => {
                    mapping.iter().find(|(key, _)| key.as_str() == *step).map(|(key, value)| {
                        // A key stands where the reader looks; its value may begin lines below.
                        line = line_of(key.span());
                        value
                    })
                }
                Node::Sequence(list) => {
                    step.parse::<usize>().ok().and_then(|i| list.get_node(i)).inspect(|item| {
                        line = line_of(item.span());
                    })
                }
                Node::Scalar(_) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        line
    }

    pub(crate) fn to_json(&self) -> Value {
        to_json(&self.root)
    }
}

/// Flow collections can nest a level per byte and block ones a level per two.
fn too_deep(text: &str) -> Option<usize> {
    let mut flow = 0usize;
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start_matches([' ', '-', '\t']).len();
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => flow += 1,
                b']' | b'}' => flow = flow.saturating_sub(1),
                _ => {}
            }
        }
        if flow > DEPTH_MAX || indent > 4 * DEPTH_MAX {
            return Some(number + 1);
        }
    }
    None
}

fn malformed(line: usize, why: &dyn Display) -> Problem {
    Problem { line, what: format!("not valid YAML: {why}"), remedy: "correct the syntax".to_owned() }
}

fn line_of_error(error: &LoadError) -> usize {
    use LoadError::*;
    let mark = match error {
        TopLevelMustBeMapping(mark)
        | TopLevelMustBeSequence(mark)
        | UnexpectedAnchor(mark)
        | MappingKeyMustBeScalar(mark)
        | UnexpectedTag(mark)
        | ScanError(mark, _) => Some(*mark),
        DuplicateKey(duplicate) => duplicate.key.span().start().copied(),
    };
    mark.map_or(1, |mark| mark.line())
}

fn line_of(span: &Span) -> usize {
    span.start().map_or(1, |mark| mark.line())
}

fn to_json(node: &Node) -> Value {
    match node {
        Node::Mapping(mapping) => Value::Object(
            mapping.iter().map(|(key, value)| (key.as_str().to_owned(), to_json(value))).collect(),
        ),
        Node::Sequence(list) => Value::Array(list.iter().map(to_json).collect()),
        Node::Scalar(scalar) if !scalar.may_coerce() => Value::String(scalar.as_str().to_owned()),
        Node::Scalar(scalar) => match scalar.as_str() {
            "" | "~" | "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
        },
    }
}

//! What is wrong with a manifest.

use std::fmt;

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    pub what: String,
    pub remedy: String,
}

/// All that keeps a text from being a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub Vec<Problem>);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |Problem { line, what, remedy }: &Problem| format!("line {line}: {what}; {remedy}");
        f.write_str(&self.0.iter().map(each).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Unreadable {}

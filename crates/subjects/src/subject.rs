//! Subjects and patterns: dot-separated tokens, checked once when they enter.

use std::fmt;
use std::sync::Arc;

/// The longest subject or pattern. A NATS control line holds at most 4 KiB, and two subjects.
pub const SUBJECT_LEN_MAX: usize = 1024;

/// The most tokens that a subject or pattern has.
pub const SUBJECT_TOKENS_MAX: usize = 128;

/// Why a text is no subject or pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    #[error("subject is empty")]
    Empty,
    #[error("subject is {0} bytes long; the most is {SUBJECT_LEN_MAX}")]
    TooLong(usize),
    #[error("subject has more than {SUBJECT_TOKENS_MAX} tokens")]
    TooManyTokens,
    #[error("subject {0:?} has an empty token: it starts or ends with '.', or contains '..'")]
    EmptyToken(String),
    #[error("subject {0:?} contains white space or a control character")]
    BadCharacter(String),
    #[error("subject {0:?} has '>' before its last token")]
    MisplacedRest(String),
}

/// An exact subject: where a message goes. As on a NATS server, `*` and `>` are tokens like others here; requests to the API
/// carry filters in their subjects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    pub fn new(text: impl AsRef<str>) -> Result<Subject, SubjectError> {
        let text = text.as_ref();
        check_tokens(text)?;
        Ok(Subject(text.into()))
    }

    /// The place for one answer: a prefix that ends in a dot, and a number.
    pub fn inbox(prefix: &'static str, number: u64) -> Subject {
        Subject(format!("{prefix}{number}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a subscription asks for: tokens, `*` for any one token, a last `>` for one or more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    pub fn new(text: impl AsRef<str>) -> Result<Pattern, SubjectError> {
        let text = text.as_ref();
        check_tokens(text)?;
        let mut tokens = text.split('.').rev().skip(1);
        if tokens.any(|token| token == ">") {
            return Err(SubjectError::MisplacedRest(text.to_owned()));
        }
        Ok(Pattern(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_exact(&self) -> bool {
        !has_wildcard(&self.0)
    }

    pub fn matches(&self, subject: &str) -> bool {
        matches(&self.0, subject)
    }

    /// Whether some subject matches both.
    pub fn collides_with(&self, other: &Pattern) -> bool {
        let mut ours = self.0.split('.');
        let mut theirs = other.0.split('.');
        loop {
            match (ours.next(), theirs.next()) {
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(a), Some(b)) if a == b => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// Whether everything that matches `self` matches `other` too.
    pub fn is_subset_of(&self, other: &Pattern) -> bool {
        let mut ours = self.0.split('.');
        let mut theirs = other.0.split('.');
        loop {
            match (ours.next(), theirs.next()) {
                (Some(_), Some(">")) => return true,
                (Some(">"), Some(_)) => return false,
                (Some(_), Some("*")) => {}
                (Some(a), Some(b)) if a == b => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// The part before the first wildcard token, with its dot: what every match starts with.
    pub fn literal_prefix(&self) -> &str {
        let mut end = 0;
        for token in self.0.split_inclusive('.') {
            if is_wildcard(token.trim_end_matches('.')) {
                break;
            }
            end += token.len();
        }
        self.0.get(..end).unwrap_or_default()
    }

    /// `a.b.*` is answered by one index entry: its parent `a.b`.
    pub fn children_of(&self) -> Option<&str> {
        let parent = self.0.strip_suffix(".*")?;
        (!has_wildcard(parent)).then_some(parent)
    }
}

/// Whether a subject fits a pattern: `*` stands for one token, a last `>` for all that follow.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut wanted = pattern.split('.');
    let mut given = subject.split('.');
    loop {
        match (wanted.next(), given.next()) {
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(w), Some(g)) if w == g => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether a text is a pattern for more than one subject.
pub fn has_wildcard(text: &str) -> bool {
    text.split('.').any(is_wildcard)
}

/// The token before the first dot.
pub fn first_token(subject: &str) -> &str {
    subject.split('.').next().unwrap_or_default()
}

fn is_wildcard(token: &str) -> bool {
    token == "*" || token == ">"
}

fn check_tokens(text: &str) -> Result<(), SubjectError> {
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > SUBJECT_LEN_MAX {
        return Err(SubjectError::TooLong(text.len()));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SubjectError::BadCharacter(text.to_owned()));
    }
    let mut tokens = 0;
    for token in text.split('.') {
        if token.is_empty() {
            return Err(SubjectError::EmptyToken(text.to_owned()));
        }
        tokens += 1;
    }
    if tokens > SUBJECT_TOKENS_MAX {
        return Err(SubjectError::TooManyTokens);
    }
    Ok(())
}

macro_rules! text_type {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = SubjectError;

            fn try_from(text: &str) -> Result<$type, SubjectError> {
                $type::new(text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = SubjectError;

            fn from_str(text: &str) -> Result<$type, SubjectError> {
                $type::new(text)
            }
        }
    };
}

text_type!(Subject);
text_type!(Pattern);

impl From<Subject> for Pattern {
    fn from(subject: Subject) -> Pattern {
        Pattern(subject.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn hostile_subjects_are_refused() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nb", "a\0b", "a\u{85}b"] {
            assert!(Subject::new(text).is_err(), "{text:?}");
            assert!(Pattern::new(text).is_err(), "{text:?}");
        }
        assert!(Subject::new("a".repeat(SUBJECT_LEN_MAX)).is_ok());
        assert!(Subject::new("a".repeat(SUBJECT_LEN_MAX + 1)).is_err());
        assert!(Subject::new(["a"; SUBJECT_TOKENS_MAX].join(".")).is_ok());
        assert!(Subject::new(["a"; SUBJECT_TOKENS_MAX + 1].join(".")).is_err());
        assert!(Subject::new("a.*").is_ok());
        assert!(Subject::new("a*.b>").is_ok());
        assert!(Pattern::new("a.>.b").is_err());
    }

    #[test]
    fn matching() {
        let rows = [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            (">", "a", true),
        ];
        for (wanted, given, expected) in rows {
            assert_eq!(pattern(wanted).matches(given), expected, "{wanted} {given}");
        }
    }

    #[test]
    fn collisions_and_subsets() {
        let rows = [
            ("a.b", "a.b", true, true),
            ("a.*", "a.b", true, false),
            ("a.b", "a.*", true, true),
            ("a.>", "a.*", true, false),
            ("a.*", "a.>", true, true),
            ("a.*.c", "a.b.*", true, false),
            ("a", "a.>", false, false),
            ("a.b", "c.>", false, false),
            ("a.>", ">", true, true),
        ];
        for (ours, theirs, collide, subset) in rows {
            assert_eq!(pattern(ours).collides_with(&pattern(theirs)), collide, "{ours} {theirs}");
            assert_eq!(pattern(ours).is_subset_of(&pattern(theirs)), subset, "{ours} {theirs}");
        }
    }

    #[test]
    fn what_the_indexes_ask() {
        assert_eq!(pattern("a.b.*").children_of(), Some("a.b"));
        assert_eq!(pattern("a.*.*").children_of(), None);
        assert_eq!(pattern("a.b").children_of(), None);
        assert_eq!(pattern("a.b.*.c").literal_prefix(), "a.b.");
        assert_eq!(pattern("a.b").literal_prefix(), "a.b");
        assert_eq!(pattern(">").literal_prefix(), "");
    }
}

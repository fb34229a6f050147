//! The target of a request, taken apart with suspicion.

use crate::Problem;

/// A path whose segments are decoded, and its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The path as sent.
    pub raw: String,
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
}

impl Path {
    /// Anything that could mean two things to two readers is refused: encoded slashes and dots that climb,
    /// empty segments, control characters, bytes that are not UTF-8.
    pub fn parse(target: &str) -> Result<Self, Problem> {
        let (raw, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(rest) = raw.strip_prefix('/') else {
            return Err(Problem::malformed("The path must start with a slash."));
        };
        let segments = match rest {
            "" => Vec::new(),
            _ => rest.split('/').map(segment).collect::<Result<_, _>>()?,
        };
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect::<Result<_, _>>()?;
        Ok(Self { raw: raw.to_owned(), segments, query })
    }
}

fn segment(text: &str) -> Result<String, Problem> {
    let segment = decode(text)?;
    if segment.contains(['/', '\\']) {
        return Err(Problem::malformed("A segment of the path contains a slash."));
    }
    if matches!(segment.as_str(), "" | "." | "..") {
        return Err(Problem::not_found("There is nothing at this path."));
    }
    Ok(segment)
}

fn pair(text: &str) -> Result<(String, String), Problem> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((decode(name)?, decode(&value.replace('+', " "))?))
}

fn decode(text: &str) -> Result<String, Problem> {
    match percent_decoded(text) {
        Some(decoded) if !decoded.chars().any(char::is_control) => Ok(decoded),
        _ => Err(Problem::malformed("The path or query is not properly encoded.")),
    }
}

/// The text that is meant; none if it is not properly encoded, or not UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

//! The target of a request, taken apart with suspicion.

use crate::problem::Problem;

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

    /// Of what has patterns, what is for this path and says most of it: whoever says `/queue` does not mean `/{id}`.
    pub fn nearest<T>(&self, all: impl Iterator<Item = T>, pattern: impl Fn(&T) -> &str) -> Vec<T> {
        let mut here: Vec<T> = all.filter(|one| self.fits(pattern(one))).collect();
        let nearest = here.iter().map(|one| nearness(pattern(one))).max();
        here.retain(|one| Some(nearness(pattern(one))) == nearest);
        here
    }

    /// How much a pattern says of this path, to be compared with others; none if it is for other paths.
    pub fn nearness(&self, pattern: &str) -> Option<u64> {
        self.fits(pattern).then(|| nearness(pattern))
    }

    fn fits(&self, pattern: &str) -> bool {
        let mut words = words(pattern);
        let fits = |segment: &String| words.next().is_some_and(|word| is_any(word) || word == segment);
        self.segments.iter().all(fits) && words.next().is_none()
    }

    /// What stands for the words in braces of a pattern that is for this path.
    pub(crate) fn params<'p>(&'p self, pattern: &'static str) -> Vec<(&'static str, &'p str)> {
        let named = |word: &'static str| word.strip_prefix('{')?.strip_suffix('}');
        let each = words(pattern).zip(&self.segments);
        each.filter_map(|(word, segment)| Some((named(word)?, segment.as_str()))).collect()
    }
}

/// The methods that can be used at a path where somebody has routes for these.
pub fn allowed<'m>(methods: impl IntoIterator<Item = &'m str>) -> String {
    let mut methods: Vec<&str> = methods.into_iter().collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
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
pub fn percent_decoded(text: &str) -> Option<String> {
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

/// Text as it may stand in a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let each = text
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    each.collect()
}

/// The words of a pattern, `/posts/{id}`, each of which stands for a segment.
pub fn words(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').skip(1).filter(|word| !word.is_empty())
}

/// Whether a word of a pattern is in braces and stands for any segment.
pub fn is_any(word: &str) -> bool {
    word.starts_with('{')
}

/// How much a pattern says of a path: a word that is given says more than one in braces, the earlier the more.
fn nearness(pattern: &str) -> u64 {
    words(pattern).fold(0, |nearness, word| nearness << 1 | u64::from(!is_any(word)))
}

/// A pattern without the names in its braces: two patterns of one shape are for the same paths.
pub fn shape(pattern: &str) -> String {
    words(pattern).fold(String::new(), |shape, word| shape + "/" + if is_any(word) { "{}" } else { word })
}

/// Whether a route can have this pattern.
pub fn is_pattern(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '@' | '+' | '=');
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let is_word = |word: &str| match word.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').is_some_and(is_name),
        None => !word.is_empty() && word != "." && word != ".." && word.chars().all(plain),
    };
    text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::{is_pattern, shape};

    #[test]
    fn patterns() {
        for good in ["/", "/posts", "/posts/{id}/comments", "/.well-known/jwks.json", "/a/{b-c}", "/~/@me"] {
            assert!(is_pattern(good), "{good}");
        }
        let bad = ["", "posts", "//", "/posts/", "/a//b", "/{}", "/{a", "/a}", "/x{a}", "/{a}b", "/{a/b}"];
        for bad in bad.into_iter().chain(["/a b", "/a%2fb", "/..", "/a/./b", "/ä", "/a?b", "/a\r\nb", "/*"])
        {
            assert!(!is_pattern(bad), "{bad}");
        }
    }

    #[test]
    fn names_in_braces_make_no_difference() {
        assert_eq!(shape("/posts/{id}/comments"), shape("/posts/{post}/comments"));
        assert_eq!((shape("/"), shape("/a/{b}")), (String::new(), "/a/{}".to_owned()));
        assert_ne!(shape("/posts/{id}"), shape("/posts/id"));
    }
}

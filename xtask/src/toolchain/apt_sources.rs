//! Reads apt's two formats of package sources, and derives the backports suite of the same mirror.

use std::fmt;

/// One entry, with the fields that matter for downloading binary packages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    pub uris: Vec<String>,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    /// Whatever else the entry says (`Signed-By`, `Trusted`, `Architectures` ...), as it must be said again.
    pub options: Vec<(String, String)>,
}

/// In the format of `.sources` files.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Types: deb\nURIs: {}\nSuites: {}", self.uris.join(" "), self.suites.join(" "))?;
        if !self.components.is_empty() {
            writeln!(f, "Components: {}", self.components.join(" "))?;
        }
        self.options.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))
    }
}

/// Reads a `.sources` file: stanzas of `Field: value`, continued on indented lines.
pub fn parse_stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            // A key in armour is many lines: they stay as they are.
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let words = |value: &str| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut source = Source::default();
    let mut is_binary = false;
    for (name, value) in fields {
        match name.to_ascii_lowercase().as_str() {
            "types" => is_binary = words(&value).iter().any(|word| word == "deb"),
            "uris" => source.uris = words(&value),
            "suites" => source.suites = words(&value),
            "components" => source.components = words(&value),
            "enabled" if value.eq_ignore_ascii_case("no") => return None,
            _ => source.options.push((name, value)),
        }
    }
    (is_binary && !source.uris.is_empty()).then_some(source)
}

/// Reads a `.list` file: lines of `deb [option=value ...] uri suite component...`.
pub fn parse_lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut options = Vec::new();
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        options = inside.split_whitespace().filter_map(stanza_option).collect();
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        options,
    })
}

/// An option of a one-line entry as a field of a stanza.
fn stanza_option(option: &str) -> Option<(String, String)> {
    let (name, value) = option.split_once('=')?;
    let name = match name {
        "arch" => "Architectures",
        "signed-by" => "Signed-By",
        "trusted" => "Trusted",
        "check-valid-until" => "Check-Valid-Until",
        _ => return None,
    };
    Some((name.to_owned(), value.replace(',', " ")))
}

/// The backports suites beside the release suites of `sources`, on the same mirrors.
///
/// A release is a suite whose mirror also serves its `-updates`; where none says so, every plainly named suite is tried.
pub fn backports(sources: &[Source]) -> Vec<Source> {
    let releases: Vec<(&Source, &String)> = sources
        .iter()
        .filter(|source| source.components.iter().any(|component| component == "main"))
        .flat_map(|source| source.suites.iter().map(move |suite| (source, suite)))
        .filter(|(_, suite)| !suite.contains(['-', '/']))
        .collect();
    let has_updates = |(source, suite): &&(&Source, &String)| {
        let updates = format!("{suite}-updates");
        sources.iter().any(|other| other.uris == source.uris && other.suites.contains(&updates))
    };
    let mut chosen: Vec<_> = releases.iter().filter(has_updates).collect();
    if chosen.is_empty() {
        chosen = releases.iter().collect();
    }
    let mut derived: Vec<Source> = Vec::new();
    for (source, suite) in chosen {
        let mut backports = Source::clone(source);
        backports.suites = vec![format!("{suite}-backports")];
        backports.components = vec!["main".to_owned()];
        if !derived.contains(&backports) {
            derived.push(backports);
        }
    }
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backports_of_a_stanza() {
        let sources = parse_stanzas(
            "Types: deb deb-src\n# a remark\nURIs: mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\n\
             Signed-By:\n -----BEGIN\n .\n KEY\n\nTypes: deb\nURIs: mirror/security\nSuites: bookworm-security\nComponents: main\n",
        );
        let derived: Vec<String> = backports(&sources).iter().map(Source::to_string).collect();
        let expected = "Types: deb\nURIs: mirror/debian\nSuites: bookworm-backports\nComponents: main\n\
                        Signed-By: \n -----BEGIN\n .\n KEY\n";
        assert_eq!(derived, [expected]);
    }

    #[test]
    fn backports_of_lines() {
        let sources = parse_lines(
            "# deb mirror/old stretch main\ndeb [arch=amd64 signed-by=/k.gpg] mirror/debian bookworm main # remark\n\
             deb mirror/debian bookworm-updates main\ndeb-src mirror/debian bookworm main\ndeb mirror/other bookworm main\n",
        );
        let derived: Vec<String> = backports(&sources).iter().map(Source::to_string).collect();
        let expected = "Types: deb\nURIs: mirror/debian\nSuites: bookworm-backports\nComponents: main\n\
                        Architectures: amd64\nSigned-By: /k.gpg\n";
        assert_eq!(derived, [expected], "neither the comments nor a third party's mirror");
    }

    #[test]
    fn a_release_without_updates_is_tried_all_the_same() {
        let sources = parse_lines("deb mirror/debian bookworm main\n");
        let suites: Vec<_> = backports(&sources).into_iter().flat_map(|source| source.suites).collect();
        assert_eq!(suites, ["bookworm-backports"]);
    }

    #[test]
    fn what_is_disabled_or_broken_is_left_out() {
        assert_eq!(
            parse_stanzas("Types: deb\nURIs: a\nSuites: b\nEnabled: no\n\nnonsense\n\n continued\n"),
            []
        );
        assert_eq!(parse_lines("deb\ndeb [signed-by=x\ndebian a b c\ndeb onlyuri\n"), []);
    }
}

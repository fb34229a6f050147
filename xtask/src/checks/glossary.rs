//! The words that the glossary retires, and the one way in which files of modules are called.
//!
//! The glossary is a table in ARCHITECTURE.md. Its last column names words that were once used for the same concept. Whoever
//! retires another word writes it there, and nowhere else.

use std::path::{Path, PathBuf};

use super::check::Check;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

pub const RETIRED_WORDS_ARE_GONE: Check = Check {
    name: "words that the glossary retires are not used",
    reason: "whoever meets two words for one concept looks for the difference",
    find: |workspace| {
        let files = workspace.text_files()?;
        let glossary = files.iter().find(|(path, _)| path == Path::new(GLOSSARY));
        let glossary = glossary.ok_or_else(|| Failure::new(format!("there is no {GLOSSARY}")))?;
        let retired = retired(&glossary.1);
        if retired.is_empty() {
            return Err(Failure::new(format!("the glossary of {GLOSSARY} retires nothing"))
                .remedy("its table has the words in its last column, each between backticks"));
        }
        Ok(uses(&files, &retired))
    },
};

pub const MODULES_ARE_CALLED_AS_THEY_ARE: Check = Check {
    name: "the file of a module has the module's name",
    reason: "in an editor, six files that are called mod.rs look the same",
    find: |workspace| {
        Ok(paths(workspace)?
            .iter()
            .filter(|path| is_misnamed(path))
            .map(|p| p.display().to_string())
            .collect())
    },
};

const GLOSSARY: &str = "ARCHITECTURE.md";
/// The heading of the glossary, and how the lines of its table begin.
const HEADING: &str = "## Glossary";

/// A word that is used no more, and the one that is used in its place.
#[derive(Debug, PartialEq, Eq)]
struct Retired<'a> {
    word: &'a str,
    instead: &'a str,
}

/// What stands between backticks in the last column of the glossary's table.
fn retired(document: &str) -> Vec<Retired<'_>> {
    let glossary = document.split(HEADING).nth(1).unwrap_or_default();
    let rows =
        glossary.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|'));
    let mut retired = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [instead, _, words] = cells.as_slice() else { continue };
        retired.extend(words.split('`').skip(1).step_by(2).map(|word| Retired { word, instead }));
    }
    retired
}

fn uses(files: &[(PathBuf, String)], retired: &[Retired<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_ours(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            // The glossary may speak of what it retires.
            if path == Path::new(GLOSSARY) && line.starts_with('|') {
                continue;
            }
            let used = retired.iter().filter(|retired| is_used(retired.word, line));
            found.extend(used.map(|Retired { word, instead }| {
                format!("{}:{number}: {word}; the glossary says {instead}", path.display())
            }));
        }
    }
    found
}

/// Code, documents and contracts, but for what others have written.
fn is_ours(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "md" | "wit" | "yaml" | "toml" | "template"))
}

/// Whether a line has a word. One in small letters counts in any case, and as a part of a name: `fn frob_all`, `FrobAll`. Any
/// other counts as it stands.
fn is_used(word: &str, line: &str) -> bool {
    let is_plain = word.chars().all(|c| c.is_ascii_lowercase());
    if is_plain {
        return words(line).any(|part| part.eq_ignore_ascii_case(word));
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The words of a line, those in names too: a capital behind a small letter begins another.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_break = |(at, c): (usize, char)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        (c.is_uppercase() && before.is_some_and(char::is_lowercase)).then_some(at)
    };
    let mut breaks = line.char_indices().filter_map(is_break);
    let mut begin = 0;
    let parts = std::iter::from_fn(move || {
        let end = breaks.next().unwrap_or(line.len());
        let part = line.get(begin..end).filter(|part| !part.is_empty());
        begin = end;
        part
    });
    parts.flat_map(|part| part.split(|c: char| !c.is_alphabetic()))
}

fn paths(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    Ok(workspace.text_files()?.into_iter().map(|(path, _)| path).collect())
}

/// A module that tests of one crate share has to be a folder: `tests/common.rs` would be a test of its own.
fn is_misnamed(path: &Path) -> bool {
    let is_shared_by_tests =
        path.ancestors().nth(2).and_then(Path::file_name).is_some_and(|folder| folder == "tests");
    path.file_name().is_some_and(|name| name == "mod.rs") && !is_shared_by_tests
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Title
| not | a | `glossary` |

## Glossary

| word | what it is | not |
|---|---|---|
| rebuild | building anew, by `replay` | `frob` `made anew` |
| offset | how far | `Gadget` `gadget_key` |
| event | what happened | |

## Next
| x | y | `z` |
";

    #[test]
    fn the_last_column_names_what_is_retired() {
        let found: Vec<_> = retired(DOCUMENT).iter().map(|retired| (retired.word, retired.instead)).collect();
        let expected =
            [("frob", "rebuild"), ("made anew", "rebuild"), ("Gadget", "offset"), ("gadget_key", "offset")];
        assert_eq!(found, expected);
        assert_eq!(retired("# No glossary\n| a | b | `c` |\n"), []);
    }

    #[test]
    fn a_word_in_small_letters_counts_as_a_part_of_a_name_too() {
        for line in ["Frob it.", "fn frob_all() {}", "struct AutoFrob;", "let x = frob;", "FROB_MS"] {
            assert!(is_used("frob", line), "{line}");
        }
        for line in ["frobbed", "fn frobber() {}", "Frobber", ""] {
            assert!(!is_used("frob", line), "{line}");
        }
    }

    #[test]
    fn any_other_counts_as_it_stands() {
        assert!(is_used("Gadget", "use x::Gadget;") && is_used("gadget_key", "names::gadget_key(1)"));
        assert!(is_used("made anew", "It is made anew."));
        for line in ["in gadget of", "PeerGadget", "Gadgets", "gadget_keys", "a_gadget_key"] {
            assert!(!is_used("Gadget", line) && !is_used("gadget_key", line), "{line}");
        }
    }

    #[test]
    fn each_use_is_told_with_the_word_to_use() {
        let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let files = [
            file(GLOSSARY, "To frob.\n| rebuild | x | `frob` |\n"),
            file("a/b.rs", "fn a() {}\n/// Frobs.\nfn frob() {}\n"),
            file("a/picture.svg", "frob"),
        ];
        let found = uses(&files, &[Retired { word: "frob", instead: "rebuild" }]);
        let told = "frob; the glossary says rebuild";
        assert_eq!(found, [format!("{GLOSSARY}:1: {told}"), format!("a/b.rs:3: {told}")]);
    }

    #[test]
    fn only_what_tests_share_is_called_mod() {
        for good in ["a/src/b.rs", "a/src/b/c.rs", "a/tests/common/mod.rs"] {
            assert!(!is_misnamed(Path::new(good)), "{good}");
        }
        for bad in ["a/src/b/mod.rs", "a/src/tests/mod.rs", "a/src/mod.rs", "a/tests/b/c/mod.rs"] {
            assert!(is_misnamed(Path::new(bad)), "{bad}");
        }
    }
}

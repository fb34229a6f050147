//! Under which licences we may use what others wrote.

use super::check::Check;
use crate::failure::Failure;
use crate::workspace::Package;

pub const LICENCES_ARE_KNOWN: Check = Check {
    name: "every dependency's licence is one that we can keep",
    reason: "the command is distributed with all of them inside; a licence outside the list needs a decision, not a build",
    find: |workspace| {
        let lattice = workspace.lattice()?;
        let all = workspace.packages.iter().chain(&lattice.packages);
        let foreign = all.filter(|package| !package.is_member);
        let unknown = foreign.filter(|package| {
            let text = || std::fs::read_to_string(package.license_file.as_ref()?).ok();
            let is_named = package.license.as_deref().is_some_and(is_allowed);
            !is_named && !text().as_deref().is_some_and(is_apache)
        });
        let line = |package: &Package| {
            format!(
                "{} {}: {}",
                package.name,
                package.version,
                package.license.as_deref().unwrap_or("no licence given")
            )
        };
        Ok::<_, Failure>(unknown.map(line).collect())
    },
};

const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Data, not code: the root certificates of browsers.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

/// Whether this is the text of the Apache License, which a package may carry instead of naming it.
fn is_apache(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let title = ["Apache", "License", "Version", "2.0,", "January", "2004"];
    title.iter().all(|expected| words.next() == Some(expected))
}

/// Whether an SPDX expression can be met with licences of the list. `/` is how old packages write `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = either(&mut words);
    allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>) -> bool {
    let mut allowed = both(words);
    while words.next_if_eq(&"OR").is_some() {
        // Read to the end in any case: `words` must have moved on.
        allowed |= both(words);
    }
    allowed
}

fn both(words: &mut Words<'_>) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let allowed = either(words);
        return words.next_if_eq(&")").is_some() && allowed;
    }
    let Some(name) = words.next() else { return false };
    match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
        Some(exception) => {
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str()) || ALLOWED.contains(&name)
        }
        None => ALLOWED.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_allowed, is_apache};

    #[test]
    fn the_text_of_a_licence_is_known_by_its_title() {
        let ours = include_str!("../../../LICENSE");
        assert!(is_apache(ours));
        assert!(!is_apache("MIT License") && !is_apache("") && !is_apache(&format!("Not the\n{ours}")));
    }

    #[test]
    fn expressions() {
        let rows = [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("(MIT OR GPL-3.0) AND (AGPL-3.0)", false),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("OR MIT", false),
        ];
        for (expression, allowed) in rows {
            assert_eq!(is_allowed(expression), allowed, "{expression}");
        }
    }
}

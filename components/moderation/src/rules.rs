//! The rules that comments are judged by, as the operator set them: config `rules`, for example
//! `[{"name": "fruit", "words": ["orange", "lemon"]}]`.

use std::collections::BTreeSet;

use trellis_kit::platform::Fault;
use trellis_kit::{config, text};

use crate::trellis::moderation::types::{Outcome, Rule};

const RULES_MAX: usize = 100;
/// How many words all rules together may have.
const WORDS_MAX: usize = 1000;
const LEN_MAX: usize = 64;

/// The rules in force.
pub fn load() -> Result<Vec<Rule>, Fault> {
    let rules = config::json("rules")?.unwrap_or_else(by_default);
    match complaint(&rules) {
        Some(complaint) => Err(Fault::new(format!("config rules: {complaint}"))),
        None => Ok(rules),
    }
}

fn by_default() -> Vec<Rule> {
    vec![Rule { name: "orange".to_owned(), words: vec!["orange".to_owned()] }]
}

/// What the rules say about a text, and which of them it is that rejects it.
pub fn judge(rules: &[Rule], content: &str) -> (Outcome, Option<String>) {
    let words: BTreeSet<String> = text::words(content).collect();
    let says = |word: &String| text::words(word).all(|word| words.contains(&word));
    match rules.iter().find(|rule| rule.words.iter().any(says)) {
        Some(rule) => (Outcome::Rejected, Some(rule.name.clone())),
        None => (Outcome::Approved, None),
    }
}

/// What is wrong with rules, if anything is. A word that could never be found would be a rule that never works.
fn complaint(rules: &[Rule]) -> Option<String> {
    if rules.len() > RULES_MAX || rules.iter().map(|rule| rule.words.len()).sum::<usize>() > WORDS_MAX {
        return Some(format!("there may be {RULES_MAX} rules, with {WORDS_MAX} words in all"));
    }
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    if names.len() < rules.len() {
        return Some("two rules have the same name".to_owned());
    }
    rules.iter().find_map(|Rule { name, words }| {
        if text::one_line("name", name, LEN_MAX).is_err() {
            return Some(format!("the name {name:?} is not 1 to {LEN_MAX} characters on one line"));
        }
        if words.is_empty() {
            return Some(format!("rule {name} has no words"));
        }
        let is_word = |word: &&String| text::words(word).count() == 1 && word.chars().count() <= LEN_MAX;
        let bad = words.iter().find(|word| !is_word(word))?;
        Some(format!("{bad:?} of rule {name} is not one word of letters and digits, {LEN_MAX} at most"))
    })
}

//! A map from patterns to values that finds all values whose pattern matches a subject, in an order that only depends
//! on what was inserted.

use std::collections::BTreeMap;

/// A trie by token. Values under one pattern keep their order of insertion.
#[derive(Debug)]
pub(crate) struct SubjectMap<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    exact: BTreeMap<Box<str>, Node<T>>,
    any: Option<Box<Node<T>>>,
    here: Vec<T>,
    rest: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node { exact: BTreeMap::new(), any: None, here: Vec::new(), rest: Vec::new() }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

impl<T> Default for SubjectMap<T> {
    fn default() -> SubjectMap<T> {
        SubjectMap { root: Node::default(), len: 0 }
    }
}

impl<T> SubjectMap<T> {
    pub fn insert(&mut self, pattern: &str, value: T) {
        let mut node = &mut self.root;
        self.len += 1;
        for token in pattern.split('.') {
            match token {
                ">" => return node.rest.push(value),
                "*" => node = node.any.get_or_insert_with(Box::default),
                _ => node = node.exact.entry(token.into()).or_default(),
            }
        }
        node.here.push(value);
    }

    /// Removes the values under exactly this pattern for which `gone` holds.
    pub fn remove(&mut self, pattern: &str, gone: impl Fn(&T) -> bool) {
        self.len -= remove_from(&mut self.root, pattern, &gone);
    }

    /// Calls `found` with every value whose pattern matches the subject.
    pub fn for_each_match<'a>(&'a self, subject: &str, mut found: impl FnMut(&'a T)) {
        if self.len > 0 {
            visit(&self.root, Some(subject), &mut found);
        }
    }

    /// The values under exactly this pattern.
    pub fn exactly(&self, pattern: &str) -> &[T] {
        let mut node = &self.root;
        for token in pattern.split('.') {
            let next = match token {
                ">" => return &node.rest,
                "*" => node.any.as_deref(),
                _ => node.exact.get(token),
            };
            match next {
                Some(next) => node = next,
                None => return &[],
            }
        }
        &node.here
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

/// Patterns have at most `SUBJECT_TOKENS_MAX` tokens, which bounds the recursion here and below.
fn remove_from<T>(node: &mut Node<T>, pattern: &str, gone: &impl Fn(&T) -> bool) -> usize {
    let (token, tail) = match pattern.split_once('.') {
        Some((token, tail)) => (token, Some(tail)),
        None => (pattern, None),
    };
    if token == ">" {
        return retain(&mut node.rest, gone);
    }
    let child = if token == "*" { node.any.as_deref_mut() } else { node.exact.get_mut(token) };
    let Some(child) = child else { return 0 };
    let removed = match tail {
        Some(tail) => remove_from(child, tail, gone),
        None => retain(&mut child.here, gone),
    };
    if child.is_empty() {
        if token == "*" {
            node.any = None;
        } else {
            node.exact.remove(token);
        }
    }
    removed
}

fn retain<T>(values: &mut Vec<T>, gone: &impl Fn(&T) -> bool) -> usize {
    let before = values.len();
    values.retain(|value| !gone(value));
    before - values.len()
}

fn visit<'a, T>(node: &'a Node<T>, subject: Option<&str>, found: &mut impl FnMut(&'a T)) {
    let Some(subject) = subject else {
        return node.here.iter().for_each(found);
    };
    let (token, tail) = match subject.split_once('.') {
        Some((token, tail)) => (token, Some(tail)),
        None => (subject, None),
    };
    if let Some(child) = node.exact.get(token) {
        visit(child, tail, found);
    }
    if let Some(child) = &node.any {
        visit(child, tail, found);
    }
    node.rest.iter().for_each(found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;

    fn matches(map: &SubjectMap<String>, subject: &str) -> Vec<String> {
        let mut found = Vec::new();
        map.for_each_match(subject, |value| found.push(value.clone()));
        found
    }

    #[test]
    fn the_map_agrees_with_pattern_matching() {
        let patterns = ["a", "a.b", "a.*", "*.b", "*.*", "a.>", ">", "a.b.c", "a.*.c", "*.*.>", "a.b.>"];
        let mut map = SubjectMap::default();
        for pattern in patterns {
            map.insert(pattern, pattern.to_owned());
        }
        for subject in ["a", "b", "a.b", "a.c", "b.b", "a.b.c", "a.b.d", "x.y.z.w"] {
            let mut expected: Vec<_> = patterns
                .iter()
                .filter(|p| Pattern::new(p).unwrap().matches(subject))
                .map(|p| p.to_string())
                .collect();
            let mut found = matches(&map, subject);
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{subject}");
        }
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let mut map = SubjectMap::default();
        for pattern in ["a.b", "a.*", "a.>", "a.b"] {
            map.insert(pattern, pattern.to_owned());
        }
        map.remove("a.b", |_| true);
        assert_eq!((map.len(), matches(&map, "a.b")), (2, vec!["a.*".to_owned(), "a.>".to_owned()]));
        map.remove("a.*", |_| true);
        map.remove("a.>", |_| true);
        map.remove("never.there", |_| true);
        assert!(map.root.is_empty() && map.len() == 0);
    }
}

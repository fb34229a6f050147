//! A struct or an enum as a derive gets it, taken apart as far as [`Wire`](crate::Wire) needs.

use std::iter::Peekable;

use proc_macro::token_stream::IntoIter;
use proc_macro::{Delimiter, TokenStream, TokenTree};

use crate::code;

/// A type that is written in JSON.
pub struct Item {
    pub is_enum: bool,
    pub name: String,
    pub docs: String,
    /// The fields, or the cases.
    pub parts: Vec<Part>,
    /// The item again, under the name `Twin` and without its attributes.
    pub twin: TokenStream,
}

/// A field with its type, or a case with what it carries.
pub struct Part {
    pub name: String,
    pub docs: String,
    pub kind: Option<String>,
}

impl Item {
    /// None is for what is neither, or has type parameters, or fields without names.
    pub fn parse(item: TokenStream) -> Option<Self> {
        let mut tokens = item.into_iter().peekable();
        let docs = attributes(&mut tokens);
        let is_enum = loop {
            match word(&tokens.next()?).as_deref() {
                Some("struct") => break false,
                Some("enum") => break true,
                _ => {} // Visibility.
            }
        };
        let name = word(&tokens.next()?)?;
        let Some(TokenTree::Group(body)) = tokens.next() else { return None };
        if body.delimiter() != Delimiter::Brace {
            return None;
        }
        let part = if is_enum { case } else { field };
        let parts: Option<Vec<Part>> = between_commas(body.stream()).into_iter().map(part).collect();
        let keyword = if is_enum { "enum" } else { "struct" };
        let mut twin = code::parse(&format!("{keyword} Twin"));
        twin.extend([TokenTree::Group(body)]);
        Some(Self { is_enum, name, docs, parts: parts?, twin })
    }

    /// Whether it is an enum of which at least one case carries something.
    pub fn has_payloads(&self) -> bool {
        self.is_enum && self.parts.iter().any(|part| part.kind.is_some())
    }
}

/// `/// docs`, `pub name: Type`.
fn field(tokens: TokenStream) -> Option<Part> {
    let mut tokens = tokens.into_iter().peekable();
    let docs = attributes(&mut tokens);
    let mut name = word(&tokens.next()?)?;
    if name == "pub" {
        if matches!(tokens.peek(), Some(TokenTree::Group(_))) {
            tokens.next(); // `pub(crate)`
        }
        name = word(&tokens.next()?)?;
    }
    tokens.next().filter(|token| token.to_string() == ":")?;
    Some(Part { name, docs, kind: Some(tokens.collect::<TokenStream>().to_string()) })
}

/// `/// docs`, `Name` or `Name(Type)`.
fn case(tokens: TokenStream) -> Option<Part> {
    let mut tokens = tokens.into_iter().peekable();
    let docs = attributes(&mut tokens);
    let name = word(&tokens.next()?)?;
    let kind = match tokens.next() {
        Some(TokenTree::Group(payload)) => Some(payload.stream().to_string()),
        _ => None,
    };
    Some(Part { name, docs, kind })
}

/// Takes the attributes that stand before something, and gives the text of those that are documentation.
fn attributes(tokens: &mut Peekable<IntoIter>) -> String {
    let mut docs = Vec::new();
    while tokens.peek().is_some_and(|token| token.to_string() == "#") {
        tokens.next();
        let Some(TokenTree::Group(attribute)) = tokens.next() else { break };
        let mut attribute = attribute.stream().into_iter();
        if attribute.next().and_then(|token| word(&token)).as_deref() == Some("doc") {
            docs.extend(attribute.last().map(|text| text.to_string()));
        }
    }
    // The lines stay literals, for the compiler to read.
    docs.iter().map(|line| format!("{line}, \"\\n\", ")).collect()
}

/// The parts between commas that are not within brackets of any kind.
fn between_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0_usize;
    for token in tokens {
        match token.to_string().as_str() {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    parts.into_iter().filter(|part| !part.is_empty()).map(|part| part.into_iter().collect()).collect()
}

fn word(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(word) => Some(word.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

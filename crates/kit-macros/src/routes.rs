//! The route table of another component, read in its source: the one place where it is written.

use anyhow::Context as _;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The routes that call functions of a contract.
pub struct Routes {
    /// The file in which they are written.
    pub file: String,
    pub all: Vec<Route>,
}

/// `POST "/posts" => created(Self::create)`.
pub struct Route {
    pub method: String,
    pub pattern: String,
    /// `ok`, `created`, `accepted`, `awaited`, `made`, `done` or `page`.
    pub answer: String,
    /// `create`.
    pub function: String,
}

/// Reads `routes!` of `components/<service>`, seen from the folder of another component.
pub fn read(service: &str) -> anyhow::Result<Routes> {
    let component = std::env::var("CARGO_MANIFEST_DIR")?;
    let file = format!("{component}/../{service}/src/lib.rs");
    let code =
        std::fs::read_to_string(&file).with_context(|| format!("the routes of {service}, in {file}"))?;
    let code: TokenStream = code.parse().map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
    let table = table(code).with_context(|| format!("{file} has no routes!"))?;
    let tokens: Vec<TokenTree> = table.into_iter().collect();
    Ok(Routes { file, all: tokens.windows(6).filter_map(route).collect() })
}

/// What stands in the braces of `routes! { … }`, wherever that is.
fn table(code: TokenStream) -> Option<TokenStream> {
    let tokens: Vec<TokenTree> = code.into_iter().collect();
    let here = tokens.windows(3).find_map(|tokens| match tokens {
        [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(table)]
            if name == "routes" && mark.as_char() == '!' =>
        {
            Some(table.stream())
        }
        _ => None,
    });
    here.or_else(|| {
        tokens.into_iter().find_map(|token| match token {
            TokenTree::Group(group) => table(group.stream()),
            _ => None,
        })
    })
}

fn route(tokens: &[TokenTree]) -> Option<Route> {
    let [
        TokenTree::Ident(method),
        TokenTree::Literal(pattern),
        TokenTree::Punct(_),
        TokenTree::Punct(_),
        TokenTree::Ident(answer),
        TokenTree::Group(function),
    ] = tokens
    else {
        return None;
    };
    if function.delimiter() != Delimiter::Parenthesis {
        return None;
    }
    Some(Route {
        method: method.to_string(),
        pattern: pattern.to_string().trim_matches('"').to_owned(),
        answer: answer.to_string(),
        function: function.stream().into_iter().last()?.to_string(),
    })
}

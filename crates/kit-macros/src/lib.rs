//! The two macros of the kit that plain `macro_rules!` cannot express: [`bindings!`] and the [`Wire`] derive.
//!
//! Both are re-exported by `trellis-kit`; use them from there.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Generates the Rust types and the `Guest` traits of a service's contract, `wit/<service>`.
///
/// `bindings!(posts)` reads `wit/posts`; `bindings!(comments: posts, moderation)` brings in the events of those
/// services too, to follow or react to. They are named here and not in the service's own WIT, because packages
/// cannot use one another in a circle, and services do listen to one another. Paths are seen from a component's
/// folder, `components/<service>`. The types can be compared, printed, and written as JSON (see [`Wire`]); what all
/// services share comes from `trellis_kit` itself. The functions to implement are those of `api::Guest`; what
/// `wit/posts` has in its interface `events` is in `trellis::posts::events`.
#[proc_macro]
pub fn bindings(input: TokenStream) -> TokenStream {
    let mut names = input.into_iter().filter_map(|token| match token {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    });
    let Some(module) = names.next() else {
        return error(Span::call_site(), "which service? for example: bindings!(posts)");
    };
    // What is `my_service` in Rust is `my-service` in WIT.
    let service = module.replace('_', "-");
    let others: Vec<String> = names.map(|module| module.replace('_', "-")).collect();
    let paths: String = others.iter().map(|other| format!("\"../../wit/{other}\", ")).collect();
    let events: String =
        others.iter().map(|other| format!("import trellis:{other}/events@0.1.0; ")).collect();
    let generate = format!(
        r#"
        #[allow(unsafe_code, missing_debug_implementations, clippy::indexing_slicing, reason = "generated")]
        mod bindings {{
            ::trellis_kit::rt::wit_bindgen::generate!({{
                path: ["../../wit", {paths}"../../wit/{service}"],
                inline: "package trellis:{service}-listens; world contract {{ include trellis:{service}/contract@0.1.0; {events} }}",
                world: "contract",
                runtime_path: "::trellis_kit::rt::wit_bindgen::rt",
                additional_derives: [PartialEq, ::trellis_kit::Wire],
                generate_all,
                generate_unused_types: true,
                with: {{ "trellis:common/types@0.1.0": ::trellis_kit::contract::types }},
            }});
        }}
        pub use bindings::exports::trellis::{module}::api;
        pub use bindings::trellis;"#
    );
    parse(&generate)
}

/// Gives a type that comes from WIT its JSON form: `Serialize` and `Deserialize` with the names of the WIT, in
/// snake_case.
///
/// A record is an object, an enum a string, and a variant with payloads `{"type": <case>, "data": <payload>}`.
/// The work is serde's own: its derive runs on a twin of the type, because attributes cannot be put on
/// generated code.
#[proc_macro_derive(Wire)]
pub fn wire(item: TokenStream) -> TokenStream {
    let mut tokens = item.into_iter().peekable();
    let mut twin = Vec::new();
    let mut name = None;
    while let Some(token) = tokens.next() {
        let word = if let TokenTree::Ident(word) = &token { word.to_string() } else { String::new() };
        if word != "struct" && word != "enum" {
            continue; // Attributes and visibility, which the twin does without.
        }
        twin.push(token);
        if let Some(TokenTree::Ident(found)) = tokens.next() {
            twin.push(TokenTree::Ident(Ident::new("Twin", found.span())));
            name = Some(found);
        }
        twin.extend(tokens.by_ref());
    }
    let Some(name) = name else {
        return error(Span::call_site(), "Wire is for structs and enums");
    };
    // An enum is a word: serde would take it as the key of an object, too.
    let deserialize = if is_enum(&twin) && !has_payloads(&twin) {
        "let word = <::std::string::String as ::trellis_kit::rt::serde::Deserialize>::deserialize(from)?;
         Twin::deserialize(::trellis_kit::rt::serde::de::IntoDeserializer::<D::Error>::into_deserializer(word))"
    } else {
        "Twin::deserialize(from)"
    };
    let tagged = if has_payloads(&twin) { r#", tag = "type", content = "data""# } else { "" };
    let twin: TokenStream = twin.into_iter().collect();
    let attributes = format!(
        r#"#[derive(::trellis_kit::rt::serde::Serialize, ::trellis_kit::rt::serde::Deserialize)]
           #[serde(crate = "::trellis_kit::rt::serde", remote = "{name}", rename_all = "snake_case"{tagged})]"#
    );
    let impls = format!(
        "impl ::trellis_kit::rt::serde::Serialize for {name} {{
            fn serialize<S: ::trellis_kit::rt::serde::Serializer>(&self, to: S) -> ::core::result::Result<S::Ok, S::Error> {{
                Twin::serialize(self, to)
            }}
        }}
        impl<'de> ::trellis_kit::rt::serde::Deserialize<'de> for {name} {{
            fn deserialize<D: ::trellis_kit::rt::serde::Deserializer<'de>>(from: D) -> ::core::result::Result<Self, D::Error> {{
                {deserialize}
            }}
        }}"
    );
    let body: TokenStream = [parse(&attributes), twin, parse(&impls)].into_iter().collect();
    let mut scoped = parse("const _: () =");
    scoped.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
    scoped.extend(parse(";"));
    scoped
}

fn is_enum(item: &[TokenTree]) -> bool {
    matches!(item, [TokenTree::Ident(kind), ..] if kind.to_string() == "enum")
}

/// Whether the item is an enum of which at least one case carries something.
fn has_payloads(item: &[TokenTree]) -> bool {
    let [TokenTree::Ident(kind), .., TokenTree::Group(cases)] = item else { return false };
    kind.to_string() == "enum"
        && cases.stream().into_iter().any(
            |token| matches!(token, TokenTree::Group(payload) if payload.delimiter() == Delimiter::Parenthesis),
        )
}

fn error(span: Span, message: &str) -> TokenStream {
    parse(&format!("::core::compile_error!({message:?});"))
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect()
}

/// Reads code that this crate wrote itself.
fn parse(code: &str) -> TokenStream {
    match code.parse() {
        Ok(tokens) => tokens,
        Err(problem) => panic!("the macro wrote code that is not Rust ({problem}): {code}"),
    }
}

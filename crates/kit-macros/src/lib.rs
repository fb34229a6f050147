//! The two macros of the kit that plain `macro_rules!` cannot express: [`bindings!`] and the [`Wire`] derive.
//!
//! Both are re-exported by `trellis-kit`; use them from there.

mod code;
mod contract;
mod item;
mod routes;

use proc_macro::{Delimiter, Group, Span, TokenStream, TokenTree};

use crate::code::parse;
use crate::item::{Item, Part};

/// Generates the Rust types and the `Guest` traits of a service's contract, `wit/<service>`.
///
/// `bindings!(posts)` reads `wit/posts`; `bindings!(comments: posts, moderation)` brings in the events of those
/// services too, to follow or react to. They are named here and not in the service's own WIT, because packages cannot
/// use one another in a circle, and services do listen to one another. `bindings!(web; query)` brings in the types of
/// services that it asks. For each of their functions there is one in `clients` that asks it.
/// `clients::query::feed(&asker, &page)` sends the request that the route of `feed` stands for, and reads the answer.
/// The route is taken from the table in `components/query/src/lib.rs`. `clients::ASKED` is for `ASKS`
/// of the service. Paths are seen from a component's folder, `components/<service>`. The
/// types can be compared, printed, and written as JSON (see [`Wire`]); what all services share comes from
/// `trellis_kit` itself. The functions to implement are those of `api::Guest`, which take a `trellis_kit::Cx` where
/// the WIT says context; what `wit/posts` has in its interface `events` is in `trellis::posts::events`, and what it
/// says of each function in `FUNCTIONS`.
///
/// Each variant `<entity>-event` of the interfaces `events`, of the service and of those that it follows, is an
/// `Event`, and each of these services is a `Source` in the module `sources`. `bindings!(registry except ServiceEvent)`
/// leaves that event to be said by hand, with its schema.
#[proc_macro]
pub fn bindings(input: TokenStream) -> TokenStream {
    let (mut module, mut followed, mut asked, mut by_hand) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut is_asked = false;
    for token in input {
        match token {
            TokenTree::Ident(name) if name.to_string() == "except" => {}
            TokenTree::Ident(name) if name.to_string().starts_with(char::is_uppercase) => {
                by_hand.push(name.to_string());
            }
            // What is `my_service` in Rust is `my-service` in WIT.
            TokenTree::Ident(name) if module.is_some() => {
                let others = if is_asked { &mut asked } else { &mut followed };
                others.push(name.to_string().replace('_', "-"));
            }
            TokenTree::Ident(name) => module = Some(name.to_string()),
            TokenTree::Punct(mark) => is_asked |= mark.as_char() == ';',
            _ => {}
        }
    }
    let Some(module) = module else {
        return error(Span::call_site(), "which service? for example: bindings!(posts)");
    };
    let service = module.replace('_', "-");
    let paths: String =
        followed.iter().chain(&asked).map(|other| format!("\"../../wit/{other}\", ")).collect();
    let events = followed.iter().map(|other| format!("import trellis:{other}/events@0.1.0; "));
    let types = asked.iter().map(|other| format!("import trellis:{other}/types@0.1.0; "));
    let imports: String = events.chain(types).collect();
    let generate = format!(
        r#"
        #[allow(unsafe_code, missing_debug_implementations, clippy::indexing_slicing, reason = "generated")]
        mod bindings {{
            ::trellis_kit::rt::wit_bindgen::generate!({{
                path: ["../../wit", {paths}"../../wit/{service}"],
                inline: "package trellis:{service}-listens; world contract {{ include trellis:{service}/contract@0.1.0; {imports} }}",
                world: "contract",
                runtime_path: "::trellis_kit::rt::wit_bindgen::rt",
                additional_derives: [PartialEq, ::trellis_kit::Wire],
                generate_all,
                generate_unused_types: true,
                with: {{ "trellis:common/types@0.1.0": ::trellis_kit::contract::types }},
            }});
        }}
        pub use bindings::trellis;"#
    );
    match written_down(&service, &module, &followed, &asked, &by_hand) {
        Ok(code) => [generate, code].iter().flat_map(|code| parse(code)).collect(),
        Err(why) => unreadable(&service, &format!("{why:#}")),
    }
}

/// What is wrong with a contract, and modules with nothing in them: without these, the compiler would say that crates of their
/// names are missing.
fn unreadable(service: &str, why: &str) -> TokenStream {
    let advice = if why.contains("defined more than once") {
        "\nA function cannot have the name of a type that its interface uses: name it by a verb."
    } else {
        ""
    };
    let message = format!(
        "wit/{service} cannot be read: {why}{advice}\nWhat the compiler misses in `api`, `clients`, `sources` and `trellis` is missing because of this."
    );
    let modules = parse("pub mod api {} pub mod trellis {} pub mod sources {} pub mod clients {}");
    error(Span::call_site(), &message).into_iter().chain(modules).collect()
}

/// What the binding generator does not make of the WIT of a service and of those that it follows.
fn written_down(
    service: &str,
    module: &str,
    followed: &[String],
    asked: &[String],
    by_hand: &[String],
) -> anyhow::Result<String> {
    let own = contract::read(service)?;
    let (mut events, mut sources) = (own.events(by_hand)?, own.source()?);
    for other in followed {
        let other = contract::read(other)?;
        events += &other.events(by_hand)?;
        sources += &other.source()?;
    }
    let (functions, guest) = (own.functions(), own.guest(module)?);
    Ok(format!(
        "{functions} {guest} {events}
        /// The logs that the service has to do with.
        pub mod sources {{ {sources} }}
        {}",
        clients(asked)?
    ))
}

/// A module for each service that is asked, with a function for each of its functions.
fn clients(asked: &[String]) -> anyhow::Result<String> {
    if asked.is_empty() {
        return Ok(String::new());
    }
    let mut modules = String::new();
    for service in asked {
        modules += &contract::read(service)?.client(&routes::read(service)?)?;
    }
    Ok(format!(
        "/// The services that it asks, by their functions.
        pub mod clients {{
            /// All of them.
            pub const ASKED: ::trellis_kit::Asks = ::trellis_kit::Asks::These(&{asked:?});
            {modules}
        }}"
    ))
}

/// Gives a type that comes from WIT its JSON form: `Serialize` and `Deserialize` with the names of the WIT, in
/// snake_case, and `trellis_kit::Wire`, which says what that form is.
///
/// A record is an object, an enum a string, and a variant with payloads `{"type": <case>, "data": <payload>}`.
/// The work of reading and writing is serde's own: its derive runs on a twin of the type, because attributes cannot be
/// put on generated code.
#[proc_macro_derive(Wire)]
pub fn wire(item: TokenStream) -> TokenStream {
    let Some(item) = Item::parse(item) else {
        return error(Span::call_site(), "Wire is for structs and enums as they come from WIT");
    };
    let name = &item.name;
    let tagged = if item.has_payloads() { r#", tag = "type", content = "data""# } else { "" };
    let attributes = format!(
        r#"#[derive(::trellis_kit::rt::serde::Serialize, ::trellis_kit::rt::serde::Deserialize)]
           #[serde(crate = "::trellis_kit::rt::serde", remote = "{name}", rename_all = "snake_case"{tagged})]"#
    );
    // serde would take the case of an enum as the key of an object too, and the fields of a record from a list.
    let deserialize = if item.is_enum && !item.has_payloads() {
        "let word = <::std::string::String as ::trellis_kit::rt::serde::Deserialize>::deserialize(from)?;
         Twin::deserialize(::trellis_kit::rt::serde::de::IntoDeserializer::<D::Error>::into_deserializer(word))"
    } else {
        "Twin::deserialize(::trellis_kit::rt::Object(from))"
    };
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
        }}
        {}{}",
        schema(&item),
        roles(&item)
    );
    let body: TokenStream = [parse(&attributes), item.twin, parse(&impls)].into_iter().collect();
    let mut scoped = parse("const _: () =");
    scoped.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
    scoped.extend(parse(";"));
    scoped
}

/// What the JSON looks like, as `trellis_kit::schema` describes it.
fn schema(item: &Item) -> String {
    let parts: String = item.parts.iter().map(|part| schema_of_part(item, part)).collect();
    let shape = match (item.is_enum, item.has_payloads()) {
        (false, _) => "Record",
        (true, false) => "Words",
        (true, true) => "Variant",
    };
    let Item { name, docs, .. } = item;
    format!(
        "impl ::trellis_kit::Wire for {name} {{
            const JSON: &'static ::trellis_kit::schema::Schema =
                &::trellis_kit::schema::Schema::Named(&::trellis_kit::schema::Named {{
                    name: {name:?},
                    module: ::core::module_path!(),
                    docs: ::core::concat!({docs}),
                    shape: ::trellis_kit::schema::Shape::{shape},
                    parts: &[{parts}],
                }});
        }}"
    )
}

fn schema_of_part(item: &Item, part: &Part) -> String {
    let Part { name, docs, kind } = part;
    let name = if item.is_enum { snake_case(name) } else { name.clone() };
    // In Rust a timestamp is any text, in WIT it has a name.
    let of = kind.as_ref().map_or_else(
        || "::core::option::Option::None".to_owned(),
        |kind| {
            let kind = kind.replace("Timestamp", "::trellis_kit::schema::Timestamp");
            format!("::core::option::Option::Some(<{kind} as ::trellis_kit::Wire>::JSON)")
        },
    );
    format!("::trellis_kit::schema::Part {{ name: {name:?}, docs: ::core::concat!({docs}), of: {of} }}, ")
}

/// What a type can be in a route: a record can be a body; a record of something and `next` is a page of it.
fn roles(item: &Item) -> String {
    if item.is_enum {
        return String::new();
    }
    let name = &item.name;
    let mut roles = format!("impl ::trellis_kit::schema::Record for {name} {{}}");
    let is_next = |part: &&Part| part.name == "next";
    if let [one, other] = item.parts.as_slice()
        && let Some(_next) = [one, other].into_iter().find(is_next)
        && let Some(Part { name: field, kind: Some(kind), .. }) =
            [one, other].into_iter().find(|part| !is_next(part))
    {
        roles.push_str(&format!(
            "impl ::trellis_kit::schema::Page for {name} {{
                type Part = {kind};
                fn parts(self) -> (Self::Part, ::core::option::Option<::std::string::String>) {{
                    (self.{field}, self.next)
                }}
                fn whole({field}: Self::Part, next: ::core::option::Option<::std::string::String>) -> Self {{
                    Self {{ {field}, next }}
                }}
            }}"
        ));
    }
    roles
}

/// As serde does it.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
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

//! The two macros of the kit that plain `macro_rules!` cannot express: [`bindings!`] and the [`Wire`] derive.
//!
//! Both are re-exported by `trellis-kit`; use them from there.

mod contract;
mod routes;
mod wire;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{DeriveInput, Ident, Token, parse_macro_input};

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
pub fn bindings(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as Input);
    match input.generated().and_then(|generated| Ok((generated, input.written_down()?))) {
        Ok((generated, written)) => quote! { #generated #written },
        Err(why) => unreadable(&input.service(), &format!("{why:#}")),
    }
    .into()
}

/// What stands in `bindings!`: `comments: posts, moderation; query except CommentEvent`.
struct Input {
    module: String,
    /// The services whose events it follows, and those that it asks, as WIT has their names.
    followed: Vec<String>,
    asked: Vec<String>,
    /// The events that are said by hand.
    by_hand: Vec<String>,
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let module: Ident = input
            .parse()
            .map_err(|error| syn::Error::new(error.span(), "which service? for example: bindings!(posts)"))?;
        let followed = if input.parse::<Option<Token![:]>>()?.is_some() { names(input)? } else { Vec::new() };
        let asked = if input.parse::<Option<Token![;]>>()?.is_some() { names(input)? } else { Vec::new() };
        let mut by_hand = Vec::new();
        if !input.is_empty() {
            let except: Ident = input.parse()?;
            if except != "except" {
                return Err(syn::Error::new(except.span(), "expected `except`, and events"));
            }
            by_hand = names(input)?;
        }
        // What is `my_service` in Rust is `my-service` in WIT.
        let of_wit = |names: Vec<String>| names.into_iter().map(|name| name.replace('_', "-")).collect();
        Ok(Self { module: module.to_string(), followed: of_wit(followed), asked: of_wit(asked), by_hand })
    }
}

/// Names with commas between them.
fn names(input: ParseStream<'_>) -> syn::Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        names.push(input.parse::<Ident>()?.to_string());
        if input.parse::<Option<Token![,]>>()?.is_none() || input.is_empty() {
            return Ok(names);
        }
    }
}

impl Input {
    fn service(&self) -> String {
        self.module.replace('_', "-")
    }

    /// What the binding generator makes.
    fn generated(&self) -> anyhow::Result<TokenStream> {
        let (service, Self { followed, asked, .. }) = (self.service(), self);
        let mut packages = Vec::new();
        for name in followed.iter().chain(asked).chain([&service]) {
            contract::add_with_dependencies(name, &mut packages)?;
        }
        let paths = packages.iter().map(|name| format!("../../wit/{name}"));
        let paths = ["../../wit".to_owned()].into_iter().chain(paths);
        let events = followed.iter().map(|other| format!("import trellis:{other}/events@0.1.0; "));
        let types = asked.iter().map(|other| format!("import trellis:{other}/types@0.1.0; "));
        let imports: String = events.chain(types).collect();
        let world = format!(
            "package trellis:{service}-listens; world contract {{ include trellis:{service}/contract@0.1.0; {imports} }}"
        );
        Ok(quote! {
            #[allow(unsafe_code, missing_debug_implementations, clippy::indexing_slicing, reason = "generated")]
            mod bindings {
                ::trellis_kit::rt::wit_bindgen::generate!({
                    path: [#(#paths),*],
                    inline: #world,
                    world: "contract",
                    runtime_path: "::trellis_kit::rt::wit_bindgen::rt",
                    additional_derives: [PartialEq, ::trellis_kit::Wire],
                    generate_all,
                    generate_unused_types: true,
                    with: { "trellis:common/types@0.1.0": ::trellis_kit::contract::types },
                });
            }
            pub use bindings::trellis;
        })
    }

    /// What the binding generator does not make of the WIT of the service and of those that it follows.
    fn written_down(&self) -> anyhow::Result<TokenStream> {
        let own = contract::read(&self.service())?;
        let (mut events, mut sources) = (own.events(&self.by_hand)?, own.source()?);
        for other in &self.followed {
            let other = contract::read(other)?;
            events.extend(other.events(&self.by_hand)?);
            sources.extend(other.source()?);
        }
        let (functions, guest) = (own.functions(), own.guest(&self.module)?);
        let clients = clients(&self.asked)?;
        Ok(quote! {
            #functions
            #guest
            #events
            /// The logs that the service has to do with.
            pub mod sources { #sources }
            #clients
        })
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
    let error = syn::Error::new(Span::call_site(), message).into_compile_error();
    quote! { #error pub mod api {} pub mod trellis {} pub mod sources {} pub mod clients {} }
}

/// A module for each service that is asked, with a function for each of its functions.
fn clients(asked: &[String]) -> anyhow::Result<TokenStream> {
    if asked.is_empty() {
        return Ok(TokenStream::new());
    }
    let mut modules = TokenStream::new();
    for service in asked {
        modules.extend(contract::read(service)?.client(&routes::read(service)?)?);
    }
    Ok(quote! {
        /// The services that it asks, by their functions.
        pub mod clients {
            /// All of them.
            pub const ASKED: ::trellis_kit::Asks = ::trellis_kit::Asks::These(&[#(#asked),*]);
            #modules
        }
    })
}

/// Gives a type that comes from WIT its JSON form: `Serialize` and `Deserialize` with the names of the WIT, in
/// snake_case, and `trellis_kit::Wire`, which says what that form is.
///
/// A record is an object, an enum a string, and a variant with payloads `{"type": <case>, "data": <payload>}`.
/// The work of reading and writing is serde's own: its derive runs on a twin of the type, because attributes cannot be
/// put on generated code.
#[proc_macro_derive(Wire)]
pub fn wire(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    wire::derive(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

//! The functions that a service promises in its WIT, as [`bindings!`](crate::bindings) writes them down.

use anyhow::Context as _;
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::Ident;
use wit_parser::{
    Function, Interface, PackageName, Type, TypeDefKind, UnresolvedPackage, UnresolvedPackageGroup,
};

use crate::routes::{Route, Routes};

/// The package of a service.
pub struct Contract(UnresolvedPackage);

/// Reads `wit/<service>`, seen from the folder of a component.
pub fn read(service: &str) -> anyhow::Result<Contract> {
    let component = std::env::var("CARGO_MANIFEST_DIR")?;
    Ok(Contract(UnresolvedPackageGroup::parse_dir(format!("{component}/../../wit/{service}"))?.main))
}

/// Adds a service's package, behind those whose types it uses: the binding generator reads them in this order.
pub fn add_with_dependencies(service: &str, packages: &mut Vec<String>) -> anyhow::Result<()> {
    add(service, &[], packages)
}

fn add(service: &str, users: &[&str], packages: &mut Vec<String>) -> anyhow::Result<()> {
    let users = [users, &[service]].concat();
    let is_service = |name: &&PackageName| name.namespace == "trellis" && name.name != "common";
    for used in read(service)?.0.foreign_deps.keys().filter(is_service) {
        anyhow::ensure!(
            !users.contains(&&*used.name),
            "packages use one another in a circle: {}, {}",
            users.join(", "),
            used.name
        );
        add(&used.name, &users, packages)?;
    }
    if !packages.iter().any(|known| known == service) {
        packages.push(service.to_owned());
    }
    Ok(())
}

impl Contract {
    /// What the WIT says of each function of `api`, by its name in Rust: the binding generator keeps only what it says of
    /// types.
    pub fn functions(&self) -> TokenStream {
        let described = self.api().map(|function| {
            let (name, docs) = (snake(&function.name), docs(function));
            quote!((#name, #docs))
        });
        quote! {
            /// What the WIT says of each function.
            pub const FUNCTIONS: &[(&str, &str)] = &[#(#described),*];
        }
    }

    /// The trait of these functions with a `Cx` in the place of the context, and what the binding generator asks for by
    /// means of it.
    pub fn guest(&self, module: &str) -> anyhow::Result<TokenStream> {
        let module = format_ident!("{module}");
        let (mut promised, mut given) = (TokenStream::new(), TokenStream::new());
        for function in self.api() {
            let (name, docs) = (rust_name(&function.name), docs(function));
            let result = function.result.map_or(Ok(quote!(())), |of| self.rust(of))?;
            let (mut takes, mut gets, mut gives) = (Vec::new(), Vec::new(), Vec::new());
            for param in &function.params {
                let (name, of) = (rust_name(&param.name), self.rust(param.ty)?);
                if self.name_of(param.ty) == Some(CONTEXT) {
                    takes.push(quote!(#name: &Cx));
                    gives.push(quote!(&Cx::from(#name)));
                } else {
                    takes.push(quote!(#name: #of));
                    gives.push(quote!(#name));
                }
                gets.push(quote!(#name: #of));
            }
            promised.extend(quote!(#[doc = #docs] fn #name(#(#takes),*) -> #result;));
            given.extend(quote!(fn #name(#(#gets),*) -> #result { <S as Guest>::#name(#(#gives),*) }));
        }
        Ok(quote! {
            pub mod api {
                pub use super::bindings::exports::trellis::#module::api::*;
                pub use ::trellis_kit::Cx;

                /// The functions of the service, as the WIT states them.
                pub trait Guest { #promised }

                impl<S: Guest> super::bindings::exports::trellis::#module::api::Guest for S { #given }
            }
        })
    }

    /// That the variants of `events` are events, but for those of which somebody else says so.
    pub fn events(&self, by_hand: &[String]) -> anyhow::Result<TokenStream> {
        let module = rust_name(&self.0.name.name);
        let mut all = TokenStream::new();
        for (name, id) in self.interface("events").into_iter().flat_map(|events| &events.types) {
            let kind = &self.0.types.get(*id).context("a type that is not in the package")?.kind;
            let (Some(of), TypeDefKind::Variant(_)) = (name.strip_suffix("-event"), kind) else { continue };
            let event = camel(name);
            if !by_hand.iter().any(|other| event == other) {
                all.extend(quote! {
                    impl ::trellis_kit::Event for trellis::#module::events::#event {
                        const OF: &'static str = #of;
                    }
                });
            }
        }
        Ok(all)
    }

    /// The service as a source of events, if it tells any: into how many partitions they are divided stands in the
    /// documentation of the interface `events`.
    pub fn source(&self) -> anyhow::Result<TokenStream> {
        let name = &self.0.name.name;
        let Some(events) = self.interface("events") else { return Ok(TokenStream::new()) };
        let words: Vec<&str> =
            events.docs.contents.as_deref().unwrap_or_default().split_whitespace().collect();
        let said = words.windows(2).find_map(|pair| match pair {
            [number, of] if of.starts_with("partition") => number.parse::<u32>().ok(),
            _ => None,
        });
        let partitions =
            said.context("its interface `events` does not say how many partitions the log has")?;
        let (constant, docs) =
            (format_ident!("{}", snake(name).to_uppercase()), format!("The log of {name}."));
        Ok(quote! {
            #[doc = #docs]
            pub const #constant: ::trellis_kit::Source = ::trellis_kit::Source::new(#name, #partitions);
        })
    }

    /// A module with a function for each of these that has a route, which asks it by that.
    pub fn client(&self, routes: &Routes) -> anyhow::Result<TokenStream> {
        let name = &self.0.name.name;
        let (module, docs) = (rust_name(name), format!("Asks {name}."));
        let mut functions = TokenStream::new();
        for function in self.api() {
            let rust = snake(&function.name);
            if let Some(route) = routes.all.iter().find(|route| route.function == rust) {
                functions.extend(self.asking(name, function, route)?);
            }
        }
        let Routes { file, .. } = routes;
        Ok(quote! {
            #[doc = #docs]
            pub mod #module {
                #[allow(unused_imports, reason = "which types the functions take is theirs to say")]
                use super::super::trellis::#module::types::*;
                use ::trellis_kit::PageRequest;
                use ::trellis_kit::http::{Answer, Asker, CallError};

                // Whoever changes the routes changes these functions.
                const _: &str = ::core::include_str!(#file);

                #functions
            }
        })
    }

    /// A function that asks for another one by its route.
    fn asking(&self, service: &str, function: &Function, route: &Route) -> anyhow::Result<TokenStream> {
        let (mut takes, mut sends) = (TokenStream::new(), TokenStream::new());
        for param in &function.params {
            let (name, of) = (rust_name(&param.name), self.rust(param.ty)?);
            let (taken, sent) = match (param.ty, self.name_of(param.ty)) {
                (_, Some(CONTEXT)) => continue,
                (Type::String, _) => (quote!(&str), quote!(.word(#name))),
                (_, Some("page-request")) => (quote!(&PageRequest), quote!(.page(#name))),
                (of_wit, _) if self.is_option(of_wit) => (of, quote!(.parameter(#name.as_ref())?)),
                _ => (quote!(&#of), quote!(.body(#name)?)),
            };
            takes.extend(quote!(#name: #taken,));
            sends.extend(sent);
        }
        let Route { method, pattern, answer, .. } = route;
        let result = function.result.context("a function that has a route has a result")?;
        let (reads, answer) = match answer.as_str() {
            "page" => ("part", self.rust(self.good(result)?)?),
            "done" => ("nothing", quote! { () }),
            _ => ("whole", self.rust(self.good(result)?)?),
        };
        let reads = format_ident!("{reads}");
        let (name, docs) = (rust_name(&function.name), docs(function));
        Ok(quote! {
            #[doc = #docs]
            pub fn #name(asker: &Asker<'_>, #takes) -> ::core::result::Result<Answer<#answer>, CallError> {
                asker.question(#service, #method, #pattern)#sends.#reads()
            }
        })
    }

    /// What a result is if all went well.
    fn good(&self, result: Type) -> anyhow::Result<Type> {
        let Type::Id(id) = result else { return Ok(result) };
        let kind = &self.0.types.get(id).context("a type that is not in the package")?.kind;
        match kind {
            TypeDefKind::Result(of) => of.ok.context("a function that has a route answers something"),
            _ => Ok(result),
        }
    }

    fn api(&self) -> impl Iterator<Item = &Function> {
        self.interface("api").into_iter().flat_map(|api| api.functions.values())
    }

    fn interface(&self, name: &str) -> Option<&Interface> {
        let mut all = self.0.interfaces.iter().map(|(_, interface)| interface);
        all.find(|interface| interface.name.as_deref() == Some(name))
    }

    /// What the WIT calls a type, if it has a name.
    fn name_of(&self, of: Type) -> Option<&str> {
        let Type::Id(id) = of else { return None };
        self.0.types.get(id)?.name.as_deref()
    }

    fn is_option(&self, of: Type) -> bool {
        let Type::Id(id) = of else { return false };
        self.0.types.get(id).is_some_and(|of| matches!(of.kind, TypeDefKind::Option(_)))
    }

    /// A type as the binding generator names it where a function takes it.
    fn rust(&self, of: Type) -> anyhow::Result<TokenStream> {
        Ok(match of {
            Type::Bool => quote!(bool),
            Type::U8 => quote!(u8),
            Type::U16 => quote!(u16),
            Type::U32 => quote!(u32),
            Type::U64 => quote!(u64),
            Type::S8 => quote!(i8),
            Type::S16 => quote!(i16),
            Type::S32 => quote!(i32),
            Type::S64 => quote!(i64),
            Type::F32 => quote!(f32),
            Type::F64 => quote!(f64),
            Type::Char => quote!(char),
            Type::String => quote!(::std::string::String),
            Type::Id(id) => {
                let of = self.0.types.get(id).context("a type that is not in the package")?;
                match (&of.name, &of.kind) {
                    (Some(name), _) => {
                        let name = camel(name);
                        quote!(#name)
                    }
                    (None, TypeDefKind::Option(of)) => {
                        let of = self.rust(*of)?;
                        quote!(::core::option::Option<#of>)
                    }
                    (None, TypeDefKind::List(of)) => {
                        let of = self.rust(*of)?;
                        quote!(::std::vec::Vec<#of>)
                    }
                    (None, TypeDefKind::Result(of)) => {
                        let side = |of: Option<Type>| of.map_or(Ok(quote!(())), |of| self.rust(of));
                        let (good, bad) = (side(of.ok)?, side(of.err)?);
                        quote!(::core::result::Result<#good, #bad>)
                    }
                    (None, kind) => anyhow::bail!("a function of a service takes no {}", kind.as_str()),
                }
            }
            Type::ErrorContext => anyhow::bail!("a function of a service takes no error-context"),
        })
    }
}

/// What the WIT calls the context of a call.
const CONTEXT: &str = "context";

fn docs(function: &Function) -> &str {
    function.docs.contents.as_deref().unwrap_or_default()
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// As the binding generator names functions, parameters and modules, which may be called as keywords are.
fn rust_name(name: &str) -> Ident {
    Ident::new_raw(&snake(name), Span::call_site())
}

/// `new-post` is `NewPost`.
fn camel(name: &str) -> Ident {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    format_ident!("{}", name.split('-').map(capital).collect::<String>())
}

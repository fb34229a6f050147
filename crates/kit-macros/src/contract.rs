//! The functions that a service promises in its WIT, as [`bindings!`](crate::bindings) writes them down.

use anyhow::Context as _;
use wit_parser::{Function, Interface, Type, TypeDefKind, UnresolvedPackage, UnresolvedPackageGroup};

use crate::routes::{Route, Routes};

/// The package of a service.
pub struct Contract(UnresolvedPackage);

/// Reads `wit/<service>`, seen from the folder of a component.
pub fn read(service: &str) -> anyhow::Result<Contract> {
    let component = std::env::var("CARGO_MANIFEST_DIR")?;
    Ok(Contract(UnresolvedPackageGroup::parse_dir(format!("{component}/../../wit/{service}"))?.main))
}

impl Contract {
    /// What the WIT says of each function of `api`, by its name in Rust: the binding generator keeps only what it says of
    /// types.
    pub fn functions(&self) -> String {
        let described =
            self.api().map(|function| format!("({:?}, {:?}), ", snake(&function.name), docs(function)));
        format!(
            "/// What the WIT says of each function.
            pub const FUNCTIONS: &[(&str, &str)] = &[{}];",
            described.collect::<String>()
        )
    }

    /// The trait of these functions with a `Cx` in the place of the context, and what the binding generator asks for by
    /// means of it.
    pub fn guest(&self, module: &str) -> anyhow::Result<String> {
        let (mut promised, mut given) = (String::new(), String::new());
        for function in self.api() {
            let name = snake(&function.name);
            let result = function.result.map_or(Ok("()".to_owned()), |of| self.rust(of))?;
            let (mut takes, mut gets, mut gives) = (String::new(), String::new(), String::new());
            for param in &function.params {
                let (param, of) = (snake(&param.name), self.rust(param.ty)?);
                if of == CONTEXT {
                    takes += &format!("r#{param}: &Cx, ");
                    gives += &format!("&Cx::from(r#{param}), ");
                } else {
                    takes += &format!("r#{param}: {of}, ");
                    gives += &format!("r#{param}, ");
                }
                gets += &format!("r#{param}: {of}, ");
            }
            promised += &format!("#[doc = {:?}] fn r#{name}({takes}) -> {result};", docs(function));
            given += &format!("fn r#{name}({gets}) -> {result} {{ <S as Guest>::r#{name}({gives}) }}");
        }
        Ok(format!(
            "pub mod api {{
                pub use super::bindings::exports::trellis::{module}::api::*;
                pub use ::trellis_kit::Cx;

                /// The functions of the service, as the WIT states them.
                pub trait Guest {{ {promised} }}

                impl<S: Guest> super::bindings::exports::trellis::{module}::api::Guest for S {{ {given} }}
            }}"
        ))
    }

    /// That the variants of `events` are events, but for those of which somebody else says so.
    pub fn events(&self, by_hand: &[String]) -> anyhow::Result<String> {
        let module = snake(&self.0.name.name);
        let mut all = String::new();
        for (name, id) in self.interface("events").into_iter().flat_map(|events| &events.types) {
            let kind = &self.0.types.get(*id).context("a type that is not in the package")?.kind;
            let (Some(of), TypeDefKind::Variant(_)) = (name.strip_suffix("-event"), kind) else { continue };
            let event = camel(name);
            if !by_hand.contains(&event) {
                all += &format!(
                    "impl ::trellis_kit::Event for trellis::{module}::events::{event} {{
                        const OF: &'static str = {of:?};
                    }}"
                );
            }
        }
        Ok(all)
    }

    /// The service as a source of events, if it tells any: into how many partitions they are divided stands in the
    /// documentation of the interface `events`.
    pub fn source(&self) -> anyhow::Result<String> {
        let name = &self.0.name.name;
        let Some(events) = self.interface("events") else { return Ok(String::new()) };
        let words: Vec<&str> =
            events.docs.contents.as_deref().unwrap_or_default().split_whitespace().collect();
        let said = words.windows(2).find_map(|pair| match pair {
            [number, of] if of.starts_with("partition") => number.parse::<u32>().ok(),
            _ => None,
        });
        let partitions =
            said.context("its interface `events` does not say how many partitions the log has")?;
        Ok(format!(
            "/// The log of {name}.
            pub const {}: ::trellis_kit::Source = ::trellis_kit::Source::new({name:?}, {partitions});",
            snake(name).to_uppercase()
        ))
    }

    /// A module with a function for each of these that has a route, which asks it by that.
    pub fn client(&self, routes: &Routes) -> anyhow::Result<String> {
        let name = &self.0.name.name;
        let module = snake(name);
        let mut functions = String::new();
        for function in self.api() {
            let rust = snake(&function.name);
            if let Some(route) = routes.all.iter().find(|route| route.function == rust) {
                functions += &self.asking(name, function, route)?;
            }
        }
        let Routes { file, .. } = routes;
        Ok(format!(
            "/// Asks {name}.
            pub mod {module} {{
                #[allow(unused_imports, reason = \"which types the functions take is theirs to say\")]
                use super::super::trellis::{module}::types::*;
                use ::trellis_kit::PageRequest;
                use ::trellis_kit::http::{{Answer, Asker, CallError}};

                // Whoever changes the routes changes these functions.
                const _: &str = ::core::include_str!({file:?});

                {functions}
            }}"
        ))
    }

    /// A function that asks for another one by its route.
    fn asking(&self, service: &str, function: &Function, route: &Route) -> anyhow::Result<String> {
        let (mut takes, mut sends) = (String::new(), String::new());
        for param in &function.params {
            let (name, of) = (snake(&param.name), self.rust(param.ty)?);
            let (taken, sent) = match (param.ty, of.as_str()) {
                (_, CONTEXT) => continue,
                (Type::String, _) => ("&str".to_owned(), format!(".word(r#{name})")),
                (_, "PageRequest") => ("&PageRequest".to_owned(), format!(".page(r#{name})")),
                (_, of) if of.starts_with("::core::option::Option") => {
                    (of.to_owned(), format!(".parameter(r#{name}.as_ref())?"))
                }
                (_, of) => (format!("&{of}"), format!(".body(r#{name})?")),
            };
            takes += &format!("r#{name}: {taken}, ");
            sends += &sent;
        }
        let Route { method, pattern, answer, .. } = route;
        let reads = if answer == "page" { "part" } else { "whole" };
        let result = function.result.context("a function that has a route has a result")?;
        let answer = self.rust(self.good(result)?)?;
        let name = snake(&function.name);
        Ok(format!(
            "#[doc = {:?}]
            pub fn r#{name}(asker: &Asker<'_>, {takes}) -> ::core::result::Result<Answer<{answer}>, CallError> {{
                asker.question({service:?}, {method:?}, {pattern:?}){sends}.{reads}()
            }}",
            docs(function)
        ))
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

    /// A type as the binding generator names it where a function takes it.
    fn rust(&self, of: Type) -> anyhow::Result<String> {
        let plain = match of {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "i8",
            Type::S16 => "i16",
            Type::S32 => "i32",
            Type::S64 => "i64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "::std::string::String",
            Type::Id(id) => {
                let of = self.0.types.get(id).context("a type that is not in the package")?;
                return match (&of.name, &of.kind) {
                    (Some(name), _) => Ok(camel(name)),
                    (None, TypeDefKind::Option(of)) => {
                        Ok(format!("::core::option::Option<{}>", self.rust(*of)?))
                    }
                    (None, TypeDefKind::List(of)) => Ok(format!("::std::vec::Vec<{}>", self.rust(*of)?)),
                    (None, TypeDefKind::Result(of)) => {
                        let side = |of: Option<Type>| of.map_or(Ok("()".to_owned()), |of| self.rust(of));
                        Ok(format!("::core::result::Result<{}, {}>", side(of.ok)?, side(of.err)?))
                    }
                    (None, kind) => anyhow::bail!("a function of a service takes no {}", kind.as_str()),
                };
            }
            Type::ErrorContext => anyhow::bail!("a function of a service takes no error-context"),
        };
        Ok(plain.to_owned())
    }
}

/// What the context of a call is named in Rust.
const CONTEXT: &str = "Context";

fn docs(function: &Function) -> &str {
    function.docs.contents.as_deref().unwrap_or_default()
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// `new-post` is `NewPost`.
fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('-').map(capital).collect()
}

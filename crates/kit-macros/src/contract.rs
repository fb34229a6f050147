//! The functions that a service promises in its WIT, as [`bindings!`](crate::bindings) writes them down.

use anyhow::Context as _;
use wit_parser::{Function, Interface, Type, TypeDefKind, UnresolvedPackage, UnresolvedPackageGroup};

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

    fn api(&self) -> impl Iterator<Item = &Function> {
        let apis = self.0.interfaces.iter().map(|(_, interface)| interface);
        let apis = apis.filter(|interface: &&Interface| interface.name.as_deref() == Some("api"));
        apis.flat_map(|api| api.functions.values())
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

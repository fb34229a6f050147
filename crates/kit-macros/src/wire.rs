//! The derive [`Wire`](crate::Wire): a type as it comes from WIT, its JSON, and what that looks like.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Data, DeriveInput, Expr, Fields, Ident, Meta, Result, Type, TypePath, Visibility, parse_quote,
};

/// A field with its type, or a case with what it carries.
struct Part {
    name: Ident,
    docs: TokenStream,
    kind: Option<Type>,
}

pub fn derive(item: &DeriveInput) -> Result<TokenStream> {
    let parts = parts(item)?;
    let shape = match item.data {
        Data::Enum(_) if parts.iter().any(|part| part.kind.is_some()) => Shape::Variant,
        Data::Enum(_) => Shape::Words,
        _ => Shape::Record,
    };
    let (json, schema) = (json(item, shape), schema(item, &parts, shape));
    let roles = matches!(shape, Shape::Record).then(|| roles(&item.ident, &parts));
    Ok(quote! { const _: () = { #json #schema #roles }; })
}

#[derive(Clone, Copy)]
enum Shape {
    Record,
    /// An enum of WIT.
    Words,
    Variant,
}

/// The fields of a struct, or the cases of an enum.
fn parts(item: &DeriveInput) -> Result<Vec<Part>> {
    let unfit =
        || syn::Error::new_spanned(&item.ident, "Wire is for structs and enums as they come from WIT");
    if !item.generics.params.is_empty() {
        return Err(unfit());
    }
    match &item.data {
        Data::Struct(of) => {
            let Fields::Named(fields) = &of.fields else { return Err(unfit()) };
            let fields = fields.named.iter().map(|field| {
                let name = field.ident.clone().ok_or_else(unfit)?;
                Ok(Part { name, docs: docs(&field.attrs), kind: Some(field.ty.clone()) })
            });
            fields.collect()
        }
        Data::Enum(of) => {
            let cases = of.variants.iter().map(|case| {
                let kind = match &case.fields {
                    Fields::Unit => None,
                    Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                        fields.unnamed.first().map(|field| field.ty.clone())
                    }
                    _ => return Err(unfit()),
                };
                Ok(Part { name: case.ident.clone(), docs: docs(&case.attrs), kind })
            });
            cases.collect()
        }
        Data::Union(_) => Err(unfit()),
    }
}

/// `Serialize` and `Deserialize`, by a twin of the type from which serde derives them.
fn json(item: &DeriveInput, shape: Shape) -> TokenStream {
    let name = &item.ident;
    let twin = DeriveInput {
        attrs: Vec::new(),
        vis: Visibility::Inherited,
        ident: format_ident!("Twin"),
        ..item.clone()
    };
    let remote = name.to_string();
    let tagged = matches!(shape, Shape::Variant).then(|| quote!(, tag = "type", content = "data"));
    // serde would take the case of an enum as the key of an object too, and the fields of a record from a list.
    let deserialize = match shape {
        Shape::Words => quote! {
            let word = <::std::string::String as ::trellis_kit::rt::serde::Deserialize>::deserialize(from)?;
            Twin::deserialize(::trellis_kit::rt::serde::de::IntoDeserializer::<D::Error>::into_deserializer(word))
        },
        Shape::Record | Shape::Variant => quote!(Twin::deserialize(::trellis_kit::rt::Object(from))),
    };
    quote! {
        #[derive(::trellis_kit::rt::serde::Serialize, ::trellis_kit::rt::serde::Deserialize)]
        #[serde(crate = "::trellis_kit::rt::serde", remote = #remote, rename_all = "snake_case" #tagged)]
        #twin

        impl ::trellis_kit::rt::serde::Serialize for #name {
            fn serialize<S: ::trellis_kit::rt::serde::Serializer>(
                &self,
                to: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                Twin::serialize(self, to)
            }
        }

        impl<'de> ::trellis_kit::rt::serde::Deserialize<'de> for #name {
            fn deserialize<D: ::trellis_kit::rt::serde::Deserializer<'de>>(
                from: D,
            ) -> ::core::result::Result<Self, D::Error> {
                #deserialize
            }
        }
    }
}

/// What the JSON looks like, as `trellis_kit::schema` describes it.
fn schema(item: &DeriveInput, parts: &[Part], shape: Shape) -> TokenStream {
    let (name, docs) = (&item.ident, docs(&item.attrs));
    let (text, kind) = (
        name.unraw().to_string(),
        match shape {
            Shape::Record => quote!(Record),
            Shape::Words => quote!(Words),
            Shape::Variant => quote!(Variant),
        },
    );
    let parts = parts.iter().map(|Part { name, docs, kind }| {
        let name = name.unraw().to_string();
        let name = if matches!(shape, Shape::Record) { name } else { snake_case(&name) };
        let of = match kind.clone() {
            Some(mut kind) => {
                Timestamps.visit_type_mut(&mut kind);
                quote!(::core::option::Option::Some(<#kind as ::trellis_kit::Wire>::JSON))
            }
            None => quote!(::core::option::Option::None),
        };
        quote!(::trellis_kit::schema::Part { name: #name, docs: #docs, of: #of })
    });
    quote! {
        impl ::trellis_kit::Wire for #name {
            const JSON: &'static ::trellis_kit::schema::Schema =
                &::trellis_kit::schema::Schema::Named(&::trellis_kit::schema::Named {
                    name: #text,
                    module: ::core::module_path!(),
                    docs: #docs,
                    shape: ::trellis_kit::schema::Shape::#kind,
                    parts: &[#(#parts),*],
                });
        }
    }
}

/// Puts the type that stands for timestamps in their place: in Rust a timestamp is any text, in WIT it has a name.
struct Timestamps;

impl VisitMut for Timestamps {
    fn visit_type_path_mut(&mut self, of: &mut TypePath) {
        match of.path.segments.last() {
            Some(last) if last.ident == "Timestamp" => *of = parse_quote!(::trellis_kit::schema::Timestamp),
            _ => visit_mut::visit_type_path_mut(self, of),
        }
    }
}

/// What a record can be in a route: a body; and a page, if its name says so and it is something and `next`.
fn roles(name: &Ident, parts: &[Part]) -> TokenStream {
    let body = quote!(impl ::trellis_kit::schema::Record for #name {});
    let (one, next) = match parts {
        [one, next] | [next, one] if next.name == "next" && name.to_string().ends_with("Page") => (one, next),
        _ => return body,
    };
    let (field, part, option) = (&one.name, &one.kind, &next.kind);
    quote! {
        #body
        impl ::trellis_kit::schema::Page for #name {
            type Part = #part;
            fn parts(self) -> (Self::Part, #option) {
                (self.#field, self.next)
            }
            fn whole(#field: Self::Part, next: #option) -> Self {
                Self { #field, next }
            }
        }
    }
}

/// The documentation, as an expression: its lines stay literals, for the compiler to read.
fn docs(attributes: &[Attribute]) -> TokenStream {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(of) if of.path.is_ident("doc") => Some(&of.value),
        _ => None,
    });
    let lines = lines.map(|line: &Expr| quote!(#line, "\n",));
    quote!(::core::concat!(#(#lines)*))
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

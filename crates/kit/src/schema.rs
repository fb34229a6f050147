//! What a type looks like in JSON: [`Wire`], which says so for the types that come from WIT.
//!
//! A [`Schema`] is plain data in the component. Nothing is made of it until somebody asks what the service offers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that is written and read as JSON. The derive of the same name is how a type from WIT comes by it.
pub trait Wire {
    const JSON: &'static Schema;
}

/// A record of the contract, which is a JSON object. The derive of [`Wire`] says which types are.
pub trait Record: Wire + DeserializeOwned {}

/// A part of a list: a record of that and of `next`. The derive of [`Wire`] says which types are.
pub trait Page {
    type Part: Wire + Serialize + DeserializeOwned;

    /// The part, and what to ask for the next one with.
    fn parts(self) -> (Self::Part, Option<String>);

    /// The same again, of both.
    fn whole(part: Self::Part, next: Option<String>) -> Self;
}

/// The JSON of a type.
#[derive(Debug, Clone, Copy)]
pub enum Schema {
    Nothing,
    Flag,
    Text,
    Character,
    /// An instant, as `timestamp` of `wit/common.wit` is written.
    Timestamp,
    /// A whole number with its least and greatest value.
    Whole(i64, u64),
    Number,
    /// What it is, or `null`.
    Optional(&'static Self),
    List(&'static Self),
    /// An object whose keys can be anything.
    Map(&'static Self),
    Named(&'static Named),
}

/// A record, an enum or a variant of WIT.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    pub name: &'static str,
    /// The Rust module that it is in, which names its package.
    pub module: &'static str,
    pub docs: &'static str,
    pub shape: Shape,
    pub parts: &'static [Part],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An object.
    Record,
    /// One of some words.
    Words,
    /// `{"type": <case>, "data": <payload>}`.
    Variant,
}

/// A field, or a case.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub name: &'static str,
    pub docs: &'static str,
    /// What is in the field; what the case carries, if it carries anything.
    pub of: Option<&'static Schema>,
}

/// Stands for `timestamp` of `wit/common.wit`, which is a plain text in Rust.
#[derive(Debug)]
pub struct Timestamp;

macro_rules! plain {
    ($($kind:ty => $schema:expr),* $(,)?) => {
        $(impl Wire for $kind {
            const JSON: &'static Schema = &$schema;
        })*
    };
}

plain! {
    () => Schema::Nothing,
    bool => Schema::Flag,
    String => Schema::Text,
    char => Schema::Character,
    Timestamp => Schema::Timestamp,
    u8 => Schema::Whole(0, u8::MAX as u64),
    u16 => Schema::Whole(0, u16::MAX as u64),
    u32 => Schema::Whole(0, u32::MAX as u64),
    u64 => Schema::Whole(0, u64::MAX),
    i8 => Schema::Whole(i8::MIN as i64, i8::MAX as u64),
    i16 => Schema::Whole(i16::MIN as i64, i16::MAX as u64),
    i32 => Schema::Whole(i32::MIN as i64, i32::MAX as u64),
    i64 => Schema::Whole(i64::MIN, i64::MAX as u64),
    f32 => Schema::Number,
    f64 => Schema::Number,
}

impl<T: Wire> Wire for Option<T> {
    const JSON: &'static Schema = &Schema::Optional(T::JSON);
}

impl<T: Wire> Wire for Vec<T> {
    const JSON: &'static Schema = &Schema::List(T::JSON);
}

impl<T: Wire> Wire for BTreeMap<String, T> {
    const JSON: &'static Schema = &Schema::Map(T::JSON);
}

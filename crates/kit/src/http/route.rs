//! The route table: [`routes!`](crate::routes), and how a function of the WIT contract answers a request.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::call::Call;
use super::exchange::Response;
use crate::contract::types::PageRequest;
use crate::cx::Cx;
use crate::problem::Problem;
use crate::schema::{Record, Schema, Wire};

/// One line of a service's route table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub method: &'static str,
    /// `/posts/{id}`: a word in braces stands for one whole segment.
    pub pattern: &'static str,
    /// The parameters of the query that the function takes, with `&` between them.
    pub query: &'static str,
    pub access: Access,
    pub call: fn(&Call<'_>) -> Result<Response, Problem>,
    /// The function of the contract that answers; none is for a closure, of which nothing is known.
    pub function: Option<Function>,
}

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The service itself and those that ask it: no gateway lets anybody in by it.
    Own,
    Anyone,
    /// Callers who are trusted with this role.
    Role(&'static str),
}

impl Access {
    /// As a service says it to a gateway: `anyone` or `role:<name>`, and nothing of what is its own.
    pub fn who(self) -> Option<Cow<'static, str>> {
        match self {
            Self::Own => None,
            Self::Anyone => Some(Cow::Borrowed("anyone")),
            Self::Role(role) => Some(Cow::Owned(format!("role:{role}"))),
        }
    }
}

/// What is known of a function that a route calls.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// As it stands in the route table: `Self::create`.
    pub path: &'static str,
    pub takes: &'static [Takes],
    pub answers: Answers,
}

/// Where an argument comes from.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// The next word in braces.
    Word,
    /// The next parameter that the pattern names after its question mark.
    Query(&'static Schema),
    /// `?limit=` and `?after=`.
    Page,
    /// The JSON of the body.
    Body(&'static Schema),
}

/// How the result is answered, and what the body is then.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    Ok(&'static Schema),
    Created(&'static Schema),
    Accepted(&'static Schema),
    Awaited(&'static Schema),
    Made(&'static Schema),
    Done,
    Page(&'static Schema),
}

impl Route {
    pub fn is_public(&self) -> bool {
        self.access != Access::Own
    }

    /// A route that calls a function of the contract. That the pattern has what the function takes is seen at compile
    /// time.
    #[doc(hidden)]
    pub const fn to(
        method: &'static str,
        pattern: &'static str,
        access: Access,
        call: fn(&Call<'_>) -> Result<Response, Problem>,
        function: Function,
    ) -> Self {
        let mut route = Self::with(method, pattern, access, call);
        let (mut words, mut parameters, mut rest) = (0, 0, function.takes);
        while let [takes, others @ ..] = rest {
            match takes {
                Takes::Word => words += 1,
                Takes::Query(_) => parameters += 1,
                Takes::Page | Takes::Body(_) => {}
            }
            rest = others;
        }
        assert!(words == count(route.pattern, b'{'), "a function takes each word in braces as a String");
        let named = if route.query.is_empty() { 0 } else { 1 + count(route.query, b'&') };
        assert!(parameters == named, "a function takes each parameter named after the ? as an Option");
        route.function = Some(function);
        route
    }

    /// A route that answers in its own way.
    #[doc(hidden)]
    pub const fn with(
        method: &'static str,
        pattern: &'static str,
        access: Access,
        call: fn(&Call<'_>) -> Result<Response, Problem>,
    ) -> Self {
        let (pattern, query) = split(pattern);
        Self { method, pattern, query, access, call, function: None }
    }
}

/// `/queue?status` is a path and the names of parameters.
const fn split(pattern: &'static str) -> (&'static str, &'static str) {
    let mut rest = pattern.as_bytes();
    while let [byte, others @ ..] = rest {
        if *byte == b'?' {
            let (path, _) = pattern.split_at(pattern.len() - rest.len());
            return (path, pattern.split_at(pattern.len() - others.len()).1);
        }
        rest = others;
    }
    (pattern, "")
}

const fn count(text: &str, byte: u8) -> usize {
    let (mut found, mut rest) = (0, text.as_bytes());
    while let [first, others @ ..] = rest {
        found += (*first == byte) as usize;
        rest = others;
    }
    found
}

/// A function of the contract, as a route can call it: it takes the [`Cx`] and `Arguments`.
pub trait Handler<Arguments> {
    type Result;
    const TAKES: &'static [Takes];

    fn handle(&self, call: &Call<'_>) -> Result<Self::Result, Problem>;
}

/// What a function can take besides the [`Cx`].
pub trait Argument: Sized {
    const TAKES: Takes;

    fn take(from: &mut Rest<'_>) -> Result<Self, Problem>;
}

/// A request, and what of it has not been taken yet.
#[derive(Debug)]
pub struct Rest<'c> {
    call: &'c Call<'c>,
    words: std::slice::Iter<'c, (&'static str, &'c str)>,
    query: std::str::Split<'static, char>,
}

macro_rules! handlers {
    ($($argument:ident)*) => {
        impl<F, R, $($argument: Argument),*> Handler<($($argument,)*)> for F
        where
            F: Fn(&Cx, $($argument),*) -> Result<R, Problem>,
        {
            type Result = R;
            const TAKES: &'static [Takes] = &[$($argument::TAKES),*];

            #[allow(non_snake_case, unused, reason = "the arguments are named as their types are")]
            fn handle(&self, call: &Call<'_>) -> Result<R, Problem> {
                let mut rest =
                    Rest { call, words: call.params.iter(), query: call.query.split('&') };
                $(let $argument = $argument::take(&mut rest)?;)*
                self(call.cx(), $($argument),*)
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A B);
handlers!(A B C);
handlers!(A B C D);

impl Argument for String {
    const TAKES: Takes = Takes::Word;

    fn take(from: &mut Rest<'_>) -> Result<Self, Problem> {
        let word = from.words.next();
        word.map(|(_, word)| (*word).to_owned()).ok_or_else(|| Problem::internal("a route lacks a word"))
    }
}

impl<T: Wire + DeserializeOwned> Argument for Option<T> {
    const TAKES: Takes = Takes::Query(T::JSON);

    fn take(from: &mut Rest<'_>) -> Result<Self, Problem> {
        let name = from.query.next().ok_or_else(|| Problem::internal("a route lacks a parameter"))?;
        from.call.query_as(name)
    }
}

impl Argument for PageRequest {
    const TAKES: Takes = Takes::Page;

    fn take(from: &mut Rest<'_>) -> Result<Self, Problem> {
        from.call.page()
    }
}

impl<T: Record> Argument for T {
    const TAKES: Takes = Takes::Body(T::JSON);

    fn take(from: &mut Rest<'_>) -> Result<Self, Problem> {
        from.call.body()
    }
}

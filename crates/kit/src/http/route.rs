//! The route table: [`routes!`](crate::routes), and how a function of the WIT contract answers a request.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Call, Response};
use crate::schema::{Schema, Wire};
use crate::{Aggregate, Context, PageRequest, Problem};

/// One line of a service's route table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub method: &'static str,
    /// `/posts/{id}`: a word in braces stands for one whole segment.
    pub pattern: &'static str,
    /// The parameters of the query that the function takes, with `&` between them.
    pub query: &'static str,
    /// Whether a gateway lets the public have it. What is not public is the service's own.
    pub public: bool,
    pub call: fn(&Call<'_>) -> Result<Response, Problem>,
    /// The function of the contract that answers; none is for a closure, of which nothing is known.
    pub function: Option<Function>,
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
    Page(&'static Schema),
}

/// A record of the contract, which is a JSON object. The derive of [`Wire`] says which types are.
pub trait Record: Wire + DeserializeOwned {}

/// A part of a list: a record of that and of `next`. The derive of [`Wire`] says which types are.
pub trait Page {
    type Part: Wire + Serialize;

    /// The part, and what to ask for the next one with.
    fn parts(self) -> (Self::Part, Option<String>);
}

/// A table of [`Route`]s: which function answers, and how.
///
/// ```ignore
/// const ROUTES: &[Route] = routes! {
///     POST "/posts" => created(Self::create),
///     own GET "/posts" => page(Self::list),
///     GET "/posts/{id}" => ok(Self::get),
///     GET "/moderation/queue?status" => page(Self::queue),
///     GET "/" => |call| Ok(Response::empty(204)),
/// };
/// ```
/// The function takes the [`Context`] and then, each by its type, in the order of the pattern: its words in braces as
/// `String`, the parameters named after its question mark as `Option`, the [`PageRequest`], and a record from the body.
/// A result is answered as `ok`, 200 with the JSON of it; `created`, 201 with the JSON of the entity and where it is found;
/// or `page`, 200 with a part of a list and where the next one is found. A closure can answer with anything. `own` is
/// what the public does not get.
#[macro_export]
macro_rules! routes {
    (@ [$($done:expr),*]) => { &[$($done),*] };
    (@ [$($done:expr),*] own $($rest:tt)*) => { $crate::routes!(@ false [$($done),*] $($rest)*) };
    (@ [$($done:expr),*] $($rest:tt)*) => { $crate::routes!(@ true [$($done),*] $($rest)*) };
    (@ $public:literal [$($done:expr),*]
        $method:ident $pattern:literal => $answer:ident($function:path) $(, $($rest:tt)*)?) => {
        $crate::routes!(@ [$($done,)* $crate::http::Route::to(
            stringify!($method),
            $pattern,
            $public,
            |call| $crate::http::answer::$answer(call, $function),
            $crate::http::function::$answer(stringify!($function), &$function),
        )] $($($rest)*)?)
    };
    (@ $public:literal [$($done:expr),*] $method:ident $pattern:literal => $call:expr $(, $($rest:tt)*)?) => {
        $crate::routes!(@ [$($done,)* $crate::http::Route::with(
            stringify!($method),
            $pattern,
            $public,
            $call,
        )] $($($rest)*)?)
    };
    ($($lines:tt)*) => { $crate::routes!(@ [] $($lines)*) };
}

impl Route {
    /// A route that calls a function of the contract. That the pattern has what the function takes is seen at compile
    /// time.
    #[doc(hidden)]
    pub const fn to(
        method: &'static str,
        pattern: &'static str,
        public: bool,
        call: fn(&Call<'_>) -> Result<Response, Problem>,
        function: Function,
    ) -> Self {
        let mut route = Self::with(method, pattern, public, call);
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
        public: bool,
        call: fn(&Call<'_>) -> Result<Response, Problem>,
    ) -> Self {
        let (pattern, query) = split(pattern);
        Self { method, pattern, query, public, call, function: None }
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

/// A function of the contract, as a route can call it: it takes the context and `Arguments`.
pub trait Handler<Arguments> {
    type Result;
    const TAKES: &'static [Takes];

    fn handle(&self, call: &Call<'_>) -> Result<Self::Result, Problem>;
}

/// What a function can take besides the context.
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
            F: Fn(Context, $($argument),*) -> Result<R, Problem>,
        {
            type Result = R;
            const TAKES: &'static [Takes] = &[$($argument::TAKES),*];

            #[allow(non_snake_case, unused, reason = "the arguments are named as their types are")]
            fn handle(&self, call: &Call<'_>) -> Result<R, Problem> {
                let mut rest =
                    Rest { call, words: call.params.iter(), query: call.route.query.split('&') };
                $(let $argument = $argument::take(&mut rest)?;)*
                self(call.context(), $($argument),*)
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

/// How the result of a function is answered.
#[doc(hidden)]
pub mod answer {
    use super::*;

    pub fn ok<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
    where
        H::Result: Serialize,
    {
        call.ok(function.handle(call))
    }

    pub fn created<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
    where
        H::Result: Aggregate,
    {
        call.created(function.handle(call))
    }

    pub fn page<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
    where
        H::Result: Page,
    {
        let (part, next) = function.handle(call)?.parts();
        call.part(&part, next.as_deref())
    }
}

/// What the same functions are, for whoever wants to know.
#[doc(hidden)]
pub mod function {
    use super::*;

    pub const fn ok<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
    where
        H::Result: Wire,
    {
        Function { path, takes: H::TAKES, answers: Answers::Ok(H::Result::JSON) }
    }

    pub const fn created<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
    where
        H::Result: Wire,
    {
        Function { path, takes: H::TAKES, answers: Answers::Created(H::Result::JSON) }
    }

    pub const fn page<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
    where
        H::Result: Page,
    {
        Function { path, takes: H::TAKES, answers: Answers::Page(<H::Result as Page>::Part::JSON) }
    }
}

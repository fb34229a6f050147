//! What is known of a function, by how a route table says that its result is answered.

use super::route::{Answers, Function, Handler};
use crate::schema::{Page, Wire};

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

pub const fn accepted<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
where
    H::Result: Wire,
{
    Function { path, takes: H::TAKES, answers: Answers::Accepted(H::Result::JSON) }
}

pub const fn awaited<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
where
    H::Result: Wire,
{
    Function { path, takes: H::TAKES, answers: Answers::Awaited(H::Result::JSON) }
}

pub const fn made<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
where
    H::Result: Wire,
{
    Function { path, takes: H::TAKES, answers: Answers::Made(H::Result::JSON) }
}

pub const fn done<A, H: Handler<A, Result = ()>>(path: &'static str, _function: &H) -> Function {
    Function { path, takes: H::TAKES, answers: Answers::Done }
}

pub const fn page<A, H: Handler<A>>(path: &'static str, _function: &H) -> Function
where
    H::Result: Page,
{
    Function { path, takes: H::TAKES, answers: Answers::Page(<H::Result as Page>::Part::JSON) }
}

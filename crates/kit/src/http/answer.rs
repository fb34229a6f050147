//! How the result of a function is answered, in the words of a route table.

use serde::Serialize;

use super::call::Call;
use super::exchange::Response;
use super::located::{Awaited, Located};
use super::route::Handler;
use crate::problem::Problem;
use crate::schema::Page;

pub fn ok<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
where
    H::Result: Serialize,
{
    call.ok(function.handle(call))
}

pub fn created<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
where
    H::Result: Located,
{
    call.created(function.handle(call))
}

pub fn accepted<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
where
    H::Result: Located,
{
    call.accepted(function.handle(call))
}

pub fn awaited<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
where
    H::Result: Awaited,
{
    call.awaited(function.handle(call))
}

pub fn made<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
where
    H::Result: Serialize,
{
    Response::json(201, &function.handle(call)?)
}

pub fn done<A, H: Handler<A, Result = ()>>(call: &Call<'_>, function: H) -> Result<Response, Problem> {
    function.handle(call)?;
    Ok(Response::empty(204))
}

pub fn page<A, H: Handler<A>>(call: &Call<'_>, function: H) -> Result<Response, Problem>
where
    H::Result: Page,
{
    let (part, next) = function.handle(call)?.parts();
    call.part(&part, next.as_deref())
}

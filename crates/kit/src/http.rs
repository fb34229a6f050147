//! HTTP as services see it: a table of routes that call the functions of the WIT contract, and nothing else.
//!
//! A route says which function answers and how; what the function takes of the request follows from its types:
//! ```ignore
//! const ROUTES: &[Route] = routes! {
//!     POST "/posts" => created(Self::create),
//!     GET "/posts/{id}" => ok(Self::get),
//! };
//! ```
//! The same table answers requests of the `wasi:http` export and those that come as messages on `svc.<service>`.

#[doc(hidden)]
pub mod answer;
mod ask;
mod call;
mod client;
mod error;
mod exchange;
mod form;
#[doc(hidden)]
pub mod function;
mod located;
mod message;
mod path;
pub(crate) mod remembered;
mod route;
mod router;
#[cfg(target_arch = "wasm32")]
mod wasi;

pub use crate::position::HEADER as POSITION;
pub use ask::ask;
pub use call::Call;
pub use client::{ADDRESS, Answer, Asker, CALLER, NAME, ROLES, SESSION};
pub use error::{AskError, CallError};
pub use exchange::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_MESSAGE, Request, Response};
pub use located::{Awaited, Located};
pub(crate) use message::answer as answer_message;
#[cfg(test)]
pub(crate) use message::parse as read_message;
pub use path::percent_decoded as decoded;
pub use path::{Path, allowed, encoded, is_any, is_pattern, shape, words};
pub use route::{Access, Route};
#[doc(hidden)]
pub use route::{Answers, Argument, Function, Handler, Rest, Takes};
pub use router::Routes;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasi::serve;

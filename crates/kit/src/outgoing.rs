//! Asking servers that are no part of the application, over HTTP.
//!
//! ```ignore
//! let request = Request::post("https://api.example.com/v1/charges")
//!     .header("authorization", format!("Bearer {key}"))
//!     .header("idempotency-key", &payment.id)
//!     .body(form.into_bytes())?;
//! match reaction.send(&request, Duration::from_secs(5)) {
//!     Ok(response) if response.status().is_success() => note(&response),
//!     Ok(response) => note_refused(&response),
//!     // It is as if nobody had asked.
//!     Err(error @ SendError::NotSent(_)) => Err(Failure::later(A_WHILE, error)),
//!     // It may be done, or not, or be done in a while: ask whether it is, or the same again with the same key.
//!     Err(error @ SendError::Unknown(_)) => Err(Failure::later(A_WHILE, error)),
//! }
//! ```
//! [`Cx::send`] does it for whoever calls, [`Reaction::send`](crate::Reaction::send) because of an event. Whoever can take its time with
//! one event should not hold up others: [`at_once`](crate::timers!).
//!
//! An answer is whatever the server answers, of any status. Redirects are not followed. Its body has 1 MiB at most, and it is there within
//! 8 seconds of the request or never: a longer patience is taken as that. Nothing is sent twice, and no connection is kept.
//!
//! Which servers may be asked, the operator says in the config `outgoing-origins`, and nothing is allowed that is not there:
//! `["https://api.example.com", "http://127.0.0.1:8420"]`. The component needs a link to an `http-client` besides.
//!
//! In tests, [`serve`](crate::platform::memory::Memory::serve) plays a server.

use std::time::Duration;

pub use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::config;
use crate::cx::Cx;
use crate::limits::{OUTSIDE_BODY_MAX, OUTSIDE_PATIENCE_MAX};
use crate::log;
pub use crate::platform::SendError;
use crate::platform::{self, Origin, Platform};
use crate::problem::Problem;

/// The config value that has the servers that may be asked.
const ORIGINS: &str = "outgoing-origins";

/// Headers that belong to the connection, or that follow from the request: they are not the author's to say.
const NOT_SAID: [header::HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Cx {
    /// Sends a request to a server outside, and waits for its answer: so long, and 8 seconds at most. Whoever calls waits meanwhile.
    pub fn send(
        &self,
        request: &Request<Vec<u8>>,
        patience: Duration,
    ) -> Result<Response<Vec<u8>>, SendError> {
        send(request, patience)
    }
}

/// Sends a request, if it is one that may be sent.
pub(crate) fn send(request: &Request<Vec<u8>>, patience: Duration) -> Result<Response<Vec<u8>>, SendError> {
    let not_sent = |why: String| SendError::NotSent(why);
    let origin = Origin::of(request.uri()).ok_or_else(|| {
        not_sent("a URL to send to is https://<host>/<path>, or http, without a password".to_owned())
    })?;
    let about = format!("{} {origin}", request.method());
    let may_be_sent = expect_sayable(request).and_then(|()| expect_allowed(&origin));
    may_be_sent.map_err(|why| not_sent(why).about(&about))?;
    platform::current().send(request, patience.min(OUTSIDE_PATIENCE_MAX)).map_err(|error| error.about(&about))
}

fn expect_sayable(request: &Request<Vec<u8>>) -> Result<(), String> {
    if let Some(name) = NOT_SAID.iter().find(|name| request.headers().contains_key(*name)) {
        return Err(format!("the header {name} is not the service's to say"));
    }
    if request.body().len() > OUTSIDE_BODY_MAX {
        return Err(format!("its body has more than {OUTSIDE_BODY_MAX} bytes"));
    }
    Ok(())
}

fn expect_allowed(origin: &Origin) -> Result<(), String> {
    let texts: Vec<String> = config::json(ORIGINS).map_err(|fault| fault.to_string())?.unwrap_or_default();
    let mut is_allowed = false;
    for text in texts {
        let allowed = Origin::parse(&text).ok_or_else(|| {
            format!("config {ORIGINS}: {text:?} is no origin, which is https://<host>, with a port if it is not the usual one")
        })?;
        is_allowed |= allowed == *origin;
    }
    if is_allowed {
        Ok(())
    } else {
        Err(format!(
            "config {ORIGINS} does not have it; add {origin:?} if it may be asked",
            origin = origin.to_string()
        ))
    }
}

impl From<http::Error> for SendError {
    /// What is no request was not sent.
    fn from(error: http::Error) -> Self {
        Self::NotSent(error.to_string())
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotSent(_) => Self::unavailable(error),
            SendError::Unknown(_) => {
                log::warn(&error.to_string());
                Self::late("A server outside did not answer; what was asked for may have been done.")
            }
        }
    }
}

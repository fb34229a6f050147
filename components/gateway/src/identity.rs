//! Who a caller is: whoever has the API key that is in a header, or in the cookie of a browser.

use trellis_kit::{Problem, Request};

use crate::callers::Caller;
use crate::cors::Site;
use crate::keys::holder_of;
use crate::session;
use crate::settings::Settings;

/// A key that is not known is refused, rather than taken for none.
pub fn identify(request: &Request, site: &Site<'_>, settings: &Settings) -> Result<Caller, Problem> {
    let mut sent = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let (first, second) = (sent.next(), sent.next());
    if let Some((_, value)) = first {
        let key = std::str::from_utf8(value).ok().filter(|_| second.is_none()).and_then(bearer);
        let known = key.and_then(|key| holder_of(key, &settings.keys));
        return known.map(Caller::of).ok_or_else(|| {
            Problem::unauthorized(
                "Send one Authorization header, `Bearer` and a key that is known here, or none.",
            )
        });
    }
    let Some(key) = session::key(request, site, settings) else { return Ok(Caller::Anonymous) };
    let known = holder_of(&key, &settings.keys);
    known.map(Caller::of).ok_or_else(|| {
        Problem::unauthorized(
            "The key that this browser signed in with is not known any more. It is signed out now.",
        )
    })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

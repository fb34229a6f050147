//! What a caller shows: the token of a session in a header or in the cookie of a browser, or that of a key in a header. The config
//! has API keys, too.

use trellis_kit::{Problem, Request};

use crate::accounts::Token;
use crate::callers::Caller;
use crate::cors::Site;
use crate::keys::holder_of;
use crate::session;
use crate::settings::Settings;

/// What a request says of who calls.
#[derive(Debug)]
pub enum Shown {
    Known(Caller),
    /// Whose it is has yet to be looked for.
    Token(Token),
}

/// What is not known is refused, rather than taken for nothing.
pub fn shown(request: &Request, site: &Site<'_>, settings: &Settings) -> Result<Shown, Problem> {
    let mut sent = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let (first, second) = (sent.next(), sent.next());
    if let Some((_, value)) = first {
        let key = std::str::from_utf8(value).ok().filter(|_| second.is_none()).and_then(bearer);
        if let Some(token) = key.and_then(Token::read) {
            return Ok(Shown::Token(token));
        }
        let known = key.and_then(|key| holder_of(key, &settings.keys));
        return known.map(|key| Shown::Known(Caller::of(key))).ok_or_else(|| {
            Problem::unauthorized(
                "Send one Authorization header, `Bearer` and a key or token that is known here, or none.",
            )
        });
    }
    if let Some(token) = session::token(request, site, settings) {
        return token.map(Shown::Token).ok_or_else(|| {
            Problem::unauthorized(
                "The cookie of this browser says nothing that is known here. It is signed out now.",
            )
        });
    }
    Ok(Shown::Known(Caller::Anonymous))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

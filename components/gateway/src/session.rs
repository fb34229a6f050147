//! Signed in with a browser: the token of a session in a cookie, which counts as the same token in a header does, for our own pages.
//!
//! A browser adds cookies to whatever any page has it send. `SameSite=Strict` tells it not to do so for pages of other
//! sites; here the cookie does not count either, unless the request says that it comes from a page of ours.

use trellis_kit::http;
use trellis_kit::{Request, Response};

use crate::accounts::Token;
use crate::cors::Site;
use crate::settings::Settings;

/// A browser takes a cookie with this prefix only from the very host that it goes to, over TLS.
const NAME: &str = "__Host-trellis";
/// Its name where the operator lets it go without TLS. What a request says of where it goes changes nothing, for a proxy may
/// say it anew.
const NAME_WITHOUT_TLS: &str = "trellis";
/// What browsers may still bring that signed in with an API key, when that could be done. Nobody gets it.
const OF_KEYS: [&str; 2] = ["__Host-trellis-key", "trellis-key"];
/// How long a browser keeps it, in seconds: as long as a session can last.
const LIFE: u32 = 30 * 24 * 60 * 60;

/// The token that the browser brings, if the request comes from a page of ours. What cannot be read is none that anybody has.
pub fn token(request: &Request, site: &Site<'_>, settings: &Settings) -> Option<Option<Token>> {
    let text = brought(request, site, name_for(settings))?;
    Some(text.and_then(Token::read))
}

/// What is in the cookie of a name, if a page of ours brings it; none within is what cannot be read, or is there twice.
fn brought<'r>(request: &'r Request, site: &Site<'_>, name: &'static str) -> Option<Option<&'r str>> {
    let mut values = named(request, name);
    let (first, second) = (values.next()?, values.next());
    let is_ours = site.is_ours(request);
    is_ours.then(|| std::str::from_utf8(first).ok().filter(|_| second.is_none()))
}

/// Makes a cookie of the token that a service tells, or has the browser forget it.
fn keep(settings: &Settings, mut response: Response) -> Response {
    let Some(token) = response.header(http::SESSION).map(str::to_owned) else { return response };
    response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(http::SESSION));
    let name = name_for(settings);
    if token.is_empty() {
        return response.with("set-cookie", forgotten(settings, name));
    }
    let response = response.with("cache-control", "no-store");
    response.with("set-cookie", cookie(settings, name, &token, &format!("; Max-Age={LIFE}")))
}

/// What callers who have shown who they are are told besides the answer: that nobody may keep it, and a browser, to forget a token
/// by which nobody is known. What a service calls public is the same for all.
pub fn tell(request: &Request, is_known: bool, settings: &Settings, response: Response) -> Response {
    let mut response = keep(settings, response);
    let is_public = response
        .header("cache-control")
        .is_some_and(|said| said.split(',').any(|word| word.trim().eq_ignore_ascii_case("public")));
    let name = name_for(settings);
    let has_cookie = named(request, name).next().is_some();
    let has_key = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if (has_cookie || has_key) && !is_public {
        response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("cache-control"));
        response = response.with("cache-control", "private, no-store").with("vary", "authorization, cookie");
    }
    let is_told = response.headers.iter().any(|(header, _)| header == "set-cookie");
    if is_known || !has_cookie || is_told {
        return response;
    }
    response.with("set-cookie", forgotten(settings, name))
}

/// The value of a `Cookie` header without what is ours, which services do not get; none if nothing is left.
pub fn without_ours(cookies: &[u8]) -> Option<Vec<u8>> {
    let ours = [NAME, NAME_WITHOUT_TLS];
    let is_other = |pair: &&[u8]| !ours.iter().chain(&OF_KEYS).any(|name| *name == name_of(pair));
    let others: Vec<&[u8]> =
        cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(is_other).collect();
    (!others.is_empty()).then(|| others.join(b"; ".as_slice()))
}

fn named<'r>(request: &'r Request, ours: &'static str) -> impl Iterator<Item = &'r [u8]> {
    let lists = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let pairs = lists.flat_map(|(_, list)| list.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs
        .filter(move |pair| name_of(pair) == ours)
        .map(move |pair| pair.get(ours.len() + 1..).unwrap_or_default())
}

fn name_of(pair: &[u8]) -> &str {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default()
}

fn name_for(settings: &Settings) -> &'static str {
    if settings.plain_http { NAME_WITHOUT_TLS } else { NAME }
}

fn cookie(settings: &Settings, name: &str, value: &str, more: &str) -> String {
    let secure = if settings.plain_http { "" } else { "; Secure" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}")
}

fn forgotten(settings: &Settings, name: &str) -> String {
    cookie(settings, name, "", "; Max-Age=0")
}

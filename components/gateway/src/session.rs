//! Signed in with a browser: the API key in a cookie, which counts as the same key in a header does, for our own pages.
//!
//! A browser adds cookies to whatever any page has it send. `SameSite=Strict` tells it not to do so for pages of other
//! sites; here the cookie does not count either, unless the request says that it comes from a page of ours.

use std::net::IpAddr;

use trellis_kit::http::{self, Path, encoded};
use trellis_kit::{Call, Problem, Request, Response};

use crate::callers;
use crate::cors::Site;
use crate::settings::Settings;

/// A browser takes a cookie with this prefix only from the very host that it goes to, over TLS.
const NAME: &str = "__Host-trellis-key";
/// Its name where there is no TLS, which is on the machine itself alone.
const NAME_ON_LOOPBACK: &str = "trellis-key";
/// What is added to the address of the form when its key is not known.
const REFUSED: &str = "signin=refused";

/// `POST /signin`: takes the key of a form, and sends the browser on to where the form says.
pub fn sign_in(call: &Call<'_>) -> Result<Response, Problem> {
    let [key, to] = call.form(["key", "to"])?;
    let (key, to) = (key.trim(), place(&to)?);
    if callers::holder_of(key, &Settings::load()?.keys).is_none() {
        return Ok(look_at(&format!("{to}?{REFUSED}")));
    }
    Ok(look_at(to).with("set-cookie", cookie(call.request(), &encoded(key), "")))
}

/// `POST /signout`: lets the browser forget the key.
pub fn sign_out(call: &Call<'_>) -> Result<Response, Problem> {
    let [to] = call.form(["to"])?;
    Ok(look_at(place(&to)?).with("set-cookie", forgotten(call.request())))
}

/// The key that the browser brings, if the request comes from a page of ours. What cannot be read is a key that nobody has.
pub fn key(request: &Request, site: &Site<'_>) -> Option<String> {
    let mut values = values(request);
    let (first, second) = (values.next()?, values.next());
    if !site.is_ours(request) {
        return None;
    }
    let text = std::str::from_utf8(first).ok().filter(|_| second.is_none());
    Some(text.and_then(http::decoded).unwrap_or_default())
}

/// What a browser with a key is told besides the answer: not to keep what is for its user alone, and to forget a key by
/// which nobody is known.
pub fn tell(request: &Request, is_known: bool, mut response: Response) -> Response {
    if values(request).next().is_none() {
        return response;
    }
    if response.header("cache-control").is_none() {
        response = response.with("cache-control", "no-store");
    }
    let is_about_it =
        |(name, value): &(_, String)| name == "set-cookie" && value.starts_with(name_for(request));
    if is_known || response.headers.iter().any(is_about_it) {
        return response;
    }
    response.with("set-cookie", forgotten(request))
}

/// The value of a `Cookie` header without the key, which services do not get; none if nothing is left.
pub fn without_key(cookies: &[u8]) -> Option<Vec<u8>> {
    let is_other = |pair: &&[u8]| ![NAME, NAME_ON_LOOPBACK].contains(&name_of(pair));
    let others: Vec<&[u8]> =
        cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(is_other).collect();
    (!others.is_empty()).then(|| others.join(b"; ".as_slice()))
}

fn values(request: &Request) -> impl Iterator<Item = &[u8]> {
    let ours = name_for(request);
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

fn name_for(request: &Request) -> &'static str {
    if is_on_loopback(request) { NAME_ON_LOOPBACK } else { NAME }
}

fn cookie(request: &Request, value: &str, more: &str) -> String {
    let secure = if is_on_loopback(request) { "" } else { "; Secure" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}", name_for(request))
}

fn forgotten(request: &Request) -> String {
    cookie(request, "", "; Max-Age=0")
}

/// Whether the browser is on the machine that this runs on, as far as it says.
fn is_on_loopback(request: &Request) -> bool {
    let Some(host) = request.header("host") else { return false };
    let is_port = |(_, port): &(_, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(is_port).map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A path of ours, which is never an address elsewhere.
fn place(to: &str) -> Result<&str, Problem> {
    let is_plain = to.bytes().all(|byte| byte.is_ascii_graphic()) && !to.contains(['?', '#']);
    if is_plain && Path::parse(to).is_ok() {
        return Ok(to);
    }
    Err(Problem::malformed("The form does not say to which page it belongs."))
}

fn look_at(place: &str) -> Response {
    Response::empty(303).with("location", place).with("cache-control", "no-store")
}

//! What the operator sets.
//!
//! | key | meaning |
//! |---|---|
//! | `api-keys` | who calls with which key, before anybody has signed up: `{"<SHA-256 of the key>": {"name": "olaf", "roles": ["admin", "operator"]}}`. They never end; keys that do are issued at `POST /keys` |
//! | `policy` | the rules, as for `PUT /gateway/policy`; they are set when this has changed |
//! | `limits` | `{"window_seconds": 60, "reads": 6000, "writes": 600}` for each caller, or `off` |
//! | `forwarded-hops` | how many proxies, the HTTP server that adds the peer's address among them, `x-forwarded-for` is believed from; with `0`, nobody's address is known, and those without a key share one limit; unset, it is what the host says |
//! | `host-hops` | said by the host itself, never by the manifest: `1` in `trellis up`, whose HTTP server adds the peer's address; a lattice says nothing, and its HTTP server passes on what clients claim |
//! | `cors-origins` | origins whose pages may read answers: `["https://example.org"]` |
//! | `access-log` | `off` leaves out the line for each request |
//! | `plain-http` | `on` lets browsers keep their session in a cookie without TLS. Only for a machine on its own, and a browser that keeps no cookie with `Secure` of `http://127.0.0.1`, as Safari does not; Chromium, Firefox and curl do |

use std::rc::Rc;

use trellis_kit::platform::Fault;
use trellis_kit::{Problem, config};

use crate::keys::{self, Key};
use crate::limits::{self, Limits};
use crate::memo::Memo;
use crate::rules::{self, Rules};

const KEYS: [&str; 8] = [
    keys::CONFIG,
    "forwarded-hops",
    "host-hops",
    limits::CONFIG,
    "cors-origins",
    "access-log",
    "plain-http",
    rules::CONFIG,
];
/// More proxies than anybody has.
const HOPS_MAX: usize = 16;

#[derive(Debug)]
pub struct Settings {
    pub keys: Vec<Key>,
    /// The rules of the config, if it has some that can be.
    pub rules: Option<Rc<Rules>>,
    pub limits: Option<Limits>,
    pub hops: usize,
    pub origins: Vec<String>,
    pub access_log: bool,
    /// Whether browsers come without TLS, and keep no cookie that is for TLS.
    pub plain_http: bool,
}

/// Values of the config, in the order of [`KEYS`].
type Texts = [Option<String>; KEYS.len()];

impl Settings {
    /// The settings as they are. If one of them cannot be, nobody is let in: who knows what was meant by it.
    pub fn load() -> Result<Rc<Self>, Problem> {
        thread_local!(static KNOWN: Memo<Texts, Settings> = const { Memo::new() });
        let mut texts = Texts::default();
        for (text, key) in texts.iter_mut().zip(KEYS) {
            *text = config::text(key)?;
        }
        KNOWN.with(|known| known.get(texts, Self::read)).map_err(Problem::from)
    }

    fn read(texts: &Texts) -> Result<Self, Fault> {
        let [keys, hops, host_hops, limits, origins, access_log, plain_http, rules] = texts;
        let keys = keys.as_deref().map_or(Ok(Vec::new()), keys::read)?;
        let rules = rules.as_deref().and_then(|text| rules::configured(text, &keys).ok());
        Ok(Self {
            rules: rules.map(|rules| Rc::new(Rules::new(&rules))),
            keys,
            limits: limits.as_deref().map_or(Ok(Some(Limits::BUILT_IN)), Limits::read)?,
            hops: hops.as_deref().or(host_hops.as_deref()).map_or(Ok(0), read_hops)?,
            origins: origins.as_deref().map_or(Ok(Vec::new()), read_origins)?,
            access_log: access_log.as_deref().map_or(Ok(true), |text| read_switch("access-log", text))?,
            plain_http: plain_http.as_deref().map_or(Ok(false), |text| read_switch("plain-http", text))?,
        })
    }
}

fn bad(key: &str, why: &str) -> Fault {
    Fault::new(format!("config {key}: {why}"))
}

fn read_hops(text: &str) -> Result<usize, Fault> {
    let hops = text.parse().ok().filter(|hops| *hops <= HOPS_MAX);
    hops.ok_or_else(|| bad("forwarded-hops", &format!("it must be a number from 0 to {HOPS_MAX}")))
}

fn read_origins(text: &str) -> Result<Vec<String>, Fault> {
    let origins: Vec<String> = config::read("cors-origins", text)?;
    let is_origin = |origin: &String| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
        host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
    };
    if origins.iter().all(is_origin) {
        return Ok(origins);
    }
    Err(bad(
        "cors-origins",
        "an origin is https://<host>, in lower case, with a port if it is not the usual one",
    ))
}

fn read_switch(key: &str, text: &str) -> Result<bool, Fault> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(bad(key, "it must be on or off")),
    }
}

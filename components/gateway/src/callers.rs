//! Who calls: known by an API key, in a header or in the cookie of a browser, or by the address that the request came
//! from.

use std::net::IpAddr;

use trellis_kit::{Problem, Request, id};

use crate::cors::Site;
use crate::session;
use crate::settings::{Key, Settings};

/// The most that is read of a key.
const KEY_LEN_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// Somebody with an API key.
    Key {
        name: String,
        roles: Vec<String>,
    },
}

impl Caller {
    pub fn identify(request: &Request, site: &Site<'_>, settings: &Settings) -> Result<Self, Problem> {
        let mut sent = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let (first, second) = (sent.next(), sent.next());
        if let Some((_, value)) = first {
            let key = std::str::from_utf8(value).ok().filter(|_| second.is_none()).and_then(bearer);
            let known = key.and_then(|key| holder_of(key, &settings.keys));
            return known.map(Self::of).ok_or_else(|| {
                Problem::unauthorized(
                    "Send one Authorization header, `Bearer` and a key that is known here, or none.",
                )
            });
        }
        let Some(key) = session::key(request, site, settings) else { return Ok(Self::Anonymous) };
        let known = holder_of(&key, &settings.keys);
        known.map(Self::of).ok_or_else(|| {
            Problem::unauthorized(
                "The key that this browser signed in with is not known any more. It is signed out now.",
            )
        })
    }

    fn of(Key { name, roles, .. }: &Key) -> Self {
        Self::Key { name: name.clone(), roles: roles.clone() }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Key { name, .. } => Some(name),
        }
    }

    pub fn roles(&self) -> &[String] {
        match self {
            Self::Anonymous => &[],
            Self::Key { roles, .. } => roles,
        }
    }

    /// What the log says of them.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Key { .. } => "key",
        }
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

/// Whose key this is. Every hash is compared to its end, so that the time it takes tells nothing.
pub fn holder_of<'k>(key: &str, keys: &'k [Key]) -> Option<&'k Key> {
    if !(1..=KEY_LEN_MAX).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let hash = id::sha256(key);
    let differs = |known: &str| known.bytes().zip(hash.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    keys.iter().fold(None, |found, key| if differs(&key.hash) == 0 { Some(key) } else { found })
}

/// The address of the client, as far as the proxies that are believed say it. A network of IPv6 counts as one client. An
/// address of this very machine says nothing: it is that of a proxy here as well as that of whoever works on it.
pub fn address(request: &Request, hops: usize) -> Option<String> {
    let sent = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let lists = sent.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default());
    let all: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    let believed = all.len().checked_sub(hops).filter(|_| hops > 0)?;
    let address = all.get(believed)?.parse::<IpAddr>().ok()?.to_canonical();
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(address) => Some(address.to_string()),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
        }
    }
}

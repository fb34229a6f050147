//! Who calls: somebody who is signed in or has a key, or anybody at the address that the request came from.

use std::net::IpAddr;

use trellis_kit::Request;

use crate::keys::Key;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// Somebody with a key, of the config or of an organisation.
    Key {
        /// What the config calls it, or its id.
        name: String,
        /// What people call it.
        called: String,
        roles: Vec<String>,
    },
    /// Somebody who is signed in.
    User {
        id: String,
        display_name: Option<String>,
        roles: Vec<String>,
        session: String,
    },
}

impl Caller {
    pub fn of(Key { name, roles, .. }: &Key) -> Self {
        Self::Key { name: name.clone(), called: name.clone(), roles: roles.clone() }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Key { name, .. } | Self::User { id: name, .. } => Some(name),
        }
    }

    /// What they want to be called.
    pub fn called(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Key { called, .. } => Some(called),
            Self::User { display_name, .. } => display_name.as_deref(),
        }
    }

    /// The session by which it is known who it is.
    pub fn session(&self) -> Option<&str> {
        match self {
            Self::Anonymous | Self::Key { .. } => None,
            Self::User { session, .. } => Some(session),
        }
    }

    pub fn roles(&self) -> &[String] {
        match self {
            Self::Anonymous => &[],
            Self::Key { roles, .. } | Self::User { roles, .. } => roles,
        }
    }

    /// What the log says of them.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Key { .. } => "key",
            Self::User { .. } => "user",
        }
    }
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

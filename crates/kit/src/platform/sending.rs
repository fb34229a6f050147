//! What is said of a request to a server outside: which server that is, and what became of the request.

use std::fmt;

use http::Uri;
use http::uri::Scheme;
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The server has got nothing of the request, for this reason.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have been carried out, or may be yet; there is no answer, for this reason.
    #[error("sent, and what became of it is unknown: {0}")]
    Unknown(String),
}

impl SendError {
    /// The same, with what it was about.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        match self {
            Self::NotSent(why) => Self::NotSent(format!("{what}: {why}")),
            Self::Unknown(why) => Self::Unknown(format!("{what}: {why}")),
        }
    }
}

/// A server, as far as a URL says it: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    is_secure: bool,
    /// In lower case.
    host: String,
    port: u16,
}

impl Origin {
    /// That of a URL; none if there is no server in it that could be asked.
    pub fn of(url: &Uri) -> Option<Self> {
        let scheme = url.scheme().filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS)?;
        let is_secure = *scheme == Scheme::HTTPS;
        // A password in a URL would be in lines and errors.
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = authority.host().to_ascii_lowercase();
        let usual = if is_secure { 443 } else { 80 };
        // A colon with something else than a port behind it is no port that was left out.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => usual,
            _ => authority.port_u16()?,
        };
        (!host.is_empty()).then_some(Self { is_secure, host, port })
    }

    /// Reads an origin that has nothing behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let url: Uri = text.parse().ok()?;
        let is_bare = !text.ends_with('/') && url.path_and_query().is_none_or(|path| path.as_str() == "/");
        Self::of(&url).filter(|_| is_bare)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_secure, host, port } = self;
        let (scheme, usual) = if *is_secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{host}")?;
        if *port == usual { Ok(()) } else { write!(f, ":{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    fn of(url: &str) -> Option<String> {
        Origin::of(&url.parse().ok()?).map(|origin| origin.to_string())
    }

    #[test]
    fn a_server_is_scheme_host_and_port() {
        let rows = [
            ("https://api.example.com/v1/charges?a=b", "https://api.example.com"),
            ("https://API.example.com:443/", "https://api.example.com"),
            ("http://127.0.0.1:8420/v1", "http://127.0.0.1:8420"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
        ];
        for (url, origin) in rows {
            assert_eq!(of(url).as_deref(), Some(origin), "{url}");
        }
    }

    #[test]
    fn what_names_no_server_is_none() {
        for url in [
            "",
            "/v1/charges",
            "example.com",
            "example.com:443",
            "ftp://example.com/",
            "https:///v1",
            "https://ann:secret@example.com/",
            "https://example.com:/",
            "https://example.com:port/",
            "https://example.com:65536/",
            "https://exa mple.com/",
            "https://example.com\r\nx: y/",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
    }

    #[test]
    fn an_origin_has_nothing_behind_it() {
        for text in ["https://example.com", "http://127.0.0.1:8420"] {
            assert!(Origin::parse(text).is_some(), "{text}");
        }
        for text in [
            "https://example.com/",
            "https://example.com/v1",
            "https://example.com?a",
            "example.com",
            "*",
            "",
        ] {
            assert!(Origin::parse(text).is_none(), "{text}");
        }
    }
}

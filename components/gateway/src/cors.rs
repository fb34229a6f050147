//! Pages of other sites: which may read what is answered, and that none may write in the name of a visitor.

use trellis_kit::{Request, Response};

/// What pages may send, and see of an answer.
const SENT: &str = "authorization, content-type, idempotency-key, traceparent, trellis-position";
const SEEN: &str =
    "link, location, ratelimit, ratelimit-policy, retry-after, trellis-position, x-trellis-lag";
/// How long a browser remembers what it may send, in seconds.
const REMEMBERED: &str = "600";

/// The page that a request comes from, as far as a browser says.
#[derive(Debug)]
pub struct Site<'r> {
    origin: Option<&'r str>,
    /// Whether the operator lets it in.
    is_let_in: bool,
    /// Whether the operator lets in any: answers differ by origin then.
    any_is: bool,
}

impl<'r> Site<'r> {
    pub fn of(request: &'r Request, origins: &[String]) -> Self {
        let origin = request.header("origin");
        let is_let_in = origin.is_some_and(|origin| origins.iter().any(|known| known == origin));
        Self { origin, is_let_in, any_is: !origins.is_empty() }
    }

    /// Whether this would be another site writing with what the visitor's browser adds of itself.
    pub fn is_forgery(&self, request: &Request) -> bool {
        if is_safe(&request.method) || self.is_let_in {
            return false;
        }
        match (request.header("sec-fetch-site"), sends(request, "origin")) {
            (Some("same-origin" | "none"), _) | (None, false) => false,
            (Some(_), _) => true,
            (None, true) => !self.is_same(request),
        }
    }

    /// Whether a page of ours sent this, or somebody who went to its address. Pages may be asked for without a word of where
    /// from; who writes has to say it.
    pub fn is_ours(&self, request: &Request) -> bool {
        match (sends(request, "sec-fetch-site"), sends(request, "origin")) {
            (true, _) => matches!(request.header("sec-fetch-site"), Some("same-origin" | "none")),
            (false, true) => self.is_same(request),
            (false, false) => is_safe(&request.method),
        }
    }

    /// Whether the page is one of ours.
    fn is_same(&self, request: &Request) -> bool {
        let host = self.origin.and_then(|origin| Some(origin.split_once("://")?.1));
        host.is_some_and(|host| request.header("host").is_some_and(|ours| ours.eq_ignore_ascii_case(host)))
    }

    /// Whether a browser asks what a page may send.
    pub fn is_preflight(request: &Request) -> bool {
        request.method == "OPTIONS"
            && sends(request, "origin")
            && sends(request, "access-control-request-method")
    }

    /// The answer to that; none is for a page that may not send anything.
    pub fn preflight(&self, allowed: &str) -> Option<Response> {
        let response = Response::empty(204)
            .with("access-control-allow-methods", allowed)
            .with("access-control-allow-headers", SENT)
            .with("access-control-max-age", REMEMBERED);
        self.is_let_in.then_some(response)
    }

    /// Lets the page read the response, if it may.
    pub fn tell(&self, mut response: Response) -> Response {
        response.headers.retain(|(name, _)| {
            let is_about_this = matches!(
                name.as_ref(),
                "access-control-allow-origin"
                    | "access-control-allow-credentials"
                    | "access-control-expose-headers"
            );
            !is_about_this
        });
        if self.any_is {
            response = response.with("vary", "origin");
        }
        match self.origin.filter(|_| self.is_let_in) {
            Some(origin) => response
                .with("access-control-allow-origin", origin)
                .with("access-control-expose-headers", SEEN),
            None => response,
        }
    }
}

fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

fn sends(request: &Request, header: &str) -> bool {
    request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header))
}

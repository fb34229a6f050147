//! From a request to the route that answers it.

use serde_json::json;

use super::call::Call;
use super::client;
use super::exchange::{Request, Response};
use super::path::{Path, allowed, percent_decoded};
use super::remembered;
use super::route::Route;
use crate::contract::types::Context;
use crate::cx::Cx;
use crate::descriptor::Descriptor;
use crate::position::Position;
use crate::problem::Problem;
use crate::trace::Trace;
use crate::upkeep::readiness;
use crate::{config, position};

/// The config key that names the header in which a gateway says who calls. Set it only behind a gateway that
/// removes that header from what comes from outside: whoever can set the header is whom it names.
const CALLER_HEADER: &str = "caller-header";
/// Likewise the header in which it says what the caller is trusted with: names with commas between them.
const ROLES_HEADER: &str = "roles-header";

/// Likewise the header in which it says by which session the caller is known. Answers name the token of a new one there.
const SESSION_HEADER: &str = "session-header";
/// Likewise the header in which it says what the caller wants to be called, encoded as in a path.
const NAME_HEADER: &str = "name-header";
/// Likewise the header in which it says where the request comes from.
const ADDRESS_HEADER: &str = "address-header";

/// The routes of a service.
#[derive(Debug, Clone, Copy)]
pub struct Routes {
    pub service: &'static Descriptor,
    pub all: &'static [Route],
}

impl Routes {
    /// Answers any request, for the caller that a gateway names; there is always an answer.
    pub fn answer(self, request: &Request) -> Response {
        answer_with(self, request, || {
            let caller = said_by_gateway(request, CALLER_HEADER)?.map(str::to_owned);
            let roles = said_by_gateway(request, ROLES_HEADER)?.unwrap_or_default();
            let roles = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
            let session = said_by_gateway(request, SESSION_HEADER)?.map(str::to_owned);
            let address = said_by_gateway(request, ADDRESS_HEADER)?.map(str::to_owned);
            let name = said_by_gateway(request, NAME_HEADER)?.and_then(percent_decoded);
            let roles = roles.map(str::to_owned).collect();
            Ok(Caller { caller, name, roles, session, address })
        })
    }

    /// The same for a caller whom the service itself knows.
    pub fn answer_for(self, request: &Request, caller: Option<String>, roles: Vec<String>) -> Response {
        answer_with(self, request, || Ok(Caller { caller, name: None, roles, session: None, address: None }))
    }
}

/// Who calls.
struct Caller {
    caller: Option<String>,
    name: Option<String>,
    roles: Vec<String>,
    session: Option<String>,
    address: Option<String>,
}

fn answer_with(
    routes: Routes,
    request: &Request,
    caller: impl FnOnce() -> Result<Caller, Problem>,
) -> Response {
    let trace = Trace::accept(request.header("traceparent"));
    let cx = caller().and_then(|caller| context(request, &trace, caller));
    let cx = cx.map(|context| Cx::of_request(routes.service, context));
    let answer = cx.as_ref().map_err(Clone::clone).and_then(|cx| route(routes, request, cx));
    let mut response = answer.unwrap_or_else(|problem| Response::refusal(&problem, trace.id()));
    if response.status == 401 && response.header("www-authenticate").is_none() {
        response = response.with("www-authenticate", "Bearer");
    }
    if let Ok(cx) = &cx {
        tell(cx, &mut response);
    }
    if response.has_body() {
        let length = response.body.len().to_string();
        response.headers.push(("content-length".into(), length));
    }
    if request.method == "HEAD" {
        response.body.clear();
    }
    response
}

/// Tells what has been written, and how far behind the read models are.
fn tell(cx: &Cx, response: &mut Response) {
    if let Some(position) = cx.position() {
        let mut headers = response.headers.iter_mut();
        if let Some((_, location)) =
            headers.find(|(name, _)| matches!(response.status, 201 | 202) && name == "location")
        {
            // Whoever follows it reads what was written.
            *location += &format!("?{}={position}", position::QUERY);
        }
        response.headers.push((position::HEADER.into(), position));
    }
    if let Some(token) = cx.told_session()
        && let Ok(Some(header)) = config::text(SESSION_HEADER)
    {
        response.headers.push((header.into(), token));
    }
    response.headers.extend(cx.told_wait().map(|seconds| ("retry-after".into(), seconds.to_string())));
    response.headers.extend(cx.lag().map(|events| (client::LAG.into(), events.to_string())));
}

fn context(request: &Request, trace: &Trace, caller: Caller) -> Result<Context, Problem> {
    let sends_key = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
    let idempotency_key = request.header("idempotency-key").map(str::to_owned);
    if sends_key && idempotency_key.is_none() {
        return Err(Problem::malformed("Send one Idempotency-Key, as text."));
    }
    let causation = Some(trace.span().to_owned());
    let Caller { caller, name, roles, session, address } = caller;
    let traceparent = Some(trace.to_string());
    Ok(Context { caller, name, roles, session, address, idempotency_key, traceparent, causation })
}

/// What stands in the header that the config names, if it names one. A header that is there twice says nothing.
fn said_by_gateway<'r>(request: &'r Request, key: &str) -> Result<Option<&'r str>, Problem> {
    let Some(header) = config::text(key)? else { return Ok(None) };
    Ok(request.header(&header).filter(|value| !value.is_empty()))
}

/// The positions that the request brings, in headers and in the query.
fn wanted(request: &Request, path: &Path) -> Result<Vec<Position>, Problem> {
    // A header without a value says nothing; one that is no text is refused.
    let says = |name: &str, value: &[u8]| name.eq_ignore_ascii_case(position::HEADER) && !value.is_empty();
    let in_headers = request.headers.iter().filter(|(name, value)| says(name, value));
    let in_headers = in_headers.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default());
    let in_query =
        path.query.iter().filter(|(name, _)| name == position::QUERY).map(|(_, value)| value.as_str());
    let all: Vec<&str> = in_headers.chain(in_query).collect();
    if all.is_empty() { Ok(Vec::new()) } else { position::parse(&all.join(",")) }
}

fn route(routes: Routes, request: &Request, cx: &Cx) -> Result<Response, Problem> {
    let path = Path::parse(&request.target)?;
    cx.want(wanted(request, &path)?);
    let here = path.nearest(routes.all.iter(), |route| route.pattern);
    if here.is_empty() {
        return match (request.method.as_str(), path.raw == readiness::PATH) {
            ("GET" | "HEAD", true) => ready(routes.service),
            _ => Err(Problem::not_found("There is nothing at this path.")),
        };
    }
    let method = if request.method == "HEAD" { "GET" } else { &request.method };
    if let Some(route) = here.iter().find(|route| route.method == method) {
        let params = path.params(route.pattern);
        return remembered::answer(
            routes.service,
            route,
            &Call { request, path: &path, query: route.query, params, cx },
        );
    }
    let allowed = allowed(here.iter().map(|route| route.method));
    if method == "OPTIONS" {
        return Ok(Response::empty(204).with("allow", allowed));
    }
    let trace = Trace::accept(cx.traceparent.as_deref());
    Ok(Response::refusal(&Problem::method_not_allowed(&request.method), trace.id()).with("allow", allowed))
}

/// 200 if the service keeps up.
fn ready(service: &Descriptor) -> Result<Response, Problem> {
    readiness::expect_ready(service)?;
    Response::json(200, &json!({ "ready": true }))
}

//! From a request to the route that answers it.

use super::path::{Path, allowed};
use super::{Call, PROBLEM, Request, Response, remembered};
use crate::position::{self, Position};
use crate::trace::Trace;
use crate::{Context, Problem, Service, config, readiness};

/// The config key that names the header in which a gateway says who calls. Set it only behind a gateway that
/// removes that header from what comes from outside: whoever can set the header is whom it names.
const CALLER_HEADER: &str = "caller-header";
/// Likewise the header in which it says what the caller is trusted with: names with commas between them.
const ROLES_HEADER: &str = "roles-header";

/// Answers any request by the routes of a service, for the caller that a gateway names; there is always an answer.
pub fn by_routes<S: Service>(request: &Request) -> Response {
    answer::<S>(request, || {
        let caller = said_by_gateway(request, CALLER_HEADER)?.map(str::to_owned);
        let roles = said_by_gateway(request, ROLES_HEADER)?.unwrap_or_default().split(',').map(str::trim);
        Ok((caller, roles.filter(|role| !role.is_empty()).map(str::to_owned).collect()))
    })
}

/// The same for a caller whom the service itself knows.
pub fn by_routes_for<S: Service>(request: &Request, caller: Option<String>, roles: Vec<String>) -> Response {
    answer::<S>(request, || Ok((caller, roles)))
}

/// A caller's name and roles.
type Caller = (Option<String>, Vec<String>);

fn answer<S: Service>(request: &Request, caller: impl FnOnce() -> Result<Caller, Problem>) -> Response {
    let trace = Trace::accept(request.header("traceparent"));
    let context = caller().and_then(|caller| context(request, &trace, caller));
    let answer = context.and_then(|context| route::<S>(request, context));
    let mut response = answer.unwrap_or_else(|problem| refuse(&problem, trace.id()));
    let told = position::end();
    if let Some(position) = told.position() {
        let mut headers = response.headers.iter_mut();
        if let Some((_, location)) = headers.find(|(name, _)| response.status == 201 && name == "location") {
            // Whoever follows it reads what was written.
            *location += &format!("?{}={position}", position::QUERY);
        }
        response.headers.push((position::HEADER.into(), position));
    }
    response.headers.extend(told.lag.map(|events| (position::LAG_HEADER.into(), events.to_string())));
    if response.has_body() {
        let length = response.body.len().to_string();
        response.headers.push(("content-length".into(), length));
    }
    if request.method == "HEAD" {
        response.body.clear();
    }
    response
}

/// A refusal as a response.
pub fn refuse(problem: &Problem, trace_id: &str) -> Response {
    let body = problem.to_json(trace_id);
    Response { body, ..Response::empty(problem.status) }.with("content-type", PROBLEM)
}

fn context(request: &Request, trace: &Trace, (caller, roles): Caller) -> Result<Context, Problem> {
    let sends_key = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
    let idempotency_key = request.header("idempotency-key").map(str::to_owned);
    if sends_key && idempotency_key.is_none() {
        return Err(Problem::malformed("Send one Idempotency-Key, as text."));
    }
    let causation = Some(trace.span().to_owned());
    Ok(Context { caller, roles, idempotency_key, traceparent: Some(trace.to_string()), causation })
}

/// What stands in the header that the config names, if it names one. A header that is there twice says nothing.
fn said_by_gateway<'r>(request: &'r Request, key: &str) -> Result<Option<&'r str>, Problem> {
    let Some(header) = config::text(key)? else { return Ok(None) };
    Ok(request.header(&header).filter(|value| !value.is_empty()))
}

/// The positions that the request brings, in headers and in the query.
fn wanted(request: &Request, path: &Path) -> Result<Vec<Position>, Problem> {
    let in_headers = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(position::HEADER));
    let in_headers = in_headers.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default());
    let in_query =
        path.query.iter().filter(|(name, _)| name == position::QUERY).map(|(_, value)| value.as_str());
    let all: Vec<&str> = in_headers.chain(in_query).collect();
    if all.is_empty() { Ok(Vec::new()) } else { position::parse(&all.join(",")) }
}

fn route<S: Service>(request: &Request, context: Context) -> Result<Response, Problem> {
    let path = Path::parse(&request.target)?;
    position::begin::<S>(wanted(request, &path)?);
    let here = path.nearest(S::ROUTES.iter(), |route| route.pattern);
    if here.is_empty() {
        return match (request.method.as_str(), path.raw == readiness::PATH) {
            ("GET" | "HEAD", true) => readiness::answer::<S>(),
            _ => Err(Problem::not_found("There is nothing at this path.")),
        };
    }
    let method = if request.method == "HEAD" { "GET" } else { &request.method };
    if let Some(route) = here.iter().find(|route| route.method == method) {
        let params = path.params(route.pattern);
        return remembered::answer::<S>(&Call { request, path: &path, route, params, context });
    }
    let allowed = allowed(here.iter().map(|route| route.method));
    if method == "OPTIONS" {
        return Ok(Response::empty(204).with("allow", allowed));
    }
    let trace = Trace::accept(context.traceparent.as_deref());
    Ok(refuse(&Problem::method_not_allowed(&request.method), trace.id()).with("allow", allowed))
}

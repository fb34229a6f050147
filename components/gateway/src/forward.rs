//! A request on its way to a service and the answer on its way back: what is between two neighbours stays between them,
//! and what only the gateway may say is taken away from whoever else says it.

use std::time::Duration;

use trellis_kit::http::{self, ADDRESS, AskError, CALLER, NAME, ROLES, SESSION, ask};
use trellis_kit::{Descriptor, Problem, Request, Response, Trace};

use crate::callers::Caller;
use crate::refusal::Refusal;
use crate::session;

/// How long a service may take. A host ends a call soon after.
const PATIENCE: Duration = Duration::from_secs(8);
/// When to come again, in seconds, if nobody answers.
pub const RETRY_AFTER: &str = "2";

/// What concerns one connection alone.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What the gateway says itself or keeps to itself. Lengths are stated anew.
const NOT_PASSED_ON: [&str; 10] = [
    "authorization",
    ADDRESS,
    CALLER,
    NAME,
    ROLES,
    SESSION,
    "content-length",
    "expect",
    "host",
    "traceparent",
];

/// Passes a request on to a service, and its answer back.
pub fn pass(
    by: &Descriptor,
    request: &Request,
    target: &str,
    service: &str,
    caller: &Caller,
    address: Option<&str>,
    trace: &Trace,
) -> Result<Response, Refusal> {
    let refusal = |error: AskError| refusal(service, error);
    let mut response =
        ask(by, service, &onward(request, target, caller, address, trace), PATIENCE).map_err(refusal)?;
    let named = |response: &Response| {
        let values = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
        names_in(values.map(|(_, value)| value.as_str()))
    };
    let between_us = named(&response);
    response
        .headers
        .retain(|(name, _)| !is_between_neighbours(name, &between_us) && name != "content-length");
    Ok(response)
}

/// The request as the service gets it.
fn onward(request: &Request, target: &str, caller: &Caller, address: Option<&str>, trace: &Trace) -> Request {
    let connection = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let between_us = names_in(connection.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default()));
    let kept = |name: &str| {
        !is_between_neighbours(name, &between_us)
            && !NOT_PASSED_ON.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    };
    let headers = request.headers.iter().filter(|(name, _)| kept(name)).filter_map(|(name, value)| {
        let value =
            if name.eq_ignore_ascii_case("cookie") { session::without_ours(value)? } else { value.clone() };
        Some((name.clone(), value))
    });
    let headers = headers.collect();
    let onward = Request { headers, body: request.body.clone(), ..Request::new(&request.method, target) };
    let onward = onward.with("traceparent", trace.to_string());
    let onward = match address {
        Some(address) => onward.with(ADDRESS, address),
        None => onward,
    };
    let Some(name) = caller.name() else { return onward };
    let onward = onward.with(CALLER, name).with(ROLES, caller.roles().join(","));
    let said = [(SESSION, caller.session().map(str::to_owned)), (NAME, caller.called().map(http::encoded))];
    let said = said.into_iter().filter_map(|(header, value)| Some((header, value?)));
    said.fold(onward, |onward, (header, value)| onward.with(header, value))
}

/// The headers that lists of names speak of.
fn names_in<'v>(lists: impl Iterator<Item = &'v str>) -> Vec<String> {
    lists.flat_map(|list| list.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn is_between_neighbours(name: &str, named: &[String]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    HOP_BY_HOP.into_iter().any(is) || named.iter().any(|known| is(known))
}

fn refusal(service: &str, error: AskError) -> Refusal {
    match error {
        AskError::NoService | AskError::Failed(_) => {
            let problem = Problem::unavailable(format_args!("{service}: {error}"));
            Refusal::from(problem).with("retry-after", RETRY_AFTER)
        }
        AskError::Garbled(why) => Problem::bad_gateway(format_args!("{service}: {why}")).into(),
        AskError::Late | AskError::TooLarge => Problem::from(error).into(),
    }
}

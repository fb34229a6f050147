//! What happens to every request, in this order: where it comes from, who calls, how often, where to, whether they may.

use std::rc::Rc;

use serde_json::json;
use trellis_kit::http::{Path, Routes};
use trellis_kit::tally::Turn;
use trellis_kit::{Descriptor, DocKey, Problem, Request, Response, Trace, Watch, glance, log, time};

use crate::accounts::{self, Token};
use crate::callers::{self, Caller};
use crate::cors::Site;
use crate::identity::{Shown, shown};
use crate::refusal::Refusal;
use crate::rules::{Rules, Verdict, Who};
use crate::settings::Settings;
use crate::table::{Found, Table};
use crate::{forward, policy, session, sources, table};

/// Every path is there with and without it.
const API: &str = "/api";
/// How much of a path the log shows, in characters.
const LOGGED_PATH_MAX: usize = 200;
const LOGGED_METHOD_MAX: usize = 16;

/// For a year, browsers come with TLS or not at all.
const HSTS: (&str, &str) = ("strict-transport-security", "max-age=31536000");

/// What the log says of a request, besides what is in it.
#[derive(Debug, Default)]
struct Note {
    service: Option<String>,
    caller: Option<&'static str>,
}

/// Answers a request: by the routes of the gateway itself, or as the service that it is for.
pub fn respond(own: Routes, request: &Request) -> Response {
    logged(request, |settings, trace, note| answer(own, request, settings, trace, note))
}

/// The answer to a request that cannot be read.
pub fn refuse(request: &Request, problem: &Problem) -> Response {
    logged(request, |_, trace, _| Refusal::from(problem.clone()).respond(request, trace))
}

fn logged(request: &Request, answer: impl FnOnce(&Settings, &Trace, &mut Note) -> Response) -> Response {
    let begun = time::elapsed();
    let trace = Trace::accept(request.header("traceparent"));
    let mut note = Note::default();
    let settings = Settings::load();
    let response = match &settings {
        Ok(settings) => answer(settings, &trace, &mut note),
        Err(problem) => Refusal::from(problem.clone()).respond(request, &trace),
    };
    let has_tls = settings.as_ref().is_ok_and(|settings| !settings.plain_http);
    let response = dress(response, request, has_tls);
    if settings.is_ok_and(|settings| settings.access_log) {
        let path: String = path_of(request).chars().take(LOGGED_PATH_MAX).collect();
        let method: String = request.method.chars().take(LOGGED_METHOD_MAX).collect();
        let line = json!({
            "method": method, "path": path, "status": response.status, "service": note.service,
            "microseconds": (time::elapsed() - begun).as_micros() as u64,
            "trace_id": trace.id(), "caller": note.caller,
        });
        log::entry("access", &line.to_string());
    }
    response
}

/// What a query says is nobody's concern but the service's: it may be a secret.
fn path_of(request: &Request) -> &str {
    request.target.split('?').next().unwrap_or_default()
}

fn answer(own: Routes, request: &Request, settings: &Settings, trace: &Trace, note: &mut Note) -> Response {
    let site = Site::of(request, &settings.origins);
    let shown = shown(request, &site, settings);
    let token = match &shown {
        Ok(Shown::Token(token)) => Some(token),
        _ => None,
    };
    let claimed = match &shown {
        Ok(Shown::Known(caller)) => Ok(caller.clone()),
        Ok(Shown::Token(token)) => Ok(token.claimed()),
        Err(problem) => Err(problem.clone()),
    };
    let count = |caller: &Result<Caller, Problem>| {
        settings.limits.map(|limits| limits.of(request, caller, settings.hops))
    };
    let counted = count(&claimed);
    let counted = counted.as_ref().map(|counted| (counted, counted.turn()));
    let (known, user) =
        match Known::read(own.service, settings, token, counted.as_ref().map(|(_, turn)| turn)) {
            Ok((known, user)) => (Ok(known), user),
            Err(problem) => (Err(problem.clone()), Err(problem)),
        };
    let caller = if token.is_some() { user } else { claimed };
    let is_known = !matches!(&caller, Err(problem) if problem.status == 401);
    note.caller = Some(caller.as_ref().map_or("unknown key", Caller::class));
    // Whose name somebody only claims, uses up nothing of theirs.
    let allowance = if token.is_some() && caller.is_err() {
        count(&caller).map(|counted| counted.count(&counted.turn())).transpose()
    } else {
        counted.as_ref().map(|(counted, turn)| counted.count(turn)).transpose()
    };
    let response = match &allowance {
        Err(problem) => Refusal::from(problem.clone()).respond(request, trace),
        Ok(Some(allowance)) if allowance.is_used_up() => {
            let problem = Problem::too_many(
                "This is more than you may ask in a while. Retry-After says when to come again.",
            );
            Refusal::from(problem).with("retry-after", allowance.reset().to_string()).respond(request, trace)
        }
        Ok(_) => known
            .map_err(Refusal::from)
            .and_then(|known| {
                let address = callers::address(request, settings.hops);
                serve(own, Asked { request, site: &site, address, trace }, caller, &known, note)
            })
            .unwrap_or_else(|refusal| refusal.respond(request, trace)),
    };
    let response = session::tell(request, is_known, settings, site.tell(response));
    match allowance {
        Ok(Some(allowance)) => allowance.tell(response),
        _ => response,
    }
}

/// Who answers what, and who may.
struct Known {
    table: Rc<Table>,
    rules: Rc<Rules>,
}

impl Known {
    /// Reads it, and with the same call what counting this request takes, and whose the token is, if one is shown.
    fn read(
        service: &'static Descriptor,
        settings: &Settings,
        token: Option<&Token>,
        turn: Option<&Turn<'_>>,
    ) -> Result<(Self, Result<Caller, Problem>), Problem> {
        let (table, policy) = (table::DOC, policy::DOC);
        let ours = [(sources::REGISTRY, table, table::ID), (sources::GATEWAY, policy, policy::ID)];
        let all: Vec<DocKey<'_>> =
            ours.into_iter().chain(token.iter().flat_map(|token| token.keys())).collect();
        let watch = token.map(|_| Watch::new(sources::ACCOUNTS));
        let mut seen = glance(&all, turn, watch.as_ref())?.into_iter();
        let mut next = || seen.next().flatten();
        let (table, policy) = (next(), next());
        let known =
            Self { table: Table::of(table.as_ref())?, rules: policy::in_force(policy.as_ref(), settings)? };
        let Some((token, watch)) = token.zip(watch) else { return Ok((known, Ok(Caller::Anonymous))) };
        // Whoever was signed out or blocked meanwhile may not come in because nobody has heard of it.
        let caller = match watch.expect_heard(service) {
            Ok(()) => token.caller(service, seen.collect()),
            Err(problem) => Err(problem),
        };
        Ok((known, caller))
    }
}

/// A request, and what follows from it alone.
struct Asked<'a> {
    request: &'a Request,
    site: &'a Site<'a>,
    address: Option<String>,
    trace: &'a Trace,
}

fn serve(
    own: Routes,
    asked: Asked<'_>,
    caller: Result<Caller, Problem>,
    known: &Known,
    note: &mut Note,
) -> Result<Response, Refusal> {
    let Asked { request, site, address, trace } = asked;
    if site.is_forgery(request) {
        return Err(Problem::forbidden("A page of another site sent this; it may not write here.").into());
    }
    let who_are_you = |problem: Problem| Refusal::from(problem).with("www-authenticate", "Bearer");
    let caller = caller.map_err(|problem| match problem.status {
        401 => who_are_you(problem),
        503 => Refusal::from(problem).with("retry-after", forward::RETRY_AFTER),
        _ => problem.into(),
    })?;
    let (prefix, target) = target(&request.target)?;
    let path = Path::parse(target)?;
    let (service, who) = match known.table.find(own.all, &request.method, &path) {
        Found::Service(service, who) => (service, who.as_deref().and_then(Who::read)),
        Found::Nothing => return Err(Problem::not_found("There is nothing at this path.").into()),
        Found::Methods(methods) if request.method == "OPTIONS" => return options(request, site, methods),
        Found::Methods(methods) => {
            return Err(Refusal::from(Problem::method_not_allowed(&request.method)).with("allow", methods));
        }
    };
    match known.rules.judge(&caller, &request.method, &path, who.as_ref()) {
        Verdict::Allowed => note.service = Some(service.to_owned()),
        Verdict::Denied => return Err(denied(who.as_ref()).into()),
        Verdict::NotDeclared => {
            let why = format!("{service} has not said for whom this is. If it never does, build it anew.");
            return Err(Problem::unavailable(why).into());
        }
        Verdict::WhoAreYou => {
            return Err(who_are_you(Problem::unauthorized("This is for callers who show who they are.")));
        }
    }
    if service != own.service.name {
        let response =
            forward::pass(own.service, request, target, service, &caller, address.as_deref(), trace)?;
        accounts::hear(own.service, &response);
        return Ok(below(prefix, response));
    }
    let mut mine = Request { target: target.to_owned(), ..request.clone() };
    mine.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("traceparent"));
    let mine = mine.with("traceparent", trace.to_string());
    let (name, roles) = (caller.name().map(str::to_owned), caller.roles().to_vec());
    Ok(below(prefix, own.answer_for(&mine, name, roles)))
}

/// Refuses a caller who is known, and says why.
fn denied(who: Option<&Who>) -> Problem {
    Problem::forbidden(match who {
        Some(Who::Role(role)) => format!("This needs the role {role}, unless the policy says otherwise."),
        _ => "The policy does not let you do this.".to_owned(),
    })
}

/// A response whose addresses have what was before the target: who came by `/api` goes on there.
fn below(prefix: &str, mut response: Response) -> Response {
    if prefix.is_empty() {
        return response;
    }
    let is_ours = |address: &str| address.starts_with('/') && !address.starts_with("//");
    for (name, value) in &mut response.headers {
        let link = || value.strip_prefix('<').filter(|rest| is_ours(rest));
        if name.eq_ignore_ascii_case("location") && is_ours(value) {
            *value = format!("{prefix}{value}");
        } else if let Some(rest) = link().filter(|_| name.eq_ignore_ascii_case("link")) {
            *value = format!("<{prefix}{rest}");
        }
    }
    response
}

/// The target that services know, which is without `/api`, and what was before it.
fn target(sent: &str) -> Result<(&str, &str), Problem> {
    if !sent.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::malformed("The path or query is not properly encoded."));
    }
    match sent.strip_prefix(API) {
        Some(rest) if rest.starts_with('/') => Ok((API, rest)),
        _ => Ok(("", sent)),
    }
}

/// What can be done at a path, for whoever asks or for a browser that asks what a page may.
fn options(request: &Request, site: &Site<'_>, methods: String) -> Result<Response, Refusal> {
    if !Site::is_preflight(request) {
        return Ok(Response::empty(204).with("allow", methods));
    }
    let no = || Problem::forbidden("Pages of this origin may not send requests here.").into();
    site.preflight(&methods).ok_or_else(no)
}

/// The response as it goes out: its length stated, and what browsers may do with it, where the service does not say so.
fn dress(mut response: Response, request: &Request, has_tls: bool) -> Response {
    const UNLESS_SAID: [(&str, &str); 5] = [
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    for (name, value) in UNLESS_SAID {
        if response.header(name).is_none() {
            response = response.with(name, value);
        }
    }
    if has_tls {
        // Browsers obey it where it came over TLS, and nowhere else.
        response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(HSTS.0));
        response = response.with(HSTS.0, HSTS.1);
    }
    response.headers.retain(|(name, _)| name != "content-length");
    if request.method == "HEAD" {
        response.body.clear();
    } else if response.has_body() {
        let length = response.body.len().to_string();
        response = response.with("content-length", length);
    }
    response
}

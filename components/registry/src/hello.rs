//! What services say of themselves, heard with suspicion: anybody on the message bus can say anything.

use std::time::Duration;

use serde_json::{Map, Value};
use trellis_kit::{Cx, Failure, http, id, log, services};

use crate::catalogue::{CATALOGUE, THE_CATALOGUE};
use crate::documents;
use crate::trellis::registry::events::ServiceEvent;
use crate::trellis::registry::types::{
    Description, Outline, Presence, Route, Service as Registered, Sighting,
};

/// How long a description may be.
const BYTES_MAX: usize = 192 * 1024;
/// How often a service may describe itself anew in a while. While it is updated, two versions of it take turns.
const NEWS_MAX: u32 = 30;
const A_WHILE: Duration = Duration::from_secs(60 * 60);
/// How many services are known at a time.
const SERVICES_MAX: usize = 64;
const ROUTES_MAX: usize = 64;
const SOURCES_MAX: usize = 64;
const PARTITIONS_MAX: u32 = 1024;
const NAME_LEN_MAX: usize = 64;
const PATH_LEN_MAX: usize = 128;

/// Registers a service, or what is new about it. The same again changes nothing.
pub fn hear(subject: &str, body: &[u8]) -> Result<(), Failure> {
    let said = match check(subject, body) {
        Ok(said) => said,
        Err(why) => {
            log::warn(&format!("a service said hello, but {why}: nothing is changed"));
            return Ok(());
        }
    };
    let cx = Cx::nobody();
    if is_full(&cx, &said.name)? {
        let name = &said.name;
        log::error(&format!("{name} is not registered: {SERVICES_MAX} services are, and no more can be"));
        return Ok(());
    }
    let (outline, parts) = documents::apart(said);
    let now: Registered =
        cx.execute(&outline.name, |known: Option<&Registered>| Ok(what_is_new(&cx, known, &outline)))?;
    if now.description != outline {
        let name = &outline.name;
        log::warn(&format!(
            "{name} has described itself anew {NEWS_MAX} times in a while: it is heard later"
        ));
        return Ok(());
    }
    // After the service, so that nothing long is kept of who is not heard.
    Ok(documents::note(&cx, &outline.documents, &parts)?)
}

/// What a hello tells of a service that is known like this.
fn what_is_new(cx: &Cx, known: Option<&Registered>, said: &Outline) -> Option<ServiceEvent> {
    let sighting =
        |description: &Outline, news| Sighting { description: description.clone(), at: cx.now(), news };
    let Some(known) = known else { return Some(ServiceEvent::Registered(sighting(said, 1))) };
    let is_new = known.description != *said;
    let news = if known.news == 0 || known.news_since <= cx.ago(A_WHILE) { 1 } else { known.news + 1 };
    let is_heard = is_new && news <= NEWS_MAX;
    match (known.presence, is_heard) {
        (Presence::Present, true) => Some(ServiceEvent::Changed(sighting(said, news))),
        (Presence::Present, false) => None,
        (_, true) => Some(ServiceEvent::Registered(sighting(said, news))),
        // It is there, as what it was.
        (_, false) => Some(ServiceEvent::Registered(sighting(&known.description, 0))),
    }
}

fn is_full(cx: &Cx, name: &str) -> Result<bool, Failure> {
    let catalogue = CATALOGUE.get(&cx.views()?, THE_CATALOGUE)?.unwrap_or_default();
    let is_known = catalogue.services.iter().any(|entry| entry.name == name);
    Ok(!is_known && catalogue.services.len() >= SERVICES_MAX)
}

/// A description that makes sense, or what is wrong with it.
fn check(subject: &str, body: &[u8]) -> Result<Description, String> {
    if body.len() > BYTES_MAX {
        return Err(format!("with {} bytes, of which there may be {BYTES_MAX}", body.len()));
    }
    let said: Description =
        serde_json::from_slice(body).map_err(|error| format!("what it said is no description ({error})"))?;
    let Description {
        name,
        version,
        routes,
        group,
        stream,
        partitions,
        projects,
        reacts_to,
        openapi,
        asyncapi,
    } = &said;
    let is_name = |name: &String| name.len() <= NAME_LEN_MAX && id::is_valid(name);
    if !is_name(name) {
        return Err(format!("{name:.80?} is not a name of 1 to {NAME_LEN_MAX} letters, digits, - and _"));
    }
    if services::who_says_hello(subject) != Some(name) {
        return Err(format!("{name} has no say on {subject:.80?}"));
    }
    let its = |what: &str| Err(format!("the {what} of {name} cannot be"));
    if version.len() > NAME_LEN_MAX || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        return its("version");
    }
    if !group.as_ref().is_none_or(is_name) {
        return its("group");
    }
    if routes.len() > ROUTES_MAX || !routes.iter().all(is_route) {
        return its("routes");
    }
    if *partitions > PARTITIONS_MAX || stream.as_ref().is_some_and(|stream| *stream != format!("LOG_{name}"))
    {
        return its("stream");
    }
    let sources = || projects.iter().chain(reacts_to);
    if sources().count() > SOURCES_MAX || !sources().all(is_name) {
        return its("sources");
    }
    let is_object = |text: &String| serde_json::from_str::<Map<String, Value>>(text).is_ok();
    if ![openapi, asyncapi].into_iter().all(is_object) {
        return its("documents");
    }
    Ok(said)
}

fn is_route(route: &Route) -> bool {
    let Route { method, path, who, .. } = route;
    let is_method = (1..=16).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase());
    // What comes with /api is asked for without it.
    let is_reached = http::words(path).next() != Some("api");
    let is_whom = |who: &String| {
        who == "anyone"
            || who.strip_prefix("role:").is_some_and(|role| role.len() <= NAME_LEN_MAX && id::is_valid(role))
    };
    who.as_ref().is_none_or(is_whom)
        && is_method
        && is_reached
        && path.len() <= PATH_LEN_MAX
        && http::is_pattern(path)
}

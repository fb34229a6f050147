//! What services say of themselves, heard with suspicion: anybody on the message bus can say anything.

use serde_json::{Map, Value};
use trellis_kit::{Context, Failure, http, id, log};

use crate::trellis::registry::events::ServiceEvent;
use crate::trellis::registry::types::{Description, Presence, Route, Sighting};
use crate::{CATALOGUE, Registered, THE_CATALOGUE};

/// How long a description may be. It is stored twice in an event, and an event may have twice as much.
const BYTES_MAX: usize = 192 * 1024;
/// How many services are known at a time.
const SERVICES_MAX: usize = 64;
const ROUTES_MAX: usize = 64;
const SOURCES_MAX: usize = 64;
const PARTITIONS_MAX: u32 = 1024;
const NAME_LEN_MAX: usize = 64;
const PATH_LEN_MAX: usize = 128;

/// Registers a service, or what is new about it. The same again changes nothing.
pub fn hear(body: &[u8]) -> Result<(), Failure> {
    let description = match check(body) {
        Ok(description) => description,
        Err(why) => {
            log::warn(&format!("a service said hello, but {why}: nothing is changed"));
            return Ok(());
        }
    };
    let cx = Context::nobody();
    if is_full(&cx, &description.name)? {
        let name = &description.name;
        log::error(&format!("{name} is not registered: {SERVICES_MAX} services are, and no more can be"));
        return Ok(());
    }
    let sighting = || Sighting { description: description.clone(), at: cx.now() };
    cx.execute(&description.name, |known: Option<&Registered>| {
        Ok(match known.filter(|known| known.presence == Presence::Present) {
            Some(known) if known.description == description => None,
            Some(_) => Some(ServiceEvent::Changed(sighting())),
            None => Some(ServiceEvent::Registered(sighting())),
        })
    })?;
    Ok(())
}

fn is_full(cx: &Context, name: &str) -> Result<bool, Failure> {
    let catalogue = CATALOGUE.get(&cx.views()?, THE_CATALOGUE)?.unwrap_or_default();
    let is_known = catalogue.services.iter().any(|entry| entry.name == name);
    Ok(!is_known && catalogue.services.len() >= SERVICES_MAX)
}

/// A description that makes sense, or what is wrong with it.
fn check(body: &[u8]) -> Result<Description, String> {
    if body.len() > BYTES_MAX {
        return Err(format!("with {} bytes, of which there may be {BYTES_MAX}", body.len()));
    }
    let said: Description =
        serde_json::from_slice(body).map_err(|error| format!("what it said is no description ({error})"))?;
    let Description { name, version, routes, stream, partitions, projects, reacts_to, openapi, asyncapi } =
        &said;
    let is_name = |name: &String| name.len() <= NAME_LEN_MAX && id::is_valid(name);
    if !is_name(name) {
        return Err(format!("{name:.80?} is not a name of 1 to {NAME_LEN_MAX} letters, digits, - and _"));
    }
    let its = |what: &str| Err(format!("the {what} of {name} cannot be"));
    if version.len() > NAME_LEN_MAX || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        return its("version");
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
    let Route { method, path, .. } = route;
    let is_method = (1..=16).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase());
    is_method && path.len() <= PATH_LEN_MAX && http::is_pattern(path)
}

//! The streams that a service owns, each made when it is missing, as often as anybody likes.

use trellis_names as names;

use crate::descriptor::Descriptor;
use crate::jetstream::{self, StreamConfig, StreamError};
use crate::platform::{self, Fault, Platform};
use crate::{config, log};

/// Makes sure that the service has its log, if it keeps one. Others are told of a new one: they wait for its
/// events.
pub(crate) fn make_log(service: &Descriptor) -> Result<(), Fault> {
    if service.partitions == 0 {
        return Ok(());
    }
    let name = names::log_stream(service.name);
    let is_new = matches!(jetstream::partitions(&name), Err(StreamError::NoStream));
    stream(&name, &names::log_subjects(service.name), service.partitions)?;
    if is_new {
        let announcement = serde_json::json!({ "service": service.name });
        platform::current().publish(names::ANNOUNCE, announcement.to_string().as_bytes())?;
    }
    Ok(())
}

/// Makes sure of the stream of events that cannot be handled.
pub(crate) fn make_dead_letters(service: &Descriptor) -> Result<(), Fault> {
    stream(&names::dead_stream(service.name), &names::dead_subjects(service.name), 1)
}

/// Makes sure of the stream of what is nobody else's concern.
pub(crate) fn make_own(service: &Descriptor) -> Result<(), Fault> {
    stream(&names::own_stream(service.name), &names::own_subjects(service.name), 1)
}

fn stream(name: &str, subjects: &str, partitions: u32) -> Result<(), Fault> {
    match jetstream::create_stream(&StreamConfig::new(name, subjects, replicas()?, partitions)) {
        Ok(()) => Ok(()),
        Err(StreamError::ExistsOtherwise(why)) => {
            let what = format!(
                "stream {name} exists, but not as this service needs it ({why}). Nothing can be stored until \
                 that is settled: see `nats stream info {name}`; it needs {partitions} partitions in its \
                 metadata, and the replicas of the config"
            );
            log::error(&what);
            Err(Fault::new(what))
        }
        Err(error) => Err(Fault::because(format!("stream {name} cannot be made"), error.into_fault(name))),
    }
}

/// How many servers keep a copy, as the operator says.
fn replicas() -> Result<u32, Fault> {
    let Some(text) = config::text("replicas")? else { return Ok(1) };
    match text.parse() {
        Ok(replicas @ 1..=5) => Ok(replicas),
        _ => Err(Fault::new(format!("config replicas is {text:?}; it must be a number from 1 to 5"))),
    }
}

//! What a service owns outside itself, created when it is missing.

use crate::jetstream::{self, Refusal, StreamConfig};
use crate::platform::{self, Fault, Platform};
use crate::{Service, log as lines, names};

/// Makes sure that the service has its log.
pub(crate) fn log<S: Service>() -> Result<(), Fault> {
    stream(&names::log_stream(S::NAME), &names::log_subjects(S::NAME), S::PARTITIONS)
}

fn stream(name: &str, subjects: &str, partitions: u32) -> Result<(), Fault> {
    match jetstream::create_stream(&StreamConfig::new(name, subjects, replicas()?, partitions)) {
        Ok(()) => Ok(()),
        Err(Refusal::ExistsOtherwise(why)) => {
            let what = format!(
                "stream {name} exists, but not as this service needs it ({why}). Nothing is stored until that is \
                 settled: compare `partitions` and `replicas` with `nats stream info {name}`"
            );
            lines::error(&what);
            Err(Fault::new(what))
        }
        Err(Refusal::NoStream) => Err(Fault::new(format!("stream {name} is not there after its creation"))),
        Err(Refusal::Fault(fault)) => Err(fault),
    }
}

/// How many servers keep a copy, as the operator says.
fn replicas() -> Result<u32, Fault> {
    let Some(text) = platform::current().config("replicas")? else { return Ok(1) };
    match text.parse() {
        Ok(replicas @ 1..=5) => Ok(replicas),
        _ => Err(Fault::new(format!("config replicas is {text:?}; it must be a number from 1 to 5"))),
    }
}

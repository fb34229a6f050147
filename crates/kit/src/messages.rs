//! Every message that reaches a service, and what it means.
//!
//! | subject | meaning |
//! |---|---|
//! | `svc.<service>` | a request, as `message/http` |
//! | `deliver.<service>`, with an answer expected | a request to try a dead letter again, see `dead.rs` |
//! | any, with an acknowledgement to `$JS.ACK.…` expected | an event of a durable consumer |
//! | `trellis.announce` | somebody is new, or `{"replay": "<service>"}`: make sure of everything; build the read models anew |
//! | `wasmbus.evt.…` | the lattice changed or is alive: make sure of everything |
//! | `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`, with or without `.<service>` and `.<id>` | the NATS services protocol |
//! | any other | the service's own concern: [`Service::hear`] |
//!
//! Whoever has made sure of everything says on `trellis.hello.<service>` what it is, and then [looks around](Service::look_around).

use serde_json::Value;

use crate::delivery::{self, Delivery};
use crate::platform::{self, Fault, Platform};
use crate::{Service, dead, describe, generation, http, log, names, provision};

/// Handles one message. An error is for the host's log only: whatever can be done about it has been done.
pub(crate) fn handle<S: Service>(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    if let Some(delivery) = reply_to.and_then(|reply_to| Delivery::parse(S::NAME, reply_to, body)) {
        return delivery::handle::<S>(&delivery).map_err(|fault| fault.what);
    }
    if subject == names::request_subject(S::NAME) {
        return answer(subject, reply_to, &http::answer_message::<S>(body));
    }
    if subject == names::deliver_subject(S::NAME) {
        return answer(subject, reply_to, &dead::answer::<S>(body));
    }
    if let Some(words) = subject.strip_prefix("$SRV.") {
        return match describe::service_protocol::<S>(words) {
            Some(description) => answer(subject, reply_to, description.to_string().as_bytes()),
            None => Ok(()),
        };
    }
    if subject == names::ANNOUNCE {
        return news::<S>(body);
    }
    if subject.starts_with("wasmbus.evt.") {
        return look_around::<S>();
    }
    S::hear(subject, body).map_err(|failure| failure.why)
}

fn answer(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    let Some(reply_to) = reply_to else {
        return Err(format!("a request on {subject} says nowhere to answer to"));
    };
    platform::current().publish(reply_to, body).map_err(|fault| fault.what)
}

fn news<S: Service>(body: &[u8]) -> Result<(), String> {
    // Anybody may announce anything; what is not understood is still a reason to look around, and so is our own
    // new log.
    let news: Value = serde_json::from_slice(body).unwrap_or_default();
    if news.get("replay").and_then(Value::as_str) == Some(S::NAME) {
        generation::start::<S>().map_err(complain::<S>)?;
    }
    look_around::<S>()
}

fn look_around<S: Service>() -> Result<(), String> {
    provision::all::<S>().and_then(|()| describe::hello::<S>()).map_err(complain::<S>)?;
    S::look_around().map_err(|failure| failure.why)
}

fn complain<S: Service>(fault: Fault) -> String {
    log::error(&format!("{} cannot set itself up: {fault}", S::NAME));
    fault.what
}

//! Every message that reaches a service, and what it means.
//!
//! | subject | meaning |
//! |---|---|
//! | `svc.<service>` | a request, as `message/http` |
//! | `deliver.<service>`, with an answer expected | `{"replay-dead": <sequence>}`: try a dead letter again; `{"forget": "<service>"}`: follow it no more |
//! | any, with an acknowledgement to `$JS.ACK.…` expected | an event of a durable consumer |
//! | `trellis.announce` | make sure of everything; `{"service": "<name>"}`: of what follows that one's log, which is new; `{"replay": "<service>"}`: of everything, and build the read models anew |
//! | `wasmbus.evt.…` | the lattice changed or is alive: make sure of everything, unless that was done just now |
//! | `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`, with or without `.<service>` and `.<id>` | the NATS services protocol |
//! | `trellis.provision.…` | a service asks for a stream or a consumer, see `guard.rs` |
//! | any other | the service's own concern: [`Service::hear`] |
//!
//! Whoever has made sure of everything says on `trellis.hello.<service>` what it is, and then [looks around](Service::look_around).

use serde::Deserialize;
use serde_json::Value;
use trellis_names as names;

use crate::delivery::Delivery;
use crate::descriptor::{Described, Descriptor};
use crate::handling::Outcome;
use crate::models::generation;
use crate::platform::{self, Fault, Platform};
use crate::service::{Service, handler};
use crate::upkeep::{rebuild, setup, wanted};
use crate::{describe, guard, http, log};

/// Handles one message. An error is for the host's log only: whatever can be done about it has been done.
pub(crate) fn handle<S: Service>(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    let service = S::DESCRIPTOR;
    if let Some(delivery) = reply_to.and_then(|reply_to| Delivery::parse(service, reply_to, body)) {
        return handler::<S>().handle(&delivery).map_err(|fault| fault.to_string());
    }
    if subject == names::request_subject(service.name) {
        return answer(subject, reply_to, &http::answer_message(body, S::respond));
    }
    if subject == names::deliver_subject(service.name) {
        return answer(subject, reply_to, &carry_out::<S>(body));
    }
    if let Some(words) = subject.strip_prefix("$SRV.") {
        return match describe::service_protocol(S::routes(), words) {
            Some(description) => answer(subject, reply_to, description.to_string().as_bytes()),
            None => Ok(()),
        };
    }
    if subject == names::ANNOUNCE {
        return news::<S>(body);
    }
    if subject.starts_with("wasmbus.evt.") {
        return if setup::again(service).map_err(|fault| complain(service, &fault))? {
            look_around::<S>()
        } else {
            Ok(())
        };
    }
    if service.provisions
        && let Some(asked) = subject.strip_prefix(names::PROVISION)
    {
        return answer(subject, reply_to, &guard::answer(asked, body));
    }
    S::hear(subject, body).map_err(|failure| failure.to_string())
}

fn answer(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    let Some(reply_to) = reply_to else {
        return Err(format!("a request on {subject} says nowhere to answer to"));
    };
    // Whoever asks says where to. Anywhere else it would be us who say something there, with what we may do.
    if !names::is_inbox(reply_to) {
        return Err(format!("a request on {subject} wants its answer on {reply_to}, which is no inbox"));
    }
    platform::current().publish(reply_to, body).map_err(|fault| fault.to_string())
}

/// What an operator asks of a service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Order {
    ReplayDead(u64),
    Forget(String),
}

/// Does it, and says what came of it.
fn carry_out<S: Service>(order: &[u8]) -> Vec<u8> {
    let outcome = match serde_json::from_slice::<Order>(order) {
        Ok(Order::ReplayDead(seq)) => handler::<S>().try_again(seq),
        Ok(Order::Forget(source)) => match wanted::forget(S::DESCRIPTOR, &source) {
            Ok(()) => Outcome::Handled,
            Err(fault) => Outcome::Failed(fault.to_string()),
        },
        Err(error) => Outcome::Failed(format!(
            "the request is not {{\"replay-dead\": <sequence>}} or {{\"forget\": <service>}}: {error}"
        )),
    };
    serde_json::to_vec(&outcome).unwrap_or_default()
}

fn news<S: Service>(body: &[u8]) -> Result<(), String> {
    let service = S::DESCRIPTOR;
    // Anybody may announce anything; what is not understood is still a reason to look around.
    let news: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| news.get(key).and_then(Value::as_str);
    if let Some(new) = text("service") {
        return setup::source(service, new).map_err(|fault| complain(service, &fault));
    }
    setup::all(service).map_err(|fault| complain(service, &fault))?;
    if text("replay") == Some(service.name) {
        generation::noted(service)
            .and_then(|now| rebuild::begin(service, now))
            .map_err(|fault| complain(service, &fault))?;
    }
    look_around::<S>()
}

/// Everything is there.
fn look_around<S: Service>() -> Result<(), String> {
    describe::hello(S::routes()).map_err(|fault| complain(S::DESCRIPTOR, &fault))?;
    S::look_around().map_err(|failure| failure.to_string())
}

fn complain(service: &Descriptor, fault: &Fault) -> String {
    log::error(&format!("{} cannot set itself up: {fault}", service.name));
    fault.to_string()
}

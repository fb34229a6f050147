//! Every message that reaches a service, and what it means.
//!
//! | subject | meaning |
//! |---|---|
//! | `svc.<service>` | a request, as `message/http` |
//! | `deliver.<service>`, with an answer expected | `{"replay-dead": <sequence>}`: try a dead letter again; `{"forget": "<service>"}`: follow it no more |
//! | any, with an acknowledgement to `$JS.ACK.…` expected | an event of a durable consumer |
//! | `trellis.announce` | make sure of everything; `{"service": "<name>"}`: if that one's log concerns this service; `{"replay": "<service>"}`: and build the read models anew |
//! | `wasmbus.evt.…` | the lattice changed or is alive: make sure of everything, unless that was done just now |
//! | `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`, with or without `.<service>` and `.<id>` | the NATS services protocol |
//! | `trellis.provision.…` | a service asks for a stream or a consumer, see `guard.rs` |
//! | any other | the service's own concern: [`Service::hear`] |
//!
//! Whoever has made sure of everything says on `trellis.hello.<service>` what it is, and then [looks around](Service::look_around).

use serde::Deserialize;
use serde_json::Value;

use crate::dead::Outcome;
use crate::delivery::{self, Delivery};
use crate::platform::{self, Fault, Platform};
use crate::{Service, dead, describe, generation, guard, http, log, names, provision, wanted};

/// Handles one message. An error is for the host's log only: whatever can be done about it has been done.
pub(crate) fn handle<S: Service>(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    if let Some(delivery) = reply_to.and_then(|reply_to| Delivery::parse(S::NAME, reply_to, body)) {
        return delivery::handle::<S>(&delivery).map_err(|fault| fault.what);
    }
    if subject == names::request_subject(S::NAME) {
        return answer(subject, reply_to, &http::answer_message::<S>(body));
    }
    if subject == names::deliver_subject(S::NAME) {
        return answer(subject, reply_to, &carry_out::<S>(body));
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
        return if provision::again::<S>().map_err(complain::<S>)? { look_around::<S>() } else { Ok(()) };
    }
    if S::PROVISIONS
        && let Some(asked) = subject.strip_prefix(names::PROVISION)
    {
        return answer(subject, reply_to, &guard::answer(asked, body));
    }
    S::hear(subject, body).map_err(|failure| failure.why)
}

fn answer(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    let Some(reply_to) = reply_to else {
        return Err(format!("a request on {subject} says nowhere to answer to"));
    };
    // Whoever asks says where to. Anywhere else it would be us who say something there, with what we may do.
    if !names::is_inbox(reply_to) {
        return Err(format!("a request on {subject} wants its answer on {reply_to}, which is no inbox"));
    }
    platform::current().publish(reply_to, body).map_err(|fault| fault.what)
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
        Ok(Order::ReplayDead(seq)) => dead::try_again::<S>(seq),
        Ok(Order::Forget(source)) => match wanted::forget::<S>(&source) {
            Ok(()) => Outcome::Handled,
            Err(fault) => Outcome::Failed(fault.what),
        },
        Err(error) => Outcome::Failed(format!(
            "the request is not {{\"replay-dead\": <sequence>}} or {{\"forget\": <service>}}: {error}"
        )),
    };
    serde_json::to_vec(&outcome).unwrap_or_default()
}

fn news<S: Service>(body: &[u8]) -> Result<(), String> {
    // Anybody may announce anything; what is not understood is still a reason to look around, and so is our own
    // new log.
    let news: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| news.get(key).and_then(Value::as_str);
    if text("service").is_some_and(|service| !provision::is_concerned::<S>(service)) {
        return Ok(());
    }
    provision::all::<S>().map_err(complain::<S>)?;
    if text("replay") == Some(S::NAME) {
        generation::start::<S>().map_err(complain::<S>)?;
    }
    look_around::<S>()
}

/// Everything is there.
fn look_around<S: Service>() -> Result<(), String> {
    describe::hello::<S>().map_err(complain::<S>)?;
    S::look_around().map_err(|failure| failure.why)
}

fn complain<S: Service>(fault: Fault) -> String {
    log::error(&format!("{} cannot set itself up: {fault}", S::NAME));
    fault.what
}

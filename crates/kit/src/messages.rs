//! Every message that reaches a service, and what it means.

use crate::platform::{self, Platform};
use crate::{Service, http, names};

/// Handles one message. An error is for the host's log only: nothing is lost by it.
pub(crate) fn handle<S: Service>(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    if subject == names::request_subject(S::NAME) {
        let Some(reply_to) = reply_to else {
            return Err(format!("a request on {subject} says nowhere to answer to"));
        };
        let answer = http::answer::<S>(body);
        return platform::current().publish(reply_to, &answer).map_err(|fault| fault.what);
    }
    Err(format!("nobody here knows what a message on {subject} means"))
}

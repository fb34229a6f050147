//! Who does not answer: a component that lacks a link to a provider may hear what it is asked, and be unable to say anything.

use std::time::Duration;

use async_nats::{Client, Request};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Of these subjects, those on which a request has no answer. One may be named several times: of several who are subscribed, each
/// request reaches another.
pub async fn unanswered(client: &Client, body: &str, subjects: Vec<String>) -> Vec<String> {
    let mut unanswered = Vec::new();
    for subject in subjects {
        let request = Request::new().payload(body.to_owned().into()).timeout(Some(PATIENCE));
        if !unanswered.contains(&subject) && client.send_request(subject.clone(), request).await.is_err() {
            unanswered.push(subject);
        }
    }
    unanswered
}

//! Who does not answer: a component that lacks a link to a provider may hear what it is asked, and be unable to say anything.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use async_nats::{Client, Request};
use tokio::task::JoinSet;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks on all of these subjects at once. Gives those on which a request has no answer. A subject may be named several times: of
/// several who are subscribed, each request reaches another.
pub async fn unanswered(client: &Client, body: &str, subjects: Vec<String>) -> Result<BTreeSet<String>> {
    let mut asked = JoinSet::new();
    for subject in subjects {
        let (client, body) = (client.clone(), body.to_owned().into());
        asked.spawn(async move {
            let request = Request::new().payload(body).timeout(Some(PATIENCE));
            client.send_request(subject.clone(), request).await.is_err().then_some(subject)
        });
    }
    let mut unanswered = BTreeSet::new();
    while let Some(outcome) = asked.join_next().await {
        unanswered.extend(outcome?);
    }
    Ok(unanswered)
}

//! What an operator asks of one service, by a request on `deliver.<service>`, and what it says came of it.

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use serde::Deserialize;
use serde_json::Value;
use trellis_names as names;

use crate::failure::Failure;

/// What a service says came of it.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", content = "why", rename_all = "lowercase")]
pub(crate) enum Outcome {
    Handled,
    Obsolete,
    Rebuild,
    Failed(String),
    Missing,
}

pub(crate) async fn order(client: &Client, service: &str, order: &Value) -> Result<Outcome, Failure> {
    let answer = client.request(names::deliver_subject(service), order.to_string().into()).await;
    let answer = answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => Failure::new(format!(
            "{service} does not run, and only it can do this; `trellis start {service}`, then try again"
        )),
        _ => Failure::new(format!(
            "{service} has not said what came of {order}: {error}; it can be tried again"
        )),
    })?;
    serde_json::from_slice(&answer.payload)
        .map_err(|error| Failure::new(format!("the answer of {service} is not understood: {error}")))
}

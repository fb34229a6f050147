//! The read models of services, as they are in their buckets.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use system::{Application, Nats, ReadModels};

/// What each of these services reads.
#[track_caller]
pub fn read_models(application: &Application, services: &[String]) -> BTreeMap<String, ReadModels> {
    let nats = application.nats();
    services.iter().map(|service| (service.clone(), ReadModels::of(&bucket(&nats, service)))).collect()
}

/// Every key that has a value.
fn bucket(nats: &Nats, service: &str) -> BTreeMap<String, Value> {
    let prefix = format!("$KV.{service}.");
    let mut entries = BTreeMap::new();
    let mut next = 1;
    loop {
        let wanted = json!({ "seq": next, "next_by_subj": format!("{prefix}>") });
        let answer = nats.jetstream(&format!("STREAM.MSG.GET.KV_{service}"), wanted);
        let message = &answer["message"];
        let Some(seq) = message["seq"].as_u64() else { return entries };
        next = seq + 1;
        let key = message["subject"].as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned();
        let bytes = STANDARD.decode(message["data"].as_str().unwrap_or_default()).unwrap();
        // What was deleted leaves a mark without a body.
        if let Ok(value) = serde_json::from_slice(&bytes) {
            entries.insert(key, value);
        } else {
            entries.remove(&key);
        }
    }
}

//! What a service may do: publish on what it touches, subscribe to what the manifest subscribes it to.

use std::collections::BTreeSet;

use trellis_kit::access::Member;

use crate::manifest::Links;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: BTreeSet<String>,
    /// Subjects, or a subject and the one queue group in which it may be subscribed to.
    pub subscribe: BTreeSet<String>,
}

impl Permissions {
    pub fn of(member: &Member, all: &[Member], links: &Links) -> Self {
        let mut publish = member.publishes(all);
        publish.extend(links.buckets.iter().flat_map(|bucket| bucket_subjects(bucket)));
        let mut subscribe: BTreeSet<String> = links.subscriptions.iter().cloned().collect();
        subscribe.insert(format!("{}.>", inbox(member.name)));
        Self { publish, subscribe }
    }
}

/// Where a service gets its answers: nobody else can listen there.
pub fn inbox(service: &str) -> String {
    format!("_INBOX.{service}")
}

/// What the key-value providers do with a bucket, ours and those of others, as all NATS clients agree on.
fn bucket_subjects(bucket: &str) -> Vec<String> {
    let stream = format!("KV_{bucket}");
    let mut subjects = vec![format!("$KV.{bucket}.>")];
    let of_stream = ["STREAM.INFO", "STREAM.CREATE", "STREAM.MSG.GET", "STREAM.PURGE", "CONSUMER.CREATE"];
    subjects.extend(of_stream.map(|operation| format!("$JS.API.{operation}.{stream}")));
    let below = ["DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.MSG.NEXT"];
    subjects.extend(below.map(|operation| format!("$JS.API.{operation}.{stream}.>")));
    subjects
}

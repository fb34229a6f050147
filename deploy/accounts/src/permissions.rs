//! What a service may do: publish on what it touches, subscribe to what the manifest subscribes it to.

use std::collections::BTreeSet;

use trellis_kit::access::Member;
use trellis_names::{self as names, JETSTREAM_OF_SERVICES};

use crate::manifest::Links;
use crate::network::PROVISIONING;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: BTreeSet<String>,
    /// Subjects, or a subject and the one queue group in which it may be subscribed to.
    pub subscribe: BTreeSet<String>,
}

impl Permissions {
    /// On a service's link for messages, of what it says.
    pub fn of(member: &Member, says: &BTreeSet<String>, links: &Links) -> Self {
        let mut publish: BTreeSet<String> = says.iter().map(|subject| in_account(subject)).collect();
        publish.insert(names::SERVER_ANSWERS.to_owned());
        if member.provisions {
            publish.extend(PROVISIONING.map(|request| format!("{JETSTREAM_OF_SERVICES}.{request}")));
        }
        let mut subscribe: BTreeSet<String> = links.subscriptions.iter().cloned().collect();
        subscribe.insert(format!("{}.>", names::inbox(member.name)));
        Self { publish, subscribe }
    }

    /// On its link for key-value buckets. Others have theirs in other accounts.
    pub fn of_buckets(user: &str, buckets: &BTreeSet<String>) -> Self {
        let publish = buckets.iter().flat_map(|bucket| bucket_subjects(bucket)).collect();
        Self { publish, subscribe: BTreeSet::from([format!("{}.>", names::inbox(user))]) }
    }
}

/// A subject, as it is in the account of a service.
fn in_account(subject: &str) -> String {
    match subject.strip_prefix(names::JETSTREAM) {
        Some(request) => format!("{JETSTREAM_OF_SERVICES}{request}"),
        None => subject.to_owned(),
    }
}

/// What the key-value providers do with a bucket, ours and those of others, as all NATS clients agree on.
fn bucket_subjects(bucket: &str) -> Vec<String> {
    let stream = names::bucket_stream(bucket);
    let mut subjects = vec![names::bucket_subjects(bucket)];
    let of_stream =
        ["STREAM.INFO", "STREAM.CREATE", "STREAM.MSG.GET", "DIRECT.GET", "STREAM.PURGE", "CONSUMER.CREATE"];
    subjects.extend(of_stream.map(|operation| names::api_subject(operation, &stream)));
    let below = ["DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.MSG.NEXT"];
    subjects.extend(below.map(|operation| names::consumer_api_subject(operation, &stream, ">")));
    subjects
}

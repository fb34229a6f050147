//! What a component is subscribed to: `subject|queue,subject`, as the messaging provider reads it.

/// The setting of a link that says it.
pub const SUBSCRIPTIONS: &str = "subscriptions";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription<'a> {
    pub subject: &'a str,
    pub queue: Option<&'a str>,
}

impl<'a> Subscription<'a> {
    /// All that a setting says.
    pub fn list(text: &'a str) -> impl Iterator<Item = Self> {
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
            match entry.split_once('|') {
                Some((subject, queue)) => Self { subject: subject.trim(), queue: Some(queue.trim()) },
                None => Self { subject: entry, queue: None },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_may_be_said_and_space_means_nothing() {
        let read: Vec<_> = Subscription::list("svc.a | a, $SRV.PING,,").collect();
        assert_eq!(
            read,
            [
                Subscription { subject: "svc.a", queue: Some("a") },
                Subscription { subject: "$SRV.PING", queue: None }
            ]
        );
    }
}

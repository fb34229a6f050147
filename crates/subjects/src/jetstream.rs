//! Where JetStream is asked, and what the subject of an acknowledgement says.

use std::fmt;

/// How the subjects of requests begin.
pub const API: &str = "$JS.API.";

/// How the subjects of acknowledgements begin.
pub const ACKNOWLEDGEMENTS: &str = "$JS.ACK.";

/// What a delivery says of itself, in the subject on which it is acknowledged:
/// `$JS.ACK.<stream>.<consumer>.<attempt>.<seq>.<nth>.<date>.<behind>`. Servers that have domains write `<domain>.<account>`
/// before the stream, and may write a token after it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement<'a> {
    /// The domain and the account, on servers that say them.
    pub domain: Option<[&'a str; 2]>,
    pub stream: &'a str,
    pub consumer: &'a str,
    /// How often this message has been delivered by now.
    pub attempt: u64,
    /// The message in its stream.
    pub seq: u64,
    /// The how manyth delivery of the consumer this is.
    pub nth: u64,
    /// When the message was stored, in nanoseconds since 1970.
    pub date: i64,
    /// How many messages are behind it.
    pub behind: u64,
}

impl<'a> Acknowledgement<'a> {
    pub fn parse(subject: &'a str) -> Option<Self> {
        let tokens: Vec<&str> = subject.strip_prefix(ACKNOWLEDGEMENTS)?.split('.').collect();
        let (domain, tokens) = match *tokens.as_slice() {
            [domain, account, ref rest @ ..] if rest.len() >= 7 => (Some([domain, account]), rest),
            _ => (None, tokens.as_slice()),
        };
        let [stream, consumer, attempt, seq, nth, date, behind, ref after @ ..] = *tokens else {
            return None;
        };
        if domain.is_none() && !after.is_empty() {
            return None;
        }
        Some(Self {
            domain,
            stream,
            consumer,
            attempt: attempt.parse().ok()?,
            seq: seq.parse().ok()?,
            nth: nth.parse().ok()?,
            date: date.parse().ok()?,
            behind: behind.parse().ok()?,
        })
    }
}

impl fmt::Display for Acknowledgement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ACKNOWLEDGEMENTS)?;
        if let Some([domain, account]) = self.domain {
            write!(f, "{domain}.{account}.")?;
        }
        let Self { stream, consumer, attempt, seq, nth, date, behind, .. } = self;
        write!(f, "{stream}.{consumer}.{attempt}.{seq}.{nth}.{date}.{behind}")
    }
}

/// Whether somebody who is answered there hears that a delivery was handled, or was not.
pub fn is_acknowledgement(subject: &str) -> bool {
    subject.starts_with(ACKNOWLEDGEMENTS)
}

/// Whether JetStream is asked there.
pub fn is_request(subject: &str) -> bool {
    subject.starts_with(API)
}

/// Where everything of a consumer is acknowledged; the second form is that of servers which say a domain.
pub fn acknowledgements(stream: &str, consumer: &str) -> [String; 2] {
    [
        format!("{ACKNOWLEDGEMENTS}{stream}.{consumer}.>"),
        format!("{ACKNOWLEDGEMENTS}*.*.{stream}.{consumer}.>"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "$JS.ACK.LOG_x.q-1.2.30.4.1795147349164494510.5";

    #[test]
    fn a_delivery_is_read_as_it_was_written() {
        let plain = Acknowledgement::parse(PLAIN).unwrap();
        assert_eq!((plain.domain, plain.stream, plain.consumer), (None, "LOG_x", "q-1"));
        assert_eq!((plain.attempt, plain.seq, plain.nth, plain.behind), (2, 30, 4, 5));
        assert_eq!(plain.to_string(), PLAIN);
        let with_domain = PLAIN.replace("ACK.", "ACK.core.ACCOUNT.");
        let read = Acknowledgement { domain: Some(["core", "ACCOUNT"]), ..plain };
        assert_eq!(Acknowledgement::parse(&with_domain), Some(read));
        assert_eq!(Acknowledgement::parse(&format!("{with_domain}.token")), Some(read));
        assert_eq!(read.to_string(), with_domain);
    }

    #[test]
    fn an_incomplete_reply_subject_is_no_acknowledgement() {
        for subject in [
            "$JS.ACK",
            "$JS.ACK.s.c",
            "$JS.ACK.s.c.1.x.1.1.1",
            "$JS.ACK.s.c.1.1.1.1",
            "$JS.ACK.s.c.1.1.1.1.1.1",
            "$JS.ACK.d.a.s.c.1.1.x.1.1",
            "_INBOX.s.c.1.1.1.1.1",
        ] {
            assert_eq!(Acknowledgement::parse(subject), None, "{subject}");
        }
    }
}

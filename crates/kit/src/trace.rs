//! The trace that a call is part of, as W3C `traceparent`: accepted when it is well-formed, started otherwise.

use std::fmt;

use crate::platform::{self, Platform};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    text: String,
}

impl Trace {
    /// Continues the trace of a caller, or starts one when it sent none or nonsense.
    pub fn accept(traceparent: Option<&str>) -> Self {
        traceparent.and_then(Self::read).unwrap_or_else(Self::start)
    }

    /// The trace that a text names, if it is well-formed.
    pub fn read(traceparent: &str) -> Option<Self> {
        is_valid(traceparent).then(|| Self { text: traceparent.to_owned() })
    }

    fn start() -> Self {
        let platform = platform::current();
        // An id of zeros means "none", so one bit is always set.
        let trace = u128::from(platform.random()) << 64 | u128::from(platform.random() | 1);
        let span = platform.random() | 1;
        Self { text: format!("00-{trace:032x}-{span:016x}-01") }
    }

    /// The 32 digits that all parts of a trace share.
    pub fn id(&self) -> &str {
        self.text.get(3..35).unwrap_or_default()
    }

    /// The 16 digits of the caller's own part.
    pub fn span(&self) -> &str {
        self.text.get(36..52).unwrap_or_default()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `00-<32 digits>-<16 digits>-<2 digits>`, in lower-case hexadecimal, with ids that are not all zeros.
fn is_valid(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some("00"), Some(trace), Some(span), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2) && is_set(trace) && is_set(span)
}

#[cfg(test)]
mod tests {
    use super::Trace;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_good_trace_is_continued() {
        let trace = Trace::accept(Some(GOOD));
        assert_eq!(trace.to_string(), GOOD);
        assert_eq!((trace.id(), trace.span()), ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"));
    }

    #[test]
    fn an_invalid_trace_is_replaced_by_a_new_one() {
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for bad in
            ["", "00", "x", zeros, &GOOD.to_uppercase(), &format!("{GOOD}-00"), &GOOD.replace("00-", "01-")]
        {
            let trace = Trace::accept(Some(bad));
            assert_ne!(trace.to_string(), bad);
            assert_eq!(Trace::accept(Some(&trace.to_string())), trace, "a started trace is well-formed");
        }
    }
}

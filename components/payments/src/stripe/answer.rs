//! What Stripe answers, and what is no answer.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use trellis_kit::Failure;
use trellis_kit::outgoing::{Response, SendError};

/// How soon Stripe is asked again.
pub const SOON: Duration = Duration::from_secs(5);
/// The same where somebody has to do something first.
pub const A_WHILE: Duration = Duration::from_mins(1);
const CODE_MAX: usize = 64;

/// Stripe has said no, and will say so again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why, in one word: `card_declined`.
    pub code: String,
}

/// What Stripe says: it is so, or it will not be.
pub type Said<T> = Result<T, Refused>;

/// What Stripe says of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ErrorBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    decline_code: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: ErrorBody,
}

impl ErrorBody {
    /// The most precise word for it. What Stripe says in sentences is for people who know it.
    pub fn code(&self) -> Option<&str> {
        let precise = self.decline_code.as_deref().filter(|code| *code != "generic_decline");
        let words = [precise, self.code.as_deref(), self.kind.as_deref()];
        words.into_iter().flatten().find(|word| is_word(word))
    }
}

/// It is told to everybody, so it is a word and nothing else.
fn is_word(text: &str) -> bool {
    (1..=CODE_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether it can be what Stripe calls something, and stand in a path as it is.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads an answer. Whatever may be another one next time is a failure that puts the event off: who does not know what became of what
/// they asked for, asks again.
pub fn read<T: DeserializeOwned>(sent: Result<Response<Vec<u8>>, SendError>) -> Result<Said<T>, Failure> {
    let response = sent.map_err(|error| Failure::later(SOON, error))?;
    let (status, body) = (response.status(), response.body());
    let says = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_success() {
        let read = serde_json::from_slice(body);
        return read
            .map(Ok)
            .map_err(|error| Failure::later(SOON, format!("Stripe's answer cannot be read: {error}")));
    }
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let code = refusal.as_ref().and_then(|refusal| refusal.error.code()).unwrap_or("refused").to_owned();
    let is_passing = match (status.as_u16(), says("stripe-should-retry")) {
        // The key is the operator's to mend, and no reason why anybody should not be able to pay.
        (401 | 403, _) => {
            return Err(Failure::later(
                A_WHILE,
                format!("Stripe does not take stripe-key: {status}, {code}"),
            ));
        }
        (_, Some("true")) => true,
        (_, Some("false")) => false,
        (status, _) => matches!(status, 409 | 429 | 500..),
    };
    match refusal {
        Some(_) if !is_passing => Ok(Err(Refused { code })),
        _ => {
            let seconds = says("retry-after").and_then(|text| text.parse().ok());
            let after = seconds.map_or(SOON, Duration::from_secs);
            Err(Failure::later(after, format!("Stripe has answered {status}, {code}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use trellis_kit::testing::Json;

    use super::*;

    /// The answer as a text, or how many seconds later to ask again.
    fn of(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Result<Json, String>, u64> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(body.as_bytes().to_vec()).unwrap();
        match read::<Value>(Ok(response)) {
            Ok(said) => Ok(said.map_err(|refused| refused.code)),
            Err(Failure::Later { after, .. }) => Err(after.as_secs()),
            Err(failure) => panic!("{failure}"),
        }
    }

    fn error(kind: &str, code: &str, decline_code: &str) -> String {
        format!(
            r#"{{"error": {{"type": {kind}, "code": {code}, "decline_code": {decline_code}, "message": "No."}}}}"#
        )
    }

    #[test]
    fn what_is_an_answer() {
        assert_eq!(of(200, &[], r#"{"a": 1}"#), Ok(Ok(serde_json::json!({ "a": 1 }))));
        let declined = |decline| error("\"card_error\"", "\"card_declined\"", decline);
        let rows = [
            (402, declined("\"insufficient_funds\""), "insufficient_funds"),
            (402, declined("\"generic_decline\""), "card_declined"),
            (402, declined("null"), "card_declined"),
            (400, error("\"invalid_request_error\"", "null", "null"), "invalid_request_error"),
            (404, error("\"invalid_request_error\"", "\"resource_missing\"", "null"), "resource_missing"),
            (402, error("\"card_error\"", "\"<script>\"", "\"a b\""), "card_error"),
            (402, r#"{"error": {}}"#.to_owned(), "refused"),
        ];
        for (status, body, code) in rows {
            assert_eq!(of(status, &[], &body), Ok(Err(code.to_owned())), "{body}");
        }
    }

    #[test]
    fn what_is_none() {
        let body = error("\"api_error\"", "null", "null");
        for status in [409, 429, 500, 502, 503, 504] {
            assert_eq!(of(status, &[], &body), Err(5), "{status}");
        }
        for status in [401, 403] {
            assert_eq!(of(status, &[], &body), Err(60), "{status}");
        }
        for broken in ["", "<html>", r#"{"id": "pi_1""#, "\u{0}"] {
            for status in [200, 302, 400, 402, 404, 500] {
                assert_eq!(of(status, &[], broken), Err(5), "{status} {broken}");
            }
        }
        assert_eq!(of(429, &[("retry-after", "17")], &body), Err(17));
        assert_eq!(of(429, &[("retry-after", "100000")], &body), Err(300), "and no later than that");
        let lost = [SendError::NotSent("no".to_owned()), SendError::Unknown("no".to_owned())];
        for error in lost {
            assert!(matches!(read::<Value>(Err(error)), Err(Failure::Later { .. })));
        }
    }

    #[test]
    fn stripe_may_say_whether_to_ask_again() {
        let body = error("\"api_error\"", "\"lock_timeout\"", "null");
        for status in [400, 402, 409, 500] {
            assert_eq!(of(status, &[("stripe-should-retry", "true")], &body), Err(5), "{status}");
            let no = of(status, &[("stripe-should-retry", "false")], &body);
            assert_eq!(no, Ok(Err("lock_timeout".to_owned())), "{status}");
        }
        // Who says so in a page is not Stripe.
        assert_eq!(of(500, &[("stripe-should-retry", "false")], "<html>"), Err(5));
    }
}

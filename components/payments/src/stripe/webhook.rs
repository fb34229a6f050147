//! What Stripe tells unasked, at `POST /payments/webhooks/stripe`.
//!
//! Anybody can send there, so what counts is the signature, of the body as it came. What is in it is not believed beyond that: it says
//! of which payment to ask.

use serde_json::{Value, json};
use trellis_kit::config::{self, ExposeSecret};
use trellis_kit::{Problem, Response, http};

use super::answer::is_name;
use super::signature;
use crate::nudge;
use crate::trellis::payments::types::Processor;

/// Stripe sends a few thousand bytes.
const BODY_MAX: usize = 256 * 1024;

/// Hears what Stripe tells. 200 says that it need not be told again.
pub fn hear(call: &http::Call<'_>) -> Result<Response, Problem> {
    let (cx, request) = (call.cx(), call.request());
    if request.body.len() > BODY_MAX {
        return Err(Problem::too_large(format!("The body may have {BODY_MAX} bytes.")));
    }
    let secret = config::secret("stripe-webhook-secret")?.filter(|secret| !secret.expose_secret().is_empty());
    let secret = secret.ok_or_else(|| Problem::not_found("Nothing is heard from Stripe here."))?;
    let header = request.header("stripe-signature").unwrap_or_default();
    signature::check(header, &request.body, secret.expose_secret(), cx.seconds())?;
    let told: Value = serde_json::from_slice(&request.body)
        .map_err(|_| Problem::malformed("The body is signed, and is not JSON."))?;
    if let Some((telling, payment, intent)) = about(&told) {
        nudge::give(cx, Processor::Stripe, telling, payment, intent)?;
    }
    Response::json(200, &json!({ "received": true }))
}

/// What Stripe calls this telling, the payment that it is about, and the intent of that. None if it is about something else.
fn about(told: &Value) -> Option<(&str, &str, &str)> {
    let text = |path: &str| told.pointer(path).and_then(Value::as_str);
    let is_intent = text("/data/object/object") == Some("payment_intent");
    let intent = text("/data/object/id").filter(|id| is_intent && is_name(id))?;
    Some((text("/id")?, text("/data/object/metadata/payment")?, intent))
}

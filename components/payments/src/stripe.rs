//! Stripe: the money is taken in two steps. A payment intent is made, and what Stripe calls it is written down; then Stripe is told to
//! confirm it. So whoever dies in between knows what to ask about.
//!
//! **Only what Stripe says has happened, has happened.** What is not understood, or comes from somebody in between, is no answer: Stripe is
//! asked again, later and with the same key. A payment fails once Stripe has cancelled its intent, as nothing can be taken by it
//! from then on. What was taken all the same, or is not what was asked for, is given back.

mod answer;
mod intent;
mod signature;
mod webhook;

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use trellis_kit::config::{self, ExposeSecret, SecretString};
use trellis_kit::outgoing::{HeaderValue, Method, Request};
use trellis_kit::{Failure, Problem, Reaction, Recorded, http, id, log};

use crate::nudge::{Nudge, NudgeEvent};
use crate::trellis::payments::events::{PaymentEvent, RefundEvent};
use crate::trellis::payments::types::{Payment, Refund, RefundReason, RefundStatus, Status};
use answer::{A_WHILE, Refused, SOON, Said, is_name};
use intent::{Intent, Next};
#[cfg(test)]
pub use signature::signed;
pub use webhook::hear;

const URL: &str = "https://api.stripe.com";
/// What the answers are to look like, whatever is set for the account.
const VERSION: (&str, &str) = ("stripe-version", "2024-06-20");
/// How long one answer may take. What takes longer is asked about later.
const PATIENCE: Duration = Duration::from_secs(4);
/// Find, confirm, cancel, and a step for what changes meanwhile.
const STEPS_MAX: usize = 4;
const TOKEN_MAX: usize = 255;
/// Where Stripe's smallest unit is another one than that of ISO 4217.
const OTHER_UNITS: [&str; 3] = ["ISK", "MGA", "UGX"];

/// Refuses what cannot be a payment method or a token of Stripe's.
pub fn expect_token(field: &str, token: &str) -> Result<(), Problem> {
    let name = token.strip_prefix("pm_").or_else(|| token.strip_prefix("tok_"));
    match name {
        Some(name) if is_name(name) && token.len() <= TOKEN_MAX => Ok(()),
        _ => Err(Problem::invalid(field, "Must be a payment method of Stripe's, pm_…, or a token, tok_….")),
    }
}

/// Has Stripe take the money, or finds out what has come of that, and notes it.
pub fn charge(reaction: &Reaction, payment: &Payment, token: &str) -> Result<(), Failure> {
    let stripe = Stripe::of(reaction)?;
    let mut intent = match &payment.processor_id {
        Some(id) => stripe.expect(id)?,
        None => match prepare(&stripe, payment, token)? {
            Some(intent) => intent,
            None => return Ok(()),
        },
    };
    let mut reason = None;
    for _ in 0..STEPS_MAX {
        match intent.next(payment) {
            Next::Confirm => match stripe.confirm(payment, &intent)? {
                Ok(confirmed) => intent = confirmed,
                Err(refused) => {
                    reason = Some(refused.code);
                    intent = stripe.cancel(&intent)?;
                }
            },
            Next::Cancel => {
                reason = Some(intent.reason());
                intent = stripe.cancel(&intent)?;
            }
            Next::Wait => return Err(Failure::later(SOON, "Stripe has not decided yet")),
            Next::Settle => return settle(&stripe, &payment.id, intent, reason),
        }
    }
    Err(Failure::later(SOON, "Stripe says something else each time"))
}

/// Looks what has become of an intent of which Stripe has told something.
pub fn look(event: &Recorded<NudgeEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let NudgeEvent::Given(Nudge { payment_id, processor_id, .. }) = &event.data;
    let stripe = Stripe::of(reaction)?;
    match stripe.find(processor_id)? {
        Ok(intent) if intent.is_for(payment_id) && intent.is_decided() => {
            settle(&stripe, payment_id, intent, None)
        }
        // What goes on is asked for by whoever has told it to. Whatever else there is, is not ours.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes the intent and writes down what Stripe calls it. None if nothing is to be taken by it.
fn prepare(stripe: &Stripe<'_>, payment: &Payment, token: &str) -> Result<Option<Intent>, Failure> {
    let is_new = |payment: &Payment| payment.status == Status::Requested && payment.processor_id.is_none();
    let note = |event: PaymentEvent| {
        let decide = |payment: &Payment| Ok(is_new(payment).then(|| event.clone()));
        stripe.reaction.update::<Payment>(&payment.id, decide)
    };
    if OTHER_UNITS.contains(&payment.amount.currency.as_str()) {
        note(PaymentEvent::Failed("unsupported_currency".to_owned()))?;
        return Ok(None);
    }
    let intent = match stripe.create(payment, token)? {
        Ok(intent) if intent.is_for(&payment.id) && intent.fits(payment) => intent,
        Ok(_) => return Err(Failure::later(SOON, "Stripe has made another intent than it was asked for")),
        Err(refused) => {
            note(PaymentEvent::Failed(refused.code))?;
            return Ok(None);
        }
    };
    let noted = note(PaymentEvent::Prepared(intent.id.clone()))?;
    match noted.processor_id {
        Some(id) if id == intent.id => Ok(Some(intent)),
        // The same event was with somebody else, too, who was first.
        Some(_) => Err(Failure::later(SOON, "another intent is that of this payment")),
        None => Ok(None),
    }
}

/// Notes what has become of an intent. What was taken, and is not what the payment is made by, is given back first.
fn settle(
    stripe: &Stripe<'_>,
    payment: &str,
    mut intent: Intent,
    reason: Option<String>,
) -> Result<(), Failure> {
    let before: Payment = stripe.reaction.load(payment)?;
    if intent.is_taken() && !intent.fits(&before) {
        // Whoever answers wrongly may do so once.
        intent = stripe.expect(&intent.id)?;
        if !intent.is_decided() {
            return Err(Failure::later(SOON, "Stripe says something else each time"));
        }
    }
    give_back_unless_paid(stripe, &before, &intent)?;
    let reason = reason.unwrap_or_else(|| intent.reason());
    let after = stripe.reaction.update(payment, |payment: &Payment| {
        let is_this = payment.processor_id.as_deref() == Some(intent.id.as_str());
        Ok((is_this && payment.status == Status::Requested).then(|| {
            match (intent.is_taken(), intent.fits(payment)) {
                (true, true) => PaymentEvent::Succeeded,
                (true, false) => PaymentEvent::Failed("other_amount".to_owned()),
                (false, _) => PaymentEvent::Failed(reason.clone()),
            }
        }))
    })?;
    give_back_unless_paid(stripe, &after, &intent)
}

/// Gives back what was taken, unless the payment is made by it.
fn give_back_unless_paid(stripe: &Stripe<'_>, payment: &Payment, intent: &Intent) -> Result<(), Failure> {
    let is_this = payment.processor_id.as_deref() == Some(intent.id.as_str());
    let reason = match payment.status {
        _ if !intent.is_taken() => return Ok(()),
        Status::Failed => RefundReason::Failed,
        Status::Refused => RefundReason::Refused,
        Status::Requested | Status::Succeeded if !is_this => RefundReason::Unasked,
        Status::Requested | Status::Succeeded if !intent.fits(payment) => RefundReason::OtherAmount,
        Status::Requested | Status::Succeeded => return Ok(()),
    };
    let id = format!("{}-{}", payment.id, id::derived(&[b"refund", intent.id.as_bytes()]));
    let refund = stripe.reaction.execute(&id, |known: Option<&Refund>| {
        let refund = || Refund {
            id: id.clone(),
            payment_id: payment.id.clone(),
            buyer: payment.buyer.clone(),
            processor_id: intent.id.clone(),
            amount: intent.taken(),
            reason,
            status: RefundStatus::Requested,
            requested_at: stripe.reaction.now(),
            version: 1,
        };
        Ok(known.is_none().then(|| RefundEvent::Requested(refund())))
    })?;
    if refund.status == RefundStatus::Refunded {
        return Ok(());
    }
    log::warn(&format!("Stripe has taken {} against our word, for payment {}", intent.id, payment.id));
    stripe.give_back(&refund)?;
    stripe.reaction.update(&id, |refund: &Refund| {
        Ok((refund.status == RefundStatus::Requested).then_some(RefundEvent::Refunded))
    })?;
    Ok(())
}

/// What Stripe says of a refund.
#[derive(Debug, Deserialize)]
struct GivenBack {
    status: String,
}

/// Stripe, as it is asked because of an event.
struct Stripe<'r> {
    reaction: &'r Reaction,
    url: String,
    key: SecretString,
}

impl<'r> Stripe<'r> {
    /// As the operator has set it. A mistake there is nobody's fault who pays: it waits until that is mended.
    fn of(reaction: &'r Reaction) -> Result<Self, Failure> {
        let url = config::text("stripe-url").map_err(|fault| Failure::later(A_WHILE, fault))?;
        let key = config::secret("stripe-key").map_err(|fault| Failure::later(A_WHILE, fault))?;
        let key = key.filter(|key| !key.expose_secret().is_empty()).ok_or_else(|| {
            Failure::later(A_WHILE, "payments has no secret stripe-key, which Stripe is asked with")
        })?;
        let url = url.as_deref().unwrap_or(URL).trim_end_matches('/').to_owned();
        Ok(Self { reaction, url, key })
    }

    fn create(&self, payment: &Payment, token: &str) -> Result<Said<Intent>, Failure> {
        let amount = payment.amount.amount.to_string();
        let currency = payment.amount.currency.to_ascii_lowercase();
        let mut form = vec![
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method_types[]", "card"),
            (intent::PAYMENT, &payment.id),
            ("metadata[order]", &payment.order_id),
        ];
        if token.starts_with("tok_") {
            form.extend([("payment_method_data[type]", "card"), ("payment_method_data[card][token]", token)]);
        } else {
            form.push(("payment_method", token));
        }
        self.post("/v1/payment_intents", Some(&format!("{}-create", payment.id)), &form)
            .and_then(Intent::checked)
    }

    fn confirm(&self, payment: &Payment, intent: &Intent) -> Result<Said<Intent>, Failure> {
        let key = format!("{}-confirm", payment.id);
        self.post(&format!("/v1/payment_intents/{}/confirm", intent.id), Some(&key), &[])
            .and_then(|said| intent.again(said))
    }

    /// Has nothing be taken by it any more. To do that twice is to do it once; a key would only repeat a refusal of before.
    fn cancel(&self, intent: &Intent) -> Result<Intent, Failure> {
        let said = self.post(&format!("/v1/payment_intents/{}/cancel", intent.id), None, &[]);
        let said = said.and_then(|said| intent.again(said))?;
        said.map_err(|refused| Failure::later(SOON, format!("Stripe does not cancel it: {}", refused.code)))
    }

    fn find(&self, id: &str) -> Result<Said<Intent>, Failure> {
        let said = self.ask(Method::GET, &format!("/v1/payment_intents/{id}"), None, &[])?;
        match Intent::checked(said)? {
            Ok(intent) if intent.id != id => Err(Failure::later(SOON, "Stripe speaks of another intent")),
            said => Ok(said),
        }
    }

    /// The same for one that Stripe has made.
    fn expect(&self, id: &str) -> Result<Intent, Failure> {
        let said = self.find(id)?;
        said.map_err(|refused| {
            Failure::later(A_WHILE, format!("Stripe does not have {id}: {}", refused.code))
        })
    }

    fn give_back(&self, refund: &Refund) -> Result<(), Failure> {
        let form = [("payment_intent", refund.processor_id.as_str())];
        match self.post::<GivenBack>("/v1/refunds", Some(&refund.id), &form)? {
            Ok(given) if given.status == "succeeded" => Ok(()),
            Ok(given) if matches!(given.status.as_str(), "pending" | "requires_action") => {
                Err(Failure::later(A_WHILE, "Stripe has not given it back yet"))
            }
            Err(refused) if refused.code == "charge_already_refunded" => Ok(()),
            Ok(GivenBack { status: why }) | Err(Refused { code: why }) => Err(Failure::lasting(format!(
                "Stripe does not give back {}, taken for payment {}: {why}. Give it back by hand",
                refund.processor_id, refund.payment_id
            ))),
        }
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<Said<T>, Failure> {
        self.ask(Method::POST, path, key, form)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<Said<T>, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::later(A_WHILE, format!("stripe-url or stripe-key of payments cannot be: {error}"))
        };
        let bearer = format!("Bearer {}", self.key.expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|error| wrong(&error))?;
        bearer.set_sensitive(true);
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.url));
        request = request.header("authorization", bearer).header(VERSION.0, VERSION.1);
        if method == Method::POST {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(encoded(form)).map_err(|error| wrong(&error))?;
        answer::read(self.reaction.send(&request, PATIENCE))
    }
}

/// `application/x-www-form-urlencoded`.
fn encoded(form: &[(&str, &str)]) -> Vec<u8> {
    let pairs = form.iter().map(|(name, value)| format!("{}={}", http::encoded(name), http::encoded(value)));
    pairs.collect::<Vec<_>>().join("&").into_bytes()
}

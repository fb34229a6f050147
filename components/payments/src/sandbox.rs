//! A processor that moves no money, and behaves as the token says: for trying things out, and for tests. What it would have taken is in
//! its ledger, of which tests see that it is what was paid.

use std::time::Duration;

use trellis_kit::{Aggregate, Event, Failure, Problem, Reaction, Wire};

use crate::service::Payments;
use crate::trellis::payments::types::Payment;
use crate::trellis::tickets::types::Money;

/// How long the sandbox takes to decide about a payment with `tok_slow`, and how soon it is asked again.
const SLOW: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the processor says.
pub enum Outcome {
    Succeeded,
    /// With the reason.
    Declined(&'static str),
}

/// A line of the ledger: what was taken for a payment.
#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Charge {
    /// `<payment>-charge`.
    id: String,
    amount: Money,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub enum ChargeEvent {
    Charged(Charge),
}

/// Refuses what is no token.
pub fn expect_token(field: &str, token: &str) -> Result<(), Problem> {
    match token {
        "tok_ok" | "tok_declined" | "tok_insufficient" | "tok_slow" | "tok_unknown" => Ok(()),
        _ => Err(Problem::invalid(
            field,
            "Must be a token of the sandbox: tok_ok, tok_declined, tok_insufficient, tok_slow or tok_unknown.",
        )),
    }
}

/// Takes the money for a payment. Asked again, it says what it has said, and takes nothing more.
pub fn charge(reaction: &Reaction, payment: &Payment, token: &str) -> Result<Outcome, Failure> {
    match token {
        "tok_declined" => return Ok(Outcome::Declined("card_declined")),
        "tok_insufficient" => return Ok(Outcome::Declined("insufficient_funds")),
        "tok_slow" if reaction.ago(SLOW) < payment.requested_at => {
            return Err(Failure::later(ASK_AGAIN, "the sandbox has not decided yet"));
        }
        _ => {}
    }
    let (mut is_new, id) = (false, format!("{}-charge", payment.id));
    reaction.execute(&id, |known: Option<&Charge>| {
        is_new = known.is_none();
        let charge = || Charge { id: id.clone(), amount: payment.amount.clone() };
        Ok(is_new.then(|| ChargeEvent::Charged(charge())))
    })?;
    if is_new && token == "tok_unknown" {
        return Err(Failure::passing("the sandbox has charged the card, and its answer was lost"));
    }
    Ok(Outcome::Succeeded)
}

impl Event for ChargeEvent {
    const OF: &str = "charge";
}

impl Aggregate for Charge {
    type Service = Payments;
    type Event = ChargeEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &ChargeEvent) -> Option<Self> {
        let ChargeEvent::Charged(charge) = event;
        before.is_none().then(|| charge.clone())
    }
}

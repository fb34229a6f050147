//! A payment intent, as Stripe has it, and what is to be done about it.

use std::collections::BTreeMap;

use serde::Deserialize;
use trellis_kit::Failure;

use super::answer::{ErrorBody, SOON, Said, is_name};
use crate::trellis::payments::types::Payment;
use crate::trellis::tickets::types::Money;

/// The field of a form in which Stripe is told whose intent it is.
pub const PAYMENT: &str = "metadata[payment]";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Intent {
    pub id: String,
    object: String,
    amount: u64,
    amount_received: Option<u64>,
    currency: String,
    status: State,
    last_payment_error: Option<ErrorBody>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
    Processing,
    Canceled,
    Succeeded,
    /// What is new to us may be any of these.
    #[serde(other)]
    Other,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Confirm,
    Cancel,
    Wait,
    /// It is decided.
    Settle,
}

impl Intent {
    /// Refuses to take something else for an intent.
    pub fn checked(said: Said<Self>) -> Result<Said<Self>, Failure> {
        match said {
            Ok(intent) if intent.object != "payment_intent" || !is_name(&intent.id) => {
                Err(Failure::later(SOON, "Stripe's answer is no payment intent"))
            }
            said => Ok(said),
        }
    }

    /// The same for one that was asked for by this one's name.
    pub fn again(&self, said: Said<Self>) -> Result<Said<Self>, Failure> {
        match Self::checked(said)? {
            Ok(intent) if intent.id != self.id => {
                Err(Failure::later(SOON, "Stripe speaks of another intent"))
            }
            said => Ok(said),
        }
    }

    /// Nothing is confirmed that is not what we asked for, nor a second time after a refusal. Whatever needs the buyer is
    /// given up: nobody would bring them there.
    pub fn next(&self, payment: &Payment) -> Next {
        match self.status {
            State::Succeeded | State::Canceled => Next::Settle,
            State::Processing | State::Other => Next::Wait,
            State::RequiresConfirmation if self.fits(payment) && self.last_payment_error.is_none() => {
                Next::Confirm
            }
            _ => Next::Cancel,
        }
    }

    pub fn is_taken(&self) -> bool {
        self.status == State::Succeeded
    }

    pub fn is_decided(&self) -> bool {
        matches!(self.status, State::Succeeded | State::Canceled)
    }

    /// Whether it was made for this payment.
    pub fn is_for(&self, payment: &str) -> bool {
        self.metadata.get("payment").is_some_and(|id| id == payment)
    }

    /// Whether it is about the amount of the payment, and no other one.
    pub fn fits(&self, payment: &Payment) -> bool {
        let amount = &payment.amount;
        self.amount == amount.amount
            && self.currency.eq_ignore_ascii_case(&amount.currency)
            && (!self.is_taken() || self.taken().amount == amount.amount)
    }

    /// What was taken.
    pub fn taken(&self) -> Money {
        let amount = self.amount_received.unwrap_or(self.amount);
        Money { amount, currency: self.currency.to_ascii_uppercase() }
    }

    /// Why nothing was taken.
    pub fn reason(&self) -> String {
        let said = self.last_payment_error.as_ref().and_then(ErrorBody::code);
        let reason = said.unwrap_or(match self.status {
            State::RequiresAction => "authentication_required",
            _ => "canceled",
        });
        reason.to_owned()
    }
}

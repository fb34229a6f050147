//! Who takes the money: said by the operator for the payments that are requested from then on, and kept with each of them.
//!
//! | config | meaning |
//! |---|---|
//! | `processor` | `sandbox`, or `stripe`; the sandbox if unset |
//! | `stripe-url` | where Stripe is found, if not at `https://api.stripe.com`; `outgoing-origins` has to have it |

use trellis_kit::platform::Fault;
use trellis_kit::{Problem, config};

use crate::trellis::payments::types::Processor;
use crate::{sandbox, stripe};

/// By whom a payment is made that is requested now.
pub fn configured() -> Result<Processor, Fault> {
    match config::text("processor")?.as_deref() {
        None | Some("sandbox") => Ok(Processor::Sandbox),
        Some("stripe") => Ok(Processor::Stripe),
        Some(other) => {
            Err(Fault::new(format!("config processor is {other:?}; it must be sandbox or stripe")))
        }
    }
}

/// Refuses what the processor cannot know a card by.
pub fn expect_token(processor: Processor, field: &str, token: &str) -> Result<(), Problem> {
    match processor {
        Processor::Sandbox => sandbox::expect_token(field, token),
        Processor::Stripe => stripe::expect_token(field, token),
    }
}

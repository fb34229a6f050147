//! What a processor tells unasked: something has happened to a payment. It is only a nudge to ask it.
//!
//! A nudge is written down before it is answered, and acted on as an event. So it may come twice, late, or while the processor does not
//! answer what it is asked.

use trellis_kit::{Aggregate, Event, Problem, Wire, id};

use crate::service::Payments;
use crate::trellis::payments::types::{Payment, Processor, Status};
use api::Cx;

use crate::api;

/// That a processor has told something of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Nudge {
    id: String,
    pub payment_id: String,
    /// What the processor told something of, as it calls it.
    pub processor_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum NudgeEvent {
    Given(Nudge),
}

/// Writes down that the processor has told something, under the name that it has for that. Payments that it does not know, or that
/// are not the processor's, are nobody's concern; and what is paid by just this has been asked for.
pub fn give(cx: &Cx, by: Processor, telling: &str, payment: &str, processor_id: &str) -> Result<(), Problem> {
    let known: Option<Payment> = cx.find(payment)?;
    let is_news = |payment: &Payment| {
        let is_this = payment.processor_id.as_deref() == Some(processor_id);
        payment.processor == Some(by) && !(is_this && payment.status == Status::Succeeded)
    };
    let Some(payment) = known.filter(is_news) else { return Ok(()) };
    let id = format!("{}-{}", payment.id, id::derived(&[b"nudge", telling.as_bytes()]));
    cx.execute(&id, |known: Option<&Nudge>| {
        let nudge = || Nudge {
            id: id.clone(),
            payment_id: payment.id.clone(),
            processor_id: processor_id.to_owned(),
        };
        Ok(known.is_none().then(|| NudgeEvent::Given(nudge())))
    })?;
    Ok(())
}

impl Event for NudgeEvent {
    const OF: &str = "nudge";
}

impl Aggregate for Nudge {
    type Service = Payments;
    type Event = NudgeEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &NudgeEvent) -> Option<Self> {
        let NudgeEvent::Given(nudge) = event;
        before.is_none().then(|| nudge.clone())
    }
}

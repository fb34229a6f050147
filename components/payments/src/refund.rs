//! What a processor has taken against our word: it is given back, and operators see it.

use trellis_kit::{Aggregate, Failure, Recorded, Series, Writer};

use crate::service::Payments;
use crate::sources;
use crate::trellis::payments::events::RefundEvent;
use crate::trellis::payments::types::{Refund, RefundStatus};

/// All refunds, as they were requested.
pub const REFUNDS: Series<Refund> = Series::new(sources::PAYMENTS, "refund", "refunds");

/// Keeps what operators see.
pub fn follow(event: &Recorded<RefundEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let refund: Refund = event.state()?;
    match event.data {
        RefundEvent::Requested(_) => REFUNDS.add(writer, &refund.id, &refund),
        RefundEvent::Refunded => REFUNDS.change(writer, &refund.id, &refund),
    }
}

impl Aggregate for Refund {
    type Service = Payments;
    type Event = RefundEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &RefundEvent) -> Option<Self> {
        match (before, event) {
            (None, RefundEvent::Requested(refund)) => Some(refund.clone()),
            (Some(before), RefundEvent::Refunded) if before.status == RefundStatus::Requested => {
                Some(Self { status: RefundStatus::Refunded, version: before.version + 1, ..before })
            }
            _ => None,
        }
    }
}

//! Payments: a buyer pays for an order, once, by a processor that keeps the money.
//!
//! **Nobody is charged before orders has said who pays.** A payment is requested here and decided on there: of all that want to pay for an
//! order, `paying` names one, and only that one goes to the processor. The others are refused, and cost nothing.
//!
//! **The processor is asked under the id of the payment**, so however often it is asked, it takes the money once. One that has not
//! decided is asked again later: for a day, after which an operator has to look.
//!
//! **What it tells unasked is a reason to ask it**, and no more than that.

mod nudge;
mod processor;
mod refund;
mod sandbox;
mod service;
mod stripe;
#[cfg(test)]
mod tests;

use api::{Cx, Guest, NewPayment, PageRequest, Payment, Problem, RefundPage};
use nudge::Nudge;
use refund::REFUNDS;
use sandbox::{Charge, Outcome};
use service::Payments;
use thiserror::Error;
use trellis::orders::events::ReservationEvent;
use trellis::orders::types::{Order, Reservation, Status as OrderStatus};
use trellis::payments::events::PaymentEvent;
use trellis::payments::types::{Processor, Refund, Status};
use trellis_kit::http::Awaited;
use trellis_kit::{
    Aggregate, Entity, Failure, Lookup, OPERATOR, Projections, Reaction, Recorded, Route, Service, Source,
    Timers, Wire, id, projections, routes, timers,
};

trellis_kit::bindings!(payments: orders);
trellis_kit::export!(Payments);

/// What is ordered, as orders has it now.
const ORDERS: Lookup<ReservationEvent> = Lookup::of::<Payments>(sources::ORDERS);

impl Service for Payments {
    const NAME: &str = "payments";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("market");
    const PARTITIONS: u32 = sources::PAYMENTS.partitions;
    const ROUTES: &[Route] = routes! {
        POST "/payments?wait" => awaited(Self::pay),
        GET "/payments/{id}" => ok(Self::get),
        only(OPERATOR) GET "/payments/refunds" => page(Self::refunds),
        POST "/payments/webhooks/stripe" => stripe::hear,
    };
    const ENTITIES: &[Entity] =
        &[Entity::of::<Payment>(), Entity::of::<Charge>(), Entity::of::<Refund>(), Entity::of::<Nudge>()];
    /// Who knows a token can charge the card.
    const PRIVATE: &[Entity] = &[Entity::of::<Means>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! { sources::PAYMENTS => refund::follow };
    /// A processor may take its time with one payment; that holds up none of the others.
    const TIMERS: Timers = timers! {
        sources::ORDERS => at_once(follow_order),
        sources::PAYMENTS => at_once(stripe::look),
    };
    const READS: &[Source] = &[sources::ORDERS];
}

/// What a payment is made with.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Means {
    /// That of the payment.
    id: String,
    token: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum MeansEvent {
    Shown(Means),
}

impl Guest for Payments {
    fn pay(cx: &Cx, new: NewPayment, wait: Option<u32>) -> Result<Payment, Problem> {
        let patience = Cx::patience(wait)?;
        let payment = request(cx, &new)?;
        let payment = cx.wait_for(payment, patience, Payment::is_settled)?;
        if wait.is_some() {
            payment.expect_not_refused()?;
        }
        Ok(payment)
    }

    fn get(cx: &Cx, id: String) -> Result<Payment, Problem> {
        let payment: Option<Payment> = cx.find(&id)?;
        let own = payment.filter(|payment| cx.caller.as_ref() == Some(&payment.buyer));
        Ok(own.ok_or(PaymentError::NoSuchPayment)?)
    }

    fn refunds(cx: &Cx, page: PageRequest) -> Result<RefundPage, Problem> {
        cx.require(OPERATOR)?;
        let listed = REFUNDS.list(&cx.views()?, &page)?;
        Ok(RefundPage { items: listed.items, next: listed.next })
    }
}

/// Asks for a payment, which its order decides on.
fn request(cx: &Cx, new: &NewPayment) -> Result<Payment, Problem> {
    let buyer = cx.caller.clone().ok_or(PaymentError::NobodyKnown)?;
    let processor = processor::configured()?;
    processor::expect_token(processor, "token", &new.token)?;
    let order = order(&new.order_id)?.filter(|order| order.buyer == buyer);
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let means: Means = cx.create(new, |id| MeansEvent::Shown(Means { id, token: new.token.clone() }))?;
    let known: Option<Payment> = cx.find(&means.id)?;
    if let Some(payment) = known {
        return Ok(payment);
    }
    order.expect_payable(&cx.now())?;
    cx.create_as(means.id, new, |id| {
        PaymentEvent::Requested(Payment {
            id,
            order_id: order.id,
            buyer,
            amount: order.price,
            status: Status::Requested,
            reason: None,
            processor: Some(processor),
            processor_id: None,
            requested_at: cx.now(),
            version: 1,
        })
    })
}

/// Why nothing is paid.
#[derive(Debug, Error)]
enum PaymentError {
    #[error("Sign in to pay.")]
    NobodyKnown,
    #[error("There is no such order of yours, or it has ended.")]
    UnknownOrder,
    #[error("There is no such payment.")]
    NoSuchPayment,
    #[error("The time to pay for this order is over.")]
    TooLate,
    #[error("This order is being paid.")]
    Paying,
    #[error("This order is paid.")]
    Paid,
    #[error("The order cannot be paid any more, or was being paid already. This payment cost nothing.")]
    Refused,
    #[error("The processor has said no: {0}.")]
    Declined(String),
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        let text = error.to_string();
        match error {
            PaymentError::NobodyKnown => Self::unauthorized(text),
            PaymentError::UnknownOrder => Self::invalid("order_id", text),
            PaymentError::NoSuchPayment => Self::not_found(text),
            PaymentError::TooLate | PaymentError::Paying | PaymentError::Paid | PaymentError::Refused => {
                Self::conflict(text)
            }
            PaymentError::Declined(_) => Self::payment_required(text),
        }
    }
}

/// An order as it is now, unless another one has come after it.
fn order(id: &str) -> Result<Option<Order>, Problem> {
    let reservation: Option<Reservation> = ORDERS.find(id::root(id))?;
    Ok(reservation.and_then(|reservation| reservation.order).filter(|order| order.id == id))
}

impl Order {
    fn expect_payable(&self, now: &str) -> Result<(), PaymentError> {
        match self.status {
            OrderStatus::Reserved if *self.expires_at > *now => Ok(()),
            OrderStatus::Paying => Err(PaymentError::Paying),
            OrderStatus::Paid => Err(PaymentError::Paid),
            OrderStatus::Reserved | OrderStatus::Cancelled | OrderStatus::Expired => {
                Err(PaymentError::TooLate)
            }
        }
    }
}

impl Payment {
    fn expect_not_refused(&self) -> Result<(), PaymentError> {
        match self.status {
            Status::Requested | Status::Succeeded => Ok(()),
            Status::Refused => Err(PaymentError::Refused),
            Status::Failed => Err(PaymentError::Declined(self.reason.clone().unwrap_or_default())),
        }
    }
}

impl Awaited for Payment {
    fn is_settled(&self) -> bool {
        self.status != Status::Requested
    }
}

/// Does what orders has decided about a payment. Whatever comes again finds it done. It needs no order: of one payment, orders decides
/// once.
fn follow_order(event: &Recorded<ReservationEvent>, reaction: &Reaction) -> Result<(), Failure> {
    match &event.data {
        ReservationEvent::Paying(payment) => charge(payment, reaction),
        ReservationEvent::Refused(payment) => decide(payment, &PaymentEvent::Refused, reaction),
        _ => Ok(()),
    }
}

/// Has the processor take the money, and notes what it says.
fn charge(id: &str, reaction: &Reaction) -> Result<(), Failure> {
    let payment: Payment = reaction.load(id)?;
    if payment.status != Status::Requested {
        return Ok(());
    }
    let means: Means = reaction.load(id)?;
    if payment.processor == Some(Processor::Stripe) {
        return stripe::charge(reaction, &payment, &means.token);
    }
    let said = match sandbox::charge(reaction, &payment, &means.token)? {
        Outcome::Succeeded => PaymentEvent::Succeeded,
        Outcome::Declined(why) => PaymentEvent::Failed(why.to_owned()),
    };
    decide(id, &said, reaction)
}

fn decide(id: &str, what: &PaymentEvent, reaction: &Reaction) -> Result<(), Failure> {
    reaction
        .update(id, |payment: &Payment| Ok((payment.status == Status::Requested).then(|| what.clone())))?;
    Ok(())
}

impl Aggregate for Payment {
    type Service = Payments;
    type Event = PaymentEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &PaymentEvent) -> Option<Self> {
        let Some(before) = before else {
            let PaymentEvent::Requested(payment) = event else { return None };
            return Some(payment.clone());
        };
        if before.status != Status::Requested {
            return None;
        }
        let after = Self { version: before.version + 1, ..before };
        Some(match event {
            PaymentEvent::Requested(_) => return None,
            PaymentEvent::Prepared(_) if after.processor_id.is_some() => return None,
            PaymentEvent::Prepared(by) => Self { processor_id: Some(by.clone()), ..after },
            PaymentEvent::Refused => Self { status: Status::Refused, ..after },
            PaymentEvent::Succeeded => Self { status: Status::Succeeded, ..after },
            PaymentEvent::Failed(why) => Self { status: Status::Failed, reason: Some(why.clone()), ..after },
        })
    }
}

impl trellis_kit::Event for MeansEvent {
    const OF: &str = "means";
}

impl Aggregate for Means {
    type Service = Payments;
    type Event = MeansEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &MeansEvent) -> Option<Self> {
        let MeansEvent::Shown(means) = event;
        before.is_none().then(|| means.clone())
    }
}

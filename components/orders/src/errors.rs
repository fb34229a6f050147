//! Why a ticket cannot be had, or an order stays as it is, and what that is in HTTP.

use thiserror::Error;
use trellis_kit::Problem;

use crate::trellis::tickets::types::Money;

#[derive(Debug, Error)]
pub enum OrderError {
    #[error("Sign in to reserve a ticket.")]
    NobodyKnown,
    /// In what was sent.
    #[error("There is no such ticket.")]
    UnknownTicket,
    /// Where the request leads to.
    #[error("There is no such ticket.")]
    NoSuchTicket,
    #[error("There is no such order.")]
    NoSuchOrder,
    #[error("Somebody has reserved this ticket. Try again later: it may be free again.")]
    Reserved,
    #[error("Somebody has bought this ticket.")]
    Sold,
    #[error("This order is being paid. What comes of that is seen soon.")]
    BeingPaid,
    #[error("This order is paid.")]
    Paid,
    #[error("Its seller has withdrawn this ticket.")]
    Withdrawn,
    #[error("This ticket is your own.")]
    OwnTicket,
    #[error("The price is {} {} now, in the smallest unit.", .0.amount, .0.currency)]
    AnotherPrice(Money),
    #[error("Only its buyer may cancel an order.")]
    NotItsBuyer,
    #[error("Only its seller may withdraw a ticket.")]
    NotItsSeller,
    #[error("Somebody has reserved this ticket. Withdraw it when the order has ended.")]
    StillReserved,
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let text = error.to_string();
        match error {
            OrderError::NobodyKnown => Self::unauthorized(text),
            OrderError::UnknownTicket => Self::invalid("ticket_id", text),
            OrderError::NotItsBuyer | OrderError::NotItsSeller => Self::forbidden(text),
            OrderError::NoSuchTicket | OrderError::NoSuchOrder => Self::not_found(text),
            OrderError::Reserved
            | OrderError::Sold
            | OrderError::BeingPaid
            | OrderError::Paid
            | OrderError::Withdrawn
            | OrderError::OwnTicket
            | OrderError::AnotherPrice(_)
            | OrderError::StillReserved => Self::conflict(text),
        }
    }
}

//! Which keys are read, and in which order.

use std::ops::Bound;

use bytes::Bytes;

pub(crate) type Range = (Bound<Bytes>, Bound<Bytes>);

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

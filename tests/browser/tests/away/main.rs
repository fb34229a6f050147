//! What people see when parts are away. Only the embedded host is told to stop a part: these tests do not run on a lattice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod flow;
mod refusals;
mod services;

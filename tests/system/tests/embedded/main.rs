//! What only the embedded host can do, and what only can happen to it: these tests do not run on a lattice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod accounts;
mod chaos;
mod components;
mod crash;
mod demo;
mod first_admin;
mod fuzz;
mod lifecycle;
mod operations;
mod origins;
mod slow_clients;
mod slow_services;
mod trace;
mod tutorial;

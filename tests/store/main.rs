//! The stores, held to their contract.

#[macro_use]
mod conformance;
mod postgres;
mod sqlite;
#[path = "../support/mod.rs"]
mod support;

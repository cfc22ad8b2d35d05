//! Weighbridge: billing for an API, inside the API's own process.
//!
//! The map, from the inside out:
//!
//! | module     | what it is                                                                              |
//! |------------|-----------------------------------------------------------------------------------------|
//! | [`error`]  | the one [`Error`] and its stable codes                                                  |
//! | [`domain`] | the rules: money, periods, prices, tiers, quotas, keys. Pure: no I/O, no clock, no async |
//! | [`store`]  | what is remembered: `trait Store`, its conformance suite, SQLite and PostgreSQL         |
//! | [`engine`] | who decides and when: the gate, the recorder, the key cache, taking over the seed's files |
//! | [`export`] | bringing usage from the outbox to another service                                       |
//! | [`stripe`] | the Stripe client, the service on top of it, and where usage is brought                 |
//! | `node`     | the Node.js binding (feature `node`): conversions and nothing else                      |
//!
//! Dependencies point one way: `domain` ← `store` ← `engine`, `export`; `stripe` uses `domain` and
//! implements what `export` asks for; `node` uses all of them and nobody uses `node`. No napi outside `node`, no SQL outside `store`, no HTTP outside `stripe::client`.
//! `tests/architecture.rs` holds the rule.
//!
//! Time is an argument. No module below `node` reads a clock to decide something: the caller says what time it is,
//! so that a test can cross a month's end and a replay decides as the original did.

// A panic must not cross into Node: where one of these is allowed, the line above says why it cannot happen.
#![deny(clippy::expect_used, clippy::panic, clippy::todo, clippy::unreachable, clippy::unwrap_used)]
#![deny(unsafe_code)]

pub mod domain;
pub mod engine;
pub mod error;
pub mod export;
#[cfg(feature = "node")]
mod node;
pub mod store;
pub mod stripe;

pub use error::{Code, Error, Result};

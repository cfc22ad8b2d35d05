//! The Stripe side as its callers see it, against a recorder on the loopback interface that answers by script.
//! Nothing here has spoken to the real Stripe.

mod change_tier;
mod client;
mod recorder;
mod service;
mod spawn;
mod usage;

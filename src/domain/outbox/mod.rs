//! The outbox: usage on its way to another service, such as Stripe, effectively once.
//!
//! Usage is reported as deltas: a [`Report`] is what a customer used of a meter in one window of time ([`ExportRule`]). It
//! is written in the very transaction that counts the events, grows while it is open, and is closed when it is claimed for
//! its first attempt; what is counted in its window later opens another one.
//!
//! A report has an identifier from the beginning, under which every attempt is made, so that the other side takes it once. It
//! remembers identifiers for a day only, therefore a report of which it is not known whether it arrived is never sent
//! again after that ([`State::Uncertain`]). [`delivery`] decides all of this.

pub mod delivery;
mod report;
mod rule;

pub use report::{Recipient, Report, ReportId, State};
pub use rule::{DEFAULT_WINDOW_MILLIS, ExportRule};

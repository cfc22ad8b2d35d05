//! Credits: what customers are given beforehand, and how their usage burns it.
//!
//! A calculation is about one kind of credit: units of one meter, or money of one currency. It begins with a [`Snapshot`],
//! takes [`Grant`]s and [`Activity`], and ends with another snapshot and the history between the two ([`run`]).
//!
//! Semantics shared by all of it:
//! - **Exact**: every amount is a [`Decimal`](super::Decimal). Nothing rounds.
//! - **Half-open**: a snapshot at an instant knows all that was before it and nothing of what is at it. A grant counts in
//!   `[effective_at, end)`, where the end is the earlier of expiry and voiding. The [`Balance`] at an instant has the grants
//!   of that instant, and the usage before it.
//! - **Burning order**: lower priority, then earlier expiry (none is last), then earlier creation, then id.
//! - **Overage**: what no grant covers is owed. A grant that comes later, or comes back, pays it before anything else. A
//!   reset puts what is still owed on the bill, or carries it on ([`OverageAtReset`]). None of it is ever lost.
//! - **Recurrence** gives a grant its whole amount again; what was left of it has expired. **Rollover** is what a reset leaves
//!   of a grant.
//! - **Refunds** undo the newest usage first: what is owed, then what was burnt. Units go back to the grant they came from,
//!   which then has what it would have if they had never been burnt: those of a grant that has ended have ended with it.
//! - **At one instant** grants end, then usage is reset, then grants recur, then grants take effect, then there is usage, then
//!   refunds. So no result depends on the order in which inputs of the same instant are given.
//!
//! What always holds, in every snapshot:
//! - of each grant, `granted = burnt + left + expired + voided`, and none of them is negative;
//! - all usage less all refunds is what was burnt, and the overage, and what was billed;
//! - nothing is owed while any grant has something left.
//!
//! A run over `[A, C)` is a run over `[A, B)` and then one over `[B, C)`: snapshots change what a result costs, never what it
//! is. The model is OpenMeter's (<https://openmeter.io/docs/billing/entitlements/grant>), to the millisecond instead of the
//! minute, with exact decimals instead of floats, and with refunds.

mod agenda;
mod balance;
mod books;
mod burns;
mod grant;
mod history;
mod payment;
mod pool;
mod recurrence;
mod request;
mod run;
mod snapshot;
mod stored;
mod unit;

pub use balance::{Balance, balance_at};
pub use books::{Books, Entry, balance};
pub use burns::Burns;
pub use grant::{Ending, Grant, GrantId, Rollover};
pub use history::{Change, Segment};
pub use payment::{Payment, Shortfall, cost_of_rest};
pub use recurrence::Recurrence;
pub use request::{CreditGrant, GrantRequest};
pub use run::{Activity, Outcome, OverageAtReset, Terms, run};
pub use snapshot::{Account, Snapshot};
pub use unit::Unit;

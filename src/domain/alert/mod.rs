//! Alerts: that a customer has used up a share of a limit, of his spend cap or of his credit, told once in a billing period.
//!
//! Whoever counts an event looks at what it brings its customer nearer to ([`Watches`]), and writes down what is reached
//! ([`Reached`]) in the same transaction, unless that is written already. So it is told once over all processes, and
//! survives them. What is sent to a receiver is an [`Alert`]; [`delivery`] decides how often.

pub mod delivery;
mod message;
mod reached;
mod rule;
mod watch;

pub use message::{Alert, AlertId, AlertState};
pub use reached::{Kind, Measure, Reached};
pub use rule::AlertRule;
pub use watch::{Bound, Watch, WatchKey, Watches};

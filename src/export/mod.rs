//! Bringing what is in the outbox to another service.
//!
//! | file     | what it is                                                                                        |
//! |----------|---------------------------------------------------------------------------------------------------|
//! | `sink`   | what another service is to the sender: a new one is a file with an implementation of [`UsageSink`] |
//! | `sender` | claims reports, hands them to the sink, and settles them by its answers                            |
//! | `pulse`  | what time it is, as far as the sender was told                                                     |
//!
//! What is decided about a report is decided in [`crate::domain::outbox`]; here is the work.

mod pulse;
mod sender;
mod sink;

pub use sender::{Sender, SenderOptions, StoreAccess, StoreJob};
pub use sink::{Attempt, UsageSink};

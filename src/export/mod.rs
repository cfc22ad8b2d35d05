//! Bringing what is in the outbox to another service.
//!
//! | file     | what it is                                                                                        |
//! |----------|---------------------------------------------------------------------------------------------------|
//! | `sink`   | what another service is to the sender: a new one is a file with an implementation of [`UsageSink`] |
//! | `sender` | claims reports, hands them to the sink, and settles them by its answers                            |
//! | `pulse`  | what time it is, as far as the sender was told                                                     |
//! | `access` | asking the store something from a thread that must not wait for it                                  |
//! | `ledger` | what another service has counted                                                                   |
//! | `reconciliation` | compares that with the store's books, and mends what differs                                |
//!
//! What is decided about a report is decided in [`crate::domain::outbox`]; here is the work.

mod access;
mod ledger;
mod pulse;
mod reconciliation;
mod sender;
mod sink;

pub use access::{StoreAccess, StoreJob};
pub use ledger::{Counted, UsageLedger};
pub use reconciliation::{Reconciliation, Task, reconcile};
pub use sender::{Sender, SenderOptions};
pub use sink::{Attempt, UsageSink};

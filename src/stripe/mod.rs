//! Stripe: the client, and what the service does with it.
//!
//! | file          | what it is                                                                               |
//! |---------------|------------------------------------------------------------------------------------------|
//! | `client`      | the only HTTP: one pooled connection, headers, time-outs, attempts                        |
//! | `call`        | one logical call: what is asked, of which host, under which options                       |
//! | `retry`       | which answers are worth another attempt, and when. Pure                                   |
//! | `error`       | what can go wrong, under the class names of Stripe's own Node.js library                  |
//! | `api_version` | what an API version still has                                                             |
//! | `requests`    | the requests that the generated types lack                                                |
//! | `objects`     | the few fields that we read of Stripe's answers; everything else passes through untouched |
//! | `usage`       | what a sender of usage asks: meter events, streams, adjustments, summaries, usage records |
//! | `service`     | what the Node.js class offers                                                              |
//! | `sinks`       | where usage from the outbox is brought                                                    |
//! | `ledger`      | what Stripe has counted of it                                                             |
//! | `change_tier` | a subscription's way from one tier to another                                             |
//! | `catalog`     | what Stripe's catalog must hold, and how what is there differs. Pure                      |
//! | `sync_catalog` | brings Stripe's catalog in step                                                          |
//! | `runtime`     | the thread on which calls run, started by the first one                                   |
//! | `webhook`     | what Stripe tells by itself: signatures, events, and what they say. Pure                  |
//!
//! Requests come from async-stripe's generated types where they exist. Answers are handed on as Stripe's own JSON text.

mod api_version;
mod call;
mod catalog;
mod change_tier;
mod client;
mod error;
mod ledger;
mod objects;
mod requests;
mod retry;
mod runtime;
mod service;
mod sinks;
mod sync_catalog;
mod usage;
pub mod webhook;

pub use api_version::{ApiVersion, DEFAULT_API_VERSION, LAST_VERSION_WITH_USAGE_RECORDS};
pub use call::{Call, CallOptions};
pub use catalog::Catalog;
pub use client::{ClientOptions, DEFAULT_BASE_URL, MAX_RESPONSE_BYTES, Response, StripeClient};
pub use error::{Failure, Result, StripeError, StripeErrorKind};
pub use ledger::StripeLedger;
pub use objects::Meter;
pub use service::StripeService;
pub use sinks::{MeterEventStreamSink, MeterEventsSink, MeterTarget, MeterTargets, PriceTargets, UsageRecordsSink};
pub use usage::{MeterEvent, MeterEventSession, MeterEventSummary, SummaryQuery, SummaryWindow};

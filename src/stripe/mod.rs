//! Stripe: the client, and what the service does with it.
//!
//! | file          | what it is                                                                               |
//! |---------------|------------------------------------------------------------------------------------------|
//! | `client`      | the only HTTP: one pooled connection, headers, time-outs, attempts                        |
//! | `retry`       | which answers are worth another attempt, and when. Pure                                   |
//! | `error`       | what can go wrong, under the class names of Stripe's own Node.js library                  |
//! | `api_version` | what an API version still has                                                             |
//! | `requests`    | the requests that the generated types lack                                                |
//! | `objects`     | the few fields that we read of Stripe's answers; everything else passes through untouched |
//! | `service`     | customers, subscriptions, usage                                                           |
//! | `runtime`     | the thread on which calls run, started by the first one                                   |
//! | `webhook`     | what Stripe tells by itself: signatures, events, and what they say. Pure                  |
//!
//! Requests come from async-stripe's generated types where they exist. Answers are handed on as Stripe's own JSON text.

mod api_version;
mod client;
mod error;
mod objects;
mod requests;
mod retry;
mod runtime;
mod service;
pub mod webhook;

pub use api_version::{ApiVersion, DEFAULT_API_VERSION};
pub use client::{ClientOptions, DEFAULT_BASE_URL, MAX_RESPONSE_BYTES, Response, StripeClient};
pub use error::{Failure, Result, StripeError, StripeErrorKind};
pub use service::StripeService;

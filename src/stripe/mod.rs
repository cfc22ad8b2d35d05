//! Stripe: the client, and what the service does with it.

mod api_version;
mod error;
mod retry;

pub use api_version::{ApiVersion, DEFAULT_API_VERSION};
pub use error::{Failure, Result, StripeError, StripeErrorKind};

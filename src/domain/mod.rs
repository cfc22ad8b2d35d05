//! The rules of billing. Pure: no I/O, no clock, no async, no napi.
//!
//! Semantics shared by all of it:
//! - **Instants** are milliseconds since the Unix epoch, UTC ([`Timestamp`]). Calendars take a named [`TimeZone`].
//! - **Periods** are half-open: `[start, end)`.
//! - **Money** is an exact decimal: what one event costs is [`Money`], which is bounded; prices are calculated in [`Decimal`],
//!   which is not. It is rounded in one place, [`Currency::round`].
//! - **Units** are whole numbers ([`Units`]); one API request is one unit of the meter `api_request`.
//! - A **refusal** is a value ([`Refusal`]), never an error: an error means that we could not decide.

pub mod access;
pub mod access_log;
pub mod alert;
pub mod api_key;
pub mod catalog;
pub mod credit;
pub mod currency;
pub mod customer;
pub mod cycle;
pub mod decimal;
pub mod event;
pub mod invoice;
pub mod json;
pub mod lease;
pub mod meter;
pub mod mistakes;
pub mod money;
pub mod outbox;
pub mod period;
pub mod plans;
pub mod price;
pub mod proration;
pub mod quota;
pub mod rating;
pub mod reconciliation;
pub mod repricing;
pub mod router;
pub mod spending;
pub mod subscription;
pub mod suggestion;
pub mod threshold;
pub mod tier;
pub mod tier_history;
pub mod timestamp;

pub use access::{Refusal, decide_access};
pub use alert::{Alert, AlertId, AlertRule, AlertState, Reached};
pub use api_key::{ApiKey, KeyHash, Secret};
pub use catalog::{Catalog, CatalogVersions};
pub use currency::Currency;
pub use customer::{Customer, CustomerId};
pub use cycle::{BillingCycle, Interval, billing_period};
pub use decimal::{Decimal, Rounding};
pub use event::{CostBasis, EventId, PriceId, UsageEvent};
pub use invoice::Invoice;
pub use lease::{Allowance, HolderId};
pub use meter::Meter;
pub use money::Money;
pub use outbox::{ExportRule, Recipient, Report, ReportId};
pub use period::{Period, TimeZone, Window};
pub use plans::{Plans, Requirements};
pub use price::{Method, Price, PriceList};
pub use proration::Proration;
pub use quota::{Frame, Quota, Standing, Units, WindowUsage};
pub use spending::Spending;
pub use subscription::{Subscription, SubscriptionStatus};
pub use threshold::Thresholds;
pub use tier::{Tier, TierTable};
pub use tier_history::{HeldTier, TierHistory};
pub use timestamp::Timestamp;

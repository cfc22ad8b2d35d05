//! What another service has counted, and how to take a report back there.

use std::collections::BTreeMap;

use crate::Error;
use crate::domain::{Decimal, Meter, Period, ReportId, Timestamp};

/// Units by the UTC hour in which they were used. Hours without any may be left out.
pub type Counted = BTreeMap<Timestamp, Decimal>;

/// A service that tells what it has counted.
pub trait UsageLedger: Sync {
    type Failure: From<Error> + std::fmt::Display + Send;

    /// Of one of its customers, in a span of whole UTC hours: by the hour, or all of it under the span's start.
    fn counted(
        &self,
        stripe_customer_id: &str,
        meter: Meter,
        span: Period,
        by_hour: bool,
    ) -> impl Future<Output = Result<Counted, Self::Failure>> + Send;

    /// Takes back what was counted under this id. To do it twice is the same.
    fn cancel(&self, meter: Meter, id: &ReportId) -> impl Future<Output = Result<(), Self::Failure>> + Send;
}

//! Whether what was counted, what was reported and what the other service has counted agree; why not, and what mends it.
//! Pure.
//!
//! Units of one customer and meter are alike, so only their number within an hour of usage matters: a part of any report
//! may stand for a part of any other one. Therefore every difference of whole units can be mended exactly, by dividing
//! reports ([`Step`]). A repair is only made where an hour is at rest: the other side counts what it has taken some time
//! later, and what is mended twice is wrong again.

mod books;
mod hour;

pub use books::{Books, Reporting, compare};
pub use hour::{HOUR, compare_hour};

use super::{Report, ReportId, Timestamp};

/// Why two books differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It is still to be sent.
    OnItsWay,
    /// It was sent a short while ago: the other side counts some time after it has taken a report.
    Late,
    Dead,
    Uncertain,
    Frozen,
    /// It was counted before there was anything to report to, or while nothing was reported.
    BeforeExport,
    NoStripeCustomer,
    /// Nothing of this meter is reported.
    NotExported,
    /// Counters or hourly sums differ from the events.
    CountersDiffer,
    /// More is reported than there are events: old ones were dropped, or the store was restored from a backup.
    EventsMissing,
    /// It was taken, and yet is not counted.
    MissingAtStripe,
    /// It was not reported from this store.
    CountedAtStripeOnly,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::OnItsWay => "on_its_way",
            Cause::Late => "late",
            Cause::Dead => "dead",
            Cause::Uncertain => "uncertain",
            Cause::Frozen => "frozen",
            Cause::BeforeExport => "before_export",
            Cause::NoStripeCustomer => "no_stripe_customer",
            Cause::NotExported => "not_exported",
            Cause::CountersDiffer => "counters_differ",
            Cause::EventsMissing => "events_missing",
            Cause::MissingAtStripe => "missing_at_stripe",
            Cause::CountedAtStripeOnly => "counted_at_stripe_only",
        }
    }
}

/// A report, and since when it is in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub report: Report,
    pub settled_at: Option<Timestamp>,
}

/// A difference, and what mends it: nothing where that is to wait, or to be done by somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub cause: Cause,
    pub units: u64,
    pub steps: Vec<Step>,
}

/// What is done about a difference. Reports are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many units of the report have arrived.
    Settle { report: ReportId, units: u64 },
    /// So many units of the report are sent as a new one, at this instant of usage.
    Resend { report: ReportId, units: u64, timestamp: Timestamp },
    /// The report is taken back at the other side. There other units stand for `covered` of its own; the rest is sent as a
    /// new one.
    Cancel { report: ReportId, covered: u64, resend: u64, timestamp: Timestamp },
    /// So many units are too many, and no report can be taken back any more: they stand for usage that is still to be
    /// sent. Counted at this instant.
    CarryForward { units: u64, timestamp: Timestamp },
}

impl Step {
    pub fn as_str(&self) -> &'static str {
        match self {
            Step::Settle { .. } => "settle",
            Step::Resend { .. } => "resend",
            Step::Cancel { .. } => "cancel",
            Step::CarryForward { .. } => "carry_forward",
        }
    }
}

#[cfg(test)]
mod tests;

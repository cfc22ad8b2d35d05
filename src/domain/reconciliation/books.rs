//! The store's own books: events, the sums they were counted into, and reports.

use super::{Cause, Finding};

/// What the store knows of a customer's meter in a span, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Books {
    pub events: u64,
    pub rollups: u64,
    /// In reports of whichever state.
    pub reported: u64,
}

/// Whether a customer's meter is reported now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    Reported,
    NotTheMeter,
    NoStripeCustomer,
}

/// In which of them they differ. Nothing of it is mended by itself: what was not reported may have been billed otherwise.
pub fn compare(books: Books, reporting: Reporting) -> Vec<Finding> {
    let unreported = match reporting {
        Reporting::Reported => Cause::BeforeExport,
        Reporting::NotTheMeter => Cause::NotExported,
        Reporting::NoStripeCustomer => Cause::NoStripeCustomer,
    };
    [
        (Cause::CountersDiffer, books.events.abs_diff(books.rollups)),
        (unreported, books.events.saturating_sub(books.reported)),
        (Cause::EventsMissing, books.reported.saturating_sub(books.events)),
    ]
    .into_iter()
    .filter(|(_, units)| *units > 0)
    .map(|(cause, units)| Finding { cause, units, steps: Vec::new() })
    .collect()
}

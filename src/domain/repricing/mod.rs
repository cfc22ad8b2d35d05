//! What recorded usage costs by a catalog, whatever it cost when it was recorded.
//!
//! Semantics shared by all of it:
//! - **One rating path**: a [`PriceFinder`] asks [`Catalog::find`], what is due for a period says
//!   [`Invoice::preview`](super::Invoice::preview), and that asks [`Price::quote`](super::rating::Price::quote). Nobody else
//!   prices anything.
//! - **Added up first**: a [`Tally`] adds up what was used by customer, billing period, meter and price, and only the sums are
//!   priced. So the order of usage does not matter, nor how it was divided among tallies that are merged.
//! - **What is unknown is told**, never guessed: a customer without a tier of the catalog, a meter that it does not name.
//! - **The method** of a request, where it is not known, is that of an endpoint such as `POST /api/execute`, or else the text
//!   `method` of the usage's metadata; without one it is GET, as for [`Catalog::resolve`]. The path is
//!   the endpoint's; one that is the wildcard pattern of a route, such as `/files/*path`, stands for the requests that were
//!   counted under it. **Dimensions** are the texts of the metadata.

mod assignment;
mod finder;
mod simulation;
mod tally;
mod texts;

pub use assignment::{Assignment, place_of_tier, tier_of};
pub use finder::{LineId, PriceFinder};
pub use simulation::{CustomerOutcome, Lacking, Old, Side, Simulation, Unassigned};
pub use tally::{CustomerTally, PeriodTally, Tally, Terms};

use super::{Money, Timestamp};

/// Usage as it was recorded: of one event, or of all of an hour that differ in nothing but their metadata.
#[derive(Debug, Clone, Copy)]
pub struct RecordedUsage<'a> {
    /// When the event happened, or when the hour began.
    pub at: Timestamp,
    pub customer_id: &'a str,
    pub meter: &'a str,
    pub endpoint: Option<&'a str>,
    /// Of the request, where it is known apart from the metadata.
    pub method: Option<&'a str>,
    /// A JSON object, of a single event.
    pub metadata: Option<&'a str>,
    pub events: u64,
    pub units: u64,
    /// What it cost by the price list of its time.
    pub cost: Money,
}

//! How far a migration has come. PostgreSQL keeps it, and moves it in the transactions that it tells of.

use serde::{Deserialize, Serialize};

/// Customer, start of the period in milliseconds, meter: where a page of counters ends.
pub type CounterPosition = (String, i64, String);
/// Customer, start of the period in milliseconds, meter, price: where a page of quantities ends.
pub type QuantityPosition = (String, i64, String, String);
/// Customer, hour in milliseconds, meter, endpoint: where a page of rollups ends.
pub type RollupPosition = (String, i64, String, String);

/// Customer, id: where a page of the outbox ends.
pub type ReportPosition = (String, String);
/// Customer, id: where a page of grants or of refunds ends.
pub type GrantPosition = (String, String);
/// Customer, unit, instant in milliseconds: where a page of the entries of credits ends.
pub type EntryPosition = (String, String, i64);

/// What is being moved into a schema, and how far that has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The id of the store that is moved.
    pub source: String,
    /// What all but the events was copied from.
    pub stamp: Stamp,
    /// The number of the last event that was copied. Events never change.
    pub events: u64,
    pub stage: Stage,
}

/// Tells whether anything in a store has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Grows with every change to keys, customers and the catalog.
    pub revision: u64,
    /// The number of the last event.
    pub events: u64,
    /// A customer may come into being without an event.
    pub customers: u64,
    /// What is in the outbox.
    #[serde(default)]
    pub outbox: OutboxStamp,
    /// The bytes of the seed's files that were taken over.
    pub taken_over: u64,
    /// How many of Stripe's events there are, how many of them are finished, and when the last one was changed.
    #[serde(default)]
    pub stripe_events: [u64; 3],
    /// How much is written of grants, and how many refunds there are. What events have burnt their number tells.
    #[serde(default)]
    pub credits: [u64; 2],
    /// How many alerts there are, and how often they were claimed.
    #[serde(default)]
    pub alerts: [u64; 2],
    /// The place of the seed's files, by the name that PostgreSQL knows it by.
    pub home: String,
}

/// Tells whether anything in the outbox has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutboxStamp {
    pub reports: u64,
    /// Claims, all together.
    pub attempts: u64,
    /// When one was settled last, in milliseconds.
    pub settled_at: i64,
}

/// What is copied next, and after which row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Events,
    Customers(String),
    Keys(String),
    Counters(CounterPosition),
    Quantities(QuantityPosition),
    Rollups(RollupPosition),
    Subscriptions(String),
    StripeEvents(String),
    Reports(ReportPosition),
    Grants(GrantPosition),
    CreditEntries(EntryPosition),
    CreditRefunds(GrantPosition),
    Alerts(String),
    /// What is small: the tiers, the time zone, the takeovers.
    Settings,
    Verification,
    Done,
}

impl Position {
    pub fn start(source: String, stamp: Stamp) -> Self {
        Self { source, stamp, events: 0, stage: Stage::Events }
    }

    pub fn at(&self, stage: Stage) -> Self {
        Self { stage, ..self.clone() }
    }
}

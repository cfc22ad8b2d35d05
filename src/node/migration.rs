//! Moving a store from SQLite into PostgreSQL.

use std::path::PathBuf;

use napi::bindgen_prelude::Error as JsError;
use napi_derive::napi;

use super::deliveries::{Deliver, Deliveries};
use super::error::Result;
use crate::Code;
use crate::engine::migration::{self, Options, Report, Survey};
use crate::store::migration::totals::{Comparison, Totals};
use crate::store::migration::{Pace, Progress};
use crate::store::postgres::{Address, Schema};

#[napi(object, object_to_js = false)]
pub struct MigrationInput {
    /// The database file of SQLite.
    pub path: String,
    /// Where journals will be, and where the seed's code may have left files.
    pub dir: String,
    pub url: String,
    pub schema: Option<String>,
    pub dry_run: bool,
}

/// How far a migration has come.
#[napi(object, object_from_js = false)]
pub struct MigrationProgress {
    pub stage: String,
    pub done: f64,
    pub of: f64,
}

/// What became of a migration.
#[napi(object, object_from_js = false)]
pub struct MigrationReport {
    #[napi(ts_type = "'moved' | 'was_moved' | 'can_be_moved'")]
    pub outcome: &'static str,
    /// What SQLite holds; nothing where it was moved before.
    pub source: Option<MigrationTotals>,
    /// What PostgreSQL holds, where all is moved.
    pub target: Option<MigrationTotals>,
    /// Journals that will be recorded first.
    pub journals: Option<f64>,
    /// Events that an earlier run has copied.
    pub copied: Option<f64>,
}

/// How much a store holds.
#[napi(object, object_from_js = false)]
pub struct MigrationTotals {
    pub customers: f64,
    pub keys: f64,
    pub events: f64,
    pub units: f64,
    pub cost: String,
    pub counters: f64,
    /// What customers used in billing periods, by price.
    pub quantities: f64,
    pub rollups: f64,
    pub reports: f64,
    pub credits: f64,
    pub alerts: f64,
    pub event_ids: f64,
    pub subscriptions: f64,
    pub stripe_events: f64,
}

#[napi]
pub struct NativeMigration {
    options: Options,
    deliveries: Deliveries,
}

#[napi]
impl NativeMigration {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        input: MigrationInput,
        #[napi(ts_arg_type = "(written: number[], batch: unknown[]) => void")] deliver: Deliver<'_>,
    ) -> Result<Self> {
        let options = Options {
            source: PathBuf::from(input.path),
            directory: PathBuf::from(input.dir),
            address: Address::parse(&input.url)?,
            schema: input.schema.as_deref().map(Schema::new).transpose()?.unwrap_or_default(),
            dry_run: input.dry_run,
            pace: Pace::default(),
        };
        let deliveries =
            Deliveries::new(&deliver).map_err(|error| JsError::new(Code::Internal, error.reason.clone()))?;
        Ok(Self { options, deliveries })
    }

    /// Answers with a report, and tells of its progress, which nobody has asked for.
    #[napi(catch_unwind)]
    pub fn run(&self, ticket: f64) -> Result<()> {
        let deliveries = self.deliveries.clone();
        let watch = move |progress| deliveries.notify(MigrationProgress::from(progress));
        let reply = self.deliveries.reply(ticket, MigrationReport::from);
        Ok(migration::start(self.options.clone(), watch, reply)?)
    }
}

impl From<Progress> for MigrationProgress {
    fn from(Progress { stage, done, of }: Progress) -> Self {
        Self { stage: stage.to_owned(), done: done as f64, of: of as f64 }
    }
}

impl From<Report> for MigrationReport {
    fn from(report: Report) -> Self {
        let (outcome, source, target, survey) = match report {
            Report::Moved(Comparison { source, target }) => ("moved", Some(source), Some(target), None),
            Report::WasMoved => ("was_moved", None, None, None),
            Report::CanBeMoved(survey) => ("can_be_moved", Some(survey.sizes), None, Some(survey)),
        };
        Self {
            outcome,
            source: source.map(MigrationTotals::from),
            target: target.map(MigrationTotals::from),
            journals: survey.map(|Survey { journals, .. }| journals as f64),
            copied: survey.map(|Survey { copied, .. }| copied as f64),
        }
    }
}

impl From<Totals> for MigrationTotals {
    fn from(totals: Totals) -> Self {
        Self {
            customers: totals.customers as f64,
            keys: totals.keys as f64,
            events: totals.events as f64,
            units: totals.units as f64,
            cost: totals.cost.to_string(),
            counters: totals.counters as f64,
            quantities: totals.quantities as f64,
            rollups: totals.rollups as f64,
            reports: totals.reports as f64,
            credits: totals.credits as f64,
            alerts: totals.alerts as f64,
            event_ids: totals.event_ids as f64,
            subscriptions: totals.subscriptions as f64,
            stripe_events: totals.stripe_events as f64,
        }
    }
}

//! Moving a store from SQLite into PostgreSQL.
//!
//! Rows are copied in stretches. Each is one transaction in PostgreSQL, which also moves the [`Position`]: wherever a run
//! ends, the next one goes on. Events never change, so they are copied once; everything else is copied anew where SQLite
//! was used in between. At the end both stores are read whole and compared, then SQLite is marked as moved, then PostgreSQL
//! as complete: at no instant do both take events.

use crossbeam_channel::bounded;

use self::position::{Position, QuantityPosition, Stage};
use self::rows::{MovedEvent, UnderPrice};
use self::totals::{Comparison, Totals};
use super::postgres::Import;
use super::sqlite::Export;
use crate::Result;

pub mod position;
pub mod rows;
pub mod totals;
mod verification;

/// Stretches that are read ahead.
const READ_AHEAD: usize = 2;

/// How to move a store.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Events in one transaction.
    pub events: usize,
    /// Other rows in one transaction, and those that are compared at once.
    pub rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { events: 8_192, rows: 4_096 }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being copied, or `verification`.
    pub stage: &'static str,
    pub done: u64,
    pub of: u64,
}

/// Is told after each stretch. An error ends the run there.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> Result<()>;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All is moved, and both stores hold the same.
    Moved(Box<Comparison>),
    /// It was moved before.
    WasMoved,
}

/// Moves everything. `check` is asked at the last moment before SQLite is given up; an error ends the run there.
///
/// Errors: `store_not_empty`, `migration_mismatch`, and those of the stores. After each of them SQLite is what it was, and
/// calling this again goes on.
pub fn run(
    source: &mut Export,
    target: &mut Import,
    home: &str,
    pace: Pace,
    check: impl FnOnce() -> Result<()>,
    watch: Watch<'_>,
) -> Result<Ended> {
    let start = Position::start(source.id()?, source.stamp(home)?);
    let sizes = source.sizes()?;
    let mut position = target.claim(&start)?;
    // Of the stage, in this run.
    let mut copied = 0;
    loop {
        let next = match position.stage.clone() {
            Stage::Events => {
                copy_events(source, target, &mut position, pace.events, sizes.events, watch)?;
                let next = position.at(Stage::Customers(String::new()));
                target.move_on(&position, &next)?;
                next
            }
            Stage::Customers(after) => {
                let customers = source.customers(&after, pace.rows)?;
                copied += customers.len() as u64;
                let last = customers.last().map(|customer| customer.id.as_str().to_owned());
                let next = position.at(last.map_or(Stage::Keys(String::new()), Stage::Customers));
                target.write_customers(&customers, &position, &next)?;
                next
            }
            Stage::Keys(after) => {
                let keys = source.keys(&after, pace.rows)?;
                copied += keys.len() as u64;
                let last = keys.last().map(|row| row.key.id.clone());
                let next = position.at(last.map_or(Stage::Counters(Default::default()), Stage::Keys));
                target.write_keys(&keys, &position, &next)?;
                next
            }
            Stage::Counters(after) => {
                let counters = source.counters(&after, pace.rows)?;
                copied += counters.len() as u64;
                let last = counters.last().map(|((customer, start, meter), _)| {
                    (customer.as_str().to_owned(), start.as_millis(), meter.as_str().to_owned())
                });
                let next = position.at(last.map_or(Stage::Quantities(Default::default()), Stage::Counters));
                target.write_counters(counters, &position, &next)?;
                next
            }
            Stage::Quantities(after) => {
                let quantities = source.quantities(&after, pace.rows)?;
                copied += quantities.len() as u64;
                let last = quantities.last().map(place_of);
                let next = position.at(last.map_or(Stage::Rollups(Default::default()), Stage::Quantities));
                target.write_quantities(&quantities, &position, &next)?;
                next
            }
            Stage::Rollups(after) => {
                let rollups = source.rollups(&after, pace.rows)?;
                copied += rollups.len() as u64;
                let last = rollups.last().map(|((customer, hour, meter, endpoint), _)| {
                    (customer.as_str().to_owned(), hour.as_millis(), meter.as_str().to_owned(), endpoint.clone())
                });
                let next = position.at(last.map_or(Stage::Subscriptions(String::new()), Stage::Rollups));
                target.write_rollups(rollups, &position, &next)?;
                next
            }
            Stage::Subscriptions(after) => {
                let subscriptions = source.subscriptions(&after, pace.rows)?;
                copied += subscriptions.len() as u64;
                let last = subscriptions.last().map(|subscription| subscription.id.clone());
                let next = position.at(last.map_or(Stage::StripeEvents(String::new()), Stage::Subscriptions));
                target.write_subscriptions(&subscriptions, &position, &next)?;
                next
            }
            Stage::StripeEvents(after) => {
                let events = source.stripe_events(&after, pace.rows)?;
                copied += events.len() as u64;
                let last = events.last().map(|row| row.event.id.clone());
                let next = position.at(last.map_or(Stage::Reports(Default::default()), Stage::StripeEvents));
                target.write_stripe_events(&events, &position, &next)?;
                next
            }
            Stage::Reports(after) => {
                let reports = source.reports(&after, pace.rows)?;
                copied += reports.len() as u64;
                let last = reports.last().map(|moved| moved.position());
                let next = position.at(last.map_or(Stage::Grants(Default::default()), Stage::Reports));
                target.write_reports(&reports, &position, &next)?;
                next
            }
            Stage::Grants(after) => {
                let grants = source.grants(&after, pace.rows)?;
                copied += grants.len() as u64;
                let last = grants.last().map(|moved| moved.position());
                let next = position.at(last.map_or(Stage::CreditEntries(Default::default()), Stage::Grants));
                target.write_grants(&grants, &position, &next)?;
                next
            }
            Stage::CreditEntries(after) => {
                let entries = source.credit_entries(&after, pace.rows)?;
                copied += entries.len() as u64;
                let last = entries.last().map(|moved| moved.position());
                let next = position.at(last.map_or(Stage::CreditRefunds(Default::default()), Stage::CreditEntries));
                target.write_credit_entries(&entries, &position, &next)?;
                next
            }
            Stage::CreditRefunds(after) => {
                let refunds = source.credit_refunds(&after, pace.rows)?;
                copied += refunds.len() as u64;
                let last = refunds.last().map(|moved| moved.position());
                let next = position.at(last.map_or(Stage::Alerts(String::new()), Stage::CreditRefunds));
                target.write_credit_refunds(&refunds, &position, &next)?;
                next
            }
            Stage::Alerts(after) => {
                let alerts = source.alerts(&after, pace.rows)?;
                copied += alerts.len() as u64;
                let last = alerts.last().map(|moved| moved.alert.id.as_str().to_owned());
                let next = position.at(last.map_or(Stage::Settings, Stage::Alerts));
                target.write_alerts(&alerts, &position, &next)?;
                next
            }
            Stage::Settings => {
                let next = position.at(Stage::Verification);
                let catalog = source.catalog()?;
                target.write_settings(&catalog, &source.takeovers(home)?, &position, &next)?;
                next
            }
            Stage::Verification => {
                let comparison = verification::run(source, target, home, pace.rows, watch)?;
                check()?;
                source.mark_moved(&target.mark()?)?;
                target.move_on(&position, &position.at(Stage::Done))?;
                return Ok(Ended::Moved(Box::new(comparison)));
            }
            Stage::Done => {
                // Where the mark is missing, as in a copy from before the end, it is set now.
                source.mark_moved(&target.mark()?)?;
                return Ok(Ended::WasMoved);
            }
        };
        if std::mem::discriminant(&next.stage) != std::mem::discriminant(&position.stage) {
            copied = 0;
        }
        position = next;
        watch(progress(&position.stage, copied, &sizes))?;
    }
}

/// Where a page ends.
fn place_of(((customer, start, meter), price, _): &UnderPrice) -> QuantityPosition {
    (customer.as_str().to_owned(), start.as_millis(), meter.as_str().to_owned(), price.clone())
}

/// What comes next, how much of it this run has copied, and all of it.
fn progress(stage: &Stage, done: u64, sizes: &Totals) -> Progress {
    let (stage, of) = match stage {
        Stage::Events => ("events", sizes.events),
        Stage::Customers(_) => ("customers", sizes.customers),
        Stage::Keys(_) => ("keys", sizes.keys),
        Stage::Counters(_) => ("counters", sizes.counters),
        Stage::Quantities(_) => ("quantities", sizes.quantities),
        Stage::Rollups(_) => ("rollups", sizes.rollups),
        Stage::Subscriptions(_) => ("subscriptions", sizes.subscriptions),
        Stage::StripeEvents(_) => ("stripe events", sizes.stripe_events),
        Stage::Reports(_) => ("outbox", sizes.reports),
        Stage::Grants(_) | Stage::CreditEntries(_) | Stage::CreditRefunds(_) => ("credits", sizes.credits),
        Stage::Alerts(_) => ("alerts", sizes.alerts),
        Stage::Settings => ("settings", 1),
        Stage::Verification | Stage::Done => ("verification", sizes.events),
    };
    Progress { stage, done, of }
}

/// Reads ahead on a thread of its own, while PostgreSQL writes.
fn copy_events(
    source: &mut Export,
    target: &mut Import,
    position: &mut Position,
    stretch: usize,
    of: u64,
    watch: Watch<'_>,
) -> Result<()> {
    let (sender, stretches) = bounded::<Result<Vec<MovedEvent>>>(READ_AHEAD);
    let mut after = position.events;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let read = source.events(after, stretch);
                let last = read.as_ref().ok().and_then(|events| events.last()).map(|event| event.sequence);
                // Nobody takes it where writing has failed.
                let is_taken = sender.send(read).is_ok();
                match last {
                    Some(last) if is_taken => after = last,
                    _ => break,
                }
            }
        });
        for events in stretches {
            let events = events?;
            let Some(last) = events.last() else { break };
            let next = Position { events: last.sequence, ..position.clone() };
            target.write_events(&events, position, &next)?;
            *position = next;
            watch(Progress { stage: "events", done: position.events.min(of), of })?;
        }
        Ok(())
    })
}

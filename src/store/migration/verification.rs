//! Reading both stores whole, and comparing them.

use std::fmt::Debug;

use super::rows::{Counted, Rollup, without_nul};
use super::totals::Totals;
use super::{Progress, Watch};
use crate::store::postgres::Import;
use crate::store::sqlite::Export;
use crate::{Code, Error, Result};

/// What both stores hold; an error names the first row that only one of them has.
pub fn run(source: &Export, target: &Import, home: &str, rows: usize, watch: Watch<'_>) -> Result<Totals> {
    let mut totals = Totals::default();
    same("the settings", &[source.catalog()?], &[target.catalog()?])?;
    same("the takeovers", &source.takeovers(home)?, &target.takeovers()?)?;

    let mut after = String::new();
    loop {
        let customers = source.customers(&after, rows)?;
        same("the customers", &customers, &target.customers(&after, rows)?)?;
        let Some(last) = customers.last() else { break };
        after = last.id.as_str().to_owned();
        totals.customers += customers.len() as u64;
    }

    let mut after = String::new();
    loop {
        let keys = source.keys(&after, rows)?;
        same("the API keys", &keys, &target.keys(&after, rows)?)?;
        let Some(last) = keys.last() else { break };
        after = last.key.id.clone();
        totals.keys += keys.len() as u64;
    }

    let mut after = Default::default();
    loop {
        let counters = source.counters(&after, rows)?;
        same("what was used in billing periods", &counters, &target.counters(&after, rows)?)?;
        let Some(((customer, start, meter), _)) = counters.last() else { break };
        after = (customer.as_str().to_owned(), start.as_millis(), meter.as_str().to_owned());
        totals.counters += counters.len() as u64;
    }

    let mut after = Default::default();
    loop {
        let rollups = source.rollups(&after, rows)?;
        let expected: Vec<Rollup> = rollups.iter().cloned().map(storable).collect();
        same("what was used in hours", &expected, &target.rollups(&after, rows)?)?;
        let Some(((customer, hour, meter, endpoint), _)) = rollups.last() else { break };
        after = (customer.as_str().to_owned(), hour.as_millis(), meter.as_str().to_owned(), endpoint.clone());
        totals.rollups += rollups.len() as u64;
    }

    totals.event_ids = source.event_ids()?;
    same("how many event ids are remembered", &[totals.event_ids], &[target.event_ids()?])?;

    let of = source.sizes()?.events;
    let periods = target.periods()?;
    let mut after = String::new();
    source.sums(rows, |sums| {
        let last = sums.last().map(|((customer, ..), _)| customer.as_str().to_owned()).unwrap_or_default();
        same("the events", &sums, &target.sums(&periods, &after, Some(&last))?)?;
        same("the events and what they were counted to", &counted(&sums), &target.counters_of(&after, &last)?)?;
        totals.add(&sums)?;
        after = last;
        watch(Progress { stage: "verification", done: totals.events, of })
    })?;
    same("the events", &[], &target.sums(&periods, &after, None)?)?;
    Ok(totals)
}

/// As counters say it: without how many events there were.
fn counted(sums: &[Counted]) -> Vec<Counted> {
    let without_events = |(key, tally): &Counted| {
        let mut tally = *tally;
        tally.events = 0;
        (key.clone(), tally)
    };
    sums.iter().map(without_events).collect()
}

fn storable(((customer, hour, meter, endpoint), tally): Rollup) -> Rollup {
    ((customer, hour, meter, without_nul(endpoint)), tally)
}

fn same<R: PartialEq + Debug>(what: &str, source: &[R], target: &[R]) -> Result<()> {
    if source == target {
        return Ok(());
    }
    let mut pairs = (0..source.len().max(target.len())).map(|index| (source.get(index), target.get(index)));
    let shown = |row: Option<&R>| row.map_or("nothing".to_owned(), |row| format!("{row:?}"));
    let (here, there) = pairs.find(|(here, there)| here != there).unwrap_or_default();
    let message = format!(
        "{what} differ: SQLite has {}, PostgreSQL has {}. Nothing was given up, SQLite is the store as before. Where others \
         have written to the schema, drop it (`DROP SCHEMA … CASCADE`) and call this again",
        shown(here),
        shown(there),
    );
    Err(Error::new(Code::MigrationMismatch, message))
}

//! Reading both stores whole, and comparing them.

use std::fmt::Debug;

use super::rows::{Counted, Rollup, without_nul};
use super::totals::Comparison;
use super::{Progress, Watch, place_of};
use crate::store::postgres::Import;
use crate::store::sqlite::Export;
use crate::{Code, Error, Result};

/// What both stores hold; an error names the first row in which they differ.
pub fn run(source: &Export, target: &Import, home: &str, rows: usize, watch: Watch<'_>) -> Result<Comparison> {
    same("the settings", &[source.catalog()?], &[target.catalog()?])?;
    same("the takeovers", &source.takeovers(home)?, &target.takeovers()?)?;
    let mut found = Comparison::default();
    customers(source, target, rows, &mut found)?;
    keys(source, target, rows, &mut found)?;
    counters(source, target, rows, &mut found)?;
    quantities(source, target, rows, &mut found)?;
    rollups(source, target, rows, &mut found)?;
    subscriptions(source, target, rows, &mut found)?;
    stripe_events(source, target, rows, &mut found)?;
    reports(source, target, rows, &mut found)?;
    credits(source, target, rows, &mut found)?;
    alerts(source, target, rows, &mut found)?;
    (found.source.event_ids, found.target.event_ids) = (source.event_ids()?, target.event_ids()?);
    same("the event ids that are remembered", &[found.source.event_ids], &[found.target.event_ids])?;
    events(source, target, rows, &mut found, watch)?;
    Ok(found)
}

fn customers(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = String::new();
    loop {
        let (here, there) = (source.customers(&after, rows)?, target.customers(&after, rows)?);
        same("the customers", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = last.id.as_str().to_owned();
        found.source.customers += here.len() as u64;
        found.target.customers += there.len() as u64;
    }
}

fn keys(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = String::new();
    loop {
        let (here, there) = (source.keys(&after, rows)?, target.keys(&after, rows)?);
        same("the API keys", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = last.key.id.clone();
        found.source.keys += here.len() as u64;
        found.target.keys += there.len() as u64;
    }
}

fn counters(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = Default::default();
    loop {
        let (here, there) = (source.counters(&after, rows)?, target.counters(&after, rows)?);
        same("what was used in billing periods", &here, &there)?;
        let Some(((customer, start, meter), _)) = here.last() else { return Ok(()) };
        after = (customer.as_str().to_owned(), start.as_millis(), meter.as_str().to_owned());
        found.source.counters += here.len() as u64;
        found.target.counters += there.len() as u64;
    }
}

fn quantities(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = Default::default();
    loop {
        let (here, there) = (source.quantities(&after, rows)?, target.quantities(&after, rows)?);
        same("what was used under prices", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = place_of(last);
        found.source.quantities += here.len() as u64;
        found.target.quantities += there.len() as u64;
    }
}

fn rollups(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = Default::default();
    loop {
        let (here, there) = (source.rollups(&after, rows)?, target.rollups(&after, rows)?);
        let expected: Vec<_> = here.iter().cloned().map(storable).collect();
        same("what was used in hours", &expected, &there)?;
        let Some(((customer, hour, meter, endpoint), _)) = here.last() else { return Ok(()) };
        after = (customer.as_str().to_owned(), hour.as_millis(), meter.as_str().to_owned(), endpoint.clone());
        found.source.rollups += here.len() as u64;
        found.target.rollups += there.len() as u64;
    }
}

fn subscriptions(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = String::new();
    loop {
        let (here, there) = (source.subscriptions(&after, rows)?, target.subscriptions(&after, rows)?);
        same("the subscriptions", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = last.id.clone();
        found.source.subscriptions += here.len() as u64;
        found.target.subscriptions += there.len() as u64;
    }
}

fn stripe_events(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = String::new();
    loop {
        let (here, there) = (source.stripe_events(&after, rows)?, target.stripe_events(&after, rows)?);
        same("the events of Stripe's", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = last.event.id.clone();
        found.source.stripe_events += here.len() as u64;
        found.target.stripe_events += there.len() as u64;
    }
}

fn reports(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = Default::default();
    loop {
        let (here, there) = (source.reports(&after, rows)?, target.reports(&after, rows)?);
        same("the outbox", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = last.position();
        found.source.reports += here.len() as u64;
        found.target.reports += there.len() as u64;
    }
}

fn credits(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut count = |here: usize, there: usize| {
        found.source.credits += here as u64;
        found.target.credits += there as u64;
    };
    let mut after = Some(Default::default());
    while let Some(position) = after {
        let (here, there) = (source.grants(&position, rows)?, target.grants(&position, rows)?);
        same("the grants of credit", &here, &there)?;
        count(here.len(), there.len());
        after = here.last().map(|last| last.position());
    }
    let mut after = Some(Default::default());
    while let Some(position) = after {
        let (here, there) = (source.credit_entries(&position, rows)?, target.credit_entries(&position, rows)?);
        same("the entries of credits", &here, &there)?;
        count(here.len(), there.len());
        after = here.last().map(|last| last.position());
    }
    let mut after = Some(Default::default());
    while let Some(position) = after {
        let (here, there) = (source.credit_refunds(&position, rows)?, target.credit_refunds(&position, rows)?);
        same("the refunds of credit", &here, &there)?;
        count(here.len(), there.len());
        after = here.last().map(|last| last.position());
    }
    Ok(())
}

fn alerts(source: &Export, target: &Import, rows: usize, found: &mut Comparison) -> Result<()> {
    let mut after = String::new();
    loop {
        let (here, there) = (source.alerts(&after, rows)?, target.alerts(&after, rows)?);
        same("the alerts", &here, &there)?;
        let Some(last) = here.last() else { return Ok(()) };
        after = last.alert.id.as_str().to_owned();
        found.source.alerts += here.len() as u64;
        found.target.alerts += there.len() as u64;
    }
}

/// Compares what the events add up to, with each other and with the counters.
fn events(source: &Export, target: &Import, rows: usize, found: &mut Comparison, watch: Watch<'_>) -> Result<()> {
    let of = source.sizes()?.events;
    let months = target.months()?;
    let mut after = String::new();
    source.sums(rows, |here| {
        let last = here.last().map(|((customer, ..), _)| customer.as_str().to_owned()).unwrap_or_default();
        let there = target.sums(&months, &after, Some(&last))?;
        same("the events", &here, &there)?;
        let counters = target.counters_of(&after, &last)?;
        same("the events and what they were counted to", &there.iter().map(counted).collect::<Vec<_>>(), &counters)?;
        found.source.add(&here)?;
        found.target.add(&there)?;
        after = last;
        watch(Progress { stage: "verification", done: found.source.events, of })
    })?;
    same("the events", &[], &target.sums(&months, &after, None)?)
}

/// As counters say it: without how many events there were.
fn counted((key, tally): &Counted) -> Counted {
    let mut tally = *tally;
    tally.events = 0;
    (key.clone(), tally)
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
        "{what} differ: SQLite has {}, PostgreSQL has {}. Nothing was given up: SQLite is the store as before. Where \
         others have written to the schema, drop it (`DROP SCHEMA … CASCADE`) and call this again",
        shown(here),
        shown(there),
    );
    Err(Error::new(Code::MigrationMismatch, message))
}

//! Reports: what a customer used in a period, and what anyone used between two instants.

use std::collections::BTreeMap;

use crate::Result;
use crate::domain::{Customer, CustomerId, Meter, Money, Period, Standing, Timestamp, Window};
use crate::store::{Catalog, Counter, Store, UsageRow};

const HOUR: i64 = 3_600_000;

/// A customer's usage in one billing period.
#[derive(Debug, Clone)]
pub struct CustomerUsage {
    pub customer: Customer,
    pub period: Period,
    /// For every meter, also the unused ones.
    pub meters: Vec<MeterUsage>,
    pub total_cost: Money,
}

#[derive(Debug, Clone, Copy)]
pub struct MeterUsage {
    pub meter: Meter,
    pub standing: Standing,
}

impl CustomerUsage {
    pub fn standing(&self, meter: Meter) -> Standing {
        let unused = Standing { limit: None, used: 0 };
        self.meters.iter().find(|usage| usage.meter == meter).map_or(unused, |usage| usage.standing)
    }
}

/// The usage in the billing period that holds `at`; `None` for a customer never seen.
pub fn of_customer(
    store: &dyn Store,
    catalog: &Catalog,
    id: &CustomerId,
    at: Timestamp,
) -> Result<Option<CustomerUsage>> {
    let Some(customer) = store.customer(id)? else { return Ok(None) };
    let period = customer.billing_period(at, catalog.time_zone);
    let counters = store.counters(id, period.start)?;
    let usage_of = |meter| {
        let used = counters.iter().find(|counter| counter.meter == meter).map_or(0, |counter| counter.units);
        MeterUsage { meter, standing: Standing { limit: catalog.tiers.limit(Some(&customer), meter), used } }
    };
    let meters = catalog.tiers.meters().into_iter().map(usage_of).collect();
    let total_cost = total(&counters)?;
    Ok(Some(CustomerUsage { customer, period, meters, total_cost }))
}

/// What all that is counted in a billing period costs, on every meter.
pub fn spent(store: &dyn Store, id: &CustomerId, period: Period) -> Result<Money> {
    total(&store.counters(id, period.start)?)
}

fn total(counters: &[Counter]) -> Result<Money> {
    counters.iter().try_fold(Money::ZERO, |sum, counter| sum.checked_add(counter.cost))
}

/// How many units of a meter a customer has used in a period.
pub fn used(store: &dyn Store, id: &CustomerId, meter: Meter, period: Period) -> Result<u64> {
    let counters = store.counters(id, period.start)?;
    Ok(counters.iter().find(|counter| counter.meter == meter).map_or(0, |counter| counter.units))
}

/// The same in a span that is no billing period, event by event.
pub fn used_within(store: &dyn Store, id: &CustomerId, meter: Option<Meter>, span: Period) -> Result<u64> {
    let mut used = 0;
    store.events(Some(id), span, &mut |row| {
        if Some(row.meter) == meter {
            used += row.units;
        }
        Ok(())
    })?;
    Ok(used)
}

/// What to report.
#[derive(Debug, Clone)]
pub struct Query {
    pub customer_id: Option<CustomerId>,
    /// `[from, to)`.
    pub span: Period,
    /// `None`: one row for the whole span.
    pub window: Option<Window>,
    pub group_by: GroupBy,
}

/// By what the rows of a report are told apart, besides the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupBy {
    pub customer: bool,
    pub meter: bool,
    pub endpoint: bool,
}

/// One row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryRow {
    /// The part of the window that lies in the span.
    pub window: Period,
    pub customer_id: Option<CustomerId>,
    pub meter: Option<Meter>,
    pub endpoint: Option<String>,
    pub events: u64,
    pub units: u64,
    pub cost: Money,
}

/// Sums usage by window and group, in the order of time. Windows and groups without usage are left out.
///
/// Whole hours come from the rollups. An hour that a boundary cuts (the span's ends; a local midnight in a zone whose
/// offset is no whole hour) comes from its single events, so every row is exact.
pub fn query(store: &dyn Store, catalog: &Catalog, query: &Query) -> Result<Vec<QueryRow>> {
    let mut report = Report { catalog, query, window: None, rows: BTreeMap::new() };
    let mut cut_hours = Vec::new();
    let hours = Period { start: hour_from(query.span.start), end: hour_before(query.span.end) };
    if hours.start >= hours.end {
        cut_hours.push(query.span);
    } else {
        cut_hours.push(Period { start: query.span.start, end: hours.start });
        cut_hours.push(Period { start: hours.end, end: query.span.end });
        store.hourly_rollups(query.customer_id.as_ref(), hours, &mut |row| {
            let hour = Period { start: row.at, end: row.at.plus_millis(HOUR) };
            if hour.end <= report.window_of(hour.start).end {
                return report.add(row);
            }
            if cut_hours.last() != Some(&hour) && !cut_hours.contains(&hour) {
                cut_hours.push(hour);
            }
            Ok(())
        })?;
    }
    for span in cut_hours.into_iter().filter(|span| span.start < span.end) {
        store.events(query.customer_id.as_ref(), span, &mut |row| report.add(row))?;
    }
    Ok(report.rows.into_values().collect())
}

fn hour_before(at: Timestamp) -> Timestamp {
    Timestamp::from_stored(at.as_millis() / HOUR * HOUR)
}

fn hour_from(at: Timestamp) -> Timestamp {
    hour_before(at.plus_millis(HOUR - 1))
}

struct Report<'a> {
    catalog: &'a Catalog,
    query: &'a Query,
    /// The window of the last row: most often the next one's too.
    window: Option<Period>,
    rows: BTreeMap<RowKey, QueryRow>,
}

type RowKey = (Timestamp, Option<CustomerId>, Option<Meter>, Option<String>);

impl Report<'_> {
    fn window_of(&mut self, at: Timestamp) -> Period {
        match (self.window, self.query.window) {
            (Some(window), _) if window.contains(at) => window,
            (_, Some(window)) => *self.window.insert(window.containing(at, self.catalog.time_zone)),
            (_, None) => self.query.span,
        }
    }

    fn add(&mut self, usage: UsageRow) -> Result<()> {
        let window = self.window_of(usage.at);
        let GroupBy { customer, meter, endpoint } = self.query.group_by;
        let customer_id = customer.then_some(usage.customer_id);
        let meter = meter.then_some(usage.meter);
        let endpoint = usage.endpoint.filter(|_| endpoint);
        let key = (window.start, customer_id.clone(), meter, endpoint.clone());
        let span = self.query.span;
        let row = self.rows.entry(key).or_insert_with(|| QueryRow {
            window: Period { start: window.start.max(span.start), end: window.end.min(span.end) },
            customer_id,
            meter,
            endpoint,
            events: 0,
            units: 0,
            cost: Money::ZERO,
        });
        row.events += usage.events;
        row.units += usage.units;
        row.cost = row.cost.checked_add(usage.cost)?;
        Ok(())
    }
}

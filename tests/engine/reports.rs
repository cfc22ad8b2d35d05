//! Reports, against an oracle that adds up single events with another calendar.

use std::collections::BTreeMap;

use jiff::{ToSpan, tz};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use weighbridge::domain::{Meter, Period, Standing, Timestamp, UsageEvent, Window};
use weighbridge::engine::usage::{self, GroupBy, Query, QueryRow};
use weighbridge::store::{SqliteStore, Store};

use crate::support::{
    configure_tiers, configure_time_zone, customer_id, event, event_at, money, now, record, set_tier, span,
    trillionths, units,
};
use crate::{Place, apply, ask, close};

fn store(place: &Place, zone: &str, events: &[UsageEvent]) -> SqliteStore {
    let store = place.store();
    let mut group = vec![configure_time_zone(zone)];
    group.extend(events.iter().cloned().map(record));
    assert!(store.commit(&group).unwrap().outcomes.iter().all(Result::is_ok));
    store
}

fn query(store: &dyn Store, query: &Query) -> Vec<QueryRow> {
    usage::query(store, &store.catalog().unwrap(), query).unwrap()
}

fn windows(rows: &[QueryRow]) -> Vec<(String, String, u64)> {
    let iso = |at: Timestamp| at.to_iso_string();
    rows.iter().map(|row| (iso(row.window.start), iso(row.window.end), row.units)).collect()
}

/// One event a quarter of an hour.
fn every_quarter(span: Period) -> Vec<UsageEvent> {
    let quarters = (span.end.as_millis() - span.start.as_millis()) / 900_000;
    (0..quarters).map(|n| UsageEvent { timestamp: span.start.plus_millis(n * 900_000), ..event("ann") }).collect()
}

#[test]
fn the_day_the_clocks_go_forward_has_23_hours() {
    let place = Place::new();
    let march = span("2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z");
    let store = store(&place, "Europe/Berlin", &every_quarter(march));
    let by_day = Query { customer_id: None, span: march, window: Some(Window::Day), group_by: GroupBy::default() };
    let day = |start: &str, end: &str, units| {
        (format!("2026-03-{start}:00:00.000Z"), format!("2026-03-{end}:00:00.000Z"), units)
    };
    assert_eq!(windows(&query(&store, &by_day)), [day("28T23", "29T22", 23 * 4), day("29T22", "30T22", 24 * 4)]);
}

#[test]
fn a_local_day_may_begin_within_an_hour_of_utc() {
    let place = Place::new();
    // Cut at both ends, too.
    let cut = span("2026-03-09T12:10:00Z", "2026-03-10T18:40:00Z");
    let store = store(&place, "Asia/Kolkata", &every_quarter(span("2026-03-09T12:00:00Z", "2026-03-10T20:00:00Z")));
    let by_day = Query { customer_id: None, span: cut, window: Some(Window::Day), group_by: GroupBy::default() };
    let expected = [
        ("2026-03-09T12:10:00.000Z".to_owned(), "2026-03-09T18:30:00.000Z".to_owned(), 25),
        ("2026-03-09T18:30:00.000Z".to_owned(), "2026-03-10T18:30:00.000Z".to_owned(), 96),
        ("2026-03-10T18:30:00.000Z".to_owned(), "2026-03-10T18:40:00.000Z".to_owned(), 1),
    ];
    assert_eq!(windows(&query(&store, &by_day)), expected);
    let whole = Query { window: None, ..by_day };
    assert_eq!(windows(&query(&store, &whole)), [(expected[0].0.clone(), expected[2].1.clone(), 122)]);
}

#[test]
fn a_span_that_is_empty_or_turned_round_has_no_usage() {
    let place = Place::new();
    let store = store(&place, "UTC", &every_quarter(span("2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z")));
    for (start, end) in [
        ("2026-03-09T12:00:00Z", "2026-03-09T12:00:00Z"),
        ("2026-03-09T14:00:00Z", "2026-03-09T12:00:00Z"),
        ("2026-03-09T12:01:00Z", "2026-03-09T12:14:59Z"),
    ] {
        let query_of =
            |window| Query { customer_id: None, span: span(start, end), window, group_by: GroupBy::default() };
        assert_eq!(query(&store, &query_of(None)), []);
        assert_eq!(query(&store, &query_of(Some(Window::Hour))), []);
    }
}

#[test]
fn a_customer_is_told_his_usage_his_limits_and_his_period() {
    let place = Place::new();
    let engine = place.open();
    apply(&engine, configure_tiers(&[("tier", Some(10))]));
    apply(&engine, set_tier("ann", "tier"));
    for (meter, amount, instant) in [
        (Meter::API_REQUEST, "0.1", "2026-03-10T12:00:00Z"),
        (Meter::DATA_ACCESS, "0.2", "2026-03-31T23:59:59.999Z"),
        (Meter::API_REQUEST, "7", "2026-04-01T00:00:00Z"),
    ] {
        let event = UsageEvent { meter, cost: money(amount), units: units(3), ..event_at("ann", instant) };
        apply(&engine, record(event));
    }
    let ask_for = |id: &'static str| {
        let read = move |store: &dyn Store, catalog: &_| usage::of_customer(store, catalog, &customer_id(id), now());
        ask(|reply| engine.read(read, reply)).get().unwrap()
    };
    let ann = ask_for("ann").expect("a customer");
    assert_eq!(ann.period, span("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"));
    assert_eq!(ann.total_cost, money("0.3"));
    assert_eq!(ann.standing(Meter::API_REQUEST), Standing { limit: Some(10), used: 3 });
    assert_eq!(ann.standing(Meter::AGENT_EXECUTION), Standing { limit: None, used: 0 });
    assert_eq!(ann.standing(Meter::DATA_ACCESS), Standing { limit: None, used: 3 });
    assert!(ask_for("nobody").is_none());
    close(&engine);
}

/// Window, customer, meter, endpoint.
type Group = ((i64, i64), Option<String>, Option<Meter>, Option<String>);

fn oracle(events: &[UsageEvent], query: &Query, zone: &str) -> BTreeMap<Group, (u64, u64, i128)> {
    let zone = tz::TimeZone::get(zone).unwrap();
    let span = (query.span.start.as_millis(), query.span.end.as_millis());
    let mut sums: BTreeMap<Group, (u64, u64, i128)> = BTreeMap::new();
    for event in events {
        let at = event.timestamp.as_millis();
        let wanted = query.customer_id.as_ref().is_none_or(|id| *id == event.customer_id);
        if !wanted || at < span.0 || at >= span.1 {
            continue;
        }
        let window = query.window.map_or(span, |window| local_window(at, window, &zone));
        let GroupBy { customer, meter, endpoint } = query.group_by;
        let group = (
            (window.0.max(span.0), window.1.min(span.1)),
            customer.then(|| event.customer_id.to_string()),
            meter.then_some(event.meter),
            event.endpoint.clone().filter(|_| endpoint),
        );
        let sum = sums.entry(group).or_default();
        *sum = (sum.0 + 1, sum.1 + event.units.get(), sum.2 + trillionths(event.cost));
    }
    sums
}

fn local_window(at: i64, window: Window, zone: &tz::TimeZone) -> (i64, i64) {
    let local = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone());
    let millis = |zoned: jiff::Zoned| zoned.timestamp().as_millisecond();
    match window {
        Window::Hour => {
            // In these zones the clocks change by whole hours.
            let offset = i64::from(local.offset().seconds()) * 1_000;
            let start = (at + offset).div_euclid(3_600_000) * 3_600_000 - offset;
            (start, start + 3_600_000)
        }
        Window::Day => {
            (millis(local.start_of_day().unwrap()), millis(local.tomorrow().unwrap().start_of_day().unwrap()))
        }
        Window::Month => {
            let first = local.first_of_month().unwrap().start_of_day().unwrap();
            let next = first.date().checked_add(1.month()).unwrap().to_zoned(zone.clone()).unwrap();
            (millis(first), millis(next))
        }
    }
}

fn found(rows: Vec<QueryRow>) -> BTreeMap<Group, (u64, u64, i128)> {
    let count = rows.len();
    let group = |row: QueryRow| {
        let window = (row.window.start.as_millis(), row.window.end.as_millis());
        let group = (window, row.customer_id.map(|id| id.to_string()), row.meter, row.endpoint);
        (group, (row.events, row.units, trillionths(row.cost)))
    };
    let groups: BTreeMap<_, _> = rows.into_iter().map(group).collect();
    assert_eq!(groups.len(), count, "a group is there twice");
    groups
}

/// A week in which Berlin's clocks go forward and a month ends, to the millisecond and often on a quarter's edge.
fn instants() -> impl Strategy<Value = i64> {
    let start = crate::support::at("2026-03-27T00:00:00Z").as_millis();
    let edge = (0..7 * 96i64, -1..=0i64).prop_map(|(quarter, millis)| quarter * 900_000 + 900_000 + millis);
    prop_oneof![0..7 * 86_400_000i64, edge].prop_map(move |millis| start + millis)
}

fn usage_events() -> impl Strategy<Value = UsageEvent> {
    let names = (prop::sample::select(vec!["ann", "bob"]), prop::option::of(prop::sample::select(vec!["/a", "/b"])));
    let amounts = (1..100u32, 0..1_000_000_000_000u64);
    (names, prop::sample::select(Meter::BUILT_IN.as_slice()), amounts, instants()).prop_map(
        |((customer, endpoint), meter, (count, fraction), millis)| UsageEvent {
            meter,
            endpoint: endpoint.map(str::to_owned),
            units: units(count),
            cost: money(&format!("0.{fraction:012}")),
            timestamp: Timestamp::from_stored(millis),
            ..event(customer)
        },
    )
}

fn queries() -> impl Strategy<Value = Query> {
    let windows = prop::sample::select(vec![None, Some(Window::Hour), Some(Window::Day), Some(Window::Month)]);
    let customers = prop::option::of(prop::sample::select(vec!["ann", "nobody"]));
    (windows, customers, any::<[bool; 3]>(), instants(), instants()).prop_map(
        |(window, customer, [by_customer, meter, endpoint], one, other)| Query {
            customer_id: customer.map(customer_id),
            span: Period { start: Timestamp::from_stored(one.min(other)), end: Timestamp::from_stored(one.max(other)) },
            window,
            group_by: GroupBy { customer: by_customer, meter, endpoint },
        },
    )
}

#[test]
fn every_report_equals_the_sum_of_its_events() {
    let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kolkata"]);
    let inputs = (zones, prop::collection::vec(usage_events(), 1..150), prop::collection::vec(queries(), 40));
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let run = |(zone, events, queries): (&str, Vec<UsageEvent>, Vec<Query>)| {
        let place = Place::new();
        let store = store(&place, zone, &events);
        for asked in &queries {
            let rows = query(&store, asked);
            prop_assert!(rows.is_sorted_by_key(|row| row.window.start), "{:?}", asked);
            prop_assert_eq!(found(rows), oracle(&events, asked, zone), "{:?} {}", asked, zone);
        }
        Ok(())
    };
    TestRunner::new(config).run(&inputs, run).unwrap();
}

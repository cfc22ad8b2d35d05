//! Usage as reports read it: by the hour, and event by event.

use weighbridge::Error;
use weighbridge::domain::{Meter, UsageEvent};
use weighbridge::store::UsageRow;

use super::Fixture;
use crate::support::*;

fn sorted(mut rows: Vec<UsageRow>) -> Vec<UsageRow> {
    rows.sort_by_key(|row| (row.at, row.customer_id.clone(), row.meter, row.endpoint.clone()));
    rows
}

pub fn an_hour_is_one_row_for_each_customer_meter_and_endpoint(place: &dyn Fixture) {
    let store = place.open();
    let to = |endpoint: &str, instant: &str| UsageEvent {
        endpoint: Some(endpoint.to_owned()),
        units: units(2),
        cost: money("0.1"),
        ..event_at("ann", instant)
    };
    let group = [
        to("/a", "2026-03-10T12:00:00.000Z"),
        to("/a", "2026-03-10T12:59:59.999Z"),
        to("/a", "2026-03-10T13:00:00.000Z"),
        to("/b", "2026-03-10T12:30:00.000Z"),
        UsageEvent { meter: Meter::DATA_ACCESS, ..to("/a", "2026-03-10T12:30:00Z") },
        UsageEvent { customer_id: customer_id("bob"), ..to("/a", "2026-03-10T12:30:00Z") },
    ];
    // Half of them in a group of their own.
    let changes = group.map(record);
    commit(&*store, &changes[..1]);
    commit(&*store, &changes[1..]);
    let row = |hour: &str, customer: &str, meter, endpoint: &str, count: u32| UsageRow {
        at: at(hour),
        customer_id: customer_id(customer),
        meter,
        endpoint: Some(endpoint.to_owned()),
        events: u64::from(count),
        units: u64::from(2 * count),
        cost: money("0.1").checked_mul(count.into()).unwrap(),
    };
    let expected = [
        row("2026-03-10T12:00:00Z", "ann", Meter::API_REQUEST, "/a", 2),
        row("2026-03-10T12:00:00Z", "ann", Meter::API_REQUEST, "/b", 1),
        row("2026-03-10T12:00:00Z", "ann", Meter::DATA_ACCESS, "/a", 1),
        row("2026-03-10T12:00:00Z", "bob", Meter::API_REQUEST, "/a", 1),
        row("2026-03-10T13:00:00Z", "ann", Meter::API_REQUEST, "/a", 1),
    ];
    assert_eq!(sorted(hourly_rollups(&*store, None, all_time())), expected);
}

pub fn spans_are_half_open(place: &dyn Fixture) {
    let store = place.open();
    let instants =
        ["2026-03-10T11:59:59.999Z", "2026-03-10T12:00:00Z", "2026-03-10T13:59:59.999Z", "2026-03-10T14:00:00Z"];
    commit(&*store, &instants.map(|instant| record(event_at("ann", instant))));
    let span = span("2026-03-10T12:00:00Z", "2026-03-10T14:00:00Z");
    let visited = |rows: Vec<UsageRow>| sorted(rows).iter().map(|row| row.at.to_iso_string()).collect::<Vec<_>>();
    assert_eq!(visited(events(&*store, None, span)), ["2026-03-10T12:00:00.000Z", "2026-03-10T13:59:59.999Z"]);
    assert_eq!(visited(hourly_rollups(&*store, None, span)), ["2026-03-10T12:00:00.000Z", "2026-03-10T13:00:00.000Z"]);
}

pub fn one_customer_is_visited_alone(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &["ann", "bob", "bobby"].map(|customer| record(event(customer))));
    for rows in [events(&*store, Some("bob"), all_time()), hourly_rollups(&*store, Some("bob"), all_time())] {
        assert_eq!(rows.iter().map(|row| row.customer_id.as_str()).collect::<Vec<_>>(), ["bob"]);
    }
    assert_eq!(events(&*store, Some("nobody"), all_time()), []);
    assert_eq!(hourly_rollups(&*store, Some("nobody"), all_time()), []);
}

pub fn an_empty_endpoint_is_none(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[record(UsageEvent { endpoint: Some(String::new()), ..event("ann") }), record(event("ann"))]);
    let of_events: Vec<_> = events(&*store, None, all_time()).into_iter().map(|row| row.endpoint).collect();
    assert_eq!(of_events, [None, None]);
    let of_hours: Vec<_> = hourly_rollups(&*store, None, all_time()).into_iter().map(|row| row.endpoint).collect();
    assert_eq!(of_hours, [None]);
}

pub fn a_visitor_that_fails_ends_the_visit(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &["ann", "bob", "cat"].map(|customer| record(event(customer))));
    let mut visits = 0;
    let mut fail_at_the_second = |_| {
        visits += 1;
        if visits == 2 { Err(Error::invalid("enough")) } else { Ok(()) }
    };
    assert_eq!(store.events(None, all_time(), &mut fail_at_the_second), Err(Error::invalid("enough")));
    assert_eq!(visits, 2);
    assert_eq!(events(&*store, None, all_time()).len(), 3);
}

pub fn the_history_holds_each_event_once_with_its_metadata(place: &dyn Fixture) {
    let store = place.open();
    let event = |customer: &str, instant: &str, metadata: Option<&str>| UsageEvent {
        endpoint: Some("/a".to_owned()),
        cost: money("0.1"),
        units: units(3),
        metadata: metadata.map(str::to_owned),
        ..event_at(customer, instant)
    };
    let events = [
        event("ann", "2026-03-10T11:59:59.999Z", Some("{}")),
        event("ann", "2026-03-10T12:00:00Z", Some(r#"{"method":"POST"}"#)),
        // Recorded after what happened later, and in another month.
        event("bob", "2026-04-10T12:00:00Z", None),
        UsageEvent { endpoint: Some(String::new()), ..event("ann", "2026-04-01T00:00:00Z", None) },
        event("ann", "2026-03-10T13:00:00Z", Some(r#"{"model":"x"}"#)),
        event("ann", "2026-05-01T00:00:00Z", None),
    ];
    commit(&*store, &events.map(record));
    let visit = |customer: Option<&str>, span| {
        let mut found = Vec::new();
        for stretch in store.stretches(span).expect("stretches") {
            let customer = customer.map(customer_id);
            let visit = store.history(customer.as_ref(), &stretch, &mut |usage| {
                assert_eq!((usage.events, usage.units, usage.meter, usage.cost), (1, 3, "api_request", money("0.1")));
                let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
                let (endpoint, metadata) = (text(usage.endpoint), text(usage.metadata));
                found.push([usage.at.to_iso_string(), usage.customer_id.to_owned(), endpoint, metadata].join(" "));
                Ok(())
            });
            visit.expect("a visit");
        }
        found.sort();
        found
    };
    let half_open = span("2026-03-10T12:00:00Z", "2026-05-01T00:00:00Z");
    let anns = [
        r#"2026-03-10T12:00:00.000Z ann /a {"method":"POST"}"#,
        r#"2026-03-10T13:00:00.000Z ann /a {"model":"x"}"#,
        "2026-04-01T00:00:00.000Z ann - -",
    ];
    assert_eq!(visit(Some("ann"), half_open), anns);
    assert_eq!(visit(None, half_open), [&anns[..], &["2026-04-10T12:00:00.000Z bob /a -"]].concat());
    assert_eq!(visit(None, span("2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z")), [""; 0]);
    assert_eq!(visit(None, all_time()).len(), 6);
    let mut hours: Vec<_> = Vec::new();
    let visit = store.recorded_hours(Some(&customer_id("ann")), all_time(), &mut |usage| {
        hours.push((usage.at, usage.customer_id.to_owned(), usage.meter.to_owned(), usage.endpoint.map(str::to_owned)));
        assert_eq!(
            (usage.metadata, usage.units, usage.cost),
            (None, 3 * usage.events, money("0.1").checked_mul(usage.events).unwrap())
        );
        Ok(())
    });
    visit.expect("a visit");
    hours.sort();
    let same =
        |row: UsageRow| (row.at, row.customer_id.as_str().to_owned(), row.meter.as_str().to_owned(), row.endpoint);
    let mut rollups: Vec<_> = hourly_rollups(&*store, Some("ann"), all_time()).into_iter().map(same).collect();
    rollups.sort();
    assert_eq!((hours.len(), hours), (5, rollups));
    let stretch = store.stretches(all_time()).expect("stretches").remove(0);
    let failed = store.history(None, &stretch, &mut |_| Err(Error::invalid("enough")));
    assert_eq!(failed.unwrap_err().message, "enough");
}

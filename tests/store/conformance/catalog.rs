//! Tiers, time zone and revision: what all processes agree on, and how they learn that it has changed.

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{ApiKey, Meter, Plans, Refusal, Tier, TierTable, TimeZone, UsageEvent};
use weighbridge::store::Verdict::{Recorded, Refused};
use weighbridge::store::{Change, Store};

use super::Fixture;
use crate::support::*;

fn tier_ids(store: &dyn Store) -> Vec<String> {
    store.catalog().unwrap().tiers.table.iter().map(|tier| tier.id.clone()).collect()
}

/// By how much the store's revision grows.
fn growth(store: &dyn Store, group: &[Change]) -> u64 {
    let before = store.revision().unwrap();
    let committed = store.commit(group).unwrap();
    assert_eq!(store.revision().unwrap(), committed.revision);
    committed.revision - before
}

pub fn a_new_store_has_no_tiers_and_counts_in_utc(place: &dyn Fixture) {
    let catalog = place.open().catalog().unwrap();
    assert_eq!((catalog.tiers, catalog.time_zone), (Plans::default(), TimeZone::UTC));
}

pub fn a_catalog_is_read_as_it_was_written_by_every_store(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    let tier = |id: &str, requests, executions| Tier {
        id: id.to_owned(),
        api_requests_per_month: requests,
        agent_executions_per_month: executions,
        definition: format!(r#"{{"name":"{id} — «ß»","nested":[1.10]}}"#),
    };
    assert!(apply(&*store, Change::IntroduceTiers(tiers(&[("first", None)]))).is_ok());
    assert_eq!(tier_ids(&*store), ["first"]);
    // Not in the order of the ids.
    let table =
        TierTable::new(vec![tier("small", Some(0), None), tier("large", None, Some(1 << 53)), tier("a", None, None)]);
    let time_zone: TimeZone = "Asia/Kolkata".parse().unwrap();
    let change = Change::Configure { tiers: Some(table.clone().unwrap()), time_zone: Some(time_zone) };
    assert!(apply(&*store, change).is_ok());
    // What is not named stays, and what is there is not introduced.
    assert!(apply(&*store, Change::Configure { tiers: None, time_zone: None }).is_ok());
    assert!(apply(&*store, Change::IntroduceTiers(tiers(&[("new", None)]))).is_ok());
    for store in [&store, &other, &place.open()] {
        let catalog = store.catalog().unwrap();
        assert_eq!((&catalog.tiers.table, catalog.time_zone), (table.as_ref().unwrap(), time_zone));
    }
}

pub fn tiers_in_use_stay_below_the_listed_ones(place: &dyn Fixture) {
    let store = place.open();
    let old = configure_tiers(&[("unused", Some(1)), ("used", Some(2)), ("kept", Some(3))]);
    commit(&*store, &[old, set_tier("ann", "used")]);
    let new = configure_tiers(&[("new", Some(4)), ("kept", Some(5))]);
    commit(&*store, std::slice::from_ref(&new));
    assert_eq!(tier_ids(&*store), ["used", "new", "kept"]);
    assert_eq!(charge(&*store, admit(event("ann"))).standing.limit, Some(2));
    // To say the same again changes nothing.
    assert_eq!(growth(&*store, std::slice::from_ref(&new)), 0);
    let leave = CustomerPatch { tier_id: Patch::Clear, ..CustomerPatch::default() };
    commit(&*store, &[upsert("ann", leave), new]);
    assert_eq!(tier_ids(&*store), ["new", "kept"]);
}

pub fn the_revision_grows_with_every_change_that_caches_depend_on(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    let rotate = Change::RotateKey {
        id: "key-1".to_owned(),
        successor_id: "key-2".to_owned(),
        prefix: "key-2".to_owned(),
        hash: hash_of("key-2"),
        now: now(),
        until: now().plus_millis(1_000),
    };
    for change in [
        configure_tiers(&[("tier", Some(1))]),
        configure_tiers(&[("tier", Some(2))]),
        configure_time_zone("Europe/Berlin"),
        create_key(api_key("key-1", "ann")),
        rotate,
        revoke_key("key-1", now()),
        set_tier("ann", "tier"),
        suspend("ann"),
    ] {
        assert_eq!(growth(&*store, std::slice::from_ref(&change)), 1, "{change:?}");
        await_revision(&*other, store.revision().unwrap());
        // It tells the other store's next group, too.
        assert_eq!(other.commit(&[]).unwrap().revision, store.revision().unwrap());
    }
    // Also where a neighbour was refused.
    assert_eq!(growth(&*store, &[revoke_key("no such key", now()), suspend("bob"), suspend("cat")]), 1);
}

pub fn the_revision_stands_still_otherwise(place: &dyn Fixture) {
    let store = place.open();
    let table = [("tier", Some(1)), ("other", None)];
    let setup = [configure_tiers(&table), configure_time_zone("Europe/Berlin"), create_key(api_key("key-1", "ann"))];
    commit(&*store, &setup);
    for group in [
        vec![],
        vec![admit(event("ann")), record(event("bob"))],
        vec![admit(UsageEvent { units: units(1_001), ..event("ann") })],
        vec![configure_tiers(&table), configure_time_zone("Europe/Berlin")],
        vec![Change::Configure { tiers: None, time_zone: None }],
        vec![set_tier("ann", "no such tier"), revoke_key("no such key", now())],
        vec![create_key(ApiKey { customer_id: customer_id("cat"), ..api_key("key-1", "cat") })],
    ] {
        assert_eq!(growth(&*store, &group), 0, "{group:?}");
    }
}

pub fn a_new_time_zone_sorts_the_counters_again(place: &dyn Fixture) {
    let store = place.open();
    // In Kolkata, March begins half an hour past a full hour of UTC.
    let instants = ["2026-02-28T18:29:59.999Z", "2026-02-28T18:30:00.000Z", "2026-03-31T18:30:00.000Z"];
    for (instant, amount) in instants.into_iter().zip(["0.1", "0.2", "0.4"]) {
        let event = UsageEvent { units: units(2), cost: money(amount), ..event_at("ann", instant) };
        commit(&*store, &[record(event.clone()), record(UsageEvent { meter: Meter::DATA_ACCESS, ..event })]);
    }
    let expected = |zone: &str, starts: [(&str, u64, &str); 3]| {
        commit(&*store, &[configure_time_zone(zone)]);
        for (start, units, cost) in starts {
            for meter in [Meter::API_REQUEST, Meter::DATA_ACCESS] {
                assert_eq!(counter(&*store, "ann", meter, start), (units, cost.to_owned()), "{zone} {start}");
            }
        }
    };
    let in_utc =
        [("2026-02-01T00:00:00Z", 4, "0.3"), ("2026-03-01T00:00:00Z", 2, "0.4"), ("2026-01-31T18:30:00Z", 0, "0")];
    let in_kolkata =
        [("2026-01-31T18:30:00Z", 2, "0.1"), ("2026-02-28T18:30:00Z", 2, "0.2"), ("2026-03-31T18:30:00Z", 2, "0.4")];
    expected("UTC", in_utc);
    expected("Asia/Kolkata", in_kolkata);
    assert_eq!(counter(&*store, "ann", Meter::API_REQUEST, "2026-03-01T00:00:00Z").0, 0);
    expected("UTC", in_utc);
}

pub fn a_new_time_zone_decides_within_its_own_group(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    let late_in_february = || admit(event_at("ann", "2026-02-28T20:00:00Z"));
    let setup = [configure_tiers(&[("tier", Some(1))]), set_tier("ann", "tier"), late_in_february()];
    commit(&*store, &setup);
    let in_march = admit(event_at("ann", "2026-03-02T00:00:00Z"));
    // In Kolkata the first event lies in March, and March is full.
    let outcomes = commit(&*store, &[configure_time_zone("Asia/Kolkata"), in_march.clone()]);
    let refused = outcomes[1].clone().unwrap().charged().unwrap();
    assert!(matches!(refused.verdict, Refused(Refusal::LimitExceeded(_))), "{refused:?}");
    assert_eq!(refused.period, span("2026-02-28T18:30:00Z", "2026-03-31T18:30:00Z"));
    // The store that was open before learns of it with its next group.
    assert!(matches!(verdict(&*other, in_march.clone()), Refused(Refusal::LimitExceeded(_))));
    let outcomes = commit(&*other, &[record(event_at("bob", "2026-02-28T20:00:00Z")), configure_time_zone("UTC")]);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(counter(&*store, "bob", Meter::API_REQUEST, "2026-02-01T00:00:00Z").0, 1);
    assert_eq!(verdict(&*store, in_march), Recorded);
}

/// A store may learn a moment later what another one has changed.
fn await_revision(store: &dyn Store, revision: u64) {
    while store.revision().unwrap() != revision {
        std::thread::yield_now();
    }
}

//! PostgreSQL: the contract of every store, and what only a server can suffer.

use weighbridge::Code;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{Meter, Timestamp, UsageEvent};
use weighbridge::store::postgres::Address;
use weighbridge::store::{Store, Verdict};

use crate::conformance::Fixture;
use crate::support::leases::{leases_of, march, set_limit, urgent};
use crate::support::postgres::OwnSchema;
use crate::support::{
    api_key, at, commit, configure_time_zone, counter, create_key, event, event_at, record, suspend, upsert, verdicts,
};

impl Fixture for OwnSchema {
    fn new() -> Self {
        OwnSchema::new()
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(OwnSchema::open(self, "").expect("a store"))
    }
}

store_conformance!(OwnSchema);

/// In December 2025, January and March 2026.
fn three_months(place: &OwnSchema) -> weighbridge::store::PostgresStore {
    let store = place.open("").unwrap();
    let instants = ["2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z", "2026-03-15T00:00:00Z"];
    commit(&store, &instants.map(|instant| record(event_at("ann", instant))));
    store
}

#[test]
fn a_partition_that_another_one_has_dropped_is_made_again() {
    let place = OwnSchema::new();
    let store = three_months(&place);
    place.query("DROP TABLE events_2026_01");
    let facts = ["2026-01-15T00:00:00Z", "2026-03-15T00:00:00Z"].map(|instant| record(event_at("ann", instant)));
    assert_eq!(verdicts(&store, &facts), [Verdict::Recorded, Verdict::Recorded]);
    assert_eq!(counter(&store, "ann", Meter::API_REQUEST, "2026-01-01T00:00:00Z").0, 2);
}

#[test]
fn what_was_dropped_stays_counted_when_the_time_zone_changes() {
    let place = OwnSchema::new();
    let store = three_months(&place);
    place.query("DROP TABLE events_2025_12");
    commit(&store, &[configure_time_zone("Europe/Berlin")]);
    let found = ["2025-12-01T00:00:00Z", "2026-02-28T23:00:00Z"]
        .map(|start| counter(&store, "ann", Meter::API_REQUEST, start).0);
    assert_eq!(found, [1, 1]);
}

#[test]
fn an_event_of_the_last_month_that_there_is_can_be_recorded() {
    let place = OwnSchema::new();
    let store = place.open("").unwrap();
    let last = Timestamp::from_millis("timestamp", at("9999-12-31T00:00:00Z").as_millis() as f64).unwrap();
    let facts = [record(UsageEvent { timestamp: last, ..event("ann") })];
    assert_eq!(verdicts(&store, &facts), [Verdict::Recorded]);
}

/// A group that only counts has found that all is as it believes, and is held up before it counts.
#[test]
fn periods_do_not_move_under_a_group_that_is_being_counted() {
    let place = OwnSchema::new();
    let (counting, moving) = (place.open("").unwrap(), place.open("").unwrap());
    let fact = || record(event_at("ann", "2026-03-05T00:00:00Z"));
    // Before that the customer is not known.
    commit(&counting, &[fact()]);
    let move_periods = || {
        let billing_cycle_anchor = Patch::Set(at("2026-03-10T00:00:00Z"));
        commit(&moving, &[upsert("ann", CustomerPatch { billing_cycle_anchor, ..CustomerPatch::default() })]);
    };
    std::thread::scope(|scope| {
        place.during("SELECT * FROM writers FOR UPDATE", || {
            scope.spawn(|| commit(&counting, &[fact()]));
            while place.waiting() < 1 {}
            let moved = scope.spawn(move_periods);
            while place.waiting() < 2 && !moved.is_finished() {}
        });
    });
    let found = ["2026-02-10T00:00:00Z", "2026-03-01T00:00:00Z"]
        .map(|start| counter(&counting, "ann", Meter::API_REQUEST, start).0);
    assert_eq!(found, [2, 0]);
}

/// Units that were set aside for a machine that never comes back count as used until nobody can say otherwise any more.
#[test]
fn leases_of_the_lost_end_long_after_their_periods() {
    let place = OwnSchema::new();
    let store = place.open("").unwrap();
    set_limit(&store, Some(100));
    for name in ["lost", "late", "alive"] {
        commit(&store, &[urgent(name, 10)]);
    }
    place.query("UPDATE leases SET period_end = now() - interval '41 days' WHERE holder <> 'late'");
    place.query("UPDATE leases SET period_end = now() - interval '39 days' WHERE holder = 'late'");
    place.query("INSERT INTO writers VALUES ('alive', 1, now()), ('lost', 1, now() - interval '8 days')");
    store.maintain().unwrap();
    place.query("UPDATE leases SET period_end = '2026-04-01T00:00:00Z'");
    assert_eq!(leases_of(&store, march()), [("alive".to_owned(), 10), ("late".to_owned(), 10)]);
}

/// As after a failover to a server that lagged.
#[test]
fn a_revision_that_went_back_comes_back_higher_than_ever() {
    let place = OwnSchema::new();
    let store = three_months(&place);
    commit(&store, &[suspend("ann"), create_key(api_key("key-1", "ann"))]);
    let before = store.revision().unwrap();
    place.query("UPDATE settings SET value = (value::bigint - 1)::text WHERE name = 'revision'");
    // What was heard is relied on three times of four.
    let after = (0..4).map(|_| store.revision().unwrap()).max();
    assert!(after > Some(before), "{after:?} after {before}");
}

#[test]
fn a_url_that_would_tell_its_password_or_lose_its_encryption_is_refused() {
    for url in [
        "postgres://user:se@same@localhost/database",
        "postgres://user:se?same@localhost/database?sslmode=require",
        "postgres://user:sesame@localhost/database?sslmode=require&sslrootcert=system",
        "postgres://user:sesame@localhost/database?sslmode=prefer&sslrootcert=system",
    ] {
        let error = Address::parse(url).err().expect(url);
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(!error.message.contains("same"), "{}", error.message);
    }
    assert!(Address::parse("postgres://user:sesame@localhost/database?sslrootcert=system").is_ok());
}

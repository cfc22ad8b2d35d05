//! Moving a store from SQLite into PostgreSQL: everything once, wherever a run ends, and nothing that must not be moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weighbridge::domain::credit::{GrantId, GrantRequest, Unit};
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::json::Value;
use weighbridge::domain::outbox::delivery::Answer;
use weighbridge::domain::subscription::Report as Told;
use weighbridge::domain::{
    AlertRule, ApiKey, Catalog, CatalogVersions, CostBasis, Decimal, Meter, Period, PriceId, Subscription,
    SubscriptionStatus, Thresholds, Timestamp, UsageEvent,
};
use weighbridge::engine::migration::{self, Options, Report};
use weighbridge::store::migration::{Pace, Progress};
use weighbridge::store::outbox::Claim;
use weighbridge::store::{
    AlertClaim, AlertQuery, Change, CreditRefund, FinishedStripeEvent, PostgresStore, SqliteStore, Store, StripeEvent,
    Takeover, Verdict,
};
use weighbridge::{Code, Error, Result};

use crate::replay::{LINES, SEGMENT, leave};
use crate::support::leases::holder;
use crate::support::outbox::{claim_by, claimed, exporting, reports, settle};
use crate::support::postgres::OwnSchema;
use crate::support::*;
use crate::{Place, close, ready};

const CUSTOMERS: [&str; 5] = ["ann", "bob", "Émile", "zoe", "~tilde"];
const EVENTS: usize = 60;
/// So small that each table takes several stretches.
const SMALL: Pace = Pace { events: 7, rows: 3 };

fn options(place: &Place, target: &OwnSchema) -> Options {
    Options {
        source: place.path(),
        directory: place.dir.path().to_owned(),
        address: target.address(),
        schema: target.schema(),
        dry_run: false,
        pace: SMALL,
    }
}

fn migrate(place: &Place, target: &OwnSchema) -> Result<Report> {
    migration::run(&options(place, target), &mut |_| Ok(()))
}

/// Ends after so many stretches, as if it were killed there. What is only compared is no stretch.
fn migrate_for(place: &Place, target: &OwnSchema, stretches: usize) -> Result<Report> {
    let mut left = stretches;
    migration::run(&options(place, target), &mut |Progress { stage, done, .. }| {
        if stage == "verification" && done > 0 {
            return Ok(());
        }
        left = left.checked_sub(1).ok_or_else(|| Error::new(Code::Closed, "killed"))?;
        Ok(())
    })
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.expect_err("a refusal").code
}

/// The name of the place, by which PostgreSQL tells its files from those of others.
fn home(place: &Place) -> String {
    weighbridge::engine::home::name(place.dir.path()).expect("a name")
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a small number")
}

/// Some have an id, some a subscription of their own, and one lies in another month for another time zone.
fn numbered(index: usize) -> UsageEvent {
    let customer = CUSTOMERS[index % CUSTOMERS.len()];
    let event = if index.is_multiple_of(3) { event_with_id(customer, &format!("id-{index}")) } else { event(customer) };
    UsageEvent {
        meter: Meter::BUILT_IN[index % 3],
        units: units(number(index % 4 + 1)),
        cost: money(&format!("0.{:03}", index + 1)),
        timestamp: at("2026-02-28T22:30:00Z").plus_millis(1_800_000 * i64::from(number(index % 9))),
        subscription_id: index.is_multiple_of(4).then(|| format!("sub-{index}")),
        endpoint: index.is_multiple_of(2).then(|| format!("/API/{}", ["a", "B", "ä"][index % 3])),
        agent_type: index.is_multiple_of(5).then(|| "tab\tand \\ \"quote\"".to_owned()),
        metadata: index.is_multiple_of(7).then(|| r#"{"a":[1,"\u0000"],"b":null}"#.to_owned()),
        ..event
    }
}

/// Tokens, of which four are a package.
fn rated(index: usize) -> UsageEvent {
    let price = PriceId { version: "1".to_owned(), id: "packages".to_owned() };
    let meter = Meter::declared("tokens").expect("a meter");
    UsageEvent { meter, cost: money("0"), cost_basis: CostBasis::Period(price), id: None, ..numbered(index) }
}

/// A store with something in every table.
fn fill(store: &dyn Store) {
    let subscribed = CustomerPatch { subscription_id: Patch::Set("sub-of-ann".to_owned()), ..CustomerPatch::default() };
    let mut changes = vec![
        configure_tiers(&[("small", Some(1_000)), ("large", None)]),
        configure_time_zone("Europe/Berlin"),
        set_tier("bob", "large"),
        Change::Offer(catalog()),
        set_tier("ann", "large"),
        upsert("ann", subscribed),
        suspend("zoe"),
        anchor("bob", Some("2026-01-28T22:45:00Z")),
        anchor("zoe", Some("2026-01-31T10:00:00Z")),
    ];
    changes.extend((0..5).map(|index| create_key(api_key(&format!("key-{index}"), CUSTOMERS[index]))));
    let expires_at = Some(now().plus_millis(1_000));
    changes.push(create_key(ApiKey { expires_at, name: None, ..api_key("expiring", "bob") }));
    changes.push(revoke_key("key-3", now()));
    changes.push(Change::TakeOver(Takeover {
        file: "usage-events.json".to_owned(),
        from: 0,
        to: 4_711,
        events: Vec::new(),
        customers: vec![customer_id("without-usage")],
        now: now(),
    }));
    exporting(store, &["ann", "bob"]);
    let thresholds = Thresholds::new([1.0, 2.0]).unwrap();
    changes.push(Change::Alert(AlertRule { thresholds, is_sent: true }));
    changes.extend((0..EVENTS / 2).map(|index| record(numbered(index))));
    // In mid-life, into an hour with events before and after it; one goes back to calendar months.
    changes.push(anchor("~tilde", Some("2026-02-28T23:15:00Z")));
    changes.push(anchor("zoe", None));
    let capped = CustomerPatch { spend_cap: Patch::Set(money("100.000000000001")), ..CustomerPatch::default() };
    changes.push(upsert("zoe", capped));
    // What follows is burnt.
    changes.push(give("zoe", r#"{ "id": "money", "amount": "0.2", "recurrence": { "every": "month" } }"#));
    changes.extend((EVENTS / 2..EVENTS).map(|index| record(numbered(index))));
    changes.push(anchor("bob", Some("2026-03-01T01:15:00Z")));
    let units = r#"{ "id": "units", "unit": "api_request", "amount": 2, "rollover": { "maximum": 1 } }"#;
    changes.extend([give_back("zoe", "0.05"), give("zoe", units)]);
    let (id, at) = (GrantId::parse("id", "money").unwrap(), now());
    changes.push(Change::VoidGrant { customer_id: customer_id("zoe"), id, at, now: at });
    changes.extend(
        ["evt_claimed", "evt_done", "evt_kept"]
            .map(|id| Change::ClaimStripeEvent { event: stripe_event(id), now: now() }),
    );
    changes.push(finish(&stripe_event("evt_done"), vec![subscription("sub_1", "cus_1")], None));
    changes.push(finish(&stripe_event("evt_kept"), vec![], Some("{}".to_owned())));
    assert!(commit(store, &changes).iter().all(std::result::Result::is_ok));
    let sent =
        store.claim_alerts(&AlertClaim { holder: holder("a-sender"), now: now(), until: now(), limit: 1 }).unwrap();
    assert_eq!(sent.len(), 1);
    assert!(store.alerts(&AlertQuery { limit: 100, ..AlertQuery::default() }).unwrap().len() > 3);
    // Reports in several states.
    let on_their_way = claimed(store, &Claim { limit: 3, ..claim_by("a-sender") });
    settle(store, "a-sender", &on_their_way[0], Answer::Accepted);
    settle(store, "a-sender", &on_their_way[1], Answer::Refused);
}

fn give(customer: &str, grant: &str) -> Change {
    let request = GrantRequest::read(&Value::parse("grant", grant).unwrap()).unwrap();
    Change::GrantCredit { customer_id: customer_id(customer), request, now: now() }
}

fn give_back(customer: &str, amount: &str) -> Change {
    let (id, unit) = (GrantId::parse("id", "back").unwrap(), Unit::Money);
    let refund = CreditRefund { id, unit, amount: Decimal::parse("amount", amount).unwrap(), at: now() };
    Change::RefundCredit { customer_id: customer_id(customer), refund }
}

/// Bob has one of its tiers from before it.
fn catalog() -> Arc<CatalogVersions> {
    let version = |version: &str| {
        let text = format!(
            r#"{{"id":"public","version":"{version}","currency":"EUR","tiers":[{{"id":"large","name":"Groß"}}],
                "prices":[{{"id":"packages","meter":"tokens","price":{{"model":"package","amount":"5","packageSize":4}}}}],
                "meters":["tokens"]}}"#
        );
        Catalog::parse(&text).expect("a catalog")
    };
    Arc::new(CatalogVersions::new(vec![version("1"), version("2")]).expect("versions"))
}

/// `None`: calendar months.
fn anchor(customer: &str, anchor: Option<&str>) -> Change {
    let billing_cycle_anchor = anchor.map_or(Patch::Clear, |anchor| Patch::Set(at(anchor)));
    upsert(customer, CustomerPatch { billing_cycle_anchor, ..CustomerPatch::default() })
}

fn stripe_event(id: &str) -> StripeEvent {
    StripeEvent { id: id.to_owned(), kind: "a.type".to_owned(), created: now() }
}

fn finish(event: &StripeEvent, reports: Vec<Told>, kept: Option<String>) -> Change {
    Change::FinishStripeEvent(FinishedStripeEvent { event: event.clone(), reports, kept, now: now() })
}

/// Of a customer who is not known yet.
fn subscription(id: &str, stripe_customer_id: &str) -> Told {
    let subscription = Subscription {
        id: id.to_owned(),
        stripe_customer_id: stripe_customer_id.to_owned(),
        status: SubscriptionStatus::Unpaid,
        prices: vec!["price_small".to_owned(), "seats".to_owned()],
        billing_cycle_anchor: Some(now()),
        created_at: now(),
        as_of: now(),
    };
    Told::Subscription { subscription, customer_id: None }
}

fn filled() -> Place {
    let place = Place::new();
    fill(&place.store());
    assert!(contents(&place.store()).contains("used: Decimal"), "some credit is burnt");
    place
}

/// Customer, start of the month, meter: events, units, trillionths of the cost.
type Sums = BTreeMap<(String, i64, &'static str), (u64, u64, i128)>;

/// Adds up all events, with nothing of what the migration uses.
fn sums(store: &dyn Store) -> Sums {
    let time_zone = store.catalog().unwrap().time_zone;
    let mut sums = Sums::new();
    for row in events(store, None, all_time()) {
        let start = Period::month(row.at, time_zone).start.as_millis();
        let key = (row.customer_id.as_str().to_owned(), start, row.meter.as_str());
        let (events, units, cost) = sums.entry(key).or_default();
        *events += row.events;
        *units += row.units;
        *cost += trillionths(row.cost);
    }
    sums
}

/// All that can be asked of a store.
fn contents(store: &dyn Store) -> String {
    let mut text = format!("{:?}\n{:#?}\n", store.catalog().unwrap(), sums(store));
    let customers = store.customers(None, 1_000).unwrap();
    for customer in &customers {
        text += &format!("{customer:?} {:?}\n", store.keys(&customer.id).unwrap());
        let time_zone = store.catalog().unwrap().time_zone;
        let of_customer = events(store, Some(customer.id.as_str()), all_time());
        let starts: BTreeSet<_> =
            of_customer.iter().map(|event| customer.billing_period(event.at, time_zone).start).collect();
        for start in starts {
            let counters = store.counters(&customer.id, start).unwrap();
            assert!(!counters.is_empty(), "{} from {start:?}", customer.id);
            let under_prices =
                counters.iter().map(|counter| store.quantities(&customer.id, start, counter.meter).unwrap());
            text += &format!("{counters:?} {:?}\n", under_prices.collect::<Vec<_>>());
        }
    }
    for id in ["evt_claimed", "evt_done", "evt_kept", "evt_late"] {
        text += &format!("{:?}\n", store.stripe_event(id).unwrap());
    }
    let shown = |rows: Vec<weighbridge::store::UsageRow>| {
        let mut rows: Vec<_> = rows.iter().map(|row| format!("{row:?}\n")).collect();
        rows.sort();
        rows.concat()
    };
    text += &format!("{:#?}\n", reports(store));
    let alerts = store.alerts(&AlertQuery { limit: 100, ..AlertQuery::default() }).unwrap();
    text += &format!("{alerts:#?}\n");
    let zoe = customer_id("zoe");
    text += &format!("{:#?}\n", store.credit_grants(&zoe).unwrap());
    for unit in ["money", "api_request"].map(|unit| unit.parse().unwrap()) {
        let record = store.credit_record(&zoe, unit, Some(now().plus_millis(5))).unwrap();
        text += &format!("{record:#?}\n");
    }
    text + &shown(hourly_rollups(store, None, all_time())) + &shown(events(store, None, all_time()))
}

/// What is left in the file, past its mark.
fn source(place: &Place) -> SqliteStore {
    let copy = place.dir.path().join(format!("copy-{}.db", uuid::Uuid::new_v4()));
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    connection.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    let connection = rusqlite::Connection::open(&copy).unwrap();
    connection.execute("DELETE FROM settings WHERE name = 'moved_to'", []).unwrap();
    drop(connection);
    SqliteStore::open(&copy, Default::default()).unwrap()
}

fn assert_moved(place: &Place, target: &OwnSchema) -> PostgresStore {
    let (source, moved) = (source(place), target.open(&home(place)).expect("a store that is complete"));
    assert_eq!(contents(&source), contents(&moved));
    moved
}

#[test]
fn events_are_rated_on_where_they_were_moved_to() {
    let (place, target) = (filled(), OwnSchema::new());
    let changes: Vec<_> = (0..EVENTS / 2).map(|index| record(rated(index))).collect();
    assert!(commit(&place.store(), &changes).iter().all(std::result::Result::is_ok));
    let Report::Moved(comparison) = migrate(&place, &target).unwrap() else { panic!("it was not moved") };
    assert_eq!(comparison.source, comparison.target);
    assert!(comparison.source.quantities >= CUSTOMERS.len() as u64);
    let moved = assert_moved(&place, &target);
    let source = source(&place);
    for store in [&source as &dyn Store, &moved] {
        // Other periods are sorted from the events, which have kept their prices.
        commit(store, &[anchor("ann", Some("2026-03-01T00:15:00Z"))]);
        (0..9).for_each(|index| assert_eq!(verdict(store, record(rated(index))), Verdict::Recorded));
    }
    let costs = |store: &dyn Store| {
        let mut rows: Vec<_> =
            events(store, None, all_time()).iter().map(|row| (row.at, row.meter, row.cost.to_string())).collect();
        rows.sort();
        rows
    };
    assert!(costs(&moved).iter().any(|(.., cost)| cost == "5"));
    assert_eq!(costs(&source), costs(&moved));
}

#[test]
fn everything_is_moved_and_told() {
    let (place, target) = (filled(), OwnSchema::new());
    let Report::Moved(comparison) = migrate(&place, &target).unwrap() else { panic!("it was not moved") };
    let totals = comparison.source;
    assert_eq!(totals, comparison.target);
    assert_eq!((totals.customers, totals.keys, totals.events), (6, 6, EVENTS as u64));
    let expected: u64 = (0..EVENTS).map(|index| index as u64 % 4 + 1).sum();
    assert_eq!((totals.units, totals.event_ids), (expected, EVENTS as u64 / 3));
    let cost: i128 = (1..=EVENTS as i128).sum();
    assert_eq!(trillionths(totals.cost), cost * 1_000_000_000);

    let store = assert_moved(&place, &target);
    for index in 0..EVENTS {
        let retried = numbered(index);
        if retried.id.is_some() {
            let changed = UsageEvent { cost: money("7"), ..retried.clone() };
            let later = UsageEvent { timestamp: now(), ..retried.clone() };
            assert_eq!(verdict(&store, record(later)), Verdict::Duplicate, "{retried:?}");
            assert!(matches!(verdict(&store, record(changed)), Verdict::Refused(_)));
        }
    }
    for (index, owner) in CUSTOMERS.into_iter().enumerate() {
        let (key, customer) = store.identify(&hash_of(&format!("key-{index}"))).unwrap().expect("a key");
        assert_eq!((key.id, customer.id.as_str()), (format!("key-{index}"), owner));
    }
    assert_eq!(store.takeover_position(&format!("{}/usage-events.json", home(&place))).unwrap(), 4_711);
    assert_eq!(verdict(&store, record(event("ann"))), Verdict::Recorded);
    let [row] = &target.query("SELECT min(sequence), max(sequence), count(DISTINCT sequence) FROM events")[..] else {
        panic!("no row")
    };
    let (first, last, distinct): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(first == 1 && last > EVENTS as i64 && distinct == EVENTS as i64 + 1, "new events come after those moved");
}

#[test]
fn a_second_call_has_nothing_to_do() {
    let (place, target) = (filled(), OwnSchema::new());
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
    assert_eq!(migrate(&place, &target), Ok(Report::WasMoved));
    assert_eq!(verdict(&assert_moved(&place, &target), record(event("ann"))), Verdict::Recorded);
    assert_eq!(migrate(&place, &target), Ok(Report::WasMoved));
}

#[test]
fn a_run_that_ends_after_any_stretch_is_continued() {
    let (place, target) = (filled(), OwnSchema::new());
    let mut runs = 0_usize;
    let report = loop {
        runs += 1;
        match migrate_for(&place, &target, 1) {
            Err(error) if error.code == Code::Closed => {
                if runs.is_multiple_of(5) {
                    assert_eq!(code(target.open("").map(drop)), Code::StoreMoving);
                    assert!(place.store().revision().is_ok(), "SQLite is the store until the end");
                }
            }
            report => break report.unwrap(),
        }
        assert!(runs < 200);
    };
    assert!(runs > EVENTS / SMALL.events, "{runs}");
    assert!(matches!(report, Report::Moved(_)), "{report:?}");
    assert_moved(&place, &target);
}

#[test]
fn a_run_that_ends_anywhere_is_continued_by_a_whole_one() {
    let place = filled();
    let mut stretches = 0;
    migration::run(&options(&place, &OwnSchema::new()), &mut |Progress { stage, .. }| {
        stretches += usize::from(stage != "verification");
        Ok(())
    })
    .unwrap();
    // From time to time, as each takes a schema.
    for ended_after in (0..stretches).step_by(6) {
        let (place, target) = (filled(), OwnSchema::new());
        assert_eq!(code(migrate_for(&place, &target, ended_after)), Code::Closed);
        assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))), "after {ended_after} stretches");
        assert_moved(&place, &target);
    }
}

#[test]
fn what_the_server_refuses_is_not_there_by_halves() {
    let (place, target) = (filled(), OwnSchema::new());
    assert_eq!(code(migrate_for(&place, &target, 2)), Code::Closed);
    // The third stretch fails at its last row, after its position was moved.
    target.query("ALTER TABLE events ADD CONSTRAINT sabotage CHECK (sequence <> 28) NOT VALID");
    assert_eq!(code(migrate(&place, &target)), Code::StoreRejected);
    let events: i64 = target.query("SELECT count(*) FROM events")[0].get(0);
    assert_eq!(events, 21);
    target.query("ALTER TABLE events DROP CONSTRAINT sabotage");
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
    assert_moved(&place, &target);
}

#[test]
fn what_has_changed_between_two_runs_is_moved_too() {
    for stretches in [3, 12, 17, 25] {
        let (place, target) = (filled(), OwnSchema::new());
        assert_eq!(code(migrate_for(&place, &target, stretches)), Code::Closed);
        let store = place.store();
        let changes = [
            configure_time_zone("America/New_York"),
            revoke_key("key-0", now()),
            create_key(api_key("key-new", "ann")),
            set_tier("ann", "large"),
            anchor("bob", None),
            anchor("Émile", Some("2026-02-28T23:30:00Z")),
            record(event_with_id("newcomer", "id")),
        ];
        assert!(commit(&store, &changes).iter().all(std::result::Result::is_ok));
        drop(store);
        assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))), "after {stretches} stretches");
        let store = assert_moved(&place, &target);
        assert_eq!(verdict(&store, record(event_with_id("newcomer", "id"))), Verdict::Duplicate);
    }
}

#[test]
fn what_stripe_has_told_is_moved_even_if_only_that_has_changed() {
    let (place, target) = (filled(), OwnSchema::new());
    let stopped = migration::run(&options(&place, &target), &mut |Progress { stage, .. }| match stage {
        "verification" => Err(Error::new(Code::Closed, "killed")),
        _ => Ok(()),
    });
    assert_eq!(code(stopped), Code::Closed);
    commit(&place.store(), &[finish(&stripe_event("evt_late"), vec![subscription("sub_2", "cus_2")], None)]);
    migrate(&place, &target).unwrap();
    let moved = assert_moved(&place, &target);
    for (name, subscription_id) in [("first", "sub_1"), ("second", "sub_2")] {
        let subscription_id = Patch::Set(subscription_id.to_owned());
        commit(&moved, &[upsert(name, CustomerPatch { subscription_id, ..CustomerPatch::default() })]);
        let customer = moved.customer(&customer_id(name)).unwrap().expect("a customer");
        assert_eq!(customer.subscription_status, Some(SubscriptionStatus::Unpaid));
    }
}

#[test]
fn the_journals_of_the_dead_are_moved_too() {
    let (place, target) = (Place::new(), OwnSchema::new());
    commit(&place.store(), &[create_key(api_key("key-1", "ann"))]);
    leave(&place, &[&SEGMENT]);
    let mut options = options(&place, &target);
    options.dry_run = true;
    let Ok(Report::CanBeMoved(survey)) = migration::run(&options, &mut |_| Ok(())) else { panic!("no survey") };
    assert_eq!((survey.journals, survey.sizes.events), (1, 0));
    let Ok(Report::Moved(comparison)) = migrate(&place, &target) else { panic!("it was not moved") };
    assert_eq!(comparison.target.events, LINES);
    assert_eq!(assert_moved(&place, &target).holders().unwrap(), []);
}

#[test]
fn a_store_in_use_is_not_moved() {
    let (place, target) = (filled(), OwnSchema::new());
    let engine = place.open();
    ready(&engine).unwrap();
    let before = contents(&place.store());
    assert_eq!(code(migrate(&place, &target)), Code::StoreInUse);
    close(&engine);
    assert_eq!(contents(&place.store()), before);
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
}

#[test]
fn a_process_that_comes_in_between_is_found_out_at_the_end() {
    let (place, target) = (filled(), OwnSchema::new());
    // It has opened the store before, and writes to its journal while the store is being moved.
    let result = migration::run(&options(&place, &target), &mut |Progress { stage, .. }| {
        if stage == "keys" {
            leave(&place, &[&SEGMENT]);
        }
        Ok(())
    });
    assert_eq!(code(result), Code::StoreInUse);
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
    assert_eq!(sums(&assert_moved(&place, &target)).values().map(|(events, ..)| events).sum::<u64>(), 60 + LINES);
}

#[test]
fn what_was_moved_opens_no_more() {
    let (place, target) = (filled(), OwnSchema::new());
    migrate(&place, &target).unwrap();
    let error = SqliteStore::open(&place.path(), Default::default()).err().expect("a refusal");
    assert_eq!(error.code, Code::StoreMoved);
    assert!(error.message.contains(&target.name), "{error}");
    assert_eq!(code(ready(&place.open())), Code::StoreMoved);
    assert_eq!(code(migrate(&place, &OwnSchema::new())), Code::StoreMoved);
}

#[test]
fn a_schema_with_another_store_is_left_alone() {
    let (place, other, target) = (filled(), filled(), OwnSchema::new());
    let store = target.open("").unwrap();
    commit(&store, &[upsert("ann", CustomerPatch::default())]);
    drop(store);
    assert_eq!(code(migrate(&place, &target)), Code::StoreNotEmpty);
    target.query("TRUNCATE customers");
    assert_eq!(code(migrate(&place, &target)), Code::StoreInUse, "its last writer may be alive");
    target.query("TRUNCATE writers");
    assert_eq!(code(migrate_for(&place, &target, 9)), Code::Closed);
    assert_eq!(code(migrate(&other, &target)), Code::StoreNotEmpty);
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
    assert_eq!(code(migrate(&other, &target)), Code::StoreNotEmpty);
    assert!(other.store().revision().is_ok());
}

#[test]
fn what_others_have_written_is_found_out() {
    for sabotage in [
        "DELETE FROM events WHERE sequence = 5",
        "UPDATE events SET units = units + 1 WHERE sequence = 5",
        "UPDATE events SET cost = cost + 0.000000000001 WHERE sequence = 5",
        "UPDATE events SET customer_id = 'nobody' WHERE sequence = 60",
        "UPDATE api_keys SET revoked_at = now()",
        "DELETE FROM event_ids WHERE ctid = (SELECT min(ctid) FROM event_ids)",
        "UPDATE customers SET suspended = true",
        "UPDATE period_counters SET units = units + 1",
        "UPDATE hourly_rollups SET cost = cost + 1",
        "UPDATE usage_reports SET state = 'sent'",
        "DELETE FROM usage_reports WHERE is_open",
    ] {
        let (place, target) = (filled(), OwnSchema::new());
        let result = migration::run(&options(&place, &target), &mut |Progress { stage, done, .. }| {
            if stage == "verification" && done == 0 {
                target.query(sabotage);
            }
            Ok(())
        });
        assert_eq!(code(result), Code::MigrationMismatch, "{sabotage}");
        assert!(place.store().revision().is_ok());
        assert_eq!(code(target.open("").map(drop)), Code::StoreMoving);
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let (place, target) = (filled(), OwnSchema::new());
    let dry = Options { dry_run: true, ..options(&place, &target) };
    let survey = || match migration::run(&dry, &mut |_| Ok(())) {
        Ok(Report::CanBeMoved(survey)) => (survey.sizes.events, survey.copied),
        other => panic!("{other:?}"),
    };
    assert_eq!(survey(), (60, 0));
    let schemas = format!("SELECT 1 FROM pg_namespace WHERE nspname = '{}'", target.name);
    assert!(target.query(&schemas).is_empty());
    assert!(!place.dir.path().join("home").exists());
    assert_eq!(code(migrate_for(&place, &target, 2)), Code::Closed);
    assert_eq!(survey(), (60, 21));
    migrate(&place, &target).unwrap();
    assert_eq!(survey(), (60, 60));
}

#[test]
fn an_empty_store_is_moved_and_a_missing_one_is_not_made() {
    let (place, target) = (Place::new(), OwnSchema::new());
    assert_eq!(code(migrate(&place, &target)), Code::InvalidArgument);
    assert!(!place.path().exists());
    drop(place.store());
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
    assert_moved(&place, &target);
}

#[test]
fn a_run_that_ends_between_the_two_marks_is_finished() {
    let (place, target) = (filled(), OwnSchema::new());
    // SQLite is marked, and the server does not take the end.
    let result = migration::run(&options(&place, &target), &mut |Progress { stage, done, .. }| {
        if stage == "verification" && done == 0 {
            target.query(
                "ALTER TABLE settings ADD CONSTRAINT sabotage
                 CHECK (name <> 'migration' OR value NOT LIKE '%\"done\"%') NOT VALID",
            );
        }
        Ok(())
    });
    assert_eq!(code(result), Code::StoreRejected);
    assert_eq!(code(SqliteStore::open(&place.path(), Default::default()).map(drop)), Code::StoreMoved);
    assert_eq!(code(target.open("").map(drop)), Code::StoreMoving);
    target.query("ALTER TABLE settings DROP CONSTRAINT sabotage");
    assert!(matches!(migrate(&place, &target), Ok(Report::Moved(_))));
    assert_moved(&place, &target);
}

#[test]
fn ids_that_are_forgotten_stay_forgotten() {
    let (place, target) = (Place::new(), OwnSchema::new());
    let store = place.store();
    commit(&store, &[record(event_with_id("ann", "old")), record(event_with_id("ann", "new"))]);
    drop(store);
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    let (first,): (Vec<u8>,) =
        connection.query_row("SELECT key FROM event_ids LIMIT 1", [], |row| Ok((row.get(0)?,))).unwrap();
    connection.execute("DELETE FROM event_ids WHERE key = ?", [first]).unwrap();
    drop(connection);
    let Ok(Report::Moved(comparison)) = migrate(&place, &target) else { panic!("it was not moved") };
    assert_eq!(comparison.target.event_ids, 1);
    let store = target.open("").unwrap();
    let mut verdicts = verdicts(&store, &[record(event_with_id("ann", "old")), record(event_with_id("ann", "new"))]);
    verdicts.sort_by_key(|verdict| *verdict == Verdict::Recorded);
    assert_eq!(verdicts, [Verdict::Duplicate, Verdict::Recorded]);
}

/// The instants of recording decide when ids are forgotten, so they must be those of SQLite.
#[test]
fn events_were_recorded_when_they_were_recorded() {
    let (place, target) = (Place::new(), OwnSchema::new());
    let recorded_at: Timestamp = at("2025-12-31T23:59:59.999Z");
    commit(&place.store(), &[record_at(event_with_id("ann", "id"), recorded_at)]);
    migrate(&place, &target).unwrap();
    let millis = "SELECT (extract(epoch FROM recorded_at) * 1000)::bigint FROM";
    for table in ["events", "event_ids"] {
        let row = &target.query(&format!("{millis} {table}"))[0];
        assert_eq!(row.get::<_, i64>(0), recorded_at.as_millis(), "{table}");
    }
}

//! Credits: given, burnt in the transaction that counts, and told of any instant as they were enforced.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use weighbridge::Code;
use weighbridge::domain::Quota;
use weighbridge::domain::credit::{
    Activity, Balance, CreditGrant, GrantId, GrantRequest, OverageAtReset, Shortfall, Snapshot, Terms, Unit, balance_at,
};
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::json::Value;
use weighbridge::domain::lease::Wish;
use weighbridge::domain::{Decimal, Meter, Refusal, TimeZone, Timestamp, UsageEvent, Window};
use weighbridge::engine::credits;
use weighbridge::store::Verdict::{self, Duplicate, Recorded, Refused};
use weighbridge::store::{Applied, Change, Charge, CreditRefund, LeasePart, LeaseRequest, Leased, Record, Store};

use super::Fixture;
use crate::support::leases::{holder, leased, return_leases};
use crate::support::*;

const REQUESTS: Unit = Unit::Meter(Meter::API_REQUEST);

fn request(json: serde_json::Value) -> GrantRequest {
    GrantRequest::read(&Value::parse("grant", &json.to_string()).unwrap()).unwrap()
}

fn give_at(json: serde_json::Value, now: Timestamp) -> Change {
    Change::GrantCredit { customer_id: customer_id("ann"), request: request(json), now }
}

fn give(json: serde_json::Value) -> Change {
    give_at(json, now())
}

fn void(id: &str, at: Timestamp, now: Timestamp) -> Change {
    Change::VoidGrant { customer_id: customer_id("ann"), id: grant_id(id), at, now }
}

fn refund(id: &str, unit: Unit, amount: &str, at: Timestamp) -> Change {
    let refund = CreditRefund { id: grant_id(id), unit, amount: decimal(amount), at };
    Change::RefundCredit { customer_id: customer_id("ann"), refund }
}

fn grant_id(id: &str) -> GrantId {
    GrantId::parse("id", id).unwrap()
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse("amount", text).unwrap()
}

fn granted(store: &dyn Store, change: Change) -> CreditGrant {
    apply(store, change).and_then(Applied::granted).unwrap()
}

fn open(place: &dyn Fixture) -> Box<dyn Store> {
    let store = place.open();
    assert!(commit(&*store, &[configure_tiers(&[("tier", None)])]).iter().all(Result::is_ok));
    store
}

fn prepaid(place: &dyn Fixture) -> Box<dyn Store> {
    let store = open(place);
    let patch = CustomerPatch { prepaid: Some(true), ..CustomerPatch::default() };
    apply(&*store, upsert("ann", patch)).unwrap();
    store
}

fn costing(cost: &str) -> UsageEvent {
    UsageEvent { cost: money(cost), ..event("ann") }
}

fn balance(store: &dyn Store, unit: Unit, at: Option<Timestamp>) -> Balance {
    credits::balance(store, &store.catalog().unwrap(), &customer_id("ann"), unit, at, now()).unwrap().1
}

/// What is left, and what is owed.
fn left(store: &dyn Store, unit: Unit) -> (String, String) {
    let balance = balance(store, unit, None);
    (balance.left.to_string(), balance.overage.to_string())
}

fn amounts(left: &str, owed: &str) -> (String, String) {
    (left.to_owned(), owed.to_owned())
}

fn exhausted(unit: Unit, left: &str, cost: &str) -> Verdict {
    Refused(Refusal::CreditExhausted(Shortfall { unit, left: decimal(left), cost: decimal(cost) }))
}

pub fn what_is_counted_is_burnt_and_the_rest_is_owed(place: &dyn Fixture) {
    let store = open(place);
    assert_eq!(verdict(&*store, record(costing("5"))), Recorded);
    assert_eq!(left(&*store, Unit::Money), amounts("0", "0"), "before the first grant nothing is owed");
    granted(&*store, give(json!({ "id": "first", "amount": "1" })));
    assert_eq!(verdicts(&*store, &vec![admit(costing("0.3")); 3]), vec![Recorded; 3]);
    assert_eq!(left(&*store, Unit::Money), amounts("0.1", "0"));
    assert_eq!(verdict(&*place.open(), admit(costing("0.3"))), Recorded, "he does not pay beforehand");
    assert_eq!(left(&*store, Unit::Money), amounts("0", "0.2"));
    granted(&*store, give(json!({ "id": "second", "amount": "1" })));
    assert_eq!(left(&*store, Unit::Money), amounts("0.8", "0"), "what comes later pays what is owed");
}

pub fn whoever_pays_beforehand_spends_to_the_last_digit(place: &dyn Fixture) {
    let store = prepaid(place);
    assert_eq!(verdict(&*store, admit(costing("0.01"))), exhausted(Unit::Money, "0", "0.01"));
    assert_eq!(verdict(&*store, admit(costing("0"))), Recorded, "what is free");
    granted(&*store, give(json!({ "id": "first", "amount": "1" })));
    let said = verdicts(&*store, &vec![admit(costing("0.03")); 40]);
    assert!(said[..33].iter().all(|verdict| *verdict == Recorded), "{said:?}");
    assert!(said[33..].iter().all(|verdict| *verdict == exhausted(Unit::Money, "0.01", "0.03")));
    assert_eq!(verdict(&*store, admit(costing("0.01"))), Recorded);
    assert_eq!(verdict(&*store, admit(costing("0.000000000001"))), exhausted(Unit::Money, "0", "0.000000000001"));
    assert_eq!(verdict(&*store, record(costing("2"))), Recorded, "what has happened counts");
    assert_eq!(left(&*store, Unit::Money), amounts("0", "2"));
}

pub fn stores_on_one_place_spend_the_credit_between_them(place: &dyn Fixture) {
    let store = prepaid(place);
    granted(&*store, give(json!({ "id": "first", "amount": "10" })));
    let stores = [place.open(), place.open()];
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let store = &*stores[thread % 2];
                scope.spawn(move || {
                    let event = |number: i64| UsageEvent { timestamp: now().plus_millis(number), ..costing("0.03") };
                    let group = |number: i64| vec![admit(event(number)); 2 + thread];
                    let groups = (0..40).map(|number| verdicts(store, &group(number)));
                    groups.flatten().filter(|verdict| *verdict == Recorded).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that charges")).sum()
    });
    assert_eq!((admitted, left(&*store, Unit::Money)), (333, amounts("0.01", "0")));
}

pub fn units_that_credit_covers_cost_nothing(place: &dyn Fixture) {
    let store = prepaid(place);
    granted(&*store, give(json!({ "id": "units", "unit": "api_request", "amount": "5" })));
    let three = || UsageEvent { units: units(3), ..costing("0.3") };
    assert_eq!(verdict(&*store, admit(three())), Recorded);
    assert_eq!(verdict(&*store, admit(three())), exhausted(Unit::Money, "0", "0.1"));
    granted(&*store, give(json!({ "id": "money", "amount": "1" })));
    assert_eq!(verdict(&*store, admit(three())), Recorded);
    assert_eq!(counter(&*store, "ann", Meter::API_REQUEST, "2026-03-01T00:00:00Z"), (6, "0.1".to_owned()));
    assert_eq!((left(&*store, REQUESTS), left(&*store, Unit::Money)), (amounts("0", "0"), amounts("0.9", "0")));
    let free = UsageEvent { units: units(3), ..costing("0") };
    assert_eq!(verdict(&*store, admit(free.clone())), exhausted(REQUESTS, "0", "3"));
    assert_eq!(verdict(&*store, record(free)), Recorded);
    assert_eq!(left(&*store, REQUESTS), amounts("0", "3"), "what costs nothing is owed in units");
}

pub fn a_retry_burns_once(place: &dyn Fixture) {
    let store = prepaid(place);
    granted(&*store, give(json!({ "id": "units", "unit": "api_request", "amount": "5" })));
    granted(&*store, give(json!({ "id": "money", "amount": "1" })));
    let event = || UsageEvent { cost: money("0.7"), units: units(7), ..event_with_id("ann", "retried") };
    assert_eq!(verdicts(&*store, &[admit(event()), admit(event())]), [Recorded, Duplicate]);
    assert_eq!(verdict(&*place.open(), admit(event())), Duplicate, "its own cost, not what was left to pay");
    assert_eq!(left(&*store, Unit::Money), amounts("0.8", "0"));
}

pub fn a_journal_that_is_replayed_burns_once(place: &dyn Fixture) {
    let store = open(place);
    granted(&*store, give(json!({ "id": "money", "amount": "1" })));
    let line = |sequence| {
        let (holder, event) = (holder("gone"), costing("0.2"));
        Change::Record(Record { holder, sequence, event, paid: Vec::new(), now: now() })
    };
    let journal: Vec<_> = (1..=3).map(line).collect();
    assert!(commit(&*store, &journal[..2]).iter().all(Result::is_ok));
    assert!(commit(&*place.open(), &journal).iter().all(Result::is_ok));
    assert_eq!(left(&*store, Unit::Money), amounts("0.4", "0"));
}

pub fn a_group_that_fails_burns_nothing(place: &dyn Fixture) {
    let store = open(place);
    granted(&*store, give(json!({ "id": "money", "amount": "1" })));
    let huge = || UsageEvent {
        units: weighbridge::domain::Units::from_number(9_007_199_254_740_991.0).unwrap(),
        ..costing("0.5")
    };
    let outcomes = commit(&*store, &[record(huge()), record(huge())]);
    assert!(outcomes[0].is_ok() && outcomes[1].is_err());
    assert_eq!(left(&*store, Unit::Money), amounts("0.5", "0"), "a sum that overflows is not counted");
}

pub fn a_grant_is_given_once(place: &dyn Fixture) {
    let store = open(place);
    let first = granted(&*store, give(json!({ "id": "first", "amount": "1" })));
    let later = give_at(json!({ "id": "first", "amount": "1.0", "unit": "money" }), days_later(1));
    assert_eq!(granted(&*place.open(), later), first);
    let other = apply(&*store, give(json!({ "id": "first", "amount": "2" }))).unwrap_err();
    assert_eq!(other.code, Code::IdempotencyConflict);
    let unknown = apply(&*store, give(json!({ "id": "second", "amount": "2", "unit": "nothing" }))).unwrap_err();
    assert_eq!(unknown.code, Code::InvalidArgument);
    let past = json!({ "id": "late", "amount": "2", "expiresAt": now().plus_millis(-1).as_millis() });
    assert_eq!(apply(&*store, give(past)).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(store.credit_grants(&customer_id("ann")).unwrap(), [first]);
    assert_eq!(left(&*store, Unit::Money), amounts("1", "0"));
}

pub fn a_void_ends_what_is_left(place: &dyn Fixture) {
    let store = open(place);
    granted(&*store, give(json!({ "id": "first", "amount": "1" })));
    assert_eq!(verdict(&*store, record(costing("0.4"))), Recorded);
    let voided = granted(&*store, void("first", now(), now())).grant.voided_at;
    assert_eq!(voided, Some(now().plus_millis(1)), "what was burnt before is not changed");
    assert_eq!(granted(&*store, void("first", days_later(1), days_later(1))).grant.voided_at, voided);
    let balance = balance(&*store, Unit::Money, Some(days_later(1)));
    let (_, account) = &balance.grants[0];
    assert_eq!((account.voided.to_string(), balance.left.to_string()), ("0.6".to_owned(), "0".to_owned()));
    assert_eq!(apply(&*store, void("second", now(), now())).unwrap_err().code, Code::UnknownGrant);
}

pub fn a_refund_is_made_once(place: &dyn Fixture) {
    let store = open(place);
    let none = apply(&*store, refund("one", Unit::Money, "1", now())).unwrap_err();
    assert_eq!(none.code, Code::InvalidArgument);
    granted(&*store, give(json!({ "id": "first", "amount": "1" })));
    assert_eq!(verdict(&*store, record(costing("0.4"))), Recorded);
    let first = apply(&*store, refund("one", Unit::Money, "0.3", now())).and_then(Applied::refunded).unwrap();
    let again = apply(&*place.open(), refund("one", Unit::Money, "0.30", days_later(1))).and_then(Applied::refunded);
    assert_eq!(again.unwrap(), first);
    assert_eq!(left(&*store, Unit::Money), amounts("0.9", "0"));
    let other = apply(&*store, refund("one", Unit::Money, "0.1", now())).unwrap_err();
    assert_eq!(other.code, Code::IdempotencyConflict);
    let too_much = apply(&*store, refund("two", Unit::Money, "0.2", now())).unwrap_err();
    assert_eq!(too_much.code, Code::InvalidArgument);
    assert_eq!(left(&*store, Unit::Money), amounts("0.9", "0"));
}

pub fn an_event_of_another_time_burns_when_it_is_counted(place: &dyn Fixture) {
    let store = open(place);
    granted(&*store, give(json!({ "id": "week", "amount": "1", "expiresAt": days_later(7).as_millis() })));
    let at = |timestamp| UsageEvent { timestamp, ..costing("0.25") };
    assert_eq!(verdict(&*store, record(at(days_later(1000)))), Recorded, "nobody's clock is in the future");
    assert_eq!(verdict(&*store, record_at(at(days_later(6)), days_later(6))), Recorded);
    assert_eq!(verdict(&*store, record_at(at(days_later(-3)), days_later(6))), Recorded, "late");
    let before = balance(&*store, Unit::Money, Some(days_later(6))).left.to_string();
    let after = balance(&*store, Unit::Money, Some(days_later(6).plus_millis(1))).left.to_string();
    assert_eq!((before.as_str(), after.as_str()), ("0.75", "0.25"));
}

pub fn a_new_anchor_gives_nothing_back_that_a_period_has_ended(place: &dyn Fixture) {
    let store = prepaid(place);
    granted(&*store, give(json!({ "id": "plan", "amount": "10", "rollover": { "maximum": "2" } })));
    let april = at("2026-04-02T00:00:00Z");
    let left_in_april = || balance(&*place.open(), Unit::Money, Some(april.plus_millis(2))).left.to_string();
    assert_eq!(left_in_april(), "2");
    let anchor = CustomerPatch { billing_cycle_anchor: Patch::Set(now()), ..CustomerPatch::default() };
    apply(&*store, Change::UpsertCustomer { id: customer_id("ann"), patch: anchor, now: april }).unwrap();
    assert_eq!(left_in_april(), "2");
    let event = UsageEvent { timestamp: april.plus_millis(1), ..costing("3") };
    let asked = Change::Charge(Charge {
        event,
        admission: Some(Default::default()),
        paid: Vec::new(),
        now: april.plus_millis(1),
    });
    assert_eq!(verdict(&*store, asked), exhausted(Unit::Money, "2", "3"));
}

pub fn a_new_anchor_does_not_change_the_past(place: &dyn Fixture) {
    let store = open(place);
    granted(&*store, give(json!({ "id": "plan", "amount": "10", "rollover": { "maximum": "2" } })));
    let april = at("2026-04-02T00:00:00Z");
    let event = UsageEvent { timestamp: april, ..costing("1") };
    assert_eq!(verdict(&*store, record_at(event, april)), Recorded);
    let before = balance(&*store, Unit::Money, Some(april.plus_millis(1)));
    assert_eq!(before.left.to_string(), "1", "the period has left two of ten");
    let anchor = CustomerPatch { billing_cycle_anchor: Patch::Set(now()), ..CustomerPatch::default() };
    apply(&*store, upsert("ann", anchor)).unwrap();
    assert_eq!(balance(&*place.open(), Unit::Money, Some(april.plus_millis(1))), before);
}

/// What somebody does.
#[derive(Debug, Clone)]
enum Step {
    Give {
        amount: u32,
        priority: u8,
        lasts: Option<u32>,
        recurs: bool,
        rollover: Option<u32>,
        delay: u32,
    },
    /// So much is used, so long ago.
    Use {
        amount: u32,
        ago: u32,
    },
    Void {
        grant: usize,
        delay: u32,
    },
    Refund {
        amount: u32,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let give = (1u32..40, 0u8..3, prop::option::of(1u32..60), any::<bool>(), prop::option::of(0u32..9), 0u32..20)
        .prop_map(|(amount, priority, lasts, recurs, rollover, delay)| Step::Give {
            amount,
            priority,
            lasts,
            recurs,
            rollover,
            delay,
        });
    prop_oneof![
        2 => give,
        8 => (0u32..12, 0u32..6).prop_map(|(amount, ago)| Step::Use { amount, ago: ago.saturating_sub(3) }),
        1 => (0usize..6, 0u32..20).prop_map(|(grant, delay)| Step::Void { grant, delay }),
        1 => (1u32..10).prop_map(|amount| Step::Refund { amount }),
        1 => Just(Step::Reopen),
    ]
}

/// In days, some of them none.
fn schedule() -> impl Strategy<Value = Vec<(u32, Step)>> {
    prop::collection::vec((prop_oneof![Just(0u32), 0u32..9], step()), 1..40)
}

/// Keeps all that ever happened, and calculates every answer from it alone.
struct Oracle {
    begin: Timestamp,
    cursor: Timestamp,
    touched: bool,
    grants: BTreeMap<GrantId, CreditGrant>,
    activity: Vec<Activity>,
}

impl Oracle {
    fn turn(&mut self, at: Timestamp) {
        if at > self.cursor {
            (self.cursor, self.touched) = (at, false);
        }
    }

    /// At which instant a change counts.
    fn change(&mut self, at: Timestamp) {
        self.turn(at);
        if self.touched {
            self.turn(self.cursor.plus_millis(1));
        }
    }

    fn balance(&self, at: Timestamp) -> Balance {
        let grants: Vec<_> = self.grants.values().map(|given| given.grant.clone()).collect();
        let months = Window::Month.periods_from(self.begin, TimeZone::UTC).map(|month| month.end);
        let resets: Vec<_> = months.take_while(|reset| *reset <= at).collect();
        let terms = Terms { grants: &grants, resets: &resets, at_reset: OverageAtReset::Bill };
        balance_at(&Snapshot::empty(self.begin), &terms, self.activity.clone(), at).unwrap()
    }
}

pub fn every_balance_is_that_of_the_whole_history_from_its_beginning(place: &dyn Fixture) {
    let customers = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let held = runner.run(&schedule(), |steps| {
        customers.set(customers.get() + 1);
        let name = format!("customer-{}", customers.get());
        let id = customer_id(&name);
        let mut store = place.open();
        let mut now = now();
        let first = request(json!({ "id": "first", "amount": "5", "recurrence": { "every": "month" } }));
        let give = |request: GrantRequest, now| Change::GrantCredit { customer_id: id.clone(), request, now };
        let given = granted(&*store, give(first, now));
        let mut oracle = Oracle {
            begin: now,
            cursor: now,
            touched: false,
            grants: BTreeMap::from([(given.request.id.clone(), given)]),
            activity: vec![],
        };
        let quarters = |amount: u32| format!("{}.{:02}", amount / 4, amount % 4 * 25);
        let day = |days: u32| i64::from(days) * 24 * 3_600_000;
        let mut enforced = vec![];
        for (number, (passed, step)) in steps.into_iter().enumerate() {
            now = now.plus_millis(day(passed));
            match step {
                Step::Give { amount, priority, lasts, recurs, rollover, delay } => {
                    let effective_at = now.plus_millis(day(delay));
                    let request = request(json!({
                        "id": format!("grant-{number}"),
                        "amount": quarters(amount),
                        "priority": priority,
                        "effectiveAt": effective_at.as_millis(),
                        "expiresAt": lasts.map(|days| effective_at.plus_millis(day(days)).as_millis()),
                        "recurrence": recurs.then(|| json!({ "every": "day", "timeZone": "Asia/Dhaka" })),
                        "rollover": rollover.map(|maximum| json!({ "maximum": quarters(maximum) })),
                    }));
                    let given = granted(&*store, give(request, now));
                    oracle.turn(now);
                    if delay == 0 {
                        oracle.change(now);
                        prop_assert_eq!(given.grant.effective_at, oracle.cursor);
                    }
                    oracle.grants.insert(given.request.id.clone(), given);
                }
                Step::Use { amount, ago } => {
                    let timestamp = now.plus_millis(-day(ago));
                    let event = UsageEvent { timestamp, cost: money(&quarters(amount)), ..event(&name) };
                    prop_assert_eq!(verdict(&*store, record_at(event, now)), Recorded);
                    if amount > 0 {
                        oracle.turn(timestamp);
                        oracle.touched = true;
                        let (at, amount) = (oracle.cursor, decimal(&quarters(amount)));
                        oracle.activity.push(Activity::Usage { at, amount });
                    }
                }
                Step::Void { grant, delay } => {
                    let Some(id_of) = oracle.grants.keys().nth(grant).cloned() else { continue };
                    let at = now.plus_millis(day(delay));
                    let change = Change::VoidGrant { customer_id: id.clone(), id: id_of.clone(), at, now };
                    let voided = granted(&*store, change);
                    // Where it does nothing, no time has passed for the store.
                    if voided != oracle.grants[&id_of] {
                        oracle.turn(now);
                        if delay == 0 {
                            oracle.change(now);
                            prop_assert_eq!(voided.grant.voided_at, Some(oracle.cursor));
                        }
                    }
                    oracle.grants.insert(id_of, voided);
                }
                Step::Refund { amount } => {
                    let amount = decimal(&quarters(amount));
                    let refund = CreditRefund {
                        id: grant_id(&format!("refund-{number}")),
                        unit: Unit::Money,
                        amount: amount.clone(),
                        at: now,
                    };
                    if apply(&*store, Change::RefundCredit { customer_id: id.clone(), refund }).is_ok() {
                        oracle.turn(now);
                        oracle.activity.push(Activity::Refund { at: oracle.cursor, amount });
                        oracle.touched = true;
                        oracle.change(now);
                    }
                }
                Step::Reopen => store = place.open(),
            }
            let after = now.max(oracle.cursor).plus_millis(1);
            let catalog = store.catalog().unwrap();
            let (at, told) = credits::balance(&*store, &catalog, &id, Unit::Money, Some(after), now).unwrap();
            prop_assert_eq!(&told, &oracle.balance(at), "after step {}", number);
            enforced.push((after, told));
        }
        // The past is what it was when it was enforced, but for what came late to it.
        for (at, _) in &enforced {
            let catalog = store.catalog().unwrap();
            let (_, told) = credits::balance(&*store, &catalog, &id, Unit::Money, Some(*at), now).unwrap();
            prop_assert_eq!(&told, &oracle.balance(*at), "at {}", at.to_iso_string());
            for (_, account) in &told.grants {
                let parts = [&account.burnt, &account.left, &account.expired, &account.voided];
                prop_assert_eq!(&account.granted, &parts.into_iter().cloned().sum::<Decimal>());
            }
        }
        Ok(())
    });
    held.unwrap();
}

fn credit_request(by: &str, billionths: u64, at: Timestamp) -> LeaseRequest {
    let wish = Wish { needed: billionths, wanted: billionths };
    let (holder, customer_id) = (holder(by), customer_id("ann"));
    LeaseRequest { holder, customer_id, quota: Quota::Credit, now: at, wish, urgent: true }
}

fn lease_credit(store: &dyn Store, by: &str, billionths: u64, at: Timestamp) -> Leased {
    leased(store, Change::Lease(credit_request(by, billionths, at)))
}

pub fn leases_of_credit_leave_room_for_nobody_else(place: &dyn Fixture) {
    let store = prepaid(place);
    granted(&*store, give(json!({ "id": "first", "amount": "1" })));
    let lease = lease_credit(&*store, "one", 600_000_000, now());
    assert_eq!((lease.granted, lease.period.end), (600_000_000, at("2026-04-01T00:00:00Z")), "until usage is reset");
    let said = verdicts(&*place.open(), &[admit(costing("0.3")), admit(costing("0.100000000001"))]);
    assert_eq!(said, [Recorded, exhausted(Unit::Money, "0.7", "0.100000000001")]);
    assert_eq!(verdict(&*store, admit(costing("0.1"))), Recorded);
    let credit_part = |units| LeasePart {
        holder: holder("one"),
        customer_id: customer_id("ann"),
        quota: Quota::Credit,
        period_start: lease.period.start,
        units,
    };
    let paid = |cost: &str, units: u64| {
        let (event, admission) = (costing(cost), Some(Default::default()));
        verdict(&*store, Change::Charge(Charge { event, admission, paid: vec![credit_part(units)], now: now() }))
    };
    assert_eq!(paid("0.25", 250_000_000), Recorded);
    assert_eq!(paid("0.2", 100_000_000), exhausted(Unit::Money, "0.35", "0.2"), "what is leased pays for a part only");
    assert_eq!(lease_credit(&*place.open(), "two", 1, now()).granted, 0);
    assert!(apply(&*store, return_leases("one")).is_ok());
    assert_eq!(verdict(&*store, admit(costing("0.35"))), Recorded);
    assert_eq!(left(&*store, Unit::Money), amounts("0", "0"));
}

pub fn a_lease_of_credit_ends_where_time_changes_what_is_left(place: &dyn Fixture) {
    let store = prepaid(place);
    granted(&*store, give(json!({ "id": "soon", "amount": "2", "expiresAt": "2026-03-10T13:00:00Z" })));
    granted(&*store, give(json!({ "id": "later", "amount": "0.5" })));
    let (end, most) = (at("2026-03-10T13:00:00Z"), 2_500_000_000);
    let before = lease_credit(&*store, "one", 1_000_000_000, now());
    assert_eq!((before.granted, before.period.end), (1_000_000_000, end));
    assert_eq!(lease_credit(&*store, "one", most, now().plus_millis(1)).granted, 0, "more than there is");
    let more = lease_credit(&*store, "one", 100_000_000, now().plus_millis(1));
    assert_eq!((more.granted, more.period), (100_000_000, before.period), "it is the same lease");
    // Of what is left after the expiry all may be burnt still by what was let through before.
    assert_eq!(lease_credit(&*place.open(), "two", 1, end).granted, 0);
    assert!(apply(&*store, return_leases("one")).is_ok());
    assert_eq!(lease_credit(&*place.open(), "two", 500_000_000, end).granted, 500_000_000);
}

pub fn credit_for_units_and_of_others_is_not_leased(place: &dyn Fixture) {
    let store = open(place);
    granted(&*store, give(json!({ "id": "money", "amount": "1" })));
    assert_eq!(lease_credit(&*store, "one", 1, now()).granted, 0, "he does not pay beforehand");
    apply(&*store, upsert("ann", CustomerPatch { prepaid: Some(true), ..CustomerPatch::default() })).unwrap();
    assert_eq!(lease_credit(&*store, "one", 1, now()).granted, 1);
    granted(&*store, give(json!({ "id": "units", "unit": "api_request", "amount": 5 })));
    assert_eq!(lease_credit(&*store, "one", 1, now()).granted, 0, "they make requests cheaper");
}

//! Alerts: written by the group that reaches a threshold, once over all, and sent by one at a time.

use serde_json::json;
use weighbridge::domain::alert::delivery::{Answer, after_attempt};
use weighbridge::domain::alert::{Alert, AlertId, AlertRule, AlertState};
use weighbridge::domain::credit::GrantRequest;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::json::Value;
use weighbridge::domain::{HolderId, Meter, Reached, Thresholds, Timestamp, UsageEvent};
use weighbridge::store::{AlertClaim, AlertQuery, AlertSettlement, Change, Store};

use super::Fixture;
use crate::support::leases::{holder, journaled_at};
use crate::support::*;

fn rule(percents: &[f64], is_sent: bool) -> Change {
    Change::Alert(AlertRule { thresholds: Thresholds::new(percents.iter().copied()).unwrap(), is_sent })
}

/// A store that tells of 50, 80 and 100 %, where `ann` has ten API requests a month.
fn open(place: &dyn Fixture) -> Box<dyn Store> {
    let store = place.open();
    let setup = [configure_tiers(&[("tier", Some(10))]), set_tier("ann", "tier"), rule(&[50.0, 80.0, 100.0], true)];
    assert!(commit(&*store, &setup).iter().all(Result::is_ok));
    store
}

fn told(store: &dyn Store, group: &[Change]) -> Vec<String> {
    let committed = store.commit(group).unwrap();
    assert!(committed.outcomes.iter().all(Result::is_ok), "{:?}", committed.outcomes);
    committed.reached.iter().map(text).collect()
}

fn text(Reached { customer_id, percent, measure, .. }: &Reached) -> String {
    let (kind, unit) = (measure.kind.as_str(), measure.unit);
    format!("{customer_id}: {percent} % of {kind} {unit}: {} of {}", measure.used, measure.whole)
}

fn using(units_used: u32) -> Change {
    record(UsageEvent { units: units(units_used), ..event("ann") })
}

fn costing(meter: Meter, cost: &str) -> Change {
    record(UsageEvent { meter, cost: money(cost), ..event("ann") })
}

fn set_cap(cap: &str) -> Change {
    upsert("ann", CustomerPatch { spend_cap: Patch::Set(money(cap)), ..CustomerPatch::default() })
}

pub fn a_share_of_a_limit_is_told_once_by_the_group_that_reaches_it(place: &dyn Fixture) {
    let store = open(place);
    assert!(told(&*store, &[using(4)]).is_empty());
    assert_eq!(told(&*store, &[using(1)]), ["ann: 50 % of limit api_request: 5 of 10"]);
    assert!(told(&*place.open(), &[using(1)]).is_empty(), "another process finds it told");
    let both = ["ann: 80 % of limit api_request: 11 of 10", "ann: 100 % of limit api_request: 11 of 10"];
    assert_eq!(told(&*store, &[using(1), using(1), using(3)]), both);
    assert!(told(&*store, &[using(1)]).is_empty());
    // Another limit is another one to reach; another month, too.
    assert!(told(&*store, &[configure_tiers(&[("tier", Some(16))])]).is_empty());
    assert_eq!(told(&*store, &[using(1)]).len(), 2);
    let april = UsageEvent { units: units(5), ..event_at("ann", "2026-04-01T00:00:00Z") };
    assert_eq!(told(&*store, &[record(april)]).len(), 0);
    let april = UsageEvent { units: units(5), ..event_at("ann", "2026-04-02T00:00:00Z") };
    assert_eq!(told(&*store, &[record(april)]), ["ann: 50 % of limit api_request: 10 of 16"]);
}

pub fn nobody_is_told_of_what_does_not_count(place: &dyn Fixture) {
    let store = open(place);
    assert_eq!(told(&*store, &[record(UsageEvent { units: units(10), ..event("ben") })]).len(), 0, "he has no limit");
    assert_eq!(told(&*store, &[admit(UsageEvent { units: units(11), ..event("ann") })]).len(), 0, "it was refused");
    let first = record(UsageEvent { units: units(4), ..event_with_id("ann", "first") });
    assert_eq!(told(&*store, &[first.clone(), first]).len(), 0, "a retry");
    assert_eq!(told(&*store, &[rule(&[], true), using(6)]).len(), 0, "of nothing");
    assert_eq!(told(&*store, &[rule(&[90.0], true), using(1)]).len(), 1, "what was reached before is told too");
}

pub fn a_share_of_a_cap_is_told_by_the_last_digit_on_all_meters(place: &dyn Fixture) {
    let store = open(place);
    assert!(told(&*store, &[set_cap("0.3"), costing(Meter::API_REQUEST, "0.1")]).is_empty());
    assert!(told(&*store, &[costing(Meter::DATA_ACCESS, "0.049999999999")]).is_empty());
    let reached = told(&*store, &[costing(Meter::AGENT_EXECUTION, "0.000000000001")]);
    assert_eq!(reached, ["ann: 50 % of spend_cap money: 0.15 of 0.3"]);
    assert!(told(&*store, &[set_cap("0.30"), costing(Meter::DATA_ACCESS, "0.01")]).is_empty(), "the same cap");
    assert_eq!(told(&*store, &[set_cap("0.31"), costing(Meter::DATA_ACCESS, "0.01")]).len(), 1);
}

pub fn a_share_of_credit_is_told_until_more_is_given(place: &dyn Fixture) {
    let store = open(place);
    let give = |id: &str, unit: &str, amount: &str| {
        let request = json!({ "id": id, "unit": unit, "amount": amount }).to_string();
        let request = GrantRequest::read(&Value::parse("grant", &request).unwrap()).unwrap();
        Change::GrantCredit { customer_id: customer_id("ann"), request, now: now() }
    };
    let on = Meter::DATA_ACCESS;
    assert!(told(&*store, &[give("first", "money", "1"), costing(on, "0.4")]).is_empty());
    assert_eq!(told(&*store, &[costing(on, "0.1")]), ["ann: 50 % of credit money: 0.5 of 1"]);
    assert_eq!(told(&*place.open(), &[costing(on, "0.5")]).len(), 2);
    assert!(told(&*store, &[costing(on, "0.5")]).is_empty());
    // Half a unit pays what was owed.
    assert_eq!(
        told(&*store, &[give("second", "money", "2"), costing(on, "0")]),
        ["ann: 50 % of credit money: 1.5 of 3"]
    );
    let reached = told(&*store, &[give("units", "data_access", "7"), costing(on, "0")]);
    assert_eq!(reached, ["ann: 50 % of credit data_access: 6 of 12"], "of what is left and what was used");
}

pub fn over_all_processes_each_share_is_told_once(place: &dyn Fixture) {
    let store = open(place);
    assert_eq!(told(&*store, &[set_cap("8")]).len(), 0);
    let stores = [place.open(), place.open()];
    let meters = [Meter::API_REQUEST, Meter::AGENT_EXECUTION, Meter::DATA_ACCESS];
    let mut told: Vec<String> =
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4_usize)
                    .map(|thread| {
                        let store = &*stores[thread % 2];
                        scope.spawn(move || {
                            let mut told = Vec::new();
                            for number in 0..20 {
                                let meter = meters[(thread + number) % 3];
                                let event = UsageEvent { meter, cost: money("0.1"), ..event("ann") };
                                let holder = format!("holder-{thread}");
                                let change = journaled_at(&holder, number as u64 + 1, event, None);
                                told.extend(
                                    store.commit(&[change]).unwrap().reached.iter().map(|reached| {
                                        format!("{} {}", reached.measure.kind.as_str(), reached.percent)
                                    }),
                                );
                            }
                            told
                        })
                    })
                    .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread that counts")).collect()
        });
    told.sort();
    let all = ["limit 100", "limit 50", "limit 80", "spend_cap 100", "spend_cap 50", "spend_cap 80"];
    assert_eq!(told, all);
}

fn claim(store: &dyn Store, by: &str, at: Timestamp) -> Vec<Alert> {
    let claim = AlertClaim { holder: holder(by), now: at, until: at.plus_millis(1_000), limit: 10 };
    store.claim_alerts(&claim).unwrap()
}

fn settle(store: &dyn Store, by: &HolderId, alert: &Alert, answer: Answer, at: Timestamp) -> bool {
    let settled = after_attempt(alert.attempts, answer, at, 0.0);
    let settlement = AlertSettlement {
        id: alert.id.clone(),
        attempts: alert.attempts,
        settled,
        reason: Some("HTTP 500".to_owned()),
    };
    store.settle_alert(by, &settlement).unwrap()
}

fn states(store: &dyn Store) -> Vec<AlertState> {
    let all = store.alerts(&AlertQuery { limit: 100, ..AlertQuery::default() }).unwrap();
    all.iter().map(|alert| alert.state).collect()
}

pub fn an_alert_is_sent_by_one_until_it_is_delivered(place: &dyn Fixture) {
    let store = open(place);
    assert_eq!(told(&*store, &[using(5)]).len(), 1);
    let other = place.open();
    let [first] = &claim(&*store, "first", now())[..] else { panic!("one is due") };
    assert_eq!((first.attempts, first.created_at, first.reached.percent), (1, now(), 50));
    assert!(claim(&*other, "second", now()).is_empty(), "somebody has it");
    // He has died: the claim runs out.
    let [second] = &claim(&*other, "second", now().plus_millis(1_000))[..] else { panic!("one is due") };
    assert_eq!((&second.id, second.attempts), (&first.id, 2));
    assert!(!settle(&*store, &holder("first"), first, Answer::Accepted, now()), "it is not his any more");
    assert!(settle(&*other, &holder("second"), second, Answer::Failed, now().plus_millis(1_100)));
    assert!(claim(&*store, "first", now().plus_millis(301_099)).is_empty(), "there is a pause");
    let [third] = &claim(&*store, "first", now().plus_millis(301_100))[..] else { panic!("one is due") };
    assert_eq!((third.reason.as_deref(), third.attempts), (Some("HTTP 500"), 3));
    assert!(settle(&*store, &holder("first"), third, Answer::Accepted, now().plus_millis(301_200)));
    assert_eq!(states(&*other), [AlertState::Delivered]);
    assert!(claim(&*store, "first", days_later(1)).is_empty());
}

pub fn what_was_given_up_can_be_sent_again(place: &dyn Fixture) {
    let store = open(place);
    told(&*store, &[using(5)]);
    let [alert] = &claim(&*store, "first", now())[..] else { panic!("one is due") };
    assert!(!store.retry_alert(&alert.id, now()).unwrap(), "it is being sent");
    assert!(settle(&*store, &holder("first"), alert, Answer::Gone, now()));
    assert_eq!((states(&*store), claim(&*store, "first", days_later(1)).len()), (vec![AlertState::Failed], 0));
    assert!(store.retry_alert(&alert.id, now()).unwrap());
    assert_eq!(claim(&*store, "first", now()).len(), 1);
    assert!(!store.retry_alert(&AlertId::from_stored("nobody".to_owned()), now()).unwrap());
}

pub fn alerts_are_read_in_the_order_of_their_making_and_forgotten(place: &dyn Fixture) {
    let store = open(place);
    told(&*store, &[using(5)]);
    told(
        &*store,
        &[rule(&[50.0, 80.0], false), record_at(UsageEvent { units: units(3), ..event("ann") }, days_later(1))],
    );
    assert_eq!(states(&*store), [AlertState::Pending, AlertState::Kept]);
    let page = |query: AlertQuery| -> Vec<u32> {
        let alerts = store.alerts(&AlertQuery { limit: query.limit.max(1), ..query }).unwrap();
        alerts.iter().map(|alert| alert.reached.percent).collect()
    };
    assert_eq!(page(AlertQuery::default()), [50]);
    let [first] = &store.alerts(&AlertQuery { limit: 1, ..AlertQuery::default() }).unwrap()[..] else { panic!() };
    assert_eq!(store.alert(&first.id).unwrap().as_ref(), Some(first));
    assert_eq!(page(AlertQuery { after: Some(first.id.as_str().to_owned()), ..AlertQuery::default() }), [80]);
    assert_eq!(page(AlertQuery { state: Some(AlertState::Kept), ..AlertQuery::default() }), [80]);
    assert!(page(AlertQuery { customer_id: Some(customer_id("ben")), ..AlertQuery::default() }).is_empty());
    assert_eq!(store.forget_alerts(days_later(1), 10).unwrap(), 1);
    assert_eq!(states(&*store), [AlertState::Kept]);
}

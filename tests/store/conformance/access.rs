//! Who is let in: key, customer, tier, limit, all checked in the transaction that counts.

use weighbridge::domain::{ApiKey, Refusal, Requirements, UsageEvent};
use weighbridge::store::Verdict::{self, Recorded, Refused};
use weighbridge::store::{Admission, Change, Charge};

use super::Fixture;
use crate::support::*;

fn with_key(key_id: &str) -> Change {
    let admission = Admission { key_id: Some(key_id.to_owned()), required: Requirements::default() };
    admit_where(event("ann"), admission)
}

fn with_tier(customer: &str, required: &str) -> Change {
    admit_where(event(customer), Admission { key_id: None, required: tier(required) })
}

fn tier(id: &str) -> Requirements {
    Requirements { tier: Some(id.to_owned()), ..Requirements::default() }
}

fn tier_too_low(required: &str) -> Verdict {
    Refused(Refusal::TierTooLow { required: required.to_owned() })
}

pub fn an_unknown_key_is_refused(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[create_key(api_key("key-1", "ann"))]);
    assert_eq!(verdict(&*store, with_key("key-2")), Refused(Refusal::InvalidKey));
    assert_eq!(verdict(&*store, with_key("key-1")), Recorded);
}

pub fn a_revoked_key_is_refused_from_the_very_next_charge_on(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    commit(&*store, &[create_key(api_key("key-1", "ann")), create_key(api_key("key-2", "ann"))]);
    assert_eq!(verdict(&*other, with_key("key-1")), Recorded);
    commit(&*store, &[revoke_key("key-1", now())]);
    assert_eq!(verdict(&*other, with_key("key-1")), Refused(Refusal::InvalidKey));
    let outcomes = commit(&*other, &[revoke_key("key-2", now()), with_key("key-2")]);
    assert_eq!(outcomes[1].clone().unwrap().charged().unwrap().verdict, Refused(Refusal::InvalidKey));
    assert_eq!(used(&*store, "ann"), 1);
}

pub fn a_key_is_refused_from_the_instant_it_expires(place: &dyn Fixture) {
    let store = place.open();
    let expires_at = now().plus_millis(1_000);
    commit(&*store, &[create_key(ApiKey { expires_at: Some(expires_at), ..api_key("key-1", "ann") })]);
    let admission = Admission { key_id: Some("key-1".to_owned()), required: Requirements::default() };
    for (millis, expected) in
        [(999, Recorded), (1_000, Refused(Refusal::InvalidKey)), (1_001, Refused(Refusal::InvalidKey))]
    {
        // The clock decides, not the time of the event.
        let charge = Charge {
            event: event("ann"),
            admission: Some(admission.clone()),
            paid: Vec::new(),
            now: now().plus_millis(millis),
        };
        assert_eq!(verdict(&*store, Change::Charge(charge)), expected, "after {millis} ms");
    }
}

pub fn a_suspended_customer_is_refused_but_facts_still_count(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[suspend("ann")]);
    assert_eq!(verdict(&*store, admit(event("ann"))), Refused(Refusal::Suspended));
    assert_eq!(verdict(&*store, record(event("ann"))), Recorded);
    assert_eq!(used(&*store, "ann"), 1);
}

pub fn a_required_tier_admits_itself_and_higher_ones(place: &dyn Fixture) {
    let store = place.open();
    let customers = ["low", "middle", "high"];
    commit(&*store, &[configure_tiers(&customers.map(|tier| (tier, None)))]);
    commit(&*store, &customers.map(|tier| set_tier(tier, tier)));
    for (customer, expected) in
        [("low", tier_too_low("middle")), ("middle", Recorded), ("high", Recorded), ("nobody", tier_too_low("middle"))]
    {
        assert_eq!(verdict(&*store, with_tier(customer, "middle")), expected, "{customer}");
    }
    assert_eq!(verdict(&*store, with_tier("high", "no such tier")), tier_too_low("no such tier"));
}

pub fn the_key_is_judged_before_the_customer_the_tier_and_the_limit(place: &dyn Fixture) {
    let store = place.open();
    let setup = [
        configure_tiers(&[("low", Some(0)), ("high", None)]),
        set_tier("ann", "low"),
        suspend("ann"),
        create_key(api_key("key-1", "ann")),
    ];
    commit(&*store, &setup);
    let admission = |key: &str, id: &str| Admission { key_id: Some(key.to_owned()), required: tier(id) };
    let ask = |key, id| verdict(&*store, admit_where(event("ann"), admission(key, id)));
    assert_eq!(ask("no such key", "high"), Refused(Refusal::InvalidKey));
    assert_eq!(ask("key-1", "high"), Refused(Refusal::Suspended));
    let reinstate = weighbridge::domain::customer::CustomerPatch { suspended: Some(false), ..Default::default() };
    commit(&*store, &[upsert("ann", reinstate)]);
    assert_eq!(ask("key-1", "high"), tier_too_low("high"));
    assert!(matches!(ask("key-1", "low"), Refused(Refusal::LimitExceeded(_))));
}

pub fn a_refused_charge_leaves_no_trace(place: &dyn Fixture) {
    let store = place.open();
    let refused = UsageEvent { units: units(1_001), ..event_with_id("ann", "event-1") };
    let key = Admission { key_id: Some("no such key".to_owned()), required: Requirements::default() };
    assert_eq!(verdict(&*store, admit_where(event_with_id("ann", "event-1"), key)), Refused(Refusal::InvalidKey));
    assert!(matches!(verdict(&*store, admit(refused)), Refused(Refusal::LimitExceeded(_))));

    assert_eq!(store.customer(&customer_id("ann")).unwrap(), None);
    assert_eq!(store.counters(&customer_id("ann"), at("2026-03-01T00:00:00Z")).unwrap(), []);
    assert_eq!(events(&*store, None, all_time()), []);
    assert_eq!(hourly_rollups(&*store, None, all_time()), []);
    // Its id is free for other contents.
    assert_eq!(verdict(&*store, admit(UsageEvent { units: units(2), ..event_with_id("ann", "event-1") })), Recorded);
}

//! What Stripe tells: events that are worked on once, and customers who follow their subscriptions.

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::subscription::{Report, Subscription, SubscriptionStatus};
use weighbridge::domain::{Customer, Refusal, Tier, TierTable, Timestamp};
use weighbridge::store::{
    Applied, Change, Claim, FinishedStripeEvent, Store, StripeEvent, StripeEventRow, StripeEventState, Verdict,
};

use super::Fixture;
use crate::support::*;
use SubscriptionStatus::*;

const SECOND: i64 = 1_000;

fn stripe_event(id: &str) -> StripeEvent {
    StripeEvent { id: id.to_owned(), kind: "customer.subscription.updated".to_owned(), created: now() }
}

fn claim_at(store: &dyn Store, id: &str, now: Timestamp) -> Claim {
    apply(store, Change::ClaimStripeEvent { event: stripe_event(id), now }).and_then(Applied::claim).unwrap()
}

fn claim(store: &dyn Store, id: &str) -> Claim {
    claim_at(store, id, now())
}

fn finish(id: &str, reports: Vec<Report>) -> Change {
    Change::FinishStripeEvent(FinishedStripeEvent { event: stripe_event(id), reports, kept: None, now: now() })
}

/// Delivers an event, as a handler does.
fn tell(store: &dyn Store, id: &str, report: Report) {
    assert_eq!(claim(store, id), Claim::Granted, "{id}");
    let finished = apply(store, finish(id, vec![report])).and_then(Applied::claim);
    assert_eq!(finished, Ok(Claim::Granted), "{id}");
}

/// A subscription to `low`, as it was some seconds from now.
fn subscription(id: &str, status: SubscriptionStatus, second: i64) -> Subscription {
    Subscription {
        id: id.to_owned(),
        stripe_customer_id: "cus_1".to_owned(),
        status,
        prices: vec!["price_low".to_owned()],
        billing_cycle_anchor: Some(now()),
        created_at: now(),
        as_of: now().plus_millis(second * SECOND),
    }
}

fn is(subscription: Subscription) -> Report {
    Report::Subscription { subscription, customer_id: None }
}

fn configure(store: &dyn Store) {
    let tier = |id: &str| Tier {
        id: id.to_owned(),
        api_requests_per_month: Some(10),
        agent_executions_per_month: None,
        definition: format!(r#"{{"id":"{id}","priceId":"price_{id}"}}"#),
    };
    let tiers = TierTable::new(vec![tier("gift"), tier("low"), tier("high")]).unwrap();
    commit(store, &[Change::Configure { tiers: Some(tiers), time_zone: None }]);
}

fn at_stripe(customer: &str, stripe_customer_id: &str) -> Change {
    let stripe_customer_id = Patch::Set(stripe_customer_id.to_owned());
    upsert(customer, CustomerPatch { stripe_customer_id, ..CustomerPatch::default() })
}

fn customer(store: &dyn Store, id: &str) -> Customer {
    store.customer(&customer_id(id)).unwrap().expect("a customer")
}

/// Tier, subscription, its status.
fn place(store: &dyn Store, id: &str) -> (Option<String>, Option<String>, Option<SubscriptionStatus>) {
    let Customer { tier_id, subscription_id, subscription_status, .. } = customer(store, id);
    (tier_id, subscription_id, subscription_status)
}

fn some(
    tier: &str,
    subscription: &str,
    status: SubscriptionStatus,
) -> (Option<String>, Option<String>, Option<SubscriptionStatus>) {
    (Some(tier.to_owned()), Some(subscription.to_owned()), Some(status))
}

pub fn an_event_is_claimed_once_and_again_when_its_claim_has_ended(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    assert_eq!(claim(&*store, "evt_1"), Claim::Granted);
    assert_eq!(claim(&*other, "evt_1"), Claim::Taken);
    assert_eq!(claim_at(&*other, "evt_1", now().plus_millis(59_999)), Claim::Taken);
    assert_eq!(claim_at(&*other, "evt_1", now().plus_millis(60_000)), Claim::Granted);
    assert_eq!(claim_at(&*store, "evt_1", now().plus_millis(60_001)), Claim::Taken);
    // Also where clocks disagree.
    assert_eq!(claim_at(&*store, "evt_1", now().plus_millis(-3_600_000)), Claim::Granted);
    assert_eq!(claim(&*store, "evt_2"), Claim::Granted);
}

pub fn a_finished_event_does_nothing_again(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1")]);
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 1)));
    assert_eq!(claim(&*other, "evt_1"), Claim::Finished);
    assert_eq!(claim_at(&*other, "evt_1", days_later(30)), Claim::Finished);
    let revision = store.revision().unwrap();
    let again = finish("evt_1", vec![is(subscription("sub_1", Canceled, 9))]);
    assert_eq!(apply(&*other, again).and_then(Applied::claim), Ok(Claim::Finished));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
    assert_eq!(store.revision().unwrap(), revision);
    let row = StripeEventRow {
        event: stripe_event("evt_1"),
        state: StripeEventState::Done,
        changed_at: now(),
        payload: None,
    };
    assert_eq!(other.stripe_event("evt_1").unwrap(), Some(row));
}

fn place_of(store: &dyn Store) -> (Option<String>, Option<String>, Option<SubscriptionStatus>) {
    place(store, "ann")
}

pub fn an_event_that_means_nothing_is_kept(place: &dyn Fixture) {
    let store = place.open();
    assert_eq!(claim(&*store, "evt_1"), Claim::Granted);
    let kept = Some(r#"{"id":"evt_1","type":"a.new.type","text":"\u0000 – é"}"#.to_owned());
    let finished =
        FinishedStripeEvent { event: stripe_event("evt_1"), reports: vec![], kept: kept.clone(), now: now() };
    commit(&*store, &[Change::FinishStripeEvent(finished)]);
    let row = place.open().stripe_event("evt_1").unwrap().expect("an event");
    assert_eq!((row.state, row.payload), (StripeEventState::Kept, kept));
    assert_eq!(claim(&*store, "evt_1"), Claim::Finished);
    assert_eq!(store.stripe_event("evt_2").unwrap(), None);
}

pub fn an_event_that_was_given_back_may_be_claimed_at_once(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    let release = |id: &str| Change::ReleaseStripeEvent { id: id.to_owned() };
    assert_eq!(claim(&*store, "evt_1"), Claim::Granted);
    commit(&*store, &[release("evt_1"), release("evt_2")]);
    assert_eq!(claim(&*other, "evt_1"), Claim::Granted);
    commit(&*other, &[finish("evt_1", vec![]), release("evt_1")]);
    assert_eq!(claim(&*store, "evt_1"), Claim::Finished);
}

pub fn an_event_is_remembered_for_ninety_days(place: &dyn Fixture) {
    let store = place.open();
    assert_eq!(claim(&*store, "evt_1"), Claim::Granted);
    commit(&*store, &[finish("evt_1", vec![])]);
    assert_eq!(claim_at(&*store, "evt_2", days_later(90)), Claim::Granted);
    assert!(store.stripe_event("evt_1").unwrap().is_some());
    assert_eq!(claim_at(&*store, "evt_3", days_later(91)), Claim::Granted);
    assert_eq!(store.stripe_event("evt_1").unwrap(), None);
}

pub fn a_customer_follows_his_subscription_from_beginning_to_end(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1"), at_stripe("bob", "cus_2")]);
    let bob = customer(&*store, "bob");
    for (number, status, tier, suspended) in [
        (1, Trialing, Some("low"), false),
        (2, Active, Some("low"), false),
        (3, PastDue, Some("low"), false),
        (4, Unpaid, Some("low"), true),
        (5, Active, Some("low"), false),
        (6, Paused, Some("low"), true),
        (7, Canceled, None, false),
    ] {
        let revision = other.revision().unwrap();
        tell(&*store, &format!("evt_{number}"), is(subscription("sub_1", status, number)));
        let ann = customer(&*other, "ann");
        assert_eq!((ann.tier_id.as_deref(), ann.is_suspended()), (tier, suspended), "{status:?}");
        assert_eq!(ann.subscription_status, Some(status));
        assert_eq!(ann.billing_cycle_anchor, tier.map(|_| now()), "{status:?}");
        let refused = verdict(&*other, admit(event("ann"))) == Verdict::Refused(Refusal::Suspended);
        assert_eq!(refused, suspended, "{status:?}");
        until_revision_passes(&*other, revision);
    }
    assert_eq!(customer(&*other, "bob"), bob);
}

/// Other processes notice, if not at once.
fn until_revision_passes(store: &dyn Store, revision: u64) {
    while store.revision().unwrap() <= revision {
        std::thread::yield_now();
    }
}

pub fn the_order_of_events_does_not_matter(fixture: &dyn Fixture) {
    let reports = [
        is(subscription("sub_1", Incomplete, 0)),
        is(subscription("sub_1", Active, 1)),
        is(Subscription { prices: vec!["price_high".to_owned()], ..subscription("sub_1", Active, 3) }),
        Report::Checkout {
            subscription_id: "sub_1".to_owned(),
            stripe_customer_id: "cus_1".to_owned(),
            customer_id: Some(customer_id("ann")),
            at: now().plus_millis(2 * SECOND),
        },
    ];
    let store = fixture.open();
    configure(&*store);
    // All 24 orders, each for a customer and a subscription of its own.
    for order in 0..24_usize {
        let (name, cus, sub) = (format!("ann-{order}"), format!("cus_{order}"), format!("sub_{order}"));
        commit(&*store, &[upsert(&name, CustomerPatch::default())]);
        let (mut left, mut order) = (reports.to_vec(), order);
        while !left.is_empty() {
            let report = match left.remove(order % left.len()) {
                Report::Subscription { subscription, .. } => {
                    let subscription =
                        Subscription { id: sub.clone(), stripe_customer_id: cus.clone(), ..subscription };
                    Report::Subscription { subscription, customer_id: None }
                }
                Report::Checkout { at, .. } => Report::Checkout {
                    subscription_id: sub.clone(),
                    stripe_customer_id: cus.clone(),
                    customer_id: Some(customer_id(&name)),
                    at,
                },
                other => other,
            };
            order /= left.len() + 1;
            tell(&*store, &format!("evt_{name}_{}", left.len()), report);
        }
        assert_eq!(place(&*store, &name), some("high", &sub, Active), "{name}");
    }
}

pub fn what_is_late_does_not_undo_what_is_newer(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1")]);
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 5)));
    tell(&*store, "evt_2", is(subscription("sub_1", Unpaid, 4)));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
    tell(&*store, "evt_3", is(subscription("sub_1", Canceled, 6)));
    tell(&*store, "evt_4", is(subscription("sub_1", Active, 7)));
    assert_eq!(place_of(&*store), (None, Some("sub_1".to_owned()), Some(Canceled)));
}

pub fn what_was_told_before_a_customer_was_known_counts(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 1)));
    assert_eq!(store.customers(None, 10).unwrap(), []);
    let ann = apply(&*store, at_stripe("ann", "cus_1")).and_then(Applied::customer).unwrap();
    assert_eq!(ann, customer(&*store, "ann"));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
    // By the subscription's id too.
    let subscription_id = Patch::Set("sub_2".to_owned());
    let other = Subscription { stripe_customer_id: "cus_2".to_owned(), ..subscription("sub_2", Unpaid, 1) };
    tell(&*store, "evt_2", is(other));
    commit(&*store, &[upsert("bob", CustomerPatch { subscription_id, ..CustomerPatch::default() })]);
    assert_eq!(place(&*store, "bob"), some("low", "sub_2", Unpaid));
    assert_eq!(customer(&*store, "bob").stripe_customer_id.as_deref(), Some("cus_2"));
}

pub fn metadata_name_a_customer_who_is_there(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    let of = |subscription, name| Report::Subscription { subscription, customer_id: Some(customer_id(name)) };
    commit(&*store, &[upsert("ann", CustomerPatch::default())]);
    tell(&*store, "evt_1", of(subscription("sub_1", Active, 1), "ann"));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
    tell(
        &*store,
        "evt_2",
        of(Subscription { stripe_customer_id: "cus_2".to_owned(), ..subscription("sub_2", Active, 1) }, "zoe"),
    );
    assert_eq!(store.customers(None, 10).unwrap().len(), 1);
}

pub fn an_ended_subscription_gives_way_to_another_one(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1")]);
    let high = |id: &str, second| Subscription {
        prices: vec!["price_high".to_owned()],
        created_at: now().plus_millis(SECOND),
        ..subscription(id, Active, second)
    };
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 1)));
    tell(&*store, "evt_2", is(high("sub_2", 2)));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
    tell(&*store, "evt_3", is(subscription("sub_1", Canceled, 3)));
    assert_eq!(place_of(&*store), some("high", "sub_2", Active));
    // What comes late of the first one changes nothing.
    tell(&*store, "evt_4", is(subscription("sub_1", Active, 4)));
    assert_eq!(place_of(&*store), some("high", "sub_2", Active));
}

pub fn what_was_bought_is_followed_at_once(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1")]);
    let bought = |subscription_id: &str, second| Report::Checkout {
        subscription_id: subscription_id.to_owned(),
        stripe_customer_id: "cus_1".to_owned(),
        customer_id: None,
        at: now().plus_millis(second * SECOND),
    };
    let new = Subscription { created_at: now().plus_millis(5 * SECOND), ..subscription("sub_2", Active, 5) };
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 1)));
    tell(&*store, "evt_2", is(new));
    tell(&*store, "evt_3", bought("sub_2", 6));
    assert_eq!(place_of(&*store), some("low", "sub_2", Active));
    // The first purchase is told late.
    tell(&*store, "evt_4", bought("sub_1", 1));
    assert_eq!(place_of(&*store), some("low", "sub_2", Active));
}

pub fn payments_fail_and_recover(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1")]);
    let payment = |succeeded, second| Report::Payment {
        subscription_id: "sub_1".to_owned(),
        succeeded,
        at: now().plus_millis(second * SECOND),
    };
    tell(&*store, "evt_0", payment(false, 1));
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 2)));
    tell(&*store, "evt_2", payment(false, 1));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
    tell(&*store, "evt_3", payment(false, 3));
    assert_eq!(place_of(&*store), some("low", "sub_1", PastDue));
    tell(&*store, "evt_4", payment(true, 4));
    assert_eq!(place_of(&*store), some("low", "sub_1", Active));
}

pub fn several_customers_share_one_at_stripe(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1"), at_stripe("bob", "cus_1")]);
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 1)));
    tell(&*store, "evt_2", is(subscription("sub_2", PastDue, 1)));
    assert_eq!(place(&*store, "ann"), some("low", "sub_1", Active));
    assert_eq!(place(&*store, "bob"), some("low", "sub_2", PastDue));
}

pub fn a_suspension_by_hand_stays_and_another_subscription_forgets_the_first(fixture: &dyn Fixture) {
    let store = fixture.open();
    configure(&*store);
    commit(&*store, &[at_stripe("ann", "cus_1"), suspend("ann")]);
    tell(&*store, "evt_1", is(subscription("sub_1", Active, 1)));
    assert!(customer(&*store, "ann").is_suspended());
    let lift = CustomerPatch { suspended: Some(false), ..CustomerPatch::default() };
    commit(&*store, &[upsert("ann", lift)]);
    tell(&*store, "evt_2", is(subscription("sub_1", Unpaid, 2)));
    assert!(customer(&*store, "ann").is_suspended());
    commit(&*store, &[at_stripe("ann", "cus_9")]);
    let ann = customer(&*store, "ann");
    assert_eq!((ann.is_suspended(), ann.subscription_status, ann.billing_cycle_anchor), (false, None, None));
}

pub fn stores_on_one_place_claim_each_event_once_between_them(fixture: &dyn Fixture) {
    let configured = fixture.open();
    configure(&*configured);
    commit(&*configured, &[at_stripe("ann", "cus_1")]);
    let granted: usize = std::thread::scope(|scope| {
        let works = (0..4).map(|_| {
            scope.spawn(|| {
                let store = fixture.open();
                let mut granted = 0;
                for number in 0..25 {
                    let id = format!("evt_{number}");
                    if claim(&*store, &id) == Claim::Granted {
                        commit(&*store, &[finish(&id, vec![is(subscription("sub_1", Active, number))])]);
                        granted += 1;
                    }
                }
                granted
            })
        });
        let works: Vec<_> = works.collect();
        works.into_iter().map(|work| work.join().expect("no panic")).sum()
    });
    assert_eq!(granted, 25);
    assert_eq!(place(&*configured, "ann"), some("low", "sub_1", Active));
}

pub fn whoever_is_named_while_stripe_tells_is_not_missed(fixture: &dyn Fixture) {
    let configured = fixture.open();
    configure(&*configured);
    let stores = [fixture.open(), fixture.open()];
    for round in 0..20 {
        let (name, cus, sub) = (format!("ann-{round}"), format!("cus_{round}"), format!("sub_{round}"));
        let told = Subscription { id: sub.clone(), stripe_customer_id: cus.clone(), ..subscription("", Active, 1) };
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                commit(&*stores[0], &[at_stripe(&name, &cus)]);
            });
            scope.spawn(|| {
                barrier.wait();
                commit(&*stores[1], &[finish(&format!("evt_{round}"), vec![is(told.clone())])]);
            });
        });
        assert_eq!(place(&*configured, &name), some("low", &sub, Active), "{round}");
    }
}

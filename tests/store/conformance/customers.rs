//! Customers: upserted, found, paged.

use weighbridge::Code;
use weighbridge::domain::Customer;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::store::{Applied, Change};

use super::Fixture;
use crate::support::*;

fn set(text: &str) -> Patch<String> {
    Patch::Set(text.to_owned())
}

pub fn an_upsert_changes_what_it_names_and_nothing_else(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[configure_tiers(&[("tier", None)])]);
    let all = CustomerPatch {
        billing_cycle_anchor: Patch::Keep,
        spend_cap: Patch::Set(money("100.000000000001")),
        tier_id: set("tier"),
        catalog_version: Patch::Keep,
        subscription_id: set("sub_1"),
        stripe_customer_id: set("cus_1"),
        prepaid: Some(true),
        suspended: Some(true),
    };
    let full = Customer {
        tier_id: Some("tier".to_owned()),
        subscription_id: Some("sub_1".to_owned()),
        stripe_customer_id: Some("cus_1".to_owned()),
        spend_cap: Some(money("100.000000000001")),
        prepaid: true,
        suspended: true,
        ..Customer::new(customer_id("ann"), now())
    };
    let mut cleared =
        Customer { tier_id: None, stripe_customer_id: None, spend_cap: None, suspended: false, ..full.clone() };
    cleared.remember_tier(&full, now().plus_millis(3));
    let clear = CustomerPatch {
        tier_id: Patch::Clear,
        stripe_customer_id: Patch::Clear,
        spend_cap: Patch::Clear,
        suspended: Some(false),
        ..CustomerPatch::default()
    };
    let steps = [
        (CustomerPatch::default(), Customer::new(customer_id("ann"), now())),
        (all, full.clone()),
        (CustomerPatch::default(), full),
        (clear, cleared),
    ];
    for (number, (patch, expected)) in (0..).zip(steps) {
        // A later change keeps the time at which the customer came.
        let change = Change::UpsertCustomer { id: customer_id("ann"), patch, now: now().plus_millis(number) };
        assert_eq!(apply(&*store, change).and_then(Applied::customer).unwrap(), expected, "step {number}");
        assert_eq!(place.open().customer(&customer_id("ann")).unwrap(), Some(expected), "step {number}");
    }
}

pub fn an_unknown_tier_is_refused_and_creates_nobody(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[configure_tiers(&[("tier", None)])]);
    let patch = CustomerPatch { tier_id: set("Tier"), suspended: Some(true), ..CustomerPatch::default() };
    assert_eq!(apply(&*store, upsert("ann", patch.clone())).unwrap_err().code, Code::UnknownTier);
    assert_eq!(store.customer(&customer_id("ann")).unwrap(), None);
    commit(&*store, &[set_tier("ann", "tier")]);
    assert_eq!(apply(&*store, upsert("ann", patch)).unwrap_err().code, Code::UnknownTier);
    let ann = store.customer(&customer_id("ann")).unwrap().expect("a customer");
    assert_eq!((ann.tier_id.as_deref(), ann.suspended), (Some("tier"), false));
}

pub fn an_unknown_customer_is_nobody(place: &dyn Fixture) {
    let store = place.open();
    assert_eq!(store.customer(&customer_id("ann")).unwrap(), None);
    assert_eq!(store.customers(None, 10).unwrap(), []);
    assert_eq!(store.counters(&customer_id("ann"), at("2026-03-01T00:00:00Z")).unwrap(), []);
}

pub fn customers_are_paged_by_id(place: &dyn Fixture) {
    let store = place.open();
    // In the order of their bytes.
    let ids = ["Zoe", "ann", "ann/2", "bob", "zoë", "émile"];
    for id in ids.iter().rev() {
        commit(&*store, &[upsert(id, CustomerPatch::default())]);
    }
    let page = |after: Option<&str>, limit: usize| -> Vec<String> {
        let customers = store.customers(after, limit).unwrap();
        customers.iter().map(|customer| customer.id.as_str().to_owned()).collect()
    };
    assert_eq!(page(None, 100), ids);
    assert_eq!(page(None, 2), ids[..2]);
    assert_eq!(page(Some("ann"), 3), ids[2..5]);
    // Also after an id that is nobody's.
    assert_eq!(page(Some("ann/"), 1), ids[2..3]);
    assert!(page(Some("émile"), 100).is_empty());
    assert!(page(None, 0).is_empty());
}

pub fn an_event_creates_its_customer_once(place: &dyn Fixture) {
    let store = place.open();
    let charges = commit(&*store, &[admit(event("ann")), suspend("ann"), record(event("ann"))]);
    assert_eq!(charges[0].clone().unwrap().charged().unwrap().customer, Customer::new(customer_id("ann"), now()));
    assert!(charges[2].clone().unwrap().charged().unwrap().customer.suspended);
    assert_eq!(store.customers(None, 10).unwrap().len(), 1);
}

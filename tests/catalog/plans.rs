//! What a customer has because of a subscription at Stripe, where tiers are a catalog's.

use std::sync::Arc;

use serde_json::json;
use weighbridge::domain::subscription::{Subscription, SubscriptionStatus, follow};
use weighbridge::domain::{CatalogVersions, Customer, CustomerId, Plans, Timestamp};

use crate::catalog;

fn plans() -> Plans {
    let version = |name: &str, price: &str| {
        catalog(&json!({
            "id": "public", "version": name, "currency": "USD",
            "tiers": [{ "id": "low", "priceId": "price_low" }, { "id": "high", "priceId": price }],
        }))
    };
    let versions = CatalogVersions::new(vec![version("1", "price_old"), version("2", "price_new")]);
    Plans { catalog: Some(Arc::new(versions.expect("versions"))), ..Plans::default() }
}

fn after(customer: &Customer, price: &str, status: SubscriptionStatus) -> Customer {
    let now = Timestamp::from_stored(1_000);
    let subscription = Subscription {
        id: "sub_1".to_owned(),
        stripe_customer_id: "cus_1".to_owned(),
        status,
        prices: vec![price.to_owned()],
        billing_cycle_anchor: None,
        created_at: now,
        as_of: now,
    };
    let mut customer = customer.clone();
    follow(&mut customer, &subscription, &plans());
    customer
}

#[test]
fn a_subscription_gives_the_tier_of_its_price_in_the_version_that_sells_it() {
    let ann = Customer::new(CustomerId::new("ann").expect("an id"), Timestamp::from_stored(0));
    let has = |customer: &Customer| (customer.tier_id.clone(), customer.catalog_version.clone());
    let some = |tier: &str, version: &str| (Some(tier.to_owned()), Some(version.to_owned()));
    // What both sell is the latest version's, but for one who is in the other.
    assert_eq!(has(&after(&ann, "price_low", SubscriptionStatus::Active)), some("low", "2"));
    let old = after(&ann, "price_old", SubscriptionStatus::Active);
    assert_eq!(has(&old), some("high", "1"));
    assert_eq!(has(&after(&old, "price_low", SubscriptionStatus::Active)), some("low", "1"));
    assert_eq!(has(&after(&old, "price_new", SubscriptionStatus::Active)), some("high", "2"));
    assert_eq!(has(&after(&old, "price_of_nothing", SubscriptionStatus::Active)), some("high", "1"));
    assert_eq!(has(&after(&old, "price_old", SubscriptionStatus::Canceled)), (None, None));
}

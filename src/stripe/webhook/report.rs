//! What an event says of a subscription. `docs/webhooks.md` has the table.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Event;
use super::event::Object;
use crate::domain::customer::validate_id;
use crate::domain::subscription::Report;
use crate::domain::{CustomerId, Subscription, SubscriptionStatus, Timestamp};
use crate::stripe::objects::{Expandable, List};

/// Under which a subscription's or a checkout's metadata name our customer.
pub const CUSTOMER_METADATA: &str = "weighbridge_customer_id";

/// What an event says. `None`: nothing that matters here, or nothing that can be read.
pub fn of_event(event: &Event) -> Option<Report> {
    let Object::Snapshot(object) = &event.object else { return None };
    let json = object.get();
    match event.kind.as_str() {
        "customer.subscription.created" => of_subscription(json, instant(event, 0)),
        "customer.subscription.deleted" => {
            let ended = |report| match report {
                Report::Subscription { subscription, customer_id } => {
                    let status = match subscription.status {
                        SubscriptionStatus::IncompleteExpired => SubscriptionStatus::IncompleteExpired,
                        _ => SubscriptionStatus::Canceled,
                    };
                    Report::Subscription { subscription: Subscription { status, ..subscription }, customer_id }
                }
                other => other,
            };
            of_subscription(json, instant(event, 1)).map(ended)
        }
        "customer.subscription.updated"
        | "customer.subscription.paused"
        | "customer.subscription.resumed"
        | "customer.subscription.trial_will_end"
        | "customer.subscription.pending_update_applied"
        | "customer.subscription.pending_update_expired" => of_subscription(json, instant(event, 1)),
        "invoice.paid" | "invoice.payment_succeeded" => payment(json, true, instant(event, 1)),
        "invoice.payment_failed" => payment(json, false, instant(event, 1)),
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => checkout(json, event.created),
        _ => None,
    }
}

/// The subscription that a report is about.
pub fn subscription_id(report: &Report) -> &str {
    match report {
        Report::Subscription { subscription, .. } => &subscription.id,
        Report::Payment { subscription_id, .. } | Report::Checkout { subscription_id, .. } => subscription_id,
    }
}

/// Stripe tells when an event happened to the second only. The one that makes a subscription comes before all others.
fn instant(event: &Event, place: i64) -> Timestamp {
    event.created.plus_millis(place)
}

#[derive(Deserialize)]
struct SubscriptionObject {
    id: String,
    customer: Expandable,
    status: String,
    /// Seconds since the epoch, as are all instants here.
    created: Option<i64>,
    billing_cycle_anchor: Option<i64>,
    /// Before basil (2025-03-31); since then each item has its own.
    current_period_start: Option<i64>,
    #[serde(default)]
    items: List<Item>,
    /// Of very old versions, where there is one item only.
    plan: Option<Price>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Item {
    price: Option<Price>,
    /// Before prices there were plans, and they have the same ids.
    plan: Option<Price>,
    current_period_start: Option<i64>,
}

#[derive(Deserialize)]
struct Price {
    id: String,
    lookup_key: Option<String>,
}

/// What a subscription was like at an instant. `None`: it cannot be read.
pub fn of_subscription(json: &str, as_of: Timestamp) -> Option<Report> {
    let object: SubscriptionObject = read(json)?;
    let anchor = object.anchor();
    let prices = object.items.data.iter().flat_map(|item| [&item.price, &item.plan]).chain([&object.plan]).flatten();
    let mut names: Vec<String> =
        prices.flat_map(|price| [Some(price.id.clone()), price.lookup_key.clone()]).flatten().collect();
    names.sort_unstable();
    names.dedup();
    let subscription = Subscription {
        id: id(object.id)?,
        stripe_customer_id: id(object.customer.into_id())?,
        status: object.status.parse().ok()?,
        prices: names,
        billing_cycle_anchor: anchor,
        created_at: object.created.and_then(seconds).unwrap_or(as_of),
        as_of,
    };
    Some(Report::Subscription { subscription, customer_id: named_customer(&object.metadata) })
}

impl SubscriptionObject {
    /// `billing_cycle_anchor` where there is one: from the 31st of January on periods begin on the 28th of February and
    /// again on the 31st of March, which the begin of the current period does not tell.
    fn anchor(&self) -> Option<Timestamp> {
        let of_items = self.items.data.iter().filter_map(|item| item.current_period_start).max();
        self.billing_cycle_anchor.or(of_items).or(self.current_period_start).and_then(seconds)
    }
}

#[derive(Deserialize)]
struct Invoice {
    /// Before basil.
    subscription: Option<Expandable>,
    parent: Option<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Deserialize)]
struct SubscriptionDetails {
    subscription: Option<Expandable>,
}

fn payment(json: &str, succeeded: bool, at: Timestamp) -> Option<Report> {
    let invoice: Invoice = read(json)?;
    let since_basil = invoice.parent.and_then(|parent| parent.subscription_details?.subscription);
    let subscription_id = id(since_basil.or(invoice.subscription)?.into_id())?;
    Some(Report::Payment { subscription_id, succeeded, at })
}

#[derive(Deserialize)]
struct Session {
    customer: Option<Expandable>,
    subscription: Option<Expandable>,
    client_reference_id: Option<String>,
    #[serde(default)]
    metadata: Value,
}

fn checkout(json: &str, at: Timestamp) -> Option<Report> {
    let session: Session = read(json)?;
    let referred = session.client_reference_id.and_then(|id| CustomerId::new(id).ok());
    Some(Report::Checkout {
        subscription_id: id(session.subscription?.into_id())?,
        stripe_customer_id: id(session.customer?.into_id())?,
        customer_id: named_customer(&session.metadata).or(referred),
        at,
    })
}

fn read<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
}

fn id(id: String) -> Option<String> {
    validate_id("id", &id).ok().map(|()| id)
}

fn named_customer(metadata: &Value) -> Option<CustomerId> {
    CustomerId::new(metadata[CUSTOMER_METADATA].as_str()?).ok()
}

fn seconds(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_stored(seconds.checked_mul(1000)?))
}

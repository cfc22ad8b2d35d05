//! Subscriptions: what Stripe says of them, and what a customer has because of them.
//!
//! The last that Stripe has said of each subscription is remembered, whether a customer is known for it or not. What a
//! customer has follows from that alone, so that it does not depend on the order in which it was heard.

use std::str::FromStr;

use super::{Customer, CustomerId, Plans, Timestamp};
use crate::{Error, Result};

/// Source: <https://docs.stripe.com/api/subscriptions/object#subscription_object-status>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionStatus {
    /// The first payment is awaited.
    Incomplete,
    /// It did not come within a day. This is an end.
    IncompleteExpired,
    Trialing,
    Active,
    /// A payment has failed, and Stripe tries again.
    PastDue,
    /// Stripe has given up trying.
    Unpaid,
    /// A trial has ended without a way to pay.
    Paused,
    /// This is an end.
    Canceled,
}

use SubscriptionStatus::*;

impl SubscriptionStatus {
    pub const ALL: [Self; 8] = [Incomplete, IncompleteExpired, Trialing, Active, PastDue, Unpaid, Paused, Canceled];

    pub fn as_str(self) -> &'static str {
        match self {
            Incomplete => "incomplete",
            IncompleteExpired => "incomplete_expired",
            Trialing => "trialing",
            Active => "active",
            PastDue => "past_due",
            Unpaid => "unpaid",
            Paused => "paused",
            Canceled => "canceled",
        }
    }

    /// Whether the customer is in the tier of its price.
    pub fn grants_tier(self) -> bool {
        matches!(self, Trialing | Active | PastDue | Unpaid | Paused)
    }

    /// Whether the customer's requests are refused meanwhile.
    pub fn suspends(self) -> bool {
        matches!(self, Unpaid | Paused)
    }

    /// Nothing comes after it.
    pub fn has_ended(self) -> bool {
        matches!(self, IncompleteExpired | Canceled)
    }
}

impl FromStr for SubscriptionStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| Error::invalid(format!("{text:?} is no status of a subscription")))
    }
}

/// A subscription as Stripe described it at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: String,
    pub stripe_customer_id: String,
    pub status: SubscriptionStatus,
    /// The ids and lookup keys of its items' prices.
    pub prices: Vec<String>,
    /// An instant at which one of its periods begins.
    pub billing_cycle_anchor: Option<Timestamp>,
    pub created_at: Timestamp,
    /// When it was so.
    pub as_of: Timestamp,
}

/// What Stripe tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What a subscription is like, and whose it is, where that was written into its metadata.
    Subscription { subscription: Subscription, customer_id: Option<CustomerId> },
    /// An invoice of a subscription was paid, or could not be.
    Payment { subscription_id: String, succeeded: bool, at: Timestamp },
    /// A customer has bought a subscription, and which one of ours he is, where the checkout was told so.
    Checkout { subscription_id: String, stripe_customer_id: String, customer_id: Option<CustomerId>, at: Timestamp },
}

impl Subscription {
    /// What is known of it after one more report: the latest stays, and an end is the end. Of two reports of one instant
    /// the one that was heard last stays.
    pub fn after(known: Option<Subscription>, said: &Subscription) -> Subscription {
        match known {
            Some(known) if known.status.has_ended() || known.as_of > said.as_of => known,
            _ => said.clone(),
        }
    }

    /// What a payment makes of it, until Stripe says what the subscription itself is like. A payment can be of an older
    /// invoice, so it does not end [`Unpaid`].
    pub fn after_payment(mut self, succeeded: bool, at: Timestamp) -> Subscription {
        if at >= self.as_of {
            self.status = match (self.status, succeeded) {
                (Trialing | Active, false) => PastDue,
                (Incomplete | PastDue, true) => Active,
                (status, _) => status,
            };
        }
        self
    }

    fn is_followed_by(&self, customer: &Customer) -> bool {
        customer.subscription_id.as_deref() == Some(self.id.as_str())
    }

    /// Whether a customer who bought this one follows it, instead of the one that he follows now.
    pub fn may_be_replaced(&self, bought_at: Timestamp) -> bool {
        !self.status.grants_tier() || self.created_at <= bought_at
    }
}

/// The one of these subscriptions that a customer follows: the one that he is known to have, as long as it lasts; then the
/// newest that has the price of a tier.
pub fn followed<'s>(
    customer: &Customer,
    subscriptions: &[&'s Subscription],
    plans: &Plans,
) -> Option<&'s Subscription> {
    let own = subscriptions.iter().copied().find(|subscription| subscription.is_followed_by(customer));
    let is_bound = match own {
        Some(own) => own.status.grants_tier(),
        None => customer.subscription_id.is_some(),
    };
    if is_bound {
        return own;
    }
    let sells_tier = |subscription: &&'s Subscription| {
        subscription.status.grants_tier() && plans.sold(customer, &subscription.prices).is_some()
    };
    let newest = subscriptions.iter().copied().filter(sells_tier).max_by_key(|other| (other.created_at, &other.id));
    newest.or(own)
}

/// What a customer has because of the subscription that he follows. A price that no tier has leaves his tier as it is.
pub fn follow(customer: &mut Customer, subscription: &Subscription, plans: &Plans) {
    let status = subscription.status;
    if status.grants_tier() {
        if let Some((tier_id, version)) = plans.sold(customer, &subscription.prices) {
            customer.tier_id = Some(tier_id);
            customer.catalog_version = version;
        }
    } else if status.has_ended() && customer.subscription_status.is_none_or(SubscriptionStatus::grants_tier) {
        // What it never gave it does not take.
        customer.tier_id = None;
        customer.catalog_version = None;
    }
    customer.subscription_id = Some(subscription.id.clone());
    customer.stripe_customer_id = Some(subscription.stripe_customer_id.clone());
    customer.subscription_status = Some(status);
    customer.billing_cycle_anchor = subscription.billing_cycle_anchor.filter(|_| status.grants_tier());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Tier, TierTable};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_stored(millis)
    }

    fn subscription(id: &str, status: SubscriptionStatus) -> Subscription {
        Subscription {
            id: id.to_owned(),
            stripe_customer_id: "cus_1".to_owned(),
            status,
            prices: vec!["price_low".to_owned()],
            billing_cycle_anchor: Some(at(7)),
            created_at: at(1),
            as_of: at(10),
        }
    }

    fn tiers() -> Plans {
        let tier = |id: &str| Tier {
            id: id.to_owned(),
            api_requests_per_month: None,
            agent_executions_per_month: None,
            definition: format!(r#"{{"id":"{id}","priceId":"price_{id}"}}"#),
        };
        TierTable::new(vec![tier("low"), tier("high")]).unwrap().into()
    }

    fn customer() -> Customer {
        Customer::new(CustomerId::new("ann").unwrap(), at(0))
    }

    #[test]
    fn a_status_is_written_as_stripe_does() {
        for status in SubscriptionStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert!(!(status.grants_tier() && status.has_ended()), "{status:?}");
            assert!(!status.suspends() || status.grants_tier(), "{status:?}");
        }
        assert!("Active".parse::<SubscriptionStatus>().is_err());
    }

    #[test]
    fn the_latest_report_stays_in_whatever_order_they_come() {
        let reports: Vec<_> = [(Incomplete, 10), (Active, 11), (PastDue, 20), (Canceled, 30)]
            .into_iter()
            .map(|(status, as_of)| Subscription { as_of: at(as_of), ..subscription("sub_1", status) })
            .collect();
        // All 24 orders of four.
        for order in 0..24 {
            let mut left = reports.clone();
            let mut known = None;
            let mut order = order;
            while !left.is_empty() {
                let next = left.remove(order % left.len());
                order /= left.len() + 1;
                known = Some(Subscription::after(known, &next));
            }
            assert_eq!(known.unwrap().status, Canceled);
        }
    }

    #[test]
    fn an_end_is_the_end_even_within_its_second() {
        let ended = Subscription::after(Some(subscription("sub_1", Canceled)), &subscription("sub_1", Active));
        assert_eq!(ended.status, Canceled);
    }

    #[test]
    fn a_payment_counts_unless_it_is_older_than_what_is_known() {
        let status =
            |before, succeeded, moment| subscription("sub_1", before).after_payment(succeeded, at(moment)).status;
        assert_eq!(status(Active, false, 10), PastDue);
        assert_eq!(status(Active, false, 9), Active);
        assert_eq!(status(PastDue, true, 10), Active);
        assert_eq!(status(Unpaid, true, 10), Unpaid);
        assert_eq!(status(Canceled, true, 10), Canceled);
    }

    #[test]
    fn what_each_status_makes_of_a_customer() {
        for (status, tier, suspended, anchored) in [
            (Incomplete, Some("gift"), false, false),
            (IncompleteExpired, None, false, false),
            (Trialing, Some("low"), false, true),
            (Active, Some("low"), false, true),
            (PastDue, Some("low"), false, true),
            (Unpaid, Some("low"), true, true),
            (Paused, Some("low"), true, true),
            (Canceled, None, false, false),
        ] {
            let mut ann = Customer { tier_id: Some("gift".to_owned()), ..customer() };
            follow(&mut ann, &subscription("sub_1", status), &tiers());
            let anchor = ann.billing_cycle_anchor.is_some();
            assert_eq!((ann.tier_id.as_deref(), ann.is_suspended(), anchor), (tier, suspended, anchored), "{status:?}");
        }
    }

    #[test]
    fn an_end_takes_only_what_the_subscription_gave() {
        let mut ann = Customer { tier_id: Some("gift".to_owned()), ..customer() };
        follow(&mut ann, &subscription("sub_1", Incomplete), &tiers());
        follow(&mut ann, &subscription("sub_1", IncompleteExpired), &tiers());
        assert_eq!(ann.tier_id.as_deref(), Some("gift"));
        // And it lifts no suspension but its own.
        let mut bob = Customer { suspended: true, ..customer() };
        follow(&mut bob, &subscription("sub_1", Active), &tiers());
        assert!(bob.is_suspended());
    }

    #[test]
    fn the_highest_tier_among_the_prices_counts_and_an_unknown_price_changes_nothing() {
        let mut ann = customer();
        let both = Subscription {
            prices: vec!["price_high".to_owned(), "seats".to_owned(), "price_low".to_owned()],
            ..subscription("sub_1", Active)
        };
        follow(&mut ann, &both, &tiers());
        assert_eq!(ann.tier_id.as_deref(), Some("high"));
        let unknown = Subscription { prices: vec!["price_other".to_owned()], ..both };
        follow(&mut ann, &unknown, &tiers());
        assert_eq!(ann.tier_id.as_deref(), Some("high"));
    }

    #[test]
    fn a_customer_follows_one_subscription_until_it_ends() {
        let own = |id: Option<&str>| Customer { subscription_id: id.map(str::to_owned), ..customer() };
        let newer = Subscription { created_at: at(5), ..subscription("sub_2", Active) };
        let addition =
            Subscription { prices: vec!["seats".to_owned()], created_at: at(9), ..subscription("sub_3", Active) };
        let chosen = |customer: &Customer, status: SubscriptionStatus| {
            let first = subscription("sub_1", status);
            followed(customer, &[&first, &newer, &addition], &tiers()).map(|subscription| subscription.id.clone())
        };
        assert_eq!(chosen(&own(Some("sub_1")), Active).as_deref(), Some("sub_1"));
        assert_eq!(chosen(&own(Some("sub_1")), Unpaid).as_deref(), Some("sub_1"));
        assert_eq!(chosen(&own(Some("sub_1")), Canceled).as_deref(), Some("sub_2"));
        assert_eq!(chosen(&own(Some("sub_1")), Incomplete).as_deref(), Some("sub_2"));
        assert_eq!(chosen(&own(None), Active).as_deref(), Some("sub_2"));
        // It was named, and nothing is known of it yet.
        assert_eq!(chosen(&own(Some("sub_0")), Active), None);
        assert_eq!(followed(&own(None), &[&addition], &tiers()), None);
    }
}

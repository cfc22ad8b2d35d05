//! Customers: who pays.

use std::fmt;
use std::sync::Arc;

use super::{HeldTier, Money, Period, SubscriptionStatus, TierHistory, TimeZone, Timestamp, billing_period};
use crate::{Error, Result};

/// The longest id of a customer, event, tier or subscription, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 255;

/// Refuses ids that are empty, too long, or hold control characters. `field` names the argument in the error.
pub fn validate_id(field: &str, id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid(format!("`{field}` must not be empty")));
    }
    if id.len() > MAX_ID_BYTES {
        return Err(Error::invalid(format!("`{field}` must be at most {MAX_ID_BYTES} bytes long, got {}", id.len())));
    }
    if id.chars().any(char::is_control) {
        return Err(Error::invalid(format!("`{field}` must not hold control characters")));
    }
    Ok(())
}

/// The caller's own name for a customer, 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(Arc<str>);

impl CustomerId {
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        validate_id("customerId", &id)?;
        Ok(Self(id.into()))
    }

    /// For ids that the store gave back.
    pub fn from_stored(id: String) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    /// `None`: the limits of a customer without a tier apply.
    pub tier_id: Option<String>,
    /// The version of the catalog that he signed up to; `None` without a tier, or where he has it from before the catalog.
    pub catalog_version: Option<String>,
    pub subscription_id: Option<String>,
    pub stripe_customer_id: Option<String>,
    /// Of the subscription, as far as Stripe has told.
    pub subscription_status: Option<SubscriptionStatus>,
    /// An instant at which one of the subscription's periods begins.
    pub billing_cycle_anchor: Option<Timestamp>,
    /// The most that what is admitted may cost in a billing period, on all meters together.
    pub spend_cap: Option<Money>,
    /// Whether requests are refused that his credit does not cover.
    pub prepaid: bool,
    /// Whether he was ever given credit.
    pub has_credit: bool,
    /// Whether somebody has suspended him; see [`Customer::is_suspended`].
    pub suspended: bool,
    pub created_at: Timestamp,
    /// The tiers that he had before this one.
    pub former_tiers: TierHistory,
}

impl Customer {
    pub fn new(id: CustomerId, created_at: Timestamp) -> Self {
        Self {
            id,
            tier_id: None,
            catalog_version: None,
            subscription_id: None,
            stripe_customer_id: None,
            subscription_status: None,
            billing_cycle_anchor: None,
            spend_cap: None,
            prepaid: false,
            has_credit: false,
            suspended: false,
            created_at,
            former_tiers: TierHistory::default(),
        }
    }

    /// The billing period that holds an instant; `zone` is that of calendar months.
    pub fn billing_period(&self, at: Timestamp, zone: TimeZone) -> Period {
        billing_period(self.billing_cycle_anchor, at, zone)
    }

    /// Which tiers he had when, within a period.
    pub fn tiers_within(&self, period: Period) -> Vec<(Period, HeldTier)> {
        self.former_tiers.within(period, self.held_tier())
    }

    /// Remembers the tier that he had before, where he has another one from this instant on. Who never had one has signed up;
    /// who had none for a while owes nothing for it.
    pub fn remember_tier(&mut self, before: &Customer, now: Timestamp) {
        let former = before.held_tier();
        let had_any = former.tier_id.is_some() || self.former_tiers != TierHistory::default();
        if had_any && former != self.held_tier() {
            self.former_tiers.add(former, now);
        }
    }

    fn held_tier(&self) -> HeldTier {
        HeldTier { tier_id: self.tier_id.clone(), catalog_version: self.catalog_version.clone() }
    }

    /// Whether only the store knows if he can pay for something: credit for units makes it cheaper than its price, and counts
    /// that much less against his cap.
    pub fn pays_by_cap_and_credit(&self) -> bool {
        self.spend_cap.is_some() && (self.prepaid || self.has_credit)
    }

    /// A suspended customer's requests are refused; what is recorded for him otherwise still counts. His subscription
    /// can suspend him too, and ends only that.
    pub fn is_suspended(&self) -> bool {
        self.suspended || self.subscription_status.is_some_and(SubscriptionStatus::suspends)
    }
}

/// A change to a field that can also be cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    pub fn apply(self, field: &mut Option<T>) {
        match self {
            Patch::Keep => {}
            Patch::Clear => *field = None,
            Patch::Set(value) => *field = Some(value),
        }
    }

    pub fn value(&self) -> Option<&T> {
        match self {
            Patch::Set(value) => Some(value),
            Patch::Keep | Patch::Clear => None,
        }
    }
}

/// What `customers.upsert` changes; what it does not name stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomerPatch {
    pub tier_id: Patch<String>,
    pub catalog_version: Patch<String>,
    pub subscription_id: Patch<String>,
    pub stripe_customer_id: Patch<String>,
    pub billing_cycle_anchor: Patch<Timestamp>,
    pub spend_cap: Patch<Money>,
    pub prepaid: Option<bool>,
    pub suspended: Option<bool>,
}

impl CustomerPatch {
    pub fn validate(&self) -> Result<()> {
        for (field, patch) in [
            ("tier", &self.tier_id),
            ("catalogVersion", &self.catalog_version),
            ("subscriptionId", &self.subscription_id),
            ("stripeCustomerId", &self.stripe_customer_id),
        ] {
            if let Some(value) = patch.value() {
                validate_id(field, value)?;
            }
        }
        Ok(())
    }

    /// Whether the customer may be in another tier or version afterwards.
    pub fn signs_up(&self) -> bool {
        self.tier_id != Patch::Keep || self.catalog_version != Patch::Keep
    }

    /// Whether what is known of subscriptions may mean something new to the customer.
    pub fn names_subscription(&self) -> bool {
        self.subscription_id.value().is_some() || self.stripe_customer_id.value().is_some()
    }

    /// Whether the customer's billing periods may begin at other instants afterwards.
    pub fn may_move_periods(&self) -> bool {
        let names = |patch: &Patch<String>| *patch != Patch::Keep;
        names(&self.subscription_id) || names(&self.stripe_customer_id) || self.billing_cycle_anchor != Patch::Keep
    }

    /// Whatever was known of another subscription is forgotten.
    pub fn apply(self, customer: &mut Customer) {
        let before = (customer.subscription_id.clone(), customer.stripe_customer_id.clone());
        self.tier_id.apply(&mut customer.tier_id);
        self.catalog_version.apply(&mut customer.catalog_version);
        self.subscription_id.apply(&mut customer.subscription_id);
        self.stripe_customer_id.apply(&mut customer.stripe_customer_id);
        self.spend_cap.apply(&mut customer.spend_cap);
        if let Some(prepaid) = self.prepaid {
            customer.prepaid = prepaid;
        }
        if let Some(suspended) = self.suspended {
            customer.suspended = suspended;
        }
        if before != (customer.subscription_id.clone(), customer.stripe_customer_id.clone()) {
            customer.subscription_status = None;
            customer.billing_cycle_anchor = None;
        }
        self.billing_cycle_anchor.apply(&mut customer.billing_cycle_anchor);
    }
}

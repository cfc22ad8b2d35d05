//! Whether a request may go on: key, customer, tier, features, quota, in this order.

use std::collections::BTreeSet;

use super::api_key::KeyState;
use super::credit::{Shortfall, Unit};
use super::{ApiKey, Customer, Money, Plans, Requirements, Spending, Standing, Timestamp};

/// Why a request or an event was turned away. A value, never an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No key, or one that is unknown, mistyped, revoked or expired.
    InvalidKey,
    /// The customer is suspended.
    Suspended,
    /// The route needs a higher tier.
    TierTooLow { required: String },
    /// The route needs features that the tier does not have.
    FeaturesMissing { features: BTreeSet<String> },
    /// The units do not fit the limit of this period.
    LimitExceeded(Standing),
    /// What it costs does not fit what the customer may spend in this period.
    SpendCapExceeded { spending: Spending, cost: Money },
    /// He pays beforehand, and what is left of his credit does not cover what it costs: money, or units of the meter.
    CreditExhausted(Shortfall),
    /// The route has no price, and such routes are refused.
    Unpriced,
    /// The idempotency key was used before for something else.
    IdempotencyConflict,
}

impl Refusal {
    /// Whether it says that too little is left, which others may hold and give back.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Refusal::LimitExceeded(_)) || self.unaffordable().is_some()
    }

    /// What something costs that the customer has not the money for.
    pub fn unaffordable(&self) -> Option<Money> {
        match self {
            Refusal::SpendCapExceeded { cost, .. } => Some(*cost),
            Refusal::CreditExhausted(Shortfall { unit: Unit::Money, cost, .. }) => Money::from_decimal(cost).ok(),
            _ => None,
        }
    }
}

/// Everything but the quota, which only the store can answer.
pub fn decide_access(
    key: Option<(&ApiKey, Timestamp)>,
    customer: &Customer,
    plans: &Plans,
    required: &Requirements,
) -> Result<(), Refusal> {
    if key.is_some_and(|(key, now)| key.state(now) != KeyState::Valid) {
        return Err(Refusal::InvalidKey);
    }
    if customer.is_suspended() {
        return Err(Refusal::Suspended);
    }
    match plans.lacking(customer, required) {
        Requirements { tier: Some(required), .. } => Err(Refusal::TierTooLow { required }),
        Requirements { features, .. } if !features.is_empty() => Err(Refusal::FeaturesMissing { features }),
        _ => Ok(()),
    }
}

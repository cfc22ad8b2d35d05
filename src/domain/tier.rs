//! Subscription tiers: what a customer of a tier may use.

use super::customer::validate_id;
use super::{Customer, Meter};
use crate::{Code, Error, Result};

/// The limits of a customer without a tier, a month: the seed's.
pub const API_REQUESTS_WITHOUT_TIER: u64 = 1_000;
pub const AGENT_EXECUTIONS_WITHOUT_TIER: u64 = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    pub id: String,
    /// A month, `None` without a limit.
    pub api_requests_per_month: Option<u64>,
    pub agent_executions_per_month: Option<u64>,
    /// The whole tier as the caller gave it, as JSON: names, price ids, what it costs.
    pub definition: String,
}

/// The tiers from the lowest to the highest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierTable {
    tiers: Vec<Tier>,
}

impl Tier {
    /// The id or lookup key of its price at Stripe.
    fn price_id(&self) -> Option<String> {
        let definition: serde_json::Value = serde_json::from_str(&self.definition).ok()?;
        definition["priceId"].as_str().map(str::to_owned)
    }
}

impl TierTable {
    pub fn new(tiers: Vec<Tier>) -> Result<Self> {
        for (position, tier) in tiers.iter().enumerate() {
            validate_id(&format!("tiers[{position}].id"), &tier.id)?;
            if tiers[..position].iter().any(|lower| lower.id == tier.id) {
                return Err(Error::new(
                    Code::InvalidCatalog,
                    format!("tiers[{position}]: the tier {:?} is listed twice", tier.id),
                ));
            }
        }
        Ok(Self { tiers })
    }

    /// From the lowest to the highest.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.tiers.iter()
    }

    pub fn get(&self, id: &str) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.id == id)
    }

    /// Like [`TierTable::get`], with the error that an unknown tier deserves.
    pub fn require(&self, id: &str) -> Result<&Tier> {
        self.get(id).ok_or_else(|| {
            let known: Vec<_> = self.tiers.iter().map(|tier| tier.id.as_str()).collect();
            Error::new(Code::UnknownTier, format!("unknown tier {id:?}; the tiers are: {}", known.join(", ")))
        })
    }

    /// The highest tier whose `priceId` is among these ids and lookup keys.
    pub fn of_prices(&self, prices: &[String]) -> Option<&Tier> {
        let sells = |tier: &&Tier| tier.price_id().is_some_and(|price_id| prices.contains(&price_id));
        self.tiers.iter().rev().find(sells)
    }

    /// Whether `tier` is `required` or stands above it. A tier that is not in the table satisfies nothing, and nothing
    /// satisfies a required tier that is not in the table.
    pub fn satisfies(&self, tier: Option<&str>, required: &str) -> bool {
        let rank = |id: &str| self.tiers.iter().position(|tier| tier.id == id);
        match (tier.and_then(rank), rank(required)) {
            (Some(actual), Some(required)) => actual >= required,
            _ => false,
        }
    }

    /// The customer's limit on a meter, a month. `None` means without a limit.
    pub fn limit(&self, customer: Option<&Customer>, meter: Meter) -> Option<u64> {
        let tier = customer.and_then(|customer| customer.tier_id.as_deref()).and_then(|id| self.get(id));
        match (meter, tier) {
            (Meter::API_REQUEST, Some(tier)) => tier.api_requests_per_month,
            (Meter::API_REQUEST, None) => Some(API_REQUESTS_WITHOUT_TIER),
            (Meter::AGENT_EXECUTION, Some(tier)) => tier.agent_executions_per_month,
            (Meter::AGENT_EXECUTION, None) => Some(AGENT_EXECUTIONS_WITHOUT_TIER),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ids: &[&str]) -> Result<TierTable> {
        TierTable::new(
            ids.iter()
                .map(|id| Tier {
                    id: id.to_string(),
                    api_requests_per_month: Some(1),
                    agent_executions_per_month: None,
                    definition: "{}".into(),
                })
                .collect(),
        )
    }

    #[test]
    fn a_higher_tier_satisfies_a_lower_one() {
        let tiers = table(&["low", "middle", "high"]).unwrap();
        assert!(tiers.satisfies(Some("high"), "middle"));
        assert!(tiers.satisfies(Some("middle"), "middle"));
        assert!(!tiers.satisfies(Some("low"), "middle"));
        assert!(!tiers.satisfies(None, "low"));
        assert!(!tiers.satisfies(Some("gone"), "low"));
        assert!(!tiers.satisfies(Some("high"), "gone"));
    }

    #[test]
    fn a_tier_listed_twice_is_refused() {
        assert_eq!(table(&["low", "high", "low"]).unwrap_err().code, Code::InvalidCatalog);
    }
}

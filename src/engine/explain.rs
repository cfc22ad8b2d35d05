//! What would happen to a request, and why. Nothing is changed by asking.

use std::sync::Arc;

use super::gate::Gate;
use super::usage;
use super::{Engine, Reply};
use crate::Result;
use crate::domain::price::RoutingRules;
use crate::domain::{
    Allowance, ApiKey, Customer, CustomerId, KeyHash, Meter, Money, Period, Refusal, Spending, Standing, Timestamp,
    Units, api_key, decide_access,
};
use crate::store::{Catalog, Lease, Store};

/// Who would send the request.
#[derive(Debug, Clone)]
pub enum Asker {
    Key(String),
    Customer(CustomerId),
}

/// A request that is not made.
#[derive(Debug, Clone)]
pub struct Question {
    pub asker: Asker,
    pub method: String,
    /// The full path, without the query string.
    pub path: String,
    pub rules: RoutingRules,
    pub units: Units,
    pub now: Timestamp,
}

/// What would become of it. The parts are missing that would not be looked at: the price of an unknown key's request.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// `None`: it would be let through.
    pub refusal: Option<Refusal>,
    pub key: Option<ApiKey>,
    /// The key was mistyped: it is none of ours.
    pub is_malformed: bool,
    pub customer: Option<Customer>,
    pub price: Option<PriceFound>,
    pub quota: Option<Quota>,
    /// Where the customer has a spend cap.
    pub spending: Option<Spending>,
}

#[derive(Debug, Clone)]
pub struct PriceFound {
    /// As the price list writes it.
    pub endpoint: String,
    pub price_per_request: Money,
    pub required_tier: Option<String>,
    /// Of all the units.
    pub cost: Money,
}

#[derive(Debug, Clone)]
pub struct Quota {
    pub meter: Meter,
    pub period: Period,
    /// As the store has it: all that was admitted here is in it.
    pub standing: Standing,
    /// Held by this engine's requests whose end is not known yet.
    pub held_here: u64,
    /// Set aside for this engine and not used.
    pub leased_here: u64,
    /// Set aside for others.
    pub leased_elsewhere: u64,
}

impl Quota {
    /// Where the customer stands while what is held here lasts.
    pub fn with_holds(&self) -> Standing {
        Standing { used: self.standing.used + self.held_here, ..self.standing }
    }
}

impl Gate {
    pub fn explain(&self, question: Question, reply: Reply<Explanation>) {
        let gate = self.clone();
        let engine = Arc::clone(&self.engine);
        engine.read(move |store, catalog| gate.explanation(store, catalog, &question), reply);
    }

    fn explanation(&self, store: &dyn Store, catalog: &Catalog, question: &Question) -> Result<Explanation> {
        let mut explanation = Explanation {
            refusal: Some(Refusal::InvalidKey),
            key: None,
            is_malformed: false,
            customer: None,
            price: None,
            quota: None,
            spending: None,
        };
        let customer = match &question.asker {
            Asker::Key(key) if api_key::is_malformed(key) => {
                explanation.is_malformed = true;
                return Ok(explanation);
            }
            Asker::Key(key) => match store.identify(&KeyHash::of(key))? {
                Some((key, customer)) => {
                    explanation.key = Some(key);
                    customer
                }
                None => return Ok(explanation),
            },
            // An event of his would create him.
            Asker::Customer(id) => store.customer(id)?.unwrap_or_else(|| Customer::new(id.clone(), question.now)),
        };
        let price = self.prices.find(&question.method, &question.path, question.rules);
        if let Some(price) = price {
            explanation.price = Some(PriceFound {
                endpoint: price.endpoint.clone(),
                price_per_request: price.price_per_request,
                required_tier: price.required_tier.clone(),
                cost: price.price_per_request.checked_mul(question.units.get())?,
            });
        }
        let required_tier = price.and_then(|price| price.required_tier.as_deref());
        let key = explanation.key.as_ref().map(|key| (key, question.now));
        let access = decide_access(key, &customer, &catalog.tiers, required_tier).err();
        let quota = self.engine.quota(store, catalog, &customer, question.now)?;
        // What others have leased and do not use comes back within a moment, so it does not count here.
        let standing = quota.with_holds();
        let full = (!standing.admits(question.units)).then_some(Refusal::LimitExceeded(standing));
        if let Some(cap) = customer.spend_cap {
            explanation.spending = Some(Spending { cap, spent: usage::spent(store, &customer.id, quota.period)? });
        }
        let cost = explanation.price.as_ref().map_or(Money::ZERO, |price| price.cost);
        let spent = explanation.spending.filter(|spending| !spending.admits(cost));
        let full = full.or(spent.map(|spending| Refusal::SpendCapExceeded { spending, cost }));
        explanation.refusal = match (access, price) {
            (Some(refusal), _) => Some(refusal),
            (None, Some(_)) => full,
            (None, None) if self.refuses_unpriced() => Some(Refusal::Unpriced),
            (None, None) => None,
        };
        explanation.quota = Some(quota);
        explanation.customer = Some(customer);
        Ok(explanation)
    }
}

impl Engine {
    fn quota(&self, store: &dyn Store, catalog: &Catalog, customer: &Customer, now: Timestamp) -> Result<Quota> {
        let meter = Meter::ApiRequest;
        let period = customer.billing_period(now, catalog.time_zone);
        let used = usage::used(store, &customer.id, meter, period)?;
        let leases = store.leases(&customer.id, meter, period)?;
        let elsewhere = leases.iter().filter(|lease| lease.holder != self.holder);
        let leased_elsewhere = elsewhere.map(|Lease { units, .. }| units).sum();
        let key = (customer.id.clone(), meter);
        let known = self.shared.ledger().known(&key, period.start);
        let leased_here = known.as_ref().map_or(0, Allowance::free);
        let held_here = known.as_ref().map_or(0, Allowance::held);
        let standing = Standing { limit: catalog.tiers.limit(Some(customer), meter), used };
        Ok(Quota { meter, period, standing, held_here, leased_here, leased_elsewhere })
    }
}

//! What would happen to a request, and why. Nothing is changed by asking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gate::Gate;
use super::means::Means;
use super::pricing::{Cost, Counted};
use super::rating;
use super::usage;
use super::{Engine, Reply};
use crate::Result;
use crate::domain::catalog::{self, Resolution};
use crate::domain::price::RoutingRules;
use crate::domain::{
    Allowance, ApiKey, CostBasis, Customer, CustomerId, Frame, KeyHash, Meter, Money, Period, Quota, Refusal,
    Requirements, Standing, Timestamp, Units, UsageEvent, api_key, decide_access,
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
    /// Values by which prices may differ.
    pub dimensions: BTreeMap<String, String>,
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
    /// Whether it would be counted if it were let through.
    pub is_counted: bool,
    /// What the route needs.
    pub required: Requirements,
    /// What the customer's catalog says, where the store has one.
    pub entitlements: Option<Entitlements>,
    /// That of the billing period; or, where the request does not fit a shorter window, that of the window.
    pub quota: Option<QuotaFound>,
    /// What there is to pay with.
    pub means: Option<Means>,
}

#[derive(Debug, Clone)]
pub struct PriceFound {
    /// As the price list writes it; `None` for a price of the catalog for all usage.
    pub endpoint: Option<String>,
    /// `None`: it depends on what else is used in the period.
    pub price_per_request: Option<Money>,
    /// Of all the units, after what is used so far.
    pub cost: Money,
    /// The id of a price of the catalog.
    pub id: Option<String>,
    /// For people: why this price of the catalog applies.
    pub because: Vec<String>,
}

/// What a customer has of the catalog.
#[derive(Debug, Clone)]
pub struct Entitlements {
    /// The version that applies to him.
    pub version: String,
    pub features: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct QuotaFound {
    pub quota: Quota,
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

impl QuotaFound {
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
            is_counted: false,
            required: Requirements::default(),
            entitlements: None,
            quota: None,
            means: None,
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
        let Question { method, path, rules, dimensions, units, .. } = question;
        let plans = &catalog.tiers;
        let request = catalog::Request { method, path, rules: *rules, is_pattern: false };
        let offer = self.pricing.offer(plans, &customer, request, dimensions);
        if let Some(counted) = offer.counted.clone().filter(|counted| counted.cost != Cost::Unpriced) {
            let resolution = self.pricing.resolve(plans, &customer, request, dimensions);
            let cost = match &counted.cost {
                Cost::ByPeriod(price) => {
                    let period = customer.billing_period(question.now, catalog.time_zone);
                    rating::cost_now(store, plans, &customer, (Meter::API_REQUEST, period), price, units.get())?
                }
                cost => cost.of_unit().checked_mul(units.get())?,
            };
            explanation.price = Some(PriceFound::new(counted, cost, resolution));
        }
        explanation.entitlements = plans.catalog_of(&customer).map(|catalog| Entitlements {
            version: catalog.version().to_owned(),
            features: plans.tier_of(&customer).map(|tier| tier.features.clone()).unwrap_or_default(),
        });
        let key = explanation.key.as_ref().map(|key| (key, question.now));
        let access = decide_access(key, &customer, plans, &offer.required).err();
        let windows = plans.windows(&customer, Meter::API_REQUEST).map(|(quota, _)| quota);
        let all = [Quota::Period(Meter::API_REQUEST)].into_iter().chain(windows);
        let all = all.map(|quota| self.engine.quota(store, catalog, &customer, quota, question.now));
        let all = all.collect::<Result<Vec<_>>>()?;
        // What others have leased and do not use comes back within a moment, so it does not count here.
        let full = all.iter().find(|quota| !quota.with_holds().admits(question.units)).cloned();
        let quota = full.clone().or_else(|| all.into_iter().next());
        let full = full.map(|quota| Refusal::LimitExceeded(quota.with_holds()));
        let event = UsageEvent {
            customer_id: customer.id.clone(),
            id: None,
            meter: Meter::API_REQUEST,
            units: *units,
            cost: explanation.price.as_ref().map_or(Money::ZERO, |price| price.cost),
            cost_basis: CostBasis::UnitPrice,
            timestamp: question.now,
            subscription_id: None,
            endpoint: None,
            agent_type: None,
            metadata: None,
        };
        let means = Means::of(store, catalog, &customer, &event, question.now)?;
        let full = full.map_or_else(|| means.refusal(&event), |full| Ok(Some(full)))?;
        explanation.means = Some(means);
        explanation.refusal = match (access, offer.counted.is_some()) {
            (Some(refusal), _) => Some(refusal),
            (None, _) if explanation.price.is_none() && self.refuses_unpriced() => Some(Refusal::Unpriced),
            (None, true) => full,
            (None, false) => None,
        };
        explanation.is_counted = offer.counted.is_some();
        explanation.required = offer.required;
        explanation.quota = quota;
        explanation.customer = Some(customer);
        Ok(explanation)
    }
}

impl PriceFound {
    fn new(counted: Counted, cost: Money, resolution: Option<Resolution<'_>>) -> Self {
        let price_per_request = match counted.cost {
            Cost::PerUnit(amount) => Some(amount),
            Cost::Unpriced | Cost::ByPeriod(_) => None,
        };
        let id = resolution.as_ref().and_then(|resolution| resolution.price).map(|price| price.id.clone());
        let because = resolution.map(|resolution| resolution.because).unwrap_or_default();
        Self { endpoint: counted.endpoint, price_per_request, cost, id, because }
    }
}

impl Engine {
    fn quota(
        &self,
        store: &dyn Store,
        catalog: &Catalog,
        customer: &Customer,
        quota: Quota,
        now: Timestamp,
    ) -> Result<QuotaFound> {
        let Frame { period, span } = quota.frame(customer, now, catalog.time_zone);
        let used = match quota {
            Quota::Period(meter) => usage::used(store, &customer.id, meter, period)?,
            _ => usage::used_within(store, &customer.id, quota.meter(), span)?,
        };
        let leases = store.leases(&customer.id, quota, span)?;
        let elsewhere = leases.iter().filter(|lease| lease.holder != self.holder);
        let leased_elsewhere = elsewhere.map(|Lease { units, .. }| units).sum();
        let known = self.shared.ledger().known(&(customer.id.clone(), quota), period.start);
        let leased_here = known.as_ref().map_or(0, Allowance::free);
        let held_here = known.as_ref().map_or(0, Allowance::held);
        let standing = Standing { limit: catalog.tiers.limit_on(customer, quota), used };
        Ok(QuotaFound { quota, period, standing, held_here, leased_here, leased_elsewhere })
    }
}

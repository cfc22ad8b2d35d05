//! The gate: may this request go on?
//!
//! What the cached key alone decides (a bad key, a suspended customer, a tier too low, a route without a price) is
//! answered at once. A priced request becomes a charge whose every condition is checked again in the transaction that
//! counts it, so neither a stale cache nor another process can let one too many through.

use std::sync::Arc;

use serde::Serialize;

use super::key_cache::Identity;
use super::recorder::{closed, guarded};
use super::{Engine, Reply};
use crate::Result;
use crate::domain::price::RoutingRules;
use crate::domain::{
    ApiKey, Customer, EventId, KeyHash, Meter, Price, PriceList, Refusal, Timestamp, Units, UsageEvent, api_key,
    decide_access,
};
use crate::store::{Admission, Change, Charge, Charged};

/// A user agent of more characters than these is cut: it is kept for people to read.
const MAX_USER_AGENT: usize = 512;

/// A gate for one price list.
#[derive(Clone)]
pub struct Gate {
    engine: Arc<Engine>,
    prices: Arc<PriceList>,
    unpriced: Unpriced,
}

/// What to do with a route that has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unpriced {
    /// Let it through, unbilled.
    #[default]
    Pass,
    Refuse,
}

/// What of a request matters here.
#[derive(Debug, Clone)]
pub struct Request {
    pub key: String,
    pub method: String,
    /// The full path, without the query string.
    pub path: String,
    pub rules: RoutingRules,
    pub user_agent: Option<String>,
    /// A request with an id that was seen before is let through and not counted again.
    pub id: Option<EventId>,
    pub units: Units,
    pub now: Timestamp,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub enum Passage {
    /// It goes on, and nothing is recorded.
    Unpriced(Customer),
    /// It was counted, or it was refused by what only the store knows.
    Charged(Charged),
    Refused(Refusal),
}

#[derive(Serialize)]
struct Metadata<'a> {
    method: &'a str,
    #[serde(rename = "userAgent", skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

impl Gate {
    pub fn new(engine: Arc<Engine>, prices: Arc<PriceList>, unpriced: Unpriced) -> Self {
        Self { engine, prices, unpriced }
    }

    /// Answers at once where the cached key decides; otherwise returns `None` and calls `reply` later.
    pub fn decide(&self, request: Request, reply: Reply<Passage>) -> Option<Result<Passage>> {
        if self.engine.is_closed() {
            return Some(Err(closed()));
        }
        if api_key::is_malformed(&request.key) {
            return Some(Ok(Passage::Refused(Refusal::InvalidKey)));
        }
        let hash = KeyHash::of(&request.key);
        let Some(identity) = self.engine.shared.keys.get(&hash) else {
            self.look_up(hash, request, reply);
            return None;
        };
        match self.next_step(identity.as_deref(), request) {
            Step::Answer(answer) => Some(answer),
            Step::Charge(charge) => {
                self.charge(charge, reply);
                None
            }
        }
    }

    /// Asks the store whose key it is, remembers that, and goes on from there.
    fn look_up(&self, hash: KeyHash, request: Request, reply: Reply<Passage>) {
        let gate = self.clone();
        self.engine.readers.submit(Box::new(move |store| {
            let keys = &gate.engine.shared.keys;
            // Read before the store is asked: a change in between makes the entry out of date, never wrongly fresh.
            let revision = keys.revision();
            let identity = match store.and_then(|store| guarded(|| store.identify(&hash))) {
                Ok(found) => found.map(|(key, customer)| Arc::new(Identity { key, customer })),
                Err(error) => return reply(Err(error)),
            };
            keys.put(hash, revision, identity.clone());
            match gate.next_step(identity.as_deref(), request) {
                Step::Answer(answer) => reply(answer),
                Step::Charge(charge) => gate.charge(charge, reply),
            }
        }));
    }

    fn next_step(&self, identity: Option<&Identity>, request: Request) -> Step {
        let Some(Identity { key, customer }) = identity else { return Step::refuse(Refusal::InvalidKey) };
        let price = self.prices.find(&request.method, &request.path, request.rules);
        let required_tier = price.and_then(|price| price.required_tier.as_deref());
        let catalog = self.engine.shared.catalog();
        if let Err(refusal) = decide_access(Some((key, request.now)), customer, &catalog.tiers, required_tier) {
            return Step::refuse(refusal);
        }
        match price {
            Some(price) => match charge(price, key, request) {
                Ok(charge) => Step::Charge(charge),
                Err(error) => Step::Answer(Err(error)),
            },
            None if self.unpriced == Unpriced::Refuse => Step::refuse(Refusal::Unpriced),
            None => Step::Answer(Ok(Passage::Unpriced(customer.clone()))),
        }
    }

    /// Not through [`Engine::commit`]: a request that came before `close()` is still served after it.
    fn charge(&self, charge: Charge, reply: Reply<Passage>) {
        self.engine.recorder.commit(
            vec![Change::Charge(charge)],
            Box::new(|outcomes| {
                reply(outcomes.and_then(super::single).and_then(|applied| Ok(Passage::Charged(applied.charged()?))));
            }),
        );
    }
}

enum Step {
    Answer(Result<Passage>),
    Charge(Charge),
}

impl Step {
    fn refuse(refusal: Refusal) -> Self {
        Step::Answer(Ok(Passage::Refused(refusal)))
    }
}

fn charge(price: &Price, key: &ApiKey, request: Request) -> Result<Charge> {
    let user_agent = request.user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
    let metadata = serde_json::to_string(&Metadata { method: &request.method, user_agent });
    Ok(Charge {
        event: UsageEvent {
            customer_id: key.customer_id.clone(),
            id: request.id,
            meter: Meter::ApiRequest,
            units: request.units,
            cost: price.price_per_request.checked_mul(request.units.get())?,
            timestamp: request.now,
            subscription_id: None,
            endpoint: Some(price.endpoint.clone()),
            agent_type: None,
            metadata: metadata.ok(),
        },
        admission: Some(Admission { key_id: Some(key.id.clone()), required_tier: price.required_tier.clone() }),
        paid: None,
        now: request.now,
    })
}

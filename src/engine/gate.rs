//! The gate: may this request go on?
//!
//! What the cached key decides (a bad key, a suspended customer, a tier too low, a route without a price) is answered at
//! once. A priced request becomes a candidate for [`super::admission`]: its units come from what the store has set aside
//! for this engine, so no other process can let one too many through.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::admission::{Caller, Candidate, Decision, Intent, Passage};
use super::key_cache::Identity;
use super::ledger::Terms;
use super::owed::Owed;
use super::pricing::{Cost, Counted, Pricing};
use super::recorder::{closed, guarded};
use super::{Engine, Shared};
use crate::Result;
use crate::domain::price::RoutingRules;
use crate::domain::{
    EventId, KeyHash, Meter, Refusal, Requirements, Timestamp, Units, UsageEvent, api_key, catalog, decide_access,
};
use crate::store::{Admission, Store};

/// A user agent of more characters than these is cut: it is kept for people to read.
const MAX_USER_AGENT: usize = 512;

/// A gate with prices of its own.
#[derive(Clone)]
pub struct Gate {
    pub(super) engine: Arc<Engine>,
    pub(super) pricing: Pricing,
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
    /// What tells it from other requests that come with that id.
    pub digest: Option<String>,
    /// By which prices may differ; kept with its metadata.
    pub dimensions: BTreeMap<String, String>,
    /// So many are counted at once; or they are held, and then there may be none yet.
    pub units: Wanted,
    pub now: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Counted(Units),
    Held(u64),
}

#[derive(Serialize)]
struct Metadata<'a> {
    method: &'a str,
    #[serde(rename = "userAgent", skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(flatten)]
    dimensions: BTreeMap<String, String>,
}

impl Gate {
    pub fn new(engine: Arc<Engine>, pricing: impl Into<Pricing>, unpriced: Unpriced) -> Self {
        Self { engine, pricing: pricing.into(), unpriced }
    }

    pub(super) fn refuses_unpriced(&self) -> bool {
        self.unpriced == Unpriced::Refuse
    }

    /// Decides at once where memory suffices, and otherwise answers the caller later.
    pub fn decide(&self, request: Request, caller: impl Caller) -> Decision {
        if self.engine.is_closed() {
            return Decision::Made(Err(closed()));
        }
        if api_key::is_malformed(&request.key) {
            return Decision::Made(Ok(Passage::Refused(Refusal::InvalidKey)));
        }
        let hash = KeyHash::of(&request.key);
        let Some(identity) = self.engine.shared.keys.get(&hash) else {
            self.look_up(hash, request, caller);
            return Decision::Later;
        };
        match self.next_step(identity.as_deref(), request) {
            Step::Answer(answer) => Decision::Made(answer),
            Step::Admit(candidate) => self.engine.admit(*candidate, caller),
        }
    }

    /// Asks the store whose key it is, remembers that, and goes on from there.
    fn look_up<C: Caller>(&self, hash: KeyHash, request: Request, caller: C) {
        let owed = Owed::new(caller);
        let deadline = self.engine.deadline();
        if let Some(deadline) = deadline {
            let (engine, owed) = (Arc::clone(&self.engine), owed.clone());
            self.engine.ticker.expire(
                deadline,
                Box::new(move || {
                    if let Some(caller) = owed.take() {
                        caller.answer(Err(engine.timed_out()));
                    }
                }),
            );
        }
        let gate = self.clone();
        self.engine.readers.submit_first(Box::new(move |store| {
            let keys = &gate.engine.shared.keys;
            // Somebody else with this key may have asked before.
            let identity = match keys.get(&hash) {
                Some(identity) => Ok(identity),
                None if owed.is_owed() => gate.identify(&hash, store),
                // He has been answered, and the store has enough to do for others.
                None => return,
            };
            let Some(caller) = owed.take() else { return };
            let identity = match identity {
                Ok(identity) => identity,
                Err(error) => return caller.answer(Err(error)),
            };
            match gate.next_step(identity.as_deref(), request) {
                Step::Answer(answer) => caller.answer(answer),
                Step::Admit(candidate) => gate.engine.admit_later(Candidate { deadline, ..*candidate }, caller),
            }
        }));
    }

    /// Asks whose key it is, and remembers the answer.
    fn identify(&self, hash: &KeyHash, store: Result<&dyn Store>) -> Result<Option<Arc<Identity>>> {
        let Shared { keys, health, .. } = &*self.engine.shared;
        // Read before the store is asked: a change in between makes the entry out of date, never wrongly fresh.
        let revision = keys.revision();
        let found =
            store.and_then(|store| guarded(|| store.identify(hash))).inspect_err(|error| health.failed(error))?;
        let identity = found.map(|(key, customer)| Arc::new(Identity { revision, key, customer: Arc::new(customer) }));
        keys.put(*hash, revision, identity.clone());
        Ok(identity)
    }

    fn next_step(&self, identity: Option<&Identity>, request: Request) -> Step {
        let Some(identity) = identity else { return Step::refuse(Refusal::InvalidKey) };
        let Identity { revision, key, customer } = identity;
        let catalog = self.engine.shared.catalog();
        let Request { method, path, rules, dimensions, .. } = &request;
        let asked = catalog::Request { method, path, rules: *rules, is_pattern: false };
        let offer = self.pricing.offer(&catalog.tiers, customer, asked, dimensions);
        // Who holds nothing was let through before, and tells what it took: neither key nor customer is judged again.
        let is_let_through = request.units == Wanted::Held(0);
        let access = decide_access(Some((key, request.now)), customer, &catalog.tiers, &offer.required);
        if let (Err(refusal), false) = (access, is_let_through) {
            return Step::refuse(refusal);
        }
        let terms = || Terms {
            revision: *revision,
            customer: Arc::clone(customer),
            limit: catalog.tiers.limit(Some(customer), Meter::API_REQUEST),
        };
        match offer.counted {
            None | Some(Counted { cost: Cost::Unpriced, .. }) if self.refuses_unpriced() => {
                Step::refuse(Refusal::Unpriced)
            }
            Some(counted) => match candidate(counted, offer.required, identity, terms(), request) {
                Ok(candidate) => Step::Admit(Box::new(candidate)),
                Err(error) => Step::Answer(Err(error)),
            },
            None => Step::Answer(Ok(Passage::Unpriced(Arc::clone(customer)))),
        }
    }
}

enum Step {
    Answer(Result<Passage>),
    Admit(Box<Candidate>),
}

impl Step {
    fn refuse(refusal: Refusal) -> Self {
        Step::Answer(Ok(Passage::Refused(refusal)))
    }
}

fn candidate(
    counted: Counted,
    required: Requirements,
    identity: &Identity,
    terms: Terms,
    request: Request,
) -> Result<Candidate> {
    let user_agent = request.user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
    let Request { digest, dimensions, .. } = request;
    let metadata = Metadata { method: &request.method, user_agent, request: digest, dimensions };
    let metadata = serde_json::to_string(&metadata);
    let unit_price = counted.cost.of_unit();
    let (units, intent) = match request.units {
        Wanted::Counted(units) => (units, Intent::Record),
        Wanted::Held(units) => (Units::ONE, Intent::Hold { units, unit_price }),
    };
    let event = UsageEvent {
        customer_id: identity.key.customer_id.clone(),
        id: request.id,
        meter: Meter::API_REQUEST,
        units,
        cost: unit_price.checked_mul(units.get())?,
        cost_basis: counted.cost.basis(),
        timestamp: request.now,
        subscription_id: None,
        endpoint: counted.endpoint,
        agent_type: None,
        metadata: metadata.ok(),
    };
    let conditions = Admission { key_id: Some(identity.key.id.clone()), required };
    Ok(Candidate {
        event,
        conditions,
        terms: Some(terms),
        intent,
        now: request.now,
        deadline: None,
        is_new: false,
        known_cost: None,
    })
}

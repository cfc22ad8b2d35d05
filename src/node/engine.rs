//! The engine as a class. Each method takes a ticket and returns at once.

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Array, Error as JsError};
use napi_derive::napi;
use uuid::Uuid;

use super::deliveries::{Deliver, Deliveries};
use super::error::Result;
use super::gate::{self, GateFunction};
use super::input::{
    ConsumeInput, CustomerInput, EngineOptions, EventInput, KeyInput, PriceInput, QueryInput, QuestionInput,
    SettlementInput, price_list,
};
use super::output::{
    CustomerOutput, ExplanationOutput, KeyOutput, NoticeOutput, Nullable, RecordingOutput, RowOutput, TakeoverOutput,
    UsageOutput, VerificationOutput, decision, meter_has_room, nullable,
};
use crate::domain::api_key::{KeyState, RANDOM_BYTES, is_malformed};
use crate::domain::customer::validate_id;
use crate::domain::{ApiKey, CustomerId, KeyHash, Meter, Money, Period, Refusal, Secret, Timestamp, UsageEvent};
use crate::engine::admission::{Admitted, Candidate, Intent, Passage};
use crate::engine::gate::{Gate, Unpriced};
use crate::engine::holds::HoldId;
use crate::engine::pricing::Pricing;
use crate::engine::usage::{self, GroupBy, Query};
use crate::engine::{Engine, Reply};
use crate::store::{Admission, Applied, Change, Charge, Charged, Outcome, Verdict};
use crate::{Code, Error};

/// The most customers on one page.
const MAX_PAGE: f64 = 1_000.0;

#[napi]
pub struct NativeEngine {
    pub(super) engine: Arc<Engine>,
    pricing: Pricing,
    /// Events without a cost get what it says.
    has_catalog: bool,
    pub(super) deliveries: Deliveries,
}

#[napi]
impl NativeEngine {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        options: EngineOptions,
        #[napi(ts_arg_type = "(written: number[], batch: unknown[]) => void")] deliver: Deliver<'_>,
    ) -> Result<Self> {
        let deliveries =
            Deliveries::new(&deliver).map_err(|error| JsError::new(Code::Internal, error.reason.clone()))?;
        let notices = deliveries.clone();
        let listener = Arc::new(move |notice| notices.notify(NoticeOutput::from(notice)));
        let (options, pricing) = options.into_domain(listener)?;
        let has_catalog = options.catalog.is_some();
        Ok(Self { engine: Engine::open(options)?, pricing, has_catalog, deliveries })
    }

    #[napi(catch_unwind)]
    pub fn ready(&self, ticket: f64) {
        self.engine.ready(self.deliveries.reply(ticket, TakeoverOutput::from));
    }

    #[napi(catch_unwind)]
    pub fn flush(&self, ticket: f64) {
        self.engine.flush(self.deliveries.reply(ticket, |()| ()));
    }

    #[napi(catch_unwind)]
    pub fn close(&self, ticket: f64) {
        self.engine.close(self.deliveries.reply(ticket, |()| ()));
    }

    /// The function that decides about requests, for one price list: the engine's own where none is given.
    #[napi(
        catch_unwind,
        ts_return_type = "(ticket: number, now: number, key: string, method: string, path: string, rules: number, userAgent: string | undefined, id: string | undefined, units: number, isHold: boolean, digest: string | undefined, dimensions: string | undefined, figures: Float64Array) => unknown[] | number | null"
    )]
    pub fn gate<'env>(
        &self,
        env: &'env Env,
        pricing: Option<Vec<PriceInput>>,
        refuse_unpriced: bool,
    ) -> Result<GateFunction<'env>> {
        let pricing = match pricing {
            Some(prices) => Arc::new(price_list(prices)?).into(),
            None => self.pricing.clone(),
        };
        let unpriced = if refuse_unpriced { Unpriced::Refuse } else { Unpriced::Pass };
        let gate = Gate::new(Arc::clone(&self.engine), pricing, unpriced);
        gate::function(env, gate, self.deliveries.clone())
            .map_err(|error| JsError::new(Code::Internal, error.reason.clone()))
    }

    /// Answers with one recording for each event. Events without a cost get what the catalog says.
    #[napi(catch_unwind)]
    pub fn record(&self, ticket: f64, now: f64, #[napi(ts_arg_type = "EventInput[]")] events: Array<'_>) -> Result<()> {
        let now = instant(now)?;
        let is_whole = |(event, cost): (UsageEvent, Option<Money>)| match cost {
            None if !self.has_catalog => {
                Err(Error::invalid("`cost` is missing: only with a `catalog` may it be left out"))
            }
            _ => Ok((event, cost)),
        };
        let inputs: Vec<_> = (0..events.len()).map(|index| event_at(&events, index).and_then(is_whole)).collect();
        let reply = self.deliveries.reply(ticket, |recordings: Vec<RecordingOutput>| recordings);
        let engine = Arc::clone(&self.engine);
        if inputs.iter().flatten().all(|(_, cost)| cost.is_some()) {
            let events = inputs.into_iter().map(|input| input.map(|(event, _)| event)).collect();
            record(&engine, events, now, reply);
            return Ok(());
        }
        let unpriced = inputs.iter().flatten().filter(|(_, cost)| cost.is_none()).map(|(event, _)| event.clone());
        let unpriced = unpriced.collect();
        let priced: Reply<Vec<crate::Result<UsageEvent>>> = Box::new(move |priced| {
            let mut priced = match priced {
                Ok(priced) => priced.into_iter(),
                Err(error) => return reply(Err(error)),
            };
            let missing = || Err(Error::new(Code::Internal, "an event was not priced"));
            let price = |(event, cost): (UsageEvent, Option<Money>)| match cost {
                Some(_) => Ok(event),
                None => priced.next().unwrap_or_else(missing),
            };
            let mut price = price;
            let events = inputs.into_iter().map(|input| input.and_then(&mut price)).collect();
            record(&engine, events, now, reply);
        });
        self.engine.price(self.pricing.clone(), unpriced, priced);
        Ok(())
    }

    /// Answers with a decision.
    #[napi(catch_unwind)]
    pub fn consume(&self, ticket: f64, now: f64, input: ConsumeInput) -> Result<()> {
        let now = instant(now)?;
        let (event, cost) = input.into_domain(now)?;
        let answer = |passage: Passage| match passage {
            Passage::Admitted(Admitted { verdict: Verdict::Refused(Refusal::IdempotencyConflict), .. }) => {
                Err(conflict())
            }
            passage => Ok(decision(passage)),
        };
        let reply = self.deliveries.reply_or_fail(ticket, answer);
        let engine = Arc::clone(&self.engine);
        let consume = move |event, reply| {
            let conditions = Admission::default();
            let intent = Intent::Record;
            let candidate = Candidate {
                event,
                conditions,
                terms: None,
                intent,
                now,
                deadline: None,
                is_new: false,
                known_cost: None,
            };
            engine.consume(candidate, reply);
        };
        if cost.is_some() {
            consume(event, reply);
            return Ok(());
        }
        let priced: Reply<Vec<crate::Result<UsageEvent>>> = Box::new(move |priced| {
            let missing = || Err(Error::new(Code::Internal, "an event was not priced"));
            match priced.and_then(|mut priced| priced.pop().unwrap_or_else(missing)) {
                Ok(event) => consume(event, reply),
                Err(error) => reply(Err(error)),
            }
        });
        self.engine.price(self.pricing.clone(), vec![event], priced);
        Ok(())
    }

    /// Writes what gates have said `recorded` of. To be called once after one or more of them.
    #[napi(catch_unwind)]
    pub fn hand_over(&self) {
        self.engine.hand_over();
    }

    /// Ends holds as one event; answers whether they had not ended before.
    #[napi(catch_unwind)]
    pub fn settle(&self, ticket: f64, now: f64, holds: Vec<f64>, settlement: SettlementInput) -> Result<()> {
        let settlement = settlement.into_domain(instant(now)?)?;
        self.engine.settle(&hold_ids(&holds), settlement, self.deliveries.reply(ticket, |ended| ended));
        Ok(())
    }

    /// Ends holds without an event; tells whether they had not ended before.
    #[napi(catch_unwind)]
    pub fn void(&self, holds: Vec<f64>) -> bool {
        self.engine.void(&hold_ids(&holds))
    }

    /// Answers with what would become of a request.
    #[napi(catch_unwind)]
    pub fn explain(&self, ticket: f64, now: f64, question: QuestionInput) -> Result<()> {
        let question = question.into_domain(instant(now)?)?;
        let gate = Gate::new(Arc::clone(&self.engine), self.pricing.clone(), Unpriced::Pass);
        gate.explain(question, self.deliveries.reply(ticket, ExplanationOutput::from));
        Ok(())
    }

    /// Answers with the usage in the period that holds `at`, or `null` for a customer never seen.
    #[napi(catch_unwind)]
    pub fn customer_usage(&self, ticket: f64, customer_id: String, at: f64) -> Result<()> {
        let (id, at) = (CustomerId::new(customer_id)?, Timestamp::from_millis("at", at)?);
        let answer = |usage: Option<usage::CustomerUsage>| nullable(usage.map(UsageOutput::from));
        self.engine.read(
            move |store, catalog| usage::of_customer(store, catalog, &id, at),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }

    /// Answers whether one more unit fits; `true` for customers never seen and for what is no meter.
    #[napi(catch_unwind)]
    pub fn check_limits(&self, ticket: f64, now: f64, customer_id: String, event_type: String) -> Result<()> {
        let (id, now) = (CustomerId::new(customer_id)?, instant(now)?);
        let meter = event_type.parse::<Meter>().ok();
        let answer = move |usage: Option<usage::CustomerUsage>| match (usage, meter) {
            (Some(usage), Some(meter)) => meter_has_room(&usage, meter),
            _ => true,
        };
        self.engine.read(
            move |store, catalog| usage::of_customer(store, catalog, &id, now),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }

    /// Answers with the rows of a report.
    #[napi(catch_unwind)]
    pub fn query(&self, ticket: f64, input: QueryInput) -> Result<()> {
        let span =
            Period { start: Timestamp::from_millis("from", input.from)?, end: Timestamp::from_millis("to", input.to)? };
        if span.start > span.end {
            return Err(Error::invalid("`from` must not be after `to`").into());
        }
        let query = Query {
            customer_id: input.customer_id.map(CustomerId::new).transpose()?,
            span,
            window: input.window.as_deref().map(str::parse).transpose()?,
            group_by: group_by(&input.group_by.unwrap_or_default())?,
        };
        let answer = |rows: Vec<usage::QueryRow>| rows.into_iter().map(RowOutput::from).collect::<Vec<_>>();
        self.engine
            .read(move |store, catalog| usage::query(store, catalog, &query), self.deliveries.reply(ticket, answer));
        Ok(())
    }

    /// Answers with the key, and the secret the only time that it is seen.
    #[napi(catch_unwind)]
    pub fn create_key(&self, ticket: f64, now: f64, input: KeyInput) -> Result<()> {
        let now = instant(now)?;
        let secret = match &input.key {
            Some(secret) => Secret::import(secret)?,
            None => generate_secret()?,
        };
        if let Some(name) = &input.name {
            validate_id("name", name)?;
        }
        let key = ApiKey {
            id: new_key_id(),
            customer_id: CustomerId::new(input.customer_id)?,
            name: input.name,
            prefix: secret.display_prefix(),
            created_at: now,
            expires_at: input.expires_at.map(|at| Timestamp::from_millis("expiresAt", at)).transpose()?,
            revoked_at: None,
        };
        let change = Change::CreateKey { key, hash: secret.hash() };
        self.engine.commit_one(change, self.with_secret(ticket, secret));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn rotate_key(&self, ticket: f64, now: f64, id: String, overlap_ms: f64) -> Result<()> {
        let now = instant(now)?;
        if !(0.0..=Timestamp::MAX.as_millis() as f64).contains(&overlap_ms) {
            return Err(Error::invalid(format!("`overlapMs` must be a number from 0, got {overlap_ms}")).into());
        }
        let secret = generate_secret()?;
        let change = Change::RotateKey {
            id,
            successor_id: new_key_id(),
            prefix: secret.display_prefix(),
            hash: secret.hash(),
            now,
            until: now.plus_millis(overlap_ms as i64),
        };
        self.engine.commit_one(change, self.with_secret(ticket, secret));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn revoke_key(&self, ticket: f64, now: f64, id: String) -> Result<()> {
        validate_id("id", &id)?;
        let change = Change::RevokeKey { id, now: instant(now)? };
        let answer = |applied: Applied| Ok(KeyOutput::from(applied.key()?));
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn verify_key(&self, ticket: f64, now: f64, key: String) -> Result<()> {
        let now = instant(now)?;
        if is_malformed(&key) {
            self.deliveries.reply(ticket, |()| verification("malformed", None))(Ok(()));
            return Ok(());
        }
        let hash = KeyHash::of(&key);
        let answer = move |key: Option<ApiKey>| match key.as_ref().map(|key| key.state(now)) {
            None => verification("unknown", None),
            Some(KeyState::Valid) => verification("valid", key),
            Some(KeyState::Expired) => verification("expired", key),
            Some(KeyState::Revoked) => verification("revoked", key),
        };
        self.engine.peek(
            move |store, _| Ok(store.identify(&hash)?.map(|(key, _)| key)),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn list_keys(&self, ticket: f64, customer_id: String) -> Result<()> {
        let id = CustomerId::new(customer_id)?;
        let answer = |keys: Vec<ApiKey>| keys.into_iter().map(KeyOutput::from).collect::<Vec<_>>();
        self.engine.peek(move |store, _| store.keys(&id), self.deliveries.reply(ticket, answer));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn upsert_customer(&self, ticket: f64, now: f64, input: CustomerInput) -> Result<()> {
        let (id, patch) = input.into_domain()?;
        let change = Change::UpsertCustomer { id, patch, now: instant(now)? };
        let answer = |applied: Applied| Ok(CustomerOutput::from(applied.customer()?));
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn customer(&self, ticket: f64, id: String) -> Result<()> {
        validate_id("id", &id)?;
        let id = CustomerId::new(id)?;
        let answer = |customer: Option<_>| -> Nullable<CustomerOutput> { nullable(customer.map(CustomerOutput::from)) };
        self.engine.read(move |store, _| store.customer(&id), self.deliveries.reply(ticket, answer));
        Ok(())
    }

    /// One more than `limit` may be asked for, to see whether there is another page.
    #[napi(catch_unwind)]
    pub fn customers(&self, ticket: f64, after: Option<String>, limit: f64) -> Result<()> {
        if limit.fract() != 0.0 || !(1.0..=MAX_PAGE + 1.0).contains(&limit) {
            let message = format!("`limit` must be a whole number from 1 to {MAX_PAGE}");
            return Err(Error::invalid(message).into());
        }
        let answer = |customers: Vec<_>| customers.into_iter().map(CustomerOutput::from).collect::<Vec<_>>();
        self.engine.read(
            move |store, _| store.customers(after.as_deref(), limit as usize),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }

    fn with_secret(&self, ticket: f64, secret: Secret) -> Reply<Applied> {
        self.deliveries.reply_or_fail(ticket, move |applied: Applied| {
            Ok((KeyOutput::from(applied.key()?), secret.expose().to_owned()))
        })
    }
}

/// They are whole: JavaScript got them from here.
fn hold_ids(holds: &[f64]) -> Vec<HoldId> {
    holds.iter().map(|hold| *hold as HoldId).collect()
}

pub(super) fn instant(now: f64) -> crate::Result<Timestamp> {
    Timestamp::from_millis("clock.now()", now)
}

/// Records events that have happened; what was wrong with the others is told in their places.
fn record(
    engine: &Arc<Engine>,
    events: Vec<crate::Result<UsageEvent>>,
    now: Timestamp,
    reply: Reply<Vec<RecordingOutput>>,
) {
    let mut charges = Vec::with_capacity(events.len());
    // Per event: refused at the border, or sent to the store.
    let refused: Vec<Option<Error>> = events
        .into_iter()
        .map(|event| match event {
            Ok(event) => {
                charges.push(Change::Charge(Charge { event, admission: None, paid: Vec::new(), now }));
                None
            }
            Err(error) => Some(error),
        })
        .collect();
    let answer = move |outcomes: Vec<Outcome>| {
        let mut outcomes = outcomes.into_iter();
        let recordings = refused.into_iter().map(|refused| match refused {
            Some(error) => rejected(error),
            None => recording(outcomes.next()),
        });
        recordings.collect()
    };
    engine.commit(charges, Box::new(move |outcomes| reply(outcomes.map(answer))));
}

fn event_at(events: &Array<'_>, index: u32) -> crate::Result<(UsageEvent, Option<Money>)> {
    match events.get::<EventInput>(index) {
        Ok(Some(event)) => event.into_domain(),
        Ok(None) => Err(Error::invalid("the event is missing")),
        Err(error) => Err(Error::invalid(error.reason.clone())),
    }
}

fn recording(outcome: Option<Outcome>) -> RecordingOutput {
    let recorded = |status: &str| RecordingOutput { status: status.to_owned(), code: None, message: None };
    match outcome {
        Some(Ok(Applied::Charged(Charged { verdict: Verdict::Recorded, .. }))) => recorded("recorded"),
        Some(Ok(Applied::Charged(Charged { verdict: Verdict::Duplicate, .. }))) => recorded("duplicate"),
        Some(Ok(Applied::Charged(Charged { verdict: Verdict::Refused(_), .. }))) => rejected(conflict()),
        Some(Err(error)) => rejected(error),
        Some(Ok(_)) | None => rejected(Error::new(Code::Internal, "the store gave no answer")),
    }
}

fn rejected(error: Error) -> RecordingOutput {
    RecordingOutput {
        status: "rejected".to_owned(),
        code: Some(error.code.as_str().to_owned()),
        message: Some(error.message),
    }
}

/// The only refusal that an event without conditions can meet.
fn conflict() -> Error {
    Error::new(Code::IdempotencyConflict, "an event with this id and other contents was recorded before; use a new id")
}

fn group_by(names: &[String]) -> crate::Result<GroupBy> {
    let mut group_by = GroupBy::default();
    for name in names {
        match name.as_str() {
            "customerId" => group_by.customer = true,
            "eventType" => group_by.meter = true,
            "endpoint" => group_by.endpoint = true,
            _ => {
                let message = format!("`groupBy` may hold customerId, eventType and endpoint, got {name:?}");
                return Err(Error::invalid(message));
            }
        }
    }
    Ok(group_by)
}

fn verification(code: &str, key: Option<ApiKey>) -> VerificationOutput {
    VerificationOutput {
        code: code.to_owned(),
        customer_id: key.as_ref().map(|key| key.customer_id.as_str().to_owned()),
        key_id: key.map(|key| key.id),
    }
}

fn generate_secret() -> crate::Result<Secret> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(Code::Internal, format!("the system gave no randomness: {error}")))?;
    Ok(Secret::generate(random))
}

fn new_key_id() -> String {
    format!("key_{}", Uuid::now_v7().simple())
}

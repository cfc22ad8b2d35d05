//! Alerts for those who send them. Answers are JSON texts.

use napi_derive::napi;
use serde_json::{Value as Json, json};

use super::engine::NativeEngine;
use super::error::Result;
use crate::domain::alert::delivery::{Answer, after_attempt};
use crate::domain::{Alert, AlertId, CustomerId, Timestamp};
use crate::store::{AlertClaim, AlertQuery, AlertSettlement};
use crate::{Error, Result as EngineResult};

/// The largest page of alerts.
const MAX_PAGE: f64 = 100.0;

#[napi(object, object_to_js = false)]
pub struct AlertQueryInput {
    pub state: Option<String>,
    pub customer_id: Option<String>,
    pub starting_after: Option<String>,
    pub limit: f64,
}

#[napi(object, object_to_js = false)]
pub struct AlertSettlementInput {
    pub id: String,
    pub attempts: u32,
    #[napi(ts_type = "'accepted' | 'gone' | 'failed' | 'interrupted'")]
    pub answer: String,
    pub reason: Option<String>,
    /// From 0 to 1.
    pub jitter: f64,
}

#[napi]
impl NativeEngine {
    /// Answers with `[{ id, attempts, body }]`: what is to be sent, by nobody else until `claim_millis` have passed.
    #[napi(catch_unwind)]
    pub fn claim_alerts(&self, ticket: f64, now: f64, claim_millis: f64, limit: u32) -> Result<()> {
        let now = Timestamp::from_millis("clock.now()", now)?;
        let holder = self.engine.holder().clone();
        let claim = AlertClaim { holder, now, until: now.plus_millis(claim_millis as i64), limit: limit as usize };
        let claimed =
            |alert: &Alert| json!({ "id": alert.id.as_str(), "attempts": alert.attempts, "body": alert.body() });
        let answer = move |alerts: Vec<Alert>| alerts.iter().map(claimed).collect::<Json>().to_string();
        let reply = self.deliveries.reply(ticket, answer);
        self.engine.work_on_outbox(Box::new(move |store| reply(store.and_then(|store| store.claim_alerts(&claim)))));
        Ok(())
    }

    /// Answers with the state of the alert, or with `null` where it is somebody else's by now.
    #[napi(catch_unwind)]
    pub fn settle_alert(&self, ticket: f64, now: f64, settlement: AlertSettlementInput) -> Result<()> {
        let AlertSettlementInput { id, attempts, answer, reason, jitter } = settlement;
        let answer = match answer.as_str() {
            "accepted" => Answer::Accepted,
            "gone" => Answer::Gone,
            "interrupted" => Answer::Interrupted,
            _ => Answer::Failed,
        };
        let settled = after_attempt(attempts, answer, Timestamp::from_millis("clock.now()", now)?, jitter);
        let settlement = AlertSettlement { id: AlertId::from_stored(id), attempts, settled, reason };
        let holder = self.engine.holder().clone();
        let reply = self
            .deliveries
            .reply(ticket, move |own: bool| if own { json!(settled.state.as_str()) } else { Json::Null }.to_string());
        self.engine.work_on_outbox(Box::new(move |store| {
            reply(store.and_then(|store| store.settle_alert(&holder, &settlement)));
        }));
        Ok(())
    }

    /// Answers with a page of alerts. One more than a page may be asked for, to see whether there is another one.
    #[napi(catch_unwind)]
    pub fn alerts(&self, ticket: f64, query: AlertQueryInput) -> Result<()> {
        if query.limit.fract() != 0.0 || !(1.0..=MAX_PAGE + 1.0).contains(&query.limit) {
            return Err(Error::invalid(format!("`limit` must be a whole number from 1 to {MAX_PAGE}")).into());
        }
        let query = AlertQuery {
            state: query.state.as_deref().map(str::parse).transpose()?,
            customer_id: query.customer_id.map(CustomerId::new).transpose()?,
            after: query.starting_after,
            limit: query.limit as usize,
        };
        let answer = |alerts: Vec<Alert>| alerts.iter().map(alert_json).collect::<Json>().to_string();
        self.engine.read(move |store, _| store.alerts(&query), self.deliveries.reply(ticket, answer));
        Ok(())
    }

    /// Answers whether there was an alert with this id that had been given up.
    #[napi(catch_unwind)]
    pub fn retry_alert(&self, ticket: f64, now: f64, id: String) -> Result<()> {
        let (id, now) = (AlertId::from_stored(id), Timestamp::from_millis("clock.now()", now)?);
        let reply = self.deliveries.reply(ticket, |retried: bool| retried);
        self.engine.work_on_outbox(Box::new(move |store: EngineResult<_>| {
            reply(store.and_then(|store| store.retry_alert(&id, now)));
        }));
        Ok(())
    }
}

fn alert_json(alert: &Alert) -> Json {
    json!({
        "id": alert.id.as_str(),
        "state": alert.state.as_str(),
        "createdAt": alert.created_at.as_millis(),
        "attempts": alert.attempts,
        "nextAttemptAt": alert.state.is_open().then(|| alert.due_at.as_millis()),
        "reason": alert.reason,
        "reached": alert.reached.to_json(),
    })
}

//! Credits of customers, out of the store. Questions and answers are JSON texts.

use napi_derive::napi;
use serde_json::{Value as Json, json};

use super::credit::account;
use super::engine::NativeEngine;
use super::error::Result;
use crate::domain::credit::{Balance, CreditGrant, GrantId, GrantRequest, Unit};
use crate::domain::json::{Object, Value};
use crate::domain::{CustomerId, Timestamp};
use crate::engine::credits;
use crate::store::{Applied, Change, CreditRefund};

#[napi]
impl NativeEngine {
    /// Answers with the grant; the request is `{ id, unit?, amount, priority?, effectiveAt?, expiresAt?, recurrence?, rollover? }`.
    #[napi(catch_unwind)]
    pub fn grant_credit(&self, ticket: f64, now: f64, customer_id: String, request: String) -> Result<()> {
        let change = Change::GrantCredit {
            customer_id: CustomerId::new(customer_id)?,
            request: GrantRequest::read(&Value::parse("", &request)?)?,
            now: Timestamp::from_millis("now", now)?,
        };
        let answer = |applied: Applied| Ok(grant_json(&applied.granted()?).to_string());
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    /// Answers with the grant; the question is `{ grantId, at? }`.
    #[napi(catch_unwind)]
    pub fn void_grant(&self, ticket: f64, now: f64, customer_id: String, question: String) -> Result<()> {
        let question = Value::parse("", &question)?.object()?;
        let (grant_id, now) = (question.required("grantId")?, Timestamp::from_millis("now", now)?);
        let change = Change::VoidGrant {
            customer_id: CustomerId::new(customer_id)?,
            id: GrantId::parse("grantId", &grant_id.string()?)?,
            at: instant(&question)?.unwrap_or(now),
            now,
        };
        let answer = |applied: Applied| Ok(grant_json(&applied.granted()?).to_string());
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    /// Answers with the refund; the question is `{ id, unit?, amount }`.
    #[napi(catch_unwind)]
    pub fn refund_credit(&self, ticket: f64, now: f64, customer_id: String, question: String) -> Result<()> {
        let question = Value::parse("", &question)?.object()?;
        question.only(&["id", "unit", "amount"])?;
        let refund = CreditRefund {
            id: GrantId::parse("id", &question.required("id")?.string()?)?,
            unit: unit(&question)?,
            amount: question.required("amount")?.positive()?.into(),
            at: Timestamp::from_millis("now", now)?,
        };
        let change = Change::RefundCredit { customer_id: CustomerId::new(customer_id)?, refund };
        let answer = |applied: Applied| Ok(refund_json(&applied.refunded()?).to_string());
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    /// Answers with all grants of a customer, by id.
    #[napi(catch_unwind)]
    pub fn credit_grants(&self, ticket: f64, customer_id: String) -> Result<()> {
        let id = CustomerId::new(customer_id)?;
        let answer = |grants: Vec<CreditGrant>| grants.iter().map(grant_json).collect::<Json>().to_string();
        self.engine.read(move |store, _| store.credit_grants(&id), self.deliveries.reply(ticket, answer));
        Ok(())
    }

    /// Answers with the balance; the question is `{ at?, unit? }`.
    #[napi(catch_unwind)]
    pub fn customer_credit(&self, ticket: f64, now: f64, customer_id: String, question: String) -> Result<()> {
        let (id, now) = (CustomerId::new(customer_id)?, Timestamp::from_millis("now", now)?);
        let question = Value::parse("", &question)?.object()?;
        question.only(&["at", "unit"])?;
        let (unit, at) = (unit(&question)?, instant(&question)?);
        let answer = move |(at, balance): (Timestamp, Balance)| balance_json(unit, at, &balance).to_string();
        self.engine.read(
            move |store, catalog| credits::balance(store, catalog, &id, unit, at, now),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }
}

fn unit(question: &Object<'_>) -> crate::Result<Unit> {
    question.optional("unit").map_or(Ok(Unit::Money), |unit| unit.string()?.parse())
}

fn instant(question: &Object<'_>) -> crate::Result<Option<Timestamp>> {
    question.optional("at").map(|at| at.timestamp()).transpose()
}

/// As it was asked for, with the instants as they count.
fn grant_json(given: &CreditGrant) -> Json {
    let mut grant = given.request.to_json();
    grant["effectiveAt"] = json!(given.grant.effective_at.as_millis());
    grant["createdAt"] = json!(given.grant.created_at.as_millis());
    grant["voidedAt"] = json!(given.grant.voided_at.map(Timestamp::as_millis));
    grant
}

fn refund_json(refund: &CreditRefund) -> Json {
    let CreditRefund { id, unit, amount, at } = refund;
    json!({ "id": id.as_str(), "unit": unit.as_str(), "amount": amount.to_string(), "at": at.as_millis() })
}

fn balance_json(unit: Unit, at: Timestamp, balance: &Balance) -> Json {
    json!({
        "unit": unit.as_str(),
        "at": at.as_millis(),
        "balance": balance.left.to_string(),
        "overage": balance.overage.to_string(),
        "billed": balance.billed.to_string(),
        "grants": balance.grants.iter().map(account).collect::<Vec<_>>(),
    })
}

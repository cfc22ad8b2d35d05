//! Simulations of access logs. Question and answer are JSON texts.

use std::path::PathBuf;

use napi::bindgen_prelude::Error as JsError;
use napi_derive::napi;
use serde_json::{Value as Json, json};

use super::deliveries::{Deliver, Deliveries};
use super::error::Result;
use super::simulation::{limit, plans, simulation_json};
use crate::domain::access_log::{CustomerBy, Reader};
use crate::domain::json::Value;
use crate::domain::{Currency, Period, TimeZone, Timestamp};
use crate::engine::access_log::{self, Answer, Question, Shown};
use crate::{Code, Error};

#[napi]
pub struct NativeAccessLog {
    deliveries: Deliveries,
}

#[napi]
impl NativeAccessLog {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        #[napi(ts_arg_type = "(written: number[], batch: unknown[]) => void")] deliver: Deliver<'_>,
    ) -> Result<Self> {
        let deliveries =
            Deliveries::new(&deliver).map_err(|error| JsError::new(Code::Internal, error.reason.clone()))?;
        Ok(Self { deliveries })
    }

    /// The question is a plan with `file`, `limit` and `baseline?`, `from?`, `to?`, `timeZone?`, `format?`, `customer?`,
    /// `billOn?`.
    #[napi(catch_unwind)]
    pub fn simulate(&self, ticket: f64, question: String) -> Result<()> {
        let question = Value::parse("", &question)?;
        let limit = limit(&question.object()?)?;
        let question = read(&question)?;
        let currency = question.plan.catalog.currency();
        let answer = move |answer: Answer| answer_json(&answer, currency, limit).to_string();
        Ok(access_log::start(question, self.deliveries.reply(ticket, answer))?)
    }
}

fn read(question: &Value<'_>) -> crate::Result<Question> {
    let object = question.object()?;
    let text = |name: &str| object.optional(name).map(|value| value.string()).transpose();
    let instant =
        |name: &str, otherwise: Timestamp| object.optional(name).map_or(Ok(otherwise), |instant| instant.timestamp());
    let span = Period { start: instant("from", Timestamp::from_stored(0))?, end: instant("to", Timestamp::MAX)? };
    if span.start > span.end {
        return Err(Error::invalid("`from` must not be after `to`"));
    }
    let format = text("format")?.map(|format| format.parse()).transpose()?;
    let customer_by = text("customer")?.map(CustomerBy::from).unwrap_or_default();
    let (plan, baseline) = plans(&object)?;
    Ok(Question {
        file: PathBuf::from(object.required("file")?.string()?),
        plan,
        baseline,
        span,
        zone: text("timeZone")?.map_or(Ok(TimeZone::UTC), |zone| zone.parse())?,
        reader: Reader::new(format, customer_by)?,
        bill_on: text("billOn")?.map(|bill_on| bill_on.parse()).transpose()?.unwrap_or_default(),
    })
}

fn answer_json(answer: &Answer, currency: Currency, limit: usize) -> Json {
    let Answer { simulation, lines, unbilled, bad, shown } = answer;
    let mut json = simulation_json(simulation, currency, limit);
    let bad_line = |Shown { number, reason, text }: &Shown| json!({ "line": number, "reason": reason, "text": text });
    json["lines"] = json!(lines);
    json["unbilledLines"] = json!(unbilled);
    json["badLines"] = json!(bad);
    json["firstBadLines"] = shown.iter().map(bad_line).collect();
    json
}

//! Prices and rounding, as plain functions. What they are asked comes as one JSON text, so that the domain reads every
//! number from its digits and says where a mistake is.

use napi_derive::napi;

use super::error::Result;
use crate::domain::json::Value;
use crate::domain::rating::{Line, Price, Usage};
use crate::domain::{Currency, Rounding};

#[napi(object, object_from_js = false)]
pub struct QuoteOutput {
    pub amount: String,
    pub currency: Option<String>,
    pub lines: Vec<LineOutput>,
}

#[napi(object, object_from_js = false)]
pub struct LineOutput {
    pub description: String,
    pub units: String,
    pub unit_amount: String,
    pub flat_amount: String,
    pub amount: String,
}

impl From<&Line> for LineOutput {
    fn from(line: &Line) -> Self {
        Self {
            description: line.description.clone(),
            units: line.units.to_string(),
            unit_amount: line.unit_amount.to_string(),
            flat_amount: line.flat_amount.to_string(),
            amount: line.amount().to_string(),
        }
    }
}

/// The question is `{ price, quantity, events?, currency? }`.
#[napi(catch_unwind)]
pub fn quote(question: String) -> Result<QuoteOutput> {
    let question = Value::parse("", &question)?.object()?;
    let price = Price::read(&question.required("price")?)?;
    let usage = Usage::read(&question)?;
    let currency = question.optional("currency").map(|code| currency(&code)).transpose()?;
    let quote = price.quote(&usage);
    Ok(QuoteOutput {
        amount: quote.amount().to_string(),
        currency: currency.map(|currency| currency.code().to_owned()),
        lines: quote.lines.iter().map(LineOutput::from).collect(),
    })
}

/// The question is `{ amount, currency, mode? }`.
#[napi(catch_unwind)]
pub fn round(question: String) -> Result<String> {
    let question = Value::parse("", &question)?.object()?;
    let amount = question.required("amount")?.decimal()?;
    let currency = currency(&question.required("currency")?)?;
    let mode = question.optional("mode").map(|mode| Rounding::parse(mode.place(), &mode.string()?)).transpose()?;
    Ok(currency.format(&currency.round(&amount, mode.unwrap_or_default())))
}

fn currency(code: &Value<'_>) -> crate::Result<Currency> {
    Currency::parse(code.place(), &code.string()?)
}

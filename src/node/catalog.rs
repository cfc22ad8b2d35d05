//! Catalogs and periods, as plain functions for anyone to check us. What they are asked comes as one JSON text.

use std::collections::BTreeMap;

use napi_derive::napi;

use super::error::Result;
use crate::domain::catalog::{Question, Request};
use crate::domain::json::Value;
use crate::domain::price::RoutingRules;
use crate::domain::{BillingCycle, Catalog, Currency, Interval, Period, Proration, Rounding, Timestamp};
use crate::{Code, Error};

/// A mistake in a catalog.
#[napi(object, object_from_js = false)]
pub struct CatalogMistakeOutput {
    pub place: String,
    pub message: String,
}

/// The normal form as JSON, or mistakes.
#[napi(object, object_from_js = false)]
pub struct CheckedCatalogOutput {
    pub catalog: Option<String>,
    pub mistakes: Vec<CatalogMistakeOutput>,
}

#[napi(object, object_from_js = false)]
pub struct ResolutionOutput {
    pub price: Option<String>,
    pub because: Vec<String>,
}

#[napi(object, object_from_js = false)]
pub struct PeriodOutput {
    pub start: f64,
    pub end: f64,
}

impl From<Error> for CatalogMistakeOutput {
    fn from(error: Error) -> Self {
        Self { place: error.place.unwrap_or_default(), message: error.message }
    }
}

#[napi(catch_unwind)]
pub fn check_catalog(catalog: String) -> CheckedCatalogOutput {
    match Catalog::parse(&catalog) {
        Ok(catalog) => CheckedCatalogOutput { catalog: Some(catalog.to_json().to_string()), mistakes: Vec::new() },
        Err(mistakes) => {
            CheckedCatalogOutput { catalog: None, mistakes: mistakes.into_iter().map(Into::into).collect() }
        }
    }
}

/// A catalog that `lib/` has checked before, which says all mistakes.
pub(super) fn checked(catalog: &str) -> crate::Result<Catalog> {
    Catalog::parse(catalog).map_err(|mistakes| {
        let message = mistakes.first().map_or_else(String::new, |mistake| mistake.message.clone());
        Error::new(Code::InvalidCatalog, message)
    })
}

/// The question is `{ meter, tier?, method?, path?, dimensions? }`; the price is JSON.
#[napi(catch_unwind)]
pub fn resolve_price(catalog: String, question: String) -> Result<ResolutionOutput> {
    let catalog = checked(&catalog)?;
    let question = Value::parse("question", &question)?.object()?;
    question.only(&["meter", "tier", "method", "path", "dimensions"])?;
    let text = |name: &str| question.optional(name).map(|value| value.string()).transpose();
    let (tier, method, path) = (text("tier")?, text("method")?, text("path")?);
    let method = method.map_or_else(|| "GET".to_owned(), |method| method.to_ascii_uppercase());
    let dimensions = question.optional("dimensions").map(|dimensions| dimensions_of(&dimensions)).transpose()?;
    let resolution = catalog.resolve(&Question {
        meter: &question.required("meter")?.string()?,
        tier: tier.as_deref(),
        request: path.as_deref().map(|path| Request {
            method: &method,
            path,
            rules: RoutingRules::default(),
            is_pattern: false,
        }),
        dimensions: &dimensions.unwrap_or_default(),
    });
    let price = resolution.price.map(|price| price.to_json().to_string());
    Ok(ResolutionOutput { price, because: resolution.because })
}

pub(super) fn dimensions_of(value: &Value<'_>) -> crate::Result<BTreeMap<String, String>> {
    value.object()?.fields().map(|(name, value)| Ok((name.to_owned(), value.string()?))).collect()
}

/// The question is `{ anchor, interval, intervalCount?, timeZone?, trialStart?, at }`.
#[napi(catch_unwind)]
pub fn period_containing(question: String) -> Result<PeriodOutput> {
    let question = Value::parse("", &question)?.object()?;
    let anchor = instant(&question.required("anchor")?)?;
    let interval = Interval::read(&question)?;
    let zone = question.optional("timeZone").map_or_else(|| Ok("UTC".to_owned()), |zone| zone.string())?.parse()?;
    let cycle = match question.optional("trialStart") {
        Some(start) => BillingCycle::after_trial(Period { start: instant(&start)?, end: anchor }, interval, zone)?,
        None => BillingCycle::anchored(anchor, interval, zone),
    };
    let Period { start, end } = cycle.period_containing(instant(&question.required("at")?)?);
    Ok(PeriodOutput { start: start.as_millis() as f64, end: end.as_millis() as f64 })
}

/// The question is `{ amount, currency, part: { start, end }, whole: { start, end }, by?, timeZone? }`; the answer a decimal
/// with the places of the currency.
#[napi(catch_unwind)]
pub fn prorate(question: String) -> Result<String> {
    let question = Value::parse("", &question)?.object()?;
    let amount = question.required("amount")?.decimal()?;
    let currency = question.required("currency")?;
    let currency = Currency::parse(currency.place(), &currency.string()?)?;
    let (part, whole) = (period(&question.required("part")?)?, period(&question.required("whole")?)?);
    let by = question.optional("by").map(|by| by.one_of(&[("second", false), ("day", true)])).transpose()?;
    let zone = question.optional("timeZone").map_or_else(|| Ok("UTC".to_owned()), |zone| zone.string())?.parse()?;
    let proration = match by {
        Some(true) => Proration::by_day(part, whole, zone)?,
        Some(false) | None => Proration::by_second(part, whole)?,
    };
    Ok(currency.format(&proration.share(&amount, currency.decimal_places(), Rounding::default())))
}

fn period(value: &Value<'_>) -> crate::Result<Period> {
    let object = value.object()?;
    object.only(&["start", "end"])?;
    Ok(Period { start: instant(&object.required("start")?)?, end: instant(&object.required("end")?)? })
}

fn instant(value: &Value<'_>) -> crate::Result<Timestamp> {
    Timestamp::from_millis(value.place(), value.units()? as f64)
}

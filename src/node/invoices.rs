//! Invoices, as a plain function and out of the store. Question and answer are JSON texts.

use napi_derive::napi;
use serde_json::{Value as Json, json};

use super::catalog::{checked, dimensions_of};
use super::engine::NativeEngine;
use super::error::Result;
use crate::domain::catalog::{Question, Request};
use crate::domain::invoice::{Basis, CreditLine, InvoiceLine, Item, PricedUsage};
use crate::domain::json::{Object, Value};
use crate::domain::price::RoutingRules;
use crate::domain::rating::Usage;
use crate::domain::repricing::tier_of;
use crate::domain::{Catalog, CustomerId, Decimal, Invoice, Period, Proration, Rounding};
use crate::engine::invoices::{self, Preview};

/// The question is `{ catalog, tierId, usage, credits?, period?, held?, rounding? }`.
#[napi(catch_unwind)]
pub fn preview_invoice(question: String) -> Result<String> {
    let question = Value::parse("", &question)?.object()?;
    let catalog = checked(question.required("catalog")?.json())?;
    let tier = &catalog.tiers()[tier_of(&catalog, &question.required("tierId")?)?];
    let priced = |row: &Value<'_>| priced(&catalog, &tier.id, row);
    let usage: Vec<PricedUsage> =
        question.required("usage")?.array()?.iter().map(priced).collect::<crate::Result<_>>()?;
    let share = |held: Value<'_>| Proration::by_second(span(&held)?, span(&question.required("period")?)?);
    let share = question.optional("held").map(share).transpose()?;
    let basis = Basis::new(&catalog, tier, share);
    let invoice = Invoice::preview(&basis, &usage, None, &credits(&question)?)?;
    Ok(invoice_json(&catalog, &tier.id, &invoice, &usage, rounding(&question)?).to_string())
}

#[napi]
impl NativeEngine {
    /// The question is `{ customerId, at, catalog?, tierId?, held?, credits?, rounding? }`; answers with `null` for a customer
    /// never seen.
    #[napi(catch_unwind)]
    pub fn preview_invoice(&self, ticket: f64, question: String) -> Result<()> {
        let question = Value::parse("", &question)?.object()?;
        let catalog = question.optional("catalog").map(|catalog| checked(catalog.json())).transpose()?;
        let rounding = rounding(&question)?;
        let asked = invoices::Question {
            customer_id: CustomerId::new(question.required("customerId")?.string()?)?,
            at: question.required("at")?.timestamp()?,
            tier: question.optional("tierId").map(|tier| tier.string()).transpose()?,
            held: question.optional("held").map(|held| span(&held)).transpose()?,
            credits: credits(&question)?,
            catalog,
        };
        let answer = move |preview: Option<Preview>| {
            preview.map_or(Json::Null, |preview| preview_json(&preview, rounding)).to_string()
        };
        self.engine.read(
            move |store, settings| invoices::preview(store, settings, &asked),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }
}

/// `{ meter, method?, path?, dimensions?, quantity, events? }`, with the price that applies to it.
fn priced(catalog: &Catalog, tier: &str, row: &Value<'_>) -> crate::Result<PricedUsage> {
    let object = row.object()?;
    object.only(&["meter", "method", "path", "dimensions", "quantity", "events"])?;
    let text = |name: &str| object.optional(name).map(|value| value.string()).transpose();
    let (method, path) = (text("method")?, text("path")?);
    let method = method.map_or_else(|| "GET".to_owned(), |method| method.to_ascii_uppercase());
    let dimensions = object.optional("dimensions").map(|dimensions| dimensions_of(&dimensions)).transpose()?;
    let meter = object.required("meter")?.string()?;
    let price = catalog.find(&Question {
        meter: &meter,
        tier: Some(tier),
        request: path.as_deref().map(|path| Request {
            method: &method,
            path,
            rules: RoutingRules::default(),
            is_pattern: false,
        }),
        dimensions: &dimensions.unwrap_or_default(),
    });
    let Usage { quantity, events } = Usage::read(&object)?;
    let usage = Usage { quantity, events: Some(events.unwrap_or_else(|| Decimal::from(1))) };
    Ok(PricedUsage { price: price.map(|price| price.id.clone()), meter, usage })
}

/// `{ start, end }`
fn span(value: &Value<'_>) -> crate::Result<Period> {
    let object = value.object()?;
    object.only(&["start", "end"])?;
    Ok(Period { start: object.required("start")?.timestamp()?, end: object.required("end")?.timestamp()? })
}

fn credits(question: &Object<'_>) -> crate::Result<Vec<Decimal>> {
    let Some(credits) = question.optional("credits") else { return Ok(Vec::new()) };
    credits.array()?.iter().map(Value::non_negative).collect()
}

fn rounding(question: &Object<'_>) -> crate::Result<Rounding> {
    let mode = question.optional("rounding").map(|mode| Rounding::parse(mode.place(), &mode.string()?)).transpose()?;
    Ok(mode.unwrap_or_default())
}

fn preview_json(preview: &Preview, rounding: Rounding) -> Json {
    let Preview { customer, catalog, tier, tally, invoice, missing_events } = preview;
    let mut json = invoice_json(catalog, tier, invoice, &tally.usage, rounding);
    json["customerId"] = json!(customer.id.as_str());
    json["period"] = json!({ "start": tally.period.start.as_millis(), "end": tally.period.end.as_millis() });
    json["unknownMeters"] = tally.unknown.iter().map(usage_json).collect();
    json["events"] = json!(tally.events);
    json["missingEvents"] = json!(missing_events);
    json["recordedCost"] = json!(tally.cost.to_string());
    json
}

fn invoice_json(catalog: &Catalog, tier: &str, invoice: &Invoice, usage: &[PricedUsage], rounding: Rounding) -> Json {
    let meter = |meter: &String| {
        let of_meter = usage.iter().filter(|row| row.meter == *meter);
        let used: Decimal = of_meter.map(|row| row.usage.quantity.clone()).sum();
        let included = invoice.included(meter);
        let overage = &used - &included;
        json!({ "meter": meter, "used": text(&used), "included": text(&included), "overage": text(&overage) })
    };
    json!({
        "catalog": { "id": catalog.id(), "version": catalog.version() },
        "tierId": tier,
        "currency": invoice.currency.code(),
        "usage": usage.iter().map(usage_json).collect::<Vec<_>>(),
        "meters": catalog.meters().iter().map(meter).collect::<Vec<_>>(),
        "lines": invoice.lines.iter().map(line_json).collect::<Vec<_>>(),
        "credits": invoice.credits.iter().map(credit_json).collect::<Vec<_>>(),
        "subtotal": text(&invoice.subtotal()),
        "total": text(&invoice.total()),
        "payable": invoice.currency.format(&invoice.payable(rounding)),
    })
}

fn usage_json(row: &PricedUsage) -> Json {
    json!({
        "meter": row.meter,
        "price": row.price,
        "quantity": text(&row.usage.quantity),
        "events": row.usage.events.as_ref().map(text),
    })
}

fn line_json(InvoiceLine { item, line }: &InvoiceLine) -> Json {
    let (kind, meter, price) = match item {
        Item::Base => ("base", None, None),
        Item::Included { meter } => ("included", Some(meter), None),
        Item::Usage { meter, price } => ("usage", Some(meter), Some(price)),
        Item::Unpriced { meter } => ("unpriced", Some(meter), None),
        Item::Recorded { meter } => ("recorded", Some(meter), None),
        Item::Minimum => ("minimum", None, None),
        Item::Credited { meter } => ("credited", Some(meter), None),
    };
    json!({
        "type": kind,
        "meter": meter,
        "price": price,
        "description": line.description,
        "units": text(&line.units),
        "unitAmount": text(&line.unit_amount),
        "flatAmount": text(&line.flat_amount),
        "amount": text(&line.amount()),
    })
}

fn credit_json(CreditLine { grant, amount, applied }: &CreditLine) -> Json {
    json!({ "grant": grant, "amount": text(amount), "applied": text(applied) })
}

fn text(decimal: &Decimal) -> String {
    decimal.to_string()
}

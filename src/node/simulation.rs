//! Simulations. Question and answer are JSON texts.

use napi_derive::napi;
use serde_json::{Value as Json, json};

use super::catalog::checked;
use super::engine::NativeEngine;
use super::error::Result;
use crate::Error;
use crate::domain::json::{Object, Value};
use crate::domain::repricing::{Assignment, CustomerOutcome, Lacking, Side, Simulation};
use crate::domain::{Currency, Decimal, Period};
use crate::engine::simulation::{self, Answer, Plan, Question};

#[napi]
impl NativeEngine {
    /// The question is a plan with `from`, `to`, `limit` and `baseline?`, another plan. A plan is `{ catalog, customers?, tiers?,
    /// tierId? }`.
    #[napi(catch_unwind)]
    pub fn simulate(&self, ticket: f64, question: String) -> Result<()> {
        let object = Value::parse("", &question)?.object()?;
        let limit = limit(&object)?;
        let span = Period { start: object.required("from")?.timestamp()?, end: object.required("to")?.timestamp()? };
        if span.start > span.end {
            return Err(Error::invalid("`from` must not be after `to`").into());
        }
        let (plan, baseline) = plans(&object)?;
        let currency = plan.catalog.currency();
        let question = Question { plan, baseline, span };
        let answer = move |Answer { simulation, tiers_of_unassigned, missing_events }| {
            let mut json = simulation_json(&simulation, currency, limit);
            for (customer, tier) in json["unassigned"].as_array_mut().into_iter().flatten().zip(tiers_of_unassigned) {
                customer["tier"] = json!(tier);
            }
            json["missingEvents"] = json!(missing_events);
            json.to_string()
        };
        self.engine.read(
            move |store, settings| simulation::simulate(store, settings, &question),
            self.deliveries.reply(ticket, answer),
        );
        Ok(())
    }
}

/// The plan, and what it is held against.
pub(super) fn plans(object: &Object<'_>) -> crate::Result<(Plan, Option<Plan>)> {
    let new = plan(object)?;
    let Some(baseline) = object.optional("baseline") else { return Ok((new, None)) };
    let old = plan(&baseline.object()?)?;
    let (one, other) = (new.catalog.currency(), old.catalog.currency());
    if one != other {
        return Err(Error::invalid(format!(
            "the catalog is in {one} and the baseline in {other}: compare one currency"
        )));
    }
    Ok((new, Some(old)))
}

fn plan(object: &Object<'_>) -> crate::Result<Plan> {
    let catalog = checked(object.required("catalog")?.json())?;
    let assignment = Assignment::read(&catalog, object)?;
    Ok(Plan { catalog, assignment })
}

/// How many customers are listed.
pub(super) fn limit(object: &Object<'_>) -> crate::Result<usize> {
    Ok(usize::try_from(object.required("limit")?.units()?).unwrap_or(usize::MAX))
}

pub(super) fn simulation_json(simulation: &Simulation, currency: Currency, limit: usize) -> Json {
    let Simulation { customers, unassigned, events, unpriced_events, old, new, winners, losers } = simulation;
    let unassigned_json = |customer: &crate::domain::repricing::Unassigned| {
        json!({
            "customerId": customer.id,
            "tier": null,
            "lacking": match customer.lacking {
                Lacking::New => "catalog",
                Lacking::Old => "baseline",
            },
            "events": customer.events,
            "recordedCost": customer.cost.to_string(),
        })
    };
    json!({
        "currency": currency.code(),
        "events": events,
        "unpricedEvents": unpriced_events,
        "oldTotal": old.as_ref().map(text),
        "newTotal": text(new),
        "difference": old.as_ref().map(|old| text(&(new - old))),
        "winners": side_json(winners),
        "losers": side_json(losers),
        "customerCount": customers.len(),
        "customers": simulation.most_changed(limit).into_iter().map(customer_json).collect::<Vec<_>>(),
        "unassignedCount": unassigned.len(),
        "unassigned": unassigned.iter().take(limit).map(unassigned_json).collect::<Vec<_>>(),
    })
}

fn customer_json(customer: &CustomerOutcome) -> Json {
    json!({
        "customerId": customer.id,
        "tierId": customer.tier,
        "periods": customer.periods,
        "events": customer.events,
        "oldTotal": customer.old.as_ref().map(text),
        "newTotal": text(&customer.new),
        "difference": customer.difference().as_ref().map(text),
    })
}

fn side_json(Side { customers, amount }: &Side) -> Json {
    json!({ "customers": customers, "amount": text(amount) })
}

fn text(decimal: &Decimal) -> String {
    decimal.to_string()
}

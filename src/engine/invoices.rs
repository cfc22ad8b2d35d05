//! What a customer's billing period comes to so far, out of what is recorded.

use std::collections::BTreeMap;

use super::history::{self, History, Sink};
use crate::domain::credit::Unit;
use crate::domain::repricing::{PeriodTally, RecordedUsage, Tally, Terms, place_of_tier};
use crate::domain::{Catalog, Customer, CustomerId, Decimal, Invoice, Money, Period, Proration, Timestamp};
use crate::store::{self, Store};
use crate::{Code, Error, Result};

#[derive(Debug, Clone)]
pub struct Question {
    pub customer_id: CustomerId,
    /// An instant in the billing period.
    pub at: Timestamp,
    /// `None` for the version of the store's own that the customer has.
    pub catalog: Option<Catalog>,
    /// The tier's id in the catalog; `None` for the one that the customer has.
    pub tier: Option<String>,
    /// For which part of the period the tier is due; `None` for all of it.
    pub held: Option<Period>,
    pub credits: Vec<Decimal>,
}

#[derive(Debug, Clone)]
pub struct Preview {
    pub customer: Customer,
    /// By which it is priced.
    pub catalog: Catalog,
    /// The id of the tier in the catalog.
    pub tier: String,
    pub tally: PeriodTally,
    pub invoice: Invoice,
    /// Events whose metadata would have to be known, and were dropped: they are not in it.
    pub missing_events: u64,
}

/// By the customer's own tier and version, what credit for units has paid is taken off as it was when events were counted.
/// `None` for a customer never seen. What a customer has not used costs him no more than the base amount and the minimum.
///
/// Errors: `unknown_tier` where the catalog has not the tier that is given, or else the customer's; `invalid_catalog` where none is
/// given and the store has none, or where the tier asks something for a billing period that is no month; `invalid_argument` where `held` does not lie within the billing period, or a credit is
/// negative.
pub fn preview(store: &dyn Store, settings: &store::Catalog, question: &Question) -> Result<Option<Preview>> {
    let Question { customer_id, at, catalog, tier, held, credits } = question;
    let Some(customer) = store.customer(customer_id)? else { return Ok(None) };
    let catalog = catalog.as_ref().or_else(|| settings.tiers.catalog_of(&customer)).ok_or_else(no_catalog)?;
    let place = match tier {
        Some(id) => place_of_tier(catalog, "tierId", id)?,
        None => place_of(catalog, customer.tier_id.as_deref()).ok_or_else(|| unknown_tier(&customer))?,
    };
    let tier = &catalog.tiers()[place];
    tier.require_due_by_month()?;
    let period = customer.billing_period(*at, settings.time_zone);
    let share = held.map(|held| Proration::by_second(held, period)).transpose()?;
    let terms = Terms { tier: Some(place), anchor: customer.billing_cycle_anchor };
    let sink = || Tally::new(catalog, settings.time_zone, move |_: &str| terms);
    let History { sink, missing_events } = history::read(store, Some(customer_id), period, sink)?;
    let mut periods = sink.finish()?.into_iter().flat_map(|customer| customer.periods);
    let tally = periods.next().unwrap_or_else(|| PeriodTally::empty(period));
    let mut invoice = Invoice::preview(catalog, tier, share, &tally.usage, credits)?;
    if counts_by(settings, &customer, catalog, &tier.id) {
        invoice = invoice.with_units_paid(&costs_of_credited_meters(store, &customer, &tally)?)?;
    }
    let (catalog, tier) = (catalog.clone(), tier.id.clone());
    Ok(Some(Preview { customer, catalog, tier, tally, invoice, missing_events }))
}

/// Whether events are counted at the prices of this tier in this catalog now.
fn counts_by(settings: &store::Catalog, customer: &Customer, catalog: &Catalog, tier: &str) -> bool {
    settings.tiers.catalog_of(customer) == Some(catalog) && customer.tier_id.as_deref() == Some(tier)
}

/// What the events of those meters cost for whose units the customer had credit by the end of the period.
fn costs_of_credited_meters(
    store: &dyn Store,
    customer: &Customer,
    tally: &PeriodTally,
) -> Result<BTreeMap<String, Money>> {
    if !customer.has_credit {
        return Ok(BTreeMap::new());
    }
    let grants = store.credit_grants(&customer.id)?;
    let is_of = |unit: Unit, meter: &str| matches!(unit, Unit::Meter(given) if given.as_str() == meter);
    let had_credit = |meter: &str| {
        let mut given = grants.iter().filter(|given| is_of(given.request.unit, meter));
        given.any(|given| given.grant.effective_at < tally.period.end)
    };
    let costs = tally.costs.iter().filter(|(meter, _)| had_credit(meter));
    Ok(costs.map(|(meter, cost)| (meter.clone(), *cost)).collect())
}

fn place_of(catalog: &Catalog, tier: Option<&str>) -> Option<usize> {
    catalog.tiers().iter().position(|other| tier == Some(other.id.as_str()))
}

fn no_catalog() -> Error {
    Error::new(Code::InvalidCatalog, "this store has no catalog: give one with `catalog`")
}

fn unknown_tier(customer: &Customer) -> Error {
    let has = customer.tier_id.as_ref().map_or("has no tier".to_owned(), |tier| format!("has the tier {tier:?}"));
    let message = format!("{:?} {has}, which the catalog does not name: give `tierId`", customer.id.as_str());
    Error::new(Code::UnknownTier, message)
}

impl<Known: FnMut(&str) -> Terms + Send> Sink for Tally<'_, Known> {
    fn takes_whole(&mut self, usage: &RecordedUsage<'_>, hour: Period) -> bool {
        Tally::takes_whole(self, usage, hour)
    }

    fn add(&mut self, usage: &RecordedUsage<'_>) -> Result<()> {
        Tally::add(self, usage)
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        Tally::merge(self, other)
    }
}

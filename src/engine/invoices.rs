//! What a customer's billing period comes to so far, out of what is recorded.

use std::collections::BTreeMap;

use super::credits;
use super::history::{self, History, Sink};
use crate::domain::catalog::CatalogTier;
use crate::domain::credit::{Account, GrantId, Unit};
use crate::domain::invoice::{Basis, Recorded};
use crate::domain::repricing::{PeriodTally, RecordedUsage, Tally, Terms, place_of_tier};
use crate::domain::{Catalog, Customer, CustomerId, Decimal, HeldTier, Invoice, Period, Proration, Timestamp};
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

/// By the catalog and the tier that the customer has, this is his bill so far: each tier that he has had in the period is due for as
/// long as he had it, usage comes to what its events cost, and credit pays what it has paid.
///
/// `None` for a customer never seen. What a customer has not used costs him no more than the base amount and the minimum.
///
/// Errors: `unknown_tier` where the catalog has not the tier that is given, or else the customer's; `invalid_catalog` where none is
/// given and the store has none, or where the tier asks something for a billing period that is no month; `invalid_argument` where
/// `held` does not lie within the billing period, or a credit is negative.
pub fn preview(store: &dyn Store, settings: &store::Catalog, question: &Question) -> Result<Option<Preview>> {
    let Question { customer_id, at, catalog: given, tier: named, held, credits } = question;
    let Some(customer) = store.customer(customer_id)? else { return Ok(None) };
    let period = customer.billing_period(*at, settings.time_zone);
    let tiers = customer.tiers_within(period);
    // The one at the end of the period, or which he had last in it.
    let last = tiers.iter().map(|(_, tier)| tier).rfind(|tier| tier.tier_id.is_some());
    let own_tier = last.and_then(|tier| tier.tier_id.as_deref());
    let own = settings.tiers.version(last.and_then(|tier| tier.catalog_version.as_deref()));
    let catalog = given.as_ref().or(own).ok_or_else(no_catalog)?;
    let place = match named {
        Some(id) => place_of_tier(catalog, "tierId", id)?,
        None => place_of(catalog, own_tier).ok_or_else(|| unknown_tier(&customer))?,
    };
    let tier = &catalog.tiers()[place];
    let is_bill = own == Some(catalog) && own_tier == Some(tier.id.as_str());

    let mut basis = Basis::new(catalog, tier, held.map(|held| Proration::by_second(held, period)).transpose()?);
    if is_bill && held.is_none() {
        basis.held = held_within(settings, &tiers, period)?;
    }
    basis.held.iter().try_for_each(|(tier, _)| tier.require_due_by_month())?;
    let terms = Terms { tier: Some(place), anchor: customer.billing_cycle_anchor };
    let sink = || Tally::new(catalog, settings.time_zone, move |_: &str| terms);
    let History { sink, missing_events } = history::read(store, Some(customer_id), period, sink)?;
    let mut periods = sink.finish()?.into_iter().flat_map(|customer| customer.periods);
    let tally = periods.next().unwrap_or_else(|| PeriodTally::empty(period));
    let recorded = if is_bill { Some(recorded(store, settings, &customer, &tally)?) } else { None };
    let invoice = Invoice::preview(&basis, &tally.usage, recorded.as_ref(), credits)?;
    let (catalog, tier) = (catalog.clone(), tier.id.clone());
    Ok(Some(Preview { customer, catalog, tier, tally, invoice, missing_events }))
}

/// The tiers that were held in a period, each with its share of it. A tier that its catalog does not name asks nothing.
fn held_within<'s>(
    settings: &'s store::Catalog,
    tiers: &[(Period, HeldTier)],
    whole: Period,
) -> Result<Vec<(&'s CatalogTier, Option<Proration>)>> {
    let mut held = Vec::new();
    for (part, tier) in tiers {
        let found = settings.tiers.version(tier.catalog_version.as_deref()).zip(tier.tier_id.as_deref());
        if let Some(tier) = found.and_then(|(catalog, id)| catalog.tier(id)) {
            let share = if *part == whole { None } else { Some(Proration::by_second(*part, whole)?) };
            held.push((tier, share));
        }
    }
    Ok(held)
}

/// What the store knows of a period's events that a catalog does not tell.
fn recorded(
    store: &dyn Store,
    settings: &store::Catalog,
    customer: &Customer,
    tally: &PeriodTally,
) -> Result<Recorded> {
    let (costs, period) = (tally.costs.clone(), tally.period);
    if !customer.has_credit {
        return Ok(Recorded { costs, ..Recorded::default() });
    }
    let grants = store.credit_grants(&customer.id)?;
    let given = grants.iter().filter(|given| given.grant.effective_at < period.end);
    let credited = given.filter_map(|given| match given.request.unit {
        Unit::Meter(meter) => Some(meter.as_str().to_owned()),
        Unit::Money => None,
    });
    let credited = credited.collect();

    let burnt_by = |instant: Timestamp| -> Result<Vec<(GrantId, Account)>> {
        Ok(credits::balance(store, settings, &customer.id, Unit::Money, Some(instant), instant)?.1.grants)
    };
    let before: BTreeMap<GrantId, Account> = burnt_by(period.start.plus_millis(-1))?.into_iter().collect();
    let burnt = burnt_by(period.end.plus_millis(-1))?.into_iter().map(|(id, account)| {
        let until_then = before.get(&id).map(|account| account.burnt.clone()).unwrap_or_default();
        (id.as_str().to_owned(), account.burnt.saturating_sub(&until_then))
    });
    let burnt = burnt.filter(|(_, amount)| !amount.is_zero()).collect();
    Ok(Recorded { costs, credited, burnt })
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

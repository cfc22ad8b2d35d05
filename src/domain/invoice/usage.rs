//! The lines of what was used.

use std::collections::BTreeMap;

use super::{InvoiceLine, Item};
use crate::domain::Decimal;
use crate::domain::catalog::{Catalog, CatalogPrice, CatalogTier};
use crate::domain::rating::{Line, Usage};
use crate::domain::suggestion::advice;
use crate::{Code, Error, Result};

/// What was used of a meter at one of its prices. A price may come several times, as where usage is broken down by
/// dimension: its usage is added up before it is priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedUsage {
    pub meter: String,
    /// The price's id, as [`Catalog::resolve`] found it; `None` for usage without a price.
    pub price: Option<String>,
    pub usage: Usage,
}

/// For each meter, what is included, what is charged, and what has no price.
pub(super) fn lines(catalog: &Catalog, tier: &CatalogTier, usage: &[PricedUsage]) -> Result<Vec<InvoiceLine>> {
    let sums = add_up(catalog, tier, usage)?;
    let mut lines = Vec::new();
    for meter in catalog.meters() {
        let mut allowance = Allowance::new(tier.included(meter).map_or(0, |included| included.units));
        let of_meter = sums.range((meter.as_str(), None)..).take_while(|((other, _), _)| other == meter);
        let of_prices = of_meter.filter_map(|((_, price), usage)| Some(((*price)?, usage.clone())));
        let mut usage_lines = Vec::new();
        for (price, usage) in charged(catalog, meter, &mut allowance, of_prices) {
            let item = Item::Usage { meter: meter.clone(), price: price.id.clone() };
            let quoted = price.price.quote(&usage).lines.into_iter();
            usage_lines.extend(quoted.map(|line| InvoiceLine { item: item.clone(), line }));
        }
        if let Some(sum) = sums.get(&(meter.as_str(), None)) {
            let line = Line::new("Units without a price", allowance.take(&sum.quantity), &Decimal::default());
            usage_lines.push(InvoiceLine { item: Item::Unpriced { meter: meter.clone() }, line });
        }
        if !allowance.taken.is_zero() {
            let line = Line::new("Included units", allowance.taken, &Decimal::default());
            lines.push(InvoiceLine { item: Item::Included { meter: meter.clone() }, line });
        }
        lines.extend(usage_lines);
    }
    Ok(lines)
}

/// What is left of a tier's included units.
pub(super) struct Allowance {
    left: Decimal,
    taken: Decimal,
}

impl Allowance {
    pub fn new(units: u64) -> Self {
        Self { left: units.into(), taken: Decimal::default() }
    }

    /// Covers what it can, and answers with the rest.
    fn take(&mut self, quantity: &Decimal) -> Decimal {
        let rest = quantity.saturating_sub(&self.left);
        let covered = quantity - &rest;
        self.left = &self.left - &covered;
        self.taken = &self.taken + &covered;
        rest
    }
}

/// What of the usage under some prices of a meter, by their ids, is charged: in the catalog's order.
pub(super) fn charged<'c, 'u>(
    catalog: &'c Catalog,
    meter: &str,
    allowance: &mut Allowance,
    used: impl Iterator<Item = (&'u str, Usage)>,
) -> Vec<(&'c CatalogPrice, Usage)> {
    let mut used: Vec<_> = used.filter_map(|(id, usage)| Some((catalog.position_of_price(id)?, usage))).collect();
    used.sort_unstable_by_key(|(position, _)| *position);
    let prices = used.into_iter().map(|(position, usage)| (&catalog.prices()[position], usage));
    let of_meter = prices.filter(|(price, _)| price.meter == meter);
    of_meter.map(|(price, usage)| (price, Usage { quantity: allowance.take(&usage.quantity), ..usage })).collect()
}

/// By meter and price.
type Sums<'a> = BTreeMap<(&'a str, Option<&'a str>), Usage>;

fn add_up<'a>(catalog: &Catalog, tier: &CatalogTier, usage: &'a [PricedUsage]) -> Result<Sums<'a>> {
    let mut sums = Sums::new();
    for (position, row) in usage.iter().enumerate() {
        check(catalog, tier, row)
            .map_err(|what| Error::new(Code::InvalidArgument, format!("`usage[{position}]`: {what}")))?;
        let zero = || Usage { quantity: Decimal::default(), events: Some(Decimal::default()) };
        let sum = sums.entry((&row.meter, row.price.as_deref())).or_insert_with(zero);
        sum.quantity = &sum.quantity + &row.usage.quantity;
        // How many events there were is known only where all rows say so.
        sum.events = sum.events.take().zip(row.usage.events.as_ref()).map(|(sum, events)| &sum + events);
    }
    Ok(sums)
}

fn check(catalog: &Catalog, tier: &CatalogTier, row: &PricedUsage) -> std::result::Result<(), String> {
    if !catalog.meters().contains(&row.meter) {
        let advice = advice(&row.meter, "the meters are", catalog.meters().iter().map(String::as_str));
        return Err(format!("there is no meter {:?}; {advice}", row.meter));
    }
    if row.usage.quantity.is_negative() || row.usage.events.as_ref().is_some_and(Decimal::is_negative) {
        return Err(format!("the quantity must not be negative, got {}", row.usage.quantity));
    }
    let Some(id) = &row.price else { return Ok(()) };
    let applies = |price: &&CatalogPrice| {
        price.meter == row.meter && price.tier.as_ref().is_none_or(|tier_id| tier.lineage.contains(tier_id))
    };
    match catalog.price(id).filter(applies) {
        Some(_) => Ok(()),
        None => Err(format!("no price {id:?} of the meter {:?} applies to the tier {:?}", row.meter, tier.id)),
    }
}

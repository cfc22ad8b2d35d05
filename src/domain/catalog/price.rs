//! A price of the catalog: for which usage it is, and what that costs.

use std::collections::BTreeMap;

use super::names::{self, Kind, Names, same_currency};
use super::{Route, contradiction};
use crate::Result;
use crate::domain::json::Value;
use crate::domain::mistakes::Mistakes;
use crate::domain::rating::Price;
use crate::domain::{Currency, Money};

#[derive(Debug, Clone)]
pub struct CatalogPrice {
    pub id: String,
    pub meter: String,
    /// For customers of this tier, and of tiers that extend it; `None` for all.
    pub tier: Option<String>,
    /// For requests that match; `None` for all usage.
    pub route: Option<Route>,
    /// For usage whose metadata has all of these values.
    pub dimensions: BTreeMap<String, String>,
    pub price: Price,
    /// What each unit costs, where that does not depend on others.
    pub unit_price: Option<Money>,
    /// The price as it was written, in its shortest form.
    pub(super) written: serde_json::Value,
    pub(super) place: String,
    /// It stands with a tier's included units.
    pub(super) is_overage: bool,
}

impl CatalogPrice {
    const FIELDS: &[&str] = &["id", "meter", "tier", "route", "dimensions", "currency", "price"];

    pub(super) fn read(
        value: &Value<'_>,
        currency: Option<Currency>,
        names: &Names,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let object = mistakes.object(value, Self::FIELDS)?;
        let id = mistakes.required(&object, "id", names::id);
        let meter = mistakes.required(&object, "meter", names.known(Kind::Meter));
        let tier = mistakes.optional(&object, "tier", names.known(Kind::Tier));
        let route = mistakes.optional(&object, "route", Route::read);
        let dimensions = mistakes.optional(&object, "dimensions", dimensions);
        same_currency(&object, currency, mistakes);
        let written = mistakes.required(&object, "price", |price| Ok(price.clone()))?;
        let price = Price::read_noting(&written, mistakes);
        Some(Self {
            unit_price: price.as_ref().and_then(Price::of_unit),
            id: id?,
            meter: meter?,
            tier: tier?,
            route: route?,
            dimensions: dimensions?.unwrap_or_default(),
            price: price?,
            written: super::normal::price(&written)?,
            place: value.place().to_owned(),
            is_overage: false,
        })
    }

    /// The price of what a tier uses of a meter above what it includes. Its id is `<tier>.<meter>.overage`.
    pub(super) fn for_overage(value: &Value<'_>, tier: &str, meter: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let price = Price::read_noting(value, mistakes)?;
        Some(Self {
            unit_price: price.of_unit(),
            id: format!("{tier}.{meter}.overage"),
            meter: meter.to_owned(),
            tier: Some(tier.to_owned()),
            route: None,
            dimensions: BTreeMap::new(),
            price,
            written: super::normal::price(value)?,
            place: value.place().to_owned(),
            is_overage: true,
        })
    }
}

fn dimensions(value: &Value<'_>) -> Result<BTreeMap<String, String>> {
    let object = value.object()?;
    let dimensions = object.fields().map(|(name, value)| Ok((name.to_owned(), value.string()?)));
    let dimensions: BTreeMap<String, String> = dimensions.collect::<Result<_>>()?;
    if dimensions.is_empty() {
        return Err(contradiction(value.place(), " must name at least one, such as { \"model\": \"gpt-4\" }"));
    }
    Ok(dimensions)
}

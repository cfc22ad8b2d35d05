//! What Stripe's catalog must hold: a product and a price for each tier, a meter and perhaps a price for each meter. Pure.

use std::collections::HashSet;

use super::{
    objects::{FoundMeter, FoundPrice},
    requests::path_id,
};
use crate::{
    Error, Result,
    domain::{
        Currency, Decimal, Rounding,
        json::{Object, Value},
    },
};

/// The most decimal places of `unit_amount_decimal`.
const MAX_DECIMAL_PLACES: u16 = 12;

#[derive(Debug, Clone)]
pub struct Catalog {
    pub currency: Currency,
    pub meters: Vec<WantedMeter>,
    /// Of tiers, then of meters.
    pub prices: Vec<WantedPrice>,
}

#[derive(Debug, Clone)]
pub struct WantedMeter {
    pub event_name: String,
    pub display_name: String,
    /// `sum`, `count` or `last`.
    pub formula: String,
}

/// A price that is paid by the month.
#[derive(Debug, Clone)]
pub struct WantedPrice {
    pub lookup_key: String,
    pub product_name: String,
    /// In the currency's minor unit, as Stripe counts it.
    pub unit_amount: Decimal,
    pub pays_for: PaysFor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaysFor {
    /// The tier with this id.
    Tier(String),
    /// What the meter of this event counts.
    Usage(String),
}

impl Catalog {
    /// Reads `{ currency, tiers: [{ id, name, monthlyPrice, lookupKey? }], meters: [{ eventName, displayName?,
    /// aggregation?, unitPrice?, lookupKey? }] }`, amounts in the currency's major unit.
    pub fn read(json: &str) -> Result<Self> {
        let catalog = Value::parse("", json)?.object()?;
        let code = catalog.required("currency")?;
        let currency = Currency::parse(code.place(), &code.string()?)?;
        let mut prices = Vec::new();
        for tier in catalog.required("tiers")?.array()? {
            prices.push(WantedPrice::of_tier(&tier.object()?, currency)?);
        }
        let mut meters = Vec::new();
        for meter in catalog.required("meters")?.array()? {
            let meter = meter.object()?;
            meter.only(&["eventName", "displayName", "aggregation", "unitPrice", "lookupKey"])?;
            let wanted = WantedMeter::read(&meter)?;
            if let Some(unit_price) = meter.optional("unitPrice") {
                prices.push(WantedPrice::of_meter(&wanted, &meter, &unit_price, currency)?);
            }
            meters.push(wanted);
        }
        refuse_twice("lookup key", prices.iter().map(|price| &price.lookup_key))?;
        refuse_twice("event name", meters.iter().map(|meter| &meter.event_name))?;
        Ok(Self { currency, meters, prices })
    }

    /// As Stripe writes it.
    pub fn currency_code(&self) -> String {
        self.currency.code().to_ascii_lowercase()
    }
}

impl WantedMeter {
    fn read(meter: &Object<'_>) -> Result<Self> {
        let event_name = meter.required("eventName")?;
        let display_name = meter.optional("displayName").unwrap_or_else(|| event_name.clone());
        let formula = match meter.optional("aggregation") {
            None => "sum".to_owned(),
            Some(formula) => match formula.string()?.as_str() {
                known @ ("sum" | "count" | "last") => known.to_owned(),
                _ => return Err(formula.must_be("\"sum\", \"count\" or \"last\"")),
            },
        };
        let event_name = match event_name.string()? {
            empty if empty.is_empty() => return Err(event_name.must_be("a name")),
            name => name,
        };
        Ok(Self { event_name, display_name: display_name.string()?, formula })
    }

    /// How the meter that is there differs, in words.
    pub fn difference(&self, found: &FoundMeter) -> Option<String> {
        let formula = found.formula()?;
        (formula != self.formula).then(|| {
            format!("meter {} ({}) aggregates by {formula} and not by {}", found.id, self.event_name, self.formula)
        })
    }
}

impl WantedPrice {
    fn of_tier(tier: &Object<'_>, currency: Currency) -> Result<Self> {
        let id = tier.required("id")?.string()?;
        let price = tier.required("monthlyPrice")?;
        let unit_amount = minor_units(&price.non_negative()?, currency);
        if !unit_amount.is_whole() {
            return Err(price.must_be(&format!("an amount that can be paid in {currency}")));
        }
        Ok(Self {
            lookup_key: lookup_key(tier, format!("{id}_monthly"))?,
            product_name: tier.required("name")?.string()?,
            unit_amount,
            pays_for: PaysFor::Tier(id),
        })
    }

    fn of_meter(meter: &WantedMeter, input: &Object<'_>, price: &Value<'_>, currency: Currency) -> Result<Self> {
        let unit_amount = minor_units(&price.non_negative()?, currency);
        if unit_amount.round(MAX_DECIMAL_PLACES, Rounding::default()) != unit_amount {
            return Err(price.must_be(&format!(
                "a price with at most {MAX_DECIMAL_PLACES} decimal places in the minor unit of {currency}"
            )));
        }
        Ok(Self {
            lookup_key: lookup_key(input, meter.event_name.clone())?,
            product_name: meter.display_name.clone(),
            unit_amount,
            pays_for: PaysFor::Usage(meter.event_name.clone()),
        })
    }

    /// Products have no lookup key, but an id that may be chosen.
    pub fn product_id(&self) -> String {
        format!("weighbridge_{}", self.lookup_key)
    }

    /// How the price that is there differs, in words. `meter_id` is that of its meter, if there is one.
    pub fn difference(&self, found: &FoundPrice, currency: &str, meter_id: Option<&str>) -> Option<String> {
        let unit_amount = found.unit_amount();
        let is_metered = matches!(self.pays_for, PaysFor::Usage(_));
        let usage_type = if is_metered { "metered" } else { "licensed" };
        let has_its_meter = found.meter() == meter_id && meter_id.is_some() == is_metered;
        let differences = [
            (!found.active).then(|| "is archived".to_owned()),
            (found.currency != currency).then(|| format!("is in {} and not in {currency}", found.currency)),
            (unit_amount.as_ref() != Some(&self.unit_amount)).then(|| {
                let amount = unit_amount.map_or_else(|| "no one amount".to_owned(), |amount| amount.to_string());
                format!("has {amount} and not {} for a unit", self.unit_amount)
            }),
            (!found.is_monthly()).then(|| "is not paid by the month".to_owned()),
            (found.usage_type() != Some(usage_type)).then(|| format!("is not {usage_type}")),
            (!has_its_meter).then(|| "belongs to another meter".to_owned()),
        ];
        let differences: Vec<_> = differences.into_iter().flatten().collect();
        (!differences.is_empty())
            .then(|| format!("price {} ({}) {}", found.id, self.lookup_key, differences.join(", ")))
    }
}

fn lookup_key(object: &Object<'_>, default: String) -> Result<String> {
    let key = object.optional("lookupKey").map_or(Ok(default), |key| key.string())?;
    path_id("lookupKey", &key)?;
    Ok(key)
}

fn refuse_twice<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::invalid(format!("the {what} {name:?} is in the catalog twice")));
        }
    }
    Ok(())
}

/// In the unit that Stripe counts, which for some currencies is not ISO's (<https://docs.stripe.com/currencies>).
fn minor_units(amount: &Decimal, currency: Currency) -> Decimal {
    let places = match currency.code() {
        "MGA" => 0,
        "ISK" | "UGX" => 2,
        _ => currency.decimal_places(),
    };
    amount * &Decimal::from(10u64.pow(places.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(currency: &str, price: &str) -> Result<String> {
        let tier = format!(r#"{{"id":"pro","name":"Pro","monthlyPrice":{price}}}"#);
        let json = format!(r#"{{"currency":"{currency}","tiers":[{tier}],"meters":[]}}"#);
        Ok(Catalog::read(&json)?.prices[0].unit_amount.to_string())
    }

    #[test]
    fn amounts_are_in_the_unit_that_stripe_counts() {
        for (currency, price, minor) in [
            ("usd", "29", "2900"),
            ("EUR", "0.29", "29"),
            ("eur", "\"19.99\"", "1999"),
            ("jpy", "500", "500"),
            ("kwd", "5.12", "5120"),
            ("isk", "100", "10000"),
            ("ugx", "5", "500"),
            ("mga", "7", "7"),
        ] {
            assert_eq!(amount(currency, price).unwrap(), minor, "{price} {currency}");
        }
        for (currency, price) in [("usd", "0.001"), ("jpy", "0.5"), ("usd", "-1"), ("xau", "1"), ("usd", "\"x\"")] {
            assert!(amount(currency, price).is_err(), "{price} {currency}");
        }
    }

    #[test]
    fn a_meters_price_may_be_a_fraction_of_a_cent() {
        let read = |meter: &str| Catalog::read(&format!(r#"{{"currency":"usd","tiers":[],"meters":[{meter}]}}"#));
        let catalog = read(r#"{"eventName":"calls","unitPrice":"0.00000000000001"}"#).unwrap();
        assert_eq!(catalog.prices[0].unit_amount.to_string(), "0.000000000001");
        assert_eq!((catalog.prices[0].lookup_key.as_str(), catalog.meters[0].formula.as_str()), ("calls", "sum"));
        assert!(read(r#"{"eventName":"calls"}"#).unwrap().prices.is_empty());
        for bad in [
            r#"{"eventName":"calls","unitPrice":"0.000000000000001"}"#,
            r#"{"eventName":"calls","aggregation":"max"}"#,
            r#"{"eventName":"calls","unit_price":1}"#,
            r#"{"eventName":""}"#,
            r#"{"eventName":"a call","unitPrice":1}"#,
            r#"{"eventName":"calls"},{"eventName":"calls"}"#,
            r#"{"eventName":"a","unitPrice":1,"lookupKey":"x"},{"eventName":"b","unitPrice":1,"lookupKey":"x"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

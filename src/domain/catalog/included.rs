//! Units that a tier's own price pays for, and what becomes of those above them.

use super::CatalogPrice;
use super::names::{Kind, Names};
use crate::Result;
use crate::domain::json::Value;
use crate::domain::mistakes::Mistakes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    pub meter: String,
    /// In each billing period.
    pub units: u64,
    pub overage: Overage,
}

/// What becomes of units above the included ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overage {
    /// They are refused.
    Block,
    /// They cost what the catalog's prices say.
    Charge,
    /// They cost what is said here: a price of the catalog, with this id, for this tier and meter.
    ChargeAt(String),
}

impl Included {
    /// A price that is written here is added to the prices.
    pub(super) fn read(
        value: &Value<'_>,
        tier: &str,
        names: &Names,
        prices: &mut Vec<CatalogPrice>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let object = mistakes.object(value, &["meter", "units", "overage"])?;
        let meter = mistakes.required(&object, "meter", names.known(Kind::Meter));
        let units = mistakes.required(&object, "units", Value::units);
        let overage = mistakes.required(&object, "overage", |overage| Ok(overage.clone()))?;
        let overage = if overage.object().is_ok() {
            let price = CatalogPrice::for_overage(&overage, tier, meter.as_deref()?, mistakes)?;
            let id = price.id.clone();
            prices.push(price);
            Overage::ChargeAt(id)
        } else {
            mistakes.value(&overage, without_price)?
        };
        Some(Self { meter: meter?, units: units?, overage })
    }

    /// For a tier that extends the one that says so: a price that is written there applies to both.
    pub(super) fn inherited(&self) -> Self {
        let overage = match &self.overage {
            Overage::Block => Overage::Block,
            Overage::Charge | Overage::ChargeAt(_) => Overage::Charge,
        };
        Self { overage, ..self.clone() }
    }
}

fn without_price(value: &Value<'_>) -> Result<Overage> {
    if value.string().is_err() {
        return Err(value.must_be("\"block\", \"charge\" or a price such as { \"model\": \"per_unit\", … }"));
    }
    value.one_of(&[("block", Overage::Block), ("charge", Overage::Charge)])
}

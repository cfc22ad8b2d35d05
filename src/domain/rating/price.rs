//! A price of any model, as people write it in JSON.

use super::{Bounds, Charge, Line, Package, PerUnit, Percentage, PriceTiers, Quote, Usage, graduated, volume};
use crate::domain::json::{Object, Value};
use crate::domain::suggestion::advice;
use crate::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pub model: Model,
    pub bounds: Bounds,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    PerUnit(PerUnit),
    Package(Package),
    Graduated(PriceTiers),
    Volume(PriceTiers),
    Percentage(Percentage),
    GraduatedPercentage(PriceTiers),
}

impl Price {
    /// Reads `{ "model": "per_unit", "unitAmount": "0.10" }` and the like. Errors begin with the value's place:
    /// `invalid_argument` where a field is missing, unknown or no decimal, `invalid_catalog` where fields contradict each
    /// other.
    pub fn read(value: &Value<'_>) -> Result<Self> {
        let object = value.object()?;
        let model = Model::read(&object)?;
        Ok(Self { model, bounds: Bounds::read(value.place(), &object)? })
    }

    pub fn quote(&self, usage: &Usage) -> Quote {
        let mut quote = Quote { lines: self.model.lines(usage) };
        quote.lines.extend(self.bounds.adjustment(&quote.amount()));
        quote
    }
}

impl Model {
    const NAMES: &[&str] = &["per_unit", "package", "graduated", "volume", "percentage", "graduated_percentage"];

    fn read(object: &Object<'_>) -> Result<Self> {
        let name = object.required("model")?;
        let only = |fields: &[&'static str]| object.only(&[&["model"], fields, Bounds::FIELDS].concat());
        let tiers = |charge| {
            only(&["tiers"])?;
            PriceTiers::read(&object.required("tiers")?, charge)
        };
        match name.string()?.as_str() {
            "per_unit" => only(PerUnit::FIELDS).and_then(|()| PerUnit::read(object)).map(Self::PerUnit),
            "package" => only(Package::FIELDS).and_then(|()| Package::read(object)).map(Self::Package),
            "graduated" => tiers(Charge::UnitAmount).map(Self::Graduated),
            "volume" => tiers(Charge::UnitAmount).map(Self::Volume),
            "percentage" => only(Percentage::FIELDS).and_then(|()| Percentage::read(object)).map(Self::Percentage),
            "graduated_percentage" => tiers(Charge::Rate).map(Self::GraduatedPercentage),
            unknown => Err(unknown_model(name.place(), unknown)),
        }
    }

    fn lines(&self, usage: &Usage) -> Vec<Line> {
        match self {
            Self::PerUnit(price) => price.lines(&usage.quantity),
            Self::Package(price) => price.lines(&usage.quantity),
            Self::Graduated(tiers) | Self::GraduatedPercentage(tiers) => graduated::lines(tiers, &usage.quantity),
            Self::Volume(tiers) => volume::lines(tiers, &usage.quantity),
            Self::Percentage(price) => price.lines(usage),
        }
    }
}

fn unknown_model(place: &str, name: &str) -> Error {
    let advice = advice(name, "the models are", Model::NAMES.iter().copied());
    Error::invalid(format!("`{place}`: there is no model {name:?}; {advice}")).at(place)
}

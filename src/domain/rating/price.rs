//! A price of any model, as people write it in JSON.

use super::{Bounds, Charge, Line, Package, PerUnit, Percentage, PriceTiers, Quote, Usage, graduated, volume};
use crate::domain::json::{Object, Value};
use crate::domain::mistakes::Mistakes;
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
    /// Reads `{ "model": "per_unit", "unitAmount": "0.10" }` and the like. The error is the first mistake; it begins with its
    /// place: `invalid_argument` where a field is missing, unknown or no decimal, `invalid_catalog` where fields
    /// contradict each other.
    pub fn read(value: &Value<'_>) -> Result<Self> {
        let mut mistakes = Mistakes::default();
        let price = Self::read_noting(value, &mut mistakes);
        mistakes.or(price).map_err(|mistakes| {
            // Cannot be without one: what was not read was noted.
            mistakes.into_iter().next().unwrap_or_else(|| value.must_be("a price"))
        })
    }

    /// Like [`Price::read`], with all mistakes.
    pub fn read_noting(value: &Value<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let object = mistakes.value(value, Value::object)?;
        let model = Model::read(&object, mistakes);
        let bounds = Bounds::read(value.place(), &object, mistakes);
        Some(Self { model: model?, bounds: bounds? })
    }

    pub fn quote(&self, usage: &Usage) -> Quote {
        let mut quote = Quote { lines: self.model.lines(usage) };
        quote.lines.extend(self.bounds.adjustment(&quote.amount()));
        quote
    }
}

impl Model {
    const NAMES: &[&str] = &["per_unit", "package", "graduated", "volume", "percentage", "graduated_percentage"];

    fn read(object: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        match mistakes.required(object, "model", Value::string)?.as_str() {
            "per_unit" => PerUnit::read(only(object, PerUnit::FIELDS, mistakes), mistakes).map(Self::PerUnit),
            "package" => Package::read(only(object, Package::FIELDS, mistakes), mistakes).map(Self::Package),
            "graduated" => tiers(object, Charge::UnitAmount, mistakes).map(Self::Graduated),
            "volume" => tiers(object, Charge::UnitAmount, mistakes).map(Self::Volume),
            "percentage" => {
                Percentage::read(only(object, Percentage::FIELDS, mistakes), mistakes).map(Self::Percentage)
            }
            "graduated_percentage" => tiers(object, Charge::Rate, mistakes).map(Self::GraduatedPercentage),
            unknown => mistakes.required(object, "model", |name| Err::<Self, _>(unknown_model(name.place(), unknown))),
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

/// The object, of which all other fields are noted as unknown.
fn only<'o, 'a>(object: &'o Object<'a>, fields: &[&'static str], mistakes: &mut Mistakes) -> &'o Object<'a> {
    object.unknown(&[&["model"], fields, Bounds::FIELDS].concat()).for_each(|unknown| mistakes.note(unknown));
    object
}

fn tiers(object: &Object<'_>, charge: Charge, mistakes: &mut Mistakes) -> Option<PriceTiers> {
    let object = only(object, &["tiers"], mistakes);
    let tiers = mistakes.required(object, "tiers", |tiers| Ok(tiers.clone()))?;
    PriceTiers::read(&tiers, charge, mistakes)
}

fn unknown_model(place: &str, name: &str) -> Error {
    let advice = advice(name, "the models are", Model::NAMES.iter().copied());
    Error::invalid(format!("`{place}`: there is no model {name:?}; {advice}")).at(place)
}

//! The question and the answer of rating.

use crate::Result;
use crate::domain::Decimal;
use crate::domain::json::Object;

/// What is to be priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// From 0, not necessarily whole: gigabytes, hours, or the volume of payments that a percentage is taken of.
    pub quantity: Decimal,
    /// In how many events it came, where that is known. Only a percentage's fixed amount asks.
    pub events: Option<Decimal>,
}

impl Usage {
    pub const FIELDS: &[&str] = &["quantity", "events"];

    pub fn read(object: &Object<'_>) -> Result<Self> {
        Ok(Self {
            quantity: object.required("quantity")?.non_negative()?,
            events: object.optional("events").map(|events| events.count()).transpose()?,
        })
    }
}

/// A part of the amount, which always is `units × unit_amount + flat_amount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// For people, in English.
    pub description: String,
    /// How many of what the description names: units, packages or events.
    pub units: Decimal,
    pub unit_amount: Decimal,
    /// Negative only where a maximum takes something off.
    pub flat_amount: Decimal,
}

impl Line {
    pub fn new(description: impl Into<String>, units: Decimal, unit_amount: &Decimal) -> Self {
        let (unit_amount, flat_amount) = (unit_amount.clone(), Decimal::default());
        Self { description: description.into(), units, unit_amount, flat_amount }
    }

    pub fn with_flat_amount(self, flat_amount: &Decimal) -> Self {
        Self { flat_amount: flat_amount.clone(), ..self }
    }

    /// Takes up to `free` off the units: the line for those that cost nothing, if there are any, and what is left.
    pub fn free(description: &str, units: &Decimal, free: &Decimal) -> (Option<Self>, Decimal) {
        let rest = units.saturating_sub(free);
        let taken = units - &rest;
        let line = (!taken.is_zero()).then(|| Self::new(description, taken, &Decimal::default()));
        (line, rest)
    }

    pub fn amount(&self) -> Decimal {
        &(&self.units * &self.unit_amount) + &self.flat_amount
    }
}

/// What it costs, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// At least one.
    pub lines: Vec<Line>,
}

impl Quote {
    /// The sum of the lines.
    pub fn amount(&self) -> Decimal {
        self.lines.iter().map(Line::amount).sum()
    }
}

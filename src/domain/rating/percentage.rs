//! A share of the quantity, such as the volume of payments, and a fixed amount for each event. Lago's `percentage`.
//!
//! Lago's minimum and maximum *per transaction* need every transaction's own quantity: quote each by itself, with
//! `events: 1` and bounds.

use super::{Line, Usage};
use crate::Result;
use crate::domain::Decimal;
use crate::domain::json::Object;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Percentage {
    /// The rate as a factor: 0.029 for 2.9 per cent.
    unit_amount: Decimal,
    fixed_amount: Decimal,
    free_units: Decimal,
    /// Events without the fixed amount. They count apart from the free units.
    free_events: Decimal,
    flat_amount: Decimal,
}

impl Percentage {
    pub const FIELDS: &[&str] = &["rate", "fixedAmount", "freeUnits", "freeEvents", "flatAmount"];

    pub fn read(object: &Object<'_>) -> Result<Self> {
        Ok(Self {
            unit_amount: object.required("rate")?.non_negative()?.percent(),
            fixed_amount: object.non_negative_or_zero("fixedAmount")?,
            free_units: object.non_negative_or_zero("freeUnits")?,
            free_events: object.optional("freeEvents").map_or_else(|| Ok(Decimal::default()), |count| count.count())?,
            flat_amount: object.non_negative_or_zero("flatAmount")?,
        })
    }

    pub fn lines(&self, usage: &Usage) -> Vec<Line> {
        let (free, paid) = Line::free("Free units", &usage.quantity, &self.free_units);
        let units = Line::new("Units", paid, &self.unit_amount).with_flat_amount(&self.flat_amount);
        free.into_iter().chain([units]).chain(self.fixed(usage)).collect()
    }

    /// Without a count no event is charged; a line says so.
    fn fixed(&self, usage: &Usage) -> Vec<Line> {
        if self.fixed_amount.is_zero() {
            return Vec::new();
        }
        let Some(events) = &usage.events else {
            return vec![Line::new("Events (their number was not given)", Decimal::default(), &self.fixed_amount)];
        };
        let (free, paid) = Line::free("Free events", events, &self.free_events);
        free.into_iter().chain([Line::new("Events", paid, &self.fixed_amount)]).collect()
    }
}

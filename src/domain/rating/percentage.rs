//! A share of the quantity, such as the volume of payments, and a fixed amount for each event. Lago's `percentage`.
//!
//! Lago's minimum and maximum *per transaction* need every transaction's own quantity: quote each by itself, with
//! `events: 1` and bounds.

use super::{Line, Usage};
use crate::domain::Decimal;
use crate::domain::json::{Object, Value};
use crate::domain::mistakes::Mistakes;

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

    pub(super) fn read(object: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let rate = mistakes.required(object, "rate", Value::non_negative);
        let fixed_amount = mistakes.non_negative_or_zero(object, "fixedAmount");
        let free_units = mistakes.non_negative_or_zero(object, "freeUnits");
        let free_events = mistakes.optional(object, "freeEvents", Value::count);
        let flat_amount = mistakes.non_negative_or_zero(object, "flatAmount");
        Some(Self {
            unit_amount: rate?.percent(),
            fixed_amount: fixed_amount?,
            free_units: free_units?,
            free_events: free_events?.unwrap_or_default(),
            flat_amount: flat_amount?,
        })
    }

    /// No unit is free and nothing is due beside the units.
    pub(super) fn is_of_units_alone(&self) -> bool {
        self.free_units.is_zero() && self.fixed_amount.is_zero() && self.flat_amount.is_zero()
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

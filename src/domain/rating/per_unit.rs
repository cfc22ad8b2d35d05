//! Every unit costs the same. Lago's `standard`; Stripe's `billing_scheme: 'per_unit'`.

use super::Line;
use crate::domain::Decimal;
use crate::domain::json::{Object, Value};
use crate::domain::mistakes::Mistakes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerUnit {
    unit_amount: Decimal,
    free_units: Decimal,
    flat_amount: Decimal,
}

impl PerUnit {
    pub const FIELDS: &[&str] = &["unitAmount", "freeUnits", "flatAmount"];

    pub(super) fn read(object: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let unit_amount = mistakes.required(object, "unitAmount", Value::non_negative);
        let free_units = mistakes.non_negative_or_zero(object, "freeUnits");
        let flat_amount = mistakes.non_negative_or_zero(object, "flatAmount");
        Some(Self { unit_amount: unit_amount?, free_units: free_units?, flat_amount: flat_amount? })
    }

    /// No unit is free and nothing is due beside the units.
    pub(super) fn is_of_units_alone(&self) -> bool {
        self.free_units.is_zero() && self.flat_amount.is_zero()
    }

    pub fn lines(&self, quantity: &Decimal) -> Vec<Line> {
        let (free, paid) = Line::free("Free units", quantity, &self.free_units);
        let units = Line::new("Units", paid, &self.unit_amount).with_flat_amount(&self.flat_amount);
        free.into_iter().chain([units]).collect()
    }
}

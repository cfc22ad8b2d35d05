//! Every unit costs the same. Lago's `standard`; Stripe's `billing_scheme: 'per_unit'`.

use super::Line;
use crate::Result;
use crate::domain::Decimal;
use crate::domain::json::Object;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerUnit {
    unit_amount: Decimal,
    free_units: Decimal,
    flat_amount: Decimal,
}

impl PerUnit {
    pub const FIELDS: &[&str] = &["unitAmount", "freeUnits", "flatAmount"];

    pub fn read(object: &Object<'_>) -> Result<Self> {
        Ok(Self {
            unit_amount: object.required("unitAmount")?.non_negative()?,
            free_units: object.non_negative_or_zero("freeUnits")?,
            flat_amount: object.non_negative_or_zero("flatAmount")?,
        })
    }

    pub fn lines(&self, quantity: &Decimal) -> Vec<Line> {
        let (free, paid) = Line::free("Free units", quantity, &self.free_units);
        let units = Line::new("Units", paid, &self.unit_amount).with_flat_amount(&self.flat_amount);
        free.into_iter().chain([units]).collect()
    }
}

//! Packages of so many units; one that was begun counts whole. Lago's `package`; Stripe's `transform_quantity` with `round:
//! 'up'`.

use super::Line;
use crate::Result;
use crate::domain::Decimal;
use crate::domain::decimal::Positive;
use crate::domain::json::Object;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Of one package.
    amount: Decimal,
    package_size: Positive,
    free_units: Decimal,
    flat_amount: Decimal,
}

impl Package {
    pub const FIELDS: &[&str] = &["amount", "packageSize", "freeUnits", "flatAmount"];

    pub fn read(object: &Object<'_>) -> Result<Self> {
        Ok(Self {
            amount: object.required("amount")?.non_negative()?,
            package_size: object.required("packageSize")?.positive()?,
            free_units: object.non_negative_or_zero("freeUnits")?,
            flat_amount: object.non_negative_or_zero("flatAmount")?,
        })
    }

    /// The line's units are packages, so that it adds up exactly: a third of a package has no decimal.
    pub fn lines(&self, quantity: &Decimal) -> Vec<Line> {
        let (free, paid) = Line::free("Free units", quantity, &self.free_units);
        let description = format!("Packages of {} units", self.package_size);
        let packages = Line::new(description, paid.div_ceil(&self.package_size), &self.amount);
        free.into_iter().chain([packages.with_flat_amount(&self.flat_amount)]).collect()
    }
}

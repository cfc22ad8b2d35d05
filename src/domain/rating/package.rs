//! Packages of so many units; one that was begun counts whole. Lago's `package`; Stripe's `transform_quantity` with `round:
//! 'up'`.

use super::Line;
use crate::domain::Decimal;
use crate::domain::decimal::Positive;
use crate::domain::json::{Object, Value};
use crate::domain::mistakes::Mistakes;

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

    pub(super) fn read(object: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let amount = mistakes.required(object, "amount", Value::non_negative);
        let package_size = mistakes.required(object, "packageSize", Value::positive);
        let free_units = mistakes.non_negative_or_zero(object, "freeUnits");
        let flat_amount = mistakes.non_negative_or_zero(object, "flatAmount");
        Some(Self { amount: amount?, package_size: package_size?, free_units: free_units?, flat_amount: flat_amount? })
    }

    /// The line's units are packages, so that it adds up exactly: a third of a package has no decimal.
    pub fn lines(&self, quantity: &Decimal) -> Vec<Line> {
        let (free, paid) = Line::free("Free units", quantity, &self.free_units);
        let description = format!("Packages of {} units", self.package_size);
        let packages = Line::new(description, paid.div_ceil(&self.package_size), &self.amount);
        free.into_iter().chain([packages.with_flat_amount(&self.flat_amount)]).collect()
    }
}

//! What an event costs by itself.

use super::{Model, Price, Usage};
use crate::domain::{Decimal, Money};

impl Price {
    /// What each unit costs, whatever else is used. `None` where only the usage of a whole period tells: packages, tiers,
    /// free units, flat and fixed amounts, bounds. Also where it has more digits than an event's cost may have.
    pub fn of_unit(&self) -> Option<Money> {
        let is_known = self.bounds.is_none()
            && match &self.model {
                Model::PerUnit(price) => price.is_of_units_alone(),
                Model::Percentage(price) => price.is_of_units_alone(),
                Model::Package(_) | Model::Graduated(_) | Model::Volume(_) | Model::GraduatedPercentage(_) => false,
            };
        let one = Usage { quantity: Decimal::from(1), events: Some(Decimal::from(1)) };
        is_known.then(|| Money::parse("price", &self.quote(&one).amount().to_string()).ok())?
    }
}

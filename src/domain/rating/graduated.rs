//! Every unit costs what the tier asks in which it lies, and every tier that is reached its flat amount. Stripe's
//! `tiers_mode: 'graduated'`; Lago's `graduated` and `graduated_percentage`.

use super::{Line, PriceTiers};
use crate::domain::Decimal;

pub fn lines(tiers: &PriceTiers, quantity: &Decimal) -> Vec<Line> {
    tiers.reached(quantity).map(|tier| tier.line(tier.units(quantity), "Units")).collect()
}

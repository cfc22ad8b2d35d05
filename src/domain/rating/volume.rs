//! All units cost what the tier asks in which the whole quantity lies, and that tier's flat amount. Stripe's `tiers_mode:
//! 'volume'`; Lago's `volume`.

use super::{Line, PriceTiers};
use crate::domain::Decimal;

pub fn lines(tiers: &PriceTiers, quantity: &Decimal) -> Vec<Line> {
    let tier = tiers.reached(quantity).last();
    tier.map(|tier| tier.line(quantity.clone(), if tier.is_alone() { "All units" } else { "All units, at the tier" }))
        .into_iter()
        .collect()
}

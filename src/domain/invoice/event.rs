//! What an event costs whose price tells only what a whole period's usage comes to.
//!
//! It costs what the lines of its meter come to with it, less what they come to without it. So the costs of a period's
//! events, whatever their order, add up to the usage lines of its invoice, as long as the customer keeps tier and version.
//!
//! - A price's flat amounts and its minimum are due with the first event under it, those of a tier with the first event that
//!   reaches it. Base amounts and minimums of the customer's tier are lines of the invoice, and in no event.
//! - Where a **volume** price makes all units cheaper, the total may fall; then the cost is negative, and gives back what the
//!   units before cost too much.
//! - **Included units** are those of the tier that the customer has when the event is counted; what he has used of the meter
//!   before stays used when he changes it.
//! - Each price's amount is rounded to the decimal places that [`Money`] has before the difference is taken. So the sum of the
//!   events is exact where the price's digits fit, and otherwise the invoice's amount, rounded once.

use super::quantity::{Quantities, Quantity};
use super::usage::{Allowance, charged};
use crate::Result;
use crate::domain::catalog::{Catalog, CatalogPrice, CatalogTier};
use crate::domain::money::MAX_DECIMAL_PLACES;
use crate::domain::{Decimal, Money, Rounding};

/// What an event of so many units adds to what was used `before` it. Fails where that does not fit [`Money`].
pub fn cost_of_event(
    catalog: &Catalog,
    tier: Option<&CatalogTier>,
    price: &CatalogPrice,
    before: &Quantities,
    units: u64,
) -> Result<Money> {
    let included = tier.and_then(|tier| tier.included(&price.meter)).map_or(0, |included| included.units);
    let used = before.get(&price.id).copied().unwrap_or_default();
    // Only included units make one price depend on what was used under another.
    let others = if included == 0 { Quantities::new() } else { before.clone() };
    let amount = |own: Quantity| {
        let mut quantities = others.clone();
        if own != Quantity::default() {
            quantities.insert(price.id.clone(), own);
        }
        amount(catalog, price, included, &quantities)
    };
    Money::from_decimal(&(&amount(used.with(units)) - &amount(used)))
}

/// What the usage of a price's meter comes to.
fn amount(catalog: &Catalog, price: &CatalogPrice, included: u64, used: &Quantities) -> Decimal {
    // What was used under prices of other versions was used first.
    let is_elsewhere = |id: &str| catalog.price(id).is_none_or(|other| other.meter != price.meter);
    let elsewhere: u64 = used.iter().filter(|(id, _)| is_elsewhere(id)).map(|(_, used)| used.units).sum();
    let mut allowance = Allowance::new(included.saturating_sub(elsewhere));
    let usage = used.iter().map(|(id, quantity)| (id.as_str(), (*quantity).into()));
    let charged = charged(catalog, &price.meter, &mut allowance, usage);
    let rounded = |amount: Decimal| amount.round(MAX_DECIMAL_PLACES as u16, Rounding::HalfEven);
    charged.iter().map(|(price, usage)| rounded(price.price.quote(usage).amount())).sum()
}

//! What something would cost that is not counted yet.

use crate::Result;
use crate::domain::{Customer, Meter, Money, Period, Plans, PriceId};
use crate::store::Store;

/// What so many units would add to the amount that a price asks for a customer's period. What others count meanwhile may
/// change it; for certain it is said in the transaction that counts.
pub fn cost_now(
    store: &dyn Store,
    plans: &Plans,
    customer: &Customer,
    (meter, period): (Meter, Period),
    price: &PriceId,
    units: u64,
) -> Result<Money> {
    let used = store.quantities(&customer.id, period.start, meter)?;
    plans.cost_of_event(customer, price, &used, units)
}

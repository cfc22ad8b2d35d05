//! What is left of a customer's credit, now or ever.

use crate::Result;
use crate::domain::credit::{Balance, Grant, Snapshot, Unit, balance as balance_of};
use crate::domain::{Customer, CustomerId, Timestamp};
use crate::store::{Catalog, Store};

/// The balance of a customer's credit in one unit at an instant; without one, after all that is counted now. It is what was
/// enforced then. Tells the instant too.
pub fn balance(
    store: &dyn Store,
    catalog: &Catalog,
    customer_id: &CustomerId,
    unit: Unit,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Timestamp, Balance)> {
    let record = store.credit_record(customer_id, unit, at)?;
    let after_all = || record.entries.last().map_or(now, |last| now.max(last.at.plus_millis(1)));
    let at = at.unwrap_or_else(after_all);
    let customer = store.customer(customer_id)?.unwrap_or_else(|| Customer::new(customer_id.clone(), now));
    let next_reset = |at| customer.billing_period(at, catalog.time_zone).end;
    let grants: Vec<Grant> = record.grants.into_iter().map(|given| given.grant).collect();
    let balance = match balance_of(&grants, &record.entries, at, next_reset)? {
        Some(balance) => balance,
        None => Balance::of(&Snapshot::empty(Timestamp::from_stored(0)), &Default::default())?,
    };
    Ok((at, balance))
}

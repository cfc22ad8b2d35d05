//! Between columns and domain types. What the store wrote it can read again, or it is damaged.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::error::Result;
use crate::domain::{ApiKey, Customer, CustomerId, Meter, Money, Quota, Subscription, TierHistory, Timestamp};
use crate::store::group::{Tally, Used};
use crate::store::{StripeEvent, StripeEventRow};
use crate::{Code, Error};

/// The columns that [`customer`] reads, in its order.
macro_rules! customer_columns {
    () => {
        "c.id, c.tier_id, c.subscription_id, c.stripe_customer_id, c.suspended, c.created_at, c.subscription_status, \
         c.billing_cycle_anchor, c.catalog_version, trim_scale(c.spend_cap)::text, c.prepaid, \
         c.has_credit, c.former_tiers"
    };
}

/// The columns that [`key`] reads, in its order.
macro_rules! key_columns {
    () => {
        "k.id, k.customer_id, k.name, k.prefix, k.created_at, k.expires_at, k.revoked_at"
    };
}

pub(super) use {customer_columns, key_columns};

/// How many columns a key has: where another list may begin.
pub const KEY_COLUMNS: usize = 7;

pub fn customer(row: &Row, first: usize) -> Result<Customer> {
    Ok(Customer {
        id: CustomerId::from_stored(row.try_get(first)?),
        tier_id: row.try_get(first + 1)?,
        subscription_id: row.try_get(first + 2)?,
        stripe_customer_id: row.try_get(first + 3)?,
        suspended: row.try_get(first + 4)?,
        created_at: timestamp(row, first + 5)?,
        subscription_status: row.try_get::<_, Option<&str>>(first + 6)?.map(str::parse).transpose()?,
        billing_cycle_anchor: optional_timestamp(row, first + 7)?,
        catalog_version: row.try_get(first + 8)?,
        spend_cap: row.try_get::<_, Option<&str>>(first + 9)?.map(Money::from_stored).transpose()?,
        prepaid: row.try_get(first + 10)?,
        has_credit: row.try_get(first + 11)?,
        former_tiers: TierHistory::from_stored(row.try_get(first + 12)?)?,
    })
}

/// Reads `id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at, as_of`.
pub fn subscription(row: &Row) -> Result<Subscription> {
    let prices = serde_json::from_str(row.try_get(3)?);
    Ok(Subscription {
        id: row.try_get(0)?,
        stripe_customer_id: row.try_get(1)?,
        status: row.try_get::<_, &str>(2)?.parse()?,
        prices: prices.map_err(|_| damaged("the prices of a subscription cannot be read".to_owned()))?,
        billing_cycle_anchor: optional_timestamp(row, 4)?,
        created_at: timestamp(row, 5)?,
        as_of: timestamp(row, 6)?,
    })
}

/// Reads `id, type, created, state, changed_at, payload`.
pub fn stripe_event(row: &Row) -> Result<StripeEventRow> {
    let event = StripeEvent { id: row.try_get(0)?, kind: row.try_get(1)?, created: timestamp(row, 2)? };
    let state = row.try_get::<_, &str>(3)?.parse()?;
    Ok(StripeEventRow { event, state, changed_at: timestamp(row, 4)?, payload: row.try_get(5)? })
}

pub fn key(row: &Row) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.try_get(0)?,
        customer_id: CustomerId::from_stored(row.try_get(1)?),
        name: row.try_get(2)?,
        prefix: row.try_get(3)?,
        created_at: timestamp(row, 4)?,
        expires_at: optional_timestamp(row, 5)?,
        revoked_at: optional_timestamp(row, 6)?,
    })
}

pub fn timestamp(row: &Row, column: usize) -> Result<Timestamp> {
    Ok(stored(row.try_get(column)?))
}

pub fn optional_timestamp(row: &Row, column: usize) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<_, Option<DateTime<Utc>>>(column)?.map(stored))
}

fn stored(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_stored(at.timestamp_millis())
}

/// A `timestamptz`.
pub fn instant(at: Timestamp) -> DateTime<Utc> {
    // Cannot fall back: every `Timestamp` lies within chrono's range.
    DateTime::from_timestamp_millis(at.as_millis()).unwrap_or_default()
}

/// A whole number that is never negative.
pub fn count(row: &Row, column: usize) -> Result<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| damaged(format!("the number {number} is negative")))
}

/// What is counted stays far below: a sum of units is at most `Units::MAX`, 2^53 - 1.
pub fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A `numeric` that was cast to `text`.
pub fn money(row: &Row, column: usize) -> Result<Money> {
    Ok(Money::from_stored(row.try_get(column)?)?)
}

/// Reads an instant, a meter, how many events, their units and their cost.
pub fn used(row: &Row) -> Result<Used> {
    let tally = Tally { events: count(row, 2)?, units: count(row, 3)?, cost: money(row, 4)? };
    Ok(Used { at: timestamp(row, 0)?, meter: meter(row, 1)?, tally })
}

pub fn quota(row: &Row, column: usize) -> Result<Quota> {
    let name: &str = row.try_get(column)?;
    name.parse().map_err(|_| damaged(format!("{name:?} is no quota")))
}

pub fn meter(row: &Row, column: usize) -> Result<Meter> {
    Ok(Meter::declared(row.try_get(column)?)?)
}

fn damaged(message: String) -> super::error::PostgresError {
    Error::new(Code::StoreCorrupt, format!("the database is damaged: {message}")).into()
}

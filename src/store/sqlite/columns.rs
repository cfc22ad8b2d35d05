//! Between rows and domain types. What the store wrote it can read again, or it is damaged.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use crate::domain::{ApiKey, Customer, CustomerId, Meter, Money, Quota, Subscription, TierHistory, Timestamp};
use crate::store::group::{Tally, Used};
use crate::store::{StripeEvent, StripeEventRow};

/// The columns that [`customer`] reads, in its order; a literal, so that statements are put together when compiled.
macro_rules! customer_columns {
    () => {
        "c.id, c.tier_id, c.subscription_id, c.stripe_customer_id, c.suspended, c.created_at, c.subscription_status, \
         c.billing_cycle_anchor, c.catalog_version, c.spend_cap, c.prepaid, c.has_credit,
         c.former_tiers"
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

pub fn customer(row: &Row<'_>, first: usize) -> rusqlite::Result<Customer> {
    Ok(Customer {
        id: CustomerId::from_stored(row.get(first)?),
        tier_id: row.get(first + 1)?,
        subscription_id: row.get(first + 2)?,
        stripe_customer_id: row.get(first + 3)?,
        suspended: row.get(first + 4)?,
        created_at: timestamp(row, first + 5)?,
        subscription_status: optional(row, first + 6)?,
        billing_cycle_anchor: optional_timestamp(row, first + 7)?,
        catalog_version: row.get(first + 8)?,
        spend_cap: optional_money(row, first + 9)?,
        prepaid: row.get(first + 10)?,
        has_credit: row.get(first + 11)?,
        former_tiers: former_tiers(row, first + 12)?,
    })
}

fn former_tiers(row: &Row<'_>, column: usize) -> rusqlite::Result<TierHistory> {
    TierHistory::from_stored(row.get_ref(column)?.as_str_or_null()?).map_err(|error| unreadable(column, error))
}

/// The columns that [`subscription`] reads, in its order.
pub const SUBSCRIPTION_COLUMNS: &str =
    "id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at, as_of";

pub fn subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    let prices = serde_json::from_str(row.get_ref(3)?.as_str()?);
    Ok(Subscription {
        id: row.get(0)?,
        stripe_customer_id: row.get(1)?,
        status: parsed(row, 2)?,
        prices: prices.map_err(|error| unreadable(3, error))?,
        billing_cycle_anchor: optional_timestamp(row, 4)?,
        created_at: timestamp(row, 5)?,
        as_of: timestamp(row, 6)?,
    })
}

/// The columns that [`stripe_event`] reads, in its order.
pub const STRIPE_EVENT_COLUMNS: &str = "id, type, created, state, changed_at, payload";

pub fn stripe_event(row: &Row<'_>) -> rusqlite::Result<StripeEventRow> {
    let event = StripeEvent { id: row.get(0)?, kind: row.get(1)?, created: timestamp(row, 2)? };
    Ok(StripeEventRow { event, state: parsed(row, 3)?, changed_at: timestamp(row, 4)?, payload: row.get(5)? })
}

pub fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: row.get(0)?,
        customer_id: CustomerId::from_stored(row.get(1)?),
        name: row.get(2)?,
        prefix: row.get(3)?,
        created_at: timestamp(row, 4)?,
        expires_at: optional_timestamp(row, 5)?,
        revoked_at: optional_timestamp(row, 6)?,
    })
}

pub fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_stored)
}

pub fn optional_timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_stored))
}

pub fn money(row: &Row<'_>, column: usize) -> rusqlite::Result<Money> {
    let text = row.get_ref(column)?.as_str()?;
    Money::from_stored(text).map_err(|error| unreadable(column, error))
}

/// Reads an instant, a meter, how many events, their units and their cost.
pub fn used(row: &Row<'_>) -> rusqlite::Result<Used> {
    let tally = Tally { events: row.get(2)?, units: row.get(3)?, cost: money(row, 4)? };
    Ok(Used { at: timestamp(row, 0)?, meter: meter(row, 1)?, tally })
}

pub fn quota(row: &Row<'_>, column: usize) -> rusqlite::Result<Quota> {
    parsed(row, column)
}

pub fn meter(row: &Row<'_>, column: usize) -> rusqlite::Result<Meter> {
    Meter::declared(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

pub fn parsed<T: FromStr<Err = crate::Error>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| unreadable(column, error))
}

fn optional_money(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Money>> {
    row.get_ref(column)?.as_str_or_null()?.map(|_| money(row, column)).transpose()
}

fn optional<T: FromStr<Err = crate::Error>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
}

pub fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

//! Between rows and domain types. What the store wrote it can read again, or it is damaged.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use crate::domain::{ApiKey, Customer, CustomerId, Meter, Money, Timestamp};

/// The columns that [`customer`] reads, in its order; a literal, so that statements are put together when compiled.
macro_rules! customer_columns {
    () => {
        "c.id, c.tier_id, c.subscription_id, c.stripe_customer_id, c.suspended, c.created_at"
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
    })
}

pub fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: row.get(0)?,
        customer_id: CustomerId::from_stored(row.get(1)?),
        name: row.get(2)?,
        prefix: row.get(3)?,
        created_at: timestamp(row, 4)?,
        expires_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_stored),
        revoked_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_stored),
    })
}

pub fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_stored)
}

pub fn money(row: &Row<'_>, column: usize) -> rusqlite::Result<Money> {
    let text = row.get_ref(column)?.as_str()?;
    Money::from_stored(text).map_err(|error| unreadable(column, error))
}

pub fn meter(row: &Row<'_>, column: usize) -> rusqlite::Result<Meter> {
    let text = row.get_ref(column)?.as_str()?;
    Meter::from_str(text).map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: crate::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

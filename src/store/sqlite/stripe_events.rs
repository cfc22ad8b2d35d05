//! The tables of what Stripe tells.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{self, STRIPE_EVENT_COLUMNS, SUBSCRIPTION_COLUMNS, customer_columns};
use super::error::Result;
use crate::domain::{Customer, Subscription, Timestamp};
use crate::store::StripeEventRow;
use crate::{Code, Error};

pub fn event(connection: &Connection, id: &str) -> Result<Option<StripeEventRow>> {
    let sql = format!("SELECT {STRIPE_EVENT_COLUMNS} FROM stripe_events WHERE id = ?");
    Ok(connection.prepare_cached(&sql)?.query_row([id], columns::stripe_event).optional()?)
}

/// By id, beginning after one.
pub fn events(connection: &Connection, after: &str, limit: usize) -> Result<Vec<StripeEventRow>> {
    let sql = format!("SELECT {STRIPE_EVENT_COLUMNS} FROM stripe_events WHERE id > ? ORDER BY id LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after, limit], columns::stripe_event)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn put_event(connection: &Connection, row: &StripeEventRow) -> Result<()> {
    let sql = format!("INSERT OR REPLACE INTO stripe_events ({STRIPE_EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)");
    connection.prepare_cached(&sql)?.execute(params![
        row.event.id,
        row.event.kind,
        row.event.created.as_millis(),
        row.state.as_str(),
        row.changed_at.as_millis(),
        row.payload,
    ])?;
    Ok(())
}

pub fn delete_event(connection: &Connection, id: &str) -> Result<()> {
    connection.prepare_cached("DELETE FROM stripe_events WHERE id = ?")?.execute([id])?;
    Ok(())
}

pub fn forget(connection: &Connection, before: Timestamp) -> Result<()> {
    connection.prepare_cached("DELETE FROM stripe_events WHERE changed_at < ?")?.execute([before.as_millis()])?;
    Ok(())
}

pub fn subscription(connection: &Connection, id: &str) -> Result<Option<Subscription>> {
    let sql = format!("SELECT {SUBSCRIPTION_COLUMNS} FROM stripe_subscriptions WHERE id = ?");
    Ok(connection.prepare_cached(&sql)?.query_row([id], columns::subscription).optional()?)
}

pub fn put_subscription(connection: &Connection, subscription: &Subscription) -> Result<()> {
    let sql =
        format!("INSERT OR REPLACE INTO stripe_subscriptions ({SUBSCRIPTION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)");
    connection.prepare_cached(&sql)?.execute(params![
        subscription.id,
        subscription.stripe_customer_id,
        subscription.status.as_str(),
        serde_json::to_string(&subscription.prices).map_err(|error| Error::new(Code::Internal, error.to_string()))?,
        subscription.billing_cycle_anchor.map(Timestamp::as_millis),
        subscription.created_at.as_millis(),
        subscription.as_of.as_millis(),
    ])?;
    Ok(())
}

/// By id, beginning after one.
pub fn subscriptions(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Subscription>> {
    let sql = format!("SELECT {SUBSCRIPTION_COLUMNS} FROM stripe_subscriptions WHERE id > ? ORDER BY id LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after, limit], columns::subscription)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn subscriptions_of(connection: &Connection, stripe_customer_id: &str) -> Result<Vec<Subscription>> {
    let sql =
        format!("SELECT {SUBSCRIPTION_COLUMNS} FROM stripe_subscriptions WHERE stripe_customer_id = ? ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([stripe_customer_id], columns::subscription)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn customers(connection: &Connection, stripe_customer_id: &str, subscription_id: &str) -> Result<Vec<Customer>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customers c WHERE c.stripe_customer_id = ? OR c.subscription_id = ? ORDER BY c.id"
    ))?;
    let rows = statement.query_map([stripe_customer_id, subscription_id], |row| columns::customer(row, 0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

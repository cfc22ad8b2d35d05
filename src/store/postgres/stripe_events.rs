//! The tables of what Stripe tells.

use tokio_postgres::types::Type;

use super::columns;
use super::database::Statement;
use super::error::Result;
use crate::domain::{Subscription, Timestamp};
use crate::store::StripeEventRow;
use crate::{Code, Error};

/// One group at a time decides from what Stripe tells. Readers are not kept waiting.
pub fn lock() -> Statement {
    Statement::new("LOCK TABLE stripe_subscriptions IN SHARE ROW EXCLUSIVE MODE")
}

pub fn event(id: &str) -> Statement {
    Statement::new("SELECT id, type, created, state, changed_at, payload FROM stripe_events WHERE id = $1").text(id)
}

/// By id, beginning after one.
pub fn events(after: &str, limit: i64) -> Statement {
    Statement::new(
        "SELECT id, type, created, state, changed_at, payload FROM stripe_events WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .text(after)
    .with(limit, Type::INT8)
}

pub fn put_events(rows: &[StripeEventRow]) -> Statement {
    let texts = |value: fn(&StripeEventRow) -> &str| rows.iter().map(|row| value(row).to_owned()).collect::<Vec<_>>();
    let instants = |value: fn(&StripeEventRow) -> Timestamp| -> Vec<_> {
        rows.iter().map(|row| columns::instant(value(row))).collect()
    };
    Statement::new(
        "INSERT INTO stripe_events (id, type, created, state, changed_at, payload)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE
         SET state = excluded.state, changed_at = excluded.changed_at, payload = excluded.payload",
    )
    .texts(texts(|row| &row.event.id))
    .texts(texts(|row| &row.event.kind))
    .with(instants(|row| row.event.created), Type::TIMESTAMPTZ_ARRAY)
    .texts(texts(|row| row.state.as_str()))
    .with(instants(|row| row.changed_at), Type::TIMESTAMPTZ_ARRAY)
    .with(rows.iter().map(|row| row.payload.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
}

pub fn delete_event(id: &str) -> Statement {
    Statement::new("DELETE FROM stripe_events WHERE id = $1").text(id)
}

pub fn forget(before: Timestamp) -> Statement {
    Statement::new("DELETE FROM stripe_events WHERE changed_at < $1").with(columns::instant(before), Type::TIMESTAMPTZ)
}

pub fn subscription(id: &str) -> Statement {
    Statement::new(
        "SELECT id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at, as_of
         FROM stripe_subscriptions WHERE id = $1",
    )
    .text(id)
}

/// By id, beginning after one.
pub fn subscriptions(after: &str, limit: i64) -> Statement {
    Statement::new(
        "SELECT id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at, as_of
         FROM stripe_subscriptions WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .text(after)
    .with(limit, Type::INT8)
}

pub fn put_subscriptions(rows: &[Subscription]) -> Result<Statement> {
    let texts = |value: fn(&Subscription) -> &str| rows.iter().map(|row| value(row).to_owned()).collect::<Vec<_>>();
    let instants = |value: fn(&Subscription) -> Option<Timestamp>| -> Vec<_> {
        rows.iter().map(|row| value(row).map(columns::instant)).collect()
    };
    let prices = rows.iter().map(|row| serde_json::to_string(&row.prices)).collect::<serde_json::Result<_>>();
    Ok(Statement::new(
        "INSERT INTO stripe_subscriptions (id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at,
                                           as_of)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET stripe_customer_id = excluded.stripe_customer_id, status = excluded.status,
             prices = excluded.prices, billing_cycle_anchor = excluded.billing_cycle_anchor,
             created_at = excluded.created_at, as_of = excluded.as_of",
    )
    .texts(texts(|row| &row.id))
    .texts(texts(|row| &row.stripe_customer_id))
    .texts(texts(|row| row.status.as_str()))
    .texts(prices.map_err(|error| Error::new(Code::Internal, error.to_string()))?)
    .with(instants(|row| row.billing_cycle_anchor), Type::TIMESTAMPTZ_ARRAY)
    .with(instants(|row| Some(row.created_at)), Type::TIMESTAMPTZ_ARRAY)
    .with(instants(|row| Some(row.as_of)), Type::TIMESTAMPTZ_ARRAY))
}

pub fn subscriptions_of(stripe_customer_id: &str) -> Statement {
    Statement::new(
        "SELECT id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at, as_of
         FROM stripe_subscriptions WHERE stripe_customer_id = $1 ORDER BY id",
    )
    .text(stripe_customer_id)
}

pub fn customer_ids(stripe_customer_id: &str, subscription_id: &str) -> Statement {
    Statement::new("SELECT id FROM customers WHERE stripe_customer_id = $1 OR subscription_id = $2 ORDER BY id")
        .text(stripe_customer_id)
        .text(subscription_id)
}

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

pub fn put_event(row: &StripeEventRow) -> Statement {
    Statement::new(
        "INSERT INTO stripe_events (id, type, created, state, changed_at, payload) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE
         SET state = excluded.state, changed_at = excluded.changed_at, payload = excluded.payload",
    )
    .text(row.event.id.clone())
    .text(row.event.kind.clone())
    .with(columns::instant(row.event.created), Type::TIMESTAMPTZ)
    .text(row.state.as_str())
    .with(columns::instant(row.changed_at), Type::TIMESTAMPTZ)
    .with(row.payload.clone(), Type::TEXT)
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

pub fn put_subscription(subscription: &Subscription) -> Result<Statement> {
    let prices = serde_json::to_string(&subscription.prices);
    Ok(Statement::new(
        "INSERT INTO stripe_subscriptions (id, stripe_customer_id, status, prices, billing_cycle_anchor, created_at,
                                           as_of)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET stripe_customer_id = excluded.stripe_customer_id, status = excluded.status,
             prices = excluded.prices, billing_cycle_anchor = excluded.billing_cycle_anchor,
             created_at = excluded.created_at, as_of = excluded.as_of",
    )
    .text(subscription.id.clone())
    .text(subscription.stripe_customer_id.clone())
    .text(subscription.status.as_str())
    .text(prices.map_err(|error| Error::new(Code::Internal, error.to_string()))?)
    .with(subscription.billing_cycle_anchor.map(columns::instant), Type::TIMESTAMPTZ)
    .with(columns::instant(subscription.created_at), Type::TIMESTAMPTZ)
    .with(columns::instant(subscription.as_of), Type::TIMESTAMPTZ))
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

//! The table of alerts.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::SqliteStore;
use super::columns::{self, unreadable};
use super::error::Result;
use crate::domain::alert::{Kind, Measure, Watch};
use crate::domain::credit::Unit;
use crate::domain::{Alert, AlertId, AlertRule, AlertState, CustomerId, Decimal, HolderId, Period, Reached, Timestamp};
use crate::store::alerts::{AlertClaim, AlertQuery, AlertSettlement, Alerts};
use crate::store::group::random;
use crate::store::migration::rows::MovedAlert;

/// The columns that [`alert`] reads, in its order.
macro_rules! alert_columns {
    () => {
        "id, customer_id, kind, unit, whole, used, percent, period_start, period_end, created_at, state, attempts,
         due_at, reason"
    };
}

fn alert(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let unit = Unit::from_stored(row.get_ref(3)?.as_str()?).map_err(|error| unreadable(3, error))?;
    let measure = Measure { kind: columns::parsed(row, 2)?, unit, whole: decimal(row, 4)?, used: decimal(row, 5)? };
    let period = Period { start: columns::timestamp(row, 7)?, end: columns::timestamp(row, 8)? };
    let customer_id = CustomerId::from_stored(row.get(1)?);
    Ok(Alert {
        id: AlertId::from_stored(row.get(0)?),
        reached: Reached { customer_id, period, percent: row.get(6)?, measure },
        created_at: columns::timestamp(row, 9)?,
        state: columns::parsed(row, 10)?,
        attempts: row.get(11)?,
        due_at: columns::timestamp(row, 12)?,
        reason: row.get(13)?,
    })
}

fn decimal(row: &Row<'_>, column: usize) -> rusqlite::Result<Decimal> {
    Decimal::parse("amount", row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

/// What was told before, as far as it is remembered: most often an event reaches nothing that was not reached before.
#[derive(Default)]
pub struct Told(HashSet<(CustomerId, Timestamp, Kind, Unit, String, u32)>);

impl Told {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes down what is reached where so much is used; answers with what was not written before.
    pub fn tell(
        &mut self,
        connection: &Connection,
        rule: &AlertRule,
        (customer_id, watch): (&CustomerId, &Watch),
        used: &Decimal,
    ) -> Result<Vec<Reached>> {
        let Watch { period, bound, now } = watch;
        let mut new = Vec::new();
        for reached in watch.reached(customer_id, &rule.thresholds, used) {
            let basis = bound.basis();
            let key = (customer_id.clone(), period.start, bound.kind(), bound.unit(), basis.clone(), reached.percent);
            if self.0.insert(key) && insert(connection, rule, &reached, &basis, *now)? {
                new.push(reached);
            }
        }
        Ok(new)
    }
}

fn insert(
    connection: &Connection,
    rule: &AlertRule,
    Reached { customer_id, period, percent, measure }: &Reached,
    basis: &str,
    now: Timestamp,
) -> Result<bool> {
    let state = if rule.is_sent { AlertState::Pending } else { AlertState::Kept };
    let written = connection
        .prepare_cached(
            "INSERT INTO alerts (id, customer_id, kind, unit, basis, whole, used, percent, period_start, period_end,
                                 created_at, state, due_at, attempts)
             VALUES (:id, :customer, :kind, :unit, :basis, :whole, :used, :percent, :start, :end, :now, :state, :now, 0)
             ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":id": AlertId::new(now, random()?).as_str(),
            ":customer": customer_id.as_str(),
            ":kind": measure.kind.as_str(),
            ":unit": measure.unit.as_str(),
            ":basis": basis,
            ":whole": measure.whole.to_string(),
            ":used": measure.used.to_string(),
            ":percent": percent,
            ":start": period.start.as_millis(),
            ":end": period.end.as_millis(),
            ":state": state.as_str(),
            ":now": now.as_millis(),
        })?;
    Ok(written > 0)
}

/// By id, beginning after one.
pub fn moved(connection: &Connection, after: &str, limit: usize) -> Result<Vec<MovedAlert>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        alert_columns!(),
        ", basis FROM alerts WHERE id > ? ORDER BY id LIMIT ?"
    ))?;
    let moved =
        statement.query_map(params![after, limit], |row| Ok(MovedAlert { alert: alert(row)?, basis: row.get(14)? }))?;
    Ok(moved.collect::<rusqlite::Result<_>>()?)
}

impl Alerts for SqliteStore {
    fn claim_alerts(&self, claim: &AlertClaim) -> crate::Result<Vec<Alert>> {
        // Most often nothing is due, and then nobody has to wait for the lock.
        let is_any_due = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM alerts WHERE state IN ('pending', 'sending') AND due_at <= ?)",
            )?;
            Ok(statement.query_row([claim.now.as_millis()], |row| row.get::<_, bool>(0))?)
        })?;
        if !is_any_due {
            return Ok(Vec::new());
        }
        self.write(|connection| {
            let mut statement = connection.prepare_cached(concat!(
                "UPDATE alerts SET state = 'sending', holder = :holder, due_at = :until, attempts = attempts + 1
                 WHERE id IN (
                     SELECT id FROM alerts WHERE state IN ('pending', 'sending') AND due_at <= :now
                     ORDER BY due_at LIMIT :limit
                 ) RETURNING ",
                alert_columns!()
            ))?;
            let claimed = statement.query_map(
                named_params! {
                    ":holder": claim.holder.as_str(),
                    ":until": claim.until.as_millis(),
                    ":now": claim.now.as_millis(),
                    ":limit": claim.limit,
                },
                alert,
            )?;
            Ok(claimed.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn settle_alert(&self, holder: &HolderId, settlement: &AlertSettlement) -> crate::Result<bool> {
        let AlertSettlement { id, attempts, settled, reason } = settlement;
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE alerts SET state = ?, due_at = ?, reason = ?, attempts = ?
                 WHERE id = ? AND state = 'sending' AND holder = ? AND attempts = ?",
            )?;
            let written = statement.execute(params![
                settled.state.as_str(),
                settled.due_at.as_millis(),
                reason,
                settled.attempts,
                id.as_str(),
                holder.as_str(),
                attempts,
            ])?;
            Ok(written > 0)
        })
    }

    fn alert(&self, id: &AlertId) -> crate::Result<Option<Alert>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached(concat!("SELECT ", alert_columns!(), " FROM alerts WHERE id = ?"))?;
            Ok(statement.query_row([id.as_str()], alert).optional()?)
        })
    }

    fn alerts(&self, query: &AlertQuery) -> crate::Result<Vec<Alert>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(concat!(
                "SELECT ",
                alert_columns!(),
                " FROM alerts
                 WHERE id > :after AND (:state IS NULL OR state = :state)
                     AND (:customer IS NULL OR customer_id = :customer)
                 ORDER BY id LIMIT :limit"
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":after": query.after.as_deref().unwrap_or_default(),
                    ":state": query.state.map(AlertState::as_str),
                    ":customer": query.customer_id.as_ref().map(CustomerId::as_str),
                    ":limit": query.limit,
                },
                alert,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn retry_alert(&self, id: &AlertId, now: Timestamp) -> crate::Result<bool> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE alerts SET state = 'pending', due_at = ?, attempts = 0
                 WHERE id = ? AND state = 'failed'",
            )?;
            Ok(statement.execute(params![now.as_millis(), id.as_str()])? > 0)
        })
    }

    fn forget_alerts(&self, made_before: Timestamp, limit: usize) -> crate::Result<u64> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE created_at < ? LIMIT ?)",
            )?;
            Ok(statement.execute(params![made_before.as_millis(), limit])? as u64)
        })
    }
}

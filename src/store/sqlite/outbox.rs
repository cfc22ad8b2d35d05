//! The outbox's table.

use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, named_params, params};

use super::columns;
use super::error::Result;
use super::{SqliteStore, lock};
use crate::domain::outbox::State;
use crate::domain::outbox::delivery::LONGEST_FUTURE;
use crate::domain::reconciliation::Entry;
use crate::domain::{CustomerId, HolderId, Meter, Period, Recipient, Report, ReportId, Timestamp};
use crate::store::group::Deltas;
use crate::store::migration::position::ReportPosition;
use crate::store::migration::rows::MovedReport;
use crate::store::outbox::Claim;
use crate::store::{Backlog, Division, Line, Outbox, ReportQuery, Settlement};

/// The columns that [`report`] reads, in its order.
macro_rules! report_columns {
    () => {
        "id, customer_id, meter, window_start, stripe_customer_id, nullif(subscription_id, ''), units, timestamp, state,
         attempts, first_attempt_at, in_doubt, due_at, reason"
    };
}

/// How many columns a report has: where others may begin.
const REPORT_COLUMNS: usize = 14;

fn report(row: &Row<'_>) -> rusqlite::Result<Report> {
    Ok(Report {
        id: ReportId::from_stored(row.get(0)?),
        customer_id: CustomerId::from_stored(row.get(1)?),
        meter: columns::meter(row, 2)?,
        window_start: columns::timestamp(row, 3)?,
        recipient: Recipient { stripe_customer_id: row.get(4)?, subscription_id: row.get(5)? },
        units: row.get(6)?,
        timestamp: columns::timestamp(row, 7)?,
        state: state(row, 8)?,
        attempts: row.get(9)?,
        first_attempt_at: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_stored),
        in_doubt: row.get(11)?,
        due_at: columns::timestamp(row, 12)?,
        reason: row.get(13)?,
    })
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let text = row.get_ref(column)?.as_str()?;
    State::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let conversion = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
    Ok(Line {
        book: row.get_ref(0)?.as_str()?.parse().map_err(conversion)?,
        customer_id: CustomerId::from_stored(row.get(1)?),
        meter: columns::meter(row, 2)?,
        state: row.get::<_, Option<String>>(3)?.map(|_| state(row, 3)).transpose()?,
        stripe_customer_id: row.get(4)?,
        units: row.get(5)?,
    })
}

/// Adds to open reports, and opens others.
pub fn write_deltas(connection: &Connection, deltas: &Deltas) -> Result<()> {
    if deltas.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO usage_reports (customer_id, id, meter, window_start, stripe_customer_id, subscription_id, units,
                                    timestamp, is_open, state, due_at, attempts, in_doubt)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 'pending', ?, 0, 0)
         ON CONFLICT (customer_id, meter, window_start, stripe_customer_id, subscription_id) WHERE is_open
         DO UPDATE SET units = units + excluded.units, timestamp = max(timestamp, excluded.timestamp)",
    )?;
    for ((customer_id, meter, window_start, recipient), delta) in deltas.iter() {
        let Some(Recipient { stripe_customer_id, subscription_id }) = recipient else { continue };
        statement.execute(params![
            customer_id.as_str(),
            delta.id.as_str(),
            meter.as_str(),
            window_start.as_millis(),
            stripe_customer_id,
            subscription_id.as_deref().unwrap_or_default(),
            delta.units,
            delta.timestamp.as_millis(),
            delta.due_at.as_millis(),
        ])?;
    }
    Ok(())
}

/// What is moved to another store, by customer and id, beginning after one.
pub fn moved(connection: &Connection, after: &ReportPosition, limit: usize) -> Result<Vec<MovedReport>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        report_columns!(),
        ", is_open, holder, settled_at FROM usage_reports WHERE (customer_id, id) > (?, ?)
         ORDER BY customer_id, id LIMIT ?"
    ))?;
    let rows = statement.query_map(params![after.0, after.1, limit], |row| {
        Ok(MovedReport {
            report: report(row)?,
            is_open: row.get(REPORT_COLUMNS)?,
            holder: row.get(REPORT_COLUMNS + 1)?,
            settled_at: row.get::<_, Option<i64>>(REPORT_COLUMNS + 2)?.map(Timestamp::from_stored),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl Outbox for SqliteStore {
    fn claim_reports(&self, claim: &Claim) -> crate::Result<Vec<Report>> {
        self.write(|connection| {
            let mut claimed = Vec::new();
            let mut account = claim.after.clone();
            while claimed.len() < claim.limit
                && let Some((customer_id, meter)) = next_account(connection, account.as_ref())?
            {
                claimed.extend(claim_of(connection, &customer_id, meter, claim)?);
                account = Some((customer_id, meter));
            }
            Ok(claimed)
        })
    }

    fn settle_reports(&self, holder: &HolderId, settlements: &[Settlement]) -> crate::Result<()> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE usage_reports SET state = ?, due_at = ?, in_doubt = ?, reason = ?, settled_at = ?
                 WHERE customer_id = ? AND id = ? AND state = 'sending' AND holder = ? AND attempts = ?",
            )?;
            for Settlement { customer_id, id, attempts, settled, reason, now } in settlements {
                statement.execute(params![
                    settled.state.as_str(),
                    settled.due_at.as_millis(),
                    settled.in_doubt,
                    reason,
                    now.as_millis(),
                    customer_id.as_str(),
                    id.as_str(),
                    holder.as_str(),
                    attempts,
                ])?;
            }
            Ok(())
        })
    }

    fn reports(&self, query: &ReportQuery) -> crate::Result<Vec<Report>> {
        self.read(|connection| {
            // The name of a state is written out, so that the index of that state is used.
            let of_state = query.state.map(|state| format!("AND state = '{}'", state.as_str())).unwrap_or_default();
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {} FROM usage_reports
                 WHERE (:customer IS NULL OR customer_id = :customer) AND (:id IS NULL OR id = :id) AND id > :after
                     {of_state}
                 ORDER BY id LIMIT :limit",
                report_columns!()
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":customer": query.customer_id.as_ref().map(CustomerId::as_str),
                    ":id": query.id.as_ref().map(ReportId::as_str),
                    ":after": query.after.as_deref().unwrap_or_default(),
                    ":limit": query.limit,
                },
                report,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn backlog(&self) -> crate::Result<Vec<Backlog>> {
        self.read(|connection| {
            // Two statements, as there is an index for each half.
            let mut statement = connection.prepare_cached(
                "SELECT state, count(*), sum(units), min(window_start) FROM usage_reports
                 WHERE state IN ('pending', 'sending') GROUP BY state
                 UNION ALL
                 SELECT state, count(*), sum(units), min(window_start) FROM usage_reports
                 WHERE state IN ('dead', 'uncertain', 'frozen') GROUP BY state",
            )?;
            let rows = statement.query_map([], |row| {
                let since = columns::timestamp(row, 3)?;
                Ok(Backlog { state: state(row, 0)?, reports: row.get(1)?, units: row.get(2)?, since })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn has_unsent(&self, until: Timestamp) -> crate::Result<bool> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT EXISTS (
                     SELECT 1 FROM usage_reports WHERE state IN ('pending', 'sending') AND timestamp <= ?
                 )",
            )?;
            Ok(statement.query_row([until.as_millis()], |row| row.get(0))?)
        })
    }

    fn books(&self, customer: Option<&CustomerId>, span: Period) -> crate::Result<Vec<Line>> {
        self.read(|connection| {
            // One statement sees one state of the database.
            let mut statement = connection.prepare_cached(
                "SELECT 'events', customer_id, meter, NULL, NULL, sum(units) FROM events
                 WHERE timestamp >= :from AND timestamp < :to AND (:customer IS NULL OR customer_id = :customer)
                 GROUP BY customer_id, meter
                 UNION ALL
                 SELECT 'rollups', customer_id, meter, NULL, NULL, sum(units) FROM hourly_rollups
                 WHERE hour >= :from AND hour < :to AND (:customer IS NULL OR customer_id = :customer)
                 GROUP BY customer_id, meter
                 UNION ALL
                 SELECT 'reported', customer_id, meter, state, NULL, sum(units) FROM usage_reports
                 WHERE window_start >= :from AND window_start < :to
                     AND (:customer IS NULL OR customer_id = :customer)
                 GROUP BY customer_id, meter, state
                 UNION ALL
                 SELECT 'told', customer_id, meter, state, stripe_customer_id, sum(units) FROM usage_reports
                 WHERE timestamp >= :from AND timestamp < :to AND (:customer IS NULL OR customer_id = :customer)
                 GROUP BY customer_id, meter, state, stripe_customer_id",
            )?;
            let rows = statement.query_map(
                named_params! {
                    ":from": span.start.as_millis(),
                    ":to": span.end.as_millis(),
                    ":customer": customer.map(CustomerId::as_str),
                },
                line,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn entries(&self, customer: &CustomerId, meter: Meter, span: Period) -> crate::Result<Vec<Entry>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(concat!(
                "SELECT ",
                report_columns!(),
                ", settled_at FROM usage_reports
                 WHERE customer_id = ? AND meter = ? AND timestamp >= ? AND timestamp < ? ORDER BY id"
            ))?;
            let (from, to) = (span.start.as_millis(), span.end.as_millis());
            let rows = statement.query_map(params![customer.as_str(), meter.as_str(), from, to], |row| {
                let settled_at = row.get::<_, Option<i64>>(REPORT_COLUMNS)?.map(Timestamp::from_stored);
                Ok(Entry { report: report(row)?, settled_at })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn divide_report(&self, division: &Division) -> crate::Result<bool> {
        let Division { customer_id, id, state, attempts, units, part, becomes, timestamp, reason, now } = division;
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO usage_reports (customer_id, id, meter, window_start, stripe_customer_id, subscription_id,
                                            units, timestamp, is_open, state, due_at, attempts, in_doubt, reason,
                                            settled_at)
                 SELECT customer_id, :part, meter, window_start, stripe_customer_id, subscription_id, :units, :timestamp,
                     0, :becomes, :now, 0, 0, :reason, :now
                 FROM usage_reports
                 WHERE customer_id = :customer AND id = :id AND state = :state AND attempts = :attempts
                     AND units >= :units",
            )?;
            let divided = statement.execute(named_params! {
                ":part": part.as_str(),
                ":units": units,
                ":timestamp": timestamp.as_millis(),
                ":becomes": becomes.as_str(),
                ":now": now.as_millis(),
                ":reason": reason,
                ":customer": customer_id.as_str(),
                ":id": id.as_str(),
                ":state": state.as_str(),
                ":attempts": attempts,
            })?;
            if divided == 0 {
                return Ok(false);
            }
            let key = params![customer_id.as_str(), id.as_str(), units];
            connection
                .prepare_cached("DELETE FROM usage_reports WHERE customer_id = ?1 AND id = ?2 AND units = ?3")?
                .execute(key)?;
            connection
                .prepare_cached("UPDATE usage_reports SET units = units - ?3 WHERE customer_id = ?1 AND id = ?2")?
                .execute(key)?;
            Ok(true)
        })
    }

    fn reject_report(&self, id: &ReportId, reason: &str, now: Timestamp) -> crate::Result<Option<Report>> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(concat!(
                "UPDATE usage_reports SET state = 'dead', in_doubt = 0, reason = ?, settled_at = ?
                 WHERE id = ? AND NOT is_open RETURNING ",
                report_columns!()
            ))?;
            Ok(statement.query_row(params![reason, now.as_millis(), id.as_str()], report).optional()?)
        })
    }

    fn retry_report(&self, id: &ReportId, successor: &ReportId, now: Timestamp) -> crate::Result<bool> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE usage_reports SET id = ?, state = 'pending', due_at = ?, first_attempt_at = NULL, reason = NULL
                 WHERE id = ? AND state = 'dead'",
            )?;
            Ok(statement.execute(params![successor.as_str(), now.as_millis(), id.as_str()])? > 0)
        })
    }

    fn forget_reports(&self, sent_before: Timestamp, limit: usize) -> crate::Result<u64> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "DELETE FROM usage_reports WHERE (customer_id, id) IN (
                     SELECT customer_id, id FROM usage_reports WHERE state = 'sent' AND settled_at < ? LIMIT ?
                 )",
            )?;
            Ok(statement.execute(params![sent_before.as_millis(), limit])? as u64)
        })
    }
}

impl SqliteStore {
    /// A transaction beside those of groups. What the writer remembers of other tables stays true.
    pub(super) fn write<T>(&self, write: impl FnOnce(&Connection) -> Result<T>) -> crate::Result<T> {
        let run = || -> Result<T> {
            let mut writer = lock(&self.writer);
            let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let written = write(&transaction)?;
            transaction.commit()?;
            Ok(written)
        };
        run().map_err(|error| error.at(&self.path))
    }
}

/// The next account that has anything to send.
fn next_account(connection: &Connection, after: Option<&(CustomerId, Meter)>) -> Result<Option<(CustomerId, Meter)>> {
    let mut statement = connection.prepare_cached(
        "SELECT customer_id, meter FROM usage_reports
         WHERE state IN ('pending', 'sending') AND (customer_id, meter) > (?, ?)
         ORDER BY customer_id, meter LIMIT 1",
    )?;
    let (customer, meter) = after.map_or(("", ""), |(customer_id, meter)| (customer_id.as_str(), meter.as_str()));
    let account = statement
        .query_row([customer, meter], |row| Ok((CustomerId::from_stored(row.get(0)?), columns::meter(row, 1)?)));
    Ok(account.optional()?)
}

/// Claims what is due of an account: the one on its way first, where its claim has run out.
fn claim_of(connection: &Connection, customer_id: &CustomerId, meter: Meter, claim: &Claim) -> Result<Option<Report>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM (
             SELECT id, due_at, is_open, timestamp FROM usage_reports
             WHERE customer_id = ? AND meter = ? AND state IN ('pending', 'sending')
             ORDER BY state DESC, due_at LIMIT 1
         ) WHERE due_at <= ? OR (? AND is_open AND timestamp <= ?)",
    )?;
    let latest = claim.now.plus_millis(LONGEST_FUTURE).as_millis();
    let found: Option<String> = statement
        .query_row(params![customer_id.as_str(), meter.as_str(), claim.now.as_millis(), claim.early, latest], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(id) = found else { return Ok(None) };
    let mut statement = connection.prepare_cached(concat!(
        "UPDATE usage_reports SET in_doubt = in_doubt OR state = 'sending', state = 'sending', is_open = 0, holder = ?,
             due_at = ?, attempts = attempts + 1, first_attempt_at = coalesce(first_attempt_at, ?)
         WHERE customer_id = ? AND id = ? RETURNING ",
        report_columns!()
    ))?;
    let claimed = statement.query_row(
        params![claim.holder.as_str(), claim.until.as_millis(), claim.now.as_millis(), customer_id.as_str(), id,],
        report,
    )?;
    Ok(Some(claimed))
}

//! The outbox's table.
//!
//! Groups add to open reports and processes claim them at the same time. A report that a group holds is skipped by whoever
//! claims; one that was claimed is open no more, and what a group adds opens another one.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns;
use super::database::{Purpose, Statement};
use super::error::Result;
use super::{PostgresStore, read};
use crate::domain::outbox::State;
use crate::domain::outbox::delivery::LONGEST_FUTURE;
use crate::domain::reconciliation::Entry;
use crate::domain::{CustomerId, ExportRule, HolderId, Meter, Period, Recipient, Report, ReportId, Timestamp};
use crate::store::group::Deltas;
use crate::store::migration::position::ReportPosition;
use crate::store::migration::rows::MovedReport;
use crate::store::outbox::Claim;
use crate::store::{Backlog, Division, Line, Outbox, ReportQuery, Settlement};

/// The columns that [`report`] reads, in its order.
macro_rules! report_columns {
    () => {
        "r.id, r.customer_id, r.meter, r.window_start, r.stripe_customer_id, nullif(r.subscription_id, ''), r.units,
         r.timestamp, r.state, r.attempts, r.first_attempt_at, r.in_doubt, r.due_at, r.reason"
    };
}

/// How many columns a report has: where others may begin.
const REPORT_COLUMNS: usize = 14;

fn report(row: &Row) -> Result<Report> {
    let first_attempt_at: Option<DateTime<Utc>> = row.try_get(10)?;
    Ok(Report {
        id: ReportId::from_stored(row.try_get(0)?),
        customer_id: CustomerId::from_stored(row.try_get(1)?),
        meter: columns::meter(row, 2)?,
        window_start: columns::timestamp(row, 3)?,
        recipient: Recipient { stripe_customer_id: row.try_get(4)?, subscription_id: row.try_get(5)? },
        units: columns::count(row, 6)?,
        timestamp: columns::timestamp(row, 7)?,
        state: state(row, 8)?,
        attempts: u32::try_from(row.try_get::<_, i32>(9)?).unwrap_or_default(),
        first_attempt_at: first_attempt_at.map(|at| Timestamp::from_stored(at.timestamp_millis())),
        in_doubt: row.try_get(11)?,
        due_at: columns::timestamp(row, 12)?,
        reason: row.try_get(13)?,
    })
}

fn state(row: &Row, column: usize) -> Result<State> {
    Ok(State::from_str(row.try_get(column)?)?)
}

fn line(row: &Row) -> Result<Line> {
    let of_state: Option<String> = row.try_get(3)?;
    Ok(Line {
        book: row.try_get::<_, String>(0)?.parse()?,
        customer_id: CustomerId::from_stored(row.try_get(1)?),
        meter: columns::meter(row, 2)?,
        state: of_state.map(|state| state.parse()).transpose()?,
        stripe_customer_id: row.try_get(4)?,
        units: columns::count(row, 5)?,
    })
}

/// Writes what is reported from now on.
pub fn rule_statement(rule: Option<&ExportRule>) -> Result<Statement> {
    let Some(rule) = rule else { return Ok(Statement::new("DELETE FROM settings WHERE name = 'export'")) };
    let upsert = Statement::new(
        "INSERT INTO settings (name, value) VALUES ('export', $1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    Ok(upsert.text(rule.to_stored()?))
}

/// What was moved from another store, by customer and id, beginning after one: to be read with [`moved`].
pub fn moved_after((customer, id): &ReportPosition, limit: usize) -> Statement {
    Statement::new(concat!(
        "SELECT ",
        report_columns!(),
        ", r.is_open, r.holder, r.settled_at FROM usage_reports r WHERE (r.customer_id, r.id) > ($1, $2)
         ORDER BY r.customer_id, r.id LIMIT $3"
    ))
    .text(customer.as_str())
    .text(id.as_str())
    .with(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8)
}

pub fn moved(row: &Row) -> Result<MovedReport> {
    let settled_at: Option<DateTime<Utc>> = row.try_get(REPORT_COLUMNS + 2)?;
    Ok(MovedReport {
        report: report(row)?,
        is_open: row.try_get(REPORT_COLUMNS)?,
        holder: row.try_get(REPORT_COLUMNS + 1)?,
        settled_at: settled_at.map(|at| Timestamp::from_stored(at.timestamp_millis())),
    })
}

/// Writes what is moved from another store.
pub fn moved_statement(moved: &[MovedReport]) -> Option<Statement> {
    let texts = |value: &dyn Fn(&MovedReport) -> String| moved.iter().map(value).collect::<Vec<_>>();
    let instants = |value: &dyn Fn(&MovedReport) -> Option<Timestamp>| {
        moved.iter().map(|moved| value(moved).map(columns::instant)).collect::<Vec<_>>()
    };
    let flags = |value: &dyn Fn(&MovedReport) -> bool| moved.iter().map(value).collect::<Vec<_>>();
    (!moved.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO usage_reports (customer_id, id, meter, window_start, stripe_customer_id, subscription_id, units,
                                        timestamp, is_open, state, due_at, holder, attempts, first_attempt_at, in_doubt,
                                        reason, settled_at)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        )
        .texts(texts(&|moved| moved.report.customer_id.as_str().to_owned()))
        .texts(texts(&|moved| moved.report.id.as_str().to_owned()))
        .texts(texts(&|moved| moved.report.meter.as_str().to_owned()))
        .with(instants(&|moved| Some(moved.report.window_start)), Type::TIMESTAMPTZ_ARRAY)
        .texts(texts(&|moved| moved.report.recipient.stripe_customer_id.clone()))
        .texts(texts(&|moved| moved.report.recipient.subscription_id.clone().unwrap_or_default()))
        .with(moved.iter().map(|moved| columns::bigint(moved.report.units)).collect::<Vec<_>>(), Type::INT8_ARRAY)
        .with(instants(&|moved| Some(moved.report.timestamp)), Type::TIMESTAMPTZ_ARRAY)
        .with(flags(&|moved| moved.is_open), Type::BOOL_ARRAY)
        .texts(texts(&|moved| moved.report.state.as_str().to_owned()))
        .with(instants(&|moved| Some(moved.report.due_at)), Type::TIMESTAMPTZ_ARRAY)
        .with(moved.iter().map(|moved| moved.holder.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
        .with(moved.iter().map(|moved| attempts(moved.report.attempts)).collect::<Vec<_>>(), Type::INT4_ARRAY)
        .with(instants(&|moved| moved.report.first_attempt_at), Type::TIMESTAMPTZ_ARRAY)
        .with(flags(&|moved| moved.report.in_doubt), Type::BOOL_ARRAY)
        .with(moved.iter().map(|moved| moved.report.reason.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
        .with(instants(&|moved| moved.settled_at), Type::TIMESTAMPTZ_ARRAY)
    })
}

fn attempts(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Adds to open reports, and opens others. Whom a report tells of is looked up where it is not said.
///
/// Two groups cannot wait for each other here: who adds to the same reports has added to the same counters before.
pub fn delta_statement(deltas: &Deltas) -> Option<Statement> {
    let (mut customers, mut ids, mut meters, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut recipients, mut subscriptions) = (Vec::new(), Vec::new());
    let (mut units, mut timestamps, mut due) = (Vec::new(), Vec::new(), Vec::new());
    for ((customer_id, meter, window_start, recipient), delta) in deltas.iter() {
        customers.push(customer_id.as_str().to_owned());
        ids.push(delta.id.as_str().to_owned());
        meters.push(meter.as_str().to_owned());
        starts.push(columns::instant(*window_start));
        recipients.push(recipient.as_ref().map(|recipient| recipient.stripe_customer_id.clone()));
        subscriptions.push(recipient.as_ref().map(|recipient| recipient.subscription_id.clone().unwrap_or_default()));
        units.push(columns::bigint(delta.units));
        timestamps.push(columns::instant(delta.timestamp));
        due.push(columns::instant(delta.due_at));
    }
    (!units.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO usage_reports (customer_id, id, meter, window_start, stripe_customer_id, subscription_id, units,
                                        timestamp, is_open, state, due_at, attempts, in_doubt)
             SELECT customer_id, new.id, meter, window_start, coalesce(new.stripe_customer_id, c.stripe_customer_id),
                 coalesce(new.subscription_id, c.subscription_id, ''), units, timestamp, true, 'pending', due_at, 0, false
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS new(customer_id, id, meter, window_start,
                 stripe_customer_id, subscription_id, units, timestamp, due_at)
             LEFT JOIN customers c ON c.id = customer_id
             WHERE coalesce(new.stripe_customer_id, c.stripe_customer_id) IS NOT NULL
             ON CONFLICT (customer_id, meter, window_start, stripe_customer_id, subscription_id) WHERE is_open
             DO UPDATE SET units = usage_reports.units + excluded.units,
                 timestamp = greatest(usage_reports.timestamp, excluded.timestamp)",
        )
        .texts(customers)
        .texts(ids)
        .texts(meters)
        .with(starts, Type::TIMESTAMPTZ_ARRAY)
        .with(recipients, Type::TEXT_ARRAY)
        .with(subscriptions, Type::TEXT_ARRAY)
        .with(units, Type::INT8_ARRAY)
        .with(timestamps, Type::TIMESTAMPTZ_ARRAY)
        .with(due, Type::TIMESTAMPTZ_ARRAY)
    })
}

impl Outbox for PostgresStore {
    /// One process claims at a time, for the moment that this takes: so that two do not claim two reports of one account.
    fn claim_reports(&self, claim: &Claim) -> crate::Result<Vec<Report>> {
        let lock = Statement::new("SELECT pg_advisory_xact_lock(hashtextextended('weighbridge outbox ' || $1, 0))")
            .text(self.options.schema.as_str());
        let (customer, meter) =
            claim.after.as_ref().map_or(("", ""), |(customer_id, meter)| (customer_id.as_str(), meter.as_str()));
        // The accounts are found one after the other, from the index, as far as they are needed. Of each one the report on
        // its way comes first, and is claimed where its claim has run out.
        let claim = Statement::new(concat!(
            "WITH RECURSIVE accounts AS (
                 (SELECT customer_id, meter FROM usage_reports
                  WHERE state IN ('pending', 'sending') AND (customer_id, meter) > ($1, $2)
                  ORDER BY customer_id, meter LIMIT 1)
                 UNION ALL
                 SELECT next.customer_id, next.meter FROM accounts, LATERAL (
                     SELECT customer_id, meter FROM usage_reports u
                     WHERE state IN ('pending', 'sending')
                         AND (u.customer_id, u.meter) > (accounts.customer_id, accounts.meter)
                     ORDER BY customer_id, meter LIMIT 1
                 ) next
             ), heads AS (
                 SELECT head.customer_id, head.id FROM accounts, LATERAL (
                     SELECT customer_id, id, is_open, timestamp, due_at FROM usage_reports u
                     WHERE u.customer_id = accounts.customer_id AND u.meter = accounts.meter
                         AND state IN ('pending', 'sending')
                     ORDER BY state DESC, due_at LIMIT 1
                 ) head
                 WHERE head.due_at <= $3 OR ($4 AND head.is_open AND head.timestamp <= $5)
                 LIMIT $6
             ), free AS (
                 SELECT u.customer_id, u.id FROM usage_reports u JOIN heads USING (customer_id, id)
                 WHERE u.state IN ('pending', 'sending') AND (u.due_at <= $3 OR ($4 AND u.is_open))
                 FOR UPDATE OF u SKIP LOCKED
             ), claimed AS (
                 UPDATE usage_reports r
                 SET in_doubt = r.in_doubt OR r.state = 'sending', state = 'sending', is_open = false, holder = $7,
                     due_at = $8, attempts = r.attempts + 1, first_attempt_at = coalesce(r.first_attempt_at, $3)
                 FROM free WHERE r.customer_id = free.customer_id AND r.id = free.id
                 RETURNING r.*
             )
             SELECT ",
            report_columns!(),
            " FROM claimed r ORDER BY r.customer_id, r.meter"
        ))
        .text(customer)
        .text(meter)
        .with(columns::instant(claim.now), Type::TIMESTAMPTZ)
        .with(claim.early, Type::BOOL)
        .with(columns::instant(claim.now.plus_millis(LONGEST_FUTURE)), Type::TIMESTAMPTZ)
        .with(i64::try_from(claim.limit).unwrap_or(i64::MAX), Type::INT8)
        .text(claim.holder.as_str())
        .with(columns::instant(claim.until), Type::TIMESTAMPTZ);
        let mut answers = self.outbox(&[lock, claim])?;
        self.at(answers.pop().unwrap_or_default().iter().map(report).collect())
    }

    fn settle_reports(&self, holder: &HolderId, settlements: &[Settlement]) -> crate::Result<()> {
        let (mut customers, mut ids, mut numbers, mut states) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut due, mut doubts, mut reasons, mut instants) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for settlement in settlements {
            customers.push(settlement.customer_id.as_str().to_owned());
            ids.push(settlement.id.as_str().to_owned());
            numbers.push(attempts(settlement.attempts));
            states.push(settlement.settled.state.as_str().to_owned());
            due.push(columns::instant(settlement.settled.due_at));
            doubts.push(settlement.settled.in_doubt);
            reasons.push(settlement.reason.clone());
            instants.push(columns::instant(settlement.now));
        }
        let settle = Statement::new(
            "UPDATE usage_reports r
             SET state = w.state, due_at = w.due_at, in_doubt = w.in_doubt, reason = w.reason, settled_at = w.settled_at
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) AS w(customer_id, id, attempts, state, due_at, in_doubt, reason,
                 settled_at)
             WHERE r.customer_id = w.customer_id AND r.id = w.id AND r.attempts = w.attempts AND r.state = 'sending'
                 AND r.holder = $9",
        )
        .texts(customers)
        .texts(ids)
        .with(numbers, Type::INT4_ARRAY)
        .texts(states)
        .with(due, Type::TIMESTAMPTZ_ARRAY)
        .with(doubts, Type::BOOL_ARRAY)
        .with(reasons, Type::TEXT_ARRAY)
        .with(instants, Type::TIMESTAMPTZ_ARRAY)
        .text(holder.as_str());
        self.outbox(&[settle]).map(drop)
    }

    fn reports(&self, query: &ReportQuery) -> crate::Result<Vec<Report>> {
        let select = Statement::new(concat!(
            "SELECT ",
            report_columns!(),
            " FROM usage_reports r
             WHERE ($1 IS NULL OR r.state = $1) AND ($2 IS NULL OR r.customer_id = $2) AND ($3 IS NULL OR r.id = $3)
                 AND r.id > $4
             ORDER BY r.id LIMIT $5"
        ))
        .with(query.state.map(State::as_str), Type::TEXT)
        .with(query.customer_id.as_ref().map(|id| id.as_str().to_owned()), Type::TEXT)
        .with(query.id.as_ref().map(|id| id.as_str().to_owned()), Type::TEXT)
        .text(query.after.as_deref().unwrap_or_default())
        .with(i64::try_from(query.limit).unwrap_or(i64::MAX), Type::INT8);
        self.at(read::ask(&self.database, select).and_then(|rows| rows.iter().map(report).collect()))
    }

    fn backlog(&self) -> crate::Result<Vec<Backlog>> {
        // Two halves, as there is an index for each.
        let select = Statement::new(
            "SELECT state, count(*), sum(units)::bigint, min(window_start) FROM usage_reports
             WHERE state IN ('pending', 'sending') GROUP BY state
             UNION ALL
             SELECT state, count(*), sum(units)::bigint, min(window_start) FROM usage_reports
             WHERE state IN ('dead', 'uncertain', 'frozen') GROUP BY state",
        );
        let backlog = |row: &Row| {
            let (reports, units) = (columns::count(row, 1)?, columns::count(row, 2)?);
            Ok(Backlog { state: state(row, 0)?, reports, units, since: columns::timestamp(row, 3)? })
        };
        self.at(read::ask(&self.database, select).and_then(|rows| rows.iter().map(backlog).collect()))
    }

    fn has_unsent(&self, until: Timestamp) -> crate::Result<bool> {
        let select = Statement::new(
            "SELECT 1 FROM usage_reports WHERE state IN ('pending', 'sending') AND timestamp <= $1 LIMIT 1",
        )
        .with(columns::instant(until), Type::TIMESTAMPTZ);
        self.at(read::ask(&self.database, select).map(|rows| !rows.is_empty()))
    }

    fn books(&self, customer: Option<&CustomerId>, span: Period) -> crate::Result<Vec<Line>> {
        // One statement sees one state of the database.
        let select = Statement::new(
            "SELECT 'events', customer_id, meter, NULL::text, NULL::text, sum(units)::bigint FROM events
             WHERE timestamp >= $1 AND timestamp < $2 AND ($3 IS NULL OR customer_id = $3)
             GROUP BY customer_id, meter
             UNION ALL
             SELECT 'rollups', customer_id, meter, NULL, NULL, sum(units)::bigint FROM hourly_rollups
             WHERE hour >= $1 AND hour < $2 AND ($3 IS NULL OR customer_id = $3)
             GROUP BY customer_id, meter
             UNION ALL
             SELECT 'reported', customer_id, meter, state, NULL, sum(units)::bigint FROM usage_reports
             WHERE window_start >= $1 AND window_start < $2 AND ($3 IS NULL OR customer_id = $3)
             GROUP BY customer_id, meter, state
             UNION ALL
             SELECT 'told', customer_id, meter, state, stripe_customer_id, sum(units)::bigint FROM usage_reports
             WHERE timestamp >= $1 AND timestamp < $2 AND ($3 IS NULL OR customer_id = $3)
             GROUP BY customer_id, meter, state, stripe_customer_id",
        )
        .with(columns::instant(span.start), Type::TIMESTAMPTZ)
        .with(columns::instant(span.end), Type::TIMESTAMPTZ)
        .with(customer.map(|id| id.as_str().to_owned()), Type::TEXT);
        self.at(read::ask(&self.database, select).and_then(|rows| rows.iter().map(line).collect()))
    }

    fn entries(&self, customer: &CustomerId, meter: Meter, span: Period) -> crate::Result<Vec<Entry>> {
        let select = Statement::new(concat!(
            "SELECT ",
            report_columns!(),
            ", r.settled_at FROM usage_reports r
             WHERE r.customer_id = $1 AND r.meter = $2 AND r.timestamp >= $3 AND r.timestamp < $4 ORDER BY r.id"
        ))
        .text(customer.as_str())
        .text(meter.as_str())
        .with(columns::instant(span.start), Type::TIMESTAMPTZ)
        .with(columns::instant(span.end), Type::TIMESTAMPTZ);
        let entry = |row: &Row| {
            let settled_at: Option<DateTime<Utc>> = row.try_get(REPORT_COLUMNS)?;
            let settled_at = settled_at.map(|at| Timestamp::from_stored(at.timestamp_millis()));
            Ok(Entry { report: report(row)?, settled_at })
        };
        self.at(read::ask(&self.database, select).and_then(|rows| rows.iter().map(entry).collect()))
    }

    fn divide_report(&self, division: &Division) -> crate::Result<bool> {
        // Where it was done before, and the answer was lost, the part is there.
        let divide = Statement::new(
            "WITH whole AS (
                 SELECT * FROM usage_reports
                 WHERE customer_id = $1 AND id = $2 AND state = $3 AND attempts = $4 AND units >= $5
                     AND NOT EXISTS (SELECT 1 FROM usage_reports WHERE customer_id = $1 AND id = $6)
                 FOR UPDATE
             ), rest AS (
                 UPDATE usage_reports r SET units = r.units - $5 FROM whole
                 WHERE r.customer_id = whole.customer_id AND r.id = whole.id AND whole.units > $5
             ), nothing AS (
                 DELETE FROM usage_reports r USING whole
                 WHERE r.customer_id = whole.customer_id AND r.id = whole.id AND whole.units = $5
             )
             INSERT INTO usage_reports (customer_id, id, meter, window_start, stripe_customer_id, subscription_id, units,
                                        timestamp, is_open, state, due_at, attempts, in_doubt, reason, settled_at)
             SELECT customer_id, $6, meter, window_start, stripe_customer_id, subscription_id, $5, $7, false, $8, $9, 0,
                 false, $10, $9
             FROM whole",
        )
        .text(division.customer_id.as_str())
        .text(division.id.as_str())
        .text(division.state.as_str())
        .with(attempts(division.attempts), Type::INT4)
        .with(columns::bigint(division.units), Type::INT8)
        .text(division.part.as_str())
        .with(columns::instant(division.timestamp), Type::TIMESTAMPTZ)
        .text(division.becomes.as_str())
        .with(columns::instant(division.now), Type::TIMESTAMPTZ)
        .with(division.reason.clone(), Type::TEXT);
        let part = Statement::new("SELECT 1 FROM usage_reports WHERE customer_id = $1 AND id = $2")
            .text(division.customer_id.as_str())
            .text(division.part.as_str());
        Ok(self.outbox(&[divide, part])?.pop().is_some_and(|found| !found.is_empty()))
    }

    fn reject_report(&self, id: &ReportId, reason: &str, now: Timestamp) -> crate::Result<Option<Report>> {
        let update = Statement::new(concat!(
            "UPDATE usage_reports r SET state = 'dead', in_doubt = false, reason = $2, settled_at = $3
             WHERE id = $1 AND NOT is_open RETURNING ",
            report_columns!()
        ))
        .text(id.as_str())
        .text(reason)
        .with(columns::instant(now), Type::TIMESTAMPTZ);
        let answers = self.outbox(&[update])?;
        self.at(answers.iter().flatten().next().map(report).transpose())
    }

    fn retry_report(&self, id: &ReportId, successor: &ReportId, now: Timestamp) -> crate::Result<bool> {
        let update = Statement::new(
            "UPDATE usage_reports SET id = $2, state = 'pending', due_at = $3, first_attempt_at = NULL, reason = NULL
             WHERE id = $1 AND state = 'dead' RETURNING 1",
        )
        .text(id.as_str())
        .text(successor.as_str())
        .with(columns::instant(now), Type::TIMESTAMPTZ);
        Ok(self.outbox(&[update])?.iter().flatten().next().is_some())
    }

    fn forget_reports(&self, sent_before: Timestamp, limit: usize) -> crate::Result<u64> {
        let delete = Statement::new(
            "DELETE FROM usage_reports WHERE (customer_id, id) IN (
                 SELECT customer_id, id FROM usage_reports WHERE state = 'sent' AND settled_at < $1 LIMIT $2
             ) RETURNING 1",
        )
        .with(columns::instant(sent_before), Type::TIMESTAMPTZ)
        .with(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);
        Ok(self.outbox(&[delete])?.iter().flatten().count() as u64)
    }
}

impl PostgresStore {
    /// A transaction beside those of groups, in one round trip. A connection that was cut while it lay idle is found out
    /// here, so once more is tried: to do it twice is the same.
    pub(super) fn outbox(&self, statements: &[Statement]) -> crate::Result<Vec<Vec<Row>>> {
        let run = || self.database.begin(Purpose::Write)?.finish(statements);
        let answers = match run() {
            Err(error) if error.is_disconnection() => run(),
            answers => answers,
        };
        self.at(answers)
    }
}

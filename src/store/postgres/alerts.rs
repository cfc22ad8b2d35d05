//! The table of alerts.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::Statement;
use super::error::Result;
use super::{PostgresStore, columns, read};
use crate::domain::alert::{Bound, Kind, Measure, Watches};
use crate::domain::credit::Unit;
use crate::domain::{Alert, AlertId, AlertRule, AlertState, CustomerId, Decimal, HolderId, Period, Reached, Timestamp};
use crate::store::alerts::{AlertClaim, AlertQuery, AlertSettlement, Alerts};
use crate::store::group::random;
use crate::store::migration::rows::MovedAlert;

/// The columns that [`reached`] reads, in its order. By the name of the first one its answer is known.
macro_rules! reached_columns {
    () => {
        "a.customer_id AS alerted_id, a.kind, a.unit, trim_scale(a.whole)::text, trim_scale(a.used)::text, a.percent,
         a.period_start, a.period_end"
    };
}

/// The columns that [`alert`] reads, in its order.
macro_rules! alert_columns {
    () => {
        concat!(reached_columns!(), ", a.id, a.created_at, a.state, a.attempts, a.due_at, a.reason")
    };
}

fn reached(row: &Row) -> Result<Reached> {
    let decimal = |column| -> Result<Decimal> { Ok(Decimal::parse("amount", row.try_get(column)?)?) };
    let (kind, unit): (Kind, _) = (row.try_get::<_, &str>(1)?.parse()?, Unit::from_stored(row.try_get(2)?)?);
    Ok(Reached {
        customer_id: CustomerId::from_stored(row.try_get(0)?),
        percent: u32::try_from(row.try_get::<_, i32>(5)?).unwrap_or_default(),
        period: Period { start: columns::timestamp(row, 6)?, end: columns::timestamp(row, 7)? },
        measure: Measure { kind, unit, whole: decimal(3)?, used: decimal(4)? },
    })
}

fn alert(row: &Row) -> Result<Alert> {
    Ok(Alert {
        id: AlertId::from_stored(row.try_get(8)?),
        reached: reached(row)?,
        created_at: columns::timestamp(row, 9)?,
        state: row.try_get::<_, &str>(10)?.parse()?,
        attempts: u32::try_from(row.try_get::<_, i32>(11)?).unwrap_or_default(),
        due_at: columns::timestamp(row, 12)?,
        reason: row.try_get(13)?,
    })
}

/// Writes of what somebody is told.
pub fn rule_statement(rule: &AlertRule) -> crate::Result<Statement> {
    let upsert = Statement::new(
        "INSERT INTO settings (name, value) VALUES ('alerts', $1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    Ok(upsert.text(rule.to_stored()?))
}

/// Writes down what is reached by what the counters say now, and answers with what was not written before. What others add
/// meanwhile, and is not committed yet, they look at themselves: whoever adds to one of several counters that count together
/// has locked the customer.
pub fn reached_statement(watches: &Watches, rule: Option<&AlertRule>) -> crate::Result<Option<Statement>> {
    let Some(rule) = rule.filter(|rule| !watches.is_empty() && !rule.thresholds.is_empty()) else { return Ok(None) };
    let (mut ids, mut customers, mut kinds, mut units) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut bases, mut wholes, mut percents) = (Vec::new(), Vec::new(), Vec::new());
    let (mut starts, mut ends, mut instants) = (Vec::new(), Vec::new(), Vec::new());
    for (customer_id, watch) in watches.iter() {
        // Of credit it is what is left.
        let whole = match &watch.bound {
            Bound::Credit { left, .. } => left.clone(),
            bound => bound.whole(&Decimal::default()),
        };
        for percent in rule.thresholds.percents() {
            ids.push(AlertId::new(watch.now, random()?).as_str().to_owned());
            customers.push(customer_id.as_str().to_owned());
            kinds.push(watch.bound.kind().as_str().to_owned());
            units.push(watch.bound.unit().as_str().to_owned());
            bases.push(watch.bound.basis());
            wholes.push(whole.to_string());
            percents.push(i32::try_from(*percent).unwrap_or(i32::MAX));
            starts.push(columns::instant(watch.period.start));
            ends.push(columns::instant(watch.period.end));
            instants.push(columns::instant(watch.now));
        }
    }
    let state = if rule.is_sent { AlertState::Pending } else { AlertState::Kept };
    let statement = Statement::new(concat!(
        "INSERT INTO alerts AS a (id, customer_id, kind, unit, basis, whole, used, percent, period_start, period_end,
                             created_at, state, due_at, attempts)
         SELECT w.id, w.customer_id, w.kind, w.unit, w.basis, c.whole, c.used, w.percent, w.period_start, w.period_end,
             w.at, $11, w.at, 0
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS w(id, customer_id, kind, unit, basis, whole, percent,
             period_start, period_end, at)
         CROSS JOIN LATERAL (
             SELECT used, CASE WHEN w.kind = 'credit' THEN w.whole::numeric + used ELSE w.whole::numeric END AS whole FROM (
                 SELECT coalesce(sum(CASE WHEN w.unit = 'money' THEN cost ELSE units END), 0) AS used
                 FROM period_counters p
                 WHERE p.customer_id = w.customer_id AND p.period_start = w.period_start AND w.unit IN ('money', p.meter)
             ) AS counted
         ) AS c
         WHERE c.whole > 0 AND c.used * 100 >= c.whole * w.percent
         ORDER BY w.customer_id, w.period_start, w.kind, w.unit, w.percent
         ON CONFLICT DO NOTHING RETURNING ",
        reached_columns!()
    ));
    Ok(Some(
        statement
            .texts(ids)
            .texts(customers)
            .texts(kinds)
            .texts(units)
            .texts(bases)
            .texts(wholes)
            .with(percents, Type::INT4_ARRAY)
            .with(starts, Type::TIMESTAMPTZ_ARRAY)
            .with(ends, Type::TIMESTAMPTZ_ARRAY)
            .with(instants, Type::TIMESTAMPTZ_ARRAY)
            .text(state.as_str()),
    ))
}

/// What [`reached_statement`] has answered, among the answers of a group's statements.
pub fn reached_of(answers: &[Vec<Row>]) -> Result<Vec<Reached>> {
    let is_it = |rows: &&Vec<Row>| rows.first().is_some_and(|row| row.columns()[0].name() == "alerted_id");
    answers.iter().find(is_it).into_iter().flatten().map(reached).collect()
}

/// By id, beginning after one: what [`moved`] reads.
pub fn moved_statement(after: &str, limit: i64) -> Statement {
    Statement::new(concat!(
        "SELECT ",
        alert_columns!(),
        ", a.basis FROM alerts a WHERE a.id COLLATE \"C\" > $1 ORDER BY a.id COLLATE \"C\" LIMIT $2"
    ))
    .text(after)
    .with(limit, Type::INT8)
}

pub fn moved(row: &Row) -> Result<MovedAlert> {
    Ok(MovedAlert { alert: alert(row)?, basis: row.try_get(14)? })
}

/// Writes alerts as they were elsewhere.
pub fn put_statement(alerts: &[MovedAlert]) -> Statement {
    let text = |of: fn(&MovedAlert) -> String| alerts.iter().map(of).collect::<Vec<_>>();
    let number = |of: fn(&Alert) -> u32| -> Vec<i32> {
        alerts.iter().map(|moved| i32::try_from(of(&moved.alert)).unwrap_or(i32::MAX)).collect()
    };
    let instant = |of: fn(&Alert) -> Timestamp| -> Vec<_> {
        alerts.iter().map(|moved| columns::instant(of(&moved.alert))).collect()
    };
    Statement::new(
        "INSERT INTO alerts (id, customer_id, kind, unit, basis, whole, used, percent, period_start, period_end,
                             created_at, state, due_at, attempts, reason)
         SELECT id, customer_id, kind, unit, basis, whole::numeric, used::numeric, percent, period_start, period_end,
             created_at, state, due_at, attempts, reason
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS w(id, customer_id, kind, unit,
             basis, whole, used, percent, period_start, period_end, created_at, state, due_at, attempts, reason)",
    )
    .texts(text(|moved| moved.alert.id.as_str().to_owned()))
    .texts(text(|moved| moved.alert.reached.customer_id.as_str().to_owned()))
    .texts(text(|moved| moved.alert.reached.measure.kind.as_str().to_owned()))
    .texts(text(|moved| moved.alert.reached.measure.unit.as_str().to_owned()))
    .texts(text(|moved| moved.basis.clone()))
    .texts(text(|moved| moved.alert.reached.measure.whole.to_string()))
    .texts(text(|moved| moved.alert.reached.measure.used.to_string()))
    .with(number(|alert| alert.reached.percent), Type::INT4_ARRAY)
    .with(instant(|alert| alert.reached.period.start), Type::TIMESTAMPTZ_ARRAY)
    .with(instant(|alert| alert.reached.period.end), Type::TIMESTAMPTZ_ARRAY)
    .with(instant(|alert| alert.created_at), Type::TIMESTAMPTZ_ARRAY)
    .texts(text(|moved| moved.alert.state.as_str().to_owned()))
    .with(instant(|alert| alert.due_at), Type::TIMESTAMPTZ_ARRAY)
    .with(number(|alert| alert.attempts), Type::INT4_ARRAY)
    .with(alerts.iter().map(|moved| moved.alert.reason.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
}

impl Alerts for PostgresStore {
    fn claim_alerts(&self, claim: &AlertClaim) -> crate::Result<Vec<Alert>> {
        let claim = Statement::new(concat!(
            "WITH due AS (
                 SELECT id FROM alerts WHERE state IN ('pending', 'sending') AND due_at <= $1
                 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )
             UPDATE alerts a
             SET state = 'sending', holder = $3, due_at = $4, attempts = a.attempts + 1
             FROM due WHERE a.id = due.id
             RETURNING ",
            alert_columns!()
        ))
        .with(columns::instant(claim.now), Type::TIMESTAMPTZ)
        .with(i64::try_from(claim.limit).unwrap_or(i64::MAX), Type::INT8)
        .text(claim.holder.as_str())
        .with(columns::instant(claim.until), Type::TIMESTAMPTZ);
        let rows = self.outbox(&[claim])?.pop().unwrap_or_default();
        self.at(rows.iter().map(alert).collect())
    }

    fn settle_alert(&self, holder: &HolderId, settlement: &AlertSettlement) -> crate::Result<bool> {
        let AlertSettlement { id, attempts, settled, reason } = settlement;
        let settle = Statement::new(
            "UPDATE alerts SET state = $1, due_at = $2, reason = $3, attempts = $4
             WHERE id = $5 AND state = 'sending' AND holder = $6 AND attempts = $7 RETURNING 1",
        )
        .text(settled.state.as_str())
        .with(columns::instant(settled.due_at), Type::TIMESTAMPTZ)
        .with(reason.clone(), Type::TEXT)
        .with(i32::try_from(settled.attempts).unwrap_or(i32::MAX), Type::INT4)
        .text(id.as_str())
        .text(holder.as_str())
        .with(i32::try_from(*attempts).unwrap_or(i32::MAX), Type::INT4);
        Ok(self.outbox(&[settle])?.pop().is_some_and(|rows| !rows.is_empty()))
    }

    fn alert(&self, id: &AlertId) -> crate::Result<Option<Alert>> {
        let select = Statement::new(concat!("SELECT ", alert_columns!(), " FROM alerts a WHERE a.id = $1"));
        let rows = self.at(read::ask(&self.database, select.text(id.as_str())))?;
        self.at(rows.first().map(alert).transpose())
    }

    fn alerts(&self, query: &AlertQuery) -> crate::Result<Vec<Alert>> {
        let select = Statement::new(concat!(
            "SELECT ",
            alert_columns!(),
            " FROM alerts a
             WHERE a.id > $1 AND ($2 IS NULL OR a.state = $2) AND ($3 IS NULL OR a.customer_id = $3)
             ORDER BY a.id LIMIT $4"
        ))
        .text(query.after.clone().unwrap_or_default())
        .with(query.state.map(AlertState::as_str), Type::TEXT)
        .with(query.customer_id.as_ref().map(|id| id.as_str().to_owned()), Type::TEXT)
        .with(i64::try_from(query.limit).unwrap_or(i64::MAX), Type::INT8);
        self.at(read::ask(&self.database, select).and_then(|rows| rows.iter().map(alert).collect()))
    }

    fn retry_alert(&self, id: &AlertId, now: Timestamp) -> crate::Result<bool> {
        let retry = Statement::new(
            "UPDATE alerts SET state = 'pending', due_at = $1, attempts = 0
             WHERE id = $2 AND state = 'failed' RETURNING 1",
        )
        .with(columns::instant(now), Type::TIMESTAMPTZ)
        .text(id.as_str());
        Ok(self.outbox(&[retry])?.pop().is_some_and(|rows| !rows.is_empty()))
    }

    fn forget_alerts(&self, made_before: Timestamp, limit: usize) -> crate::Result<u64> {
        let forget = Statement::new(
            "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE created_at < $1 LIMIT $2) RETURNING 1",
        )
        .with(columns::instant(made_before), Type::TIMESTAMPTZ)
        .with(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);
        Ok(self.outbox(&[forget])?.pop().map_or(0, |rows| rows.len() as u64))
    }
}

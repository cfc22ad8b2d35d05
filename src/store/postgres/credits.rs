//! Credits: grants, the entries of their books, refunds.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns;
use super::database::{Database, Purpose, Statement};
use super::error::Result;
use crate::domain::credit::{CreditGrant, Entry, GrantId, Snapshot, Unit};
use crate::domain::{CustomerId, Decimal, Timestamp};
use crate::store::group::Credit;
use crate::store::migration::position::{EntryPosition, GrantPosition};
use crate::store::migration::rows::{MovedEntry, MovedGrant, MovedRefund};
use crate::store::{CreditRecord, CreditRefund};

/// The columns that [`entry`] reads, in its order.
macro_rules! entry_columns {
    () => {
        "at, number, used, refunded, is_reset, snapshot"
    };
}

/// What [`credit`] reads.
pub fn credit_statements(customer_id: &CustomerId) -> [Statement; 2] {
    let last = Statement::new(concat!(
        "SELECT ",
        entry_columns!(),
        ", unit FROM (SELECT DISTINCT unit FROM credit_grants WHERE customer_id = $1) AS units
         CROSS JOIN LATERAL (
             SELECT ",
        entry_columns!(),
        " FROM credit_entries WHERE customer_id = $1 AND credit_entries.unit = units.unit ORDER BY at DESC LIMIT 1
         ) AS last"
    ));
    [last.text(customer_id.as_str()), grants_statement(customer_id)]
}

pub fn credit(answers: &[Vec<Row>]) -> Result<Credit> {
    let [last, grants] = answers else { return Ok(Credit::default()) };
    let last = last.iter().map(|row| Ok((Unit::from_stored(row.try_get(6)?)?, entry(row)?))).collect::<Result<_>>()?;
    Ok(Credit::open(grants.iter().map(grant).collect::<Result<_>>()?, last)?)
}

fn grants_statement(customer_id: &CustomerId) -> Statement {
    Statement::new("SELECT definition FROM credit_grants WHERE customer_id = $1 ORDER BY id").text(customer_id.as_str())
}

pub fn grants(database: &Database, customer_id: &CustomerId) -> Result<Vec<CreditGrant>> {
    let answers = database.begin(Purpose::Read)?.finish(&[grants_statement(customer_id)])?;
    answers.iter().flatten().map(grant).collect()
}

/// `None`: the record of the last instant that there is. The grants are read later, so that none is missing that an entry
/// knows of.
pub fn record(
    database: &Database,
    customer_id: &CustomerId,
    unit: Unit,
    at: Option<Timestamp>,
) -> Result<CreditRecord> {
    let entries = Statement::new(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM credit_entries
         WHERE customer_id = $1 AND unit = $2
             AND at >= (SELECT at FROM credit_entries
                        WHERE customer_id = $1 AND unit = $2 AND at <= $3 AND snapshot IS NOT NULL
                        ORDER BY at DESC LIMIT 1)
             AND at <= coalesce((SELECT min(at) FROM credit_entries WHERE customer_id = $1 AND unit = $2 AND at > $3), $3)
         ORDER BY at"
    ))
    .text(customer_id.as_str())
    .text(unit.as_str())
    .with(columns::instant(at.unwrap_or(Timestamp::MAX)), Type::TIMESTAMPTZ);
    let answers = database.begin(Purpose::Read)?.finish(&[entries, grants_statement(customer_id)])?;
    let [entries, grants] = answers.as_slice() else { return Ok(CreditRecord::default()) };
    let mut grants = grants.iter().map(grant).collect::<Result<Vec<_>>>()?;
    grants.retain(|given| given.request.unit == unit);
    Ok(CreditRecord { grants, entries: entries.iter().map(entry).collect::<Result<_>>()? })
}

pub fn put_grants(grants: &[MovedGrant]) -> Statement {
    let texts = |value: &dyn Fn(&MovedGrant) -> String| grants.iter().map(value).collect::<Vec<_>>();
    Statement::new(
        "INSERT INTO credit_grants (customer_id, id, unit, definition) SELECT * FROM unnest($1, $2, $3, $4)
         ON CONFLICT (customer_id, id) DO UPDATE SET definition = excluded.definition",
    )
    .texts(texts(&|moved| moved.customer_id.to_string()))
    .texts(texts(&|moved| moved.given.request.id.to_string()))
    .texts(texts(&|moved| moved.given.request.unit.to_string()))
    .texts(texts(&|moved| moved.given.to_stored()))
}

/// What has changed in the books of these customers.
pub fn take_entries(credits: &mut HashMap<CustomerId, Credit>) -> Vec<MovedEntry> {
    let of_customer = |(customer_id, credit): (&CustomerId, &mut Credit)| {
        let moved = |(unit, entry)| MovedEntry { customer_id: customer_id.clone(), unit, entry };
        credit.take_changes().map(moved).collect::<Vec<_>>()
    };
    credits.iter_mut().flat_map(of_customer).collect()
}

pub fn entry_statement(entries: &[MovedEntry]) -> Result<Option<Statement>> {
    let texts = |value: &dyn Fn(&MovedEntry) -> String| entries.iter().map(value).collect::<Vec<_>>();
    let snapshot = |moved: &MovedEntry| moved.entry.snapshot.as_ref().map(Snapshot::to_stored).transpose();
    let snapshots: Vec<Option<String>> = entries.iter().map(snapshot).collect::<crate::Result<_>>()?;
    Ok((!entries.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO credit_entries (customer_id, unit, at, number, used, refunded, is_reset, snapshot)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (customer_id, unit, at) DO UPDATE SET used = excluded.used, refunded = excluded.refunded,
                 is_reset = excluded.is_reset, snapshot = excluded.snapshot",
        )
        .texts(texts(&|moved| moved.customer_id.to_string()))
        .texts(texts(&|moved| moved.unit.to_string()))
        .with(entries.iter().map(|moved| columns::instant(moved.entry.at)).collect::<Vec<_>>(), Type::TIMESTAMPTZ_ARRAY)
        .with(entries.iter().map(|moved| columns::bigint(moved.entry.number)).collect::<Vec<_>>(), Type::INT8_ARRAY)
        .texts(texts(&|moved| moved.entry.used.to_string()))
        .texts(texts(&|moved| moved.entry.refunded.to_string()))
        .with(entries.iter().map(|moved| moved.entry.is_reset).collect::<Vec<_>>(), Type::BOOL_ARRAY)
        .with(snapshots, Type::TEXT_ARRAY)
    }))
}

pub fn refund_statement(customer_id: &CustomerId, id: &GrantId) -> Statement {
    Statement::new("SELECT unit, amount, at FROM credit_refunds WHERE customer_id = $1 AND id = $2")
        .text(customer_id.as_str())
        .text(id.as_str())
}

pub fn refund(id: &GrantId, row: &Row) -> Result<CreditRefund> {
    let (unit, amount) = (Unit::from_stored(row.try_get(0)?)?, Decimal::parse("amount", row.try_get(1)?)?);
    Ok(CreditRefund { id: id.clone(), unit, amount, at: columns::timestamp(row, 2)? })
}

pub fn put_refunds(refunds: &[MovedRefund]) -> Statement {
    let texts = |value: &dyn Fn(&MovedRefund) -> String| refunds.iter().map(value).collect::<Vec<_>>();
    Statement::new(
        "INSERT INTO credit_refunds (customer_id, id, unit, amount, at) SELECT * FROM unnest($1, $2, $3, $4, $5)",
    )
    .texts(texts(&|moved| moved.customer_id.to_string()))
    .texts(texts(&|moved| moved.refund.id.to_string()))
    .texts(texts(&|moved| moved.refund.unit.to_string()))
    .texts(texts(&|moved| moved.refund.amount.to_string()))
    .with(refunds.iter().map(|moved| columns::instant(moved.refund.at)).collect::<Vec<_>>(), Type::TIMESTAMPTZ_ARRAY)
}

pub fn moved_grants_statement(after: &GrantPosition, limit: i64) -> Statement {
    Statement::new(
        "SELECT definition, customer_id FROM credit_grants WHERE (customer_id, id) > ($1, $2)
         ORDER BY customer_id, id LIMIT $3",
    )
    .text(after.0.as_str())
    .text(after.1.as_str())
    .with(limit, Type::INT8)
}

pub fn moved_grant(row: &Row) -> Result<MovedGrant> {
    Ok(MovedGrant { customer_id: CustomerId::from_stored(row.try_get(1)?), given: grant(row)? })
}

pub fn moved_entries_statement(after: &EntryPosition, limit: i64) -> Statement {
    Statement::new(concat!(
        "SELECT ",
        entry_columns!(),
        ", unit, customer_id FROM credit_entries WHERE (customer_id, unit, at) > ($1, $2, $3)
         ORDER BY customer_id, unit, at LIMIT $4"
    ))
    .text(after.0.as_str())
    .text(after.1.as_str())
    .with(columns::instant(Timestamp::from_stored(after.2)), Type::TIMESTAMPTZ)
    .with(limit, Type::INT8)
}

pub fn moved_entry(row: &Row) -> Result<MovedEntry> {
    let (unit, customer_id) = (Unit::from_stored(row.try_get(6)?)?, CustomerId::from_stored(row.try_get(7)?));
    Ok(MovedEntry { customer_id, unit, entry: entry(row)? })
}

pub fn moved_refunds_statement(after: &GrantPosition, limit: i64) -> Statement {
    Statement::new(
        "SELECT unit, amount, at, id, customer_id FROM credit_refunds WHERE (customer_id, id) > ($1, $2)
         ORDER BY customer_id, id LIMIT $3",
    )
    .text(after.0.as_str())
    .text(after.1.as_str())
    .with(limit, Type::INT8)
}

pub fn moved_refund(row: &Row) -> Result<MovedRefund> {
    let refund = refund(&GrantId::from_stored(row.try_get(3)?), row)?;
    Ok(MovedRefund { customer_id: CustomerId::from_stored(row.try_get(4)?), refund })
}

fn entry(row: &Row) -> Result<Entry> {
    let snapshot: Option<&str> = row.try_get(5)?;
    Ok(Entry {
        at: columns::timestamp(row, 0)?,
        number: columns::count(row, 1)?,
        used: Decimal::parse("amount", row.try_get(2)?)?,
        refunded: Decimal::parse("amount", row.try_get(3)?)?,
        is_reset: row.try_get(4)?,
        snapshot: snapshot.map(Snapshot::from_stored).transpose()?,
    })
}

fn grant(row: &Row) -> Result<CreditGrant> {
    Ok(CreditGrant::from_stored(row.try_get(0)?)?)
}

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
        "SELECT DISTINCT ON (unit) ",
        entry_columns!(),
        ", unit FROM credit_entries WHERE customer_id = $1 ORDER BY unit, at DESC"
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
             AND at >= (SELECT max(at) FROM credit_entries
                        WHERE customer_id = $1 AND unit = $2 AND at <= $3 AND snapshot IS NOT NULL)
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

pub fn put_grant(customer_id: &CustomerId, given: &CreditGrant) -> Statement {
    Statement::new(
        "INSERT INTO credit_grants (customer_id, id, unit, definition) VALUES ($1, $2, $3, $4)
         ON CONFLICT (customer_id, id) DO UPDATE SET definition = excluded.definition",
    )
    .text(customer_id.as_str())
    .text(given.request.id.as_str())
    .text(given.request.unit.as_str())
    .text(given.to_stored())
}

/// What has changed in the books of these customers.
pub fn entry_statement(credits: &mut HashMap<CustomerId, Credit>) -> Result<Option<Statement>> {
    let (mut customers, mut units, mut instants, mut numbers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut used, mut refunded, mut resets, mut snapshots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (customer_id, credit) in credits {
        for (unit, entry) in credit.take_changes() {
            customers.push(customer_id.as_str().to_owned());
            units.push(unit.as_str().to_owned());
            instants.push(columns::instant(entry.at));
            numbers.push(columns::bigint(entry.number));
            used.push(entry.used.to_string());
            refunded.push(entry.refunded.to_string());
            resets.push(entry.is_reset);
            snapshots.push(entry.snapshot.as_ref().map(Snapshot::to_stored).transpose()?);
        }
    }
    Ok((!customers.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO credit_entries (customer_id, unit, at, number, used, refunded, is_reset, snapshot)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (customer_id, unit, at) DO UPDATE SET used = excluded.used, refunded = excluded.refunded,
                 is_reset = excluded.is_reset, snapshot = excluded.snapshot",
        )
        .texts(customers)
        .texts(units)
        .with(instants, Type::TIMESTAMPTZ_ARRAY)
        .with(numbers, Type::INT8_ARRAY)
        .texts(used)
        .texts(refunded)
        .with(resets, Type::BOOL_ARRAY)
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

pub fn put_refund(customer_id: &CustomerId, refund: &CreditRefund) -> Statement {
    let CreditRefund { id, unit, amount, at } = refund;
    Statement::new("INSERT INTO credit_refunds (customer_id, id, unit, amount, at) VALUES ($1, $2, $3, $4, $5)")
        .text(customer_id.as_str())
        .text(id.as_str())
        .text(unit.as_str())
        .text(amount.to_string())
        .with(columns::instant(*at), Type::TIMESTAMPTZ)
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

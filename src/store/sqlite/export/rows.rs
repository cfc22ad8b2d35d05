//! Reading what is moved, a page at a time.

use rusqlite::{Connection, Row, params};

use super::super::columns::{self, KEY_COLUMNS, key_columns};
use super::super::error::Result;
use super::super::event_ids::EventIds;
use crate::domain::invoice::Quantity;
use crate::domain::{CostBasis, CustomerId, EventId, KeyHash, Timestamp, Units, UsageEvent};
use crate::store::group::Tally;
use crate::store::migration::position::{CounterPosition, OutboxStamp, QuantityPosition, RollupPosition};
use crate::store::migration::rows::{Counted, MovedEvent, MovedKey, Rollup, TakenOver, UnderPrice, without_nul};
use crate::store::migration::totals::Totals;

pub fn sizes(connection: &Connection) -> Result<Totals> {
    let count = |sql| connection.query_row(sql, [], |row| row.get(0));
    Ok(Totals {
        customers: count("SELECT count(*) FROM customers")?,
        keys: count("SELECT count(*) FROM api_keys")?,
        events: count("SELECT count(*) FROM events")?,
        counters: count("SELECT count(*) FROM period_counters")?,
        quantities: count("SELECT count(*) FROM period_quantities")?,
        rollups: count("SELECT count(*) FROM hourly_rollups")?,
        reports: count("SELECT count(*) FROM usage_reports")?,
        credits: count(
            "SELECT (SELECT count(*) FROM credit_grants) + (SELECT count(*) FROM credit_entries)
                 + (SELECT count(*) FROM credit_refunds)",
        )?,
        alerts: count("SELECT count(*) FROM alerts")?,
        event_ids: event_ids(connection)?,
        subscriptions: count("SELECT count(*) FROM stripe_subscriptions")?,
        stripe_events: count("SELECT count(*) FROM stripe_events")?,
        ..Totals::default()
    })
}

pub fn outbox_stamp(connection: &Connection) -> Result<OutboxStamp> {
    let stamp = connection.query_row(
        "SELECT count(*), coalesce(sum(attempts), 0), coalesce(max(settled_at), 0) FROM usage_reports",
        [],
        |row| Ok(OutboxStamp { reports: row.get(0)?, attempts: row.get(1)?, settled_at: row.get(2)? }),
    )?;
    Ok(stamp)
}

pub fn event_ids(connection: &Connection) -> Result<u64> {
    Ok(connection.query_row("SELECT count(*) FROM event_ids", [], |row| row.get(0))?)
}

pub fn keys(connection: &Connection, after: &str, limit: usize) -> Result<Vec<MovedKey>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        key_columns!(),
        ", k.hash FROM api_keys k WHERE k.id > ? ORDER BY k.id LIMIT ?"
    ))?;
    let rows = statement.query_map(params![after, limit], |row| {
        Ok(MovedKey { key: columns::key(row)?, hash: KeyHash(row.get(KEY_COLUMNS)?) })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn events(connection: &Connection, event_ids: &mut EventIds, after: u64, limit: usize) -> Result<Vec<MovedEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, customer_id, id, meter, units, cost, timestamp, recorded_at, subscription_id, endpoint,
             agent_type, metadata, price
         FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?",
    )?;
    let rows = statement.query_map(params![after, limit], event)?;
    let mut events = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for moved in &mut events {
        if let Some(id) = &moved.event.id {
            moved.fingerprint = event_ids.fingerprint(connection, &moved.event.customer_id, id)?;
        }
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> rusqlite::Result<MovedEvent> {
    let event = UsageEvent {
        customer_id: CustomerId::from_stored(row.get(1)?),
        id: row.get::<_, Option<String>>(2)?.map(EventId::from_stored),
        meter: columns::meter(row, 3)?,
        units: Units::from_stored(row.get(4)?),
        cost: columns::money(row, 5)?,
        cost_basis: CostBasis::Caller,
        timestamp: columns::timestamp(row, 6)?,
        subscription_id: row.get(8)?,
        endpoint: row.get::<_, Option<String>>(9)?.map(without_nul),
        agent_type: row.get::<_, Option<String>>(10)?.map(without_nul),
        metadata: row.get(11)?,
    };
    let (recorded_at, price) = (columns::timestamp(row, 7)?, row.get(12)?);
    Ok(MovedEvent { sequence: row.get(0)?, event, recorded_at, fingerprint: None, price })
}

pub fn counters(connection: &Connection, after: &CounterPosition, limit: usize) -> Result<Vec<Counted>> {
    let mut statement = connection.prepare_cached(
        "SELECT customer_id, period_start, meter, units, cost FROM period_counters
         WHERE (customer_id, period_start, meter) > (?, ?, ?)
         ORDER BY customer_id, period_start, meter LIMIT ?",
    )?;
    let (customer, start, meter) = after;
    let rows = statement.query_map(params![customer, start, meter, limit], |row| {
        let key = (CustomerId::from_stored(row.get(0)?), columns::timestamp(row, 1)?, columns::meter(row, 2)?);
        Ok((key, Tally { events: 0, units: row.get(3)?, cost: columns::money(row, 4)? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn quantities(connection: &Connection, after: &QuantityPosition, limit: usize) -> Result<Vec<UnderPrice>> {
    let mut statement = connection.prepare_cached(
        "SELECT customer_id, period_start, meter, price, units, events FROM period_quantities
         WHERE (customer_id, period_start, meter, price) > (?, ?, ?, ?)
         ORDER BY customer_id, period_start, meter, price LIMIT ?",
    )?;
    let (customer, start, meter, price) = after;
    let rows = statement.query_map(params![customer, start, meter, price, limit], |row| {
        let key = (CustomerId::from_stored(row.get(0)?), columns::timestamp(row, 1)?, columns::meter(row, 2)?);
        Ok((key, row.get(3)?, Quantity { units: row.get(4)?, events: row.get(5)? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn rollups(connection: &Connection, after: &RollupPosition, limit: usize) -> Result<Vec<Rollup>> {
    let mut statement = connection.prepare_cached(
        "SELECT customer_id, hour, meter, endpoint, events, units, cost FROM hourly_rollups
         WHERE (customer_id, hour, meter, endpoint) > (?, ?, ?, ?)
         ORDER BY customer_id, hour, meter, endpoint LIMIT ?",
    )?;
    let (customer, hour, meter, endpoint) = after;
    let rows = statement.query_map(params![customer, hour, meter, endpoint, limit], |row| {
        let hour: Timestamp = columns::timestamp(row, 1)?;
        let key = (CustomerId::from_stored(row.get(0)?), hour, columns::meter(row, 2)?, row.get(3)?);
        Ok((key, Tally { events: row.get(4)?, units: row.get(5)?, cost: columns::money(row, 6)? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn takeovers(connection: &Connection, home: &str) -> Result<Vec<TakenOver>> {
    let mut statement = connection.prepare_cached("SELECT file, position FROM takeovers ORDER BY file")?;
    let rows = statement.query_map([], |row| {
        Ok(TakenOver { file: format!("{home}/{}", row.get::<_, String>(0)?), position: row.get(1)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

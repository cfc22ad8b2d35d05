//! Writing what is moved, and reading it again to compare.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::columns::{self, KEY_COLUMNS, key_columns};
use super::super::database::{Database, Statement};
use super::super::error::Result;
use super::super::{alerts, event_ids, outbox, quantities, write};
use super::ask;
use crate::domain::{CustomerId, KeyHash, Timestamp};
use crate::store::Catalog;
use crate::store::group::Tally;
use crate::store::migration::position::{CounterPosition, QuantityPosition, RollupPosition};
use crate::store::migration::rows::{Counted, MovedEvent, MovedKey, Rollup, TakenOver, UnderPrice, without_nul};

/// The events, and the ids among them that are remembered.
pub fn event_statements(events: &[MovedEvent]) -> Vec<Statement> {
    let text = |value: &dyn Fn(&MovedEvent) -> Option<&str>| -> Vec<Option<String>> {
        events.iter().map(|moved| value(moved).map(str::to_owned)).collect()
    };
    let insert = Statement::new(
        "INSERT INTO events (customer_id, timestamp, sequence, id, meter, units, cost, recorded_at, subscription_id,
                             endpoint, agent_type, metadata, price)
         SELECT customer_id, timestamp, sequence, id, meter, units, cost::numeric, recorded_at, subscription_id,
             endpoint, agent_type, metadata, price
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS moved(customer_id, timestamp, sequence,
             id, meter, units, cost, recorded_at, subscription_id, endpoint, agent_type, metadata, price)",
    )
    .with(text(&|moved| Some(moved.event.customer_id.as_str())), Type::TEXT_ARRAY)
    .with(
        events.iter().map(|moved| columns::instant(moved.event.timestamp)).collect::<Vec<_>>(),
        Type::TIMESTAMPTZ_ARRAY,
    )
    .with(events.iter().map(|moved| columns::bigint(moved.sequence)).collect::<Vec<_>>(), Type::INT8_ARRAY)
    .with(text(&|moved| Some(moved.event.id.as_ref()?.as_str())), Type::TEXT_ARRAY)
    .with(text(&|moved| Some(moved.event.meter.as_str())), Type::TEXT_ARRAY)
    .with(events.iter().map(|moved| columns::bigint(moved.event.units.get())).collect::<Vec<_>>(), Type::INT8_ARRAY)
    .texts(events.iter().map(|moved| moved.event.cost.to_string()).collect())
    .with(events.iter().map(|moved| columns::instant(moved.recorded_at)).collect::<Vec<_>>(), Type::TIMESTAMPTZ_ARRAY)
    .with(text(&|moved| moved.event.subscription_id.as_deref()), Type::TEXT_ARRAY)
    .with(text(&|moved| moved.event.endpoint.as_deref()), Type::TEXT_ARRAY)
    .with(text(&|moved| moved.event.agent_type.as_deref()), Type::TEXT_ARRAY)
    .with(text(&|moved| moved.event.metadata.as_deref()), Type::TEXT_ARRAY)
    .with(text(&|moved| moved.price.as_deref()), Type::TEXT_ARRAY);
    [insert].into_iter().chain(id_statement(events)).collect()
}

/// An id that was forgotten and used again names two events, and is remembered once.
fn id_statement(events: &[MovedEvent]) -> Option<Statement> {
    let (mut customers, mut keys, mut instants, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for MovedEvent { event, recorded_at, fingerprint, .. } in events {
        let (Some(id), Some(fingerprint)) = (&event.id, fingerprint) else { continue };
        customers.push(event.customer_id.as_str().to_owned());
        keys.push(event_ids::key(id).to_vec());
        instants.push(columns::instant(*recorded_at));
        fingerprints.push(fingerprint.to_vec());
    }
    (!keys.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO event_ids (customer_id, key, recorded_at, fingerprint) SELECT * FROM unnest($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .texts(customers)
        .with(keys, Type::BYTEA_ARRAY)
        .with(instants, Type::TIMESTAMPTZ_ARRAY)
        .with(fingerprints, Type::BYTEA_ARRAY)
    })
}

pub fn key_statement(keys: &[MovedKey]) -> Option<Statement> {
    let texts = |value: &dyn Fn(&MovedKey) -> &str| keys.iter().map(|row| value(row).to_owned()).collect::<Vec<_>>();
    (!keys.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO api_keys (id, hash, customer_id, name, prefix, created_at, expires_at, revoked_at)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .texts(texts(&|row| &row.key.id))
        .with(keys.iter().map(|row| row.hash.0.to_vec()).collect::<Vec<_>>(), Type::BYTEA_ARRAY)
        .texts(texts(&|row| row.key.customer_id.as_str()))
        .with(keys.iter().map(|row| row.key.name.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
        .texts(texts(&|row| &row.key.prefix))
        .with(keys.iter().map(|row| columns::instant(row.key.created_at)).collect::<Vec<_>>(), Type::TIMESTAMPTZ_ARRAY)
        .with(
            keys.iter().map(|row| row.key.expires_at.map(columns::instant)).collect::<Vec<_>>(),
            Type::TIMESTAMPTZ_ARRAY,
        )
        .with(
            keys.iter().map(|row| row.key.revoked_at.map(columns::instant)).collect::<Vec<_>>(),
            Type::TIMESTAMPTZ_ARRAY,
        )
    })
}

/// The catalog, the takeovers, and the sequence: new events come after those that were moved.
pub fn settings_statements(catalog: &Catalog, takeovers: &[TakenOver], last_event: u64) -> Result<Vec<Statement>> {
    let mut statements = write::tier_statements(&catalog.tiers.table);
    statements.push(Statement::new("DELETE FROM catalog_versions"));
    statements.extend(catalog.tiers.catalog.iter().map(|versions| write::version_statement(versions)));
    statements.push(outbox::rule_statement(catalog.export.as_ref())?);
    statements.extend(catalog.alerts.as_ref().map(alerts::rule_statement).transpose()?);
    statements.extend([
        Statement::new("UPDATE settings SET value = $1 WHERE name = 'time_zone'").text(catalog.time_zone.name()),
        Statement::new("DELETE FROM takeovers"),
        Statement::new("INSERT INTO takeovers (file, position) SELECT * FROM unnest($1, $2)")
            .texts(takeovers.iter().map(|taken| taken.file.clone()).collect())
            .with(takeovers.iter().map(|taken| columns::bigint(taken.position)).collect::<Vec<_>>(), Type::INT8_ARRAY),
        Statement::new("SELECT setval('event_sequence', $1) WHERE $1 > 0")
            .with(columns::bigint(last_event), Type::INT8),
    ]);
    Ok(statements)
}

pub fn keys(database: &Database, after: &str, limit: usize) -> Result<Vec<MovedKey>> {
    let statement = Statement::new(concat!(
        "SELECT ",
        key_columns!(),
        ", k.hash FROM api_keys k WHERE k.id > $1 ORDER BY k.id LIMIT $2"
    ))
    .text(after)
    .with(page(limit), Type::INT8);
    let key = |row: &Row| {
        let hash: &[u8] = row.try_get(KEY_COLUMNS)?;
        Ok(MovedKey { key: columns::key(row)?, hash: KeyHash(hash.try_into().unwrap_or_default()) })
    };
    ask(database, statement)?.iter().map(key).collect()
}

pub fn counters(database: &Database, after: &CounterPosition, limit: usize) -> Result<Vec<Counted>> {
    let (customer, start, meter) = after;
    let statement = Statement::new(
        "SELECT customer_id, period_start, meter, 0::bigint, units, trim_scale(cost)::text FROM period_counters
         WHERE (customer_id, period_start) >= ($1, $2)
             AND (customer_id, period_start, meter COLLATE \"C\") > ($1, $2, $3)
         ORDER BY customer_id, period_start, meter COLLATE \"C\" LIMIT $4",
    )
    .text(customer.as_str())
    .with(instant(*start), Type::TIMESTAMPTZ)
    .text(meter.as_str())
    .with(page(limit), Type::INT8);
    ask(database, statement)?.iter().map(counted).collect()
}

pub fn counters_of(database: &Database, after: &str, last: &str) -> Result<Vec<Counted>> {
    let statement = Statement::new(
        "SELECT customer_id, period_start, meter, 0::bigint, units, trim_scale(cost)::text FROM period_counters
         WHERE customer_id > $1 AND customer_id <= $2
         ORDER BY customer_id, period_start, meter COLLATE \"C\"",
    )
    .text(after)
    .text(last);
    ask(database, statement)?.iter().map(counted).collect()
}

/// Customer, start of a period, meter, events, units, cost.
pub fn counted(row: &Row) -> Result<Counted> {
    let key = (CustomerId::from_stored(row.try_get(0)?), columns::timestamp(row, 1)?, columns::meter(row, 2)?);
    Ok((key, tally(row, 3)?))
}

pub fn quantities(database: &Database, after: &QuantityPosition, limit: usize) -> Result<Vec<UnderPrice>> {
    let (customer, start, meter, price) = after;
    let statement = Statement::new(
        "SELECT customer_id, period_start, meter, price, units, events FROM period_quantities
         WHERE (customer_id, period_start) >= ($1, $2)
             AND (customer_id, period_start, meter COLLATE \"C\", price) > ($1, $2, $3, $4)
         ORDER BY customer_id, period_start, meter COLLATE \"C\", price LIMIT $5",
    )
    .text(customer.as_str())
    .with(instant(*start), Type::TIMESTAMPTZ)
    .text(meter.as_str())
    .text(price.as_str())
    .with(page(limit), Type::INT8);
    ask(database, statement)?.iter().map(quantities::found).collect()
}

pub fn rollups(database: &Database, after: &RollupPosition, limit: usize) -> Result<Vec<Rollup>> {
    let (customer, hour, meter, endpoint) = after;
    let statement = Statement::new(
        "SELECT customer_id, hour, meter, endpoint, events, units, trim_scale(cost)::text FROM hourly_rollups
         WHERE (customer_id, hour) >= ($1, $2)
             AND (customer_id, hour, meter COLLATE \"C\", endpoint COLLATE \"C\") > ($1, $2, $3, $4)
         ORDER BY customer_id, hour, meter COLLATE \"C\", endpoint COLLATE \"C\" LIMIT $5",
    )
    .text(customer.as_str())
    .with(instant(*hour), Type::TIMESTAMPTZ)
    .text(meter.as_str())
    .text(without_nul(endpoint.clone()))
    .with(page(limit), Type::INT8);
    let rollup = |row: &Row| {
        let customer = CustomerId::from_stored(row.try_get(0)?);
        Ok(((customer, columns::timestamp(row, 1)?, columns::meter(row, 2)?, row.try_get(3)?), tally(row, 4)?))
    };
    ask(database, statement)?.iter().map(rollup).collect()
}

fn tally(row: &Row, first: usize) -> Result<Tally> {
    Ok(Tally {
        events: columns::count(row, first)?,
        units: columns::count(row, first + 1)?,
        cost: columns::money(row, first + 2)?,
    })
}

fn instant(millis: i64) -> chrono::DateTime<chrono::Utc> {
    columns::instant(Timestamp::from_stored(millis))
}

pub fn takeovers(database: &Database) -> Result<Vec<TakenOver>> {
    let rows = ask(database, Statement::new("SELECT file, position FROM takeovers ORDER BY file COLLATE \"C\""))?;
    rows.iter().map(|row| Ok(TakenOver { file: row.try_get(0)?, position: columns::count(row, 1)? })).collect()
}

pub fn event_ids(database: &Database) -> Result<u64> {
    let distinct = "SELECT count(*) FROM (SELECT DISTINCT customer_id, key FROM event_ids) AS ids";
    ask(database, Statement::new(distinct))?.first().map_or(Ok(0), |row| columns::count(row, 0))
}

pub fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

//! Who may move what into a schema. A row of `settings` says what is moved, and how far that has come.

use super::super::database::{Database, Purpose, Session, Statement};
use super::super::error::{PostgresError, Result as PostgresResult};
use super::super::options::Schema;
use crate::store::migration::position::{Position, Stage};
use crate::{Code, Error, Result};

/// Begins a migration, or goes on with it.
pub fn claim(database: &Database, place: &str, start: &Position) -> PostgresResult<Position> {
    let mut session = database.begin(Purpose::Move)?;
    // Nobody decides upon anything meanwhile.
    session.run_one(Statement::new("LOCK TABLE settings IN EXCLUSIVE MODE"))?;
    let Some(position) = known(&mut session)? else {
        refuse_others(&mut session, place)?;
        let insert = Statement::new("INSERT INTO settings (name, value) VALUES ('migration', $1)");
        session.finish(&[insert.text(to_text(start)?)])?;
        return Ok(start.clone());
    };
    let goes_on = check(position, place, Some(&start.source))?;
    if goes_on.stamp == start.stamp {
        session.finish(&[])?;
        return Ok(goes_on);
    }
    if goes_on.stage == Stage::Done {
        let message = format!(
            "the store was moved to {place} before and has changed since; what was added cannot be moved any more"
        );
        return Err(Error::new(Code::StoreNotEmpty, message).into());
    }
    // It was used in between. Events that are there stay, and all else is copied anew.
    let again = Position { events: goes_on.events, ..start.clone() };
    let update = Statement::new("UPDATE settings SET value = $1 WHERE name = 'migration'").text(to_text(&again)?);
    let copied = [
        "DELETE FROM customers",
        "DELETE FROM api_keys",
        "DELETE FROM period_counters",
        "DELETE FROM period_quantities",
        "DELETE FROM hourly_rollups",
        "DELETE FROM stripe_subscriptions",
        "DELETE FROM stripe_events",
        "DELETE FROM usage_reports",
        "DELETE FROM credit_grants",
        "DELETE FROM credit_entries",
        "DELETE FROM credit_refunds",
        "DELETE FROM alerts",
    ];
    let statements: Vec<_> = copied.into_iter().map(Statement::new).chain([update]).collect();
    session.finish(&statements)?;
    Ok(again)
}

/// The same without beginning anything; `None` where nothing was begun.
pub fn look(database: &Database, place: &str, source: Option<&str>) -> PostgresResult<Option<Position>> {
    let mut session = database.begin(Purpose::Read)?;
    let found = match known(&mut session)? {
        Some(position) => Some(check(position, place, source)?),
        None => {
            refuse_others(&mut session, place)?;
            None
        }
    };
    session.finish(&[])?;
    Ok(found)
}

fn known(session: &mut Session<'_>) -> PostgresResult<Option<Position>> {
    let rows = session.run_one(Statement::new("SELECT value FROM settings WHERE name = 'migration'"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let position = serde_json::from_str(row.try_get(0)?);
    Ok(Some(position.map_err(|_| Error::new(Code::StoreCorrupt, "the position of a migration cannot be read"))?))
}

fn check(position: Position, place: &str, source: Option<&str>) -> PostgresResult<Position> {
    if source == Some(position.source.as_str()) {
        return Ok(position);
    }
    Err(not_empty(place))
}

/// Only what has never been used may be moved into; an engine that was opened and closed is no use.
fn refuse_others(session: &mut Session<'_>, place: &str) -> PostgresResult<()> {
    let rows = session.run_one(Statement::new(
        "SELECT EXISTS (SELECT 1 FROM customers) OR EXISTS (SELECT 1 FROM api_keys) OR EXISTS (SELECT 1 FROM events)
                OR EXISTS (SELECT 1 FROM event_ids) OR EXISTS (SELECT 1 FROM period_counters)
                OR EXISTS (SELECT 1 FROM hourly_rollups) OR EXISTS (SELECT 1 FROM usage_reports)
                OR EXISTS (SELECT 1 FROM takeovers) OR EXISTS (SELECT 1 FROM stripe_subscriptions)
                OR EXISTS (SELECT 1 FROM stripe_events) OR EXISTS (SELECT 1 FROM credit_grants)
                OR EXISTS (SELECT 1 FROM alerts),
            EXISTS (SELECT 1 FROM writers WHERE seen_at > now() - interval '60 seconds')",
    ))?;
    let Some(row) = rows.first() else { return Ok(()) };
    if row.try_get(0)? {
        return Err(not_empty(place));
    }
    if row.try_get(1)? {
        let message = format!(
            "a process uses {place}, or did so less than a minute ago; close it, and call this again after a minute"
        );
        return Err(Error::new(Code::StoreInUse, message).into());
    }
    Ok(())
}

fn not_empty(place: &str) -> PostgresError {
    let message = format!("{place} holds another store; choose another schema");
    Error::new(Code::StoreNotEmpty, message).into()
}

/// A store of which only a part is there must not be used: its limits would be too wide, and its keys unknown.
pub fn refuse_unfinished(database: &Database, schema: &Schema) -> PostgresResult<()> {
    let mut session = database.begin(Purpose::Read)?;
    let position = known(&mut session)?;
    session.finish(&[])?;
    if position.is_none_or(|position| position.stage == Stage::Done) {
        return Ok(());
    }
    let message = format!(
        "a store is being moved to {}, schema {:?}; call `weighbridge migrate-store` until it has finished",
        database.place,
        schema.as_str(),
    );
    Err(Error::new(Code::StoreMoving, message).into())
}

pub fn to_text(position: &Position) -> Result<String> {
    serde_json::to_string(position)
        .map_err(|error| Error::new(Code::Internal, format!("a position cannot be written: {error}")))
}

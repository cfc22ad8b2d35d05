//! Moving the ids of the first schema into segments. Nothing here changes any more: it is a part of migration 2.

use rusqlite::{Connection, params};

use super::filter::{Filter, Key};
use super::{SEGMENT_IDS, half, key};
use crate::store::sqlite::error::Result;

/// Makes sealed segments of them, in the order in which they lie: each is as old as its newest id.
pub fn run(connection: &Connection) -> Result<()> {
    {
        let mut statement =
            connection.prepare("SELECT customer_id, id, fingerprint, recorded_at FROM event_ids_by_customer")?;
        let mut rows = statement.query([])?;
        let mut segment = Segment { number: 1, ..Segment::default() };
        while let Some(row) = rows.next()? {
            let key = key(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            let recorded_at: i64 = row.get(3)?;
            segment.ids.push((key, half(row.get(2)?)));
            segment.opened_at =
                segment.opened_at.map_or(Some(recorded_at), |opened_at| Some(opened_at.min(recorded_at)));
            segment.newest = segment.newest.max(recorded_at);
            if segment.ids.len() as u64 == SEGMENT_IDS {
                segment.write(connection)?;
                segment = Segment { number: segment.number + 1, ..Segment::default() };
            }
        }
        segment.write(connection)?;
    }
    Ok(connection.execute_batch("DROP TABLE event_ids_by_customer")?)
}

#[derive(Default)]
struct Segment {
    number: u64,
    opened_at: Option<i64>,
    newest: i64,
    ids: Vec<(Key, [u8; 16])>,
}

impl Segment {
    fn write(&mut self, connection: &Connection) -> Result<()> {
        let Some(opened_at) = self.opened_at else { return Ok(()) };
        // In the order of the table, which then only grows at its end.
        self.ids.sort_unstable();
        let mut statement =
            connection.prepare_cached("INSERT INTO event_ids (segment, key, fingerprint) VALUES (?, ?, ?)")?;
        for (key, fingerprint) in &self.ids {
            statement.execute(params![self.number, key, fingerprint])?;
        }
        let keys: Vec<Key> = self.ids.iter().map(|(key, _)| *key).collect();
        connection
            .prepare_cached(
                "INSERT INTO event_id_segments (number, opened_at, newest, ids, filter) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![self.number, opened_at, self.newest, keys.len(), Filter::of(&keys).to_bytes()])?;
        Ok(())
    }
}

//! The callers' event ids: which were seen, and with what contents.
//!
//! Ids are random, so that in one tree of millions every commit would touch pages all over. Therefore they are kept in
//! segments, one after the other in time: only the last one is written to, and its pages stay few and hot. A sealed
//! segment never changes again, so a filter of it can be remembered; together the filters say where an id may be, and
//! most often that is nowhere. The segments that are older than [`WINDOW`] are dropped.
//!
//! The rows are what counts. A filter that is missing or damaged is made from them again.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use self::filter::{Filter, Key, Sieve};
use super::error::Result;
use crate::domain::{CustomerId, EventId, Timestamp, UsageEvent};

mod filter;
pub mod migration;

const DAY: i64 = 24 * 3_600_000;
/// How long an id is remembered at least, by the time of recording. The documentation promises 35 days, for the clocks
/// of several processes may differ.
const WINDOW: i64 = 40 * DAY;
/// A segment is sealed when it has so many ids: about as many as SQLite's page cache holds.
const SEGMENT_IDS: u64 = 32_768;
/// A segment is sealed when it was opened longer ago, so that few ids do not keep one open for ever.
const SEGMENT_AGE: i64 = DAY;
/// So many sealed segments are never dropped, however old they seem: a clock that leaps about may call any of them old.
/// With a segment a day they are older than the window, so that it costs nothing.
const ALWAYS_KEPT: u64 = 48;
/// How many segments are dropped at once. One would keep up, more make good what a busier time has left; each takes some
/// milliseconds, and no commit should take long.
const DROPPED_AT_ONCE: u32 = 8;

/// 16 bytes of a hash of an event's contents.
pub type Fingerprint = [u8; 16];

/// What is known of the segments. It is true for a transaction after [`EventIds::refresh`], and stays so when the
/// transaction is committed.
#[derive(Default)]
pub struct EventIds {
    sealed: Sieve,
    /// The highest segment that is sealed, as far as is known. What is sealed later has a higher number.
    sealed_through: u64,
    open: Option<Segment>,
    /// Nothing has changed since it was read.
    is_current: bool,
}

/// The segment that is open.
struct Segment {
    number: u64,
    opened_at: Timestamp,
    newest: Timestamp,
    ids: u64,
    is_written: bool,
}

impl EventIds {
    /// What can be learnt without a transaction. It is most of it, and takes long where there are many segments: better
    /// now than while others wait for the lock.
    pub fn learn(connection: &Connection) -> Result<Self> {
        let mut ids = Self::default();
        ids.read_sealed(connection)?;
        Ok(ids)
    }

    /// Somebody else has written, so there may be other segments now. Those that were sealed are still what they were.
    pub fn outdated(self) -> Self {
        Self { open: None, is_current: false, ..self }
    }

    /// Whether the customer's event id was seen, and if so whether with the same contents.
    pub fn seen(&mut self, connection: &Connection, event: &UsageEvent) -> Result<Option<bool>> {
        let Some(id) = &event.id else { return Ok(None) };
        let seen = self.fingerprint(connection, &event.customer_id, id)?;
        Ok(seen.map(|known| event.fingerprints().any(|fingerprint| half(fingerprint) == known)))
    }

    /// With what contents the customer's event id was seen.
    pub fn fingerprint(
        &mut self,
        connection: &Connection,
        customer_id: &CustomerId,
        id: &EventId,
    ) -> Result<Option<Fingerprint>> {
        self.refresh(connection)?;
        let key = key(customer_id.as_str(), id.as_str());
        let open = self.open.as_ref().map(|segment| segment.number);
        for segment in open.into_iter().chain(self.sealed.candidates(&key)) {
            let fingerprint: Option<Fingerprint> = connection
                .prepare_cached("SELECT fingerprint FROM event_ids WHERE segment = ? AND key = ?")?
                .query_row(params![segment, key], |row| row.get(0))
                .optional()?;
            if fingerprint.is_some() {
                return Ok(fingerprint);
            }
        }
        Ok(None)
    }

    /// Writes down an id that was not seen.
    pub fn claim(&mut self, connection: &Connection, event: &UsageEvent, id: &EventId, now: Timestamp) -> Result<()> {
        self.refresh(connection)?;
        let segment = self.segment_for(connection, now)?;
        segment.ids += 1;
        segment.newest = segment.newest.max(now);
        segment.is_written = false;
        connection.prepare_cached("INSERT INTO event_ids (segment, key, fingerprint) VALUES (?, ?, ?)")?.execute(
            params![segment.number, key(event.customer_id.as_str(), id.as_str()), half(event.fingerprint())],
        )?;
        Ok(())
    }

    /// Writes what was kept in memory.
    pub fn write(&mut self, connection: &Connection) -> Result<()> {
        match &mut self.open {
            Some(segment) if !segment.is_written => {
                segment.is_written = true;
                segment.write(connection, None)
            }
            _ => Ok(()),
        }
    }

    /// Learns what others have sealed, opened and dropped; at first, everything.
    fn refresh(&mut self, connection: &Connection) -> Result<()> {
        if self.is_current {
            return Ok(());
        }
        let known = self.sealed_through;
        let mut following = connection.prepare_cached(
            "SELECT number, opened_at, newest, ids, filter IS NULL FROM event_id_segments WHERE number > ?
             ORDER BY number LIMIT 2",
        )?;
        loop {
            self.read_sealed(connection)?;
            let mut rows = following.query([self.sealed_through])?;
            let Some(row) = rows.next()? else { break };
            let (segment, is_open) = (Segment::read(row)?, row.get(4)?);
            let is_last = rows.next()?.is_none();
            if is_open && is_last {
                self.open = Some(segment);
                break;
            }
            // Its filter is damaged, so that reading stopped here: sealing makes it anew.
            self.seal(connection, &segment)?;
        }
        // Segments are dropped only where one is sealed.
        if known < self.sealed_through {
            let mut statement = connection.prepare_cached("SELECT number FROM event_id_segments ORDER BY number")?;
            let numbers = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<u64>>>()?;
            self.sealed.retain(|number| numbers.binary_search(&number).is_ok());
        }
        self.is_current = true;
        Ok(())
    }

    /// Learns what was sealed since, up to where there is no filter that can be read.
    fn read_sealed(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection
            .prepare_cached("SELECT number, filter FROM event_id_segments WHERE number > ? ORDER BY number")?;
        let mut rows = statement.query([self.sealed_through])?;
        while let Some(row) = rows.next()? {
            let Some(filter) = row.get_ref(1)?.as_blob_or_null()?.and_then(Filter::from_bytes) else { break };
            self.sealed_through = row.get(0)?;
            self.sealed.insert(self.sealed_through, &filter);
        }
        Ok(())
    }

    /// The segment that an id of this instant goes to; the last one, unless that is full or old.
    fn segment_for(&mut self, connection: &Connection, now: Timestamp) -> Result<&mut Segment> {
        let segment = match self.open.take() {
            Some(segment) if !segment.is_over(now) => segment,
            over => {
                if let Some(segment) = over {
                    self.seal(connection, &segment)?;
                    // A clock that leaps ahead for a moment must not make everything old: what is dropped was old when
                    // the segment began, too.
                    self.drop_older(connection, segment.opened_at.min(now).plus_millis(-WINDOW))?;
                }
                Segment::open(connection, self.sealed_through + 1, now)?
            }
        };
        Ok(self.open.insert(segment))
    }

    fn seal(&mut self, connection: &Connection, segment: &Segment) -> Result<()> {
        let mut statement = connection.prepare_cached("SELECT key FROM event_ids WHERE segment = ?")?;
        let keys = statement.query_map([segment.number], |row| row.get(0))?.collect::<rusqlite::Result<Vec<Key>>>()?;
        let filter = Filter::of(&keys);
        segment.write(connection, Some(&filter))?;
        self.sealed.insert(segment.number, &filter);
        self.sealed_through = segment.number;
        Ok(())
    }

    /// Drops some sealed segments whose last id was recorded before an instant.
    fn drop_older(&mut self, connection: &Connection, before: Timestamp) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT number FROM event_id_segments WHERE newest < ? AND number <= ? ORDER BY number LIMIT ?",
        )?;
        let old = statement
            .query_map(
                params![before.as_millis(), self.sealed_through.saturating_sub(ALWAYS_KEPT), DROPPED_AT_ONCE],
                |row| row.get(0),
            )?
            .collect::<rusqlite::Result<Vec<u64>>>()?;
        for number in old {
            connection.prepare_cached("DELETE FROM event_ids WHERE segment = ?")?.execute([number])?;
            connection.prepare_cached("DELETE FROM event_id_segments WHERE number = ?")?.execute([number])?;
            self.sealed.remove(number);
        }
        Ok(())
    }
}

impl Segment {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            opened_at: Timestamp::from_stored(row.get(1)?),
            newest: Timestamp::from_stored(row.get(2)?),
            ids: row.get(3)?,
            is_written: true,
        })
    }

    fn open(connection: &Connection, number: u64, now: Timestamp) -> Result<Self> {
        let segment = Self { number, opened_at: now, newest: now, ids: 0, is_written: true };
        connection
            .prepare_cached("INSERT INTO event_id_segments (number, opened_at, newest, ids) VALUES (?, ?, ?, 0)")?
            .execute(params![number, now.as_millis(), now.as_millis()])?;
        Ok(segment)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.ids >= SEGMENT_IDS || now > self.opened_at.plus_millis(SEGMENT_AGE)
    }

    fn write(&self, connection: &Connection, filter: Option<&Filter>) -> Result<()> {
        connection
            .prepare_cached("UPDATE event_id_segments SET newest = ?, ids = ?, filter = ? WHERE number = ?")?
            .execute(params![self.newest.as_millis(), self.ids, filter.map(Filter::to_bytes), self.number])?;
        Ok(())
    }
}

fn key(customer_id: &str, id: &str) -> Key {
    let mut hash = Sha256::new();
    // The length goes first, so that no two pairs give the same bytes.
    hash.update((customer_id.len() as u64).to_le_bytes());
    hash.update(customer_id);
    hash.update(id);
    half(hash.finalize().into())
}

/// 128 bits of a hash tell things apart as well as 256 do.
fn half(hash: [u8; 32]) -> [u8; 16] {
    let [half, _] = *hash.as_chunks().0 else { return Default::default() };
    half
}

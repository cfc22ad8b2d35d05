//! What is used in the windows of quotas, as far as it is known; it is written once for all events of a group.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::columns;
use super::error::Result;
use crate::domain::{CustomerId, Quota, Timestamp, WindowUsage};
use crate::store::group::{window_usage_from_stored, window_usage_to_stored};

type Key = (CustomerId, Quota);

#[derive(Default)]
pub struct Windows {
    known: HashMap<Key, Option<WindowUsage>>,
    changed: HashSet<Key>,
}

impl Windows {
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn usage(
        &mut self,
        connection: &Connection,
        customer_id: &CustomerId,
        quota: Quota,
    ) -> Result<Option<WindowUsage>> {
        let key = (customer_id.clone(), quota);
        if let Some(usage) = self.known.get(&key) {
            return Ok(usage.clone());
        }
        let mut statement =
            connection.prepare_cached("SELECT since, usage FROM window_usage WHERE customer_id = ? AND quota = ?")?;
        let row = statement
            .query_row(params![customer_id.as_str(), quota.name()], |row| {
                Ok((columns::timestamp(row, 0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let usage = row.map(|(since, text): (Timestamp, _)| window_usage_from_stored(since, &text)).transpose()?;
        self.known.insert(key, usage.clone());
        Ok(usage)
    }

    pub fn set(&mut self, customer_id: &CustomerId, quota: Quota, usage: WindowUsage) {
        let key = (customer_id.clone(), quota);
        self.changed.insert(key.clone());
        self.known.insert(key, Some(usage));
    }

    /// Of one customer, or of all.
    pub fn forget(&mut self, connection: &Connection, customer_id: Option<&CustomerId>) -> Result<()> {
        let is_kept = |(id, _): &Key| customer_id.is_some_and(|forgotten| forgotten != id);
        self.known.retain(|key, _| is_kept(key));
        self.changed.retain(is_kept);
        match customer_id {
            Some(id) => {
                connection.prepare_cached("DELETE FROM window_usage WHERE customer_id = ?")?.execute([id.as_str()])?
            }
            None => connection.execute("DELETE FROM window_usage", [])?,
        };
        Ok(())
    }

    /// Writes what has changed.
    pub fn write(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO window_usage (customer_id, quota, since, usage) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET since = excluded.since, usage = excluded.usage",
        )?;
        for key in self.changed.drain() {
            let Some(Some(usage)) = self.known.get(&key) else { continue };
            let (customer_id, quota) = key;
            let text = window_usage_to_stored(usage);
            statement.execute(params![customer_id.as_str(), quota.name(), usage.since.as_millis(), text])?;
        }
        Ok(())
    }
}

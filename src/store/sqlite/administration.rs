//! Changes to customers, keys and the catalog. Every one of them moves the revision, so that caches notice.

use rusqlite::params;

use super::columns;
use super::error::Result;
use super::group::Group;
use super::read;
use crate::domain::api_key::KeyState;
use crate::domain::customer::CustomerPatch;
use crate::domain::{ApiKey, Customer, CustomerId, KeyHash, TierTable, TimeZone, Timestamp};
use crate::store::{Applied, Outcome};
use crate::{Code, Error};

impl Group<'_> {
    pub(super) fn upsert_customer(
        &mut self,
        id: &CustomerId,
        patch: &CustomerPatch,
        now: Timestamp,
    ) -> Result<Outcome> {
        if let Some(tier) = patch.tier_id.value()
            && let Err(error) = self.memory.catalog.tiers.require(tier)
        {
            return Ok(Err(error));
        }
        let mut customer =
            read::customer(self.connection, id.as_str())?.unwrap_or_else(|| Customer::new(id.clone(), now));
        patch.clone().apply(&mut customer);
        self.insert_customer(&customer)?;
        self.revised = true;
        Ok(Ok(Applied::Customer(customer)))
    }

    pub(super) fn create_key(&mut self, key: &ApiKey, hash: &KeyHash) -> Result<Outcome> {
        if read::identify(self.connection, hash)?.is_some() {
            return Ok(Err(Error::new(Code::KeyExists, "this secret is an API key already")));
        }
        if read::customer(self.connection, key.customer_id.as_str())?.is_none() {
            self.insert_customer(&Customer::new(key.customer_id.clone(), key.created_at))?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO api_keys (id, hash, customer_id, name, prefix, created_at, expires_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                key.id,
                hash.0,
                key.customer_id.as_str(),
                key.name,
                key.prefix,
                key.created_at.as_millis(),
                key.expires_at.map(Timestamp::as_millis),
            ])?;
        self.revised = true;
        Ok(Ok(Applied::Key(key.clone())))
    }

    pub(super) fn revoke_key(&mut self, id: &str, now: Timestamp) -> Result<Outcome> {
        let Some(mut key) = read::key(self.connection, id)? else { return Ok(Err(unknown_key(id))) };
        // The first revocation stands.
        key.revoked_at.get_or_insert(now);
        self.end_key(&key)?;
        Ok(Ok(Applied::Key(key)))
    }

    pub(super) fn rotate_key(
        &mut self,
        id: &str,
        successor: impl FnOnce(&ApiKey) -> ApiKey,
        hash: &KeyHash,
        until: Timestamp,
    ) -> Result<Outcome> {
        let Some(mut key) = read::key(self.connection, id)? else { return Ok(Err(unknown_key(id))) };
        let successor = successor(&key);
        let now = successor.created_at;
        if key.state(now) != KeyState::Valid {
            let message = format!("the key {id:?} was revoked or has expired; create a new one instead");
            return Ok(Err(Error::new(Code::KeyRevoked, message)));
        }
        if until <= now {
            key.revoked_at = Some(now);
        } else {
            key.expires_at = Some(key.expires_at.map_or(until, |expires_at| expires_at.min(until)));
        }
        let created = self.create_key(&successor, hash)?;
        if created.is_ok() {
            self.end_key(&key)?;
        }
        Ok(created)
    }

    pub(super) fn end_key(&mut self, key: &ApiKey) -> Result<()> {
        self.connection.prepare_cached("UPDATE api_keys SET expires_at = ?, revoked_at = ? WHERE id = ?")?.execute(
            params![key.expires_at.map(Timestamp::as_millis), key.revoked_at.map(Timestamp::as_millis), key.id],
        )?;
        self.memory.set_key(key);
        self.revised = true;
        Ok(())
    }

    pub(super) fn configure(&mut self, tiers: Option<&TierTable>, time_zone: Option<TimeZone>) -> Result<Outcome> {
        if let Some(tiers) = tiers {
            let tiers = self.with_tiers_in_use(tiers)?;
            if tiers != self.memory.catalog.tiers {
                self.write_tiers(&tiers)?;
                self.memory.catalog.tiers = tiers;
                self.revised = true;
            }
        }
        if let Some(time_zone) = time_zone
            && time_zone != self.memory.catalog.time_zone
        {
            self.connection.execute("UPDATE settings SET value = ? WHERE name = 'time_zone'", [time_zone.name()])?;
            self.memory.catalog.time_zone = time_zone;
            self.recount()?;
            self.revised = true;
        }
        Ok(Ok(Applied::Configured))
    }

    /// Tiers that are no longer listed but still held by a customer keep their limits and rank below the listed ones.
    pub(super) fn with_tiers_in_use(&self, tiers: &TierTable) -> Result<TierTable> {
        let unlisted: Vec<_> =
            self.memory.catalog.tiers.iter().filter(|tier| tiers.get(&tier.id).is_none()).cloned().collect();
        if unlisted.is_empty() {
            return Ok(tiers.clone());
        }
        let mut statement = self.connection.prepare("SELECT DISTINCT tier_id FROM customers WHERE tier_id NOT NULL")?;
        let in_use = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let kept = unlisted.into_iter().filter(|tier| in_use.contains(&tier.id));
        Ok(TierTable::new(kept.chain(tiers.iter().cloned()).collect())?)
    }

    pub(super) fn write_tiers(&self, tiers: &TierTable) -> Result<()> {
        self.connection.execute("DELETE FROM tiers", [])?;
        let mut statement = self.connection.prepare(
            "INSERT INTO tiers (id, position, api_requests_per_month, agent_executions_per_month, definition)
             VALUES (?, ?, ?, ?, ?)",
        )?;
        for (position, tier) in tiers.iter().enumerate() {
            statement.execute(params![
                tier.id,
                position,
                tier.api_requests_per_month,
                tier.agent_executions_per_month,
                tier.definition,
            ])?;
        }
        Ok(())
    }

    /// Sorts all events into the billing periods of a new time zone.
    pub(super) fn recount(&mut self) -> Result<()> {
        self.memory.tallies.write(self.connection)?;
        self.memory.tallies.forget_counters();
        self.period = None;
        self.connection.execute("DELETE FROM period_counters", [])?;
        let mut statement = self.connection.prepare("SELECT customer_id, timestamp, meter, units, cost FROM events")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let timestamp = columns::timestamp(row, 1)?;
            let key = (CustomerId::from_stored(row.get(0)?), self.period_of(timestamp).start, columns::meter(row, 2)?);
            let mut tally = self.memory.tallies.counter(self.connection, &key)?;
            tally.units += row.get::<_, u64>(3)?;
            tally.cost = tally.cost.checked_add(columns::money(row, 4)?)?;
            self.memory.tallies.set_counter(key, tally);
        }
        self.memory.tallies.write(self.connection)
    }
}

fn unknown_key(id: &str) -> Error {
    Error::new(Code::UnknownKey, format!("no API key has the id {id:?}"))
}

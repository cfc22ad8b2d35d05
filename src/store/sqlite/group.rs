//! Applying a group of changes inside one transaction.
//!
//! Here is what happens to an event; what administers customers, keys and the catalog is in `administration`.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::error::Result;
use super::leases::Settlements;
use super::memory::Memory;
use super::read;
use crate::domain::{ApiKey, Customer, HolderId, Period, Refusal, Standing, Timestamp, UsageEvent, decide_access};
use crate::store::{
    Admission, Applied, Change, Charge, Charged, Outcome, Record, RecordStatus, Recorded, Takeover, Verdict,
};

const HOUR: i64 = 3_600_000;

pub struct Group<'c> {
    pub(super) connection: &'c Connection,
    pub(super) memory: Memory,
    /// The billing period of the last event: most often the next one's too.
    pub(super) period: Option<Period>,
    pub(super) revised: bool,
    pub(super) settlements: Settlements,
    /// How far the journals of this group's events are recorded.
    pub(super) positions: HashMap<HolderId, u64>,
}

impl<'c> Group<'c> {
    /// In a transaction that has just begun; `known` is what was remembered after the last one.
    pub fn begin(connection: &'c Connection, known: Option<Memory>) -> Result<Self> {
        Ok(Self {
            connection,
            memory: Memory::recall(connection, known)?,
            period: None,
            revised: false,
            settlements: Settlements::default(),
            positions: HashMap::new(),
        })
    }

    /// The outer error ends the whole group; the outcome is this change's own.
    pub fn apply(&mut self, change: &Change) -> Result<Outcome> {
        match change {
            Change::Charge(charge) => self.charge(charge),
            Change::Record(record) => self.record_admitted(record),
            Change::Lease(request) => self.lease(request),
            Change::Release(part) => self.release(part),
            Change::ReturnLeases { holder } => self.return_leases(holder),
            Change::ForgetJournal { holder } => self.forget_journal(holder),
            Change::UpsertCustomer { id, patch, now } => self.upsert_customer(id, patch, *now),
            Change::CreateKey { key, hash } => self.create_key(key, hash),
            Change::RevokeKey { id, now } => self.revoke_key(id, *now),
            Change::RotateKey { id, successor_id, prefix, hash, now, until } => {
                let successor = |key: &ApiKey| ApiKey {
                    id: successor_id.clone(),
                    prefix: prefix.clone(),
                    created_at: *now,
                    ..key.clone()
                };
                self.rotate_key(id, successor, hash, *until)
            }
            Change::Configure { tiers, time_zone } => self.configure(tiers.as_ref(), *time_zone),
            Change::TakeOver(takeover) => self.take_over(takeover),
        }
    }

    /// Writes what was kept in memory. What it returns is true once the transaction is committed.
    pub fn finish(mut self) -> Result<Memory> {
        self.memory.tallies.write(self.connection)?;
        self.settlements.write(self.connection)?;
        self.write_positions()?;
        self.memory.event_ids.write(self.connection)?;
        if self.revised {
            self.memory.revision = bump_revision(self.connection)?;
        }
        Ok(self.memory)
    }

    fn charge(&mut self, charge: &Charge) -> Result<Outcome> {
        let event = &charge.event;
        let known = self.memory.customer(self.connection, &event.customer_id)?;
        let is_new = known.is_none();
        let customer = known.unwrap_or_else(|| Customer::new(event.customer_id.clone(), charge.now));
        let period = self.period_of(event.timestamp);
        let counter_key = (event.customer_id.clone(), period.start, event.meter);
        let used = self.memory.tallies.counter(self.connection, &counter_key)?.units;
        let mut standing = Standing { limit: self.memory.catalog.tiers.limit(Some(&customer), event.meter), used };

        let verdict = self.judge(charge, &customer, standing, period)?;
        if verdict == Verdict::Recorded {
            if let Err(error) = self.record(event, &customer, period, charge.now)? {
                return Ok(Err(error));
            }
            if is_new {
                self.insert_customer(&customer)?;
            }
            if let Some(part) = &charge.paid {
                self.settlements.add(part);
            }
            standing.used += event.units.get();
        }
        Ok(Ok(Applied::Charged(Charged { verdict, customer, standing, period })))
    }

    fn record_admitted(&mut self, record: &Record) -> Result<Outcome> {
        let Record { holder, sequence, event, paid, now } = record;
        let known = self.memory.customer(self.connection, &event.customer_id)?;
        let is_new = known.is_none();
        let customer = known.unwrap_or_else(|| Customer::new(event.customer_id.clone(), *now));
        let period = self.period_of(event.timestamp);
        let status = if *sequence <= self.journal_position(holder)? {
            RecordStatus::Replayed
        } else {
            self.positions.insert(holder.clone(), *sequence);
            if let Some(part) = paid {
                self.settlements.add(part);
            }
            match self.memory.event_ids.seen(self.connection, event)? {
                Some(true) => RecordStatus::Duplicate,
                Some(false) => RecordStatus::Conflict,
                None => {
                    if let Err(error) = self.record(event, &customer, period, *now)? {
                        return Ok(Err(error));
                    }
                    if is_new {
                        self.insert_customer(&customer)?;
                    }
                    RecordStatus::Counted
                }
            }
        };
        let counter_key = (event.customer_id.clone(), period.start, event.meter);
        let used = self.memory.tallies.counter(self.connection, &counter_key)?.units;
        Ok(Ok(Applied::Recorded(Recorded { status, used })))
    }

    fn judge(&mut self, charge: &Charge, customer: &Customer, standing: Standing, period: Period) -> Result<Verdict> {
        let Charge { event, admission, paid, now } = charge;
        if let Some(Admission { key_id, required_tier }) = admission {
            let key = match key_id {
                Some(id) => {
                    self.memory.learn_key(self.connection, id)?;
                    match self.memory.key(id) {
                        Some(key) if key.customer_id == event.customer_id => Some((key, *now)),
                        _ => return Ok(Verdict::Refused(Refusal::InvalidKey)),
                    }
                }
                None => None,
            };
            let access = decide_access(key, customer, &self.memory.catalog.tiers, required_tier.as_deref());
            if let Err(refusal) = access {
                return Ok(Verdict::Refused(refusal));
            }
        }
        match self.memory.event_ids.seen(self.connection, event)? {
            Some(true) => return Ok(Verdict::Duplicate),
            Some(false) => return Ok(Verdict::Refused(Refusal::IdempotencyConflict)),
            None => {}
        }
        if admission.is_some() && paid.is_none() && standing.limit.is_some() {
            let leased = self.leased(&event.customer_id, event.meter, period)?;
            let spoken_for = Standing { used: standing.used.saturating_add(leased), ..standing };
            if !spoken_for.admits(event.units) {
                return Ok(Verdict::Refused(Refusal::LimitExceeded(standing)));
            }
        }
        Ok(Verdict::Recorded)
    }

    /// Counts the event and writes it down. The outcome is an error where a sum would overflow; then nothing was done.
    fn record(
        &mut self,
        event: &UsageEvent,
        customer: &Customer,
        period: Period,
        now: Timestamp,
    ) -> Result<crate::Result<()>> {
        let counter_key = (event.customer_id.clone(), period.start, event.meter);
        let hour = Timestamp::from_stored(event.timestamp.as_millis() / HOUR * HOUR);
        let endpoint = event.endpoint.clone().unwrap_or_default();
        let rollup_key = (event.customer_id.clone(), hour, event.meter, endpoint);
        let counter = self.memory.tallies.counter(self.connection, &counter_key)?.plus(event);
        let rollup = self.memory.tallies.rollup(self.connection, &rollup_key)?.plus(event);
        let (counter, rollup) = match (counter, rollup) {
            (Ok(counter), Ok(rollup)) => (counter, rollup),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        self.memory.tallies.set_counter(counter_key, counter);
        self.memory.tallies.set_rollup(rollup_key, rollup);

        let subscription_id = event.subscription_id.as_ref().or(customer.subscription_id.as_ref());
        self.connection
            .prepare_cached(
                "INSERT INTO events (customer_id, id, meter, units, cost, timestamp, recorded_at, subscription_id,
                                     endpoint, agent_type, metadata)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                event.customer_id.as_str(),
                event.id.as_ref().map(|id| id.as_str()),
                event.meter.as_str(),
                event.units.get(),
                event.cost.to_string(),
                event.timestamp.as_millis(),
                now.as_millis(),
                subscription_id,
                event.endpoint,
                event.agent_type,
                event.metadata,
            ])?;
        if let Some(id) = &event.id {
            self.memory.event_ids.claim(self.connection, event, id, now)?;
        }
        Ok(Ok(()))
    }

    pub(super) fn period_of(&mut self, at: Timestamp) -> Period {
        match self.period {
            Some(period) if period.contains(at) => period,
            _ => *self.period.insert(Period::month(at, self.memory.catalog.time_zone)),
        }
    }

    pub(super) fn insert_customer(&mut self, customer: &Customer) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO customers (id, tier_id, subscription_id, stripe_customer_id, suspended, created_at)
                 VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET tier_id = excluded.tier_id, subscription_id = excluded.subscription_id,
                     stripe_customer_id = excluded.stripe_customer_id, suspended = excluded.suspended",
            )?
            .execute(params![
                customer.id.as_str(),
                customer.tier_id,
                customer.subscription_id,
                customer.stripe_customer_id,
                customer.suspended,
                customer.created_at.as_millis(),
            ])?;
        self.memory.set_customer(customer);
        Ok(())
    }

    fn take_over(&mut self, takeover: &Takeover) -> Result<Outcome> {
        let Takeover { file, from, to, events, customers, now } = takeover;
        if read::takeover_position(self.connection, file)? != *from {
            return Ok(Ok(Applied::TakenOver(false)));
        }
        for id in customers {
            if read::customer(self.connection, id.as_str())?.is_none() {
                self.insert_customer(&Customer::new(id.clone(), *now))?;
            }
        }
        for event in events {
            // A sum that overflows fails the group: a stretch is taken over whole or not at all.
            self.charge(&Charge { event: event.clone(), admission: None, paid: None, now: *now })??;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO takeovers (file, position) VALUES (?, ?)
                 ON CONFLICT DO UPDATE SET position = excluded.position",
            )?
            .execute(params![file, to])?;
        Ok(Ok(Applied::TakenOver(true)))
    }
}

fn bump_revision(connection: &Connection) -> Result<u64> {
    let mut statement =
        connection.prepare_cached("UPDATE settings SET value = value + 1 WHERE name = 'revision' RETURNING value")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

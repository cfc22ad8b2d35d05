//! The tables inside one write transaction. What is written often is gathered in memory and written at the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::columns;
use super::error::{Result, SqliteError};
use super::leases::{self, Settlements};
use super::memory::Memory;
use super::{credits, outbox, quantities, read, stripe_events};
use crate::domain::alert::Watches;
use crate::domain::credit::{CreditGrant, GrantId, Unit};
use crate::domain::invoice::{Quantities, Quantity};
use crate::domain::{
    self, AlertRule, ApiKey, CatalogVersions, Customer, CustomerId, ExportRule, Frame, HolderId, KeyHash, Meter, Money,
    Period, Quota, Reached, Recipient, Standing, Subscription, SubscriptionStatus, TierTable, TimeZone, Timestamp,
    UsageEvent, WindowUsage,
};
use crate::store::group::{Counted, CounterKey, Credit, Deltas, RatedEvent, Tables, Tally, Used, rollup_key};
use crate::store::{Catalog, CreditRefund, Lease, LeasePart, StripeEventRow, versions};

pub struct Transaction<'c> {
    connection: &'c Connection,
    memory: Memory,
    revised: bool,
    settlements: Settlements,
    deltas: Deltas,
    /// Whose credit was asked for.
    credited: HashSet<CustomerId>,
    /// How far the journals of this group's events are recorded.
    positions: HashMap<HolderId, u64>,
}

impl<'c> Transaction<'c> {
    /// In a transaction that has just begun; `known` is what was remembered after the last one.
    pub fn begin(connection: &'c Connection, known: Option<Memory>) -> Result<Self> {
        Ok(Self {
            connection,
            memory: Memory::recall(connection, known)?,
            revised: false,
            settlements: Settlements::default(),
            deltas: Deltas::default(),
            credited: HashSet::new(),
            positions: HashMap::new(),
        })
    }

    /// Writes what was kept in memory, and what of these was reached. What it returns is true once the transaction is committed.
    pub fn finish(mut self, watches: &Watches) -> Result<(Memory, Vec<Reached>)> {
        let reached = self.tell(watches)?;
        self.memory.tallies.write(self.connection)?;
        self.memory.windows.write(self.connection)?;
        self.memory.quantities.write(self.connection)?;
        for customer_id in &self.credited {
            let credit = self.memory.credit(self.connection, customer_id)?;
            credits::put_entries(self.connection, customer_id, credit)?;
        }
        self.settlements.write(self.connection)?;
        outbox::write_deltas(self.connection, &self.deltas)?;
        leases::write_positions(self.connection, &mut self.positions)?;
        self.memory.event_ids.write(self.connection)?;
        if self.revised {
            self.memory.revision = bump_revision(self.connection)?;
        }
        Ok((self.memory, reached))
    }

    fn tell(&mut self, watches: &Watches) -> Result<Vec<Reached>> {
        let mut reached = Vec::new();
        let Some(rule) = self.memory.catalog.alerts.clone() else { return Ok(reached) };
        for (customer_id, watch) in watches.iter() {
            let used = match watch.bound.unit() {
                Unit::Money => self.spent(customer_id, watch.period)?.into(),
                Unit::Meter(meter) => {
                    let used = self.used(customer_id, meter, watch.period)?;
                    if !watch.is_near(&rule.thresholds, used) {
                        continue;
                    }
                    used.into()
                }
            };
            reached.extend(self.memory.told.tell(self.connection, &rule, (customer_id, watch), &used)?);
        }
        Ok(reached)
    }

    /// Sorts the events into the calendar months of the time zone, but for customers whose periods have an anchor.
    fn recount(&mut self) -> Result<()> {
        self.memory.tallies.write(self.connection)?;
        self.memory.tallies.forget_counters();
        self.memory.quantities.write(self.connection)?;
        self.memory.quantities.forget();
        self.connection.execute_batch(
            "DELETE FROM period_counters
             WHERE customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor NOT NULL);
             DELETE FROM period_quantities
             WHERE customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor NOT NULL);",
        )?;
        let mut period = None;
        let mut statement = self.connection.prepare(
            "SELECT customer_id, timestamp, meter, units, cost, price FROM events
             WHERE customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor NOT NULL)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let timestamp = columns::timestamp(row, 1)?;
            // The last event's is most often this one's too.
            let month = match period {
                Some(period) if Period::contains(period, timestamp) => period,
                _ => *period.insert(Period::month(timestamp, self.memory.catalog.time_zone)),
            };
            let key = (CustomerId::from_stored(row.get(0)?), month.start, columns::meter(row, 2)?);
            let mut tally = self.memory.tallies.counter(self.connection, &key)?;
            let units = row.get::<_, u64>(3)?;
            tally.units += units;
            tally.cost = tally.cost.checked_add(columns::money(row, 4)?)?;
            if let Some(price) = row.get_ref(5)?.as_str_or_null()? {
                let used = self.memory.quantities.get(self.connection, &key)?.get(price).copied().unwrap_or_default();
                self.memory.quantities.set(self.connection, &key, price, used.with(units))?;
            }
            self.memory.tallies.set_counter(key, tally);
        }
        self.memory.tallies.write(self.connection)?;
        self.memory.quantities.write(self.connection)
    }
}

impl Tables for Transaction<'_> {
    type Error = SqliteError;

    fn catalog(&self) -> &Catalog {
        &self.memory.catalog
    }

    fn set_tiers(&mut self, tiers: TierTable) -> Result<()> {
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
        self.memory.catalog.tiers.table = tiers;
        Ok(())
    }

    fn set_versions(&mut self, versions: Arc<CatalogVersions>) -> Result<()> {
        let mut statement = self.connection.prepare(
            "INSERT INTO catalog_versions (version, position, definition) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET position = excluded.position",
        )?;
        for (position, catalog) in versions.iter().enumerate() {
            statement.execute(params![catalog.version(), position, versions::definition(catalog)])?;
        }
        self.memory.catalog.tiers.catalog = Some(versions);
        Ok(())
    }

    fn sign_up_all(&mut self, catalog: &domain::Catalog) -> Result<()> {
        let mut statement = self
            .connection
            .prepare("UPDATE customers SET catalog_version = ? WHERE catalog_version IS NULL AND tier_id = ?")?;
        for tier in catalog.tiers() {
            statement.execute(params![catalog.version(), tier.id])?;
        }
        self.memory.forget_customers();
        Ok(())
    }

    fn set_time_zone(&mut self, time_zone: TimeZone) -> Result<()> {
        self.connection.execute("UPDATE settings SET value = ? WHERE name = 'time_zone'", [time_zone.name()])?;
        self.memory.catalog.time_zone = time_zone;
        self.recount()
    }

    fn set_export(&mut self, rule: Option<ExportRule>) -> Result<()> {
        self.connection.execute("DELETE FROM settings WHERE name = 'export'", [])?;
        if let Some(rule) = &rule {
            let insert = "INSERT INTO settings (name, value) VALUES ('export', ?)";
            self.connection.execute(insert, [rule.to_stored()?])?;
        }
        self.memory.catalog.export = rule;
        Ok(())
    }

    fn set_alerts(&mut self, rule: AlertRule) -> Result<()> {
        let upsert = "INSERT INTO settings (name, value) VALUES ('alerts', ?)
                      ON CONFLICT DO UPDATE SET value = excluded.value";
        self.connection.execute(upsert, [rule.to_stored()?])?;
        self.memory.catalog.alerts = Some(rule);
        Ok(())
    }

    fn tiers_in_use(&mut self) -> Result<Vec<String>> {
        let mut statement = self.connection.prepare("SELECT DISTINCT tier_id FROM customers WHERE tier_id NOT NULL")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    fn revise(&mut self) {
        self.revised = true;
    }

    fn customer(&mut self, id: &CustomerId) -> Result<Option<Customer>> {
        self.memory.customer(self.connection, id)
    }

    fn put_customer(&mut self, customer: &Customer) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO customers (id, tier_id, subscription_id, stripe_customer_id, suspended, created_at,
                                        subscription_status, billing_cycle_anchor, catalog_version, spend_cap, prepaid,
                                        has_credit, former_tiers)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET tier_id = excluded.tier_id, subscription_id = excluded.subscription_id,
                     stripe_customer_id = excluded.stripe_customer_id, suspended = excluded.suspended,
                     subscription_status = excluded.subscription_status,
                     billing_cycle_anchor = excluded.billing_cycle_anchor,
                     catalog_version = excluded.catalog_version, spend_cap = excluded.spend_cap,
                     prepaid = excluded.prepaid, has_credit = excluded.has_credit,
                     former_tiers = excluded.former_tiers",
            )?
            .execute(params![
                customer.id.as_str(),
                customer.tier_id,
                customer.subscription_id,
                customer.stripe_customer_id,
                customer.suspended,
                customer.created_at.as_millis(),
                customer.subscription_status.map(SubscriptionStatus::as_str),
                customer.billing_cycle_anchor.map(Timestamp::as_millis),
                customer.catalog_version,
                customer.spend_cap.map(|cap| cap.to_string()),
                customer.prepaid,
                customer.has_credit,
                customer.former_tiers.to_stored()?,
            ])?;
        self.memory.set_customer(customer);
        Ok(())
    }

    fn used_by_hour(&mut self, customer_id: &CustomerId) -> Result<Vec<Used>> {
        self.memory.tallies.write(self.connection)?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT hour, meter, events, units, cost FROM hourly_rollups WHERE customer_id = ?")?;
        let used = statement.query_map([customer_id.as_str()], columns::used)?;
        Ok(used.collect::<rusqlite::Result<_>>()?)
    }

    fn used_within(&mut self, customer_id: &CustomerId, span: Period) -> Result<Vec<Used>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT timestamp, meter, 1, units, cost FROM events
             WHERE timestamp >= ? AND timestamp < ? AND customer_id = ?",
        )?;
        let span = params![span.start.as_millis(), span.end.as_millis(), customer_id.as_str()];
        let used = statement.query_map(span, columns::used)?;
        Ok(used.collect::<rusqlite::Result<_>>()?)
    }

    fn set_counters(&mut self, customer_id: &CustomerId, counters: BTreeMap<CounterKey, Tally>) -> Result<()> {
        self.memory.tallies.write(self.connection)?;
        self.memory.tallies.forget_counters();
        self.connection
            .prepare_cached("DELETE FROM period_counters WHERE customer_id = ?")?
            .execute([customer_id.as_str()])?;
        for (key, tally) in counters {
            self.memory.tallies.set_counter(key, tally);
        }
        Ok(())
    }

    fn key(&mut self, id: &str) -> Result<Option<&ApiKey>> {
        self.memory.key(self.connection, id)
    }

    fn has_secret(&mut self, hash: &KeyHash) -> Result<bool> {
        Ok(read::identify(self.connection, hash)?.is_some())
    }

    fn insert_key(&mut self, key: &ApiKey, hash: &KeyHash) -> Result<()> {
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
        Ok(())
    }

    fn end_key(&mut self, key: &ApiKey) -> Result<()> {
        self.connection.prepare_cached("UPDATE api_keys SET expires_at = ?, revoked_at = ? WHERE id = ?")?.execute(
            params![key.expires_at.map(Timestamp::as_millis), key.revoked_at.map(Timestamp::as_millis), key.id],
        )?;
        self.memory.set_key(key);
        Ok(())
    }

    fn used(&mut self, customer_id: &CustomerId, meter: Meter, period: Period) -> Result<u64> {
        let key = (customer_id.clone(), period.start, meter);
        Ok(self.memory.tallies.counter(self.connection, &key)?.units)
    }

    fn spent(&mut self, customer_id: &CustomerId, period: Period) -> Result<Money> {
        let mut spent = Money::ZERO;
        for meter in self.memory.catalog.tiers.meters() {
            let key = (customer_id.clone(), period.start, meter);
            spent = spent.checked_add(self.memory.tallies.counter(self.connection, &key)?.cost)?;
        }
        Ok(spent)
    }

    fn quantities(&mut self, key: &CounterKey) -> Result<Quantities> {
        self.memory.quantities.get(self.connection, key).cloned()
    }

    fn set_quantity(&mut self, key: &CounterKey, price: &str, quantity: Quantity) -> Result<()> {
        self.memory.quantities.set(self.connection, key, price, quantity)
    }

    fn rated_events(&mut self, customer_id: &CustomerId) -> Result<Vec<RatedEvent>> {
        quantities::rated_events(self.connection, customer_id)
    }

    fn set_quantities(&mut self, customer_id: &CustomerId, by_meter: BTreeMap<CounterKey, Quantities>) -> Result<()> {
        self.memory.quantities.write(self.connection)?;
        self.memory.quantities.forget();
        quantities::delete(self.connection, customer_id)?;
        for (key, quantities) in by_meter {
            for (price, quantity) in quantities {
                quantities::put(self.connection, &key, &price, quantity)?;
            }
        }
        Ok(())
    }

    fn seen(&mut self, event: &UsageEvent) -> Result<Option<bool>> {
        self.memory.event_ids.seen(self.connection, event)
    }

    fn record(
        &mut self,
        event: &UsageEvent,
        cost: Money,
        customer: &Customer,
        period: Period,
        now: Timestamp,
    ) -> Counted<Self> {
        let counter_key = (event.customer_id.clone(), period.start, event.meter);
        let rollup_key = rollup_key(event);
        let counter = self.memory.tallies.counter(self.connection, &counter_key)?.plus(event, cost);
        let rollup = self.memory.tallies.rollup(self.connection, &rollup_key)?.plus(event, cost);
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
                                     endpoint, agent_type, metadata, price)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                event.customer_id.as_str(),
                event.id.as_ref().map(|id| id.as_str()),
                event.meter.as_str(),
                event.units.get(),
                cost.to_string(),
                event.timestamp.as_millis(),
                now.as_millis(),
                subscription_id,
                event.endpoint,
                event.agent_type,
                event.metadata,
                event.cost_basis.price(),
            ])?;
        if let Some(id) = &event.id {
            self.memory.event_ids.claim(self.connection, event, id, now)?;
        }
        Ok(Ok(()))
    }

    fn credit(&mut self, customer_id: &CustomerId) -> Result<&mut Credit> {
        self.credited.insert(customer_id.clone());
        self.memory.credit(self.connection, customer_id)
    }

    fn put_grant(&mut self, customer_id: &CustomerId, grant: &CreditGrant) -> Result<()> {
        credits::put_grant(self.connection, customer_id, grant)
    }

    fn credit_refund(&mut self, customer_id: &CustomerId, id: &GrantId) -> Result<Option<CreditRefund>> {
        credits::refund(self.connection, customer_id, id)
    }

    fn put_credit_refund(&mut self, customer_id: &CustomerId, refund: &CreditRefund) -> Result<()> {
        credits::put_refund(self.connection, customer_id, refund)
    }

    fn enqueue(&mut self, event: &UsageEvent, recipient: Recipient, rule: &ExportRule, now: Timestamp) -> Result<()> {
        Ok(self.deltas.add(event, Some(recipient), rule, now)?)
    }

    fn leases(&mut self, customer_id: &CustomerId, quota: Quota, span: Period) -> Result<Vec<Lease>> {
        self.settlements.write(self.connection)?;
        leases::overlapping(self.connection, customer_id, quota, span)
    }

    fn set_aside(&mut self, part: &LeasePart, frame: Frame, standing: Standing) -> Result<bool> {
        leases::set_aside(self.connection, part, frame, standing)
    }

    fn settle(&mut self, part: &LeasePart) -> Result<()> {
        self.settlements.add(part);
        Ok(())
    }

    fn end_leases(&mut self, holder: &HolderId) -> Result<()> {
        self.settlements.write(self.connection)?;
        leases::end_all(self.connection, holder)
    }

    fn is_recalled(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<bool> {
        leases::is_recalled(self.connection, customer_id, quota)
    }

    fn set_recalled(&mut self, customer_id: &CustomerId, quota: Quota, recalled: bool) -> Result<()> {
        leases::set_recalled(self.connection, customer_id, quota, recalled)
    }

    fn window_usage(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<Option<WindowUsage>> {
        self.memory.windows.usage(self.connection, customer_id, quota)
    }

    fn set_window_usage(&mut self, customer_id: &CustomerId, quota: Quota, usage: WindowUsage) {
        self.memory.windows.set(customer_id, quota, usage);
    }

    fn forget_window_usage(&mut self, customer_id: Option<&CustomerId>) -> Result<()> {
        self.memory.windows.forget(self.connection, customer_id)
    }

    fn journal_position(&mut self, holder: &HolderId) -> Result<u64> {
        if let Some(position) = self.positions.get(holder) {
            return Ok(*position);
        }
        let position = leases::journal_position(self.connection, holder)?;
        self.positions.insert(holder.clone(), position);
        Ok(position)
    }

    fn set_journal_position(&mut self, holder: &HolderId, position: u64) {
        self.positions.insert(holder.clone(), position);
    }

    fn forget_journal(&mut self, holder: &HolderId) -> Result<()> {
        self.positions.remove(holder);
        self.connection.prepare_cached("DELETE FROM journals WHERE holder = ?")?.execute([holder.as_str()])?;
        Ok(())
    }

    fn takeover_position(&mut self, file: &str) -> Result<u64> {
        read::takeover_position(self.connection, file)
    }

    fn set_takeover_position(&mut self, file: &str, position: u64) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO takeovers (file, position) VALUES (?, ?)
                 ON CONFLICT DO UPDATE SET position = excluded.position",
            )?
            .execute(params![file, position])?;
        Ok(())
    }

    fn stripe_event(&mut self, id: &str) -> Result<Option<StripeEventRow>> {
        stripe_events::event(self.connection, id)
    }

    fn put_stripe_event(&mut self, row: &StripeEventRow) -> Result<()> {
        stripe_events::put_event(self.connection, row)
    }

    fn delete_stripe_event(&mut self, id: &str) -> Result<()> {
        stripe_events::delete_event(self.connection, id)
    }

    fn forget_stripe_events(&mut self, before: Timestamp) -> Result<()> {
        stripe_events::forget(self.connection, before)
    }

    fn subscription(&mut self, id: &str) -> Result<Option<Subscription>> {
        stripe_events::subscription(self.connection, id)
    }

    fn put_subscription(&mut self, subscription: &Subscription) -> Result<()> {
        stripe_events::put_subscription(self.connection, subscription)
    }

    fn subscriptions_of(&mut self, stripe_customer_id: &str) -> Result<Vec<Subscription>> {
        stripe_events::subscriptions_of(self.connection, stripe_customer_id)
    }

    fn customers_at_stripe(&mut self, stripe_customer_id: &str, subscription_id: &str) -> Result<Vec<Customer>> {
        stripe_events::customers(self.connection, stripe_customer_id, subscription_id)
    }
}

fn bump_revision(connection: &Connection) -> Result<u64> {
    let mut statement =
        connection.prepare_cached("UPDATE settings SET value = value + 1 WHERE name = 'revision' RETURNING value")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

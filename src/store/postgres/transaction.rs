//! The tables inside one write transaction: what the group is known to need is read at its beginning, and what it changes
//! is written at its end.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::columns;
use super::database::{Session, Statement};
use super::error::{PostgresError, Result};
use super::event_ids::{self, Fingerprint, Key};
use super::wanted::Wanted;
use super::write;
use super::{alerts, credits, outbox, quantities, read, stripe_events};
use crate::domain::credit::{CreditGrant, GrantId};
use crate::domain::invoice::{Quantities, Quantity};
use crate::domain::{
    self, AlertRule, ApiKey, CatalogVersions, Customer, CustomerId, ExportRule, Frame, HolderId, KeyHash, Meter, Money,
    Period, Quota, Recipient, Standing, Subscription, TierTable, TimeZone, Timestamp, UsageEvent, WindowUsage,
};
use crate::store::group::{
    Counted, CounterKey, Credit, Deltas, RatedEvent, RollupKey, Tables, Tally, Used, rollup_key,
};
use crate::store::migration::rows::{MovedGrant, MovedRefund};
use crate::store::{Catalog, CreditRefund, Lease, LeasePart, StripeEventRow};

/// Customer, quota, start of the period, holder.
pub type LeaseKey = (CustomerId, Quota, Timestamp, HolderId);

pub struct Transaction<'d> {
    pub(super) session: Session<'d>,
    pub(super) catalog: Catalog,
    pub(super) customers: HashMap<CustomerId, Option<Customer>>,
    pub(super) keys: HashMap<String, Option<ApiKey>>,
    pub(super) counters: HashMap<CounterKey, Tally>,
    pub(super) quantities: HashMap<CounterKey, Quantities>,
    pub(super) leases: HashMap<(CustomerId, Quota), Vec<Lease>>,
    pub(super) recalls: HashMap<(CustomerId, Quota), bool>,
    /// All of those customers who are in it.
    pub(super) windows: HashMap<CustomerId, BTreeMap<Quota, WindowUsage>>,
    pub(super) ids: HashMap<(CustomerId, Key), Option<Fingerprint>>,
    pub(super) positions: HashMap<HolderId, u64>,
    pub(super) credits: HashMap<CustomerId, Credit>,
    pub(super) unwritten: Unwritten,
    /// Something was recalled that was not before.
    pub(super) recalls_anew: bool,
}

/// What was changed and is not written yet. All of it is sorted, so that whoever writes the same rows does so in the same
/// order.
#[derive(Default)]
pub struct Unwritten {
    pub customers: BTreeSet<CustomerId>,
    /// What is to be added to them.
    pub counters: BTreeMap<CounterKey, Tally>,
    pub rollups: BTreeMap<RollupKey, Tally>,
    /// What they are, by price.
    pub quantities: BTreeMap<CounterKey, Quantities>,
    pub events: Vec<CountedEvent>,
    pub deltas: Deltas,
    pub leases: BTreeSet<LeaseKey>,
    pub recalls: BTreeMap<(CustomerId, Quota), bool>,
    /// Whose usage of windows is to be forgotten, before any of it is written.
    pub forgotten_windows: BTreeSet<CustomerId>,
    pub windows: BTreeSet<(CustomerId, Quota)>,
    pub positions: BTreeMap<HolderId, u64>,
    pub revised: bool,
}

/// An event that is counted.
pub struct CountedEvent {
    pub event: UsageEvent,
    /// What it costs in the end.
    pub cost: Money,
    pub subscription_id: Option<String>,
    pub at: Timestamp,
}

impl<'d> Transaction<'d> {
    pub fn begin(session: Session<'d>, catalog: Catalog) -> Self {
        Self {
            session,
            catalog,
            customers: HashMap::new(),
            keys: HashMap::new(),
            counters: HashMap::new(),
            quantities: HashMap::new(),
            leases: HashMap::new(),
            recalls: HashMap::new(),
            windows: HashMap::new(),
            ids: HashMap::new(),
            positions: HashMap::new(),
            credits: HashMap::new(),
            unwritten: Unwritten::default(),
            recalls_anew: false,
        }
    }

    /// Of the customers who are known here and have no credit: where there is some, it is decided upon.
    pub fn known(&self) -> impl Iterator<Item = (CustomerId, Customer)> {
        let known = self.customers.values().flatten().filter(|customer| !customer.has_credit);
        known.map(|customer| (customer.id.clone(), customer.clone()))
    }

    /// What a lookup finds; it is read now where that was not foreseen.
    fn require(&mut self, is_known: impl Fn(&Self) -> bool, want: impl FnOnce(&mut Wanted)) -> Result<()> {
        if is_known(self) {
            return Ok(());
        }
        let mut wanted = Wanted::default();
        want(&mut wanted);
        self.load(&wanted)
    }

    fn account(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<(CustomerId, Quota)> {
        let key = (customer_id.clone(), quota);
        self.require(
            |known| known.leases.contains_key(&key),
            |wanted| {
                wanted.customers.insert(customer_id.clone());
                wanted.accounts.insert(key.clone());
            },
        )?;
        Ok(key)
    }

    fn counter(&mut self, key: &CounterKey) -> Result<Tally> {
        self.require(
            |known| known.counters.contains_key(key),
            |wanted| {
                wanted.customers.insert(key.0.clone());
                wanted.counters.insert(key.clone());
            },
        )?;
        Ok(self.counters.get(key).copied().unwrap_or_default())
    }
}

impl Tables for Transaction<'_> {
    type Error = PostgresError;

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn set_tiers(&mut self, tiers: TierTable) -> Result<()> {
        self.session.run(&write::tier_statements(&tiers))?;
        self.catalog.tiers.table = tiers;
        Ok(())
    }

    fn set_versions(&mut self, versions: Arc<CatalogVersions>) -> Result<()> {
        self.session.run_one(write::version_statement(&versions))?;
        self.catalog.tiers.catalog = Some(versions);
        Ok(())
    }

    fn sign_up_all(&mut self, catalog: &domain::Catalog) -> Result<()> {
        self.write()?;
        let tiers = catalog.tiers().iter().map(|tier| tier.id.clone()).collect();
        let sign_up = Statement::new(
            "UPDATE customers SET catalog_version = $1 WHERE catalog_version IS NULL AND tier_id = ANY($2)",
        );
        self.session.run_one(sign_up.text(catalog.version()).texts(tiers))?;
        self.customers.clear();
        Ok(())
    }

    fn set_time_zone(&mut self, time_zone: TimeZone) -> Result<()> {
        self.session.run_one(
            Statement::new("UPDATE settings SET value = $1 WHERE name = 'time_zone'").text(time_zone.name()),
        )?;
        self.catalog.time_zone = time_zone;
        self.recount()
    }

    fn set_export(&mut self, rule: Option<ExportRule>) -> Result<()> {
        self.session.run_one(outbox::rule_statement(rule.as_ref())?)?;
        self.catalog.export = rule;
        Ok(())
    }

    fn set_alerts(&mut self, rule: AlertRule) -> Result<()> {
        self.session.run_one(alerts::rule_statement(&rule)?)?;
        self.catalog.alerts = Some(rule);
        Ok(())
    }

    fn tiers_in_use(&mut self) -> Result<Vec<String>> {
        self.write()?;
        let statement = Statement::new("SELECT DISTINCT tier_id FROM customers WHERE tier_id IS NOT NULL");
        let rows = self.session.run_one(statement)?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    fn revise(&mut self) {
        self.unwritten.revised = true;
    }

    fn customer(&mut self, id: &CustomerId) -> Result<Option<Customer>> {
        self.require(|known| known.customers.contains_key(id), |wanted| wanted.customers.extend([id.clone()]))?;
        Ok(self.customers.get(id).cloned().flatten())
    }

    fn put_customer(&mut self, customer: &Customer) -> Result<()> {
        self.unwritten.customers.insert(customer.id.clone());
        self.customers.insert(customer.id.clone(), Some(customer.clone()));
        Ok(())
    }

    fn used_by_hour(&mut self, customer_id: &CustomerId) -> Result<Vec<Used>> {
        self.write()?;
        let statement = Statement::new(
            "SELECT hour, meter, sum(events)::bigint, sum(units)::bigint, trim_scale(sum(cost))::text
             FROM hourly_rollups WHERE customer_id = $1 GROUP BY hour, meter ORDER BY hour",
        );
        self.session.run_one(statement.text(customer_id.as_str()))?.iter().map(columns::used).collect()
    }

    fn used_within(&mut self, customer_id: &CustomerId, span: Period) -> Result<Vec<Used>> {
        self.write()?;
        let statement = Statement::new(
            "SELECT timestamp, meter, 1::bigint, units, trim_scale(cost)::text FROM events
             WHERE customer_id = $1 AND timestamp >= $2 AND timestamp < $3",
        )
        .text(customer_id.as_str())
        .with(columns::instant(span.start), Type::TIMESTAMPTZ)
        .with(columns::instant(span.end), Type::TIMESTAMPTZ);
        self.session.run_one(statement)?.iter().map(columns::used).collect()
    }

    fn set_counters(&mut self, customer_id: &CustomerId, counters: BTreeMap<CounterKey, Tally>) -> Result<()> {
        self.write()?;
        self.counters.retain(|(other, ..), _| other != customer_id);
        let delete = Statement::new("DELETE FROM period_counters WHERE customer_id = $1").text(customer_id.as_str());
        let statements: Vec<_> = [delete].into_iter().chain(write::counter_statement(&counters)).collect();
        self.session.run(&statements)?;
        Ok(())
    }

    fn key(&mut self, id: &str) -> Result<Option<&ApiKey>> {
        self.require(|known| known.keys.contains_key(id), |wanted| wanted.keys.extend([id.to_owned()]))?;
        Ok(self.keys.get(id).and_then(Option::as_ref))
    }

    fn has_secret(&mut self, hash: &KeyHash) -> Result<bool> {
        let find = Statement::new("SELECT 1 FROM api_keys WHERE hash = $1").with(hash.0.to_vec(), Type::BYTEA);
        Ok(!self.session.run_one(find)?.is_empty())
    }

    /// That a secret is one key's only, no index could say over all customers: keys are written by one at a time, see
    /// `writer.rs`.
    fn insert_key(&mut self, key: &ApiKey, hash: &KeyHash) -> Result<()> {
        let insert = Statement::new(
            "INSERT INTO api_keys (id, hash, customer_id, name, prefix, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .text(key.id.clone())
        .with(hash.0.to_vec(), Type::BYTEA)
        .text(key.customer_id.as_str())
        .with(key.name.clone(), Type::TEXT)
        .text(key.prefix.clone())
        .with(columns::instant(key.created_at), Type::TIMESTAMPTZ)
        .with(key.expires_at.map(columns::instant), Type::TIMESTAMPTZ);
        self.session.run_one(insert)?;
        self.keys.insert(key.id.clone(), Some(key.clone()));
        Ok(())
    }

    fn end_key(&mut self, key: &ApiKey) -> Result<()> {
        let update =
            Statement::new("UPDATE api_keys SET expires_at = $1, revoked_at = $2 WHERE customer_id = $3 AND id = $4")
                .with(key.expires_at.map(columns::instant), Type::TIMESTAMPTZ)
                .with(key.revoked_at.map(columns::instant), Type::TIMESTAMPTZ)
                .text(key.customer_id.as_str())
                .text(key.id.clone());
        self.session.run_one(update)?;
        self.keys.insert(key.id.clone(), Some(key.clone()));
        Ok(())
    }

    fn used(&mut self, customer_id: &CustomerId, meter: Meter, period: Period) -> Result<u64> {
        Ok(self.counter(&(customer_id.clone(), period.start, meter))?.units)
    }

    fn spent(&mut self, customer_id: &CustomerId, period: Period) -> Result<Money> {
        let mut spent = Money::ZERO;
        for meter in self.catalog.tiers.meters() {
            spent = spent.checked_add(self.counter(&(customer_id.clone(), period.start, meter))?.cost)?;
        }
        Ok(spent)
    }

    fn quantities(&mut self, key: &CounterKey) -> Result<Quantities> {
        self.require(
            |known| known.quantities.contains_key(key),
            |wanted| {
                wanted.customers.insert(key.0.clone());
                wanted.quantities.insert(key.clone());
            },
        )?;
        Ok(self.quantities.get(key).cloned().unwrap_or_default())
    }

    fn set_quantity(&mut self, key: &CounterKey, price: &str, quantity: Quantity) -> Result<()> {
        self.quantities.entry(key.clone()).or_default().insert(price.to_owned(), quantity);
        self.unwritten.quantities.entry(key.clone()).or_default().insert(price.to_owned(), quantity);
        Ok(())
    }

    fn rated_events(&mut self, customer_id: &CustomerId) -> Result<Vec<RatedEvent>> {
        self.write()?;
        self.session.run_one(quantities::rated_events(customer_id))?.iter().map(quantities::rated_event).collect()
    }

    fn set_quantities(&mut self, customer_id: &CustomerId, by_meter: BTreeMap<CounterKey, Quantities>) -> Result<()> {
        self.write()?;
        self.quantities.retain(|(other, ..), _| other != customer_id);
        let delete = quantities::delete_statement(customer_id);
        let statements: Vec<_> = [delete].into_iter().chain(quantities::put_statement(&by_meter)).collect();
        self.session.run(&statements)?;
        Ok(())
    }

    fn seen(&mut self, event: &UsageEvent) -> Result<Option<bool>> {
        let Some(id) = &event.id else { return Ok(None) };
        let key = (event.customer_id.clone(), event_ids::key(id));
        self.require(
            |known| known.ids.contains_key(&key),
            |wanted| {
                wanted.customers.insert(key.0.clone());
                wanted.ids.insert(key.clone());
            },
        )?;
        let seen = self.ids.get(&key).copied().flatten();
        Ok(seen.map(|fingerprint| event_ids::is_of(fingerprint, event)))
    }

    fn record(
        &mut self,
        event: &UsageEvent,
        cost: Money,
        customer: &Customer,
        period: Period,
        now: Timestamp,
    ) -> Counted<Self> {
        let key = (event.customer_id.clone(), period.start, event.meter);
        let counter = match self.counter(&key)?.plus(event, cost) {
            Ok(counter) => counter,
            Err(error) => return Ok(Err(error)),
        };
        // An hour's sums are a part of a period's, and what is added to them of what they become: they fit too.
        let added = self.unwritten.counters.get(&key).copied().unwrap_or_default().plus(event, cost)?;
        let rollup_key = rollup_key(event);
        let rolled_up = self.unwritten.rollups.get(&rollup_key).copied().unwrap_or_default().plus(event, cost)?;
        self.unwritten.counters.insert(key.clone(), added);
        self.unwritten.rollups.insert(rollup_key, rolled_up);
        self.counters.insert(key, counter);
        if let Some(id) = &event.id {
            let key = (event.customer_id.clone(), event_ids::key(id));
            self.ids.insert(key, Some(event_ids::fingerprint(event)));
        }
        // That of the customer, who may have another one before this is written.
        let subscription_id = event.subscription_id.as_ref().or(customer.subscription_id.as_ref()).cloned();
        self.unwritten.events.push(CountedEvent { event: event.clone(), cost, subscription_id, at: now });
        Ok(Ok(()))
    }

    /// His lock is held, so nobody else opens his books meanwhile.
    fn credit(&mut self, customer_id: &CustomerId) -> Result<&mut Credit> {
        match self.credits.entry(customer_id.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let answers = self.session.run(&credits::credit_statements(customer_id))?;
                Ok(unknown.insert(credits::credit(&answers)?))
            }
        }
    }

    fn put_grant(&mut self, customer_id: &CustomerId, grant: &CreditGrant) -> Result<()> {
        let moved = MovedGrant { customer_id: customer_id.clone(), given: grant.clone() };
        self.session.run_one(credits::put_grants(&[moved])).map(drop)
    }

    fn credit_refund(&mut self, customer_id: &CustomerId, id: &GrantId) -> Result<Option<CreditRefund>> {
        let rows = self.session.run_one(credits::refund_statement(customer_id, id))?;
        rows.first().map(|row| credits::refund(id, row)).transpose()
    }

    fn put_credit_refund(&mut self, customer_id: &CustomerId, refund: &CreditRefund) -> Result<()> {
        let moved = MovedRefund { customer_id: customer_id.clone(), refund: refund.clone() };
        self.session.run_one(credits::put_refunds(&[moved])).map(drop)
    }

    fn enqueue(&mut self, event: &UsageEvent, recipient: Recipient, rule: &ExportRule, now: Timestamp) -> Result<()> {
        Ok(self.unwritten.deltas.add(event, Some(recipient), rule, now)?)
    }

    fn leases(&mut self, customer_id: &CustomerId, quota: Quota, span: Period) -> Result<Vec<Lease>> {
        let key = self.account(customer_id, quota)?;
        let leases = self.leases.get(&key).into_iter().flatten();
        let overlapping =
            leases.filter(|held| held.units > 0 && held.period_start < span.end && held.period_end > span.start);
        Ok(overlapping.cloned().collect())
    }

    /// The lock of the customer is held, so that what is used and leased is known for certain: nobody else can set
    /// anything aside before this is written.
    fn set_aside(&mut self, part: &LeasePart, frame: Frame, standing: Standing) -> Result<bool> {
        let LeasePart { holder, customer_id, quota, period_start, units } = part;
        let period_end = frame.period.end;
        let leased: u64 = self.leases(customer_id, *quota, frame.span)?.iter().map(|lease| lease.units).sum();
        let spoken_for = Standing { used: standing.used.saturating_add(leased), ..standing };
        if !spoken_for.has_room_for(*units) {
            return Ok(false);
        }
        let leases = self.leases.entry((customer_id.clone(), *quota)).or_default();
        let place = |held: &&mut Lease| held.holder == *holder && held.period_start == *period_start;
        match leases.iter_mut().find(place) {
            Some(held) => {
                held.units += units;
                held.period_end = held.period_end.max(period_end);
            }
            None => {
                let (holder, period_start, units) = (holder.clone(), *period_start, *units);
                leases.push(Lease { holder, period_start, period_end, units });
            }
        }
        self.unwritten.leases.insert((customer_id.clone(), *quota, *period_start, holder.clone()));
        // Whoever has a lease has a row among the journals, by which he is found.
        self.unwritten.positions.entry(holder.clone()).or_default();
        Ok(true)
    }

    fn settle(&mut self, part: &LeasePart) -> Result<()> {
        let LeasePart { holder, customer_id, quota, period_start, units } = part;
        let key = self.account(customer_id, *quota)?;
        let leases = self.leases.entry(key).or_default();
        let place = |held: &&mut Lease| held.holder == *holder && held.period_start == *period_start;
        let held = leases.iter_mut().find(place);
        let before = held.as_ref().map_or(0, |held| held.units);
        if before < *units {
            // It has happened, so it counts; but the limit may have been passed by what is missing.
            let customer_id = customer_id.as_str();
            tracing::warn!(
                customer_id,
                holder = holder.as_str(),
                units,
                before,
                "a lease did not hold what it paid for"
            );
        }
        if let Some(held) = held {
            held.units = before.saturating_sub(*units);
            self.unwritten.leases.insert((customer_id.clone(), *quota, *period_start, holder.clone()));
        }
        Ok(())
    }

    fn end_leases(&mut self, holder: &HolderId) -> Result<()> {
        self.write()?;
        for held in self.leases.values_mut() {
            held.retain(|held| held.holder != *holder);
        }
        // Where nobody holds anything any more there is nothing to recall, even if nobody asks again.
        let recalls = Statement::new(
            "DELETE FROM lease_recalls WHERE NOT EXISTS (
                 SELECT 1 FROM leases
                 WHERE leases.customer_id = lease_recalls.customer_id AND leases.quota = lease_recalls.quota
             ) RETURNING customer_id, quota",
        );
        let leases = Statement::new("DELETE FROM leases WHERE holder = $1").text(holder.as_str());
        let mut answers = self.session.run(&[leases, recalls])?;
        for row in answers.pop().unwrap_or_default() {
            let key = (CustomerId::from_stored(row.try_get(0)?), columns::quota(&row, 1)?);
            self.recalls.insert(key, false);
        }
        Ok(())
    }

    fn is_recalled(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<bool> {
        let key = self.account(customer_id, quota)?;
        Ok(self.recalls.get(&key).copied().unwrap_or_default())
    }

    fn set_recalled(&mut self, customer_id: &CustomerId, quota: Quota, recalled: bool) -> Result<()> {
        let key = (customer_id.clone(), quota);
        self.recalls.insert(key.clone(), recalled);
        self.recalls_anew |= recalled;
        self.unwritten.recalls.insert(key, recalled);
        Ok(())
    }

    fn window_usage(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<Option<WindowUsage>> {
        self.require(
            |known| known.windows.contains_key(customer_id),
            |wanted| {
                wanted.customers.insert(customer_id.clone());
                wanted.windows.insert(customer_id.clone());
            },
        )?;
        Ok(self.windows.get(customer_id).and_then(|windows| windows.get(&quota)).cloned())
    }

    fn set_window_usage(&mut self, customer_id: &CustomerId, quota: Quota, usage: WindowUsage) {
        self.unwritten.windows.insert((customer_id.clone(), quota));
        self.windows.entry(customer_id.clone()).or_default().insert(quota, usage);
    }

    fn forget_window_usage(&mut self, customer_id: Option<&CustomerId>) -> Result<()> {
        match customer_id {
            Some(id) => {
                self.unwritten.windows.retain(|(other, _)| other != id);
                self.unwritten.forgotten_windows.insert(id.clone());
                self.windows.insert(id.clone(), BTreeMap::new());
            }
            None => {
                self.unwritten.windows.clear();
                self.windows.clear();
                self.session.run_one(Statement::new("DELETE FROM window_usage"))?;
            }
        }
        Ok(())
    }

    fn journal_position(&mut self, holder: &HolderId) -> Result<u64> {
        self.require(|known| known.positions.contains_key(holder), |wanted| wanted.journals.extend([holder.clone()]))?;
        Ok(self.positions.get(holder).copied().unwrap_or_default())
    }

    fn set_journal_position(&mut self, holder: &HolderId, position: u64) {
        self.positions.insert(holder.clone(), position);
        self.unwritten.positions.insert(holder.clone(), position);
    }

    fn forget_journal(&mut self, holder: &HolderId) -> Result<()> {
        self.unwritten.positions.remove(holder);
        self.positions.insert(holder.clone(), 0);
        let forget = Statement::new("UPDATE journals SET position = 0 WHERE holder = $1").text(holder.as_str());
        let delete = Statement::new(
            "DELETE FROM journals
             WHERE holder = $1 AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.holder = journals.holder)",
        )
        .text(holder.as_str());
        self.session.run(&[forget, delete]).map(drop)
    }

    fn takeover_position(&mut self, file: &str) -> Result<u64> {
        let rows = self.session.run_one(read::takeover_position(file))?;
        rows.first().map_or(Ok(0), |row| columns::count(row, 0))
    }

    fn set_takeover_position(&mut self, file: &str, position: u64) -> Result<()> {
        let upsert = Statement::new(
            "INSERT INTO takeovers (file, position) VALUES ($1, $2)
             ON CONFLICT (file) DO UPDATE SET position = excluded.position",
        )
        .text(file)
        .with(columns::bigint(position), Type::INT8);
        self.session.run_one(upsert).map(drop)
    }

    fn stripe_event(&mut self, id: &str) -> Result<Option<StripeEventRow>> {
        let rows = self.session.run_one(stripe_events::event(id))?;
        rows.first().map(columns::stripe_event).transpose()
    }

    fn put_stripe_event(&mut self, row: &StripeEventRow) -> Result<()> {
        self.session.run_one(stripe_events::put_events(std::slice::from_ref(row))).map(drop)
    }

    fn delete_stripe_event(&mut self, id: &str) -> Result<()> {
        self.session.run_one(stripe_events::delete_event(id)).map(drop)
    }

    fn forget_stripe_events(&mut self, before: Timestamp) -> Result<()> {
        self.session.run_one(stripe_events::forget(before)).map(drop)
    }

    fn subscription(&mut self, id: &str) -> Result<Option<Subscription>> {
        let rows = self.session.run_one(stripe_events::subscription(id))?;
        rows.first().map(columns::subscription).transpose()
    }

    fn put_subscription(&mut self, subscription: &Subscription) -> Result<()> {
        let put = stripe_events::put_subscriptions(std::slice::from_ref(subscription))?;
        self.session.run_one(put).map(drop)
    }

    fn subscriptions_of(&mut self, stripe_customer_id: &str) -> Result<Vec<Subscription>> {
        let rows = self.session.run_one(stripe_events::subscriptions_of(stripe_customer_id))?;
        rows.iter().map(columns::subscription).collect()
    }

    /// Nobody else gives a customer such an id before the transaction ends; what else is known of them is read again
    /// when they are locked.
    fn customers_at_stripe(&mut self, stripe_customer_id: &str, subscription_id: &str) -> Result<Vec<Customer>> {
        self.write()?;
        let rows = self.session.run_one(stripe_events::customer_ids(stripe_customer_id, subscription_id))?;
        let mut customers = Vec::new();
        for row in &rows {
            customers.extend(self.customer(&CustomerId::from_stored(row.try_get(0)?))?);
        }
        Ok(customers)
    }
}

//! Writing what a group has changed, in one round trip.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use super::columns;
use super::database::Statement;
use super::error::Result;
use super::transaction::{CountedEvent, LeaseKey, Transaction, Unwritten};
use super::{credits, event_ids, outbox, quantities, windows};
use crate::domain::{
    CatalogVersions, Customer, CustomerId, HolderId, Period, Quota, SubscriptionStatus, TierTable, TimeZone,
};
use crate::store::group::{CounterKey, RollupKey, Tally};
use crate::store::versions;

impl Transaction<'_> {
    /// Writes what is not written yet, and goes on.
    pub(super) fn write(&mut self) -> Result<()> {
        let statements = self.take_unwritten()?;
        if !statements.is_empty() {
            self.session.run(&statements)?;
        }
        Ok(())
    }

    /// What is not written yet, as statements. Whoever writes the same rows takes them in the same order, so that nobody
    /// waits in a circle.
    pub(super) fn take_unwritten(&mut self) -> Result<Vec<Statement>> {
        let revised = self.unwritten.revised;
        let unwritten = std::mem::replace(&mut self.unwritten, Unwritten { revised, ..Unwritten::default() });
        let customers = unwritten.customers.iter().filter_map(|id| self.customers.get(id)?.as_ref());
        let leases = self.lease_statements(&unwritten.leases);
        let forgotten = windows::forget_statement(&unwritten.forgotten_windows);
        let windows = windows::usage_statement(&unwritten.windows, &self.windows);
        let entries = credits::entry_statement(&credits::take_entries(&mut self.credits))?;
        let statements = [
            customer_statement(customers)?,
            counter_statement(&unwritten.counters),
            rollup_statement(&unwritten.rollups),
        ]
        .into_iter()
        .flatten()
        .chain(quantities::put_statement(&unwritten.quantities))
        .chain(event_statements(&unwritten.events))
        .chain(outbox::delta_statement(&unwritten.deltas))
        .chain(leases)
        .chain(recall_statements(&unwritten.recalls))
        .chain(forgotten)
        .chain(windows)
        .chain(position_statement(&unwritten.positions))
        .chain(entries);
        Ok(statements.collect())
    }

    fn lease_statements(&self, changed: &BTreeSet<LeaseKey>) -> Vec<Statement> {
        let (mut kept, mut ended) = (LeaseColumns::default(), LeaseColumns::default());
        for key in changed {
            let (customer_id, quota, period_start, holder) = key;
            let leases = self.leases.get(&(customer_id.clone(), *quota)).into_iter().flatten();
            let held = leases.into_iter().find(|held| held.holder == *holder && held.period_start == *period_start);
            let units = held.map_or(0, |held| held.units);
            let columns = if units > 0 { &mut kept } else { &mut ended };
            columns.customers.push(customer_id.as_str().to_owned());
            columns.quotas.push(quota.name().into_owned());
            columns.starts.push(columns::instant(*period_start));
            columns.holders.push(holder.as_str().to_owned());
            columns.ends.extend(held.map(|held| columns::instant(held.period_end)));
            columns.units.push(columns::bigint(units));
        }
        let mut statements = Vec::new();
        if !kept.units.is_empty() {
            statements.push(
                Statement::new(
                    "INSERT INTO leases (customer_id, quota, period_start, holder, period_end, units)
                     SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
                     ON CONFLICT (customer_id, quota, period_start, holder)
                     DO UPDATE SET units = excluded.units, period_end = excluded.period_end",
                )
                .texts(kept.customers)
                .texts(kept.quotas)
                .with(kept.starts, Type::TIMESTAMPTZ_ARRAY)
                .texts(kept.holders)
                .with(kept.ends, Type::TIMESTAMPTZ_ARRAY)
                .with(kept.units, Type::INT8_ARRAY),
            );
        }
        if !ended.units.is_empty() {
            statements.push(
                Statement::new(
                    "DELETE FROM leases USING unnest($1, $2, $3, $4) AS w(customer_id, quota, period_start, holder)
                     WHERE leases.customer_id = w.customer_id AND leases.quota = w.quota
                         AND leases.period_start = w.period_start AND leases.holder = w.holder",
                )
                .texts(ended.customers)
                .texts(ended.quotas)
                .with(ended.starts, Type::TIMESTAMPTZ_ARRAY)
                .texts(ended.holders),
            );
        }
        statements
    }

    /// Sorts the events into the calendar months of the time zone, but for customers whose periods have an anchor. The months are computed here: the server's own table of time
    /// zones may be another one.
    pub(super) fn recount(&mut self) -> Result<()> {
        self.write()?;
        self.counters.clear();
        self.quantities.clear();
        let span = self.session.run_one(Statement::new(
            "SELECT min(timestamp), max(timestamp), (SELECT min(hour) FROM hourly_rollups) FROM events",
        ))?;
        let Some(row) = span.first() else { return Ok(()) };
        if row.try_get::<_, Option<chrono::DateTime<chrono::Utc>>>(0)?.is_none() {
            return Ok(());
        }
        let (first, last) = (columns::timestamp(row, 0)?, columns::timestamp(row, 1)?);
        let mut period = Period::month(first, self.catalog.time_zone);
        // Of what was dropped the counters stay as they are, and those of the month that was cut.
        let has_dropped = columns::timestamp(row, 2)? < Period::hour(first, TimeZone::UTC).start;
        if has_dropped {
            period = Period::month(period.end, self.catalog.time_zone);
        }
        let from = has_dropped.then(|| columns::instant(period.start));
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        while period.start <= last && period.start < period.end {
            starts.push(columns::instant(period.start));
            ends.push(columns::instant(period.end));
            period = Period::month(period.end, self.catalog.time_zone);
        }
        let recount = Statement::new(
            "INSERT INTO period_counters (customer_id, period_start, meter, units, cost)
             SELECT customer_id, period_start, meter, sum(units), sum(cost)
             FROM unnest($1, $2) AS periods(period_start, period_end)
             JOIN events ON timestamp >= period_start AND timestamp < period_end
             WHERE customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor IS NOT NULL)
             GROUP BY customer_id, period_start, meter",
        )
        .with(starts.clone(), Type::TIMESTAMPTZ_ARRAY)
        .with(ends.clone(), Type::TIMESTAMPTZ_ARRAY);
        let recount_quantities = Statement::new(
            "INSERT INTO period_quantities (customer_id, period_start, meter, price, units, events)
             SELECT customer_id, period_start, meter, price, sum(units), count(*)
             FROM unnest($1, $2) AS periods(period_start, period_end)
             JOIN events ON timestamp >= period_start AND timestamp < period_end
             WHERE price IS NOT NULL
                 AND customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor IS NOT NULL)
             GROUP BY customer_id, period_start, meter, price",
        )
        .with(starts, Type::TIMESTAMPTZ_ARRAY)
        .with(ends, Type::TIMESTAMPTZ_ARRAY);
        let delete = |sql| Statement::new(sql).with(from, Type::TIMESTAMPTZ);
        let delete_counters = delete(
            "DELETE FROM period_counters
             WHERE ($1 IS NULL OR period_start >= $1)
                 AND customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor IS NOT NULL)",
        );
        let delete_quantities = delete(
            "DELETE FROM period_quantities
             WHERE ($1 IS NULL OR period_start >= $1)
                 AND customer_id NOT IN (SELECT id FROM customers WHERE billing_cycle_anchor IS NOT NULL)",
        );
        self.session.run(&[delete_counters, delete_quantities, recount, recount_quantities])?;
        Ok(())
    }
}

/// Puts these tiers in the place of those that are there.
pub fn tier_statements(tiers: &TierTable) -> Vec<Statement> {
    let limit = |units: Option<u64>| units.map(columns::bigint);
    let (mut ids, mut positions, mut requests, mut executions, mut definitions) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (position, tier) in (0i32..).zip(tiers.iter()) {
        ids.push(tier.id.clone());
        positions.push(position);
        requests.push(limit(tier.api_requests_per_month));
        executions.push(limit(tier.agent_executions_per_month));
        definitions.push(tier.definition.clone());
    }
    let insert = Statement::new(
        "INSERT INTO tiers (id, position, api_requests_per_month, agent_executions_per_month, definition)
         SELECT * FROM unnest($1, $2, $3, $4, $5)",
    )
    .texts(ids)
    .with(positions, Type::INT4_ARRAY)
    .with(requests, Type::INT8_ARRAY)
    .with(executions, Type::INT8_ARRAY)
    .texts(definitions);
    vec![Statement::new("DELETE FROM tiers"), insert]
}

/// Adds those of these versions that are not there, and puts all in this order.
pub fn version_statement(versions: &CatalogVersions) -> Statement {
    let (names, definitions) =
        versions.iter().map(|catalog| (catalog.version().to_owned(), versions::definition(catalog))).unzip();
    Statement::new(
        "INSERT INTO catalog_versions (version, definition, position)
         SELECT version, definition, position FROM unnest($1, $2) WITH ORDINALITY AS given(version, definition, position)
         ON CONFLICT (version) DO UPDATE SET position = excluded.position",
    )
    .texts(names)
    .texts(definitions)
}

#[derive(Default)]
struct LeaseColumns {
    customers: Vec<String>,
    quotas: Vec<String>,
    starts: Vec<chrono::DateTime<chrono::Utc>>,
    holders: Vec<String>,
    ends: Vec<chrono::DateTime<chrono::Utc>>,
    units: Vec<i64>,
}

/// Customers as they are now.
pub fn customer_statement<'c>(customers: impl Iterator<Item = &'c Customer>) -> Result<Option<Statement>> {
    upsert_customers(
        "INSERT INTO customers (id, tier_id, subscription_id, stripe_customer_id, suspended, created_at,
                                subscription_status, billing_cycle_anchor, catalog_version, spend_cap, prepaid, has_credit,
                                former_tiers)
         SELECT w.id, w.tier_id, w.subscription_id, w.stripe_customer_id, w.suspended, w.created_at, w.status, w.anchor,
             w.version, w.spend_cap::numeric, w.prepaid, w.has_credit, w.former_tiers
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS w(
             id, tier_id, subscription_id, stripe_customer_id, suspended, created_at, status, anchor, version, spend_cap,
             prepaid, has_credit, former_tiers)
         ON CONFLICT (id) DO UPDATE SET tier_id = excluded.tier_id, subscription_id = excluded.subscription_id,
             stripe_customer_id = excluded.stripe_customer_id, suspended = excluded.suspended,
             subscription_status = excluded.subscription_status, billing_cycle_anchor = excluded.billing_cycle_anchor,
             catalog_version = excluded.catalog_version, spend_cap = excluded.spend_cap, prepaid = excluded.prepaid,
             has_credit = excluded.has_credit, former_tiers = excluded.former_tiers",
        customers,
    )
}

fn upsert_customers<'c>(sql: &'static str, customers: impl Iterator<Item = &'c Customer>) -> Result<Option<Statement>> {
    let (mut ids, mut tiers, mut subscriptions, mut stripe_ids, mut suspended, mut created) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut statuses, mut anchors, mut versions, mut caps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut prepaid, mut has_credit, mut former) = (Vec::new(), Vec::new(), Vec::new());
    for customer in customers {
        ids.push(customer.id.as_str().to_owned());
        tiers.push(customer.tier_id.clone());
        subscriptions.push(customer.subscription_id.clone());
        stripe_ids.push(customer.stripe_customer_id.clone());
        suspended.push(customer.suspended);
        created.push(columns::instant(customer.created_at));
        statuses.push(customer.subscription_status.map(SubscriptionStatus::as_str));
        anchors.push(customer.billing_cycle_anchor.map(columns::instant));
        versions.push(customer.catalog_version.clone());
        caps.push(customer.spend_cap.map(|cap| cap.to_string()));
        prepaid.push(customer.prepaid);
        has_credit.push(customer.has_credit);
        former.push(customer.former_tiers.to_stored()?);
    }
    Ok((!ids.is_empty()).then(|| {
        Statement::new(sql)
            .texts(ids)
            .with(tiers, Type::TEXT_ARRAY)
            .with(subscriptions, Type::TEXT_ARRAY)
            .with(stripe_ids, Type::TEXT_ARRAY)
            .with(suspended, Type::BOOL_ARRAY)
            .with(created, Type::TIMESTAMPTZ_ARRAY)
            .with(statuses, Type::TEXT_ARRAY)
            .with(anchors, Type::TIMESTAMPTZ_ARRAY)
            .with(versions, Type::TEXT_ARRAY)
            .with(caps, Type::TEXT_ARRAY)
            .with(prepaid, Type::BOOL_ARRAY)
            .with(has_credit, Type::BOOL_ARRAY)
            .with(former, Type::TEXT_ARRAY)
    }))
}

/// How many columns the counters answer with, unlike any other statement that writes.
pub const COUNTER_COLUMNS: usize = 4;

pub fn counter_statement(added: &BTreeMap<CounterKey, Tally>) -> Option<Statement> {
    let (mut customers, mut starts, mut meters, mut units, mut costs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((customer_id, start, meter), tally) in added {
        customers.push(customer_id.as_str().to_owned());
        starts.push(columns::instant(*start));
        meters.push(meter.as_str().to_owned());
        units.push(columns::bigint(tally.units));
        costs.push(tally.cost.to_string());
    }
    (!units.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO period_counters (customer_id, period_start, meter, units, cost)
             SELECT customer_id, period_start, meter, units, cost::numeric
             FROM unnest($1, $2, $3, $4, $5) AS added(customer_id, period_start, meter, units, cost)
             ON CONFLICT (customer_id, period_start, meter) DO UPDATE
             SET units = period_counters.units + excluded.units, cost = period_counters.cost + excluded.cost
             RETURNING customer_id, period_start, meter, units",
        )
        .texts(customers)
        .with(starts, Type::TIMESTAMPTZ_ARRAY)
        .texts(meters)
        .with(units, Type::INT8_ARRAY)
        .texts(costs)
    })
}

pub fn rollup_statement(added: &BTreeMap<RollupKey, Tally>) -> Option<Statement> {
    let (mut customers, mut hours, mut meters, mut endpoints) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut events, mut units, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for ((customer_id, hour, meter, endpoint), tally) in added {
        customers.push(customer_id.as_str().to_owned());
        hours.push(columns::instant(*hour));
        meters.push(meter.as_str().to_owned());
        endpoints.push(endpoint.clone());
        events.push(columns::bigint(tally.events));
        units.push(columns::bigint(tally.units));
        costs.push(tally.cost.to_string());
    }
    (!units.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO hourly_rollups (customer_id, hour, meter, endpoint, events, units, cost)
             SELECT customer_id, hour, meter, endpoint, events, units, cost::numeric
             FROM unnest($1, $2, $3, $4, $5, $6, $7) AS added(customer_id, hour, meter, endpoint, events, units, cost)
             ON CONFLICT (customer_id, hour, meter, endpoint) DO UPDATE
             SET events = hourly_rollups.events + excluded.events, units = hourly_rollups.units + excluded.units,
                 cost = hourly_rollups.cost + excluded.cost",
        )
        .texts(customers)
        .with(hours, Type::TIMESTAMPTZ_ARRAY)
        .texts(meters)
        .texts(endpoints)
        .with(events, Type::INT8_ARRAY)
        .with(units, Type::INT8_ARRAY)
        .texts(costs)
    })
}

/// The events, and the ids among them. One that names no subscription has its customer's.
pub fn event_statements(recorded: &[CountedEvent]) -> Vec<Statement> {
    let mut statements = Vec::new();
    if recorded.is_empty() {
        return statements;
    }
    let text = |value: &dyn Fn(&CountedEvent) -> Option<&str>| -> Vec<Option<String>> {
        recorded.iter().map(|recorded| value(recorded).map(str::to_owned)).collect()
    };
    let instants = |value: &dyn Fn(&CountedEvent) -> crate::domain::Timestamp| -> Vec<_> {
        recorded.iter().map(|recorded| columns::instant(value(recorded))).collect()
    };
    let units: Vec<i64> = recorded.iter().map(|recorded| columns::bigint(recorded.event.units.get())).collect();
    statements.push(
        Statement::new(
            "INSERT INTO events (customer_id, timestamp, id, meter, units, cost, recorded_at, subscription_id, endpoint,
                                 agent_type, metadata, price)
             SELECT customer_id, timestamp, new.id, meter, units, cost::numeric, recorded_at,
                 coalesce(new.subscription_id, customers.subscription_id), endpoint, agent_type, metadata, price
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS new(customer_id, timestamp, id, meter,
                 units, cost, recorded_at, subscription_id, endpoint, agent_type, metadata, price)
             LEFT JOIN customers ON customers.id = customer_id",
        )
        .with(text(&|recorded| Some(recorded.event.customer_id.as_str())), Type::TEXT_ARRAY)
        .with(instants(&|recorded| recorded.event.timestamp), Type::TIMESTAMPTZ_ARRAY)
        .with(text(&|recorded| Some(recorded.event.id.as_ref()?.as_str())), Type::TEXT_ARRAY)
        .with(text(&|recorded| Some(recorded.event.meter.as_str())), Type::TEXT_ARRAY)
        .with(units, Type::INT8_ARRAY)
        .texts(recorded.iter().map(|recorded| recorded.cost.to_string()).collect())
        .with(instants(&|recorded| recorded.at), Type::TIMESTAMPTZ_ARRAY)
        .with(text(&|recorded| recorded.subscription_id.as_deref()), Type::TEXT_ARRAY)
        .with(text(&|recorded| recorded.event.endpoint.as_deref()), Type::TEXT_ARRAY)
        .with(text(&|recorded| recorded.event.agent_type.as_deref()), Type::TEXT_ARRAY)
        .with(text(&|recorded| recorded.event.metadata.as_deref()), Type::TEXT_ARRAY)
        .with(text(&|recorded| recorded.event.cost_basis.price()), Type::TEXT_ARRAY),
    );
    let (mut customers, mut keys, mut instants, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for CountedEvent { event, at, .. } in recorded {
        let Some(id) = &event.id else { continue };
        customers.push(event.customer_id.as_str().to_owned());
        keys.push(event_ids::key(id).to_vec());
        instants.push(columns::instant(*at));
        fingerprints.push(event_ids::fingerprint(event).to_vec());
    }
    if !keys.is_empty() {
        statements.push(
            Statement::new(
                "INSERT INTO event_ids (customer_id, key, recorded_at, fingerprint) SELECT * FROM unnest($1, $2, $3, $4)",
            )
            .texts(customers)
            .with(keys, Type::BYTEA_ARRAY)
            .with(instants, Type::TIMESTAMPTZ_ARRAY)
            .with(fingerprints, Type::BYTEA_ARRAY),
        );
    }
    statements
}

fn recall_statements(changed: &BTreeMap<(CustomerId, Quota), bool>) -> Vec<Statement> {
    let statement = |recalled: bool, sql: &'static str| {
        let (customers, quotas): (Vec<_>, Vec<_>) = changed
            .iter()
            .filter(|(_, is_recalled)| **is_recalled == recalled)
            .map(|((customer_id, quota), _)| (customer_id.as_str().to_owned(), quota.name().into_owned()))
            .unzip();
        (!customers.is_empty()).then(|| Statement::new(sql).texts(customers).texts(quotas))
    };
    let raise = statement(
        true,
        "INSERT INTO lease_recalls (customer_id, quota) SELECT * FROM unnest($1, $2) ON CONFLICT DO NOTHING",
    );
    let lower = statement(
        false,
        "DELETE FROM lease_recalls USING unnest($1, $2) AS w(customer_id, quota)
         WHERE lease_recalls.customer_id = w.customer_id AND lease_recalls.quota = w.quota",
    );
    raise.into_iter().chain(lower).collect()
}

pub fn position_statement(changed: &BTreeMap<HolderId, u64>) -> Option<Statement> {
    let (holders, positions): (Vec<_>, Vec<_>) =
        changed.iter().map(|(holder, position)| (holder.as_str().to_owned(), columns::bigint(*position))).unzip();
    (!holders.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO journals (holder, position) SELECT * FROM unnest($1, $2)
             ON CONFLICT (holder) DO UPDATE SET position = excluded.position
             WHERE excluded.position > journals.position",
        )
        .texts(holders)
        .with(positions, Type::INT8_ARRAY)
    })
}

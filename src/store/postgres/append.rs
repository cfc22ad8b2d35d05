//! Groups that only count: one round trip.
//!
//! Where nothing has to be decided, because an event was admitted before or has happened, has no id that could have been
//! seen, and costs the same whatever else was used, the group is a few statements that add to what is there. They are sent together with the beginning and the end
//! of their transaction, and lock no customer: to move units from a lease to a counter changes nothing that others decide
//! upon. What must be as we believe is checked by the statements themselves; where it is not, they fail, and the group
//! goes the long way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns::{self, customer_columns};
use super::database::Statement;
use super::error::Result;
use super::transaction::{CountedEvent, LeaseKey};
use super::wanted::KnownCustomers;
use super::write::{COUNTER_COLUMNS, counter_statement, event_statements, position_statement, rollup_statement};
use super::{alerts, load, outbox};
use crate::domain::alert::Watches;
use crate::domain::{AlertRule, Customer, CustomerId, HolderId, Period, Standing, Timestamp, UsageEvent};
use crate::store::group::{CounterKey, Deltas, Grown, RollupKey, Tally, rollup_key};
use crate::store::{
    Applied, Catalog, Change, Charge, Charged, LeasePart, Outcome, Record, RecordStatus, Recorded, Verdict,
};

/// Larger costs go the long way, which looks whether their sum still fits.
const LARGEST_COST: f64 = 1e6;

/// Whose group it is, and what the writer believes.
pub struct Turn<'w> {
    pub writer: &'w HolderId,
    /// How many groups were committed before.
    pub groups: u64,
    pub revision: u64,
}

/// What a group adds.
#[derive(Default)]
pub struct Additions {
    counters: BTreeMap<CounterKey, Tally>,
    rollups: BTreeMap<RollupKey, Tally>,
    events: Vec<CountedEvent>,
    /// For those customers of whom the other service knows, which is found out by the statement.
    deltas: Deltas,
    settled: BTreeMap<LeaseKey, u64>,
    /// The first and the last place in each journal.
    positions: BTreeMap<HolderId, (u64, u64)>,
    grown: Grown,
    watches: Watches,
    /// What these spend on several meters is looked at together.
    capped: BTreeSet<String>,
    /// In the order of the changes.
    places: Vec<Place>,
}

/// Where a change was counted.
struct Place {
    counter: CounterKey,
    period: Period,
    /// What was added to the counter with this change and those before it.
    added: u64,
    kind: Kind,
}

enum Kind {
    Charge,
    Record,
}

impl Additions {
    /// What the changes add; `None` where one of them has to be decided upon, or is about a customer who is not known: he
    /// may not be there yet, or have billing periods of his own.
    pub fn of(changes: &[Change], catalog: &Catalog, known: &KnownCustomers) -> Option<Self> {
        let mut additions = Self::default();
        for change in changes {
            match change {
                Change::Charge(Charge { event, admission: None, paid, now }) if paid.is_empty() => {
                    additions.add(event, Kind::Charge, *now, catalog, known)?;
                }
                Change::Record(Record { holder, sequence, event, paid, now }) => {
                    additions.add(event, Kind::Record, *now, catalog, known)?;
                    additions.pass(holder, *sequence)?;
                    paid.iter().for_each(|part| additions.settle(part));
                }
                _ => return None,
            }
        }
        additions.watch(catalog, known);
        (!changes.is_empty()).then_some(additions)
    }

    fn watch(&mut self, catalog: &Catalog, known: &KnownCustomers) {
        for ((customer_id, _, meter), (period, now)) in std::mem::take(&mut self.grown) {
            let Some(customer) = known.get(&customer_id) else { continue };
            self.watches.add_bounds(&catalog.tiers, customer, meter, period, now);
            if customer.spend_cap.is_some() {
                self.capped.insert(customer_id.as_str().to_owned());
            }
        }
    }

    fn add(
        &mut self,
        event: &UsageEvent,
        kind: Kind,
        now: Timestamp,
        catalog: &Catalog,
        known: &KnownCustomers,
    ) -> Option<()> {
        let is_known = catalog.tiers.require_meter(event.meter).is_ok();
        // What is used in windows is counted under the customer's lock.
        let is_decided =
            event.id.is_some() || event.cost_basis.price().is_some() || catalog.tiers.has_windows(event.meter);
        if !is_known || is_decided || event.cost.to_number() > LARGEST_COST {
            return None;
        }
        let customer = known.get(&event.customer_id)?;
        let period = customer.billing_period(event.timestamp, catalog.time_zone);
        let counter = (event.customer_id.clone(), period.start, event.meter);
        self.grown.insert(counter.clone(), (period, now));
        let tally = self.counters.entry(counter.clone()).or_default();
        *tally = tally.plus(event, event.cost).ok()?;
        let added = tally.units;
        let rollup = self.rollups.entry(rollup_key(event)).or_default();
        *rollup = rollup.plus(event, event.cost).ok()?;
        self.places.push(Place { counter, period, added, kind });
        if let Some(rule) = catalog.export.as_ref().filter(|rule| rule.covers(event.meter)) {
            self.deltas.add(event, None, rule, now).ok()?;
        }
        let subscription_id = event.subscription_id.clone();
        self.events.push(CountedEvent { event: event.clone(), cost: event.cost, subscription_id, at: now });
        Some(())
    }

    /// A journal's places grow.
    fn pass(&mut self, holder: &HolderId, sequence: u64) -> Option<()> {
        let (_, last) = self.positions.entry(holder.clone()).or_insert((sequence, sequence - 1));
        if *last >= sequence {
            return None;
        }
        *last = sequence;
        Some(())
    }

    fn settle(&mut self, part: &LeasePart) {
        let LeasePart { holder, customer_id, quota, period_start, units } = part;
        *self.settled.entry((customer_id.clone(), *quota, *period_start, holder.clone())).or_default() += units;
    }

    /// They are in the order in which everybody writes these tables.
    pub fn statements(&self, turn: &Turn<'_>, alerts: Option<&AlertRule>) -> Result<Vec<Statement>> {
        let reached = alerts::reached_statement(&self.watches, alerts)?;
        let capped = (!self.capped.is_empty()).then(|| load::lock_statement(self.capped.iter().cloned().collect()));
        let positions = self.positions.iter().map(|(holder, (_, last))| (holder.clone(), *last)).collect();
        let statements = [
            Statement::new("LOCK TABLE settings IN ROW SHARE MODE"),
            self.check(turn.revision),
            // A group that lingers on a dead connection finds that its turn is over.
            Statement::new(
                "WITH counted AS (
                     UPDATE writers SET groups = groups + 1, seen_at = now() WHERE holder = $1 AND groups = $2 RETURNING 1
                 )
                 SELECT 1 / count(*) FROM counted",
            )
            .text(turn.writer.as_str())
            .with(columns::bigint(turn.groups), Type::INT8),
        ]
        .into_iter()
        .chain(capped)
        .chain(counter_statement(&self.counters))
        .chain(rollup_statement(&self.rollups))
        .chain(event_statements(&self.events))
        .chain(outbox::delta_statement(&self.deltas))
        .chain(self.settlement_statements())
        .chain(position_statement(&positions))
        .chain(reached)
        .chain([self.customers_charged()]);
        Ok(statements.collect())
    }

    /// Fails unless the catalog is the one that we know, and the journals are recorded as far as where this begins.
    fn check(&self, revision: u64) -> Statement {
        let (holders, firsts): (Vec<_>, Vec<_>) = self
            .positions
            .iter()
            .map(|(holder, (first, _))| (holder.as_str().to_owned(), columns::bigint(*first)))
            .unzip();
        Statement::new(
            "SELECT 1 / (CASE WHEN
                 (SELECT value::bigint FROM settings WHERE name = 'revision') = $1
                 AND NOT EXISTS (
                     SELECT 1 FROM journals JOIN unnest($2, $3) AS w(holder, first) USING (holder)
                     WHERE position >= first
                 )
             THEN 1 ELSE 0 END)",
        )
        .with(columns::bigint(revision), Type::INT8)
        .texts(holders)
        .with(firsts, Type::INT8_ARRAY)
    }

    /// A lease that holds no more than is taken from it ends.
    fn settlement_statements(&self) -> Vec<Statement> {
        if self.settled.is_empty() {
            return Vec::new();
        }
        let (mut customers, mut quotas, mut starts, mut holders, mut units) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((customer_id, quota, start, holder), settled) in &self.settled {
            customers.push(customer_id.as_str().to_owned());
            quotas.push(quota.name().into_owned());
            starts.push(columns::instant(*start));
            holders.push(holder.as_str().to_owned());
            units.push(columns::bigint(*settled));
        }
        let statement = |sql| {
            Statement::new(sql)
                .texts(customers.clone())
                .texts(quotas.clone())
                .with(starts.clone(), Type::TIMESTAMPTZ_ARRAY)
                .texts(holders.clone())
                .with(units.clone(), Type::INT8_ARRAY)
        };
        vec![
            statement(
                "DELETE FROM leases
                 USING unnest($1, $2, $3, $4, $5) AS w(customer_id, quota, period_start, holder, settled)
                 WHERE leases.customer_id = w.customer_id AND leases.quota = w.quota
                     AND leases.period_start = w.period_start AND leases.holder = w.holder
                     AND leases.units <= w.settled",
            ),
            statement(
                "UPDATE leases SET units = leases.units - w.settled
                 FROM unnest($1, $2, $3, $4, $5) AS w(customer_id, quota, period_start, holder, settled)
                 WHERE leases.customer_id = w.customer_id AND leases.quota = w.quota
                     AND leases.period_start = w.period_start AND leases.holder = w.holder
                     AND leases.units > w.settled",
            ),
        ]
    }

    /// What becomes of each change, by the answers to the statements.
    pub fn outcomes(&self, answers: &[Vec<Row>], catalog: &Catalog) -> Result<Vec<Outcome>> {
        // Of all statements these answer with rows that are looked at here: the last one, and the one of the counters.
        let counters = answers.iter().find(|rows| rows.first().is_some_and(|row| row.len() == COUNTER_COLUMNS));
        let (counters, customers) = (counters.into_iter().flatten(), answers.last().into_iter().flatten());
        let customers: HashMap<CustomerId, Customer> = customers
            .map(|row| columns::customer(row, 0).map(|customer| (customer.id.clone(), customer)))
            .collect::<Result<_>>()?;
        let counted: HashMap<CounterKey, u64> = counters
            .map(|row| {
                let customer_id = CustomerId::from_stored(row.try_get(0)?);
                Ok(((customer_id, columns::timestamp(row, 1)?, columns::meter(row, 2)?), columns::count(row, 3)?))
            })
            .collect::<Result<_>>()?;
        let outcome = |place: &Place| {
            let total = self.counters.get(&place.counter).map_or(0, |tally| tally.units);
            // Where the answer was lost, at least what was added is used.
            let used = counted.get(&place.counter).map_or(place.added, |used| used + place.added - total);
            Ok(match place.kind {
                Kind::Record => Applied::Recorded(Recorded { status: RecordStatus::Counted, used }),
                Kind::Charge => {
                    let id = &place.counter.0;
                    let customer = customers.get(id).cloned();
                    let customer = customer.unwrap_or_else(|| Customer::new(id.clone(), place.period.start));
                    let limit = catalog.tiers.limit(Some(&customer), place.counter.2);
                    let standing = Standing { limit, used };
                    Applied::Charged(Charged { verdict: Verdict::Recorded, customer, standing, period: place.period })
                }
            })
        };
        Ok(self.places.iter().map(outcome).collect())
    }

    /// The answer to a charge tells the customer.
    fn customers_charged(&self) -> Statement {
        let charged = self.places.iter().filter(|place| matches!(place.kind, Kind::Charge));
        let ids: BTreeSet<&str> = charged.map(|place| place.counter.0.as_str()).collect();
        Statement::new(concat!("SELECT ", customer_columns!(), " FROM customers c WHERE c.id = ANY($1)"))
            .texts(ids.into_iter().map(str::to_owned).collect())
    }
}

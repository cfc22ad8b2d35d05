//! Reading what a group needs, in one round trip, when its customers are locked.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns::{self, customer_columns, key_columns};
use super::database::Statement;
use super::error::Result;
use super::transaction::{HeldLease, Transaction};
use super::wanted::Wanted;
use crate::domain::{CustomerId, HolderId};
use crate::store::Lease;
use crate::store::group::Tally;

impl Transaction<'_> {
    /// Locks the customers and reads what is wanted.
    pub(super) fn load(&mut self, wanted: &Wanted) -> Result<()> {
        let statements = statements(wanted);
        let answers = self.session.run(&statements)?;
        self.take(wanted, answers)
    }

    /// Takes the answers to [`statements`]. A customer who was not there to be locked gets a row first; then what was
    /// read, perhaps while somebody else had him, is read again.
    pub(super) fn take(&mut self, wanted: &Wanted, mut answers: Vec<Vec<Row>>) -> Result<()> {
        loop {
            let found = answers.first().map_or(0, Vec::len);
            if found == wanted.customers.len() {
                break;
            }
            let mut statements = statements(wanted);
            statements.insert(
                0,
                Statement::new(
                    "INSERT INTO customer_locks (customer_id) SELECT * FROM unnest($1) ON CONFLICT DO NOTHING",
                )
                .texts(names(&wanted.customers)),
            );
            answers = self.session.run(&statements)?;
            answers.remove(0);
        }
        let mut answers = answers.into_iter().skip(1);
        let mut next = || answers.next().unwrap_or_default();

        for id in &wanted.customers {
            self.customers.entry(id.clone()).or_default();
        }
        for row in next() {
            let customer = columns::customer(&row, 0)?;
            if !self.unwritten.customers.contains(&customer.id) {
                self.customers.insert(customer.id.clone(), Some(customer));
            }
        }
        self.keys.extend(wanted.keys.iter().map(|id| (id.clone(), None)));
        for row in next() {
            let key = columns::key(&row)?;
            self.keys.insert(key.id.clone(), Some(key));
        }
        self.counters.extend(wanted.counters.iter().map(|key| (key.clone(), Tally::default())));
        self.leases.extend(wanted.accounts.iter().map(|key| (key.clone(), Vec::new())));
        self.recalls.extend(wanted.accounts.iter().map(|key| (key.clone(), false)));
        for row in next() {
            self.take_balance(&row)?;
        }
        for row in next() {
            self.recalls.insert((CustomerId::from_stored(row.try_get(0)?), columns::meter(&row, 1)?), true);
        }
        self.ids.extend(wanted.ids.iter().map(|key| (key.clone(), None)));
        for row in next() {
            let key: &[u8] = row.try_get(1)?;
            let fingerprint: &[u8] = row.try_get(2)?;
            let key = (CustomerId::from_stored(row.try_get(0)?), key.try_into().unwrap_or_default());
            self.ids.insert(key, Some(fingerprint.try_into().unwrap_or_default()));
        }
        self.positions.extend(wanted.journals.iter().map(|holder| (holder.clone(), 0)));
        for row in next() {
            self.positions.insert(HolderId::from_stored(row.try_get(0)?), columns::count(&row, 1)?);
        }
        Ok(())
    }

    /// A counter, or a lease.
    fn take_balance(&mut self, row: &Row) -> Result<()> {
        let (customer_id, meter) = (CustomerId::from_stored(row.try_get(0)?), columns::meter(row, 1)?);
        let (period_start, units) = (columns::timestamp(row, 2)?, columns::count(row, 3)?);
        let holder: Option<String> = row.try_get(5)?;
        match holder {
            None => {
                let tally = Tally { events: 0, units, cost: columns::money(row, 4)? };
                self.counters.insert((customer_id, period_start, meter), tally);
            }
            Some(holder) => {
                let lease = Lease { holder: HolderId::from_stored(holder), period_start, units };
                let held = HeldLease { lease, period_end: columns::timestamp(row, 6)? };
                self.leases.entry((customer_id, meter)).or_default().push(held);
            }
        }
        Ok(())
    }
}

/// What is sent for it. The lock comes first, and each of the others sees what was committed before the lock was had.
pub fn statements(wanted: &Wanted) -> Vec<Statement> {
    let counters = wanted.counters.iter();
    let (counter_customers, period_starts, counter_meters) = counters.fold(
        (Vec::new(), Vec::new(), Vec::new()),
        |(mut customers, mut starts, mut meters), (customer_id, start, meter)| {
            customers.push(customer_id.as_str().to_owned());
            starts.push(columns::instant(*start));
            meters.push(meter.as_str().to_owned());
            (customers, starts, meters)
        },
    );
    let (account_customers, account_meters): (Vec<_>, Vec<_>) = wanted
        .accounts
        .iter()
        .map(|(customer_id, meter)| (customer_id.as_str().to_owned(), meter.as_str().to_owned()))
        .unzip();
    let (id_customers, id_keys): (Vec<_>, Vec<_>) =
        wanted.ids.iter().map(|(customer_id, key)| (customer_id.as_str().to_owned(), key.to_vec())).unzip();
    let customers = names(&wanted.customers);
    vec![
        Statement::new("SELECT 1 FROM customer_locks WHERE customer_id = ANY($1) ORDER BY customer_id FOR UPDATE")
            .texts(customers.clone()),
        Statement::new(concat!("SELECT ", customer_columns!(), " FROM customers c WHERE c.id = ANY($1)"))
            .texts(customers),
        Statement::new(concat!("SELECT ", key_columns!(), " FROM api_keys k WHERE k.id = ANY($1)"))
            .texts(wanted.keys.iter().cloned().collect()),
        // One statement, so that both are of one moment: what others record meanwhile moves from one to the other.
        Statement::new(
            "SELECT customer_id, meter, period_start, units, trim_scale(cost)::text, NULL::text, NULL::timestamptz
             FROM period_counters
             JOIN unnest($1, $2, $3) AS w(customer_id, period_start, meter) USING (customer_id, period_start, meter)
             UNION ALL
             SELECT customer_id, meter, period_start, units, NULL, holder, period_end
             FROM leases JOIN unnest($4, $5) AS w(customer_id, meter) USING (customer_id, meter)",
        )
        .texts(counter_customers)
        .with(period_starts, Type::TIMESTAMPTZ_ARRAY)
        .texts(counter_meters)
        .texts(account_customers.clone())
        .texts(account_meters.clone()),
        Statement::new(
            "SELECT customer_id, meter FROM lease_recalls
             JOIN unnest($1, $2) AS w(customer_id, meter) USING (customer_id, meter)",
        )
        .texts(account_customers)
        .texts(account_meters),
        Statement::new(
            "SELECT customer_id, key, fingerprint FROM event_ids
             JOIN unnest($1, $2) AS w(customer_id, key) USING (customer_id, key)",
        )
        .texts(id_customers)
        .with(id_keys, Type::BYTEA_ARRAY),
        Statement::new("SELECT holder, position FROM journals WHERE holder = ANY($1)")
            .texts(wanted.journals.iter().map(|holder| holder.as_str().to_owned()).collect()),
    ]
}

fn names(customers: &BTreeSet<CustomerId>) -> Vec<String> {
    customers.iter().map(|id| id.as_str().to_owned()).collect()
}

//! Reading what a group needs, in one round trip, when its customers are locked.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns::{self, customer_columns, key_columns};
use super::database::Statement;
use super::error::Result;
use super::event_ids;
use super::quantities;
use super::transaction::Transaction;
use super::wanted::Wanted;
use crate::domain::invoice::Quantities;
use crate::domain::{CustomerId, HolderId, Quota};
use crate::store::Lease;
use crate::store::group::{Tally, window_usage_from_stored};

impl Transaction<'_> {
    /// Locks the customers and reads what is wanted.
    pub(super) fn load(&mut self, wanted: &Wanted) -> Result<()> {
        let answers = self.session.run(&statements(wanted))?;
        self.take(wanted, answers)
    }

    /// Takes the answers to [`statements`]. A customer who was not there to be locked gets a row first; then what was
    /// read, perhaps while somebody else had him, is read again.
    pub(super) fn take(&mut self, wanted: &Wanted, mut answers: Vec<Vec<Row>>) -> Result<()> {
        while answers.first().map_or(0, Vec::len) < wanted.customers.len() {
            let add = Statement::new(
                "INSERT INTO customer_locks (customer_id) SELECT * FROM unnest($1) ON CONFLICT DO NOTHING",
            );
            let add = add.texts(names(&wanted.customers));
            answers = self.session.run(&std::iter::once(add).chain(statements(wanted)).collect::<Vec<_>>())?;
            answers.remove(0);
        }
        self.expect(wanted);
        for (part, rows) in Part::of(wanted).into_iter().zip(answers) {
            for row in rows {
                self.take_row(part, &row)?;
            }
        }
        Ok(())
    }

    /// What is not there is known, too.
    fn expect(&mut self, wanted: &Wanted) {
        for id in &wanted.customers {
            self.customers.entry(id.clone()).or_default();
        }
        self.keys.extend(wanted.keys.iter().map(|id| (id.clone(), None)));
        self.counters.extend(wanted.counters.iter().map(|key| (key.clone(), Tally::default())));
        self.quantities.extend(wanted.quantities.iter().map(|key| (key.clone(), Quantities::new())));
        self.leases.extend(wanted.accounts.iter().map(|key| (key.clone(), Vec::new())));
        for id in &wanted.windows {
            self.windows.entry(id.clone()).or_default();
        }
        self.recalls.extend(wanted.accounts.iter().map(|key| (key.clone(), false)));
        self.ids.extend(wanted.ids.iter().map(|key| (key.clone(), None)));
        self.positions.extend(wanted.journals.iter().map(|holder| (holder.clone(), 0)));
    }

    fn take_row(&mut self, part: Part, row: &Row) -> Result<()> {
        match part {
            Part::Locks => {}
            Part::Customers => {
                let customer = columns::customer(row, 0)?;
                if !self.unwritten.customers.contains(&customer.id) {
                    self.customers.insert(customer.id.clone(), Some(customer));
                }
            }
            Part::Keys => {
                let key = columns::key(row)?;
                self.keys.insert(key.id.clone(), Some(key));
            }
            Part::Balances => self.take_balance(row)?,
            Part::Quantities => {
                let (key, price, quantity) = quantities::found(row)?;
                self.quantities.entry(key).or_default().insert(price, quantity);
            }
            Part::Recalls => {
                self.recalls.insert((CustomerId::from_stored(row.try_get(0)?), columns::quota(row, 1)?), true);
            }
            Part::Windows => {
                let (customer_id, quota) = (CustomerId::from_stored(row.try_get(0)?), columns::quota(row, 1)?);
                let usage = window_usage_from_stored(columns::timestamp(row, 2)?, row.try_get(3)?)?;
                self.windows.entry(customer_id).or_default().insert(quota, usage);
            }
            Part::Ids => {
                let (key, fingerprint): (&[u8], &[u8]) = (row.try_get(1)?, row.try_get(2)?);
                let key = (CustomerId::from_stored(row.try_get(0)?), key.try_into().unwrap_or_default());
                self.ids.insert(key, Some(fingerprint.try_into().unwrap_or_default()));
            }
            Part::Journals => {
                self.positions.insert(HolderId::from_stored(row.try_get(0)?), columns::count(row, 1)?);
            }
        }
        Ok(())
    }

    /// A counter, or a lease.
    fn take_balance(&mut self, row: &Row) -> Result<()> {
        let (customer_id, quota) = (CustomerId::from_stored(row.try_get(0)?), columns::quota(row, 1)?);
        let (period_start, units) = (columns::timestamp(row, 2)?, columns::count(row, 3)?);
        let holder: Option<String> = row.try_get(5)?;
        match holder {
            None => {
                let tally = Tally { events: 0, units, cost: columns::money(row, 4)? };
                let counter = quota.meter().map(|meter| (customer_id, period_start, meter));
                self.counters.extend(counter.map(|counter| (counter, tally)));
            }
            Some(holder) => {
                let (holder, period_end) = (HolderId::from_stored(holder), columns::timestamp(row, 6)?);
                let lease = Lease { holder, period_start, period_end, units };
                self.leases.entry((customer_id, quota)).or_default().push(lease);
            }
        }
        Ok(())
    }
}

/// What is read by one statement.
#[derive(Debug, Clone, Copy)]
enum Part {
    Locks,
    Customers,
    Keys,
    Balances,
    Quantities,
    Recalls,
    Windows,
    Ids,
    Journals,
}

impl Part {
    /// Those that something is wanted of. The lock comes first, and each of the others sees what was committed before the
    /// lock was had.
    fn of(wanted: &Wanted) -> Vec<Part> {
        let is_wanted = |part: &Part| match part {
            Part::Locks | Part::Customers => true,
            Part::Keys => !wanted.keys.is_empty(),
            Part::Balances => !wanted.counters.is_empty() || !wanted.accounts.is_empty(),
            Part::Quantities => !wanted.quantities.is_empty(),
            Part::Recalls => !wanted.accounts.is_empty(),
            Part::Windows => !wanted.windows.is_empty(),
            Part::Ids => !wanted.ids.is_empty(),
            Part::Journals => !wanted.journals.is_empty(),
        };
        use Part::*;
        let all = [Locks, Customers, Keys, Balances, Quantities, Recalls, Windows, Ids, Journals];
        all.into_iter().filter(is_wanted).collect()
    }

    fn statement(self, wanted: &Wanted) -> Statement {
        let accounts = || -> (Vec<String>, Vec<String>) {
            let pair = |(id, quota): &(CustomerId, Quota)| (id.as_str().to_owned(), quota.name().into_owned());
            wanted.accounts.iter().map(pair).unzip()
        };
        match self {
            Part::Locks => lock_statement(names(&wanted.customers)),
            Part::Customers => {
                Statement::new(concat!("SELECT ", customer_columns!(), " FROM customers c WHERE c.id = ANY($1)"))
                    .texts(names(&wanted.customers))
            }
            Part::Keys => Statement::new(concat!("SELECT ", key_columns!(), " FROM api_keys k WHERE k.id = ANY($1)"))
                .texts(wanted.keys.iter().cloned().collect()),
            Part::Balances => {
                let (mut customers, mut starts, mut meters) = (Vec::new(), Vec::new(), Vec::new());
                for (customer_id, start, meter) in &wanted.counters {
                    customers.push(customer_id.as_str().to_owned());
                    starts.push(columns::instant(*start));
                    meters.push(meter.as_str().to_owned());
                }
                let (account_customers, account_quotas) = accounts();
                // One statement, so that both are of one moment: what others record meanwhile moves from one to the other.
                Statement::new(
                    "SELECT customer_id, meter, period_start, units, trim_scale(cost)::text, NULL::text,
                         NULL::timestamptz
                     FROM period_counters
                     JOIN unnest($1, $2, $3) AS w(customer_id, period_start, meter)
                         USING (customer_id, period_start, meter)
                     UNION ALL
                     SELECT customer_id, quota, period_start, units, NULL, holder, period_end
                     FROM leases JOIN unnest($4, $5) AS w(customer_id, quota) USING (customer_id, quota)",
                )
                .texts(customers)
                .with(starts, Type::TIMESTAMPTZ_ARRAY)
                .texts(meters)
                .texts(account_customers)
                .texts(account_quotas)
            }
            Part::Quantities => quantities::find_statement(&wanted.quantities),
            Part::Recalls => {
                let (customers, quotas) = accounts();
                Statement::new(
                    "SELECT customer_id, quota FROM lease_recalls
                     JOIN unnest($1, $2) AS w(customer_id, quota) USING (customer_id, quota)",
                )
                .texts(customers)
                .texts(quotas)
            }
            Part::Windows => {
                Statement::new("SELECT customer_id, quota, since, usage FROM window_usage WHERE customer_id = ANY($1)")
                    .texts(names(&wanted.windows))
            }
            Part::Ids => {
                let pair = |(id, key): &(CustomerId, event_ids::Key)| (id.as_str().to_owned(), key.to_vec());
                let (customers, keys): (Vec<_>, Vec<_>) = wanted.ids.iter().map(pair).unzip();
                Statement::new(
                    "SELECT customer_id, key, fingerprint FROM event_ids
                     JOIN unnest($1, $2) AS w(customer_id, key) USING (customer_id, key)",
                )
                .texts(customers)
                .with(keys, Type::BYTEA_ARRAY)
            }
            Part::Journals => Statement::new("SELECT holder, position FROM journals WHERE holder = ANY($1)")
                .texts(wanted.journals.iter().map(|holder| holder.as_str().to_owned()).collect()),
        }
    }
}

/// What is sent for what is wanted.
pub fn statements(wanted: &Wanted) -> Vec<Statement> {
    Part::of(wanted).into_iter().map(|part| part.statement(wanted)).collect()
}

/// In this order: then nobody waits in a circle.
pub fn lock_statement(customers: Vec<String>) -> Statement {
    Statement::new("SELECT 1 FROM customer_locks WHERE customer_id = ANY($1) ORDER BY customer_id FOR UPDATE")
        .texts(customers)
}

fn names(customers: &BTreeSet<CustomerId>) -> Vec<String> {
    customers.iter().map(|id| id.as_str().to_owned()).collect()
}

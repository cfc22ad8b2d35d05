//! What the writing connection knows without reading it again.
//!
//! SQLite counts the commits of all other connections in `PRAGMA data_version`. While that stands still only this
//! connection has written, so what it read or wrote is still true; when it moves, everything that can change is
//! forgotten. It is asked inside the write transaction, where nobody else can move it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::Connection;

use super::alerts::Told;
use super::error::Result;
use super::event_ids::EventIds;
use super::quantities::KnownQuantities;
use super::tallies::Tallies;
use super::windows::Windows;
use super::{credits, read};
use crate::domain::{ApiKey, CatalogVersions, Customer, CustomerId};
use crate::store::Catalog;
use crate::store::group::Credit;

/// The most that is remembered, in entries of some hundred bytes; past it everything is forgotten and learnt anew.
const MAX_ENTRIES: usize = 200_000;

pub struct Memory {
    data_version: i64,
    pub revision: u64,
    pub catalog: Catalog,
    customers: HashMap<CustomerId, Customer>,
    keys: HashMap<String, ApiKey>,
    credits: HashMap<CustomerId, Credit>,
    pub tallies: Tallies,
    pub windows: Windows,
    pub quantities: KnownQuantities,
    pub told: Told,
    pub event_ids: EventIds,
}

impl Memory {
    fn new(
        connection: &Connection,
        data_version: i64,
        event_ids: EventIds,
        versions: Option<&Arc<CatalogVersions>>,
    ) -> Result<Self> {
        Ok(Self {
            data_version,
            revision: read::revision(connection)?,
            catalog: read::catalog(connection, versions)?,
            customers: HashMap::new(),
            keys: HashMap::new(),
            credits: HashMap::new(),
            tallies: Tallies::default(),
            windows: Windows::default(),
            quantities: KnownQuantities::default(),
            told: Told::default(),
            event_ids,
        })
    }

    /// The memory for the transaction that has just begun: `known` if it is still true.
    pub fn recall(connection: &Connection, known: Option<Memory>) -> Result<Self> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        let data_version = statement.query_row([], |row| row.get(0))?;
        match known {
            Some(memory) if memory.data_version == data_version && memory.len() < MAX_ENTRIES => Ok(memory),
            // Of the ids the sealed ones stay what they are, and they are too many to be read again and again.
            Some(Memory { event_ids, catalog, .. }) => {
                Self::new(connection, data_version, event_ids.outdated(), catalog.tiers.catalog.as_ref())
            }
            None => Self::new(connection, data_version, EventIds::learn(connection)?, None),
        }
    }

    fn len(&self) -> usize {
        let tallied = self.tallies.len() + self.windows.len() + self.quantities.len();
        self.customers.len() + self.keys.len() + self.credits.len() + self.told.len() + tallied
    }

    pub fn customer(&mut self, connection: &Connection, id: &CustomerId) -> Result<Option<Customer>> {
        if let Some(customer) = self.customers.get(id) {
            return Ok(Some(customer.clone()));
        }
        let customer = read::customer(connection, id.as_str())?;
        if let Some(customer) = &customer {
            self.customers.insert(id.clone(), customer.clone());
        }
        Ok(customer)
    }

    /// They were changed all at once.
    pub fn forget_customers(&mut self) {
        self.customers.clear();
    }

    pub fn set_customer(&mut self, customer: &Customer) {
        self.customers.insert(customer.id.clone(), customer.clone());
    }

    pub fn credit(&mut self, connection: &Connection, customer_id: &CustomerId) -> Result<&mut Credit> {
        match self.credits.entry(customer_id.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(credits::credit(connection, customer_id)?)),
        }
    }

    pub fn key(&mut self, connection: &Connection, id: &str) -> Result<Option<&ApiKey>> {
        if !self.keys.contains_key(id)
            && let Some(key) = read::key(connection, id)?
        {
            self.keys.insert(id.to_owned(), key);
        }
        Ok(self.keys.get(id))
    }

    pub fn set_key(&mut self, key: &ApiKey) {
        self.keys.insert(key.id.clone(), key.clone());
    }
}

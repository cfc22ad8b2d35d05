//! The versions of the catalog, as a store keeps them: each by its name, with its definition as JSON.
//!
//! A version never changes. So whoever has read one before needs only its name again, and what was compiled stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Catalog, CatalogVersions};
use crate::{Code, Error, Result};

/// The versions that were read last.
#[derive(Default)]
pub struct KnownVersions(Mutex<Option<Arc<CatalogVersions>>>);

impl KnownVersions {
    pub fn get(&self) -> Option<Arc<CatalogVersions>> {
        self.lock().clone()
    }

    pub fn learn(&self, versions: Option<&Arc<CatalogVersions>>) {
        *self.lock() = versions.cloned();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<CatalogVersions>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and definition of each version, the latest last; no definition where the name is known.
pub type Row = (String, Option<String>);

pub fn is_known(name: &str, known: Option<&CatalogVersions>) -> bool {
    known.is_some_and(|known| known.iter().any(|catalog| catalog.version() == name))
}

/// What was read, beside what is known.
pub fn from_rows(rows: Vec<Row>, known: Option<&Arc<CatalogVersions>>) -> Result<Option<Arc<CatalogVersions>>> {
    if rows.is_empty() {
        return Ok(None);
    }
    if let Some(known) = known
        && known.iter().map(Catalog::version).eq(rows.iter().map(|(name, _)| name.as_str()))
    {
        return Ok(Some(Arc::clone(known)));
    }
    let catalogs = rows.into_iter().map(|(name, definition)| match (definition, known) {
        (Some(definition), _) => Catalog::parse(&definition).map_err(|_| damaged(&name)),
        (None, Some(known)) => known.of_customer(Some(&name)).cloned(),
        (None, None) => Err(damaged(&name)),
    });
    Ok(Some(Arc::new(CatalogVersions::new(catalogs.collect::<Result<_>>()?)?)))
}

pub fn definition(catalog: &Catalog) -> String {
    catalog.to_json().to_string()
}

fn damaged(name: &str) -> Error {
    Error::new(
        Code::StoreCorrupt,
        format!("the database is damaged: the version {name:?} of the catalog cannot be read"),
    )
}

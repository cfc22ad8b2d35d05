//! Versions of a catalog, of which each customer keeps the one that he signed up to.

use std::collections::BTreeSet;

use super::{Catalog, contradiction};
use crate::domain::Meter;
use crate::domain::suggestion::advice;
use crate::{Code, Error, Result};

/// All versions of one catalog, from the oldest to the latest.
#[derive(Debug, Clone)]
pub struct CatalogVersions {
    older: Vec<Catalog>,
    latest: Catalog,
    /// Of all versions.
    meters: Vec<Meter>,
}

impl PartialEq for CatalogVersions {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for CatalogVersions {}

impl CatalogVersions {
    pub fn new(catalogs: Vec<Catalog>) -> Result<Self> {
        for (position, catalog) in catalogs.iter().enumerate() {
            let first = &catalogs[0];
            if catalog.id != first.id {
                let what = format!(" is {:?}, but versions of {:?} belong here", catalog.id, first.id);
                return Err(contradiction(&format!("catalogs[{position}].id"), &what));
            }
            if catalogs[..position].iter().any(|older| older.version == catalog.version) {
                let what = format!(": there is already a version {:?}", catalog.version);
                return Err(contradiction(&format!("catalogs[{position}].version"), &what));
            }
        }
        let names: BTreeSet<&str> = catalogs.iter().flat_map(|catalog| catalog.meters()).map(String::as_str).collect();
        let meters = names.into_iter().map(Meter::declared).collect::<Result<_>>()?;
        let mut older = catalogs;
        let latest = older.pop().ok_or_else(|| contradiction("catalogs", " must hold at least one catalog"))?;
        Ok(Self { older, latest, meters })
    }

    /// Of all versions, in the order of their names.
    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// These, then those that are given: what stays of a store's versions when somebody opens it with others. Fails where a
    /// version is given with other contents, or another catalog.
    pub fn succeeded_by(&self, given: &CatalogVersions) -> Result<Self> {
        let same = |version: &str| self.iter().find(|known| known.version == version);
        for (position, catalog) in given.iter().enumerate() {
            if same(&catalog.version).is_some_and(|known| known != catalog) {
                let what = format!(
                    ": the version {:?} is in use with other contents, and a version never changes: give the changed catalog \
                     a version of its own, behind this one",
                    catalog.version
                );
                return Err(contradiction(&format!("catalogs[{position}].version"), &what));
            }
        }
        let is_given = |known: &&Catalog| given.iter().any(|catalog| catalog.version == known.version);
        Self::new(self.iter().filter(|known| !is_given(known)).chain(given.iter()).cloned().collect())
    }

    /// For whoever signs up now.
    pub fn latest(&self) -> &Catalog {
        &self.latest
    }

    /// The catalog of a customer, by the version that he signed up to; without one, the latest.
    pub fn of_customer(&self, version: Option<&str>) -> Result<&Catalog> {
        let Some(version) = version else { return Ok(&self.latest) };
        self.iter().find(|catalog| catalog.version == version).ok_or_else(|| {
            let advice = advice(version, "the versions are", self.iter().map(|catalog| catalog.version.as_str()));
            Error::new(Code::InvalidCatalog, format!("there is no version {version:?} of the catalog; {advice}"))
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Catalog> {
        self.older.iter().chain([&self.latest])
    }
}

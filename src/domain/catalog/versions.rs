//! Versions of a catalog, of which each customer keeps the one that he signed up to.

use super::{Catalog, contradiction};
use crate::domain::suggestion::advice;
use crate::{Code, Error, Result};

/// All versions of one catalog, from the oldest to the latest.
#[derive(Debug, Clone)]
pub struct CatalogVersions {
    older: Vec<Catalog>,
    latest: Catalog,
}

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
        let mut older = catalogs;
        let latest = older.pop().ok_or_else(|| contradiction("catalogs", " must hold at least one catalog"))?;
        Ok(Self { older, latest })
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

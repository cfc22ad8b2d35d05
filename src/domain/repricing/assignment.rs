//! In which tier of another catalog a customer would be.

use std::collections::BTreeMap;

use crate::domain::Catalog;
use crate::domain::json::{Object, Value};
use crate::domain::suggestion::advice;
use crate::{Code, Error, Result};

/// The first of these that says something: what is said of the customer; what is said of the tier that he has now; a tier of
/// the catalog with the id of the one that he has; what is said of all others. Where none does, nobody guesses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// By the customer's id.
    customers: BTreeMap<String, usize>,
    /// By the id of the tier that he has now.
    tiers: BTreeMap<String, usize>,
    otherwise: Option<usize>,
}

impl Assignment {
    pub const FIELDS: &[&str] = &["customers", "tiers", "tierId"];

    /// Reads `{ customers?: { ann: 'pro' }, tiers?: { basic: 'free' }, tierId?: 'free' }`. Tiers that the catalog has not are
    /// `unknown_tier`.
    pub fn read(catalog: &Catalog, object: &Object<'_>) -> Result<Self> {
        let named = |name: &str| -> Result<BTreeMap<String, usize>> {
            let Some(map) = object.optional(name) else { return Ok(BTreeMap::new()) };
            map.object()?.fields().map(|(id, tier)| Ok((id.to_owned(), tier_of(catalog, &tier)?))).collect()
        };
        Ok(Self {
            customers: named("customers")?,
            tiers: named("tiers")?,
            otherwise: object.optional("tierId").map(|tier| tier_of(catalog, &tier)).transpose()?,
        })
    }

    /// The place of the customer's tier in the catalog; `has` is the id of the one that he has now.
    pub fn tier(&self, catalog: &Catalog, customer_id: &str, has: Option<&str>) -> Option<usize> {
        let same = |id: &str| catalog.tiers().iter().position(|tier| tier.id == id);
        let by_customer = self.customers.get(customer_id).copied();
        by_customer.or_else(|| has.and_then(|id| self.tiers.get(id).copied().or_else(|| same(id)))).or(self.otherwise)
    }
}

/// The place of a tier in the catalog.
pub fn tier_of(catalog: &Catalog, value: &Value<'_>) -> Result<usize> {
    place_of_tier(catalog, value.place(), &value.string()?)
}

/// The place of the tier with this id, which was given at a place of the question.
pub fn place_of_tier(catalog: &Catalog, place: &str, id: &str) -> Result<usize> {
    catalog.tiers().iter().position(|tier| tier.id == id).ok_or_else(|| {
        let advice = advice(id, "the tiers are", catalog.tiers().iter().map(|tier| tier.id.as_str()));
        let message = format!("`{place}`: the catalog has no tier {id:?}; {advice}");
        Error::new(Code::UnknownTier, message).at(place)
    })
}

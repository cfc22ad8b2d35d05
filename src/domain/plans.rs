//! What is sold to customers: tiers out of a table, or out of a catalog in its versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::catalog::{CatalogTier, CatalogVersions};
use super::invoice::{Quantities, cost_of_event};
use super::{Catalog, Customer, Meter, Money, PriceId, Quota, Spending, TierTable};
use crate::{Code, Error, Result};

/// All that says what a customer may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plans {
    /// Beside a catalog: the tiers that customers have from before it.
    pub table: TierTable,
    pub catalog: Option<Arc<CatalogVersions>>,
}

/// What a route asks of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirements {
    /// This tier or a higher one.
    pub tier: Option<String>,
    /// All of them.
    pub features: BTreeSet<String>,
}

impl From<TierTable> for Plans {
    fn from(table: TierTable) -> Self {
        Self { table, catalog: None }
    }
}

impl Plans {
    pub fn is_empty(&self) -> bool {
        self.table.iter().next().is_none() && self.catalog.is_none()
    }

    /// The built-in meters and the catalog's.
    pub fn meters(&self) -> Vec<Meter> {
        let of_catalog = self.catalog.iter().flat_map(|versions| versions.meters().iter().copied());
        let added = of_catalog.filter(|meter| !Meter::BUILT_IN.contains(meter));
        Meter::BUILT_IN.into_iter().chain(added).collect()
    }

    pub fn require_meter(&self, meter: Meter) -> Result<()> {
        let is_known = Meter::BUILT_IN.contains(&meter)
            || self.catalog.as_ref().is_some_and(|versions| versions.meters().contains(&meter));
        if is_known { Ok(()) } else { Err(Meter::unknown(meter.as_str(), &self.meters())) }
    }

    /// The catalog that applies to a customer: the version that he signed up to.
    pub fn catalog_of(&self, customer: &Customer) -> Option<&Catalog> {
        self.version(customer.catalog_version.as_deref())
    }

    /// The catalog of whoever signed up to this version.
    pub fn version(&self, version: Option<&str>) -> Option<&Catalog> {
        let versions = self.catalog.as_ref()?;
        Some(versions.of_customer(version).unwrap_or(versions.latest()))
    }

    /// The customer's tier, where it is one of his catalog's.
    pub fn tier_of(&self, customer: &Customer) -> Option<&CatalogTier> {
        self.catalog_of(customer)?.tier(customer.tier_id.as_deref()?)
    }

    /// What an event of a customer's costs at a price, after what he has used of its meter in the billing period.
    ///
    /// Errors: `invalid_catalog` where there is no such price, `amount_overflow`.
    pub fn cost_of_event(
        &self,
        customer: &Customer,
        price: &PriceId,
        before: &Quantities,
        units: u64,
    ) -> Result<Money> {
        let found = self.catalog.as_ref().and_then(|versions| {
            let catalog = versions.of_customer(Some(&price.version)).ok()?;
            Some((catalog, catalog.price(&price.id)?))
        });
        let (catalog, found) = found.ok_or_else(|| {
            let message = format!("the version {:?} of the catalog has no price {:?}", price.version, price.id);
            Error::new(Code::InvalidCatalog, message)
        })?;
        let tier = customer.tier_id.as_deref().and_then(|id| catalog.tier(id));
        cost_of_event(catalog, tier, found, before, units)
    }

    /// Gives a customer whose tier has changed, or who has none of a version yet, the latest version; and takes away the
    /// version of one who has no tier. `named`: the version that he was moved to by name.
    pub fn sign_up(&self, customer: &mut Customer, before: Option<&Customer>, named: bool) -> Result<()> {
        let Some(versions) = &self.catalog else {
            if named {
                return Err(Error::invalid("`catalogVersion` needs a catalog: open the store with one"));
            }
            return customer.tier_id.as_deref().map_or(Ok(()), |tier| self.table.require(tier).map(|_| ()));
        };
        let Some(tier) = customer.tier_id.clone() else {
            if named {
                return Err(Error::invalid("`catalogVersion` needs a `tier`: without one nobody is in a version"));
            }
            customer.catalog_version = None;
            return Ok(());
        };
        let had_it = before.is_some_and(|before| before.tier_id.as_ref() == Some(&tier));
        let keeps_his = named || (had_it && customer.catalog_version.is_some());
        if !keeps_his {
            let latest = versions.latest();
            // Whoever keeps a tier from before the catalog stays where he is.
            if had_it && latest.tier(&tier).is_none() {
                return Ok(());
            }
            customer.catalog_version = Some(latest.version().to_owned());
        }
        let version = versions.of_customer(customer.catalog_version.as_deref());
        version.map_err(|error| Error::invalid(format!("`catalogVersion`: {}", error.message)))?.require_tier(&tier)
    }

    /// What a customer lacks, if anything: a tier first.
    pub fn lacking(&self, customer: &Customer, required: &Requirements) -> Requirements {
        if let Some(tier) = &required.tier
            && !self.satisfies(customer, tier)
        {
            return Requirements { tier: Some(tier.clone()), features: BTreeSet::new() };
        }
        let granted = self.tier_of(customer).map(|tier| &tier.features);
        let is_lacking = |feature: &&String| granted.is_none_or(|granted| !granted.contains(*feature));
        Requirements { tier: None, features: required.features.iter().filter(is_lacking).cloned().collect() }
    }

    /// Tiers from before a catalog stand below all of it.
    fn satisfies(&self, customer: &Customer, required: &str) -> bool {
        match self.catalog_of(customer) {
            Some(catalog) if catalog.tier(required).is_some() => {
                let rank = |id: &str| catalog.tiers().iter().position(|tier| tier.id == id);
                customer.tier_id.as_deref().and_then(rank) >= rank(required)
            }
            _ => self.table.satisfies(customer.tier_id.as_deref(), required),
        }
    }

    /// The customer's limit on a meter in a billing period. `None` means without a limit.
    pub fn limit(&self, customer: Option<&Customer>, meter: Meter) -> Option<u64> {
        match customer.and_then(|customer| self.tier_of(customer)) {
            Some(tier) => tier.monthly_limit(meter.as_str()),
            None => self.table.limit(customer, meter),
        }
    }

    /// How much of a quota the customer has. `None` means without a limit.
    pub fn limit_on(&self, customer: &Customer, quota: Quota) -> Option<u64> {
        match quota {
            Quota::Period(meter) => self.limit(Some(customer), meter),
            Quota::Window(meter, window) => {
                let mut limits = self.tier_of(customer)?.window_limits(meter.as_str());
                limits.find(|(other, _)| *other == window).map(|(_, units)| units)
            }
            // What is left the books tell.
            Quota::Credit => customer.prepaid.then_some(Money::MOST_BILLIONTHS),
            Quota::Spend => Some(Spending { cap: customer.spend_cap?, spent: Money::ZERO }.standing().limit?),
        }
    }

    /// The customer's quotas on a meter in windows that are shorter than a billing period.
    pub fn windows<'p>(&'p self, customer: &Customer, meter: Meter) -> impl Iterator<Item = (Quota, u64)> + use<'p> {
        let limits = self.tier_of(customer).into_iter().flat_map(move |tier| tier.window_limits(meter.as_str()));
        limits.map(move |(window, units)| (Quota::Window(meter, window), units))
    }

    /// Whether anybody has such a quota.
    pub fn has_windows(&self, meter: Meter) -> bool {
        let tiers = self.catalog.iter().flat_map(|versions| versions.iter()).flat_map(Catalog::tiers);
        tiers.into_iter().any(|tier| tier.window_limits(meter.as_str()).next().is_some())
    }

    /// The limit that a customer is told of and that never refuses.
    pub fn soft_limit(&self, customer: &Customer, meter: Meter) -> Option<u64> {
        self.tier_of(customer)?.monthly_soft_limit(meter.as_str())
    }

    pub fn has_soft_limits(&self) -> bool {
        let tiers = self.catalog.iter().flat_map(|versions| versions.iter()).flat_map(Catalog::tiers);
        tiers.flat_map(|tier| &tier.limits).any(|limit| limit.soft)
    }

    /// The tier that these prices at Stripe sell, and of which version: of several tiers the highest; of several versions
    /// the customer's own, else the latest.
    pub fn sold(&self, customer: &Customer, prices: &[String]) -> Option<(String, Option<String>)> {
        let Some(versions) = &self.catalog else {
            return self.table.of_prices(prices).map(|tier| (tier.id.clone(), None));
        };
        let own = self.catalog_of(customer).filter(|_| customer.catalog_version.is_some());
        let by_age = versions.iter().collect::<Vec<_>>().into_iter().rev();
        let sold = own.into_iter().chain(by_age).find_map(|catalog| {
            let sells = |tier: &&CatalogTier| tier.price_id.as_ref().is_some_and(|id| prices.contains(id));
            let tier = catalog.tiers().iter().rev().find(sells)?;
            Some((tier.id.clone(), Some(catalog.version().to_owned())))
        });
        sold.or_else(|| self.table.of_prices(prices).map(|tier| (tier.id.clone(), None)))
    }
}

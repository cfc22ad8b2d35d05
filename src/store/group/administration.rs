//! Changes to customers, keys and the catalog. Every one of them moves the revision, so that caches notice.

use std::sync::Arc;

use super::{Group, Step, Tables};
use crate::domain::api_key::KeyState;
use crate::domain::customer::CustomerPatch;
use crate::domain::{ApiKey, CatalogVersions, Customer, CustomerId, KeyHash, TierTable, TimeZone, Timestamp};
use crate::store::Applied;
use crate::{Code, Error};

impl<T: Tables> Group<T> {
    pub(super) fn upsert_customer(&mut self, id: &CustomerId, patch: &CustomerPatch, now: Timestamp) -> Step<T> {
        let before = self.tables.customer(id)?;
        let mut customer = before.clone().unwrap_or_else(|| Customer::new(id.clone(), now));
        patch.clone().apply(&mut customer);
        if patch.signs_up() {
            let is_named = patch.catalog_version.value().is_some();
            let plans = &self.tables.catalog().tiers;
            if let Err(error) = plans.sign_up(&mut customer, before.as_ref(), is_named) {
                return Ok(Err(error));
            }
        }
        customer = self.put_changed(before.as_ref(), customer, now)?;
        if patch.names_subscription() {
            let subscription_id = customer.subscription_id.as_deref().unwrap_or_default();
            let stripe_customer_id = match &customer.stripe_customer_id {
                Some(id) => Some(id.clone()),
                None => self.tables.subscription(subscription_id)?.map(|known| known.stripe_customer_id),
            };
            // Stripe may have told of it before.
            self.follow_subscriptions(&stripe_customer_id.unwrap_or_default(), subscription_id, now)?;
            customer = self.tables.customer(id)?.unwrap_or(customer);
        }
        Ok(Ok(Applied::Customer(customer)))
    }

    pub(super) fn create_key(&mut self, key: &ApiKey, hash: &KeyHash) -> Step<T> {
        if self.tables.has_secret(hash)? {
            return Ok(Err(Error::new(Code::KeyExists, "this secret is an API key already")));
        }
        if self.tables.customer(&key.customer_id)?.is_none() {
            self.tables.put_customer(&Customer::new(key.customer_id.clone(), key.created_at))?;
        }
        self.tables.insert_key(key, hash)?;
        self.tables.revise();
        Ok(Ok(Applied::Key(key.clone())))
    }

    pub(super) fn revoke_key(&mut self, id: &str, now: Timestamp) -> Step<T> {
        let Some(mut key) = self.tables.key(id)?.cloned() else { return Ok(Err(unknown_key(id))) };
        // The first revocation stands.
        key.revoked_at.get_or_insert(now);
        self.end_key(&key)?;
        Ok(Ok(Applied::Key(key)))
    }

    pub(super) fn rotate_key(
        &mut self,
        id: &str,
        successor: impl FnOnce(&ApiKey) -> ApiKey,
        hash: &KeyHash,
        until: Timestamp,
    ) -> Step<T> {
        let Some(mut key) = self.tables.key(id)?.cloned() else { return Ok(Err(unknown_key(id))) };
        let successor = successor(&key);
        let now = successor.created_at;
        if key.state(now) != KeyState::Valid {
            let message = format!("the key {id:?} was revoked or has expired; create a new one instead");
            return Ok(Err(Error::new(Code::KeyRevoked, message)));
        }
        if until <= now {
            key.revoked_at = Some(now);
        } else {
            key.expires_at = Some(key.expires_at.map_or(until, |expires_at| expires_at.min(until)));
        }
        let created = self.create_key(&successor, hash)?;
        if created.is_ok() {
            self.end_key(&key)?;
        }
        Ok(created)
    }

    fn end_key(&mut self, key: &ApiKey) -> Result<(), T::Error> {
        self.tables.end_key(key)?;
        self.tables.revise();
        Ok(())
    }

    pub(super) fn configure(&mut self, tiers: Option<&TierTable>, time_zone: Option<TimeZone>) -> Step<T> {
        if let (Some(_), Some(versions)) = (tiers, &self.tables.catalog().tiers.catalog) {
            let message = format!(
                "this store has the catalog {:?}, whose tiers apply: open it with `catalog`, or without `tiers`",
                versions.latest().id()
            );
            return Ok(Err(Error::new(Code::InvalidCatalog, message)));
        }
        if let Some(tiers) = tiers {
            let tiers = self.with_tiers_in_use(tiers)?;
            if tiers != self.tables.catalog().tiers.table {
                self.tables.set_tiers(tiers)?;
                self.tables.revise();
            }
        }
        if let Some(time_zone) = time_zone
            && time_zone != self.tables.catalog().time_zone
        {
            self.tables.set_time_zone(time_zone)?;
            self.tables.forget_window_usage(None)?;
            self.month = None;
            self.tables.revise();
        }
        Ok(Ok(Applied::Configured))
    }

    pub(super) fn introduce_tiers(&mut self, tiers: &TierTable) -> Step<T> {
        let has_none = self.tables.catalog().tiers.is_empty();
        self.configure(has_none.then_some(tiers), None)
    }

    pub(super) fn offer(&mut self, given: &Arc<CatalogVersions>) -> Step<T> {
        let known = self.tables.catalog().tiers.catalog.clone();
        let versions = match &known {
            Some(known) => match known.succeeded_by(given) {
                Ok(versions) => Arc::new(versions),
                Err(error) => return Ok(Err(error)),
            },
            None => Arc::clone(given),
        };
        if known.as_ref() == Some(&versions) {
            return Ok(Ok(Applied::Configured));
        }
        if known.is_none() {
            let tiers = self.with_tiers_in_use(&TierTable::default())?;
            self.tables.set_tiers(tiers)?;
            self.tables.sign_up_all(versions.latest())?;
        }
        self.tables.set_versions(versions)?;
        self.tables.forget_window_usage(None)?;
        self.tables.revise();
        Ok(Ok(Applied::Configured))
    }

    /// Tiers that are no longer listed but still held by a customer keep their limits and rank below the listed ones.
    fn with_tiers_in_use(&mut self, tiers: &TierTable) -> Result<TierTable, T::Error> {
        let is_listed = |id: &str| tiers.get(id).is_some();
        let unlisted: Vec<_> =
            self.tables.catalog().tiers.table.iter().filter(|tier| !is_listed(&tier.id)).cloned().collect();
        if unlisted.is_empty() {
            return Ok(tiers.clone());
        }
        let in_use = self.tables.tiers_in_use()?;
        let kept = unlisted.into_iter().filter(|tier| in_use.contains(&tier.id));
        Ok(TierTable::new(kept.chain(tiers.iter().cloned()).collect())?)
    }
}

fn unknown_key(id: &str) -> Error {
    Error::new(Code::UnknownKey, format!("no API key has the id {id:?}"))
}

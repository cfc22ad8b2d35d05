//! What API keys stand for, remembered.
//!
//! An entry counts only while the store's revision is the one under which it was read, so a revoked key, a new tier or a
//! suspension shows as soon as this process learns of the new revision: with its next commit, or by asking, four times a
//! second. Keys that are unknown are remembered too, so that guessing does not load the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::domain::{ApiKey, Customer, KeyHash};

/// An entry takes some 300 bytes.
const CAPACITY: usize = 1_000_000;
const UNKNOWN_CAPACITY: usize = 10_000;

/// A key and the customer whose key it is.
#[derive(Debug)]
pub struct Identity {
    /// Of the store, when this was read.
    pub revision: u64,
    pub key: ApiKey,
    pub customer: Arc<Customer>,
}

pub struct KeyCache {
    revision: AtomicU64,
    known: Cache<KeyHash, (u64, Arc<Identity>)>,
    unknown: Cache<KeyHash, u64>,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self { revision: AtomicU64::new(0), known: Cache::new(CAPACITY), unknown: Cache::new(UNKNOWN_CAPACITY) }
    }
}

impl KeyCache {
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn advance(&self, revision: u64) {
        self.revision.store(revision, Ordering::Release);
    }

    /// `None`: ask the store. `Some(None)`: there is no such key.
    pub fn get(&self, hash: &KeyHash) -> Option<Option<Arc<Identity>>> {
        let revision = self.revision();
        match self.known.get(hash) {
            Some((read_at, identity)) if read_at == revision => Some(Some(identity)),
            Some(_) => None,
            None => self.unknown.get(hash).filter(|read_at| *read_at == revision).map(|_| None),
        }
    }

    /// `revision` is what [`KeyCache::revision`] said before the store was asked.
    pub fn put(&self, hash: KeyHash, revision: u64, identity: Option<Arc<Identity>>) {
        match identity {
            Some(identity) => self.known.insert(hash, (revision, identity)),
            None => self.unknown.insert(hash, revision),
        }
    }
}

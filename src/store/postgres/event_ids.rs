//! How the callers' event ids are stored.

use sha2::{Digest, Sha256};

use crate::domain::{EventId, UsageEvent};

/// 16 bytes of a hash of an id.
pub type Key = [u8; 16];
/// 16 bytes of a hash of an event's contents.
pub type Fingerprint = [u8; 16];

pub fn key(id: &EventId) -> Key {
    half(Sha256::digest(id.as_str()).into())
}

pub fn fingerprint(event: &UsageEvent) -> Fingerprint {
    half(event.fingerprint())
}

/// Whether it is that of the event.
pub fn is_of(known: Fingerprint, event: &UsageEvent) -> bool {
    event.fingerprints().any(|fingerprint| half(fingerprint) == known)
}

/// 128 bits of a hash tell things apart as well as 256 do.
fn half(hash: [u8; 32]) -> [u8; 16] {
    let [half, _] = *hash.as_chunks().0 else { return Default::default() };
    half
}

//! API keys: `wb_`, 30 characters of base 62 that hold 176 random bits, and 6 that hold their CRC-32.
//!
//! The checksum lets a mistyped key be refused without asking the store. Only the SHA-256 of a key is ever stored: with
//! this much randomness a slow hash would add cost and no safety.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{CustomerId, Timestamp};
use crate::{Error, Result};

pub const PREFIX: &str = "wb_";
/// How many random bytes [`Secret::generate`] takes: 176 bits.
pub const RANDOM_BYTES: usize = 22;
const RANDOM_DIGITS: usize = 30;
const CHECKSUM_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const MIN_IMPORTED_LENGTH: usize = 8;
const MAX_LENGTH: usize = 255;

/// The SHA-256 of a key: all that is ever stored or compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash(…)")
    }
}

/// The key itself. It exists only between its making and its being handed to the caller.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Randomness is an argument, so that this stays pure.
    pub fn generate(random: [u8; RANDOM_BYTES]) -> Self {
        let body = base62(&random, RANDOM_DIGITS);
        let checksum = checksum(&body);
        Self(SecretString::from(format!("{PREFIX}{body}{checksum}")))
    }

    /// Takes over a key that clients already use.
    pub fn import(secret: &str) -> Result<Self> {
        // The alphabet of RFC 6750's b64token: anything else cannot be sent as a bearer token.
        let sendable = secret.trim_end_matches('=').bytes().all(is_token_byte);
        if !(MIN_IMPORTED_LENGTH..=MAX_LENGTH).contains(&secret.len()) || !sendable {
            return Err(Error::invalid(format!(
                "`key` must be {MIN_IMPORTED_LENGTH} to {MAX_LENGTH} letters, digits or -._~+/ (RFC 6750), to be sent as \
                 a bearer token"
            )));
        }
        if is_malformed(secret) {
            return Err(Error::invalid(format!(
                "`key` starts with {PREFIX:?} like a generated key, but its checksum is wrong"
            )));
        }
        Ok(Self(SecretString::from(secret)))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.expose())
    }

    /// The few leading characters by which a person recognises a key: at most a third of it, never enough to guess the rest.
    pub fn display_prefix(&self) -> String {
        self.expose().chars().take((self.expose().len() / 3).min(PREFIX.len() + 8)).collect()
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

/// Whether a key can be refused by its looks alone: it claims to be generated and its checksum is wrong, or no key is so long.
pub fn is_malformed(secret: &str) -> bool {
    if secret.is_empty() || secret.len() > MAX_LENGTH {
        return true;
    }
    let Some(rest) = secret.strip_prefix(PREFIX) else { return false };
    rest.len() != RANDOM_DIGITS + CHECKSUM_DIGITS
        || !rest.is_ascii()
        || checksum(&rest[..RANDOM_DIGITS]) != rest[RANDOM_DIGITS..]
}

fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS)
}

/// A big-endian number in base 62, padded with zeros.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number = bytes.to_vec();
    let mut text = vec![b'0'; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            // The quotient is below 256, because the remainder is below 62.
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    text.into_iter().map(char::from).collect()
}

/// What is known of a key; never the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: String,
    pub customer_id: CustomerId,
    pub name: Option<String>,
    pub prefix: String,
    pub created_at: Timestamp,
    /// From this instant on the key is refused.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            KeyState::Expired
        } else {
            KeyState::Valid
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Valid,
    Expired,
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(random: [u8; RANDOM_BYTES], place in 0usize..36, digit in 0usize..62) {
            let secret = Secret::generate(random);
            prop_assert!(!is_malformed(secret.expose()));
            prop_assert_eq!(secret.expose().len(), PREFIX.len() + 36);
            let mut mistyped = secret.expose().as_bytes().to_vec();
            let place = PREFIX.len() + place;
            prop_assume!(mistyped[place] != DIGITS[digit]);
            mistyped[place] = DIGITS[digit];
            prop_assert!(is_malformed(std::str::from_utf8(&mistyped).unwrap()));
        }

        #[test]
        fn different_randomness_gives_different_keys(a: [u8; RANDOM_BYTES], b: [u8; RANDOM_BYTES]) {
            prop_assume!(a != b);
            let (a, b) = (Secret::generate(a), Secret::generate(b));
            prop_assert_ne!(a.expose(), b.expose());
        }
    }

    #[test]
    fn imported_keys_must_be_sendable() {
        let secret = Secret::import("test-key-123").unwrap();
        assert_eq!(secret.display_prefix(), "test");
        for bad in ["short", "has space 123", "käse-schlüssel", "wb_not-a-generated-key", "a=b=c=d=e"] {
            assert!(Secret::import(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_prints_the_secret() {
        let secret = Secret::import("test-key-123").unwrap();
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains("key-123"));
    }
}

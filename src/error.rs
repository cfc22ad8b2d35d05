//! The one error type. Its [`Code`]s are part of the public API: they never change meaning and are never reused.

use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for a program ([`Code`]) and for a person (the message, which says what to do).
///
/// It is `Clone` because one failed commit answers every event of its group. Messages never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// Where in what was given the mistake is, such as `price.tiers[1].upTo`, if that is known. The message says it too.
    pub place: Option<String>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), place: None }
    }

    pub fn at(self, place: &str) -> Self {
        Self { place: Some(place.to_owned()), ..self }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// The stable codes. The README's table of errors lists the same ones.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// An argument or option has the wrong type, is out of range, or is too long.
    InvalidArgument = "invalid_argument",
    /// The tiers, the price list or a price contradict themselves.
    InvalidCatalog = "invalid_catalog",
    /// No tier has this id.
    UnknownTier = "unknown_tier",
    /// No API key has this id.
    UnknownKey = "unknown_key",
    /// The customer has no grant with this id.
    UnknownGrant = "unknown_grant",
    /// The imported secret is already a key.
    KeyExists = "key_exists",
    /// The key was revoked and cannot be rotated.
    KeyRevoked = "key_revoked",
    /// The id was seen before with other contents.
    IdempotencyConflict = "idempotency_conflict",
    /// An event's metadata is larger than 16 KiB of JSON.
    MetadataTooLarge = "metadata_too_large",
    /// A sum of money no longer fits 28 digits.
    AmountOverflow = "amount_overflow",
    /// `close()` was called.
    Closed = "closed",
    /// Too many operations wait for the store.
    Overloaded = "overloaded",
    /// Another process holds the store's lock for too long.
    StoreBusy = "store_busy",
    /// The disk is full.
    StoreFull = "store_full",
    /// The file or its directory cannot be written.
    StoreReadOnly = "store_read_only",
    /// The database was written by a newer Weighbridge.
    StoreNewer = "store_newer",
    /// The file is not a Weighbridge database.
    StoreForeign = "store_foreign",
    /// The database file is damaged.
    StoreCorrupt = "store_corrupt",
    /// The store has not answered in time.
    StoreTimeout = "store_timeout",
    /// The store failed in another way.
    StoreUnavailable = "store_unavailable",
    /// The store's database has refused what it was to hold, and will refuse it again.
    StoreRejected = "store_rejected",
    /// Processes use the store, so that it cannot be moved.
    StoreInUse = "store_in_use",
    /// The schema to which a store is to be moved holds another one.
    StoreNotEmpty = "store_not_empty",
    /// A store is being moved into this schema, and not all of it is there.
    StoreMoving = "store_moving",
    /// The store was moved to PostgreSQL, and this is what it was moved from.
    StoreMoved = "store_moved",
    /// What was moved differs from what it was moved from.
    MigrationMismatch = "migration_mismatch",
    /// `STRIPE_SECRET_KEY` is not set and no `secretKey` was given.
    StripeKeyMissing = "stripe_key_missing",
    /// The subscription's price cannot take the usage.
    StripePriceNotMetered = "stripe_price_not_metered",
    /// A webhook was not signed with any of the secrets, or not lately.
    WebhookSignatureInvalid = "webhook_signature_invalid",
    /// What a webhook brought is signed, and no event of Stripe's.
    WebhookPayloadInvalid = "webhook_payload_invalid",
    /// The outbox could not be emptied in time.
    ExportTimeout = "export_timeout",
    /// The subscription has no item with a tier's price, or several.
    StripeTierNotFound = "stripe_tier_not_found",
    /// What Stripe has under a lookup key differs from the catalog.
    StripeCatalogConflict = "stripe_catalog_conflict",
    /// A bug in Weighbridge.
    Internal = "internal",
}

impl Code {
    /// Whether the store is to blame, and not what it was asked.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            Code::StoreBusy
                | Code::StoreFull
                | Code::StoreReadOnly
                | Code::StoreCorrupt
                | Code::StoreTimeout
                | Code::StoreUnavailable
                | Code::StoreMoving
        )
    }
}

impl Code {
    /// Whether the same may succeed later, without anything being done to what is stored.
    pub fn may_pass(self) -> bool {
        self.is_outage() && self != Code::StoreCorrupt
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

//! Grants: credit given to a customer, for a time.

use std::cmp::Ordering;
use std::fmt;

use super::Recurrence;
use crate::domain::customer::validate_id;
use crate::domain::json::{Object, Value};
use crate::domain::{Decimal, Timestamp};
use crate::{Error, Result};

/// The priority of a grant that states none: Stripe's default.
const DEFAULT_PRIORITY: u8 = 50;

/// The caller's own name for a grant, 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(String);

impl GrantId {
    pub fn parse(place: &str, id: &str) -> Result<Self> {
        validate_id(place, id)?;
        Ok(Self(id.to_owned()))
    }

    /// For ids that the store gave back.
    pub fn from_stored(id: String) -> Self {
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Credit that counts in `[effective_at, end)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    /// From 0: units, or money.
    pub amount: Decimal,
    /// Lower ones are burnt first.
    pub priority: u8,
    pub effective_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Only the burning order asks for it.
    pub created_at: Timestamp,
    /// From here on the grant is worth nothing. Before it, the grant means what it always meant.
    pub voided_at: Option<Timestamp>,
    pub recurrence: Option<Recurrence>,
    /// What a reset leaves; without one it leaves all.
    pub rollover: Option<Rollover>,
}

/// How a grant ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Expired,
    Voided,
}

impl Grant {
    const FIELDS: &[&str] =
        &["id", "amount", "priority", "effectiveAt", "expiresAt", "createdAt", "voidedAt", "recurrence", "rollover"];

    /// Reads `{ "id": "trial", "amount": "100", "effectiveAt": "2026-01-01T00:00:00Z" }` and the like.
    pub fn read(value: &Value<'_>) -> Result<Self> {
        let object = value.object()?;
        object.only(Self::FIELDS)?;
        let id = object.required("id")?;
        let effective_at = object.required("effectiveAt")?.timestamp()?;
        let instant = |name| object.optional(name).map(|value| value.timestamp()).transpose();
        let expires_at = instant("expiresAt")?;
        if expires_at.is_some_and(|expires_at| expires_at <= effective_at) {
            return Err(Error::invalid(format!(
                "`{}.expiresAt` must be after `effectiveAt`: a grant counts from the one up to the other",
                value.place()
            )));
        }
        Ok(Self {
            id: GrantId::parse(id.place(), &id.string()?)?,
            amount: object.required("amount")?.non_negative()?,
            priority: priority(&object)?,
            effective_at,
            expires_at,
            created_at: instant("createdAt")?.unwrap_or(effective_at),
            voided_at: instant("voidedAt")?,
            recurrence: object.optional("recurrence").map(|value| Recurrence::read(&value)).transpose()?,
            rollover: object.optional("rollover").map(|value| Rollover::read(&value)).transpose()?,
        })
    }

    /// When it stops to count, and by what. Where both fall together it has expired: there is nothing left to void.
    pub fn end(&self) -> Option<(Timestamp, Ending)> {
        let expiry = self.expires_at.map(|at| (at, Ending::Expired));
        let voiding = self.voided_at.map(|at| (at, Ending::Voided));
        expiry.into_iter().chain(voiding).min()
    }

    /// False where it was voided before it began.
    pub fn ever_counts(&self) -> bool {
        self.end().is_none_or(|(end, _)| self.effective_at < end)
    }

    /// The order in which grants are burnt.
    pub fn burning_order(&self, other: &Self) -> Ordering {
        let key = |grant: &Self| (grant.priority, grant.expires_at.is_none(), grant.expires_at, grant.created_at);
        key(self).cmp(&key(other)).then_with(|| self.id.cmp(&other.id))
    }
}

pub(super) fn priority(object: &Object<'_>) -> Result<u8> {
    let Some(value) = object.optional("priority") else { return Ok(DEFAULT_PRIORITY) };
    let whole = value.decimal()?.to_string();
    whole.parse().map_err(|_| value.must_be("a whole number from 0 to 255"))
}

/// What a reset leaves of a grant: `min(maximum, max(minimum, left))`, as OpenMeter has it. A minimum is given anew where less
/// is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollover {
    minimum: Decimal,
    maximum: Option<Decimal>,
}

impl Rollover {
    pub fn read(value: &Value<'_>) -> Result<Self> {
        let object = value.object()?;
        object.only(&["minimum", "maximum"])?;
        let minimum =
            object.optional("minimum").map_or_else(|| Ok(Decimal::default()), |value| value.non_negative())?;
        let maximum = object.optional("maximum").map(|maximum| maximum.non_negative()).transpose()?;
        match maximum {
            Some(maximum) if maximum < minimum => Err(Error::invalid(format!(
                "`{0}.maximum` ({maximum}) must not be below `{0}.minimum` ({minimum})",
                value.place()
            ))),
            maximum => Ok(Self { minimum, maximum }),
        }
    }

    pub fn minimum(&self) -> &Decimal {
        &self.minimum
    }

    pub fn maximum(&self) -> Option<&Decimal> {
        self.maximum.as_ref()
    }

    pub fn of(&self, left: &Decimal) -> Decimal {
        let at_least = left.max(&self.minimum);
        self.maximum.as_ref().map_or(at_least, |maximum| at_least.min(maximum)).clone()
    }
}

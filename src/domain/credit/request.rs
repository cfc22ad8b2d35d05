//! What somebody asks to be given to a customer, and the grant that becomes of it.

use serde_json::{Value as Json, json};

use super::grant::{Rollover, priority};
use super::{Grant, GrantId, Recurrence, Unit};
use crate::domain::Decimal;
use crate::domain::Timestamp;
use crate::domain::json::{Object, Value};
use crate::{Code, Error, Result};

/// A grant as it was asked for: what says whether a second request under the same id is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRequest {
    pub id: GrantId,
    pub unit: Unit,
    pub amount: Decimal,
    pub priority: u8,
    /// `None`: when it is given.
    pub effective_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub recurrence: Option<Recurrence>,
    pub rollover: Option<Rollover>,
}

impl GrantRequest {
    const FIELDS: &[&str] = &["id", "unit", "amount", "priority", "effectiveAt", "expiresAt", "recurrence", "rollover"];

    /// Reads `{ "id": "trial", "amount": "100" }` and the like.
    pub fn read(value: &Value<'_>) -> Result<Self> {
        let object = value.object()?;
        object.only(Self::FIELDS)?;
        let id = object.required("id")?;
        let effective_at = instant(&object, "effectiveAt")?;
        let expires_at = instant(&object, "expiresAt")?;
        if let (Some(effective_at), Some(expires_at)) = (effective_at, expires_at)
            && expires_at <= effective_at
        {
            let message = "`expiresAt` must be after `effectiveAt`: a grant counts from the one up to the other";
            return Err(Error::invalid(message).at("expiresAt"));
        }
        Ok(Self {
            id: GrantId::parse(id.place(), &id.string()?)?,
            unit: object.optional("unit").map_or(Ok(Unit::Money), |unit| unit.string()?.parse())?,
            amount: object.required("amount")?.positive()?.into(),
            priority: priority(&object)?,
            effective_at,
            expires_at,
            recurrence: object.optional("recurrence").map(|value| Recurrence::read(&value)).transpose()?,
            rollover: object.optional("rollover").map(|value| Rollover::read(&value)).transpose()?,
        })
    }

    /// What [`read`](Self::read) reads.
    pub fn to_json(&self) -> Json {
        let recurrence = self.recurrence.as_ref().map(|recurrence| match recurrence {
            Recurrence::Every(window, zone) => json!({ "every": window.as_str(), "timeZone": zone.name() }),
            Recurrence::At(instants) => {
                json!({ "at": instants.iter().map(|at| at.as_millis()).collect::<Vec<_>>() })
            }
        });
        let rollover = self.rollover.as_ref().map(|rollover| {
            json!({
                "minimum": rollover.minimum().to_string(),
                "maximum": rollover.maximum().map(Decimal::to_string),
            })
        });
        json!({
            "id": self.id.as_str(),
            "unit": self.unit.as_str(),
            "amount": self.amount.to_string(),
            "priority": self.priority,
            "effectiveAt": self.effective_at.map(Timestamp::as_millis),
            "expiresAt": self.expires_at.map(Timestamp::as_millis),
            "recurrence": recurrence,
            "rollover": rollover,
        })
    }
}

/// A grant that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditGrant {
    pub request: GrantRequest,
    /// As it counts.
    pub grant: Grant,
}

impl CreditGrant {
    pub fn new(request: GrantRequest, effective_at: Timestamp, created_at: Timestamp) -> Self {
        let grant = Grant {
            id: request.id.clone(),
            amount: request.amount.clone(),
            priority: request.priority,
            effective_at,
            expires_at: request.expires_at,
            created_at,
            voided_at: None,
            recurrence: request.recurrence.clone(),
            rollover: request.rollover.clone(),
        };
        Self { request, grant }
    }

    /// The text that the store keeps.
    pub fn to_stored(&self) -> String {
        json!({
            "request": self.request.to_json(),
            "effectiveAt": self.grant.effective_at.as_millis(),
            "createdAt": self.grant.created_at.as_millis(),
            "voidedAt": self.grant.voided_at.map(Timestamp::as_millis),
        })
        .to_string()
    }

    pub fn from_stored(text: &str) -> Result<Self> {
        let read = || -> Result<Self> {
            let object = Value::parse("grant", text)?.object()?;
            let request = GrantRequest::read(&object.required("request")?)?;
            let (effective_at, created_at) = (object.required("effectiveAt")?, object.required("createdAt")?);
            let mut given = Self::new(request, effective_at.timestamp()?, created_at.timestamp()?);
            given.grant.voided_at = instant(&object, "voidedAt")?;
            Ok(given)
        };
        read().map_err(|error| Error::new(Code::StoreCorrupt, format!("a grant in the store: {error}")))
    }
}

fn instant(object: &Object<'_>, name: &str) -> Result<Option<Timestamp>> {
    object.optional(name).map(|value| value.timestamp()).transpose()
}

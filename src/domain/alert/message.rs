//! An alert, as it is kept and sent.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{Kind, Measure, Reached};
use crate::domain::{Decimal, Timestamp};
use crate::{Error, Result};

/// Under which an alert is sent, in every attempt: whoever receives it knows by this what he has already.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(String);

impl AlertId {
    /// A UUID of version 7 (RFC 9562), so that they are in the order of their making.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Self(format!("alert_{}", uuid.simple()))
    }

    /// For ids that the store gave back, or that somebody asks for.
    pub fn from_stored(id: String) -> Self {
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How far an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// It was made while there was nobody to send it to.
    Kept,
    /// It waits for an attempt.
    Pending,
    /// A process has claimed it, until an instant.
    Sending,
    /// The receiver has taken it.
    Delivered,
    /// It was given up.
    Failed,
}

impl AlertState {
    pub const ALL: [Self; 5] = [Self::Kept, Self::Pending, Self::Sending, Self::Delivered, Self::Failed];

    /// Whether it may still be sent.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Sending)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for AlertState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid(format!("`state` must be one of {names}, got {text:?}"))
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub id: AlertId,
    pub reached: Reached,
    /// When the event was counted that has reached it.
    pub created_at: Timestamp,
    pub state: AlertState,
    /// How often it was claimed to be sent.
    pub attempts: u32,
    /// When it may be claimed next; of one that is being sent, when its claim ends.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

impl Alert {
    /// What is sent: JSON, the same in every attempt.
    pub fn body(&self) -> String {
        let data = self.reached.to_json();
        json!({ "type": "threshold.reached", "timestamp": self.created_at.to_iso_string(), "data": data }).to_string()
    }
}

impl Reached {
    /// Units are numbers, amounts of money and of credit decimal strings; instants are milliseconds since the epoch.
    pub fn to_json(&self) -> Value {
        let Reached { customer_id, period, percent, measure: Measure { kind, unit, whole, used } } = self;
        let units = |units: &Decimal| units.to_string().parse::<u64>().map_or(Value::Null, Value::from);
        let mut json = match kind {
            Kind::Limit => json!({ "eventType": unit.as_str(), "limit": units(whole), "used": units(used) }),
            Kind::SoftLimit => {
                json!({ "eventType": unit.as_str(), "limit": units(whole), "used": units(used), "soft": true })
            }
            Kind::SpendCap => json!({ "spendCap": whole.to_string(), "spent": used.to_string() }),
            Kind::Credit => {
                json!({ "unit": unit.as_str(), "available": whole.to_string(), "used": used.to_string() })
            }
        };
        json["of"] = kind.as_str().into();
        json["customerId"] = customer_id.as_str().into();
        json["percent"] = (*percent).into();
        json["periodStart"] = period.start.as_millis().into();
        json["periodEnd"] = period.end.as_millis().into();
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credit::Unit;
    use crate::domain::{CustomerId, Meter, Period};

    fn body(kind: Kind, unit: Unit, whole: &str, used: &str) -> Value {
        let at = Timestamp::from_stored(1_790_000_000_000);
        let amount = |text| Decimal::parse("amount", text).unwrap();
        let reached = Reached {
            customer_id: CustomerId::new("ann").unwrap(),
            period: Period { start: Timestamp::from_stored(1), end: Timestamp::from_stored(2) },
            percent: 80,
            measure: Measure { kind, unit, whole: amount(whole), used: amount(used) },
        };
        let alert = Alert {
            id: AlertId::new(at, [7; 10]),
            reached,
            created_at: at,
            state: AlertState::Pending,
            attempts: 0,
            due_at: at,
            reason: None,
        };
        serde_json::from_str(&alert.body()).unwrap()
    }

    #[test]
    fn what_is_sent_says_what_was_reached() {
        assert_eq!(
            body(Kind::SoftLimit, Unit::Meter(Meter::API_REQUEST), "10", "8"),
            json!({
                "type": "threshold.reached",
                "timestamp": "2026-09-21T14:13:20.000Z",
                "data": {
                    "of": "soft_limit", "customerId": "ann", "percent": 80, "eventType": "api_request", "limit": 10,
                    "used": 8, "soft": true, "periodStart": 1, "periodEnd": 2,
                },
            })
        );
        let capped = body(Kind::SpendCap, Unit::Money, "3", "2.40");
        assert_eq!((&capped["data"]["spendCap"], &capped["data"]["spent"]), (&json!("3"), &json!("2.4")));
        let credit = body(Kind::Credit, Unit::Money, "3", "2.4");
        assert_eq!((&credit["data"]["available"], &credit["data"]["used"]), (&json!("3"), &json!("2.4")));
    }

    #[test]
    fn ids_are_in_the_order_of_their_making() {
        let id = |millis, random| AlertId::new(Timestamp::from_stored(millis), [random; 10]);
        assert_ne!(id(1, 1), id(1, 2));
        assert!(id(1, 9) < id(2, 1) && id(2, 9) < id(1_790_000_000_000, 1));
    }
}

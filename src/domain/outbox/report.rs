//! What is reported: one delta, and how far its delivery is.

use std::fmt;
use std::str::FromStr;

use crate::domain::{CustomerId, Meter, Timestamp};
use crate::{Code, Error, Result};

/// Under which a report is sent, in every attempt: at most 100 characters, as Stripe wants it, and unlike any other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportId(String);

impl ReportId {
    /// A UUID of version 7 (RFC 9562): its ids lie beside each other in an index, in the order of their making.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// For ids that the store gave back, or that somebody asks for.
    pub fn from_stored(id: String) -> Self {
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReportId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who is told of, in the other service's words. It is what the customer had when the usage was counted, and never
/// changes for a report: two attempts must not tell of two customers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient {
    pub stripe_customer_id: String,
    /// For services that bill a subscription's item and not a customer.
    pub subscription_id: Option<String>,
}

/// How far a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It waits for its window's end, for its turn, or for another attempt.
    Pending,
    /// A process has claimed it, until an instant.
    Sending,
    /// The other side has taken it.
    Sent,
    /// The other side refuses it for good.
    Dead,
    /// Nobody knows whether it arrived, and to ask again might count it twice: it has to be reconciled.
    Uncertain,
    /// It is too old to be taken.
    Frozen,
}

impl State {
    pub const ALL: [State; 6] =
        [State::Pending, State::Sending, State::Sent, State::Dead, State::Uncertain, State::Frozen];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Sending => "sending",
            State::Sent => "sent",
            State::Dead => "dead",
            State::Uncertain => "uncertain",
            State::Frozen => "frozen",
        }
    }

    /// Whether there is an attempt to come.
    pub fn is_open_ended(self) -> bool {
        matches!(self, State::Pending | State::Sending)
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        State::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names = State::ALL.map(State::as_str).join(", ");
            Error::new(Code::InvalidArgument, format!("`state` must be one of {names}, got {text:?}"))
        })
    }
}

/// What a customer used of a meter in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub id: ReportId,
    pub customer_id: CustomerId,
    pub meter: Meter,
    pub window_start: Timestamp,
    pub recipient: Recipient,
    pub units: u64,
    /// When the last of its events happened.
    pub timestamp: Timestamp,
    pub state: State,
    /// How often it was claimed to be sent.
    pub attempts: u32,
    pub first_attempt_at: Option<Timestamp>,
    /// An attempt may have arrived without our knowing it.
    pub in_doubt: bool,
    /// When it may be claimed next; of one that is being sent, when its claim ends.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_in_the_order_of_time() {
        let id = |millis, random| ReportId::new(Timestamp::from_stored(millis), [random; 10]);
        let parsed: uuid::Uuid = id(1_790_000_000_123, 7).as_str().parse().unwrap();
        assert_eq!(
            (parsed.get_version_num(), parsed.get_timestamp().unwrap().to_unix()),
            (7, (1_790_000_000, 123_000_000))
        );
        assert!(id(1, 255) < id(2, 0));
        assert!(id(1, 1) != id(1, 2));
        assert!(id(0, 0).as_str().len() <= 100);
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!("lost".parse::<State>().unwrap_err().code, Code::InvalidArgument);
    }
}

//! What a store tells of.

use serde::{Deserialize, Serialize};

use crate::domain::Thresholds;
use crate::{Code, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertRule {
    /// Of which shares.
    pub thresholds: Thresholds,
    /// Whether there is a receiver to send alerts to.
    pub is_sent: bool,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    thresholds: Vec<u32>,
    sent: bool,
}

impl AlertRule {
    /// The text that the store keeps.
    pub fn to_stored(&self) -> Result<String> {
        let stored = Stored { thresholds: self.thresholds.percents().to_vec(), sent: self.is_sent };
        serde_json::to_string(&stored)
            .map_err(|error| Error::new(Code::Internal, format!("the rule of alerts cannot be written: {error}")))
    }

    pub fn from_stored(text: &str) -> Result<Self> {
        let damaged = || Error::new(Code::StoreCorrupt, format!("the store holds {text:?} as its rule of alerts"));
        let Stored { thresholds, sent } = serde_json::from_str(text).map_err(|_| damaged())?;
        let thresholds = Thresholds::new(thresholds.into_iter().map(f64::from)).map_err(|_| damaged())?;
        Ok(Self { thresholds, is_sent: sent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        for (percents, is_sent) in [(vec![], false), (vec![1.0, 80.0, 1_000.0], true)] {
            let rule = AlertRule { thresholds: Thresholds::new(percents).unwrap(), is_sent };
            assert_eq!(AlertRule::from_stored(&rule.to_stored().unwrap()), Ok(rule));
        }
        for damaged in ["", "[]", r#"{"thresholds":[0],"sent":true}"#, r#"{"thresholds":[5.5],"sent":true}"#] {
            assert_eq!(AlertRule::from_stored(damaged).unwrap_err().code, Code::StoreCorrupt, "{damaged}");
        }
    }
}

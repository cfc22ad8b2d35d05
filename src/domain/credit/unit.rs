//! What credit is given in.

use std::fmt;
use std::str::FromStr;

use crate::domain::Meter;
use crate::{Error, Result};

/// What is given and burnt together: money, or the units of one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Unit {
    #[default]
    Money,
    Meter(Meter),
}

impl Unit {
    const MONEY: &str = "money";

    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Money => Self::MONEY,
            Unit::Meter(meter) => meter.as_str(),
        }
    }

    pub fn from_stored(text: &str) -> Result<Self> {
        Ok(if text == Self::MONEY { Unit::Money } else { Unit::Meter(Meter::declared(text)?) })
    }
}

/// `money`, or the name of a meter: whether there is such a meter, the store's catalog says.
impl FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |error: Error| Error::invalid(format!("`unit` must be \"money\" or a meter: {error}"));
        Ok(if text == Self::MONEY { Unit::Money } else { Unit::Meter(text.parse().map_err(refused)?) })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

//! The least and the most that a price ever asks.

use super::Line;
use crate::domain::Decimal;
use crate::domain::json::Object;
use crate::{Code, Error, Result};

/// Bounds of the total. What was used less for, down to nothing at all, costs the minimum; the maximum is never passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    minimum: Decimal,
    maximum: Option<Decimal>,
}

impl Bounds {
    pub const FIELDS: &[&str] = &["minimumAmount", "maximumAmount"];

    /// `place` is the price's.
    pub fn read(place: &str, object: &Object<'_>) -> Result<Self> {
        let minimum = object.non_negative_or_zero("minimumAmount")?;
        let maximum = object.optional("maximumAmount").map(|maximum| maximum.non_negative()).transpose()?;
        match maximum {
            Some(maximum) if maximum < minimum => Err(Error::new(
                Code::InvalidCatalog,
                format!("`{place}.maximumAmount` ({maximum}) must not be below `{place}.minimumAmount` ({minimum})"),
            )
            .at(&format!("{place}.maximumAmount"))),
            maximum => Ok(Self { minimum, maximum }),
        }
    }

    /// The line that brings a total within the bounds, if it is not.
    pub fn adjustment(&self, total: &Decimal) -> Option<Line> {
        let (description, bound) = match &self.maximum {
            _ if *total < self.minimum => ("Minimum amount", &self.minimum),
            Some(maximum) if total > maximum => ("Maximum amount", maximum),
            _ => return None,
        };
        Some(Line::new(description, Decimal::default(), &Decimal::default()).with_flat_amount(&(bound - total)))
    }
}

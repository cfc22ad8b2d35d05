//! The least and the most that a price ever asks.

use super::Line;
use crate::domain::Decimal;
use crate::domain::json::{Object, Value};
use crate::domain::mistakes::Mistakes;
use crate::{Code, Error};

/// Bounds of the total. What was used less for, down to nothing at all, costs the minimum; the maximum is never passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    minimum: Decimal,
    maximum: Option<Decimal>,
}

impl Bounds {
    pub const FIELDS: &[&str] = &["minimumAmount", "maximumAmount"];

    pub(super) fn is_none(&self) -> bool {
        self.minimum.is_zero() && self.maximum.is_none()
    }

    /// `place` is the price's.
    pub(super) fn read(place: &str, object: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let minimum = mistakes.non_negative_or_zero(object, "minimumAmount");
        let maximum = mistakes.optional(object, "maximumAmount", Value::non_negative);
        let (minimum, maximum) = (minimum?, maximum?);
        if let Some(maximum) = maximum.as_ref().filter(|maximum| **maximum < minimum) {
            let message =
                format!("`{place}.maximumAmount` ({maximum}) must not be below `{place}.minimumAmount` ({minimum})");
            mistakes.note(Error::new(Code::InvalidCatalog, message).at(&format!("{place}.maximumAmount")));
        }
        Some(Self { minimum, maximum })
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

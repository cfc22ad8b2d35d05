//! Quotas: how many units of a meter a customer may use in a period.

use crate::{Error, Result};

/// A number of units: whole, and exact as a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Units(u64);

impl Units {
    pub const ONE: Units = Units(1);
    /// `Number.MAX_SAFE_INTEGER`.
    pub const MAX: u64 = (1 << 53) - 1;

    pub fn from_number(number: f64) -> Result<Self> {
        if number.fract() != 0.0 || !(1.0..=Self::MAX as f64).contains(&number) {
            return Err(Error::invalid(format!(
                "`units` must be a whole number from 1 to Number.MAX_SAFE_INTEGER, got {number}"
            )));
        }
        Ok(Self(number as u64))
    }

    /// For values that were `Units` before, such as a database column.
    pub fn from_stored(units: i64) -> Self {
        Self(u64::try_from(units).unwrap_or(0))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

/// Where a customer stands on one meter in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// `None` means without a limit.
    pub limit: Option<u64>,
    pub used: u64,
}

impl Standing {
    /// Whether `units` more still fit. This is the only place that compares usage with a limit.
    pub fn admits(self, units: Units) -> bool {
        match self.limit {
            None => true,
            Some(limit) => self.used.checked_add(units.get()).is_some_and(|after| after <= limit),
        }
    }

    /// `None` means without a limit. Never negative, also where recorded events went past the limit.
    pub fn remaining(self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }

    pub fn plus(self, units: Units) -> Result<Self> {
        let used = self.used + units.get();
        if used > Units::MAX {
            return Err(Error::invalid("the units used in this period would pass Number.MAX_SAFE_INTEGER"));
        }
        Ok(Self { used, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_unit_is_admitted_and_the_next_is_not() {
        let standing = Standing { limit: Some(10), used: 9 };
        assert!(standing.admits(Units::ONE));
        assert!(!standing.plus(Units::ONE).unwrap().admits(Units::ONE));
        assert!(!standing.admits(Units(2)));
        assert!(!Standing { limit: Some(u64::MAX), used: u64::MAX }.admits(Units::ONE));
        assert!(Standing { limit: None, used: u64::MAX }.admits(Units::ONE));
        assert!(!Standing { limit: Some(0), used: 0 }.admits(Units::ONE));
    }

    #[test]
    fn only_safe_positive_whole_numbers_are_units() {
        assert_eq!(Units::from_number(9_007_199_254_740_991.0).unwrap().get(), Units::MAX);
        for number in [0.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0] {
            assert!(Units::from_number(number).is_err(), "{number}");
        }
    }
}

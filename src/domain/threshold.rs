//! Thresholds: of which shares of a limit, a spend cap or a credit somebody wants to be told.

use super::Decimal;
use crate::{Error, Result};

/// Whole per cents, each once, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds(Vec<u32>);

impl Default for Thresholds {
    fn default() -> Self {
        Self(vec![50, 80, 100])
    }
}

impl Thresholds {
    /// From 1 to 1000 per cent: recorded events may go past a limit.
    pub fn new(percents: impl IntoIterator<Item = f64>) -> Result<Self> {
        let percent = |number: f64| {
            if number.fract() == 0.0 && (1.0..=1_000.0).contains(&number) {
                return Ok(number as u32);
            }
            Err(Error::invalid(format!("`thresholds` must be whole numbers from 1 to 1000, got {number}")))
        };
        let mut percents = percents.into_iter().map(percent).collect::<Result<Vec<_>>>()?;
        percents.sort_unstable();
        percents.dedup();
        Ok(Self(percents))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn percents(&self) -> &[u32] {
        &self.0
    }

    /// Which of these shares of a whole are used up. Of nothing there are none.
    pub fn reached(&self, whole: &Decimal, used: &Decimal) -> impl Iterator<Item = u32> {
        let hundredfold = used * &Decimal::from(100);
        let is_reached = move |percent: &u32| hundredfold >= whole * &Decimal::from(u64::from(*percent));
        self.0.iter().copied().filter(move |percent| !whole.is_zero() && is_reached(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(percents: &[f64], whole: u64, used: u64) -> Vec<u32> {
        Thresholds::new(percents.iter().copied()).unwrap().reached(&whole.into(), &used.into()).collect()
    }

    #[test]
    fn a_threshold_is_reached_by_the_unit_that_makes_it_whole() {
        assert_eq!(reached(&[50.0], 10, 5), [50]);
        assert!(reached(&[50.0], 10, 4).is_empty());
        // Half of 3 is 1.5.
        assert_eq!([reached(&[50.0], 3, 1), reached(&[50.0], 3, 2)], [vec![], vec![50]]);
    }

    #[test]
    fn the_lowest_comes_first() {
        assert_eq!(reached(&[100.0, 50.0, 80.0, 50.0], 10, 10), [50, 80, 100]);
        assert_eq!(reached(&[100.0, 150.0], 10, 16), [100, 150]);
    }

    #[test]
    fn of_nothing_no_share_is_reached() {
        assert!(reached(&[50.0, 100.0], 0, 5).is_empty());
    }

    #[test]
    fn only_whole_per_cents_are_thresholds() {
        for number in [0.0, -1.0, 0.5, 1_001.0, f64::NAN, f64::INFINITY] {
            assert!(Thresholds::new([number]).is_err(), "{number}");
        }
    }
}

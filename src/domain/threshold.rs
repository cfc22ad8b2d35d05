//! Thresholds: of which shares of a limit somebody wants to be told.

use crate::{Error, Result};

/// Whole per cents of a limit, each once, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thresholds(Vec<u32>);

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

    /// Which of them usage has reached that grew from `before` to `after`.
    pub fn reached(&self, limit: u64, before: u64, after: u64) -> impl Iterator<Item = u32> {
        let reaches = move |used: u64, percent: u32| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent);
        self.0.iter().copied().filter(move |percent| reaches(after, *percent) && !reaches(before, *percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(percents: &[f64], limit: u64, before: u64, after: u64) -> Vec<u32> {
        Thresholds::new(percents.iter().copied()).unwrap().reached(limit, before, after).collect()
    }

    #[test]
    fn a_threshold_is_reached_by_the_unit_that_makes_it_whole() {
        assert_eq!(reached(&[50.0], 10, 4, 5), [50]);
        assert!(reached(&[50.0], 10, 3, 4).is_empty());
        assert!(reached(&[50.0], 10, 5, 6).is_empty());
        // Half of 3 is 1.5.
        assert_eq!(reached(&[50.0], 3, 1, 2), [50]);
    }

    #[test]
    fn one_event_may_reach_several() {
        assert_eq!(reached(&[100.0, 50.0, 80.0, 50.0], 10, 0, 10), [50, 80, 100]);
        assert_eq!(reached(&[100.0, 150.0], 10, 10, 16), [150]);
    }

    #[test]
    fn a_limit_of_nothing_is_reached_from_the_start() {
        assert!(reached(&[50.0, 100.0], 0, 0, 5).is_empty());
    }

    #[test]
    fn each_is_reached_once_however_usage_grows() {
        let steps = [1, 3, 4, 8, 9, 13, 20, 21, 400];
        let all = steps.windows(2).flat_map(|step| reached(&[1.0, 50.0, 80.0, 100.0, 1_000.0], 17, step[0], step[1]));
        assert_eq!(all.collect::<Vec<_>>(), [50, 80, 100, 1_000]);
    }

    #[test]
    fn only_whole_per_cents_are_thresholds() {
        for number in [0.0, -1.0, 0.5, 1_001.0, f64::NAN, f64::INFINITY] {
            assert!(Thresholds::new([number]).is_err(), "{number}");
        }
    }
}

//! What pays for an event.

use super::Unit;
use crate::Result;
use crate::domain::decimal::{Positive, Rounding};
use crate::domain::money::MAX_DECIMAL_PLACES;
use crate::domain::{Decimal, Money, UsageEvent};

/// What an event costs, and what is burnt for it. Each of its units is paid once: by credit for units, by money, or, where it
/// costs nothing, it is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Of the units that no credit for units covers.
    pub cost: Money,
    pub burns: Vec<(Unit, Decimal)>,
    /// What is burnt of credit for units beyond what is left of it.
    pub owed: Decimal,
}

impl Payment {
    /// Where there is no credit for its units.
    pub fn by_money(cost: Money) -> Self {
        Self { cost, burns: vec![], owed: Decimal::default() }
    }

    /// Where so much is left of the credit for its units.
    pub fn of_units(event: &UsageEvent, left: &Decimal) -> Result<Self> {
        let units = Decimal::from(event.units.get());
        let covered = left.min(&units).clone();
        let cost = cost_of_rest(event.cost, &units, &covered)?;
        let burnt = if cost == Money::ZERO { units } else { covered };
        Ok(Self { cost, owed: burnt.saturating_sub(left), burns: vec![(Unit::Meter(event.meter), burnt)] })
    }
}

/// What the units cost that are not covered, where all of them cost so much and each the same. Where a share has more than 12
/// places it is rounded there, half away from zero: the price of a unit has no more.
pub fn cost_of_rest(cost: Money, units: &Decimal, covered: &Decimal) -> Result<Money> {
    if covered.is_zero() {
        return Ok(cost);
    }
    let rest = units.saturating_sub(covered);
    let Some(units) = Positive::new(units.clone()) else { return Ok(cost) };
    let places = u16::try_from(MAX_DECIMAL_PLACES).unwrap_or(u16::MAX);
    let share = (&Decimal::from(cost) * &rest).div_round(&units, places, Rounding::HalfAwayFromZero);
    Money::from_decimal(&share)
}

/// What is missing where credit does not cover an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    pub unit: Unit,
    /// Of the credit in this unit.
    pub left: Decimal,
    /// In this unit.
    pub cost: Decimal,
}

impl Payment {
    /// What is missing where so much is left of the credit in money, and so much of that is set apart for others. This is the
    /// only place that compares them.
    pub fn shortfall(&self, event: &UsageEvent, left: Decimal, set_apart: Money) -> Option<Shortfall> {
        if !self.owed.is_zero() {
            let cost = Decimal::from(event.units.get());
            return Some(Shortfall { unit: Unit::Meter(event.meter), left: cost.saturating_sub(&self.owed), cost });
        }
        let cost = Decimal::from(self.cost);
        (left.saturating_sub(&set_apart.into()) < cost).then_some(Shortfall { unit: Unit::Money, left, cost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(cost: &str, units: u64, covered: &str) -> String {
        let covered = Decimal::parse("covered", covered).unwrap();
        cost_of_rest(Money::parse("cost", cost).unwrap(), &units.into(), &covered).unwrap().to_string()
    }

    #[test]
    fn units_that_are_covered_cost_nothing_and_the_others_what_they_cost() {
        assert_eq!(rest("0.3", 3, "0"), "0.3");
        assert_eq!(rest("0.3", 3, "2"), "0.1");
        assert_eq!(rest("0.3", 3, "3"), "0");
        assert_eq!(rest("0.3", 3, "0.5"), "0.25", "a part of a unit");
        assert_eq!(rest("0", 3, "1"), "0");
        assert_eq!(rest("1", 3, "1"), "0.666666666667", "no price of a unit, but a sum that was said");
        assert_eq!(rest("999999999999.999999999999", 9_007_199_254_740_991, "0"), "999999999999.999999999999");
    }
}

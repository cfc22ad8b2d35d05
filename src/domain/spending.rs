//! Spend caps: how much money a customer may spend in a billing period.

use super::{Money, Standing};

/// Where a customer with a spend cap stands in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    pub cap: Money,
    /// The cost of all that is counted in the period, on every meter.
    pub spent: Money,
}

impl Spending {
    /// Whether something of this cost still fits. What is free always does, and what makes the rest cheaper. This is the
    /// only place that compares what is spent with a cap.
    pub fn admits(self, cost: Money) -> bool {
        // A sum that fits no number passes every cap.
        cost <= Money::ZERO || self.spent.checked_add(cost).is_ok_and(|after| after <= self.cap)
    }
}

/// Leases of a cap are counted in billionths of the currency. Where an amount is no whole number of them, what is used is
/// rounded up and what there is down, so that a lease never has room for more than the cap; the store judges the rest
/// exactly.
impl Spending {
    pub fn standing(self) -> Standing {
        Standing { limit: Some(self.cap.billionths().0), used: self.spent.billionths().1 }
    }

    /// What something of this cost takes.
    pub fn amount(cost: Money) -> u64 {
        cost.billionths().1
    }

    /// That in billionths the cap has no room for something of this cost, but in the last digit it may have.
    pub fn may_be_rounded(cap: Money, cost: Money) -> bool {
        [cap, cost].into_iter().any(|amount| {
            let (down, up) = amount.billionths();
            down != up || up >= Money::MOST_BILLIONTHS
        })
    }

    /// What a standing means.
    pub fn of(cap: Money, standing: Standing) -> Self {
        Self { cap, spent: Money::from_billionths(standing.used) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn billionths_never_make_more_of_a_cap_than_it_is() {
        let spending = Spending { cap: money("1.0000000015"), spent: money("0.333333333333") };
        assert_eq!(spending.standing(), Standing { limit: Some(1_000_000_001), used: 333_333_334 });
        assert_eq!(Spending::amount(money("0.000000000001")), 1);
        assert!(
            Spending::may_be_rounded(spending.cap, money("1")) && !Spending::may_be_rounded(money("1"), money("0.1"))
        );
        let huge = Spending { cap: money("999999999999"), spent: money("999999999998") };
        assert!(!huge.standing().has_room_for(1) && Spending::may_be_rounded(huge.cap, money("1")));
        let exact = Spending { cap: money("10"), spent: money("2.5") };
        assert_eq!(Spending::of(exact.cap, exact.standing()), exact);
    }

    fn money(text: &str) -> Money {
        Money::parse("amount", text).unwrap()
    }

    #[test]
    fn the_cap_is_spent_to_the_last_digit_and_not_passed() {
        let spending = Spending { cap: money("1"), spent: money("0.97") };
        assert!(spending.admits(money("0.03")));
        assert!(!spending.admits(money("0.030000000001")));
        let spent = Spending { spent: money("1"), ..spending };
        assert!(!spent.admits(money("0.000000000001")));
    }

    #[test]
    fn what_is_free_passes_a_cap_that_is_spent() {
        let passed = Spending { cap: Money::ZERO, spent: money("5") };
        assert!(passed.admits(Money::ZERO));
        assert!(!passed.admits(money("0.01")));
    }
}

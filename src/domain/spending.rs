//! Spend caps: how much money a customer may spend in a billing period.

use super::Money;

/// Where a customer with a spend cap stands in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    pub cap: Money,
    /// The cost of all that is counted in the period, on every meter.
    pub spent: Money,
}

impl Spending {
    /// Whether something of this cost still fits. What is free always does, and what makes the rest cheaper. This is the only place that compares what is
    /// spent with a cap.
    pub fn admits(self, cost: Money) -> bool {
        // A sum that fits no number passes every cap.
        cost <= Money::ZERO || self.spent.checked_add(cost).is_ok_and(|after| after <= self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! Quotas: what a customer has only so much of, over some time.

use std::borrow::Cow;
use std::str::FromStr;

use super::catalog::LimitWindow;
use super::{Customer, Meter, Money, Period, Spending, TimeZone, Timestamp};
use crate::{Error, Result};

mod window_usage;

pub use window_usage::WindowUsage;

/// What a customer has only so much of. Whatever is admitted takes from all of his quotas that it touches, or from none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Units of a meter in a billing period.
    Period(Meter),
    /// Units of a meter in a day, an hour or the seconds before.
    Window(Meter, LimitWindow),
    /// What may be spent in a billing period, in billionths of the currency: see [`super::Spending`].
    Spend,
    /// Credit in money of a customer who pays with it, in billionths: what is left, until time changes that.
    Credit,
}

/// Where an amount at some instant belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What is set aside for it may be used in it.
    pub period: Period,
    /// Over which all of the quota that is used counts: the period itself, but where a window slides.
    pub span: Period,
}

/// So many steps make up a window that slides.
const STEPS: i64 = 50;

impl Quota {
    const SPEND: &str = "$";
    const CREDIT: &str = "$credit";

    /// `zone` is that of calendar months, days and hours.
    pub fn frame(self, customer: &Customer, at: Timestamp, zone: TimeZone) -> Frame {
        match self {
            // How long credit lasts within it, its books tell.
            Quota::Period(_) | Quota::Spend | Quota::Credit => Frame::whole(customer.billing_period(at, zone)),
            Quota::Window(_, LimitWindow::Calendar(window)) => Frame::whole(window.containing(at, zone)),
            Quota::Window(_, LimitWindow::Sliding { seconds }) => Frame::sliding(seconds, at),
        }
    }

    /// How much of it so many units take that cost so much.
    pub fn amount(self, units: u64, cost: Money) -> u64 {
        if self.meter().is_none() { Spending::amount(cost) } else { units }
    }

    /// The meter whose units it is; `None` for money.
    pub fn meter(self) -> Option<Meter> {
        match self {
            Quota::Period(meter) | Quota::Window(meter, _) => Some(meter),
            Quota::Spend | Quota::Credit => None,
        }
    }

    /// As it is written down.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Quota::Period(meter) => meter.as_str().into(),
            Quota::Window(meter, window) => format!("{}/{}", meter.as_str(), window.name()).into(),
            Quota::Spend => Self::SPEND.into(),
            Quota::Credit => Self::CREDIT.into(),
        }
    }
}

/// What [`Quota::name`] has written.
impl FromStr for Quota {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.split_once('/') {
            _ if name == Self::SPEND => Ok(Quota::Spend),
            _ if name == Self::CREDIT => Ok(Quota::Credit),
            None => Ok(Quota::Period(Meter::declared(name)?)),
            Some((meter, window)) => Ok(Quota::Window(Meter::declared(meter)?, LimitWindow::from_name(window)?)),
        }
    }
}

impl Frame {
    pub fn whole(period: Period) -> Self {
        Self { period, span: period }
    }

    /// A window slides in steps of a fiftieth of itself. All of the step in which it begins counts, so that a limit is never
    /// passed, and what is used counts for up to one step longer. By a clock that is behind others, what they have used lies
    /// ahead: it is in windows that hold this instant, too.
    fn sliding(seconds: u64, at: Timestamp) -> Self {
        // At least 20 ms.
        let step = i64::try_from(seconds).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000) / STEPS;
        let start = Timestamp::from_stored(at.as_millis().div_euclid(step) * step);
        let period = Period { start, end: start.plus_millis(step) };
        let window = step * STEPS;
        Self { period, span: Period { start: start.plus_millis(-window), end: period.end.plus_millis(window) } }
    }
}

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
    /// Whether `units` more still fit.
    pub fn admits(self, units: Units) -> bool {
        self.has_room_for(units.get())
    }

    /// Whether so much more of the quota still fits. This is the only place that compares usage with a limit.
    pub fn has_room_for(self, amount: u64) -> bool {
        match self.limit {
            None => true,
            Some(limit) => self.used.checked_add(amount).is_some_and(|after| after <= limit),
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Window;

    #[test]
    fn a_name_means_its_quota() {
        let api = Meter::API_REQUEST;
        let windows = [
            LimitWindow::Calendar(Window::Day),
            LimitWindow::Calendar(Window::Hour),
            LimitWindow::Sliding { seconds: 60 },
        ];
        let all = windows.map(|window| Quota::Window(api, window)).into_iter().chain([
            Quota::Period(api),
            Quota::Spend,
            Quota::Credit,
        ]);
        let names: Vec<_> = all.clone().map(Quota::name).collect();
        assert_eq!(names, ["api_request/day", "api_request/hour", "api_request/60s", "api_request", "$", "$credit"]);
        assert!(all.zip(names).all(|(quota, name)| name.parse::<Quota>().ok() == Some(quota)));
        for name in ["", "/", "api_request/", "api_request/week", "api_request/0s", "Api/day"] {
            assert!(name.parse::<Quota>().is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_sliding_window_looks_back_far_enough_and_hardly_further(
            seconds in 1u64..2_678_400, at in 10_000_000_000i64..4_000_000_000_000,
        ) {
            let customer = Customer::new(crate::domain::CustomerId::from_stored("ann".to_owned()), Timestamp::from_stored(0));
            let quota = Quota::Window(Meter::API_REQUEST, LimitWindow::Sliding { seconds });
            let at = Timestamp::from_stored(at);
            let Frame { period, span } = quota.frame(&customer, at, TimeZone::UTC);
            prop_assert!(period.contains(at) && span.contains(at));
            let length = (seconds * 1_000) as i64;
            let step = length / STEPS;
            // Whatever happens in this step, the whole window before it counts.
            prop_assert!(span.start.as_millis() <= period.start.as_millis() - length);
            prop_assert!(span.end.as_millis() >= at.as_millis() + length - step);
            prop_assert!(period.end.as_millis() - span.start.as_millis() <= length + step);
            // Steps meet without a gap.
            prop_assert_eq!(quota.frame(&customer, period.end, TimeZone::UTC).period.start, period.end);
        }
    }

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

//! What was reached, and by whom.

use std::str::FromStr;

use crate::domain::credit::Unit;
use crate::domain::{CustomerId, Decimal, Period};
use crate::{Code, Error, Result};

/// A customer has used up so many per cent of something in a billing period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    pub customer_id: CustomerId,
    pub period: Period,
    pub percent: u32,
    pub measure: Measure,
}

/// Of what a share was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    pub kind: Kind,
    /// The meter, or money.
    pub unit: Unit,
    /// All of it.
    pub whole: Decimal,
    /// What is used of it in the period.
    pub used: Decimal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of units of a meter.
    Limit,
    /// The same, but it never refuses.
    SoftLimit,
    SpendCap,
    Credit,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Limit, Kind::SoftLimit, Kind::SpendCap, Kind::Credit];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Limit => "limit",
            Kind::SoftLimit => "soft_limit",
            Kind::SpendCap => "spend_cap",
            Kind::Credit => "credit",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::new(Code::StoreCorrupt, format!("the store holds {text:?} as the kind of an alert"));
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bound, Watch};
    use super::*;
    use crate::domain::{Meter, Money, Thresholds, Timestamp};

    fn decimal(text: &str) -> Decimal {
        Decimal::parse("amount", text).unwrap()
    }

    fn percents(bound: Bound, used: &str) -> Vec<u32> {
        let period = Period { start: Timestamp::from_stored(0), end: Timestamp::from_stored(1) };
        let watch = Watch { period, bound, now: Timestamp::from_stored(0) };
        let thresholds = Thresholds::new([50.0, 80.0, 100.0]).unwrap();
        let reached = watch.reached(&CustomerId::new("ann").unwrap(), &thresholds, &decimal(used));
        reached.iter().map(|reached| reached.percent).collect()
    }

    #[test]
    fn a_share_is_reached_by_the_last_digit_of_it() {
        let cap = |cap: &str, spent: &str| percents(Bound::SpendCap(Money::parse("cap", cap).unwrap()), spent);
        assert_eq!(cap("0.3", "0.15"), [50]);
        assert!(cap("0.3", "0.149999999999").is_empty());
        assert_eq!(cap("1", "7"), [50, 80, 100]);
        assert!(cap("0", "7").is_empty(), "there is nothing to use up");
        let limit = |used| percents(Bound::Limit { meter: Meter::API_REQUEST, limit: 3, soft: true }, used);
        assert_eq!([limit("1"), limit("2"), limit("3")], [vec![], vec![50], vec![50, 80, 100]]);
    }

    #[test]
    fn credit_is_what_is_left_and_what_was_used() {
        let credit = |left: &str, used| {
            percents(Bound::Credit { unit: Unit::Money, left: decimal(left), given: decimal("0") }, used)
        };
        assert!(credit("5.1", "4.9").is_empty());
        assert_eq!(credit("0.2", "0.8"), [50, 80]);
        assert_eq!(credit("0", "0.1"), [50, 80, 100]);
        assert!(credit("0", "0").is_empty());
    }

    #[test]
    fn kinds_have_stable_names() {
        assert!(Kind::ALL.into_iter().all(|kind| kind.as_str().parse() == Ok(kind)));
        assert_eq!("caps".parse::<Kind>().unwrap_err().code, Code::StoreCorrupt);
    }
}

//! Proration: a part of a period costs the same part of an amount.
//!
//! The part is an exact ratio of whole numbers. Stripe prorates by the second, and so does [`Proration::by_second`], the
//! default; Lago prorates by the day ([`Proration::by_day`]).
//!
//! Money is rounded here in one place, [`Proration::share`], and so that nothing is lost by it: the shares of the parts of a
//! period are together the amount, to the last digit, however often the period was cut.

use super::decimal::Positive;
use super::{Decimal, Period, Rounding, TimeZone, Timestamp};
use crate::{Error, Result};

/// A part of a period: from which to which second (or day) of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proration {
    from: u64,
    to: u64,
    of: u64,
}

impl Proration {
    /// Instants count by the second in which they lie, as Stripe's do.
    /// <https://docs.stripe.com/billing/subscriptions/prorations>
    pub fn by_second(part: Period, whole: Period) -> Result<Self> {
        Self::new(part, whole, |at| at.as_millis().div_euclid(1_000))
    }

    /// Instants count by the local day on which they lie: the day of a change belongs to what comes after it.
    pub fn by_day(part: Period, whole: Period, zone: TimeZone) -> Result<Self> {
        Self::new(part, whole, |at| zone.local(at).date().to_epoch_days().into())
    }

    fn new(part: Period, whole: Period, position: impl Fn(Timestamp) -> i64) -> Result<Self> {
        if part.start < whole.start || part.end > whole.end || part.end < part.start {
            return Err(Error::invalid("only a part of a period can be prorated: it must lie within the period"));
        }
        let start = position(whole.start);
        // A clock that is turned back over midnight shows an earlier date again.
        let since_start = |at| u64::try_from(position(at) - start).unwrap_or(0);
        let (from, to, of) = (since_start(part.start), since_start(part.end), since_start(whole.end));
        if of == 0 {
            return Err(Error::invalid("a period that is shorter than what it is prorated by cannot be prorated"));
        }
        let to = to.min(of);
        Ok(Self { from: from.min(to), to, of })
    }

    /// Numerator and denominator, in lowest terms.
    pub fn ratio(self) -> (u64, u64) {
        let part = self.to - self.from;
        let divisor = greatest_common_divisor(part, self.of);
        (part / divisor, self.of / divisor)
    }

    /// What the part costs of an amount, with so many decimal places: what has fallen due by the end of the part, rounded,
    /// less what had fallen due by its start, rounded. Two parts of one length may differ by one unit of the last place.
    pub fn share(self, amount: &Decimal, places: u16, rounding: Rounding) -> Decimal {
        &self.due(self.to, amount, places, rounding) - &self.due(self.from, amount, places, rounding)
    }

    /// Due by a second (or day) of the period. At its end that is the amount itself, which needs no rounding.
    fn due(self, by: u64, amount: &Decimal, places: u16, rounding: Rounding) -> Decimal {
        match Positive::new(self.of.into()) {
            Some(of) if by < self.of => (amount * &by.into()).div_round(&of, places, rounding),
            _ => amount.clone(),
        }
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

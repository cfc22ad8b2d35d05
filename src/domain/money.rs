//! Exact decimal money. Never a float between the price list and the total.
//!
//! An amount has at most 12 decimal places (as Stripe's `unit_amount_decimal`) and is below 10^12, so it holds 24 of the
//! 28 digits that [`Decimal`] keeps exactly; sums and products are checked, because `Decimal` would rather round than fail.

use std::fmt;
use std::str::FromStr;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::{Code, Error, Result};

/// The most decimal places that an amount may have: Stripe's own limit for `unit_amount_decimal`.
pub const MAX_DECIMAL_PLACES: u32 = 12;
const MAX_AMOUNT: i64 = 1_000_000_000_000;

/// A non-negative amount, exact to the last digit; or a sum or a difference of such amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(Decimal);

impl Money {
    pub const ZERO: Money = Money(Decimal::ZERO);
    pub const MAX: Money = Money(Decimal::MAX);

    /// Reads a decimal string such as `"0.10"`, exactly. `field` names the argument in the error.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let amount = Decimal::from_str_exact(text)
            .ok()
            .filter(|_| plain)
            .ok_or_else(|| Error::invalid(format!("`{field}` must be a decimal such as \"0.10\", got {text:?}")))?;
        Self::checked(field, amount)
    }

    /// Reads a JavaScript number: the decimal with at most 12 places that it stands for. Arithmetic on floats leaves
    /// noise in the last bits (0.1 + 0.2 is 0.30000000000000004); that noise is dropped here, at the border, half to
    /// even, and nowhere else. A number with real digits beyond the 12th place is refused.
    pub fn from_number(field: &str, number: f64) -> Result<Self> {
        if !number.is_finite() {
            return Err(Error::invalid(format!("`{field}` must be a finite number or a decimal string, got {number}")));
        }
        // `{}` prints the shortest decimal that reads back as the same float, without an exponent. Digits beyond the
        // 28 that `Decimal` holds can only be noise or too small, and both are judged below.
        let shortest = Decimal::from_str(&format!("{number}"))
            .map_err(|_| Error::invalid(format!("`{field}` is out of range: {number}")))?;
        let rounded = shortest.round_dp_with_strategy(MAX_DECIMAL_PLACES, RoundingStrategy::MidpointNearestEven);
        let value = rounded.to_string().parse::<f64>().unwrap_or(f64::NAN);
        if (value - number).abs() <= number.abs() * 1e-9 {
            Self::checked(field, rounded)
        } else {
            Err(Error::invalid(format!(
                "`{field}` has more than {MAX_DECIMAL_PLACES} decimal places: {number}. Round it as your prices say \
                 and pass a decimal string"
            )))
        }
    }

    fn checked(field: &str, amount: Decimal) -> Result<Self> {
        let amount = amount.normalize();
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(Error::invalid(format!("`{field}` must not be negative, got {amount}")));
        }
        if amount >= Decimal::from(MAX_AMOUNT) {
            return Err(Error::invalid(format!("`{field}` must be below 10^12, got {amount}")));
        }
        if amount.scale() > MAX_DECIMAL_PLACES {
            return Err(Error::invalid(format!(
                "`{field}` must have at most {MAX_DECIMAL_PLACES} decimal places, got {amount}"
            )));
        }
        Ok(Self(amount.abs()))
    }

    /// What a price comes to. It may be negative, and must fit 28 digits.
    pub fn from_decimal(amount: &super::Decimal) -> Result<Self> {
        let amount = Decimal::from_str_exact(&amount.to_string());
        amount.map(|amount| Self(amount.normalize())).map_err(|_| overflow())
    }

    /// For totals that [`Money`]'s `Display` wrote, such as a database column.
    pub fn from_stored(text: &str) -> Result<Self> {
        Decimal::from_str_exact(text)
            .map(Self)
            .map_err(|_| Error::new(Code::StoreCorrupt, format!("the store holds {text:?} where an amount belongs")))
    }

    pub fn checked_add(self, other: Money) -> Result<Self> {
        let scale = self.0.scale().max(other.0.scale());
        Self::exact(self.0.checked_add(other.0), scale)
    }

    pub fn checked_mul(self, units: u64) -> Result<Self> {
        Self::exact(self.0.checked_mul(Decimal::from(units)), self.0.scale())
    }

    /// `Decimal` lowers the scale, rounding, where the digits do not fit: that is an overflow here.
    fn exact(result: Option<Decimal>, scale: u32) -> Result<Self> {
        result.filter(|sum| sum.scale() >= scale || sum.is_zero()).map(|sum| Self(sum.normalize())).ok_or_else(overflow)
    }

    /// As many as add up, with others of them, below what a database's integer holds.
    pub const MOST_BILLIONTHS: u64 = (i64::MAX / 4) as u64;

    /// The amount in billionths, rounded down and up; from 0 to [`Money::MOST_BILLIONTHS`].
    pub fn billionths(self) -> (u64, u64) {
        let scaled = self.0.max(Decimal::ZERO).checked_mul(Decimal::from(1_000_000_000u64)).unwrap_or(Decimal::MAX);
        let whole = |amount: Decimal| amount.to_u64().unwrap_or(u64::MAX).min(Self::MOST_BILLIONTHS);
        (whole(scaled.floor()), whole(scaled.ceil()))
    }

    pub fn from_billionths(billionths: u64) -> Self {
        Self((Decimal::from(billionths) / Decimal::from(1_000_000_000u64)).normalize())
    }

    /// All digits, and how many of them are places.
    pub(super) fn digits(self) -> (i128, u32) {
        (self.0.mantissa(), self.0.scale())
    }

    /// The nearest float, for the seed's `number` fields. Nothing is computed from it.
    pub fn to_number(self) -> f64 {
        // Cannot fail: a plain decimal is always a float literal. `Decimal::to_f64` is not correctly rounded.
        self.0.to_string().parse().unwrap_or(f64::NAN)
    }
}

fn overflow() -> Error {
    Error::new(Code::AmountOverflow, "the sum of these amounts does not fit 28 digits")
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn float_noise_is_dropped_once_and_real_digits_are_not() {
        for (number, text) in [
            (0.1 + 0.2, "0.3"),
            (0.1, "0.1"),
            (0.999_999_999_999_999_9, "1"),
            (3.0 * 0.0001, "0.0003"),
            (-0.0, "0"),
            (1e-12, "0.000000000001"),
            (999_999_999_999.0, "999999999999"),
        ] {
            assert_eq!(Money::from_number("cost", number).unwrap().to_string(), text);
        }
        for number in [f64::NAN, f64::INFINITY, -0.01, 1e12, 1e300, 1e-13, 1.0e-300, 0.000_000_012_345_67] {
            assert_eq!(Money::from_number("cost", number).unwrap_err().code, Code::InvalidArgument, "{number}");
        }
    }

    #[test]
    fn strings_are_read_exactly_or_not_at_all() {
        assert_eq!(Money::parse("cost", "0.10").unwrap().to_string(), "0.1");
        for text in ["", "-1", "+1", "1e3", "0.1234567890123", "1,5", "0x1", " 1", "1_000", "NaN", "1000000000000"] {
            assert_eq!(Money::parse("cost", text).unwrap_err().code, Code::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn a_sum_beyond_28_digits_is_an_error_and_never_rounded() {
        let large = Money(Decimal::MAX);
        assert_eq!(large.checked_add(Money::parse("a", "0.4").unwrap()).unwrap_err().code, Code::AmountOverflow);
        assert_eq!(large.checked_mul(2).unwrap_err().code, Code::AmountOverflow);
    }

    proptest! {
        /// The oracle counts in whole trillionths with i128.
        #[test]
        fn sums_equal_integer_arithmetic(
            amounts in prop::collection::vec((0u64..1_000_000_000, 0u64..1_000_000_000_000), 1..50),
            units in 0u64..10_000,
        ) {
            let mut sum = Money::ZERO;
            let mut trillionths = 0i128;
            for (whole, fraction) in amounts {
                let amount = Money::parse("amount", &format!("{whole}.{fraction:012}")).unwrap();
                sum = sum.checked_add(amount.checked_mul(units).unwrap()).unwrap();
                trillionths += (i128::from(whole) * 1_000_000_000_000 + i128::from(fraction)) * i128::from(units);
            }
            prop_assert_eq!(sum.0, Decimal::from_i128_with_scale(trillionths, 12));
        }

        #[test]
        fn a_number_means_the_decimal_it_prints_as(cents in 0u64..100_000_000_000) {
            let text = format!("{}.{:04}", cents / 10_000, cents % 10_000);
            let number: f64 = text.parse().unwrap();
            prop_assert_eq!(Money::from_number("cost", number).unwrap(), Money::parse("cost", &text).unwrap());
            prop_assert_eq!(Money::parse("cost", &text).unwrap().to_number(), number);
        }
    }
}

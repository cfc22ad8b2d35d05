//! Exact decimals of any size, in which prices are calculated.
//!
//! [`Money`](super::Money) holds what one event costs, in 28 digits. A price times a quantity has the digits of both, and
//! the type beneath `Money` rounds what it cannot hold. So prices use [`BigDecimal`]: its sums and products are exact
//! whatever their size, and nothing has to be checked for overflow. A quotient is written as a decimal only where it is
//! rounded at once ([`Decimal::div_round`]); else whoever divides asks for a whole number ([`Decimal::div_ceil`]).

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Sub};

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode};

use super::Money;
use crate::{Error, Result};

/// The most characters that a decimal may have. It bounds what a hostile text can cost.
pub const MAX_LENGTH: usize = 1_000;

/// A number of JavaScript or JSON is a 64-bit float. Any decimal with this many digits survives being one unchanged
/// (C's `DBL_DIG`); one with more may be the noise that float arithmetic leaves.
const DIGITS_OF_A_FLOAT: usize = 15;
/// All whole numbers up to 2^53 are floats.
const MAX_SAFE_INTEGER: u64 = 1 << 53;
/// Beyond the exponents of all floats.
const MAX_EXPONENT: u16 = 400;

/// How a digit that is exactly in the middle is rounded. All others go to the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// 0.125 becomes 0.13 and -0.125 becomes -0.13: the commercial rule, also called half up.
    #[default]
    HalfAwayFromZero,
    /// 0.125 becomes 0.12 and 0.135 becomes 0.14: the banker's rule, without a bias in the long run.
    HalfEven,
}

/// An exact decimal. Two are equal if their values are: 1.0 is 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(BigDecimal);

impl Decimal {
    pub fn whole(number: u128) -> Self {
        Self(number.into())
    }

    /// Reads a decimal string, exactly: digits, with or without a point between them and a minus before them; no
    /// exponent, no sign for groups, no space. `place` names the argument in the error.
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        if text.len() > MAX_LENGTH {
            return Err(Error::invalid(format!(
                "`{place}` must be a decimal of at most {MAX_LENGTH} characters, got {} of them",
                text.len()
            ))
            .at(place));
        }
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let is_plain =
            [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        is_plain.then(|| text.parse().ok()).flatten().map(Self).ok_or_else(|| {
            Error::invalid(format!("`{place}` must be a decimal such as \"0.10\", got {text:?}")).at(place)
        })
    }

    /// Reads a number as JSON writes it (`1500`, `0.1`, `1e-7`), where it is exact: one with at most 15 significant
    /// digits, or a whole one up to 2^53. Nothing passes through a float.
    pub fn from_number(place: &str, number: &str) -> Result<Self> {
        let (significand, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let exponent = exponent
            .parse()
            .ok()
            .filter(|exponent: &i16| exponent.unsigned_abs() <= MAX_EXPONENT)
            .ok_or_else(|| Error::invalid(format!("`{place}` is out of range: {number}")).at(place))?;
        let digits = significand.replace(['-', '.'], "");
        let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
        let (integer, scale) = Self::parse(place, significand)?.0.into_bigint_and_scale();
        let value = BigDecimal::new(integer, scale - i64::from(exponent));
        if significant <= DIGITS_OF_A_FLOAT || (value.is_integer() && value.abs() <= MAX_SAFE_INTEGER) {
            return Ok(Self(value));
        }
        Err(Error::invalid(format!(
            "`{place}` is the number {number}, which has more than {DIGITS_OF_A_FLOAT} significant digits and may not be \
             exact: pass a decimal string"
        ))
        .at(place))
    }

    /// The same in hundredths: a rate in per cent as a factor.
    pub fn percent(&self) -> Self {
        let (integer, scale) = self.0.as_bigint_and_scale();
        Self(BigDecimal::new(integer.into_owned(), scale + 2))
    }

    /// How often `divisor` goes into this, a part of it counting as a whole: ⌈self ÷ divisor⌉.
    pub fn div_ceil(&self, divisor: &Positive) -> Self {
        let (dividend, divisor) = self.in_whole_numbers(divisor);
        // `/` cuts off towards zero, which is upwards below zero.
        let quotient = &dividend / &divisor;
        let is_cut_off_downwards = &quotient * &divisor < dividend;
        Self(BigDecimal::from(quotient + BigInt::from(u8::from(is_cut_off_downwards))))
    }

    /// The nearest decimal with so many places to self ÷ divisor.
    pub fn div_round(&self, divisor: &Positive, places: u16, rounding: Rounding) -> Self {
        let shifted = Self(BigDecimal::new(
            self.0.as_bigint_and_scale().0.into_owned(),
            self.0.fractional_digit_count() - i64::from(places),
        ));
        let (dividend, divisor) = shifted.in_whole_numbers(divisor);
        let quotient = &dividend / &divisor;
        let twice_the_rest: BigInt = (&dividend - &quotient * &divisor) * 2;
        let is_up = match twice_the_rest.magnitude().cmp(divisor.magnitude()) {
            Ordering::Less => false,
            Ordering::Equal => rounding == Rounding::HalfAwayFromZero || quotient.bit(0),
            Ordering::Greater => true,
        };
        let away = BigInt::from_biguint(twice_the_rest.sign(), u8::from(is_up).into());
        Self(BigDecimal::new(quotient + away, places.into()))
    }

    /// Two whole numbers with the same quotient.
    fn in_whole_numbers(&self, Positive(Decimal(divisor)): &Positive) -> (BigInt, BigInt) {
        let scale = self.0.fractional_digit_count().max(divisor.fractional_digit_count()).max(0);
        let whole = |decimal: &BigDecimal| decimal.with_scale(scale).into_bigint_and_scale().0;
        (whole(&self.0), whole(divisor))
    }

    /// What is left after `other` is taken away, and at least 0.
    pub fn saturating_sub(&self, other: &Decimal) -> Self {
        if other < self { self - other } else { Self::default() }
    }

    pub fn is_negative(&self) -> bool {
        *self < Self::default()
    }

    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    pub fn is_whole(&self) -> bool {
        self.0.is_integer()
    }

    /// The nearest decimal with so many places.
    pub fn round(&self, places: u16, rounding: Rounding) -> Self {
        let mode = match rounding {
            Rounding::HalfAwayFromZero => RoundingMode::HalfUp,
            Rounding::HalfEven => RoundingMode::HalfEven,
        };
        Self(self.0.with_scale_round(places.into(), mode))
    }

    /// Like `Display`, with zeros at the end up to so many places.
    pub fn with_places(&self, places: u16) -> String {
        let shortest = self.0.normalized();
        let places = shortest.fractional_digit_count().max(places.into());
        shortest.with_scale(places).to_plain_string()
    }
}

impl From<Money> for Decimal {
    fn from(amount: Money) -> Self {
        let (digits, places) = amount.digits();
        Self(BigDecimal::new(digits.into(), places.into()))
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

/// The shortest plain notation: no exponent, no zeros at the end, no sign before a zero.
impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_places(0))
    }
}

impl<'a> Add<&'a Decimal> for &Decimal {
    type Output = Decimal;

    fn add(self, other: &'a Decimal) -> Decimal {
        Decimal(&self.0 + &other.0)
    }
}

impl<'a> Sub<&'a Decimal> for &Decimal {
    type Output = Decimal;

    fn sub(self, other: &'a Decimal) -> Decimal {
        Decimal(&self.0 - &other.0)
    }
}

impl<'a> Mul<&'a Decimal> for &Decimal {
    type Output = Decimal;

    fn mul(self, other: &'a Decimal) -> Decimal {
        Decimal(&self.0 * &other.0)
    }
}

impl Sum for Decimal {
    fn sum<I: Iterator<Item = Decimal>>(decimals: I) -> Self {
        decimals.fold(Self::default(), |sum, decimal| &sum + &decimal)
    }
}

/// A decimal above 0, by which one may divide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Positive(Decimal);

impl Positive {
    pub fn new(decimal: Decimal) -> Option<Self> {
        (decimal > Decimal::default()).then_some(Self(decimal))
    }
}

impl From<Positive> for Decimal {
    fn from(Positive(decimal): Positive) -> Self {
        decimal
    }
}

impl fmt::Display for Positive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

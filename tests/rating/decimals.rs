//! Decimals: what is read, how it is written, and that nothing is rounded by the way.

use num_rational::BigRational;
use proptest::prelude::*;
use rust_decimal::RoundingStrategy;
use weighbridge::domain::decimal::Positive;
use weighbridge::domain::{Decimal, Rounding};

use crate::oracle::{integer, rational};

fn decimal(text: &str) -> Decimal {
    Decimal::parse("amount", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn value(decimal: &Decimal) -> BigRational {
    rational(&decimal.to_string())
}

#[test]
fn strings_are_read_exactly_and_written_shortest() {
    for (text, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("007", "7"),
        ("100", "100"),
        ("0.10", "0.1"),
        ("-1.50", "-1.5"),
        ("1000000000000000000000000000000000000000000", "1000000000000000000000000000000000000000000"),
        ("0.0000000000000000000000000000000000000000001", "0.0000000000000000000000000000000000000000001"),
    ] {
        assert_eq!(decimal(text).to_string(), written);
    }
    for text in [
        "", "-", ".", "1.", ".5", "+1", "--1", "1-", "1e3", "1E3", "0x1", " 1", "1 ", "1_000", "1,5", "1.2.3", "NaN",
        "Infinity", "inf", "١", "1\0", "½",
    ] {
        let error = Decimal::parse("amount", text).unwrap_err();
        assert!(error.message.starts_with("`amount` must be a decimal such as \"0.10\", got "), "{text}: {error}");
    }
}

#[test]
fn numbers_are_read_where_they_are_exact() {
    for (number, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.1", "0.1"),
        ("1500", "1500"),
        ("9007199254740992", "9007199254740992"),
        ("1e-7", "0.0000001"),
        ("1.5E-3", "0.0015"),
        ("1e+21", "1000000000000000000000"),
        ("123456789012345000", "123456789012345000"),
        ("0.123456789012345", "0.123456789012345"),
    ] {
        assert_eq!(Decimal::from_number("amount", number).unwrap().to_string(), written);
    }
    // The noise of 0.1 + 0.2, and whole numbers that a float may have changed.
    for number in ["0.30000000000000004", "1234567890.1234567", "9007199254740993", "123456789012345678"] {
        let error = Decimal::from_number("amount", number).unwrap_err();
        assert!(error.message.contains("more than 15 significant digits"), "{error}");
        assert!(error.message.contains("pass a decimal string"), "{error}");
    }
    for number in ["1e401", "1e-401", "1e99999999999", "1e"] {
        assert!(Decimal::from_number("amount", number).unwrap_err().message.contains("out of range"));
    }
}

#[test]
fn rounding_at_the_middle() {
    for (text, away, even) in [
        ("0.125", "0.13", "0.12"),
        ("0.135", "0.14", "0.14"),
        ("-0.125", "-0.13", "-0.12"),
        ("0.1250000000000000000000000000000000000001", "0.13", "0.13"),
        ("0.1249999999999999999999999999999999999999", "0.12", "0.12"),
        ("0.005", "0.01", "0"),
        ("-0.005", "-0.01", "0"),
        ("0.995", "1", "1"),
        ("99.995", "100", "100"),
        ("1.005", "1.01", "1"),
    ] {
        assert_eq!(decimal(text).round(2, Rounding::HalfAwayFromZero).to_string(), away, "{text}");
        assert_eq!(decimal(text).round(2, Rounding::HalfEven).to_string(), even, "{text}");
    }
}

/// Rational rounding: the floor of what is half a step further, mirrored below zero.
fn rounded(value: &BigRational, places: u16, rounding: Rounding) -> BigRational {
    let scale = (0..places).fold(integer(1), |scale, _| scale * integer(10));
    let half = BigRational::new(1.into(), 2.into());
    let steps = value * &scale;
    let magnitude = if steps < integer(0) { -steps.clone() } else { steps.clone() };
    let mut nearest = (&magnitude + &half).floor();
    let is_tie = &nearest - &magnitude == half;
    let is_odd = (&nearest / integer(2)).floor() * integer(2) != nearest;
    if is_tie && is_odd && rounding == Rounding::HalfEven {
        nearest -= integer(1);
    }
    (if steps < integer(0) { -nearest } else { nearest }) / scale
}

proptest! {
    #[test]
    fn arithmetic_is_rational(
        a in "-?[0-9]{1,60}(\\.[0-9]{1,60})?", b in "-?[0-9]{1,60}(\\.[0-9]{1,60})?", divisor in "[1-9][0-9]{0,30}(\\.[0-9]{1,30})?",
    ) {
        let [left, right] = [decimal(&a), decimal(&b)];
        prop_assert_eq!(value(&(&left + &right)), rational(&a) + rational(&b));
        prop_assert_eq!(value(&(&left - &right)), rational(&a) - rational(&b));
        prop_assert_eq!(value(&(&left * &right)), rational(&a) * rational(&b));
        prop_assert_eq!(left < right, rational(&a) < rational(&b));
        prop_assert_eq!(left == right, rational(&a) == rational(&b));
        prop_assert_eq!(value(&left.percent()), rational(&a) / integer(100));
        let quotient = left.div_ceil(&Positive::new(decimal(&divisor)).unwrap());
        prop_assert_eq!(value(&quotient), (rational(&a) / rational(&divisor)).ceil());
        prop_assert_eq!(decimal(&left.to_string()), left);
    }

    #[test]
    fn rounding_is_rational(text in "-?[0-9]{1,50}(\\.[0-9]{0,50}5)?", places in 0u16..8) {
        for rounding in [Rounding::HalfAwayFromZero, Rounding::HalfEven] {
            let actual = decimal(&text).round(places, rounding);
            prop_assert_eq!(value(&actual), rounded(&rational(&text), places, rounding));
        }
    }

    /// rust_decimal within its 28 digits.
    #[test]
    fn rounding_is_that_of_a_peer(text in "-?[0-9]{1,12}(\\.[0-9]{0,11}[05])?", places in 0u16..8) {
        let peer: rust_decimal::Decimal = text.parse().unwrap();
        for (rounding, strategy) in [
            (Rounding::HalfAwayFromZero, RoundingStrategy::MidpointAwayFromZero),
            (Rounding::HalfEven, RoundingStrategy::MidpointNearestEven),
        ] {
            let theirs = peer.round_dp_with_strategy(places.into(), strategy).to_string();
            prop_assert_eq!(value(&decimal(&text).round(places, rounding)), rational(&theirs));
        }
    }

    #[test]
    fn a_float_of_15_digits_is_what_it_prints_as(digits in 0u64..1_000_000_000_000_000, places in 0u32..16) {
        let text = rust_decimal::Decimal::from_i128_with_scale(digits.into(), places).normalize().to_string();
        let float: f64 = text.parse().unwrap();
        let printed = serde_json::to_string(&float).unwrap();
        prop_assert_eq!(Decimal::from_number("amount", &printed).unwrap().to_string(), text);
    }
}

//! Parts of periods, against whole numbers.

use bigdecimal::num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use weighbridge::domain::{Decimal, Period, Proration, Rounding, TimeZone, Timestamp};

use crate::{MILLIS, at};

fn decimal(text: &str) -> Decimal {
    Decimal::parse("amount", text).expect("a decimal")
}

fn cents(decimal: &Decimal) -> i128 {
    let text = decimal.with_places(2);
    let (whole, fraction) = text.split_once('.').expect("two places");
    assert_eq!(fraction.len(), 2, "{text} has more than two places");
    format!("{whole}{fraction}").parse().expect("a whole number")
}

const NOVEMBER: (&str, &str) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");

fn period((start, end): (&str, &str)) -> Period {
    Period { start: at(start), end: at(end) }
}

#[test]
fn a_third_of_a_month_costs_a_third() {
    let part = period(("2026-11-21T00:00:00Z", "2026-12-01T00:00:00Z"));
    let proration = Proration::by_second(part, period(NOVEMBER)).unwrap();
    assert_eq!(proration.ratio(), (1, 3));
    assert_eq!(proration.share(&decimal("99"), 2, Rounding::default()), decimal("33"));
    assert_eq!(proration.share(&decimal("100"), 2, Rounding::default()), decimal("33.33"));
}

#[test]
fn the_seconds_of_a_change_count_and_its_milliseconds_do_not() {
    let part = |start: &str| Period { start: at(start), end: at(NOVEMBER.1) };
    let whole = period(NOVEMBER);
    let ratio = |start| Proration::by_second(part(start), whole).unwrap().ratio();
    assert_eq!(ratio("2026-11-30T23:59:59.999Z"), (1, 2_592_000));
    assert_eq!(ratio("2026-11-30T23:59:59.000Z"), (1, 2_592_000));
    assert_eq!(ratio("2026-11-30T23:59:58.999Z"), (1, 1_296_000));
}

#[test]
fn a_day_belongs_to_what_comes_after_the_change() {
    let zone: TimeZone = "Europe/Berlin".parse().unwrap();
    // March, with a day of 23 hours, and a change in the evening of the 11th.
    let march = period(("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"));
    let change = at("2026-03-11T19:00:00Z");
    let before = Proration::by_day(Period { end: change, ..march }, march, zone).unwrap();
    let after = Proration::by_day(Period { start: change, ..march }, march, zone).unwrap();
    assert_eq!((before.ratio(), after.ratio()), ((10, 31), (21, 31)));
    let shares = [before, after].map(|part| part.share(&decimal("10"), 2, Rounding::HalfEven).to_string());
    assert_eq!(shares, ["3.23", "6.77"]);
}

#[test]
fn what_is_no_part_is_refused() {
    let whole = period(NOVEMBER);
    for part in [
        period(("2026-10-31T23:59:59Z", NOVEMBER.1)),
        period((NOVEMBER.0, "2026-12-01T00:00:00.001Z")),
        period((NOVEMBER.1, NOVEMBER.0)),
    ] {
        assert!(Proration::by_second(part, whole).is_err(), "{part:?}");
    }
    let instant = Period { start: whole.start, end: whole.start };
    assert!(Proration::by_second(instant, instant).is_err());
    assert_eq!(Proration::by_second(instant, whole).unwrap().ratio(), (0, 1));
}

proptest! {
    /// However often a period is cut, the parts cost the whole, and each of them what it is of it, to half a cent and half
    /// a cent.
    #[test]
    fn parts_cost_the_whole(
        start in MILLIS,
        seconds in 1i64..100_000_000,
        cuts in prop::collection::vec(0.0..1.0f64, 0..8),
        amount in 0u64..100_000_000_000,
        half_even in any::<bool>(),
    ) {
        let length = seconds * 1_000;
        let mut bounds: Vec<i64> = cuts.iter().map(|cut| start + (length as f64 * cut) as i64).collect();
        bounds.extend([start, start + length]);
        bounds.sort_unstable();
        let instant = Timestamp::from_stored;
        let whole = Period { start: instant(start), end: instant(start + length) };
        let rounding = if half_even { Rounding::HalfEven } else { Rounding::HalfAwayFromZero };
        let total = decimal(&format!("{}.{:02}", amount / 100, amount % 100));
        let mut sum = 0;
        for pair in bounds.windows(2) {
            let part = Period { start: instant(pair[0]), end: instant(pair[1]) };
            let proration = Proration::by_second(part, whole).unwrap();
            let share = cents(&proration.share(&total, 2, rounding));
            sum += share;

            let expected = pair[1].div_euclid(1_000) - pair[0].div_euclid(1_000);
            let (numerator, denominator) = proration.ratio();
            prop_assert_eq!(
                BigRational::new(numerator.into(), denominator.into()),
                BigRational::new(expected.into(), seconds.into())
            );
            let exact = BigRational::new(BigInt::from(amount) * expected, seconds.into());
            let error = BigRational::from_integer(share.into()) - exact;
            prop_assert!(error <= BigRational::from_integer(1.into()) && error >= BigRational::from_integer((-1).into()));
        }
        prop_assert_eq!(sum, i128::from(amount));
    }

    /// The quotient that is rounded, against whole numbers.
    #[test]
    fn quotients_are_rounded_exactly(
        dividend in any::<i64>(), divisor in 1u64..10_000_000, scale in 0usize..6, places in 0u16..6,
    ) {
        let sign = if dividend < 0 { "-" } else { "" };
        let digits = format!("{:07}", dividend.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let value = decimal(&format!("{sign}{whole}.{fraction}0"));
        let by = weighbridge::domain::decimal::Positive::new(divisor.into()).unwrap();
        for (rounding, tie_goes_up) in [(Rounding::HalfAwayFromZero, true), (Rounding::HalfEven, false)] {
            let numerator = i128::from(dividend.unsigned_abs()) * 10i128.pow(places.into());
            let denominator = i128::from(divisor) * 10i128.pow(scale as u32);
            let (quotient, rest) = (numerator / denominator, numerator % denominator);
            let up = 2 * rest > denominator || (2 * rest == denominator && (tie_goes_up || quotient % 2 == 1));
            let expected = (quotient + i128::from(up)) * i128::from(dividend.signum());
            let got = value.div_round(&by, places, rounding);
            let got: i128 = got.with_places(places).replace('.', "").parse().unwrap();
            prop_assert_eq!(got, expected);
        }
    }
}

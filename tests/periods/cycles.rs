//! Billing cycles.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::{Span, Timestamp as Instant, Zoned};
use proptest::prelude::*;
use weighbridge::domain::cycle::IntervalUnit;
use weighbridge::domain::{BillingCycle, Interval, Period, TimeZone, Timestamp};

use crate::{MILLIS, at, instants, zones};

fn interval(unit: IntervalUnit, count: u64) -> Interval {
    Interval::new("intervalCount", unit, count).expect("an interval")
}

fn monthly(anchor: &str, zone: &str) -> BillingCycle {
    BillingCycle::anchored(at(anchor), Interval::MONTH, zone.parse().expect("a zone"))
}

fn starts(cycle: &BillingCycle, from: &str, number: usize) -> Vec<String> {
    cycle.periods_from(at(from)).take(number).map(|period| period.start.to_iso_string()).collect()
}

#[test]
fn the_31st_keeps_its_day() {
    let cycle = monthly("2026-01-31T12:00:00Z", "UTC");
    assert_eq!(
        starts(&cycle, "2026-01-31T12:00:00Z", 5),
        [
            "2026-01-31T12:00:00.000Z",
            "2026-02-28T12:00:00.000Z",
            "2026-03-31T12:00:00.000Z",
            "2026-04-30T12:00:00.000Z",
            "2026-05-31T12:00:00.000Z",
        ]
    );
    assert_eq!(starts(&cycle, "2028-02-29T12:00:00Z", 2), ["2028-02-29T12:00:00.000Z", "2028-03-31T12:00:00.000Z"]);
    // Before the anchor too.
    assert_eq!(starts(&cycle, "2025-11-30T12:00:00Z", 2), ["2025-11-30T12:00:00.000Z", "2025-12-31T12:00:00.000Z"]);
}

#[test]
fn a_leap_day_keeps_its_day() {
    let cycle = BillingCycle::anchored(at("2024-02-29T00:00:00Z"), interval(IntervalUnit::Year, 1), TimeZone::UTC);
    assert_eq!(
        starts(&cycle, "2024-03-01T00:00:00Z", 6),
        [
            "2024-02-29T00:00:00.000Z",
            "2025-02-28T00:00:00.000Z",
            "2026-02-28T00:00:00.000Z",
            "2027-02-28T00:00:00.000Z",
            "2028-02-29T00:00:00.000Z",
            "2029-02-28T00:00:00.000Z",
        ]
    );
}

#[test]
fn the_local_clock_decides() {
    // 09:00 in Berlin, in winter and in summer.
    let cycle = monthly("2026-02-15T08:00:00Z", "Europe/Berlin");
    assert_eq!(
        starts(&cycle, "2026-03-01T00:00:00Z", 3),
        ["2026-02-15T08:00:00.000Z", "2026-03-15T08:00:00.000Z", "2026-04-15T07:00:00.000Z",]
    );
    // The 31st in Auckland begins on the 30th in UTC.
    let cycle = monthly("2026-01-30T12:00:00Z", "Pacific/Auckland");
    assert_eq!(
        starts(&cycle, "2026-02-28T00:00:00Z", 3),
        ["2026-02-27T12:00:00.000Z", "2026-03-30T12:00:00.000Z", "2026-04-29T13:00:00.000Z",]
    );
}

#[test]
fn a_time_that_the_clocks_skip_is_as_much_later_and_one_that_they_repeat_is_the_earlier() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00, so that 02:30 is 03:30.
    let skipped = monthly("2026-01-29T01:30:00Z", "Europe/Berlin");
    assert_eq!(
        starts(&skipped, "2026-03-20T00:00:00Z", 3),
        ["2026-02-28T01:30:00.000Z", "2026-03-29T01:30:00.000Z", "2026-04-29T00:30:00.000Z",]
    );
    // 2026-10-25: 03:00 becomes 02:00, so that 02:30 comes at 00:30 and at 01:30 UTC.
    let repeated = monthly("2026-09-25T00:30:00Z", "Europe/Berlin");
    assert_eq!(starts(&repeated, "2026-10-25T00:30:00Z", 1), ["2026-10-25T00:30:00.000Z"]);
    // An anchor at the later of the two is where it is, and what follows goes by what the clock showed.
    let anchored = monthly("2026-10-25T01:30:00Z", "Europe/Berlin");
    assert_eq!(
        starts(&anchored, "2026-10-25T01:29:59Z", 3),
        ["2026-09-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z", "2026-11-25T01:30:00.000Z",]
    );
}

#[test]
fn a_day_that_the_clocks_skip_has_no_period() {
    // Samoa had no 30 December 2011.
    let daily = BillingCycle::anchored(
        at("2011-12-28T20:00:00Z"),
        interval(IntervalUnit::Day, 1),
        "Pacific/Apia".parse().unwrap(),
    );
    assert_eq!(
        starts(&daily, "2011-12-29T20:00:00Z", 3),
        ["2011-12-29T20:00:00.000Z", "2011-12-30T20:00:00.000Z", "2011-12-31T20:00:00.000Z",]
    );
}

#[test]
fn a_trial_is_one_period_and_its_end_the_anchor() {
    let trial = Period { start: at("2026-01-17T10:00:00Z"), end: at("2026-01-31T10:00:00Z") };
    let cycle = BillingCycle::after_trial(trial, Interval::MONTH, TimeZone::UTC).unwrap();
    assert_eq!(cycle.period_containing(trial.start), trial);
    assert_eq!(cycle.period_containing(trial.end.plus_millis(-1)), trial);
    assert_eq!(
        starts(&cycle, "2026-01-17T09:59:59.999Z", 4),
        [
            "2025-12-31T10:00:00.000Z",
            "2026-01-17T10:00:00.000Z",
            "2026-01-31T10:00:00.000Z",
            "2026-02-28T10:00:00.000Z",
        ]
    );
    // One that is longer than a period is not cut by the cycle.
    let long = Period { start: at("2026-01-01T00:00:00Z"), end: at("2026-06-01T00:00:00Z") };
    let cycle = BillingCycle::after_trial(long, Interval::MONTH, TimeZone::UTC).unwrap();
    assert_eq!(cycle.period_containing(at("2026-03-03T03:03:03Z")), long);
    let empty = Period { start: trial.end, end: trial.end };
    assert!(BillingCycle::after_trial(empty, Interval::MONTH, TimeZone::UTC).is_err());
}

#[test]
fn intervals_are_three_years_at_most() {
    for (unit, most) in
        [(IntervalUnit::Day, 1095), (IntervalUnit::Week, 156), (IntervalUnit::Month, 36), (IntervalUnit::Year, 3)]
    {
        assert!(Interval::new("intervalCount", unit, most).is_ok());
        for count in [0, most + 1, u64::MAX] {
            let error = Interval::new("intervalCount", unit, count).unwrap_err();
            assert!(error.message.contains(&format!("`intervalCount` must be from 1 to {most}")), "{error}");
        }
    }
}

/// Counts from the anchor with jiff.
struct Oracle {
    anchor: Zoned,
    step: Span,
}

impl Oracle {
    fn boundary(&self, number: i64) -> i64 {
        let local: DateTime = self.anchor.datetime();
        if number == 0 {
            return self.anchor.timestamp().as_millisecond();
        }
        let moved = local.checked_add(self.step.checked_mul(number).expect("a span")).expect("a date");
        moved.to_zoned(self.anchor.time_zone().clone()).expect("an instant").timestamp().as_millisecond()
    }

    /// By bisection over 150 years before and after the anchor.
    fn period(&self, at: i64) -> (i64, i64) {
        let days = i64::from(self.step.get_days()) + i64::from(self.step.get_months()) * 28;
        let (mut low, mut high) = (-150 * 366 / days, 150 * 366 / days);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if self.boundary(middle) <= at { low = middle } else { high = middle }
        }
        (self.boundary(low).max(0), self.boundary(high))
    }
}

fn units() -> impl Strategy<Value = (IntervalUnit, u64)> {
    prop_oneof![
        (Just(IntervalUnit::Day), 1u64..=1095),
        (Just(IntervalUnit::Day), Just(1)),
        (Just(IntervalUnit::Week), 1u64..=156),
        (Just(IntervalUnit::Month), 1u64..=36),
        (Just(IntervalUnit::Month), Just(1)),
        (Just(IntervalUnit::Year), 1u64..=3),
    ]
}

fn span(unit: IntervalUnit, count: u64) -> Span {
    let count = i64::try_from(count).expect("a small number");
    match unit {
        IntervalUnit::Day => Span::new().days(count),
        IntervalUnit::Week => Span::new().days(count * 7),
        IntervalUnit::Month => Span::new().months(count),
        IntervalUnit::Year => Span::new().months(count * 12),
    }
}

/// A zone, an anchor in it, an instant, and what is counted.
fn questions() -> impl Strategy<Value = (&'static str, i64, i64, (IntervalUnit, u64))> {
    zones().prop_flat_map(|zone| (Just(zone), instants(zone), instants(zone), units()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn cycles_agree_with_an_independent_calendar((name, anchor, millis, (unit, count)) in questions()) {
        let cycle = BillingCycle::anchored(Timestamp::from_stored(anchor), interval(unit, count), name.parse().unwrap());
        let period = cycle.period_containing(Timestamp::from_stored(millis));
        let anchor = Instant::from_millisecond(anchor).unwrap().in_tz(name).unwrap();
        let oracle = Oracle { anchor, step: span(unit, count) };
        let (start, end) = oracle.period(millis);
        // What ends after 2100 may end in a summer time that only jiff foresees.
        let up_to_2100 = |millis: i64| millis.min(MILLIS.end);
        prop_assert_eq!(
            (period.start.as_millis(), up_to_2100(period.end.as_millis())),
            (start, up_to_2100(end))
        );
    }

    /// Every instant is in exactly one period: the one that its neighbours meet without gap or overlap.
    #[test]
    fn cycles_tile_time((name, anchor, millis, (unit, count)) in questions(), trial in prop::option::of(1i64..100 * 86_400_000)) {
        let (anchor, zone) = (Timestamp::from_stored(anchor), name.parse().unwrap());
        let interval = interval(unit, count);
        let cycle = match trial {
            Some(length) if length < anchor.as_millis() => {
                BillingCycle::after_trial(Period { start: anchor.plus_millis(-length), end: anchor }, interval, zone).unwrap()
            }
            _ => BillingCycle::anchored(anchor, interval, zone),
        };
        let instant = Timestamp::from_stored(millis);
        let period = cycle.period_containing(instant);
        prop_assert!(period.contains(instant));
        let inside = period.start.plus_millis((period.end.as_millis() - period.start.as_millis()) / 3);
        for other in [period.start, period.end.plus_millis(-1), inside] {
            prop_assert_eq!(cycle.period_containing(other), period);
        }
        let following: Vec<Period> = cycle.periods_from(instant).take(4).collect();
        prop_assert_eq!(following[0], period);
        for pair in following.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
            prop_assert!(pair[1].start < pair[1].end);
        }
        if period.start.as_millis() > 0 {
            prop_assert_eq!(cycle.period_containing(period.start.plus_millis(-1)).end, period.start);
        }
        // The anchor always begins a period.
        prop_assert_eq!(cycle.period_containing(anchor).start, anchor);
    }
}

#[test]
fn a_century_of_days_is_walked_without_a_gap() {
    for zone in ["UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca"] {
        let cycle = BillingCycle::anchored(
            at("1987-06-05T23:30:00.001Z"),
            interval(IntervalUnit::Day, 1),
            zone.parse().unwrap(),
        );
        let mut end = Timestamp::from_stored(0);
        let mut starts = BTreeSet::new();
        for period in cycle.periods_from(end).take_while(|period| period.end.as_millis() < MILLIS.end) {
            assert_eq!(period.start, end);
            assert!(starts.insert(period.start));
            end = period.end;
        }
        assert!(starts.len() > 130 * 365, "{zone}: {}", starts.len());
    }
}

//! Periods and calendars. Every period is half-open, `[start, end)`, and lies in a named time zone.

use std::str::FromStr;

use chrono::{Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone as _, Timelike};
use chrono_tz::{GapInfo, Tz};

use super::Timestamp;
use crate::{Error, Result};

const HOUR: i64 = 3_600_000;

/// A zone of the IANA time zone database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

impl TimeZone {
    pub const UTC: TimeZone = TimeZone(Tz::UTC);

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    fn offset_millis(self, at: Timestamp) -> i64 {
        i64::from(self.0.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc()) * 1_000
    }

    pub(super) fn local(self, at: Timestamp) -> NaiveDateTime {
        at.to_utc().with_timezone(&self.0).naive_local()
    }

    /// The instant at which a local clock shows a time, in milliseconds. What it shows twice is the earlier one; what it
    /// skips is as much later as it skips: where 02:00 is followed by 03:00, 02:30 is 03:30. So have it RFC 5545 (3.3.5)
    /// and ECMAScript's Temporal (`disambiguation: 'compatible'`).
    pub(super) fn instant_of(self, local: NaiveDateTime) -> i64 {
        let offset = match self.0.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => Some(offset),
            MappedLocalTime::None => GapInfo::new(&local, &self.0).and_then(|gap| gap.begin).map(|(_, offset)| offset),
        };
        // Cannot be without one: before a gap there is an offset.
        let seconds = offset.map_or(0, |offset| offset.fix().local_minus_utc());
        local.and_utc().timestamp_millis() - i64::from(seconds) * 1_000
    }

    /// The first instant of a local day. Where the clocks skip midnight it is the first one after the gap, where they
    /// repeat it the earlier one.
    fn start_of_day(self, date: NaiveDate) -> Timestamp {
        let midnight = date.and_time(chrono::NaiveTime::MIN);
        let after_gap = GapInfo::new(&midnight, &self.0).and_then(|gap| gap.end);
        Timestamp::from_stored(after_gap.map_or_else(|| self.instant_of(midnight), |end| end.timestamp_millis()))
    }
}

impl FromStr for TimeZone {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        name.parse().map(Self).map_err(|_| {
            Error::invalid(format!("`timeZone` must be an IANA time zone such as \"Europe/Berlin\", got {name:?}"))
        })
    }
}

/// A half-open span of time, `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Period {
    pub const EVER: Period = Period { start: Timestamp::EPOCH, end: Timestamp::MAX };

    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    pub fn seconds(self) -> u64 {
        u64::try_from((self.end.as_millis() - self.start.as_millis()) / 1_000).unwrap_or(0)
    }

    /// The calendar month that holds an instant: the billing period.
    pub fn month(at: Timestamp, zone: TimeZone) -> Self {
        let date = zone.local(at).date();
        let first = date.with_day(1).unwrap_or(date);
        Self::days(at, zone, first, |first| first.checked_add_months(chrono::Months::new(1)))
    }

    fn day(at: Timestamp, zone: TimeZone) -> Self {
        Self::days(at, zone, zone.local(at).date(), |date| date.succ_opt())
    }

    fn days(at: Timestamp, zone: TimeZone, first: NaiveDate, next: fn(NaiveDate) -> Option<NaiveDate>) -> Self {
        // Cannot overflow: a `Timestamp` ends with the year 9999, chrono's dates much later.
        let following = |date| next(date).unwrap_or(NaiveDate::MAX);
        let (mut first, mut end) = (first, zone.start_of_day(following(first)));
        // Clocks turned back over midnight show a local date again that has already ended.
        while end <= at && end < Timestamp::MAX {
            first = following(first);
            end = zone.start_of_day(following(first));
        }
        Self { start: zone.start_of_day(first), end }
    }

    /// The hour on the local clock that holds an instant; a change of the clocks begins a new one.
    pub fn hour(at: Timestamp, zone: TimeZone) -> Self {
        let local = zone.local(at).time();
        let elapsed =
            i64::from(local.num_seconds_from_midnight() % 3_600) * 1_000 + i64::from(local.nanosecond() / 1_000_000);
        let offset = zone.offset_millis(at);
        let mut hour = Self { start: at.plus_millis(-elapsed), end: at.plus_millis(HOUR - elapsed) };
        if zone.offset_millis(hour.start) != offset {
            hour.start = first_instant(hour.start, at, |instant| zone.offset_millis(instant) == offset);
        }
        if zone.offset_millis(hour.end.plus_millis(-1)) != offset {
            hour.end = first_instant(at, hour.end, |instant| zone.offset_millis(instant) != offset);
        }
        hour
    }
}

/// Bisects for the first instant after `before`, at most `last`, from which on `holds` is true.
fn first_instant(before: Timestamp, last: Timestamp, holds: impl Fn(Timestamp) -> bool) -> Timestamp {
    let (mut low, mut high) = (before.as_millis(), last.as_millis());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(Timestamp::from_stored(middle)) { high = middle } else { low = middle }
    }
    Timestamp::from_stored(high)
}

/// The grain of a usage query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    Hour,
    Day,
    Month,
}

impl Window {
    pub fn containing(self, at: Timestamp, zone: TimeZone) -> Period {
        match self {
            Window::Hour => Period::hour(at, zone),
            Window::Day => Period::day(at, zone),
            Window::Month => Period::month(at, zone),
        }
    }

    /// The period that holds `at` and all that follow it, each beginning where the one before it ended.
    pub fn periods_from(self, at: Timestamp, zone: TimeZone) -> impl Iterator<Item = Period> {
        following(self.containing(at, zone), move |at| self.containing(at, zone))
    }
}

/// A period and all after it, up to the end of [`Timestamp`].
pub(super) fn following(first: Period, containing: impl Fn(Timestamp) -> Period) -> impl Iterator<Item = Period> {
    std::iter::successors(Some(first), move |period| (period.end < Timestamp::MAX).then(|| containing(period.end)))
}

impl Window {
    pub fn as_str(self) -> &'static str {
        match self {
            Window::Hour => "hour",
            Window::Day => "day",
            Window::Month => "month",
        }
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "hour" => Ok(Window::Hour),
            "day" => Ok(Window::Day),
            "month" => Ok(Window::Month),
            _ => Err(Error::invalid(format!("`window` must be hour, day or month, got {text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZONES: &[&str] = &[
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "America/Asuncion",
        "Africa/Cairo",
        "Pacific/Apia",
        "America/St_Johns",
        "Asia/Tehran",
    ];

    fn at(text: &str) -> Timestamp {
        let instant = chrono::DateTime::parse_from_rfc3339(text).unwrap();
        Timestamp::from_stored(instant.timestamp_millis())
    }

    fn month(instant: &str, zone: &str) -> (String, String) {
        let period = Period::month(at(instant), zone.parse().unwrap());
        (period.start.to_iso_string(), period.end.to_iso_string())
    }

    #[test]
    fn a_month_begins_and_ends_with_the_local_month() {
        for (instant, zone, start, end) in [
            ("2026-02-28T23:59:59.999Z", "UTC", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"),
            ("2026-03-01T00:00:00.000Z", "UTC", "2026-03-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z"),
            ("2026-03-31T21:59:59.999Z", "Europe/Berlin", "2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z"),
            ("2026-03-31T22:00:00.000Z", "Europe/Berlin", "2026-03-31T22:00:00.000Z", "2026-04-30T22:00:00.000Z"),
            ("2026-01-31T18:29:59.999Z", "Asia/Kolkata", "2025-12-31T18:30:00.000Z", "2026-01-31T18:30:00.000Z"),
            ("2026-01-31T18:30:00.000Z", "Asia/Kolkata", "2026-01-31T18:30:00.000Z", "2026-02-28T18:30:00.000Z"),
        ] {
            assert_eq!(month(instant, zone), (start.into(), end.into()), "{instant} {zone}");
        }
    }

    #[test]
    fn a_month_whose_midnight_is_skipped_begins_when_the_clocks_jump() {
        // Paraguay put the clocks forward at midnight on 2017-10-01: the day began at 01:00.
        assert_eq!(month("2017-10-01T04:00:00Z", "America/Asuncion").0, "2017-10-01T04:00:00.000Z");
        assert_eq!(month("2017-10-01T03:59:59Z", "America/Asuncion").1, "2017-10-01T04:00:00.000Z");
    }

    #[test]
    fn unknown_zones_are_refused() {
        assert!("Mars/Olympus".parse::<TimeZone>().is_err());
        assert!("".parse::<TimeZone>().is_err());
    }

    proptest! {
        /// Windows hold their instant, agree with themselves all over, and follow each other without gap or overlap.
        #[test]
        fn windows_tile_time(millis in 0i64..4_102_444_800_000, zone in prop::sample::select(ZONES)) {
            let zone: TimeZone = zone.parse().unwrap();
            let instant = Timestamp::from_stored(millis);
            for window in [Window::Hour, Window::Day, Window::Month] {
                let period = window.containing(instant, zone);
                prop_assert!(period.contains(instant));
                prop_assert_eq!(window.containing(period.start, zone), period);
                prop_assert_eq!(window.containing(period.end.plus_millis(-1), zone), period);
                prop_assert_eq!(window.containing(period.end, zone).start, period.end);
            }
        }

        /// The oracle is jiff, which has a calendar and a time zone database of its own.
        #[test]
        fn months_and_days_agree_with_an_independent_calendar(
            millis in 0i64..4_102_444_800_000,
            zone in prop::sample::select(ZONES),
        ) {
            let instant = Timestamp::from_stored(millis);
            let local = jiff::Timestamp::from_millisecond(millis).unwrap().in_tz(zone).unwrap();
            let zone: TimeZone = zone.parse().unwrap();
            let month = local.first_of_month().unwrap().start_of_day().unwrap();
            let next_month = local.date().first_of_month().checked_add(jiff::Span::new().months(1)).unwrap()
                .to_zoned(local.time_zone().clone()).unwrap().start_of_day().unwrap();
            // A `Timestamp` begins with 1970, and so does the local month or day that began before it.
            let expected = (month.timestamp().as_millisecond().max(0), next_month.timestamp().as_millisecond());
            let period = Period::month(instant, zone);
            prop_assert_eq!((period.start.as_millis(), period.end.as_millis()), expected);
            let day = local.start_of_day().unwrap().timestamp().as_millisecond();
            let tomorrow = local.date().tomorrow().unwrap().to_zoned(local.time_zone().clone()).unwrap();
            let tomorrow = tomorrow.start_of_day().unwrap().timestamp().as_millisecond();
            // Clocks turned back over midnight show a date again that has ended; it does not begin once more.
            let day = if tomorrow <= millis { tomorrow } else { day };
            prop_assert_eq!(Window::Day.containing(instant, zone).start.as_millis(), day.max(0));
        }
    }
}

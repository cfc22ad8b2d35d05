//! Calendar months, days and hours in all zones.

use jiff::civil::DateTime;
use jiff::{Timestamp as Instant, ToSpan, Zoned, tz::TimeZone as Zone};
use proptest::prelude::*;
use weighbridge::domain::{Period, TimeZone, Timestamp, Window};

use crate::{at, instants, zones};

fn zoned(millis: i64, zone: &str) -> Zoned {
    Instant::from_millisecond(millis).expect("an instant").in_tz(zone).expect("a zone")
}

fn start_of(date: jiff::civil::Date, zone: &Zone) -> i64 {
    date.to_zoned(zone.clone()).expect("a date").start_of_day().expect("a day").timestamp().as_millisecond()
}

/// What the local clock shows of an hour, and how far it is off UTC.
fn shown(millis: i64, zone: &str) -> (DateTime, i32) {
    let zoned = zoned(millis, zone);
    let hour = zoned.datetime().with().minute(0).second(0).subsec_nanosecond(0).build().expect("an hour");
    (hour, zoned.offset().seconds())
}

fn tiles(window: Window, period: Period, instant: Timestamp, zone: TimeZone) -> Result<(), TestCaseError> {
    prop_assert!(period.contains(instant));
    prop_assert_eq!(window.containing(period.start, zone), period);
    prop_assert_eq!(window.containing(period.end.plus_millis(-1), zone), period);
    let following: Vec<Period> = window.periods_from(instant, zone).take(3).collect();
    prop_assert_eq!(following[0], period);
    for pair in following.windows(2) {
        prop_assert_eq!(pair[0].end, pair[1].start);
        prop_assert!(pair[1].start < pair[1].end);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn windows_are_those_of_the_local_calendar((name, millis) in zones().prop_flat_map(|zone| (Just(zone), instants(zone)))) {
        let zone: TimeZone = name.parse().unwrap();
        let instant = Timestamp::from_stored(millis);
        for window in [Window::Hour, Window::Day, Window::Month] {
            tiles(window, window.containing(instant, zone), instant, zone)?;
        }

        let local = zoned(millis, name);
        let tz = local.time_zone();
        let (date, first) = (local.date(), local.date().first_of_month());
        // Clocks turned back over midnight show a date again that has ended; it does not begin once more.
        let (date, first) = if start_of(date.tomorrow().unwrap(), tz) <= millis {
            (date.tomorrow().unwrap(), date.tomorrow().unwrap().first_of_month())
        } else {
            (date, first)
        };
        let ends = [(Window::Day, date, 1.day()), (Window::Month, first, 1.month())];
        for (window, start, length) in ends {
            let expected = (start_of(start, tz).max(0), start_of(start.checked_add(length).unwrap(), tz));
            let period = window.containing(instant, zone);
            prop_assert_eq!((period.start.as_millis(), period.end.as_millis()), expected, "{:?} {}", window, name);
        }

        let hour = Window::Hour.containing(instant, zone);
        let (start, end) = (hour.start.as_millis(), hour.end.as_millis());
        prop_assert_eq!(shown(start, name), shown(millis, name));
        prop_assert_eq!(shown(end - 1, name), shown(millis, name));
        prop_assert_ne!(shown(end, name), shown(millis, name));
        prop_assert!(start == 0 || shown(start - 1, name) != shown(millis, name));
    }
}

#[test]
fn an_hour_is_shorter_where_the_clocks_change_within_it() {
    // Lord Howe Island changes its clocks by half an hour: 02:00 becomes 02:30.
    let zone: TimeZone = "Australia/Lord_Howe".parse().unwrap();
    let hour = Window::Hour.containing(at("2026-10-03T15:30:00Z"), zone);
    assert_eq!((hour.start, hour.end), (at("2026-10-03T15:30:00Z"), at("2026-10-03T16:00:00Z")));
}

//! Periods through the public interface, against jiff, which has a calendar and a time zone database of its own.

mod cycles;
mod prorations;
mod windows;

use std::sync::LazyLock;

use chrono::{Offset, TimeZone as _};
use jiff::tz::TimeZone as Zone;
use proptest::prelude::*;
use weighbridge::domain::Timestamp;

/// All instants of 1970 to 2100. chrono-tz knows no changes of the clocks after it.
pub const MILLIS: std::ops::Range<i64> = 0..4_102_444_800_000;

pub fn at(text: &str) -> Timestamp {
    Timestamp::from_stored(text.parse::<jiff::Timestamp>().expect("an instant").as_millisecond())
}

/// The zones of which both databases say the same: they are rarely of one release.
pub fn zones() -> impl Strategy<Value = &'static str> {
    static ZONES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let names = chrono_tz::TZ_VARIANTS.iter().filter(|zone| databases_agree(**zone)).map(|zone| zone.name());
        names.collect()
    });
    assert!(ZONES.len() > 500, "the databases agree on {} zones alone", ZONES.len());
    prop::sample::select(&ZONES[..])
}

fn databases_agree(zone: chrono_tz::Tz) -> bool {
    let Ok(other) = Zone::get(zone.name()) else { return false };
    let instant = |millis| jiff::Timestamp::from_millisecond(millis).expect("an instant");
    let changes = other.following(instant(0)).map(|change| change.timestamp().as_millisecond());
    let changes = changes.take_while(|millis| *millis < MILLIS.end).flat_map(|millis| [millis - 1, millis]);
    MILLIS.step_by(5 * 86_400_000).chain(changes).all(|millis| {
        let at = chrono::DateTime::from_timestamp_millis(millis).expect("an instant").naive_utc();
        zone.offset_from_utc_datetime(&at).fix().local_minus_utc() == other.to_offset(instant(millis)).seconds()
    })
}

/// Instants all over, and those close to where the clocks of the zone are changed.
pub fn instants(zone: &'static str) -> impl Strategy<Value = i64> {
    let near_a_change = (MILLIS, -2 * 86_400_000..2 * 86_400_000i64).prop_map(move |(millis, distance)| {
        let zone = Zone::get(zone).expect("a zone");
        let after = jiff::Timestamp::from_millisecond(millis).expect("an instant");
        let change = zone.following(after).next().map_or(millis, |change| change.timestamp().as_millisecond());
        (change + distance).clamp(MILLIS.start, MILLIS.end - 1)
    });
    let whole_seconds = MILLIS.prop_map(|millis| millis / 1_000 * 1_000);
    prop_oneof![MILLIS, whole_seconds, near_a_change]
}

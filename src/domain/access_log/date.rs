//! `10/Oct/2000:13:55:36 -0700`: local time and its offset, so that a change of the clocks is no question.

use chrono::DateTime;

use crate::domain::Timestamp;

/// How long it is. The day has a leading zero.
pub const LENGTH: usize = 26;
const FORMAT: &str = "%d/%b/%Y:%H:%M:%S %z";

/// Reads dates, and remembers the last day, which the next line mostly shares.
#[derive(Debug, Clone, Default)]
pub struct Dates {
    last: Option<Day>,
}

/// A date as it is written, with its offset, and its midnight there.
#[derive(Debug, Clone)]
struct Day {
    date: [u8; 11],
    offset: [u8; 6],
    /// Milliseconds since the epoch: before it, where only a part of the day is.
    midnight: i64,
}

impl Dates {
    pub fn read(&mut self, text: &str) -> Option<Timestamp> {
        let bytes: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
        let (date, rest) = bytes.split_first_chunk::<11>()?;
        let (time, offset) = rest.split_first_chunk::<9>()?;
        let since_midnight = millis_of(time);
        match (&self.last, since_midnight) {
            (Some(day), Some(millis)) if day.date == *date && day.offset == *offset => known(day.midnight + millis),
            _ => {
                let at = parse(text)?;
                let offset = offset.try_into().ok()?;
                self.last = since_midnight.map(|millis| Day { date: *date, offset, midnight: at.as_millis() - millis });
                Some(at)
            }
        }
    }
}

/// Of `:13:55:36`; `None` of what is no such time, and of leap seconds.
fn millis_of(time: &[u8; 9]) -> Option<i64> {
    let part = |start: usize, end: i64| {
        let [b':', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = time[start..start + 3] else { return None };
        Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0')).filter(|value| *value < end)
    };
    Some(((part(0, 24)? * 60 + part(3, 60)?) * 60 + part(6, 60)?) * 1_000)
}

fn parse(text: &str) -> Option<Timestamp> {
    known(DateTime::parse_from_str(text, FORMAT).ok()?.timestamp_millis())
}

fn known(millis: i64) -> Option<Timestamp> {
    (0..=Timestamp::MAX.as_millis()).contains(&millis).then(|| Timestamp::from_stored(millis))
}

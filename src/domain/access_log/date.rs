//! `10/Oct/2000:13:55:36 -0700`: local time and its offset, so that a change of the clocks is no question.

use chrono::DateTime;

use crate::domain::Timestamp;

/// How long it is. The day has a leading zero.
pub const LENGTH: usize = 26;
const FORMAT: &str = "%d/%b/%Y:%H:%M:%S %z";

/// Reads dates, and remembers the last one.
#[derive(Debug, Clone, Default)]
pub struct Dates {
    last: Option<([u8; LENGTH], Timestamp)>,
}

impl Dates {
    pub fn read(&mut self, text: &str) -> Option<Timestamp> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().ok()?;
        match self.last {
            Some((last, at)) if last == bytes => Some(at),
            _ => {
                let at = parse(text)?;
                self.last = Some((bytes, at));
                Some(at)
            }
        }
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let millis = DateTime::parse_from_str(text, FORMAT).ok()?.timestamp_millis();
    (0..=Timestamp::MAX.as_millis()).contains(&millis).then(|| Timestamp::from_stored(millis))
}

//! How much of a meter a customer of a tier may use in a window.

use std::fmt;

use super::names::{Kind, Names};
use crate::domain::Window;
use crate::domain::json::Value;
use crate::domain::mistakes::Mistakes;
use crate::{Error, Result};

/// 31 days.
const LONGEST_SLIDING_SECONDS: u64 = 31 * 86_400;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub meter: String,
    pub window: LimitWindow,
    /// `None`: without a limit, also where a tier that is extended has one.
    pub units: Option<u64>,
    /// A soft limit is told of and never refuses.
    pub soft: bool,
}

/// The time over which usage is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitWindow {
    /// A calendar month, day or hour in the billing time zone.
    Calendar(Window),
    /// So many seconds before each request, it included.
    Sliding { seconds: u64 },
}

impl Limit {
    pub(super) fn read(value: &Value<'_>, names: &Names, mistakes: &mut Mistakes) -> Option<Self> {
        let object = mistakes.object(value, &["meter", "per", "units", "soft"])?;
        let meter = mistakes.required(&object, "meter", names.known(Kind::Meter));
        let window = mistakes.required(&object, "per", LimitWindow::read);
        let units = mistakes
            .required(&object, "units", |units| if units.is_null() { Ok(None) } else { units.units().map(Some) });
        let soft = mistakes.optional(&object, "soft", Value::boolean);
        Some(Self { meter: meter?, window: window?, units: units?, soft: soft?.unwrap_or(false) })
    }

    /// Whether both limit the same, so that a tier may have only one of them.
    pub(super) fn is_alike(&self, other: &Limit) -> bool {
        (&self.meter, self.window, self.soft) == (&other.meter, other.window, other.soft)
    }
}

impl LimitWindow {
    const CALENDAR: [(&str, Window); 3] = [("month", Window::Month), ("day", Window::Day), ("hour", Window::Hour)];

    /// `day`, `60s`: as it is written down.
    pub fn name(self) -> String {
        match self {
            Self::Calendar(window) => {
                let name = Self::CALENDAR.iter().find(|(_, other)| *other == window).map_or("", |(name, _)| name);
                name.to_owned()
            }
            Self::Sliding { seconds } => format!("{seconds}s"),
        }
    }

    pub fn from_name(name: &str) -> Result<Self> {
        let calendar =
            Self::CALENDAR.iter().find(|(other, _)| *other == name).map(|(_, window)| Self::Calendar(*window));
        let sliding = || {
            let seconds = name.strip_suffix('s')?.parse().ok()?;
            (1..=LONGEST_SLIDING_SECONDS).contains(&seconds).then_some(Self::Sliding { seconds })
        };
        calendar.or_else(sliding).ok_or_else(|| Error::invalid(format!("{name:?} is no window of a limit")))
    }

    fn read(value: &Value<'_>) -> Result<Self> {
        if value.string().is_ok() {
            return value.one_of(&Self::CALENDAR).map(Self::Calendar);
        }
        let object =
            value.object().map_err(|_| value.must_be("\"month\", \"day\", \"hour\" or { \"slidingSeconds\": 60 }"))?;
        object.only(&["slidingSeconds"])?;
        let length = object.required("slidingSeconds")?;
        match length.units()? {
            seconds @ 1..=LONGEST_SLIDING_SECONDS => Ok(Self::Sliding { seconds }),
            _ => Err(length.must_be(&format!("from 1 to {LONGEST_SLIDING_SECONDS}, which is 31 days"))),
        }
    }
}

/// `a month`, `in 60 seconds`: to be put behind a number of units.
impl fmt::Display for LimitWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(Window::Month) => formatter.write_str("a month"),
            Self::Calendar(Window::Day) => formatter.write_str("a day"),
            Self::Calendar(Window::Hour) => formatter.write_str("an hour"),
            Self::Sliding { seconds } => write!(formatter, "in {seconds} seconds"),
        }
    }
}

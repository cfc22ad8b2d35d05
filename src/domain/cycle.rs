//! Billing cycles: the periods of a subscription, counted from its anchor.
//!
//! As Stripe documents its `billing_cycle_anchor` (<https://docs.stripe.com/billing/subscriptions/billing-cycle>): every
//! period begins so many intervals after the anchor, never after the period before it. So an anchor on the 31st bills on
//! the last day of a shorter month and on the 31st again after it, and one on 29 February on 28 February in other years.
//!
//! Intervals are counted on the local clock of a named zone: a period of one day is 23 or 25 hours long where the clocks
//! are changed within it. A period that would begin at a local time which the clocks skip begins as much later as they
//! skip, and at one that they show twice at the earlier ([`TimeZone::instant_of`]). In UTC, Stripe's own zone, there is
//! none of that. The time zone database foresees changes of the clocks up to the year 2100.

use std::num::NonZeroU32;

use chrono::{Datelike, Days, Months, NaiveDateTime};

use super::json::Object;
use super::period::following;
use super::{Period, TimeZone, Timestamp};
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalUnit {
    Day,
    Week,
    Month,
    Year,
}

impl IntervalUnit {
    pub const ALL: [IntervalUnit; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Three years, the longest interval that Stripe takes (<https://docs.stripe.com/api/prices/create>,
    /// `recurring.interval_count`).
    fn most(self) -> u32 {
        match self {
            Self::Day => 3 * 365,
            Self::Week => 3 * 52,
            Self::Month => 3 * 12,
            Self::Year => 3,
        }
    }
}

/// How long a period is: so many days, weeks, months or years of the local calendar, three years at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    unit: IntervalUnit,
    count: NonZeroU32,
}

impl Interval {
    pub const MONTH: Interval = Interval { unit: IntervalUnit::Month, count: NonZeroU32::MIN };

    /// `place` names the count in the error.
    pub fn new(place: &str, unit: IntervalUnit, count: u64) -> Result<Self> {
        let valid = u32::try_from(count).ok().and_then(NonZeroU32::new).filter(|count| count.get() <= unit.most());
        valid.map(|count| Self { unit, count }).ok_or_else(|| {
            Error::invalid(format!(
                "`{place}` must be from 1 to {} with the interval \"{}\", which is three years; got {count}",
                unit.most(),
                unit.as_str()
            ))
            .at(place)
        })
    }

    pub const FIELDS: &[&str] = &["interval", "intervalCount"];

    /// Reads `{ "interval": "month", "intervalCount": 3 }`, where the count is 1 if it is missing.
    pub fn read(object: &Object<'_>) -> Result<Self> {
        let unit = object.required("interval")?.one_of(&IntervalUnit::ALL.map(|unit| (unit.as_str(), unit)))?;
        match object.optional("intervalCount") {
            Some(count) => Self::new(count.place(), unit, count.units()?),
            None => Ok(Self { unit, count: NonZeroU32::MIN }),
        }
    }

    pub fn unit(self) -> IntervalUnit {
        self.unit
    }

    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// `number` intervals after a local time, or before it. `None` beyond chrono's 262,000 years.
    fn after(self, local: NaiveDateTime, number: i64) -> Option<NaiveDateTime> {
        let count = number.checked_mul(self.count.get().into())?;
        let size = u32::try_from(count.unsigned_abs()).ok()?;
        let (days, months) = match self.unit {
            IntervalUnit::Day => (size, 0),
            IntervalUnit::Week => (size.checked_mul(7)?, 0),
            IntervalUnit::Month => (0, size),
            IntervalUnit::Year => (0, size.checked_mul(12)?),
        };
        let (days, months) = (Days::new(days.into()), Months::new(months));
        if count < 0 {
            local.checked_sub_days(days)?.checked_sub_months(months)
        } else {
            local.checked_add_days(days)?.checked_add_months(months)
        }
    }

    /// How many intervals lie between two local times, give or take one.
    fn between(self, from: NaiveDateTime, to: NaiveDateTime) -> i64 {
        let months = |time: NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
        let units = match self.unit {
            IntervalUnit::Day => (to - from).num_days(),
            IntervalUnit::Week => (to - from).num_weeks(),
            IntervalUnit::Month => months(to) - months(from),
            IntervalUnit::Year => i64::from(to.year() - from.year()),
        };
        units.div_euclid(self.count.get().into())
    }
}

/// The billing period that holds an instant, for a customer with or without a subscription: a month from the anchor on, in
/// Stripe's own zone, also where a longer time is paid for at once, because limits are for a month; without an anchor the
/// calendar month of `zone`.
pub fn billing_period(anchor: Option<Timestamp>, at: Timestamp, zone: TimeZone) -> Period {
    match anchor {
        Some(anchor) => BillingCycle::anchored(anchor, Interval::MONTH, TimeZone::UTC).period_containing(at),
        None => Period::month(at, zone),
    }
}

/// The periods of a subscription. Every instant lies in exactly one of them, also one before the anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillingCycle {
    anchor: Timestamp,
    interval: Interval,
    zone: TimeZone,
    /// A period of its own that ends at the anchor.
    trial_start: Option<Timestamp>,
}

impl BillingCycle {
    pub fn anchored(anchor: Timestamp, interval: Interval, zone: TimeZone) -> Self {
        Self { anchor, interval, zone, trial_start: None }
    }

    /// The trial is one period, however long it is. Its end is the anchor, as at Stripe
    /// (<https://docs.stripe.com/billing/subscriptions/trials>).
    pub fn after_trial(trial: Period, interval: Interval, zone: TimeZone) -> Result<Self> {
        if trial.end <= trial.start {
            return Err(Error::invalid("`trialStart` must be before `anchor`, at which the trial ends"));
        }
        Ok(Self { trial_start: Some(trial.start), ..Self::anchored(trial.end, interval, zone) })
    }

    pub fn trial(&self) -> Option<Period> {
        self.trial_start.map(|start| Period { start, end: self.anchor })
    }

    /// The period that holds an instant. Like every [`Timestamp`] it begins no earlier than 1970.
    pub fn period_containing(&self, at: Timestamp) -> Period {
        match self.trial() {
            Some(trial) if trial.contains(at) => trial,
            // What was before the trial ends with it.
            Some(trial) if at < trial.start => {
                let period = self.anchored_period(at);
                Period { end: period.end.min(trial.start), ..period }
            }
            _ => self.anchored_period(at),
        }
    }

    /// The period that holds `at` and all that follow it, each beginning where the one before it ended.
    pub fn periods_from(&self, at: Timestamp) -> impl Iterator<Item = Period> {
        let cycle = *self;
        following(cycle.period_containing(at), move |at| cycle.period_containing(at))
    }

    fn anchored_period(&self, at: Timestamp) -> Period {
        let anchor = self.zone.local(self.anchor);
        let mut number = self.interval.between(anchor, self.zone.local(at));
        while self.boundary(anchor, number) > at.as_millis() {
            number -= 1;
        }
        while self.boundary(anchor, number + 1) <= at.as_millis() {
            number += 1;
        }
        let instant = |number| Timestamp::from_stored(self.boundary(anchor, number));
        Period { start: instant(number), end: instant(number + 1) }
    }

    /// Where the period with this number begins, in milliseconds; the one with number 0 at the anchor. They never fall as
    /// numbers rise. Two are equal where the clocks skip a whole day: then there is no period between them.
    fn boundary(&self, anchor: NaiveDateTime, number: i64) -> i64 {
        // The anchor may be the later of two instants that the clocks show alike.
        if number == 0 {
            return self.anchor.as_millis();
        }
        match self.interval.after(anchor, number) {
            Some(local) => self.zone.instant_of(local),
            None if number < 0 => i64::MIN,
            None => i64::MAX,
        }
    }
}

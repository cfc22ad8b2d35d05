//! What a store must answer and hold after each change, by maps, integers and another calendar.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use weighbridge::domain::customer::Patch;
use weighbridge::domain::{CustomerId, HolderId, Meter, Period, Quota, Refusal, Timestamp, UsageEvent};
use weighbridge::store::{
    Applied, Change, Charge, Charged, LeasePart, LeaseRequest, Leased, Outcome, Record, RecordStatus, Store, Verdict,
};

use super::world::KEYS;
use crate::support::customer_id;

pub type Key = (CustomerId, Quota);
pub type Checked<T = ()> = Result<T, TestCaseError>;
type LeaseKey = (Key, Timestamp, HolderId);

#[derive(Default)]
pub struct Oracle {
    zone: String,
    /// Of both meters.
    limits: BTreeMap<String, Option<u64>>,
    tiers: BTreeMap<CustomerId, String>,
    /// Of those whose billing periods are no calendar months.
    anchors: BTreeMap<CustomerId, Timestamp>,
    pub counted: Vec<UsageEvent>,
    /// What each id of a customer stands for.
    ids: BTreeMap<(CustomerId, String), (Meter, u64)>,
    /// To the end of which period, and how many units.
    leases: BTreeMap<LeaseKey, (Timestamp, u64)>,
    journals: BTreeMap<HolderId, u64>,
    recalled: BTreeSet<Key>,
}

/// The calendar month of an instant.
pub fn month(at: Timestamp, zone: &str) -> Period {
    let zone = TimeZone::get(zone).expect("a time zone");
    let instant = jiff::Timestamp::from_millisecond(at.as_millis()).expect("an instant");
    let first = instant.to_zoned(zone).first_of_month().and_then(|first| first.start_of_day()).expect("a month");
    let next = first.checked_add(1.month()).and_then(|next| next.start_of_day()).expect("a month");
    let millis = |instant: &jiff::Zoned| Timestamp::from_stored(instant.timestamp().as_millisecond());
    Period { start: millis(&first), end: millis(&next) }
}

/// A month from the anchor on, or from as many months before or after it as it takes to hold an instant.
fn anchored(anchor: Timestamp, at: Timestamp) -> Period {
    let zoned =
        |at: Timestamp| jiff::Timestamp::from_millisecond(at.as_millis()).expect("an instant").to_zoned(TimeZone::UTC);
    let start = |months: i32| {
        let start = zoned(anchor).checked_add(months.months()).expect("a date");
        Timestamp::from_stored(start.timestamp().as_millisecond())
    };
    let months = (-24..24).rev().find(|months| start(*months) <= at).expect("a period");
    Period { start: start(months), end: start(months + 1) }
}

fn key_of(event: &UsageEvent) -> Key {
    (event.customer_id.clone(), Quota::Period(event.meter))
}

impl Oracle {
    pub fn limit(&self, key: &Key) -> Option<u64> {
        match self.tiers.get(&key.0) {
            Some(tier) => self.limits[tier],
            None if key.1 == Quota::Period(Meter::API_REQUEST) => Some(1_000),
            None => Some(50),
        }
    }

    /// A customer's billing period that holds an instant.
    pub fn period(&self, customer: &CustomerId, at: Timestamp) -> Period {
        self.anchors.get(customer).map_or_else(|| month(at, &self.zone), |anchor| anchored(*anchor, at))
    }

    pub fn used(&self, key: &Key, period: Period) -> u64 {
        let counted = self.counted.iter().filter(|event| key_of(event) == *key && period.contains(event.timestamp));
        counted.map(|event| event.units.get()).sum()
    }

    /// Who has what of this period, and of others that overlap it.
    fn overlapping(&self, key: &Key, period: Period) -> BTreeMap<(HolderId, Timestamp), u64> {
        let overlaps = |start: Timestamp, end: Timestamp| start < period.end && end > period.start;
        let leases = self.leases.iter().filter(|((of, start, _), (end, _))| of == key && overlaps(*start, *end));
        leases.map(|((_, start, holder), (_, units))| ((holder.clone(), *start), *units)).collect()
    }

    /// What a holder has of the period that starts at an instant.
    pub fn lease(&self, holder: &HolderId, key: &Key, start: Timestamp) -> u64 {
        self.leases.get(&(key.clone(), start, holder.clone())).map_or(0, |(_, units)| *units)
    }

    pub fn is_free_of_leases(&self) -> bool {
        self.leases.is_empty() && self.journals.is_empty()
    }

    /// By how much what is used and leased passes the limit, period by period.
    fn excesses(&self) -> BTreeMap<(Key, Period), u64> {
        let counted = self.counted.iter().map(|event| (key_of(event), event.timestamp));
        let leased = self
            .leases
            .iter()
            .flat_map(|((key, start, _), (end, _))| [(key.clone(), *start), (key.clone(), end.plus_millis(-1))]);
        let period = |(key, at): (Key, Timestamp)| (key.clone(), self.period(&key.0, at));
        let periods: BTreeSet<_> = counted.chain(leased).map(period).collect();
        let excess = |key: &Key, period| {
            let leased: u64 = self.overlapping(key, period).values().sum();
            self.limit(key).map_or(0, |limit| (self.used(key, period) + leased).saturating_sub(limit))
        };
        periods.into_iter().map(|(key, period)| ((key.clone(), period), excess(&key, period))).collect()
    }

    /// Holds what a store answered to a change against what it must answer.
    pub fn apply(&mut self, change: &Change, outcome: &Outcome) -> Checked {
        let Ok(applied) = outcome else {
            return Err(TestCaseError::fail(format!("{change:?} was refused: {outcome:?}")));
        };
        let before = self.excesses();
        // What was counted without being asked for: only that may pass the limit.
        let mut unasked = 0;
        // One lease stands for all periods that start together and reaches as far as the longest of them: there it is
        // spoken for whole, although what was leased of a shorter one is never spent there.
        let mut reaching = None;
        match (change, applied) {
            (Change::Lease(request), Applied::Leased(leased)) => {
                self.lend(request, leased)?;
                let key = ((request.customer_id.clone(), request.quota), leased.period.start, request.holder.clone());
                let reaches_further = self.leases.get(&key).is_some_and(|(end, _)| *end > leased.period.end);
                reaching = reaches_further.then_some((leased.period, leased.granted));
            }
            (Change::Charge(charge), Applied::Charged(charged)) => unasked = self.charge(charge, charged)?,
            (Change::Record(record), Applied::Recorded(recorded)) => {
                let (status, paid) = self.record(record)?;
                prop_assert_eq!(recorded.status, status, "{:?}", record);
                let event = &record.event;
                prop_assert_eq!(
                    recorded.used,
                    self.used(&key_of(event), self.period(&event.customer_id, event.timestamp))
                );
                unasked = if status.is_counted() { event.units.get().saturating_sub(paid) } else { 0 };
            }
            (Change::Release(part), Applied::Returned) => self.settle(part)?,
            (Change::ReturnLeases { holder }, Applied::Returned) => {
                self.leases.retain(|(_, _, of), _| of != holder);
                self.recalled.retain(|recalled| self.leases.keys().any(|(key, _, _)| key == recalled));
            }
            (Change::ForgetJournal { holder }, Applied::Returned) => drop(self.journals.remove(holder)),
            (Change::UpsertCustomer { id, patch, .. }, Applied::Customer(_)) => {
                self.tiers.extend(patch.tier_id.value().map(|tier| (id.clone(), tier.clone())));
                match &patch.billing_cycle_anchor {
                    Patch::Keep => {}
                    Patch::Clear => drop(self.anchors.remove(id)),
                    Patch::Set(anchor) => drop(self.anchors.insert(id.clone(), *anchor)),
                }
                return Ok(());
            }
            (Change::Configure { tiers, time_zone }, Applied::Configured) => {
                for tier in tiers.iter().flat_map(|tiers| tiers.iter()) {
                    self.limits.insert(tier.id.clone(), tier.api_requests_per_month);
                }
                if let Some(zone) = time_zone {
                    self.zone = zone.name().to_owned();
                }
                return Ok(());
            }
            _ => return Err(TestCaseError::fail(format!("{change:?} was answered with {applied:?}"))),
        }
        for (place, after) in self.excesses() {
            let reaching = reaching.filter(|(period, _)| *period != place.1).map_or(0, |(_, granted)| granted);
            let allowed = before.get(&place).copied().unwrap_or(0) + unasked + reaching;
            prop_assert!(after <= allowed, "{:?}: {} past the limit, after {:?}", place, after, change);
        }
        Ok(())
    }

    fn lend(&mut self, request: &LeaseRequest, leased: &Leased) -> Checked {
        let key = (request.customer_id.clone(), request.quota);
        let period = self.period(&key.0, request.now);
        let overlapping = self.overlapping(&key, period);
        let taken: u64 = overlapping.values().sum();
        let elsewhere = taken - overlapping.get(&(request.holder.clone(), period.start)).copied().unwrap_or(0);
        let used = self.used(&key, period);
        prop_assert_eq!(leased.period, period);
        prop_assert_eq!((leased.standing.limit, leased.standing.used), (self.limit(&key), used));
        prop_assert_eq!(leased.leased_elsewhere, elsewhere);

        let left = self.limit(&key).map_or(0, |limit| limit.saturating_sub(used + taken));
        let needed = request.wish.needed.max(1);
        let is_recalled = self.recalled.contains(&key);
        let allowed = match (needed <= left, is_recalled, request.urgent) {
            (false, _, _) | (_, true, false) => 0..=0,
            (true, true, true) => needed..=needed,
            (true, false, _) => needed..=left.min(request.wish.wanted).max(needed),
        };
        prop_assert!(allowed.contains(&leased.granted), "{} of {:?} for {:?}", leased.granted, allowed, request);
        if request.urgent {
            self.recalled.remove(&key);
            if leased.granted == 0 && elsewhere > 0 && self.limit(&key).is_some() {
                self.recalled.insert(key.clone());
            }
        }
        if leased.granted > 0 {
            let lease = self.leases.entry((key, period.start, request.holder.clone())).or_insert((period.end, 0));
            *lease = (lease.0.max(period.end), lease.1 + leased.granted);
        }
        Ok(())
    }

    /// A lease pays for what it holds and never for more.
    fn settle(&mut self, part: &LeasePart) -> Checked {
        let key = ((part.customer_id.clone(), part.quota), part.period_start, part.holder.clone());
        let lease = self.leases.get_mut(&key).filter(|(_, units)| *units >= part.units);
        let Some((_, units)) = lease else {
            return Err(TestCaseError::fail(format!("{part:?} was not leased")));
        };
        *units -= part.units;
        if *units == 0 {
            self.leases.remove(&key);
        }
        Ok(())
    }

    /// Whether the event's id was seen, and if so whether with the same contents.
    fn seen(&self, event: &UsageEvent) -> Option<bool> {
        let id = event.id.as_ref()?.as_str().to_owned();
        self.ids.get(&(event.customer_id.clone(), id)).map(|known| *known == (event.meter, event.units.get()))
    }

    fn count(&mut self, event: &UsageEvent) {
        if let Some(id) = &event.id {
            let contents = (event.meter, event.units.get());
            self.ids.insert((event.customer_id.clone(), id.as_str().to_owned()), contents);
        }
        self.counted.push(event.clone());
    }

    /// Answers what was counted without being asked for.
    fn charge(&mut self, Charge { event, admission, paid, .. }: &Charge, charged: &Charged) -> Checked<u64> {
        let key = key_of(event);
        let period = self.period(&key.0, event.timestamp);
        let leased: u64 = self.overlapping(&key, period).values().sum();
        let used = self.used(&key, period);
        let fits = self.limit(&key).is_none_or(|limit| used + leased + event.units.get() <= limit);
        let expected = match self.seen(event) {
            Some(true) => "duplicate",
            Some(false) => "conflict",
            None if admission.is_some() && paid.is_empty() && !fits => "limit",
            None => "recorded",
        };
        let found = match &charged.verdict {
            Verdict::Duplicate => "duplicate",
            Verdict::Refused(Refusal::IdempotencyConflict) => "conflict",
            Verdict::Refused(Refusal::LimitExceeded(_)) => "limit",
            Verdict::Recorded => "recorded",
            Verdict::Refused(_) => "other",
        };
        prop_assert_eq!(found, expected, "{:?} with {} used and {} leased", event, used, leased);
        if expected != "recorded" {
            return Ok(0);
        }
        self.count(event);
        for part in paid {
            self.settle(part)?;
        }
        Ok(if admission.is_none() { event.units.get() } else { 0 })
    }

    /// Answers what becomes of an event, and what the lease paid for it.
    fn record(&mut self, record: &Record) -> Checked<(RecordStatus, u64)> {
        let position = self.journals.entry(record.holder.clone()).or_default();
        if record.sequence <= *position {
            return Ok((RecordStatus::Replayed, 0));
        }
        *position = record.sequence;
        for part in &record.paid {
            self.settle(part)?;
        }
        let status = match self.seen(&record.event) {
            Some(true) => RecordStatus::Duplicate,
            Some(false) => RecordStatus::Conflict,
            None => {
                self.count(&record.event);
                RecordStatus::Counted
            }
        };
        Ok((status, record.paid.iter().map(|part| part.units).sum()))
    }

    /// Whether a store holds what it should.
    pub fn agrees(&self, store: &dyn Store) -> Checked {
        for (customer, meter) in KEYS {
            let quota = Quota::Period(meter);
            let key = (customer_id(customer), quota);
            let periods: BTreeSet<_> = super::world::instants().map(|at| self.period(&key.0, at)).collect();
            for period in periods {
                let counters = store.counters(&key.0, period.start).expect("counters");
                let used = counters.iter().find(|counter| counter.meter == meter).map_or(0, |counter| counter.units);
                prop_assert_eq!(used, self.used(&key, period), "{:?} {:?}", &key, period);
                let leases = store.leases(&key.0, quota, period).expect("leases");
                let found = leases.into_iter().map(|lease| ((lease.holder, lease.period_start), lease.units)).collect();
                prop_assert_eq!(self.overlapping(&key, period), found, "{:?} {:?}", &key, period);
            }
        }
        let recalled: BTreeSet<Key> = store.recalls().expect("recalls").into_iter().collect();
        prop_assert_eq!(&recalled, &self.recalled);
        let holders: BTreeSet<_> =
            self.journals.keys().chain(self.leases.keys().map(|(_, _, holder)| holder)).collect();
        let known = store.holders().expect("holders");
        prop_assert_eq!(known.iter().collect::<BTreeSet<_>>(), holders);
        Ok(())
    }
}

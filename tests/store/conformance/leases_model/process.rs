//! A process with an engine, as far as leases go: what it may spend, its holds, its journal.

use std::collections::BTreeMap;

use weighbridge::domain::lease::Wish;
use weighbridge::domain::{Allowance, CustomerId, HolderId, Period, TimeZone, Timestamp, UsageEvent};
use weighbridge::store::{Change, LeasePart, LeaseRequest, Leased, Record, Store};

use super::oracle::Key;

pub struct Process {
    pub store: Box<dyn Store>,
    pub holder: HolderId,
    pub zone: TimeZone,
    /// Of the customers who have one, as of the last look.
    pub anchors: BTreeMap<CustomerId, Timestamp>,
    pub allowances: BTreeMap<(Key, Period), Allowance>,
    pub holds: Vec<Hold>,
    pub journal: Journal,
}

pub struct Hold {
    pub key: Key,
    pub period: Period,
    pub event: UsageEvent,
}

/// What a process has admitted; a file, so it outlives the process.
#[derive(Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
    /// How many of them the store has recorded, as far as the process has heard.
    pub recorded: usize,
}

pub struct Entry {
    pub event: UsageEvent,
    pub paid: Option<LeasePart>,
    /// From which its units were taken.
    pub allowance: (Key, Period),
}

impl Journal {
    pub fn record(&self, holder: &HolderId, place: usize, now: Timestamp) -> Change {
        let Entry { event, paid, .. } = &self.entries[place];
        let (event, paid) = (event.clone(), paid.iter().cloned().collect());
        Change::Record(Record { holder: holder.clone(), sequence: place as u64 + 1, event, paid, now })
    }
}

impl Process {
    pub fn new(store: Box<dyn Store>, holder: HolderId) -> Self {
        let zone = store.catalog().expect("a catalog").time_zone;
        Self {
            store,
            holder,
            zone,
            anchors: BTreeMap::new(),
            allowances: BTreeMap::new(),
            holds: Vec::new(),
            journal: Journal::default(),
        }
    }

    pub fn request(&self, key: &Key, now: Timestamp, wish: Wish, urgent: bool) -> LeaseRequest {
        LeaseRequest { holder: self.holder.clone(), customer_id: key.0.clone(), quota: key.1, now, wish, urgent }
    }

    pub fn part(&self, (key, period): &(Key, Period), units: u64) -> LeasePart {
        let (customer_id, quota) = key.clone();
        LeasePart { holder: self.holder.clone(), customer_id, quota, period_start: period.start, units }
    }

    /// Learns another limit, and says what is to be given back.
    pub fn learn(&mut self, key: &Key, limit: Option<u64>) -> Vec<Change> {
        self.release(|(of, _), allowance| if of == key { allowance.relimit(limit) } else { 0 })
    }

    pub fn leased(&mut self, key: &Key, leased: &Leased) -> Vec<Change> {
        let returns = self.learn(key, leased.standing.limit);
        let place = (key.clone(), leased.period);
        let allowance = self.allowances.entry(place).or_insert_with(|| Allowance::new(leased.period, leased.standing));
        allowance.granted(leased.granted, leased.standing.used);
        returns
    }

    pub fn give_back(&mut self, key: &Key) -> Vec<Change> {
        self.release(|(of, _), allowance| if of == key { allowance.give_back() } else { 0 })
    }

    fn release(&mut self, take: impl Fn(&(Key, Period), &mut Allowance) -> u64) -> Vec<Change> {
        let taken = self.allowances.iter_mut().map(|(place, allowance)| (place.clone(), take(place, allowance)));
        let taken: Vec<_> = taken.filter(|(_, units)| *units > 0).collect();
        taken.iter().map(|(place, units)| Change::Release(self.part(place, *units))).collect()
    }

    /// What it knows to have of a lease, holds aside.
    pub fn has(&self, key: &Key, start: Timestamp) -> u64 {
        let free = self.allowances.iter().filter(|((of, period), _)| of == key && period.start == start);
        let unrecorded = self.journal.entries[self.journal.recorded..].iter().filter_map(|entry| entry.paid.as_ref());
        let unrecorded = unrecorded.filter(|part| (&part.customer_id, part.quota) == (&key.0, key.1));
        let unrecorded = unrecorded.filter(|part| part.period_start == start);
        free.map(|(_, allowance)| allowance.free()).sum::<u64>() + unrecorded.map(|part| part.units).sum::<u64>()
    }
}

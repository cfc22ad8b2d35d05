//! The processes, the dead, and the one place that all their stores are open on.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::lease::Wish;
use weighbridge::domain::{
    EventId, HolderId, Meter, Period, Quota, Tier, TierTable, Timestamp, UsageEvent, billing_period,
};
use weighbridge::store::{Admission, Applied, Change, Charge, Outcome, Store, Verdict};

use super::oracle::{Checked, Key, Oracle};
use super::process::{Entry, Hold, Journal, Process};
use super::step::{INSTANTS, PROCESSES, Step, TIERS, Until, ZONES};
use crate::conformance::Fixture;
use crate::support::*;

pub const KEYS: [(&str, Meter); 3] =
    [("ann", Meter::API_REQUEST), ("ann", Meter::AGENT_EXECUTION), ("bob", Meter::API_REQUEST)];

pub fn instants() -> impl Iterator<Item = Timestamp> {
    INSTANTS.into_iter().map(at)
}

fn key(number: usize) -> Key {
    (customer_id(KEYS[number].0), Quota::Period(KEYS[number].1))
}

pub struct World<'p> {
    place: &'p dyn Fixture,
    /// The administrator's and the heirs'.
    store: Rc<dyn Store>,
    processes: Vec<Option<Process>>,
    /// Whom nobody has inherited from yet.
    dead: Vec<(HolderId, Journal)>,
    oracle: Oracle,
    /// Every event that was let through or has happened.
    let_through: Vec<UsageEvent>,
    events: usize,
    holders: usize,
    now: Timestamp,
}

impl<'p> World<'p> {
    pub fn new(place: &'p dyn Fixture) -> Self {
        Self {
            place,
            store: place.open().into(),
            processes: (0..PROCESSES).map(|_| None).collect(),
            dead: Vec::new(),
            oracle: Oracle::default(),
            let_through: Vec::new(),
            events: 0,
            holders: 0,
            now: now(),
        }
    }

    pub fn run(mut self, steps: Vec<Step>) -> Checked {
        self.set_limits(Some(20), Some(60))?;
        self.configure(configure_time_zone(ZONES[0]))?;
        self.configure(set_tier("ann", TIERS[0]))?;
        for process in 0..PROCESSES {
            self.start(process);
        }
        for step in steps {
            self.step(step)?;
            self.oracle.agrees(&*self.store)?;
            self.processes.iter().flatten().try_for_each(|process| self.knows_its_leases(process))?;
        }
        self.end()
    }

    fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Request { process, key: number, units, id, away } => {
                let event = self.event(number, units, id);
                self.with(process, |world, process| world.request(process, event, away))
            }
            Step::Hold { process, key: number, units } => {
                let event = self.event(number, units, None);
                self.with(process, |world, process| {
                    let held = world.take(process, &event, true)?;
                    process.holds.extend(held.map(|((key, period), _)| Hold { key, period, event }));
                    Ok(())
                })
            }
            Step::EndHold { process, hold, units } => {
                self.with(process, |world, process| world.end_hold(process, hold, units))
            }
            Step::Refill { process, key: number, wanted } => self.with(process, |world, process| {
                let change = world.refill(process, number, wanted);
                let outcome = world.commit(&*process.store, &[change])?.remove(0);
                world.leased(process, &key(number), outcome)
            }),
            Step::GiveBack { process, key: number } => self.with(process, |world, process| {
                let returns = process.give_back(&key(number));
                world.commit(&*process.store, &returns).map(drop)
            }),
            Step::HeedRecalls { process } => self.with(process, |world, process| {
                for key in process.store.recalls().expect("recalls") {
                    let returns = process.give_back(&key);
                    world.commit(&*process.store, &returns)?;
                }
                Ok(())
            }),
            Step::Observe { process } => self.with(process, Self::observe),
            Step::Record { process, count, again, refill } => {
                self.with(process, |world, process| world.record(process, count, again, refill))
            }
            Step::Crash { process, recorded, refill } => {
                let Some(process) = self.processes[process].take() else { return Ok(()) };
                let journal = &process.journal;
                let until = journal.entries.len().min(journal.recorded + recorded);
                let records = journal.recorded..until;
                let mut unheard: Vec<_> =
                    records.map(|place| journal.record(&process.holder, place, self.now)).collect();
                unheard.extend(refill.map(|(key, wanted)| self.refill(&process, key, wanted)));
                self.commit(&*process.store, &unheard)?;
                self.dead.push((process.holder, process.journal));
                Ok(())
            }
            Step::Close { process } => {
                let Some(mut process) = self.processes[process].take() else { return Ok(()) };
                self.record(&mut process, usize::MAX, 0, None)?;
                self.dead.push((process.holder, Journal::default()));
                self.inherit(self.dead.len() - 1, Until::Done)
            }
            Step::Start { process } => {
                if self.processes[process].is_none() {
                    self.start(process);
                }
                Ok(())
            }
            Step::Inherit { from, until } => match self.dead.len() {
                0 => Ok(()),
                dead => self.inherit(from % dead, until),
            },
            Step::Charge { key: number, units, id, is_fact } => {
                let event = self.event(number, units, id);
                let admission = (!is_fact).then(Admission::default);
                self.charge(None, Charge { event, admission, paid: Vec::new(), now: self.now }).map(drop)
            }
            Step::SetTier { key: number, tier } => self.configure(set_tier(KEYS[number].0, tier)),
            Step::SetLimits { small, large } => self.set_limits(small, large),
            Step::SetZone { zone } => self.configure(configure_time_zone(zone)),
            Step::SetAnchor { key: number, anchor } => {
                let billing_cycle_anchor = anchor.map_or(Patch::Clear, |anchor| Patch::Set(at(anchor)));
                self.configure(upsert(KEYS[number].0, CustomerPatch { billing_cycle_anchor, ..Default::default() }))
            }
            Step::SetClock { now } => {
                self.now = at(now);
                Ok(())
            }
        }
    }

    /// Lets a process do something, if it lives.
    fn with(&mut self, process: usize, act: impl FnOnce(&mut Self, &mut Process) -> Checked) -> Checked {
        let Some(mut acting) = self.processes[process].take() else { return Ok(()) };
        let acted = act(self, &mut acting);
        self.processes[process] = Some(acting);
        acted
    }

    fn start(&mut self, process: usize) {
        self.holders += 1;
        let holder = HolderId::new(format!("holder-{}", self.holders)).expect("the id of a holder");
        self.processes[process] = Some(Process::new(self.place.open(), holder));
    }

    /// Every commit is the oracle's too, change by change.
    fn commit(&mut self, store: &dyn Store, group: &[Change]) -> Checked<Vec<Outcome>> {
        let outcomes = commit(store, group);
        prop_assert_eq!(outcomes.len(), group.len());
        group.iter().zip(&outcomes).try_for_each(|(change, outcome)| self.oracle.apply(change, outcome))?;
        Ok(outcomes)
    }

    fn configure(&mut self, change: Change) -> Checked {
        let outcome = apply(&*self.store, change.clone());
        self.oracle.apply(&change, &outcome)
    }

    fn set_limits(&mut self, small: Option<u64>, large: Option<u64>) -> Checked {
        let tier = |(id, limit): (&&str, Option<u64>)| Tier {
            id: (*id).to_owned(),
            api_requests_per_month: limit,
            agent_executions_per_month: limit,
            definition: "{}".to_owned(),
        };
        let tiers = TierTable::new(TIERS.iter().zip([small, large]).map(tier).collect()).expect("tiers");
        self.configure(Change::Configure { tiers: Some(tiers), time_zone: None })
    }

    /// Its endpoint is its name. One with an id is the same each time, most often.
    fn event(&mut self, number: usize, count: u32, id: Option<u8>) -> UsageEvent {
        self.events += 1;
        let customer_id = customer_id(KEYS[number].0);
        let name = id.map_or_else(|| format!("event-{}", self.events), |id| format!("id-{id}"));
        let usual = |id: u8| if count > 5 { count } else { u32::from(id) + 1 };
        UsageEvent {
            customer_id,
            meter: KEYS[number].1,
            id: id.map(|_| EventId::new(name.clone()).expect("an event's id")),
            units: units(id.map_or(count, usual)),
            endpoint: Some(name),
            timestamp: self.now,
            ..event("ann")
        }
    }

    fn refill(&self, process: &Process, number: usize, wanted: u64) -> Change {
        Change::Lease(process.request(&key(number), self.now, Wish { needed: 1, wanted }, false))
    }

    fn leased(&mut self, process: &mut Process, key: &Key, outcome: Outcome) -> Checked {
        let leased = outcome.and_then(Applied::leased).expect("an answer to a request for units");
        let returns = process.leased(key, &leased);
        self.commit(&*process.store, &returns).map(drop)
    }

    fn observe(&mut self, process: &mut Process) -> Checked {
        process.zone = process.store.catalog().expect("a catalog").time_zone;
        let customers = process.store.customers(None, KEYS.len()).expect("customers").into_iter();
        let anchors = customers.filter_map(|customer| Some((customer.id, customer.billing_cycle_anchor?)));
        process.anchors = anchors.collect();
        for number in 0..KEYS.len() {
            let limit = self.oracle.limit(&key(number));
            let returns = process.learn(&key(number), limit);
            self.commit(&*process.store, &returns)?;
        }
        Ok(())
    }

    /// Takes units for an event from what is leased, or asks for what is missing. Answers from where, and what pays.
    fn take(&mut self, process: &mut Process, event: &UsageEvent, hold: bool) -> Checked<Option<Taken>> {
        let key = (event.customer_id.clone(), Quota::Period(event.meter));
        let units = event.units.get();
        let mut period = billing_period(process.anchors.get(&key.0).copied(), self.now, process.zone);
        for is_last in [false, true] {
            let place = (key.clone(), period);
            let mut missing = units;
            if let Some(allowance) = process.allowances.get_mut(&place) {
                let taken = if hold { allowance.hold(units) } else { allowance.spend(units) };
                let is_limited = allowance.limit.is_some();
                missing = allowance.missing(units);
                if taken {
                    let paid = is_limited.then(|| process.part(&place, units));
                    return Ok(Some((place, paid)));
                }
            }
            if is_last {
                break;
            }
            let request = process.request(&key, self.now, Wish { needed: missing, wanted: missing + 10 }, true);
            let outcome = self.commit(&*process.store, &[Change::Lease(request)])?.remove(0);
            period = outcome.clone().and_then(Applied::leased).expect("an answer").period;
            self.leased(process, &key, outcome)?;
        }
        Ok(None)
    }

    fn request(&mut self, process: &mut Process, event: UsageEvent, away: bool) -> Checked {
        let is_journaled = event.id.is_none() || away;
        match self.take(process, &event, false)? {
            Some((allowance, paid)) if is_journaled => {
                self.let_through.push(event.clone());
                process.journal.entries.push(Entry { event, paid, allowance });
                Ok(())
            }
            Some((allowance, paid)) => {
                let (units, leased) = (event.units.get(), paid.as_ref().map_or(0, |part| part.units));
                let admission = Some(Admission::default());
                let charge = Charge { event, admission, paid: paid.into_iter().collect(), now: self.now };
                let (verdict, used) = self.charge(Some(process), charge)?;
                let allowance = process.allowances.get_mut(&allowance).expect("an allowance");
                match verdict {
                    Verdict::Recorded => allowance.settled(units, used),
                    Verdict::Duplicate | Verdict::Refused(_) => allowance.unspend(units, leased),
                }
                Ok(())
            }
            None if is_journaled => Ok(()),
            None => {
                let returns = process.give_back(&(event.customer_id.clone(), Quota::Period(event.meter)));
                self.commit(&*process.store, &returns)?;
                let admission = Some(Admission::default());
                self.charge(Some(process), Charge { event, admission, paid: Vec::new(), now: self.now }).map(drop)
            }
        }
    }

    /// `None`: somebody who is no process of ours.
    fn charge(&mut self, process: Option<&Process>, charge: Charge) -> Checked<(Verdict, u64)> {
        let event = charge.event.clone();
        let group = [Change::Charge(charge)];
        let administrator = Rc::clone(&self.store);
        let store = process.map_or(&*administrator, |process| &*process.store);
        let outcome = self.commit(store, &group)?.remove(0);
        let charged = outcome.and_then(Applied::charged).expect("a charge");
        if charged.verdict == Verdict::Recorded {
            self.let_through.push(event);
        }
        Ok((charged.verdict, charged.standing.used))
    }

    fn end_hold(&mut self, process: &mut Process, hold: usize, settled: Option<u32>) -> Checked {
        if process.holds.is_empty() {
            return Ok(());
        }
        let Hold { key, period, event } = process.holds.remove(hold % process.holds.len());
        let place = (key, period);
        let allowance = process.allowances.get_mut(&place).expect("an allowance");
        match settled {
            None => allowance.unhold(event.units.get()),
            Some(settled) => {
                let leased = allowance.settle_hold(event.units.get(), u64::from(settled));
                let paid = (leased > 0).then(|| process.part(&place, leased));
                let event = UsageEvent { units: units(settled), ..event };
                self.let_through.push(event.clone());
                process.journal.entries.push(Entry { event, paid, allowance: place });
            }
        }
        Ok(())
    }

    fn record(&mut self, process: &mut Process, count: usize, again: usize, refill: Option<(usize, u64)>) -> Checked {
        let journal = &process.journal;
        let recorded = journal.recorded;
        let from = recorded - again.min(recorded);
        let until = journal.entries.len().min(recorded.saturating_add(count));
        let mut group: Vec<_> = (from..until).map(|place| journal.record(&process.holder, place, self.now)).collect();
        let middle = group.len() / 2;
        if let Some((number, wanted)) = refill {
            group.insert(middle, self.refill(process, number, wanted));
        }
        let mut outcomes = self.commit(&*process.store, &group)?;
        let lease = refill.map(|(number, _)| (number, outcomes.remove(middle)));
        for (place, outcome) in (from..until).zip(outcomes).skip(recorded - from) {
            let used = outcome.and_then(Applied::recorded).expect("an event of a journal").used;
            let entry = &process.journal.entries[place];
            let allowance = process.allowances.get_mut(&entry.allowance).expect("an allowance");
            allowance.settled(entry.event.units.get(), used);
        }
        process.journal.recorded = until;
        match lease {
            Some((number, outcome)) => self.leased(process, &key(number), outcome),
            None => Ok(()),
        }
    }

    /// Records what a dead process has admitted, gives back what it has not used, and forgets it.
    fn inherit(&mut self, from: usize, until: Until) -> Checked {
        let (holder, journal) = self.dead.remove(from);
        let store = Rc::clone(&self.store);
        let end = match until {
            Until::Recorded(count) => count.min(journal.entries.len()),
            Until::Returned | Until::JournalDeleted | Until::Done => journal.entries.len(),
        };
        let records: Vec<_> = (0..end).map(|place| journal.record(&holder, place, self.now)).collect();
        for group in records.chunks(7) {
            self.commit(&*store, group)?;
        }
        if matches!(until, Until::Recorded(_)) {
            self.dead.push((holder, journal));
            return Ok(());
        }
        self.commit(&*store, &[Change::ReturnLeases { holder: holder.clone() }])?;
        match until {
            Until::Recorded(_) | Until::Returned => self.dead.push((holder, journal)),
            Until::JournalDeleted => self.dead.push((holder, Journal::default())),
            Until::Done => drop(self.commit(&*store, &[Change::ForgetJournal { holder }])?),
        }
        Ok(())
    }

    /// What a process believes to have is set aside for it: no more than that, and no less where nothing is held.
    fn knows_its_leases(&self, process: &Process) -> Checked {
        for (key, period) in process.allowances.keys() {
            let (known, leased) =
                (process.has(key, period.start), self.oracle.lease(&process.holder, key, period.start));
            let is_right = if process.holds.is_empty() { known == leased } else { known <= leased };
            prop_assert!(is_right, "{:?} has {} of {:?} and believes {}", process.holder, leased, key, known);
        }
        Ok(())
    }

    /// Everybody dies and is inherited from: every event counts once, and what is not used can be.
    fn end(mut self) -> Checked {
        for number in 0..PROCESSES {
            self.step(Step::Crash { process: number, recorded: 0, refill: None })?;
        }
        while !self.dead.is_empty() {
            self.inherit(0, Until::Done)?;
        }
        self.store = self.place.open().into();
        self.oracle.agrees(&*self.store)?;
        prop_assert!(self.oracle.is_free_of_leases());

        let name = |customer: &str, endpoint: &Option<String>| (customer.to_owned(), endpoint.clone());
        let mut counted: BTreeMap<_, u64> = BTreeMap::new();
        for row in events(&*self.store, None, all_time()) {
            *counted.entry(name(row.customer_id.as_str(), &row.endpoint)).or_default() += row.events;
        }
        let let_through: BTreeSet<_> =
            self.let_through.iter().map(|event| name(event.customer_id.as_str(), &event.endpoint)).collect();
        prop_assert_eq!(counted, let_through.into_iter().map(|name| (name, 1)).collect());

        let heir = HolderId::new("heir").expect("the id of a holder");
        let heir = Process::new(self.place.open(), heir);
        for number in 0..KEYS.len() {
            let key = key(number);
            let Some(limit) = self.oracle.limit(&key) else { continue };
            let periods: BTreeSet<_> = instants().map(|at| self.oracle.period(&key.0, at)).collect();
            for period in periods {
                let left = limit.saturating_sub(self.oracle.used(&key, period));
                for (needed, granted) in [(left, left), (1, 0)] {
                    let wish = Wish { needed, wanted: needed };
                    let request = heir.request(&key, period.start, wish, true);
                    let outcome = self.commit(&*heir.store, &[Change::Lease(request)])?.remove(0);
                    prop_assert_eq!(outcome.and_then(Applied::leased).expect("an answer").granted, granted);
                }
            }
        }
        Ok(())
    }
}

/// From where units were taken, and what pays for them.
type Taken = ((Key, Period), Option<weighbridge::store::LeasePart>);

//! Building blocks for what leases pay for: API requests of `ann` in March 2026, unless they say otherwise.

use weighbridge::domain::lease::Wish;
use weighbridge::domain::{HolderId, Meter, Period, Quota, Timestamp, UsageEvent};
use weighbridge::store::{
    Admission, Applied, Change, Charge, LeasePart, LeaseRequest, Leased, Record, RecordStatus, Recorded, Store,
};

use super::{all_time, apply, at, commit, configure_tiers, customer_id, event, now, set_tier, units, used};

/// Makes a tier of so many API requests a month, and puts `ann` in it.
pub fn set_limit(store: &dyn Store, limit: Option<u64>) {
    let outcomes = commit(store, &[configure_tiers(&[("tier", limit)]), set_tier("ann", "tier")]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

pub fn march() -> Period {
    Period { start: at("2026-03-01T00:00:00Z"), end: at("2026-04-01T00:00:00Z") }
}

pub fn holder(id: &str) -> HolderId {
    HolderId::new(id).expect("the id of a holder")
}

pub fn request(holder_id: &str, wish: Wish, urgent: bool) -> LeaseRequest {
    let (customer_id, quota) = (customer_id("ann"), Quota::Period(Meter::API_REQUEST));
    LeaseRequest { holder: holder(holder_id), customer_id, quota, now: now(), wish, urgent }
}

/// Nobody waits for these.
pub fn refill(holder: &str, wanted: u64) -> Change {
    Change::Lease(request(holder, Wish { needed: 1, wanted }, false))
}

/// Somebody waits for exactly these.
pub fn urgent(holder: &str, needed: u64) -> Change {
    Change::Lease(request(holder, Wish { needed, wanted: 0 }, true))
}

pub fn urgent_at(holder: &str, needed: u64, now: Timestamp) -> Change {
    Change::Lease(LeaseRequest { now, ..request(holder, Wish { needed, wanted: 0 }, true) })
}

pub fn leased(store: &dyn Store, change: Change) -> Leased {
    apply(store, change).and_then(Applied::leased).expect("an answer to a request for units")
}

pub fn granted(store: &dyn Store, change: Change) -> u64 {
    leased(store, change).granted
}

pub fn part(holder_id: &str, units: u64) -> LeasePart {
    let (customer_id, quota) = (customer_id("ann"), Quota::Period(Meter::API_REQUEST));
    LeasePart { holder: holder(holder_id), customer_id, quota, period_start: march().start, units }
}

pub fn release(holder: &str, units: u64) -> Change {
    Change::Release(part(holder, units))
}

pub fn return_leases(holder_id: &str) -> Change {
    Change::ReturnLeases { holder: holder(holder_id) }
}

pub fn forget_journal(holder_id: &str) -> Change {
    Change::ForgetJournal { holder: holder(holder_id) }
}

pub fn event_of(number: u32) -> UsageEvent {
    UsageEvent { units: units(number), ..event("ann") }
}

/// Asks for an event to be admitted that a lease pays for.
pub fn admit_paid(event: UsageEvent, paid: LeasePart) -> Change {
    Change::Charge(Charge { event, admission: Some(Admission::default()), paid: vec![paid], now: now() })
}

/// An event of a journal.
pub fn journaled_at(holder_id: &str, sequence: u64, event: UsageEvent, paid: Option<LeasePart>) -> Change {
    Change::Record(Record { holder: holder(holder_id), sequence, event, paid: paid.into_iter().collect(), now: now() })
}

/// An event of a journal that a lease pays for.
pub fn record_paid(holder: &str, sequence: u64, event: UsageEvent) -> Change {
    let paid = part(holder, event.units.get());
    journaled_at(holder, sequence, event, Some(paid))
}

pub fn recorded(store: &dyn Store, change: Change) -> Recorded {
    apply(store, change).and_then(Applied::recorded).expect("an event of a journal")
}

pub fn statuses(store: &dyn Store, group: &[Change]) -> Vec<RecordStatus> {
    let outcomes = commit(store, group).into_iter();
    outcomes.map(|outcome| outcome.and_then(Applied::recorded).expect("an event of a journal").status).collect()
}

/// Who has how many units, by name; leases of several periods apart.
pub fn leases_of(store: &dyn Store, period: Period) -> Vec<(String, u64)> {
    let leases = store.leases(&customer_id("ann"), Quota::Period(Meter::API_REQUEST), period).expect("leases");
    let mut leases: Vec<_> = leases.into_iter().map(|lease| (lease.holder.as_str().to_owned(), lease.units)).collect();
    leases.sort();
    leases
}

/// All that is set aside, whoever has it and for whatever period.
pub fn set_aside(store: &dyn Store) -> u64 {
    leases_of(store, all_time()).iter().map(|(_, units)| units).sum()
}

/// Used and set aside.
pub fn spoken_for(store: &dyn Store) -> (u64, u64) {
    (used(store, "ann"), set_aside(store))
}

pub fn holders(store: &dyn Store) -> Vec<String> {
    let mut holders: Vec<_> =
        store.holders().expect("holders").iter().map(|holder| holder.as_str().to_owned()).collect();
    holders.sort();
    holders
}

pub fn is_recalled(store: &dyn Store) -> bool {
    store.recalls().expect("recalls").contains(&(customer_id("ann"), Quota::Period(Meter::API_REQUEST)))
}

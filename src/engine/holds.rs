//! Holds: units set apart for a request until its end is known.
//!
//! A hold ends once: it is settled, which makes it an event, or it is void, or it is swept because nobody has ended it.
//! What a hold holds is leased and not used; where the process dies, its heir gives it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Engine;
use super::Reply;
use super::ledger::{Ledger, Moment};
use crate::Result;
use crate::domain::{CostBasis, Money, Quota, Timestamp, Units, UsageEvent};
use crate::store::{Admission, Applied, Change, Charge, LeasePart, Verdict, paid_of};

/// A hold that nobody has ended for so long is void: an hour.
const ORPHANED_MILLIS: u64 = 3_600_000;

/// Exact as a JavaScript number.
pub type HoldId = u64;

/// Units set apart.
pub struct Hold {
    /// The event that it becomes, but for units and cost.
    pub event: UsageEvent,
    pub conditions: Admission,
    pub unit_price: Money,
    pub held: u64,
    pub period_start: Timestamp,
    /// Of the customer's other quotas.
    pub further: Vec<Held>,
}

/// An amount of a quota that is set apart, for the period that starts then.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub quota: Quota,
    pub period_start: Timestamp,
    pub amount: u64,
}

/// What the end of a request shows.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// `None`: as many as were held.
    pub units: Option<u64>,
    /// `None`: the units at their price.
    pub cost: Option<Money>,
    /// In the place of the event's, as JSON.
    pub metadata: Option<String>,
    /// When it is recorded.
    pub now: Timestamp,
}

#[derive(Default)]
pub struct Holds(Mutex<Open>);

#[derive(Default)]
struct Open {
    last_id: HoldId,
    holds: HashMap<HoldId, (Moment, Hold)>,
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, hold: Hold, moment: Moment) -> HoldId {
        let mut open = self.lock();
        open.last_id += 1;
        let id = open.last_id;
        open.holds.insert(id, (moment, hold));
        id
    }

    fn take(&self, id: HoldId) -> Option<(Moment, Hold)> {
        self.lock().holds.remove(&id)
    }

    /// As it was, after an attempt to end it that failed.
    fn put_back(&self, id: HoldId, since: Moment, hold: Hold) {
        self.lock().holds.insert(id, (since, hold));
    }

    fn take_orphans(&self, moment: Moment) -> Vec<Hold> {
        let orphaned = |_: &HoldId, (since, _): &mut (Moment, Hold)| *since + ORPHANED_MILLIS <= moment;
        self.lock().holds.extract_if(orphaned).map(|(_, (_, hold))| hold).collect()
    }
}

impl Engine {
    /// Ends holds as one event, and answers whether they had not ended before. Further holds only lend their units: the
    /// event is the first one's.
    pub fn settle(self: &Arc<Self>, ids: &[HoldId], settlement: Settlement, reply: Reply<bool>) {
        let take = |id: &HoldId| self.holds.take(*id).map(|(since, hold)| (*id, since, hold));
        let taken: Vec<_> = ids.iter().filter_map(take).collect();
        let Some((_, _, first)) = taken.first() else { return reply(Ok(false)) };
        let held: u64 = taken.iter().map(|(_, _, hold)| hold.held).sum();
        let units = settlement.units.unwrap_or(held);
        let event = match event(first, units, settlement.cost, settlement.metadata) {
            Ok(Some(event)) => event,
            Ok(None) => {
                taken.iter().for_each(|(_, _, hold)| self.let_go(hold));
                return reply(Ok(true));
            }
            // Nothing has changed: it can be settled again, rightly.
            Err(error) => {
                taken.into_iter().for_each(|(id, since, hold)| self.holds.put_back(id, since, hold));
                return reply(Err(error));
            }
        };
        let key = (event.customer_id.clone(), Quota::Period(event.meter));
        let further: Vec<Held> = taken.iter().flat_map(|(_, _, hold)| &hold.further).copied().collect();
        let mut holds = taken.into_iter().map(|(_, _, hold)| hold);
        let Some(first) = holds.next() else { return reply(Ok(false)) };
        // All of them are of one customer; what was held in another period pays for nothing in this one. Nobody else may
        // take what the others lend, so the ledger is not let go in between.
        let mut ledger = self.shared.ledger();
        holds.for_each(|hold| ledger.unhold(&key, hold.period_start, hold.held));
        let mut paid: Vec<LeasePart> =
            ledger.settle_hold(&key, first.period_start, first.held, units).into_iter().collect();
        paid.extend(settle_further(&mut ledger, &event, &further));
        drop(ledger);
        if event.id.is_none() {
            let written: Reply<()> = Box::new(|written| reply(written.map(|()| true)));
            return self.append(event, paid, first.period_start, settlement.now, written);
        }
        let leased = paid_of(&paid, key.1);
        let engine = Arc::clone(self);
        // It has happened, so nothing but its id is judged.
        let charge = Charge { event: event.clone(), admission: None, paid: paid.clone(), now: settlement.now };
        self.recorder.commit(
            vec![Change::Charge(charge)],
            Box::new(move |outcomes| {
                let charged = outcomes.and_then(super::single).and_then(Applied::charged);
                let mut ledger = engine.shared.ledger();
                match charged {
                    Ok(charged) if charged.verdict == Verdict::Recorded => {
                        ledger.settled(&key, first.period_start, units, charged.standing.used);
                        ledger.settled_further(&event, &paid, true);
                        drop(ledger);
                        reply(Ok(true));
                    }
                    Ok(_) => {
                        ledger.unspend(&key, first.period_start, units, leased);
                        ledger.unspend_further(&event, &paid, true);
                        drop(ledger);
                        reply(Ok(true));
                    }
                    Err(error) if error.code.is_outage() => {
                        drop(ledger);
                        let written: Reply<()> = Box::new(|written| reply(written.map(|()| true)));
                        // At the end it may be committed after all: see `charge_paid`.
                        let paid = if engine.is_closed() { Vec::new() } else { paid };
                        engine.append(event, paid, first.period_start, settlement.now, written);
                    }
                    Err(error) => {
                        ledger.unspend(&key, first.period_start, units, leased);
                        ledger.unspend_further(&event, &paid, true);
                        drop(ledger);
                        reply(Err(error));
                    }
                }
            }),
        );
    }

    /// Ends holds without an event, and answers whether they had not ended before.
    pub fn void(&self, ids: &[HoldId]) -> bool {
        let holds: Vec<Hold> = ids.iter().filter_map(|id| Some(self.holds.take(*id)?.1)).collect();
        holds.iter().for_each(|hold| self.let_go(hold));
        !holds.is_empty()
    }

    /// Ends the holds that nobody has ended.
    pub(super) fn sweep_holds(&self) {
        self.holds.take_orphans(self.shared.moment()).iter().for_each(|hold| self.let_go(hold));
    }

    fn let_go(&self, hold: &Hold) {
        let mut ledger = self.shared.ledger();
        let key = |quota| (hold.event.customer_id.clone(), quota);
        ledger.unhold(&key(Quota::Period(hold.event.meter)), hold.period_start, hold.held);
        for Held { quota, period_start, amount } in &hold.further {
            ledger.unhold(&key(*quota), *period_start, *amount);
        }
    }
}

/// What leases pay for of an event's other quotas, where something of them was held.
fn settle_further(ledger: &mut Ledger, event: &UsageEvent, further: &[Held]) -> Vec<LeasePart> {
    let mut parts: Vec<LeasePart> = Vec::new();
    let key = |quota| (event.customer_id.clone(), quota);
    for Held { quota, period_start, amount } in further {
        ledger.unhold(&key(*quota), *period_start, *amount);
    }
    for Held { quota, period_start, .. } in further {
        // Of several holds the first one's period: the event is its.
        if parts.iter().all(|part| part.quota != *quota) {
            let is_rated_later = *quota == Quota::Spend && event.cost_basis.price().is_some();
            let lent = further.iter().filter(|held| held.quota == *quota && held.period_start == *period_start);
            // What it costs is not known before it is counted; so all that was held for it is used up.
            let amount = match is_rated_later {
                true => lent.map(|held| held.amount).sum(),
                false => quota.amount(event.units.get(), event.cost),
            };
            parts.extend(ledger.spend_some(&key(*quota), *period_start, amount));
        }
    }
    parts
}

/// The event that a hold becomes; `None` for no units.
fn event(hold: &Hold, units: u64, cost: Option<Money>, metadata: Option<String>) -> Result<Option<UsageEvent>> {
    if units == 0 {
        return Ok(None);
    }
    let units = Units::from_number(units as f64)?;
    let (cost, cost_basis) = match cost {
        Some(cost) => (cost, CostBasis::Caller),
        None => (hold.unit_price.checked_mul(units.get())?, hold.event.cost_basis.clone()),
    };
    let metadata = metadata.or_else(|| hold.event.metadata.clone());
    let event = UsageEvent { units, cost, cost_basis, metadata, ..hold.event.clone() };
    event.validate()?;
    Ok(Some(event))
}

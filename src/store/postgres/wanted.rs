//! What a group of changes is going to ask for, so that it can be read in one go.

use std::collections::{BTreeSet, HashMap};

use super::event_ids::{self, Key};
use crate::domain::{CustomerId, HolderId, Meter, Period, TimeZone, Timestamp, UsageEvent, billing_period};
use crate::store::{Change, LeasePart};

#[derive(Debug, Default)]
pub struct Wanted {
    /// To be locked, in this order: then nobody waits in a circle.
    pub customers: BTreeSet<CustomerId>,
    pub keys: BTreeSet<String>,
    pub counters: BTreeSet<(CustomerId, Timestamp, Meter)>,
    /// Whose leases and recalls.
    pub accounts: BTreeSet<(CustomerId, Meter)>,
    pub ids: BTreeSet<(CustomerId, Key)>,
    pub journals: BTreeSet<HolderId>,
}

/// When the billing periods of customers begin.
pub struct Calendar<'c> {
    pub zone: TimeZone,
    pub anchors: &'c Anchors,
}

/// Of the customers who are known: from when on their periods are counted, where that is no calendar month.
pub type Anchors = HashMap<CustomerId, Option<Timestamp>>;

impl Calendar<'_> {
    /// Of a customer who is not known it is a guess.
    fn period(&self, customer_id: &CustomerId, at: Timestamp) -> Period {
        billing_period(self.anchors.get(customer_id).copied().flatten(), at, self.zone)
    }
}

impl Wanted {
    pub fn of(changes: &[Change], calendar: &Calendar<'_>) -> Self {
        let mut wanted = Self::default();
        changes.iter().for_each(|change| wanted.add(change, calendar));
        wanted
    }

    fn add(&mut self, change: &Change, calendar: &Calendar<'_>) {
        match change {
            Change::Charge(charge) => {
                self.add_event(&charge.event, calendar);
                if let Some(admission) = &charge.admission {
                    self.keys.extend(admission.key_id.clone());
                    // What is spent on the others counts where the customer has a spend cap.
                    let UsageEvent { customer_id, timestamp, .. } = &charge.event;
                    Meter::BUILT_IN
                        .into_iter()
                        .for_each(|meter| self.add_counter(customer_id, meter, *timestamp, calendar));
                    self.accounts.insert((charge.event.customer_id.clone(), charge.event.meter));
                }
                self.add_part(charge.paid.as_ref());
            }
            Change::Record(record) => {
                self.add_event(&record.event, calendar);
                self.add_part(record.paid.as_ref());
                self.journals.insert(record.holder.clone());
            }
            Change::Lease(request) => {
                self.add_counter(&request.customer_id, request.meter, request.now, calendar);
                self.accounts.insert((request.customer_id.clone(), request.meter));
            }
            Change::Release(part) => self.add_part(Some(part)),
            Change::GrantCredit { customer_id, .. }
            | Change::VoidGrant { customer_id, .. }
            | Change::RefundCredit { customer_id, .. } => self.customers.extend([customer_id.clone()]),
            Change::UpsertCustomer { id, .. } => self.customers.extend([id.clone()]),
            Change::CreateKey { key, .. } => self.customers.extend([key.customer_id.clone()]),
            Change::RevokeKey { id, .. } | Change::RotateKey { id, .. } => self.keys.extend([id.clone()]),
            Change::TakeOver(takeover) => {
                self.customers.extend(takeover.customers.iter().cloned());
                takeover.events.iter().for_each(|event| self.add_event(event, calendar));
            }
            Change::ReturnLeases { .. }
            | Change::ForgetJournal { .. }
            | Change::Configure { .. }
            | Change::Offer(_)
            | Change::IntroduceTiers(_)
            | Change::Export(_)
            | Change::ClaimStripeEvent { .. }
            | Change::FinishStripeEvent(_)
            | Change::ReleaseStripeEvent { .. } => {}
        }
    }

    fn add_event(&mut self, event: &UsageEvent, calendar: &Calendar<'_>) {
        self.add_counter(&event.customer_id, event.meter, event.timestamp, calendar);
        self.ids.extend(event.id.as_ref().map(|id| (event.customer_id.clone(), event_ids::key(id))));
    }

    fn add_counter(&mut self, customer_id: &CustomerId, meter: Meter, at: Timestamp, calendar: &Calendar<'_>) {
        self.customers.insert(customer_id.clone());
        let period = calendar.period(customer_id, at);
        self.counters.insert((customer_id.clone(), period.start, meter));
    }

    fn add_part(&mut self, part: Option<&LeasePart>) {
        let Some(part) = part else { return };
        self.customers.insert(part.customer_id.clone());
        self.accounts.insert((part.customer_id.clone(), part.meter));
    }
}

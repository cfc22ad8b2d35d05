//! What a group of changes is going to ask for, so that it can be read in one go.

use std::collections::{BTreeSet, HashMap};

use super::event_ids::{self, Key};
use crate::domain::{Customer, CustomerId, HolderId, Meter, Period, Quota, Timestamp, UsageEvent, billing_period};
use crate::store::{Catalog, Change, LeasePart, LeaseRequest};

#[derive(Debug, Default)]
pub struct Wanted {
    /// To be locked, in this order: then nobody waits in a circle.
    pub customers: BTreeSet<CustomerId>,
    pub keys: BTreeSet<String>,
    pub counters: BTreeSet<(CustomerId, Timestamp, Meter)>,
    /// By which events are rated.
    pub quantities: BTreeSet<(CustomerId, Timestamp, Meter)>,
    /// Whose leases and recalls.
    pub accounts: BTreeSet<(CustomerId, Quota)>,
    /// Whose usage of windows.
    pub windows: BTreeSet<CustomerId>,
    pub ids: BTreeSet<(CustomerId, Key)>,
    pub journals: BTreeSet<HolderId>,
}

/// What is known before anything is read: what there is to be used, and when the billing periods of customers begin.
pub struct Calendar<'c> {
    pub catalog: &'c Catalog,
    pub known: &'c KnownCustomers,
    /// Those of the catalog.
    pub meters: Vec<Meter>,
}

/// Those who were there at a revision.
pub type KnownCustomers = HashMap<CustomerId, Customer>;

impl Calendar<'_> {
    /// Of a customer who is not known it is a guess.
    fn period(&self, customer_id: &CustomerId, at: Timestamp) -> Period {
        let anchor = self.known.get(customer_id).and_then(|customer| customer.billing_cycle_anchor);
        billing_period(anchor, at, self.catalog.time_zone)
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
                    let UsageEvent { customer_id, timestamp, meter, .. } = &charge.event;
                    self.accounts.insert((customer_id.clone(), Quota::Period(*meter)));
                    self.add_spending(customer_id, *timestamp, calendar);
                }
                charge.paid.iter().for_each(|part| self.add_part(part));
            }
            Change::Record(record) => {
                self.add_event(&record.event, calendar);
                record.paid.iter().for_each(|part| self.add_part(part));
                self.journals.insert(record.holder.clone());
            }
            Change::Lease(request) => {
                let LeaseRequest { customer_id, quota, now, .. } = request;
                self.customers.insert(customer_id.clone());
                self.accounts.insert((customer_id.clone(), *quota));
                match quota {
                    Quota::Period(meter) => self.add_counter(customer_id, *meter, *now, calendar),
                    Quota::Window(..) => drop(self.windows.insert(customer_id.clone())),
                    Quota::Spend => self.add_spending(customer_id, *now, calendar),
                    Quota::Credit => {}
                }
            }
            Change::Release(part) => self.add_part(part),
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
            | Change::Alert(_)
            | Change::ClaimStripeEvent { .. }
            | Change::FinishStripeEvent(_)
            | Change::ReleaseStripeEvent { .. } => {}
        }
    }

    fn add_event(&mut self, event: &UsageEvent, calendar: &Calendar<'_>) {
        self.add_counter(&event.customer_id, event.meter, event.timestamp, calendar);
        if calendar.catalog.tiers.has_windows(event.meter) {
            self.windows.insert(event.customer_id.clone());
        }
        if event.cost_basis.price().is_some() {
            let period = calendar.period(&event.customer_id, event.timestamp);
            self.quantities.insert((event.customer_id.clone(), period.start, event.meter));
        }
        self.ids.extend(event.id.as_ref().map(|id| (event.customer_id.clone(), event_ids::key(id))));
    }

    fn add_counter(&mut self, customer_id: &CustomerId, meter: Meter, at: Timestamp, calendar: &Calendar<'_>) {
        self.customers.insert(customer_id.clone());
        let period = calendar.period(customer_id, at);
        self.counters.insert((customer_id.clone(), period.start, meter));
    }

    /// What is spent on every meter counts where the customer has a spend cap. It is read together with the leases of it.
    fn add_spending(&mut self, customer_id: &CustomerId, at: Timestamp, calendar: &Calendar<'_>) {
        calendar.meters.iter().for_each(|meter| self.add_counter(customer_id, *meter, at, calendar));
        self.accounts.insert((customer_id.clone(), Quota::Spend));
    }

    fn add_part(&mut self, part: &LeasePart) {
        self.customers.insert(part.customer_id.clone());
        self.accounts.insert((part.customer_id.clone(), part.quota));
    }
}

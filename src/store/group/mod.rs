//! Applying a group of changes inside one transaction: what every store decides alike. What it reads and writes is behind
//! [`Tables`].
//!
//! Here is what happens to an event; `leases` sets units aside, what administers customers, keys and the catalog is in
//! `administration`, and what Stripe tells in `stripe_events`.

use crate::domain::{ApiKey, Customer, Meter, Period, Refusal, Spending, Standing, decide_access};
use crate::store::{
    Admission, Applied, Change, Charge, Charged, Outcome, Record, RecordStatus, Recorded, Takeover, Verdict,
};

mod administration;
mod credits;
mod deltas;
mod export;
mod leases;
mod periods;
mod stripe_events;
mod tables;
mod tally;

pub use credits::Credit;
pub use deltas::Deltas;
pub use periods::Used;
pub use tables::{Counted, Tables};
pub use tally::{CounterKey, RollupKey, Tally, rollup_key};

pub struct Group<T> {
    pub tables: T,
    /// The calendar month of the last event: most often the next one's too.
    month: Option<Period>,
}

/// An error here ends the whole group; the outcome is a change's own.
type Step<T> = Result<Outcome, <T as Tables>::Error>;

impl<T: Tables> Group<T> {
    /// In a transaction that has just begun.
    pub fn begin(tables: T) -> Self {
        Self { tables, month: None }
    }

    pub fn apply(&mut self, change: &Change) -> Step<T> {
        match change {
            Change::Charge(charge) => self.charge(charge),
            Change::Record(record) => self.record_admitted(record),
            Change::Lease(request) => match self.tables.catalog().tiers.require_meter(request.meter) {
                Ok(()) => self.lease(request),
                Err(error) => Ok(Err(error)),
            },
            Change::Release(part) => self.release(part),
            Change::ReturnLeases { holder } => self.return_leases(holder),
            Change::ForgetJournal { holder } => self.forget_journal(holder),
            Change::UpsertCustomer { id, patch, now } => self.upsert_customer(id, patch, *now),
            Change::GrantCredit { customer_id, request, now } => self.grant_credit(customer_id, request, *now),
            Change::VoidGrant { customer_id, id, at, now } => self.void_grant(customer_id, id, *at, *now),
            Change::RefundCredit { customer_id, refund } => self.refund_credit(customer_id, refund),
            Change::CreateKey { key, hash } => self.create_key(key, hash),
            Change::RevokeKey { id, now } => self.revoke_key(id, *now),
            Change::RotateKey { id, successor_id, prefix, hash, now, until } => {
                let successor = |key: &ApiKey| ApiKey {
                    id: successor_id.clone(),
                    prefix: prefix.clone(),
                    created_at: *now,
                    ..key.clone()
                };
                self.rotate_key(id, successor, hash, *until)
            }
            Change::Configure { tiers, time_zone } => self.configure(tiers.as_ref(), *time_zone),
            Change::Offer(versions) => self.offer(versions),
            Change::IntroduceTiers(tiers) => self.introduce_tiers(tiers),
            Change::Export(rule) => self.set_export(rule.clone()),
            Change::TakeOver(takeover) => self.take_over(takeover),
            Change::ClaimStripeEvent { event, now } => self.claim_stripe_event(event, *now),
            Change::FinishStripeEvent(finished) => self.finish_stripe_event(finished),
            Change::ReleaseStripeEvent { id } => self.release_stripe_event(id),
        }
    }

    fn charge(&mut self, charge: &Charge) -> Step<T> {
        if let Err(error) = self.tables.catalog().tiers.require_meter(charge.event.meter) {
            return Ok(Err(error));
        }
        let outcome = self.count(charge)?;
        if let Ok(Applied::Charged(Charged { verdict: Verdict::Recorded, customer, .. })) = &outcome {
            self.enqueue(&charge.event, customer, charge.now)?;
        }
        Ok(outcome)
    }

    fn count(&mut self, charge: &Charge) -> Step<T> {
        let event = &charge.event;
        let known = self.tables.customer(&event.customer_id)?;
        let is_new = known.is_none();
        let customer = known.unwrap_or_else(|| Customer::new(event.customer_id.clone(), charge.now));
        let period = self.period_of(&customer, event.timestamp);
        let mut standing = self.standing(&customer, event.meter, period)?;

        let verdict = self.judge(charge, &customer, standing, period)?;
        if verdict == Verdict::Recorded {
            let payment = self.payment(event, &customer, charge.now)?;
            if let Err(error) = self.tables.record(event, payment.cost, &customer, period, charge.now)? {
                return Ok(Err(error));
            }
            self.pay(&customer, &payment)?;
            if is_new {
                self.tables.put_customer(&customer)?;
            }
            if let Some(part) = &charge.paid {
                self.tables.settle(part)?;
            }
            standing.used += event.units.get();
        }
        Ok(Ok(Applied::Charged(Charged { verdict, customer, standing, period })))
    }

    fn record_admitted(&mut self, record: &Record) -> Step<T> {
        let Record { holder, sequence, event, paid, now } = record;
        let known = self.tables.customer(&event.customer_id)?;
        let is_new = known.is_none();
        let customer = known.unwrap_or_else(|| Customer::new(event.customer_id.clone(), *now));
        let period = self.period_of(&customer, event.timestamp);
        let status = if *sequence <= self.tables.journal_position(holder)? {
            RecordStatus::Replayed
        } else {
            self.tables.set_journal_position(holder, *sequence);
            if let Some(part) = paid {
                self.tables.settle(part)?;
            }
            match self.tables.seen(event)? {
                Some(true) => RecordStatus::Duplicate,
                Some(false) => RecordStatus::Conflict,
                None => {
                    let payment = self.payment(event, &customer, *now)?;
                    if let Err(error) = self.tables.record(event, payment.cost, &customer, period, *now)? {
                        return Ok(Err(error));
                    }
                    self.pay(&customer, &payment)?;
                    self.enqueue(event, &customer, *now)?;
                    if is_new {
                        self.tables.put_customer(&customer)?;
                    }
                    RecordStatus::Counted
                }
            }
        };
        let used = self.tables.used(&event.customer_id, event.meter, period)?;
        Ok(Ok(Applied::Recorded(Recorded { status, used })))
    }

    fn judge(
        &mut self,
        charge: &Charge,
        customer: &Customer,
        standing: Standing,
        period: Period,
    ) -> Result<Verdict, T::Error> {
        let Charge { event, admission, paid, now } = charge;
        if let Some(Admission { key_id, required }) = admission {
            let key = match key_id {
                Some(id) => match self.tables.key(id)? {
                    Some(key) if key.customer_id == event.customer_id => Some(key.clone()),
                    _ => return Ok(Verdict::Refused(Refusal::InvalidKey)),
                },
                None => None,
            };
            let key = key.as_ref().map(|key| (key, *now));
            if let Err(refusal) = decide_access(key, customer, &self.tables.catalog().tiers, required) {
                return Ok(Verdict::Refused(refusal));
            }
        }
        match self.tables.seen(event)? {
            Some(true) => return Ok(Verdict::Duplicate),
            Some(false) => return Ok(Verdict::Refused(Refusal::IdempotencyConflict)),
            None => {}
        }
        if admission.is_some() && paid.is_none() && standing.limit.is_some() {
            let leases = self.tables.leases(&event.customer_id, event.meter, period)?;
            let leased: u64 = leases.iter().map(|lease| lease.units).sum();
            let spoken_for = Standing { used: standing.used.saturating_add(leased), ..standing };
            if !spoken_for.admits(event.units) {
                return Ok(Verdict::Refused(Refusal::LimitExceeded(standing)));
            }
        }
        if admission.is_some() && customer.needs_store() {
            let payment = self.payment(event, customer, *now)?;
            if let Some(cap) = customer.spend_cap {
                let spending = Spending { cap, spent: self.tables.spent(&event.customer_id, period)? };
                if !spending.admits(payment.cost) {
                    return Ok(Verdict::Refused(Refusal::SpendCapExceeded { spending, cost: payment.cost }));
                }
            }
            if customer.prepaid
                && let Some(refusal) = self.exhausted(event, customer, &payment)?
            {
                return Ok(Verdict::Refused(refusal));
            }
        }
        Ok(Verdict::Recorded)
    }

    fn standing(&mut self, customer: &Customer, meter: Meter, period: Period) -> Result<Standing, T::Error> {
        let used = self.tables.used(&customer.id, meter, period)?;
        Ok(Standing { limit: self.tables.catalog().tiers.limit(Some(customer), meter), used })
    }

    fn take_over(&mut self, takeover: &Takeover) -> Step<T> {
        let Takeover { file, from, to, events, customers, now } = takeover;
        if self.tables.takeover_position(file)? != *from {
            return Ok(Ok(Applied::TakenOver(false)));
        }
        for id in customers {
            if self.tables.customer(id)?.is_none() {
                self.tables.put_customer(&Customer::new(id.clone(), *now))?;
            }
        }
        for event in events {
            // A sum that overflows fails the group: a stretch is taken over whole or not at all.
            // It is not reported: that was the seed's business.
            self.count(&Charge { event: event.clone(), admission: None, paid: None, now: *now })??;
        }
        self.tables.set_takeover_position(file, *to)?;
        Ok(Ok(Applied::TakenOver(true)))
    }
}

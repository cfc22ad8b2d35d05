//! Applying a group of changes inside one transaction: what every store decides alike. What it reads and writes is behind
//! [`Tables`].
//!
//! Here is what happens to an event; `leases` sets units aside, `alerts` looks what was reached, what administers customers, keys and the catalog is in
//! `administration`, and what Stripe tells in `stripe_events`.

use crate::domain::credit::Payment;
use crate::domain::{ApiKey, Customer, Period, Quota, Refusal, Timestamp, UsageEvent, decide_access};
use crate::store::{
    Admission, Applied, Change, Charge, Charged, Outcome, Record, RecordStatus, Recorded, Takeover, Verdict,
};

mod administration;
mod alerts;
mod credits;
mod deltas;
mod export;
mod leases;
mod periods;
mod quotas;
mod random;
mod rating;
mod stripe_events;
mod tables;
mod tally;
mod windows;

use quotas::Shortage;

pub use alerts::Grown;
pub use credits::Credit;
pub use deltas::Deltas;
pub use periods::Used;
pub use random::random;
pub use rating::RatedEvent;
pub use tables::{Counted, Tables};
pub use tally::{CounterKey, RollupKey, Tally, rollup_key};
pub use windows::{window_usage_from_stored, window_usage_to_stored};

pub struct Group<T> {
    pub tables: T,
    /// The calendar month of the last event: most often the next one's too.
    month: Option<Period>,
    grown: Grown,
}

/// An error here ends the whole group; the outcome is a change's own.
type Step<T> = Result<Outcome, <T as Tables>::Error>;

impl<T: Tables> Group<T> {
    /// In a transaction that has just begun.
    pub fn begin(tables: T) -> Self {
        Self { tables, month: None, grown: Grown::new() }
    }

    pub fn apply(&mut self, change: &Change) -> Step<T> {
        match change {
            Change::Charge(charge) => self.charge(charge),
            Change::Record(record) => self.record_admitted(record),
            Change::Lease(request) => {
                let meter = request.quota.meter();
                match meter.map_or(Ok(()), |meter| self.tables.catalog().tiers.require_meter(meter)) {
                    Ok(()) => self.lease(request),
                    Err(error) => Ok(Err(error)),
                }
            }
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
            Change::Alert(rule) => self.set_alerts(rule),
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
        let frame = self.frame(&customer, Quota::Period(event.meter), event.timestamp);
        let (mut period, mut standing) = (frame.period, self.standing(&customer, Quota::Period(event.meter), frame)?);

        let verdict = match self.judge(charge, &customer)? {
            Ok(verdict) => verdict,
            Err(shortage) => {
                if let Some(window) = shortage.window {
                    (standing, period) = window;
                }
                Verdict::Refused(shortage.refusal)
            }
        };
        if verdict == Verdict::Recorded {
            let event = match self.rate(event, &customer, period)? {
                Ok(event) => event,
                Err(error) => return Ok(Err(error)),
            };
            let payment = self.payment(&event, &customer, charge.now)?;
            if charge.admission.is_some()
                && let Some(refusal) = self.unaffordable(&event, &payment, &charge.paid, &customer)?
            {
                let verdict = Verdict::Refused(refusal);
                return Ok(Ok(Applied::Charged(Charged { verdict, customer, standing, period })));
            }
            if let Err(error) = self.record(&event, &payment, &customer, period, charge.now)? {
                return Ok(Err(error));
            }
            if is_new {
                self.tables.put_customer(&customer)?;
            }
            for part in &charge.paid {
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
            for part in paid {
                self.tables.settle(part)?;
            }
            match self.tables.seen(event)? {
                Some(true) => RecordStatus::Duplicate,
                Some(false) => RecordStatus::Conflict,
                None => {
                    let event = match self.rate(event, &customer, period)? {
                        Ok(event) => event,
                        Err(error) => return Ok(Err(error)),
                    };
                    let payment = self.payment(&event, &customer, *now)?;
                    if let Err(error) = self.record(&event, &payment, &customer, period, *now)? {
                        return Ok(Err(error));
                    }
                    self.enqueue(&event, &customer, *now)?;
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

    /// Counts an event wherever it counts.
    fn record(
        &mut self,
        event: &UsageEvent,
        payment: &Payment,
        customer: &Customer,
        period: Period,
        now: Timestamp,
    ) -> Counted<T> {
        let recorded = self.tables.record(event, payment.cost, customer, period, now)?;
        if recorded.is_ok() {
            self.pay(customer, payment)?;
            self.add_quantity(event, period)?;
            self.count_in_windows(event, customer, now)?;
            self.watch(event, period, now);
        }
        Ok(recorded)
    }

    fn judge(&mut self, charge: &Charge, customer: &Customer) -> Result<Result<Verdict, Shortage>, T::Error> {
        let Charge { event, admission, now, .. } = charge;
        if let Some(Admission { key_id, required }) = admission {
            let key = match key_id {
                Some(id) => match self.tables.key(id)? {
                    Some(key) if key.customer_id == event.customer_id => Some(key.clone()),
                    _ => return Ok(Ok(Verdict::Refused(Refusal::InvalidKey))),
                },
                None => None,
            };
            let key = key.as_ref().map(|key| (key, *now));
            if let Err(refusal) = decide_access(key, customer, &self.tables.catalog().tiers, required) {
                return Ok(Ok(Verdict::Refused(refusal)));
            }
        }
        match self.tables.seen(event)? {
            Some(true) => return Ok(Ok(Verdict::Duplicate)),
            Some(false) => return Ok(Ok(Verdict::Refused(Refusal::IdempotencyConflict))),
            None => {}
        }
        let shortage = if admission.is_some() { self.shortage(charge, customer)? } else { None };
        Ok(shortage.map_or(Ok(Verdict::Recorded), Err))
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
            self.count(&Charge { event: event.clone(), admission: None, paid: Vec::new(), now: *now })??;
        }
        self.tables.set_takeover_position(file, *to)?;
        Ok(Ok(Applied::TakenOver(true)))
    }
}

//! Admitting an event: units from the ledger, a line in the journal, an answer.
//!
//! An event without an id is spent from a lease and journaled. One with an id must be compared with those that were seen
//! in the transaction that counts it, so the store decides at once; a lease pays for it all the same. So it is where the
//! customer has a spend cap or pays beforehand: what is spent and left is known there, to the last digit, over all processes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::holds::{Hold, HoldId};
use super::journal::Entry;
use super::ledger::{Answer, Basis, Purpose, Resume, Taken, Terms, Waiter, Want};
use super::means::Means;
use super::owed::Owed;
use super::recorder::closed;
use super::{Engine, Reply};
use crate::domain::{Customer, Money, Period, Refusal, Standing, Timestamp, Units, UsageEvent};
use crate::store::{Admission, Applied, Change, Charge, Charged, LeasePart, LeaseRequest, Verdict};
use crate::{Code, Error, Result};

/// An event that asks to be admitted.
pub struct Candidate {
    pub event: UsageEvent,
    /// What is checked again where the store decides.
    pub conditions: Admission,
    /// `None`: what was learnt last, if nothing has changed since; otherwise the store is asked.
    pub terms: Option<Terms>,
    pub intent: Intent,
    pub now: Timestamp,
    /// When it is answered at the latest, if that was decided before.
    pub deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// To be counted now.
    Record,
    /// So many units are held until the end is known. The event's own units do not matter yet.
    Hold { units: u64, unit_price: Money },
}

/// What became of a [`Candidate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub verdict: Verdict,
    pub customer: Arc<Customer>,
    /// On the event's meter, after the event.
    pub standing: Standing,
    pub period: Period,
    /// Where units are held.
    pub hold: Option<HoldId>,
}

/// What becomes of a request or an event.
#[derive(Debug, Clone)]
pub enum Passage {
    /// It goes on, and nothing is recorded.
    Unpriced(Arc<Customer>),
    /// It was counted or held, or refused for what is known of the customer's quota.
    Admitted(Admitted),
    Refused(Refusal),
}

/// Whoever asked for something, and is told either what became of it, or, where that was said at once, that it is
/// written.
pub trait Caller: Send + 'static {
    fn answer(self, answer: Result<Passage>);
    fn written(self, written: Result<()>);
}

/// Waits for the whole answer.
impl Caller for Reply<Passage> {
    fn answer(self, answer: Result<Passage>) {
        self(answer);
    }

    fn written(self, written: Result<()>) {
        if let Err(error) = written {
            self(Err(error));
        }
    }
}

/// What is known at once.
pub enum Decision {
    /// All of it; nothing more will be said.
    Made(Result<Passage>),
    /// It is admitted if it can be written: [`Caller::written`] will be called after [`Engine::hand_over`].
    Writing(Admitted),
    /// [`Caller::answer`] will be called.
    Later,
}

impl Candidate {
    fn want(&self) -> Want {
        let key = (self.event.customer_id.clone(), self.event.meter);
        let (units, purpose) = match self.intent {
            Intent::Record => (self.event.units.get(), Purpose::Spend),
            Intent::Hold { units, .. } => (units, Purpose::Hold),
        };
        Want { key, units, purpose, now: self.event.timestamp }
    }
}

/// What is to be done with a candidate.
enum Next {
    Answer(Result<Passage>),
    /// To be written into the journal.
    Write(Candidate, Taken),
    /// To be judged by its id and by what the customer can pay; a lease pays for it.
    ChargePaid(Candidate, Taken),
    /// To be judged by its id and by the limit.
    ChargeUnpaid(Candidate, Want),
    Wait(Candidate, Want),
    /// To be held if the customer can pay for it.
    HoldWithinMeans(Candidate, Taken),
}

impl Engine {
    /// Decides at once where memory suffices, and otherwise answers the caller later.
    pub fn admit(self: &Arc<Self>, candidate: Candidate, caller: impl Caller) -> Decision {
        if self.is_closed() {
            return Decision::Made(Err(closed()));
        }
        match self.next(candidate) {
            Next::Answer(answer) => Decision::Made(answer),
            Next::Write(candidate, taken) => {
                let admitted = Admitted::from(&taken);
                let reply = Box::new(|written| caller.written(written));
                self.stage(candidate.event, taken.paid, taken.period.start, candidate.now, reply);
                Decision::Writing(admitted)
            }
            next => {
                self.answer_later(next, caller);
                Decision::Later
            }
        }
    }

    /// Counts an event if it is admitted.
    pub fn consume(self: &Arc<Self>, candidate: Candidate, reply: Reply<Passage>) {
        if self.is_closed() { reply(Err(closed())) } else { self.admit_later(candidate, reply) }
    }

    /// The same where the caller waits for the whole answer; what came before `close()` is still served after it.
    pub(super) fn admit_later<C: Caller>(self: &Arc<Self>, candidate: Candidate, caller: C) {
        self.answer_later(self.next(candidate), caller);
    }

    fn answer_later<C: Caller>(self: &Arc<Self>, next: Next, caller: C) {
        match next {
            Next::Answer(answer) => caller.answer(answer),
            Next::Write(candidate, taken) => {
                let passage = Passage::Admitted(Admitted::from(&taken));
                let reply = Box::new(|written: Result<()>| caller.answer(written.map(|()| passage)));
                self.append(candidate.event, taken.paid, taken.period.start, candidate.now, reply);
            }
            Next::ChargePaid(candidate, taken) => self.charge_paid(candidate, taken, caller),
            Next::ChargeUnpaid(candidate, want) => self.charge_unpaid(candidate, want, caller),
            Next::Wait(candidate, want) => self.wait(candidate, want, caller),
            Next::HoldWithinMeans(candidate, taken) => self.hold_within_means(candidate, taken, caller),
        }
    }

    fn next(self: &Arc<Self>, candidate: Candidate) -> Next {
        if let Some(error) = self.recorder.overloaded(1) {
            return Next::Answer(Err(error));
        }
        let want = candidate.want();
        let has_id = candidate.event.id.is_some() && candidate.intent == Intent::Record;
        match self.take(&want, candidate.terms.clone()) {
            Some(Answer::Taken(taken)) => self.spend(candidate, taken),
            // Whoever sends an id again is let through at the limit too, so only the store can refuse it.
            Some(Answer::Full(..)) | None if has_id => Next::ChargeUnpaid(candidate, want),
            Some(answer) => Next::Answer(answer.refused()),
            None => Next::Wait(candidate, want),
        }
    }

    fn spend(&self, candidate: Candidate, taken: Taken) -> Next {
        let needs_store = taken.terms.customer.needs_store();
        match (candidate.intent, needs_store) {
            (Intent::Record, true) => Next::ChargePaid(candidate, taken),
            (Intent::Record, false) if candidate.event.id.is_some() => Next::ChargePaid(candidate, taken),
            (Intent::Record, false) => Next::Write(candidate, taken),
            // Who holds nothing was let through before, and tells what it took.
            (Intent::Hold { units: 1.., .. }, true) => Next::HoldWithinMeans(candidate, taken),
            (Intent::Hold { units, unit_price }, _) => {
                Next::Answer(Ok(self.hold(candidate, &taken, units, unit_price)))
            }
        }
    }

    fn hold(&self, candidate: Candidate, taken: &Taken, units: u64, unit_price: Money) -> Passage {
        let Candidate { event, conditions, .. } = candidate;
        let hold = Hold { event, conditions, unit_price, held: units, period_start: taken.period.start };
        let hold = Some(self.holds.put(hold, self.shared.moment()));
        Passage::Admitted(Admitted { hold, ..Admitted::from(taken) })
    }

    fn take(self: &Arc<Self>, want: &Want, terms: Option<Terms>) -> Option<Answer> {
        let shared = &self.shared;
        let zone = shared.catalog().time_zone;
        let moment = shared.moment();
        let mut ledger = shared.ledger();
        let basis = terms.map_or_else(|| Basis::Revision(shared.keys.revision()), Basis::Terms);
        let (answer, refill) = ledger.take(want, zone, basis, moment);
        let returns = ledger.take_returns();
        drop(ledger);
        self.release(returns);
        if let Some(request) = refill {
            self.ask(request);
        }
        answer
    }

    pub(super) fn append(
        &self,
        event: UsageEvent,
        paid: Option<LeasePart>,
        period_start: Timestamp,
        now: Timestamp,
        reply: Reply<()>,
    ) {
        self.stage(event, paid, period_start, now, reply);
        self.journal.hand_over();
    }

    fn stage(
        &self,
        event: UsageEvent,
        paid: Option<LeasePart>,
        period_start: Timestamp,
        now: Timestamp,
        reply: Reply<()>,
    ) {
        self.shared.unrecorded.fetch_add(1, Ordering::AcqRel);
        self.journal.stage(Entry { event, paid, period_start, now, reply });
    }

    /// Writes what [`Decision::Writing`] was said of. The one who asked for many calls this once; without it, it happens
    /// within some milliseconds.
    pub fn hand_over(&self) {
        self.journal.hand_over();
    }

    fn wait<C: Caller>(self: &Arc<Self>, candidate: Candidate, want: Want, caller: C) {
        let deadline = candidate.deadline.or_else(|| self.deadline());
        let engine = Arc::clone(self);
        let resume: Resume = Box::new(move |answer| match answer {
            Answer::Taken(taken) => engine.answer_later(engine.spend(candidate, taken), caller),
            answer => caller.answer(answer.refused()),
        });
        let resume = Owed::new(resume);
        if let Some(deadline) = deadline {
            let (engine, resume, want) = (Arc::clone(self), resume.clone(), want.clone());
            self.ticker.expire(
                deadline,
                Box::new(move || {
                    if let Some(resume) = resume.take() {
                        resume(engine.waited_in_vain(&want));
                    }
                }),
            );
        }
        let ask = self.shared.ledger().wait(Waiter { want, resume }, self.shared.moment());
        if let Some(request) = ask {
            self.ask(request);
        }
    }

    /// When a request that begins to wait now is answered at the latest. `None` while the store is being opened for the
    /// first time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let health = &self.shared.health;
        (health.is_open() || health.is_degraded()).then(|| Instant::now() + self.deadline)
    }

    pub(super) fn timed_out(&self) -> Error {
        let millis = self.deadline.as_millis();
        let error = Error::new(
            Code::StoreTimeout,
            format!("the store has not answered within {millis} ms; what was asked for may still happen"),
        );
        self.shared.health.failed(&error);
        error
    }

    fn waited_in_vain(&self, want: &Want) -> Answer {
        let zone = self.shared.catalog().time_zone;
        let contention = self.shared.ledger().contention(want, zone);
        match contention {
            Some((terms, standing, period)) => Answer::Full(terms, standing, period),
            None => Answer::Failed(self.timed_out()),
        }
    }

    /// Asks the store for units. Those that nobody waits for come with the next commit.
    pub(super) fn ask(self: &Arc<Self>, request: LeaseRequest) {
        let engine = Arc::clone(self);
        let change = vec![Change::Lease(request.clone())];
        let is_urgent = request.urgent;
        let reply: Reply<Vec<_>> = Box::new(move |outcomes| {
            let leased = outcomes.and_then(super::single).and_then(Applied::leased);
            let shared = &engine.shared;
            let (revision, zone) = (shared.keys.revision(), shared.catalog().time_zone);
            let mut ledger = shared.ledger();
            let effects = ledger.leased(&request, leased, revision, zone, shared.moment());
            let returns = ledger.take_returns();
            drop(ledger);
            engine.release(returns);
            if let Some(request) = effects.ask {
                engine.ask(request);
            }
            for (resume, answer) in effects.resumed {
                resume(answer);
            }
            engine.ticker.wake();
        });
        if is_urgent { self.recorder.commit(change, reply) } else { self.recorder.defer(change, reply) }
    }

    /// Gives back to the store what the ledger does not keep.
    pub(super) fn give_back(self: &Arc<Self>) {
        let returns = self.shared.ledger().take_returns();
        self.release(returns);
    }

    fn release(self: &Arc<Self>, parts: Vec<LeasePart>) {
        if parts.is_empty() {
            return;
        }
        let engine = Arc::clone(self);
        let changes = parts.iter().cloned().map(Change::Release).collect();
        self.recorder.commit(
            changes,
            Box::new(move |outcomes| {
                if outcomes.is_err() {
                    engine.shared.ledger().retry_returns(parts);
                    engine.ticker.wake();
                }
            }),
        );
    }

    /// Lets the store judge and count an event with an id that a lease pays for.
    fn charge_paid<C: Caller>(self: &Arc<Self>, candidate: Candidate, taken: Taken, caller: C) {
        let Candidate { event, conditions, now, deadline, .. } = candidate;
        let admitted = Admitted::from(&taken);
        let Taken { period, paid, .. } = taken;
        let units = event.units.get();
        let leased = paid.as_ref().map_or(0, |part| part.units);
        let key = (event.customer_id.clone(), event.meter);
        let charge = Charge { event: event.clone(), admission: Some(conditions), paid: paid.clone(), now };
        let engine = Arc::clone(self);
        let finish = move |charged: Result<Charged>, caller: Option<C>| match charged {
            Ok(charged) => {
                let mut ledger = engine.shared.ledger();
                match charged.verdict {
                    Verdict::Recorded => {
                        ledger.settled(&key, period.start, units, charged.standing.used);
                    }
                    Verdict::Duplicate | Verdict::Refused(_) => ledger.unspend(&key, period.start, units, leased),
                }
                let known = ledger.known(&key, charged.period.start).map(|allowance| allowance.standing());
                drop(ledger);
                if let Some(caller) = caller {
                    let admitted = Admitted::from(charged);
                    let standing = known.unwrap_or(admitted.standing);
                    caller.answer(Ok(Passage::Admitted(Admitted { standing, ..admitted })));
                }
            }
            Err(error) => match caller {
                // The journal keeps the event, and its id is claimed when it is recorded. Of a spend cap and of credit
                // nobody knows now whether they have room.
                Some(caller) if error.code.is_outage() && !admitted.customer.needs_store() => {
                    // At the end it may be committed after all, and have taken from the lease what would pay once more.
                    // What is left of the lease goes back after the journal.
                    let paid = paid.filter(|_| !engine.is_closed());
                    let reply = Box::new(move |written: Result<()>| {
                        caller.answer(written.map(|()| Passage::Admitted(admitted)))
                    });
                    engine.append(event, paid, period.start, now, reply);
                }
                caller => {
                    engine.shared.ledger().unspend(&key, period.start, units, leased);
                    if let Some(caller) = caller {
                        caller.answer(Err(error));
                    }
                }
            },
        };
        self.charge(charge, deadline, caller, finish);
    }

    /// Lets the store judge and count an event with an id for which there is no lease.
    fn charge_unpaid<C: Caller>(self: &Arc<Self>, candidate: Candidate, want: Want, caller: C) {
        self.shared.ledger().give_back(&want.key);
        self.give_back();
        let deadline = candidate.deadline.or_else(|| self.deadline());
        let charge = Charge {
            event: candidate.event.clone(),
            admission: Some(candidate.conditions.clone()),
            paid: None,
            now: candidate.now,
        };
        let engine = Arc::clone(self);
        let finish = move |charged: Result<Charged>, caller: Option<C>| {
            if let Ok(Charged { verdict: Verdict::Recorded, standing, period, .. }) = &charged {
                engine.shared.ledger().recorded(&want.key, period.start, standing.used);
                engine.give_back();
            }
            let Some(caller) = caller else { return };
            match charged {
                // Others may hold what is missing.
                Ok(Charged { verdict: Verdict::Refused(Refusal::LimitExceeded(_)), .. }) => {
                    engine.wait(Candidate { deadline, ..candidate }, want, caller);
                }
                Ok(charged) => caller.answer(Ok(Passage::Admitted(Admitted::from(charged)))),
                Err(error) => caller.answer(Err(error)),
            }
        };
        self.charge(charge, deadline, caller, finish);
    }

    /// Asks what there is to pay with. Requests whose end is not known yet cost nothing so far, so those that run at a time may
    /// pass it together.
    fn hold_within_means<C: Caller>(self: &Arc<Self>, candidate: Candidate, taken: Taken, caller: C) {
        let Intent::Hold { units, unit_price } = candidate.intent else { return };
        let owed = self.owed_until(candidate.deadline, caller);
        let key = (candidate.event.customer_id.clone(), candidate.event.meter);
        let (customer, period) = (Arc::clone(&taken.terms.customer), taken.period);
        let (event, now) = (candidate.event.clone(), candidate.now);
        let engine = Arc::clone(self);
        self.read(
            move |store, catalog| {
                let (cost, units) = (unit_price.checked_mul(units)?, Units::from_number(units as f64)?);
                let event = UsageEvent { cost, units, ..event };
                Means::of(store, catalog, &customer, &event, now)?.refusal(&event)
            },
            Box::new(move |judged| {
                let caller = owed.take();
                let mut standing = taken.standing;
                if caller.is_none() || !matches!(judged, Ok(None)) {
                    let mut ledger = engine.shared.ledger();
                    ledger.unhold(&key, period.start, units);
                    standing = ledger.known(&key, period.start).map_or(standing, |allowance| allowance.standing());
                }
                let Some(caller) = caller else { return };
                caller.answer(judged.map(|refusal| match refusal {
                    None => engine.hold(candidate, &taken, units, unit_price),
                    Some(refusal) => {
                        let verdict = Verdict::Refused(refusal);
                        Passage::Admitted(Admitted { verdict, standing, ..Admitted::from(&taken) })
                    }
                }));
            }),
        );
    }

    /// A caller who is told when his deadline has passed.
    fn owed_until<C: Caller>(self: &Arc<Self>, deadline: Option<Instant>, caller: C) -> Owed<C> {
        let owed = Owed::new(caller);
        if let Some(deadline) = deadline.or_else(|| self.deadline()) {
            let (engine, owed) = (Arc::clone(self), owed.clone());
            self.ticker.expire(
                deadline,
                Box::new(move || {
                    if let Some(caller) = owed.take() {
                        caller.answer(Err(engine.timed_out()));
                    }
                }),
            );
        }
        owed
    }

    /// Commits a charge. `finish` gets the caller unless his deadline has passed.
    fn charge<C: Caller>(
        self: &Arc<Self>,
        charge: Charge,
        deadline: Option<Instant>,
        caller: C,
        finish: impl FnOnce(Result<Charged>, Option<C>) + Send + 'static,
    ) {
        let owed = self.owed_until(deadline, caller);
        self.recorder.commit(
            vec![Change::Charge(charge)],
            Box::new(move |outcomes| {
                let charged = outcomes.and_then(super::single).and_then(Applied::charged);
                finish(charged, owed.take());
            }),
        );
    }
}

impl Answer {
    /// What it means for an event that got no units.
    fn refused(self) -> Result<Passage> {
        let (refusal, terms, standing, period) = match self {
            Answer::Taken(taken) => return Ok(Passage::Admitted(Admitted::from(&taken))),
            Answer::Suspended(terms, standing, period) => (Refusal::Suspended, terms, standing, period),
            Answer::Full(terms, standing, period) => (Refusal::LimitExceeded(standing), terms, standing, period),
            Answer::Failed(error) => return Err(error),
        };
        let verdict = Verdict::Refused(refusal);
        Ok(Passage::Admitted(Admitted { verdict, customer: terms.customer, standing, period, hold: None }))
    }
}

impl From<&Taken> for Admitted {
    fn from(taken: &Taken) -> Self {
        let customer = Arc::clone(&taken.terms.customer);
        let Taken { standing, period, .. } = *taken;
        Admitted { verdict: Verdict::Recorded, customer, standing, period, hold: None }
    }
}

impl From<Charged> for Admitted {
    fn from(Charged { verdict, customer, standing, period }: Charged) -> Self {
        Admitted { verdict, customer: Arc::new(customer), standing, period, hold: None }
    }
}

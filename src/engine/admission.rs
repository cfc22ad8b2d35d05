//! Admitting an event: units from the ledger, a line in the journal, an answer.
//!
//! An event without an id is spent from leases and journaled. One with an id must be compared with those that were seen
//! in the transaction that counts it, so the store decides at once; leases pay for it all the same. So it is where only that
//! transaction knows what an event costs, or what is left of the credit that a customer pays with.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::claim::{Claim, quotas};
use super::holds::{Hold, HoldId};
use super::journal::Entry;
use super::ledger::{Answer, Basis, Resume, Taken, Terms, Waiter, Want};
use super::means::Means;
use super::owed::Owed;
use super::rating;
use super::recorder::closed;
use super::{Engine, Reply};
use crate::domain::{CostBasis, Customer, Money, Period, Quota, Refusal, Standing, Timestamp, Units, UsageEvent};
use crate::store::{Admission, Applied, Change, Charge, Charged, LeasePart, LeaseRequest, Verdict, paid_of};
use crate::{Code, Error, Result};

/// An event that asks to be admitted.
#[derive(Clone)]
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
    /// The store does not know its id.
    pub is_new: bool,
    /// What it costs by the usage of the period, where that was found out: others may change it until it is counted.
    pub known_cost: Option<Money>,
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

/// What is to be done with a candidate.
pub(super) enum Next {
    Answer(Result<Passage>),
    /// To be written into the journal.
    Write(Candidate, Claim),
    /// To be judged by its id, and where no money was claimed for it by what the customer can pay; leases pay for the rest.
    ChargePaid(Candidate, Claim),
    /// To be judged by its id and by all limits.
    ChargeUnpaid(Candidate),
    /// For what is wanted, with what was taken before.
    Wait(Candidate, Option<Claim>, Want),
    /// To be held, once it is known what it would cost the customer to whom this belonged.
    Rate(Candidate, Taken),
    /// To be held if the customer can pay for it.
    HoldWithinMeans(Candidate, Claim),
}

impl Engine {
    /// Decides at once where memory suffices, and otherwise answers the caller later.
    pub fn admit(self: &Arc<Self>, candidate: Candidate, caller: impl Caller) -> Decision {
        if self.is_closed() {
            return Decision::Made(Err(closed()));
        }
        match self.next(candidate) {
            Next::Answer(answer) => Decision::Made(answer),
            Next::Write(candidate, claim) => {
                let admitted = Admitted::from(&claim.first);
                let reply = Box::new(|written| caller.written(written));
                self.stage(candidate.event, claim.paid(), claim.first.period.start, candidate.now, reply);
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
        match self.with_deadline(next) {
            Next::Answer(answer) => caller.answer(answer),
            Next::Write(candidate, claim) => {
                let passage = Passage::Admitted(Admitted::from(&claim.first));
                let reply = Box::new(|written: Result<()>| caller.answer(written.map(|()| passage)));
                self.append(candidate.event, claim.paid(), claim.first.period.start, candidate.now, reply);
            }
            Next::ChargePaid(candidate, claim) => self.charge_paid(candidate, claim, caller),
            Next::ChargeUnpaid(candidate) => self.charge_unpaid(candidate, caller),
            Next::Wait(candidate, claim, want) => self.wait(candidate, claim, want, caller),
            Next::Rate(candidate, taken) => self.rate(candidate, taken, caller),
            Next::HoldWithinMeans(candidate, claim) => self.hold_within_means(candidate, claim, caller),
        }
    }

    /// Whoever has to wait is answered by then, however often he has to wait.
    fn with_deadline(&self, mut next: Next) -> Next {
        if let Next::ChargePaid(candidate, _)
        | Next::ChargeUnpaid(candidate)
        | Next::Wait(candidate, ..)
        | Next::Rate(candidate, _)
        | Next::HoldWithinMeans(candidate, _) = &mut next
        {
            candidate.deadline = candidate.deadline.or_else(|| self.deadline());
        }
        next
    }

    fn next(self: &Arc<Self>, candidate: Candidate) -> Next {
        if let Some(error) = self.recorder.overloaded(1) {
            return Next::Answer(Err(error));
        }
        let want = candidate.want();
        match self.take(&want, candidate.terms.clone()) {
            Some(Answer::Taken(taken)) => self.take_further(candidate, taken.into()),
            Some(Answer::Full(..)) | None if candidate.may_be_known() => Next::ChargeUnpaid(candidate),
            Some(answer) => Next::Answer(answer.refused()),
            None => Next::Wait(candidate, None, want),
        }
    }

    /// All that is wanted is taken.
    pub(super) fn spend(&self, candidate: Candidate, claim: Claim) -> Next {
        // What was found out of its cost may have changed.
        let is_judged = candidate.event.id.is_some() || claim.leaves_money_to_store || candidate.known_cost.is_some();
        match candidate.intent {
            Intent::Record if is_judged => Next::ChargePaid(candidate, claim),
            Intent::Record => Next::Write(candidate, claim),
            // Who holds nothing was let through before, and tells what it took.
            Intent::Hold { units: 1.., .. } if claim.leaves_money_to_store => Next::HoldWithinMeans(candidate, claim),
            Intent::Hold { units, unit_price } => Next::Answer(Ok(self.hold(candidate, &claim, units, unit_price))),
        }
    }

    fn hold(&self, candidate: Candidate, claim: &Claim, units: u64, unit_price: Money) -> Passage {
        let Candidate { event, conditions, .. } = candidate;
        let (period_start, further) = (claim.first.period.start, claim.held());
        let hold = Hold { event, conditions, unit_price, held: units, period_start, further };
        let hold = Some(self.holds.put(hold, self.shared.moment()));
        Passage::Admitted(Admitted { hold, ..Admitted::from(&claim.first) })
    }

    pub(super) fn take(self: &Arc<Self>, want: &Want, terms: Option<Terms>) -> Option<Answer> {
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
        paid: Vec<LeasePart>,
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
        paid: Vec<LeasePart>,
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

    fn wait<C: Caller>(self: &Arc<Self>, candidate: Candidate, claim: Option<Claim>, want: Want, caller: C) {
        let deadline = candidate.deadline;
        let (engine, wanted) = (Arc::clone(self), want.clone());
        let resume: Resume = Box::new(move |answer| match (claim, answer) {
            (None, Answer::Taken(taken)) => {
                engine.answer_later(engine.take_further(candidate, taken.into()), caller);
            }
            (Some(claim), answer) => {
                engine.answer_later(engine.go_on(candidate, claim, wanted, answer), caller);
            }
            (None, answer) => caller.answer(answer.refused()),
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
        // Of before: the answer may be older than a change in the same group.
        let revision = self.shared.keys.revision();
        let reply: Reply<Vec<_>> = Box::new(move |outcomes| {
            let leased = outcomes.and_then(super::single).and_then(Applied::leased);
            let shared = &engine.shared;
            let zone = shared.catalog().time_zone;
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

    /// Lets the store judge and count an event that leases pay for.
    fn charge_paid<C: Caller>(self: &Arc<Self>, candidate: Candidate, claim: Claim, caller: C) {
        let Candidate { event, conditions, now, deadline, .. } = candidate.clone();
        let admitted = Admitted::from(&claim.first);
        let (paid, period, leaves_money_to_store) = (claim.paid(), claim.first.period, claim.leaves_money_to_store);
        let units = event.units.get();
        let key = (event.customer_id.clone(), Quota::Period(event.meter));
        let leased = paid_of(&paid, key.1);
        let charge = Charge { event: event.clone(), admission: Some(conditions), paid: paid.clone(), now };
        let engine = Arc::clone(self);
        let finish = move |charged: Result<Charged>, caller: Option<C>| match charged {
            Ok(charged) => {
                let mut ledger = engine.shared.ledger();
                match charged.verdict {
                    Verdict::Recorded => {
                        ledger.settled(&key, period.start, units, charged.standing.used);
                        ledger.settled_further(&event, &paid, true);
                    }
                    Verdict::Duplicate | Verdict::Refused(_) => {
                        ledger.unspend(&key, period.start, units, leased);
                        ledger.unspend_further(&event, &paid, true);
                    }
                }
                let known = ledger.known(&key, charged.period.start).map(|allowance| allowance.standing());
                drop(ledger);
                let Some(caller) = caller else { return };
                match charged.verdict {
                    // What is missing may be leased.
                    Verdict::Refused(refusal)
                        if candidate.is_to_be_rated()
                            && let Some(cost) = refusal.unaffordable() =>
                    {
                        let again = Candidate { known_cost: Some(cost), is_new: true, ..candidate };
                        engine.answer_later(engine.next(again), caller);
                    }
                    _ => {
                        let admitted = Admitted::from(charged);
                        let standing = known.unwrap_or(admitted.standing);
                        caller.answer(Ok(Passage::Admitted(Admitted { standing, ..admitted })));
                    }
                }
            }
            Err(error) => match caller {
                // The journal keeps the event, and its id is claimed when it is recorded. Of what only the store judges nobody
                // knows now whether there is room for it.
                Some(caller) if error.code.is_outage() && !leaves_money_to_store && candidate.known_cost.is_none() => {
                    // At the end it may be committed after all, and have taken from the lease what would pay once more.
                    // What is left of the lease goes back after the journal.
                    let paid = if engine.is_closed() { Vec::new() } else { paid };
                    let reply = Box::new(move |written: Result<()>| {
                        caller.answer(written.map(|()| Passage::Admitted(admitted)))
                    });
                    engine.append(event, paid, period.start, now, reply);
                }
                caller => {
                    let mut ledger = engine.shared.ledger();
                    ledger.unspend(&key, period.start, units, leased);
                    ledger.unspend_further(&event, &paid, true);
                    drop(ledger);
                    if let Some(caller) = caller {
                        caller.answer(Err(error));
                    }
                }
            },
        };
        self.charge(charge, deadline, caller, finish);
    }

    /// Lets the store judge and count an event with an id for which there is no lease.
    fn charge_unpaid<C: Caller>(self: &Arc<Self>, candidate: Candidate, caller: C) {
        let want = candidate.want();
        self.give_back_all(&candidate);
        let deadline = candidate.deadline;
        let charge = Charge {
            event: candidate.event.clone(),
            admission: Some(candidate.conditions.clone()),
            paid: Vec::new(),
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
                Ok(Charged { verdict: Verdict::Refused(refusal), .. }) if refusal.is_shortage() => {
                    engine.wait(Candidate { is_new: true, ..candidate }, None, want, caller);
                }
                Ok(charged) => caller.answer(Ok(Passage::Admitted(Admitted::from(charged)))),
                Err(error) => caller.answer(Err(error)),
            }
        };
        self.charge(charge, deadline, caller, finish);
    }

    /// Asks what a request that is to be held would cost, and goes on with that.
    fn rate<C: Caller>(self: &Arc<Self>, candidate: Candidate, taken: Taken, caller: C) {
        let (CostBasis::Period(price), Intent::Hold { units, .. }) = (&candidate.event.cost_basis, candidate.intent)
        else {
            return;
        };
        let (price, meter) = (price.clone(), candidate.event.meter);
        let owed = self.owed_until(candidate.deadline, caller);
        let engine = Arc::clone(self);
        self.read_first(
            move |store, catalog| {
                let (customer, period) = (&taken.terms.customer, taken.period);
                rating::cost_now(store, &catalog.tiers, customer, (meter, period), &price, units)
            },
            Box::new(move |cost| {
                let Some(caller) = owed.take() else { return };
                match cost {
                    Ok(cost) => {
                        engine.answer_later(engine.next(Candidate { known_cost: Some(cost), ..candidate }), caller);
                    }
                    Err(error) => caller.answer(Err(error)),
                }
            }),
        );
    }

    /// Asks what there is to pay with. Requests whose end is not known yet cost nothing so far, so those that run at a time may
    /// pass it together.
    fn hold_within_means<C: Caller>(self: &Arc<Self>, candidate: Candidate, claim: Claim, caller: C) {
        let Intent::Hold { units, unit_price } = candidate.intent else { return };
        let owed = self.owed_until(candidate.deadline, caller);
        let key = candidate.want().key;
        let Taken { standing, period, .. } = claim.first;
        let (customer, event, now) = (Arc::clone(&claim.first.terms.customer), candidate.event.clone(), candidate.now);
        let (engine, (_, cost)) = (Arc::clone(self), candidate.size());
        self.read_first(
            move |store, catalog| {
                let cost = match &event.cost_basis {
                    CostBasis::Period(price) => {
                        rating::cost_now(store, &catalog.tiers, &customer, (event.meter, period), price, units)?
                    }
                    CostBasis::Caller | CostBasis::UnitPrice => cost,
                };
                let event = UsageEvent { cost, units: Units::from_number(units as f64)?, ..event };
                Means::of(store, catalog, &customer, &event, now)?.refusal(&event)
            },
            Box::new(move |judged| {
                let caller = owed.take();
                let mut standing = standing;
                if caller.is_none() || !matches!(judged, Ok(None)) {
                    engine.give_up(&candidate, &claim);
                    let known = engine.shared.ledger().known(&key, period.start);
                    standing = known.map_or(standing, |allowance| allowance.standing());
                }
                let Some(caller) = caller else { return };
                caller.answer(judged.map(|refusal| match refusal {
                    None => engine.hold(candidate, &claim, units, unit_price),
                    Some(refusal) => {
                        let verdict = Verdict::Refused(refusal);
                        Passage::Admitted(Admitted { verdict, standing, ..Admitted::from(&claim.first) })
                    }
                }));
            }),
        );
    }

    /// What is free of the quotas that a candidate would take of is the store's to count.
    fn give_back_all(self: &Arc<Self>, candidate: &Candidate) {
        let customer_id = &candidate.event.customer_id;
        let first = (customer_id.clone(), Quota::Period(candidate.event.meter));
        let plans = &self.shared.catalog().tiers;
        let mut ledger = self.shared.ledger();
        let customer = ledger.customer(&first);
        let quotas = customer.map_or_else(|| vec![first.1], |customer| quotas(plans, &customer, candidate.event.meter));
        quotas.into_iter().for_each(|quota| ledger.give_back(&(customer_id.clone(), quota)));
        drop(ledger);
        self.give_back();
    }

    /// A caller who is told when his deadline has passed.
    fn owed_until<C: Caller>(self: &Arc<Self>, deadline: Option<Instant>, caller: C) -> Owed<C> {
        let owed = Owed::new(caller);
        if let Some(deadline) = deadline {
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
    pub(super) fn refused(self) -> Result<Passage> {
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

//! What this engine may spend, customer by customer, and who waits for more.
//!
//! Pure bookkeeping: nothing here asks the store, it says what to ask. Moments are milliseconds since the engine was
//! opened: they decide how much to ask for and when to give back, never what is counted or in which period.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::quality::RandomState;
use indexmap::IndexMap;

use super::owed::Owed;
use crate::domain::lease::{LeaseSize, Wish};
use crate::domain::{
    Allowance, Customer, CustomerId, HolderId, Period, Quota, Standing, TimeZone, Timestamp, UsageEvent,
};
use crate::store::{LeasePart, LeaseRequest, Leased};
use crate::{Error, Result};

/// Units that nobody has asked for so long are given back.
const IDLE_MILLIS: u64 = 30_000;
/// How long it is believed that a limit is reached, without asking again. Usage only grows, but a limit may be raised.
const FULL_MILLIS: u64 = 1_000;
/// How soon to ask again for units that others hold and were asked to give back.
pub const RETRY_MILLIS: u64 = 10;
/// How long to leave the store alone after a refill that brought nothing.
const REFILL_PAUSE_MILLIS: u64 = 100;
/// So many accounts a second, so that no request waits long for the ledger.
const SWEPT_AT_ONCE: usize = 8_192;

pub type AccountKey = (CustomerId, Quota);
pub type Moment = u64;

/// What applies to a customer, as of a revision of the store.
#[derive(Debug, Clone)]
pub struct Terms {
    pub revision: u64,
    pub customer: Arc<Customer>,
    pub limit: Option<u64>,
}

/// By what a customer is judged.
#[derive(Debug, Clone)]
pub enum Basis {
    Terms(Terms),
    /// What was learnt last, if that is as of this revision.
    Revision(u64),
}

/// Units that are wanted, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An event that is about to be recorded.
    Spend,
    /// A request whose end is not known yet.
    Hold,
}

/// Who wants what.
#[derive(Debug, Clone)]
pub struct Want {
    pub key: AccountKey,
    pub units: u64,
    pub purpose: Purpose,
    /// Decides the period.
    pub now: Timestamp,
}

/// Units that were taken.
#[derive(Debug, Clone)]
pub struct Taken {
    pub terms: Terms,
    pub standing: Standing,
    pub period: Period,
    /// What the lease pays for; `None` for a customer without a limit, who has none.
    pub paid: Option<LeasePart>,
}

/// The answer to a [`Want`].
#[derive(Debug)]
pub enum Answer {
    Taken(Taken),
    Suspended(Terms, Standing, Period),
    /// The limit is reached: nothing of it is left, or too little.
    Full(Terms, Standing, Period),
    /// The store could not be asked.
    Failed(Error),
}

/// What becomes of a [`Waiter`].
pub type Resume = Box<dyn FnOnce(Answer) + Send>;

/// Somebody who waits for units.
pub struct Waiter {
    pub want: Want,
    pub resume: Owed<Resume>,
}

/// What has to happen now that the ledger has been changed: outside of its lock.
#[derive(Default)]
pub struct Effects {
    pub resumed: Vec<(Resume, Answer)>,
    pub ask: Option<LeaseRequest>,
}

#[derive(Default)]
struct Account {
    terms: Option<Terms>,
    /// One for each period in use; most often there is one.
    allowances: Vec<Allowance>,
    /// Of the one that was used last.
    current: Option<Period>,
    size: LeaseSize,
    /// When the store last set units aside.
    granted_at: Moment,
    /// A request for more is under way, which goes with the next commit.
    is_refilling: bool,
    /// A request for those who wait is under way.
    is_asking: bool,
    /// No refill before.
    pause_until: Moment,
    waiting: VecDeque<Waiter>,
    /// Others hold what those who wait need.
    contended: bool,
    full: Option<Full>,
    used_at: Moment,
}

/// So many units do not fit the limit any more.
struct Full {
    period_start: Timestamp,
    units: u64,
    until: Moment,
}

pub struct Ledger {
    holder: HolderId,
    accounts: IndexMap<AccountKey, Account, RandomState>,
    /// What is to be given back to the store.
    returns: Vec<LeasePart>,
    /// Where to ask again, and when.
    retries: VecDeque<(Moment, AccountKey)>,
    /// The calendar month of the last instant asked about: most often the next one's too.
    month: Option<(TimeZone, Period)>,
    /// How far the last [`Ledger::sweep`] came.
    swept: usize,
}

impl Ledger {
    pub fn new(holder: HolderId) -> Self {
        Self {
            holder,
            accounts: IndexMap::default(),
            returns: Vec::new(),
            retries: VecDeque::new(),
            month: None,
            swept: 0,
        }
    }

    /// Takes units where that can be decided here and now. `None`: only the store can, see [`Ledger::wait`]. `zone` is that of
    /// calendar months.
    pub fn take(
        &mut self,
        want: &Want,
        zone: TimeZone,
        basis: Basis,
        moment: Moment,
    ) -> (Option<Answer>, Option<LeaseRequest>) {
        let Some(account) = self.accounts.get_mut(&want.key) else { return (None, None) };
        account.used_at = moment;
        match basis {
            Basis::Terms(terms) => account.learn(terms, &want.key, &self.holder, &mut self.returns),
            Basis::Revision(revision) if account.terms.as_ref().is_none_or(|terms| terms.revision < revision) => {
                return (None, None);
            }
            Basis::Revision(_) => {}
        }
        // Nobody is overtaken by whoever needs nothing: what he settles then has been used already.
        if !account.waiting.is_empty() && want.units > 0 {
            return (None, None);
        }
        let quota = want.key.1;
        let Some(period) = account.period(quota, want.now, zone, &mut self.month) else { return (None, None) };
        let Some(answer) = account.take(want, period, &self.holder, moment) else { return (None, None) };
        let refill = account.refill(want, period, &self.holder, moment);
        (Some(answer), refill)
    }

    /// Lets somebody wait for units, and says what to ask the store for, unless that is asked already.
    pub fn wait(&mut self, waiter: Waiter, moment: Moment) -> Option<LeaseRequest> {
        let account = self.accounts.entry(waiter.want.key.clone()).or_default();
        account.used_at = moment;
        account.waiting.push_back(waiter);
        // Where others hold what is needed, the retry asks for everybody.
        if account.contended { None } else { account.ask(&self.holder) }
    }

    /// The store has answered a request for units. `period_of` tells the period of an instant.
    pub fn leased(
        &mut self,
        request: &LeaseRequest,
        answer: Result<Leased>,
        revision: u64,
        zone: TimeZone,
        moment: Moment,
    ) -> Effects {
        let key = (request.customer_id.clone(), request.quota);
        let account = self.accounts.entry(key.clone()).or_default();
        if request.urgent {
            account.is_asking = false;
        } else {
            account.is_refilling = false;
        }
        let mut effects = Effects::default();
        let leased = match answer {
            Ok(leased) => leased,
            Err(error) => {
                account.contended = false;
                account.pause_until = moment + REFILL_PAUSE_MILLIS;
                if request.urgent {
                    let failed = |waiter: Waiter| Some((waiter.resume.take()?, Answer::Failed(error.clone())));
                    effects.resumed = account.waiting.drain(..).filter_map(failed).collect();
                } else {
                    // It asks for those who came meanwhile, and hears why it fails.
                    effects.ask = account.ask(&self.holder);
                }
                return effects;
            }
        };
        let terms = Terms { revision, customer: Arc::new(leased.customer), limit: leased.standing.limit };
        account.learn(terms, &key, &self.holder, &mut self.returns);
        account.granted(leased.period, leased.standing, leased.granted, moment);
        if !matches!(request.quota, Quota::Period(_) | Quota::Spend) {
            // Such periods are short: what was not used of the one before is of use to nobody.
            account.give_back(&key, &self.holder, Some(leased.period), &mut self.returns);
            account.allowances.retain(|allowance| allowance.period == leased.period || !allowance.is_idle());
        }
        account.contended = leased.granted == 0 && leased.leased_elsewhere > 0 && leased.standing.limit.is_some();
        let full = request.urgent && leased.granted == 0 && !account.contended && leased.standing.limit.is_some();
        account.full = full.then(|| Full {
            period_start: leased.period.start,
            units: request.wish.needed,
            until: moment + FULL_MILLIS,
        });
        if leased.granted == 0 {
            account.pause_until = moment + REFILL_PAUSE_MILLIS;
        }
        while let Some(front) = account.waiting.front() {
            if !front.resume.is_owed() {
                account.waiting.pop_front();
                continue;
            }
            let want = front.want.clone();
            let period = match account.period(want.key.1, want.now, zone, &mut self.month) {
                Some(period) if !leased.period.contains(want.now) => period,
                _ => leased.period,
            };
            let Some(answer) = account.take(&want, period, &self.holder, moment) else { break };
            let resume = account.waiting.pop_front().and_then(|waiter| waiter.resume.take());
            match (resume, answer) {
                (Some(resume), answer) => effects.resumed.push((resume, answer)),
                // His deadline has just passed.
                (None, Answer::Taken(taken)) => account.untake(&want, &taken),
                (None, _) => {}
            }
        }
        if account.waiting.is_empty() {
            account.contended = false;
        } else if account.contended {
            self.retries.push_back((moment + RETRY_MILLIS, key));
        } else {
            effects.ask = account.ask(&self.holder);
        }
        effects
    }

    /// Asks again for those who wait for what others hold, where it is time.
    pub fn retries(&mut self, moment: Moment) -> Vec<LeaseRequest> {
        let mut requests = Vec::new();
        while self.retries.front().is_some_and(|(at, _)| *at <= moment) {
            let Some((_, key)) = self.retries.pop_front() else { break };
            let account = self.accounts.get_mut(&key);
            requests.extend(account.and_then(|account| account.ask(&self.holder)));
        }
        requests
    }

    /// Where somebody has waited in vain: whether others hold what he needs, and where the customer stands.
    pub fn contention(&mut self, want: &Want, zone: TimeZone) -> Option<(Terms, Standing, Period)> {
        let account = self.accounts.get_mut(&want.key)?;
        let period = account.period(want.key.1, want.now, zone, &mut self.month)?;
        let allowance = account.allowances.iter().find(|allowance| allowance.period == period)?;
        let terms = account.terms.clone().filter(|_| account.contended)?;
        Some((terms, allowance.standing(), period))
    }

    fn allowance(&mut self, key: &AccountKey, period_start: Timestamp) -> Option<&mut Allowance> {
        self.accounts.get_mut(key)?.allowances.iter_mut().find(|allowance| allowance.period.start == period_start)
    }

    /// The store has counted, or refused to count, an event that spent units.
    pub fn settled(&mut self, key: &AccountKey, period_start: Timestamp, units: u64, recorded: u64) {
        if let Some(allowance) = self.allowance(key, period_start) {
            allowance.settled(units, recorded);
        }
    }

    /// An event that spent units was not recorded; so many of them were a lease's.
    pub fn unspend(&mut self, key: &AccountKey, period_start: Timestamp, units: u64, leased: u64) {
        if let Some(allowance) = self.allowance(key, period_start) {
            allowance.unspend(units, leased);
        }
    }

    /// The store has counted an event, or found that it was counted before: so have the quotas besides that of its meter in
    /// the billing period.
    pub fn settled_further(&mut self, event: &UsageEvent, paid: &[LeasePart], is_new: bool) {
        for part in further(event, paid) {
            if let Some(allowance) = self.allowance(&(part.customer_id.clone(), part.quota), part.period_start) {
                allowance.counted(part.units, is_new);
            }
        }
    }

    /// An event was not recorded that took these; what is still in the leases is free again.
    pub fn unspend_further(&mut self, event: &UsageEvent, paid: &[LeasePart], is_leased: bool) {
        for part in further(event, paid) {
            let leased = if is_leased { part.units } else { 0 };
            self.unspend(&(part.customer_id.clone(), part.quota), part.period_start, part.units, leased);
        }
    }

    /// Takes back what was taken: it is free again.
    pub fn untake(&mut self, want: &Want, taken: &Taken) {
        if let Some(account) = self.accounts.get_mut(&want.key) {
            account.untake(want, taken);
        }
    }

    /// What was learnt last of a customer.
    pub fn customer(&self, key: &AccountKey) -> Option<Arc<Customer>> {
        let terms = self.accounts.get(key)?.terms.as_ref()?;
        Some(Arc::clone(&terms.customer))
    }

    /// A hold ends without an event.
    pub fn unhold(&mut self, key: &AccountKey, period_start: Timestamp, units: u64) {
        if let Some(allowance) = self.allowance(key, period_start) {
            allowance.unhold(units);
        }
    }

    /// A hold becomes an event; answers what the lease pays for.
    pub fn settle_hold(
        &mut self,
        key: &AccountKey,
        period_start: Timestamp,
        held: u64,
        units: u64,
    ) -> Option<LeasePart> {
        let leased = self.allowance(key, period_start)?.settle_hold(held, units);
        (leased > 0).then(|| part(&self.holder, key, period_start, leased))
    }

    /// Pays for as much of an event as is leased: it has happened.
    pub fn spend_some(&mut self, key: &AccountKey, period_start: Timestamp, units: u64) -> Option<LeasePart> {
        let leased = self.allowance(key, period_start)?.spend_some(units);
        (leased > 0).then(|| part(&self.holder, key, period_start, leased))
    }

    /// The store has counted an event that asked nobody. What no longer fits the limit is given back.
    pub fn recorded(&mut self, key: &AccountKey, period_start: Timestamp, recorded: u64) {
        let Some(allowance) = self.allowance(key, period_start) else { return };
        allowance.recorded(recorded);
        let excess = allowance.trim();
        if excess > 0 {
            self.returns.push(part(&self.holder, key, period_start, excess));
        }
    }

    /// Gives back what is free of an account, because others want it or a charge is to be judged by the store.
    pub fn give_back(&mut self, key: &AccountKey) {
        if let Some(account) = self.accounts.get_mut(key) {
            account.full = None;
            account.give_back(key, &self.holder, None, &mut self.returns);
        }
    }

    /// Looks at some accounts: gives back what has been idle, and forgets those of which nothing is in use.
    pub fn sweep(&mut self, moment: Moment) {
        for _ in 0..SWEPT_AT_ONCE.min(self.accounts.len()) {
            if self.swept >= self.accounts.len() {
                self.swept = 0;
            }
            let Some((key, account)) = self.accounts.get_index_mut(self.swept) else { return };
            let in_use = account.used_at + IDLE_MILLIS > moment
                || account.is_refilling
                || account.is_asking
                || !account.waiting.is_empty();
            // Of an account in use only the period that is over lies idle.
            let kept = account.current.filter(|_| in_use);
            account.give_back(key, &self.holder, kept, &mut self.returns);
            account.allowances.retain(|allowance| Some(allowance.period) == kept || !allowance.is_idle());
            if in_use || !account.allowances.is_empty() {
                self.swept += 1;
            } else {
                self.accounts.swap_remove_index(self.swept);
            }
        }
    }

    /// What has to be given back to the store now.
    #[must_use]
    pub fn take_returns(&mut self) -> Vec<LeasePart> {
        std::mem::take(&mut self.returns)
    }

    /// Whether others could want something back, or somebody waits.
    pub fn is_busy(&self) -> bool {
        !self.accounts.is_empty() || !self.returns.is_empty()
    }

    /// What could not be given back, to be tried again.
    pub fn retry_returns(&mut self, parts: Vec<LeasePart>) {
        self.returns.extend(parts);
    }

    /// What is known of a customer in a period.
    pub fn known(&self, key: &AccountKey, period_start: Timestamp) -> Option<Allowance> {
        let account = self.accounts.get(key)?;
        account.allowances.iter().find(|allowance| allowance.period.start == period_start).copied()
    }
}

impl Account {
    /// Newer terms apply. What was leased under another limit is given back.
    fn learn(&mut self, terms: Terms, key: &AccountKey, holder: &HolderId, returns: &mut Vec<LeasePart>) {
        if self.terms.as_ref().is_some_and(|known| known.revision >= terms.revision) {
            return;
        }
        let anchor = |terms: &Terms| terms.customer.billing_cycle_anchor;
        let has_moved = self.terms.as_ref().is_some_and(|known| anchor(known) != anchor(&terms));
        // Whatever has changed may be what was granted.
        if has_moved || key.1 == Quota::Credit {
            // Other periods apply.
            self.current = None;
            self.full = None;
            self.give_back(key, holder, None, returns);
        }
        for allowance in &mut self.allowances {
            if allowance.limit != terms.limit {
                self.full = None;
                let units = allowance.relimit(terms.limit);
                if units > 0 {
                    returns.push(part(holder, key, allowance.period.start, units));
                }
            }
        }
        self.terms = Some(terms);
    }

    /// The period of a quota that holds an instant, where the customer is known.
    fn period(
        &self,
        quota: Quota,
        now: Timestamp,
        zone: TimeZone,
        month: &mut Option<(TimeZone, Period)>,
    ) -> Option<Period> {
        let customer = &self.terms.as_ref()?.customer;
        match quota {
            Quota::Window(..) => return Some(quota.frame(customer, now, zone).period),
            // The store has said how far it reaches.
            Quota::Credit => return self.current.filter(|current| current.contains(now)),
            Quota::Period(_) | Quota::Spend => {}
        }
        let last = match customer.billing_cycle_anchor {
            Some(_) => self.current,
            None => month.filter(|(known, _)| *known == zone).map(|(_, month)| month),
        };
        if let Some(last) = last.filter(|last| last.contains(now)) {
            return Some(last);
        }
        let period = customer.billing_period(now, zone);
        if customer.billing_cycle_anchor.is_none() {
            *month = Some((zone, period));
        }
        Some(period)
    }

    fn granted(&mut self, period: Period, standing: Standing, units: u64, moment: Moment) {
        let known = self.allowances.iter().position(|allowance| allowance.period == period);
        let place = known.unwrap_or_else(|| {
            // A period that is over keeps its units until they are swept: a clock may still go back into it.
            self.allowances.push(Allowance::new(period, standing));
            self.allowances.len() - 1
        });
        self.allowances[place].granted(units, standing.used);
        if units > 0 {
            self.granted_at = moment;
        }
    }

    /// `None`: only the store can tell.
    fn take(&mut self, want: &Want, period: Period, holder: &HolderId, moment: Moment) -> Option<Answer> {
        let terms = self.terms.as_ref()?;
        let allowance = self.allowances.iter_mut().find(|allowance| allowance.period == period)?;
        self.current = Some(period);
        // Who wants nothing was let through before, and tells what it took.
        let is_judged = want.units > 0;
        if is_judged && terms.customer.is_suspended() {
            return Some(Answer::Suspended(terms.clone(), allowance.standing(), period));
        }
        // What was settled past what was held may leave units in the lease that the limit has no room for any more.
        if is_judged && !allowance.fits(want.units) {
            return Some(Answer::Full(terms.clone(), allowance.standing(), period));
        }
        let taken = match want.purpose {
            Purpose::Spend => allowance.spend(want.units),
            Purpose::Hold => allowance.hold(want.units),
        };
        if taken {
            let paid = allowance.limit.map(|_| part(holder, &want.key, period.start, want.units));
            return Some(Answer::Taken(Taken { terms: terms.clone(), standing: allowance.standing(), period, paid }));
        }
        let full = self.full.as_ref().filter(|full| full.until > moment && full.period_start == period.start)?;
        (allowance.missing(want.units) >= full.units).then(|| Answer::Full(terms.clone(), allowance.standing(), period))
    }

    /// Takes back a [`Account::take`].
    fn untake(&mut self, want: &Want, taken: &Taken) {
        let leased = taken.paid.as_ref().map_or(0, |part| part.units);
        if let Some(allowance) = self.allowances.iter_mut().find(|allowance| allowance.period == taken.period) {
            match want.purpose {
                Purpose::Spend => allowance.unspend(want.units, leased),
                Purpose::Hold => allowance.unhold(want.units),
            }
        }
    }

    /// What to ask the store for, where units run low.
    fn refill(&mut self, want: &Want, period: Period, holder: &HolderId, moment: Moment) -> Option<LeaseRequest> {
        let allowance = self.allowances.iter().find(|allowance| allowance.period == period)?;
        allowance.limit?;
        if self.is_refilling
            || self.is_asking
            || moment < self.pause_until
            || allowance.free() > self.size.low_water().saturating_mul(piece(want))
        {
            return None;
        }
        self.size = self.size.after(moment.saturating_sub(self.granted_at));
        self.is_refilling = true;
        Some(self.request(want, 1, holder, false))
    }

    /// What to ask the store for, for those who wait.
    fn ask(&mut self, holder: &HolderId) -> Option<LeaseRequest> {
        if self.is_asking {
            return None;
        }
        let front = self.waiting.front()?;
        let free = |start| self.allowances.iter().find(|it| it.period.contains(start)).map_or(0, Allowance::free);
        let needed = front.want.units.saturating_sub(free(front.want.now)).max(1);
        let request = self.request(&front.want, needed, holder, true);
        self.is_asking = true;
        Some(request)
    }

    fn request(&self, want: &Want, needed: u64, holder: &HolderId, urgent: bool) -> LeaseRequest {
        let (customer_id, quota) = want.key.clone();
        let wish = Wish { needed, wanted: self.size.get().saturating_mul(piece(want)).max(needed) };
        LeaseRequest { holder: holder.clone(), customer_id, quota, now: want.now, wish, urgent }
    }

    /// Gives back what is free, but for one period.
    fn give_back(&mut self, key: &AccountKey, holder: &HolderId, kept: Option<Period>, returns: &mut Vec<LeasePart>) {
        for allowance in self.allowances.iter_mut().filter(|allowance| Some(allowance.period) != kept) {
            let units = allowance.give_back();
            if units > 0 {
                returns.push(part(holder, key, allowance.period.start, units));
            }
        }
    }
}

fn part(holder: &HolderId, key: &AccountKey, period_start: Timestamp, units: u64) -> LeasePart {
    let (customer_id, quota) = key.clone();
    LeasePart { holder: holder.clone(), customer_id, quota, period_start, units }
}

/// What [`LeaseSize`] counts: units of a meter one by one, and money by what the event at hand costs.
fn piece(want: &Want) -> u64 {
    if want.key.1.meter().is_none() { want.units.max(1) } else { 1 }
}

/// What leases pay for besides the units of the event's meter in the billing period.
fn further<'p>(event: &UsageEvent, paid: &'p [LeasePart]) -> impl Iterator<Item = &'p LeasePart> + use<'p> {
    let first = Quota::Period(event.meter);
    paid.iter().filter(move |part| part.quota != first)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::Code;
    use crate::domain::Meter;

    const MARCH: i64 = 1_772_366_400_000;
    const APRIL: i64 = 1_775_044_800_000;

    /// A ledger, and what those who waited were answered, in order.
    struct Desk {
        ledger: Ledger,
        heard: Arc<Mutex<Vec<String>>>,
    }

    fn key() -> AccountKey {
        (CustomerId::from_stored("ann".to_owned()), Quota::Period(Meter::API_REQUEST))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_stored(millis)
    }

    fn month(millis: i64) -> Period {
        Period::month(at(millis), TimeZone::UTC)
    }

    fn customer(suspended: bool) -> Customer {
        Customer { suspended, ..Customer::new(key().0, at(MARCH)) }
    }

    fn terms(revision: u64, limit: Option<u64>) -> Terms {
        Terms { revision, customer: Arc::new(customer(false)), limit }
    }

    fn want(units: u64) -> Want {
        Want { key: key(), units, purpose: Purpose::Spend, now: at(MARCH) }
    }

    fn held(units: u64) -> Want {
        Want { purpose: Purpose::Hold, ..want(units) }
    }

    /// Of a limit of 1,000, of which nothing is used.
    fn grant(granted: u64, leased_elsewhere: u64) -> Leased {
        let standing = Standing { limit: Some(1_000), used: 0 };
        Leased { granted, leased_elsewhere, customer: customer(false), standing, period: month(MARCH) }
    }

    fn describe(answer: &Answer) -> &'static str {
        match answer {
            Answer::Taken(_) => "taken",
            Answer::Suspended(..) => "suspended",
            Answer::Full(..) => "full",
            Answer::Failed(_) => "failed",
        }
    }

    impl Desk {
        fn new() -> Self {
            let holder = HolderId::from_stored("holder".to_owned());
            Self { ledger: Ledger::new(holder), heard: Arc::default() }
        }

        /// With so many units of a limit of 1,000.
        fn with(units: u64) -> Self {
            let mut desk = Self::new();
            let request = desk.wait("first", want(1)).expect("a request");
            desk.answer(&request, Ok(grant(units + 1, 0)), 0);
            assert_eq!(desk.heard(), ["first taken"]);
            desk
        }

        /// What is answered at once, and what is asked for beside.
        fn take(&mut self, want: &Want, moment: Moment) -> (Option<&'static str>, Option<LeaseRequest>) {
            let (answer, refill) = self.ledger.take(want, TimeZone::UTC, Basis::Revision(1), moment);
            (answer.as_ref().map(describe), refill)
        }

        fn wait(&mut self, name: &str, want: Want) -> Option<LeaseRequest> {
            let resume = self.resume(name);
            self.ledger.wait(Waiter { want, resume }, 0)
        }

        fn resume(&self, name: &str) -> Owed<Resume> {
            let (heard, name) = (Arc::clone(&self.heard), name.to_owned());
            let resume = move |answer: Answer| {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push(format!("{name} {}", describe(&answer)));
            };
            Owed::new(Box::new(resume))
        }

        /// The store answers; what is asked for next.
        fn answer(&mut self, request: &LeaseRequest, answer: Result<Leased>, moment: Moment) -> Option<LeaseRequest> {
            let effects = self.ledger.leased(request, answer, 1, TimeZone::UTC, moment);
            effects.resumed.into_iter().for_each(|(resume, answer)| resume(answer));
            effects.ask
        }

        /// What those who waited were answered since it was asked last.
        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
        }

        fn free(&self) -> u64 {
            self.ledger.known(&key(), month(MARCH).start).map_or(0, |allowance| allowance.free())
        }

        fn returned(&mut self) -> Vec<u64> {
            self.ledger.take_returns().into_iter().map(|part| part.units).collect()
        }
    }

    fn failure() -> Error {
        Error::new(Code::StoreBusy, "on purpose")
    }

    #[test]
    fn units_are_refilled_when_half_of_them_are_left_and_only_once() {
        let mut desk = Desk::with(64);
        for _ in 0..31 {
            assert!(matches!(desk.take(&want(1), 5_000), (Some("taken"), None)));
        }
        let (answer, refill) = desk.take(&want(1), 5_000);
        let refill = refill.expect("a refill");
        assert_eq!((answer, refill.urgent, refill.wish), (Some("taken"), false, Wish { needed: 1, wanted: 64 }));
        assert!(matches!(desk.take(&want(1), 5_000), (Some("taken"), None)));
        assert!(desk.answer(&refill, Ok(grant(64, 0)), 5_000).is_none());
        assert_eq!(desk.free(), 31 + 64);
    }

    #[test]
    fn a_lease_that_lasted_briefly_is_followed_by_a_larger_one() {
        let mut desk = Desk::with(1);
        let (_, refill) = desk.take(&want(1), 1);
        assert_eq!(refill.expect("a refill").wish.wanted, 128);
    }

    #[test]
    fn a_refill_that_brings_nothing_is_not_repeated_at_once() {
        let mut desk = Desk::with(10);
        let (_, refill) = desk.take(&want(1), 0);
        assert!(desk.answer(&refill.expect("a refill"), Ok(grant(0, 0)), 0).is_none());
        assert!(desk.take(&want(1), REFILL_PAUSE_MILLIS - 1).1.is_none());
        assert!(desk.take(&want(1), REFILL_PAUSE_MILLIS).1.is_some());
    }

    #[test]
    fn those_who_wait_are_served_in_turn() {
        let mut desk = Desk::new();
        let request = desk.wait("a", want(3)).expect("a request");
        assert_eq!((request.urgent, request.wish.needed), (true, 3));
        assert!(desk.wait("b", want(1)).is_none());
        assert!(desk.wait("c", want(2)).is_none());
        // Whoever comes later does not overtake them.
        let next = desk.answer(&request, Ok(grant(3, 0)), 0).expect("a request for b");
        assert_eq!(desk.heard(), ["a taken"]);
        assert_eq!(desk.take(&want(1), 0).0, None);
        assert!(desk.answer(&next, Ok(grant(3, 0)), 0).is_none());
        assert_eq!(desk.heard(), ["b taken", "c taken"]);
        assert_eq!(desk.free(), 0);
    }

    #[test]
    fn units_that_others_hold_are_asked_for_again_and_again() {
        let mut desk = Desk::new();
        let request = desk.wait("a", want(1)).expect("a request");
        assert!(desk.answer(&request, Ok(grant(0, 5)), 100).is_none());
        assert!(desk.ledger.contention(&want(1), TimeZone::UTC).is_some());
        // The retry asks for everybody.
        assert!(desk.wait("b", want(1)).is_none());
        assert!(desk.ledger.retries(100 + RETRY_MILLIS - 1).is_empty());
        let retries = desk.ledger.retries(100 + RETRY_MILLIS);
        assert_eq!(retries.len(), 1);
        assert!(desk.ledger.retries(10_000).is_empty());
        assert!(desk.answer(&retries[0], Ok(grant(2, 3)), 110).is_none());
        assert_eq!(desk.heard(), ["a taken", "b taken"]);
        assert!(desk.ledger.contention(&want(1), TimeZone::UTC).is_none());
    }

    #[test]
    fn whoever_needs_no_units_waits_for_nobody() {
        let mut desk = Desk::new();
        let request = desk.wait("a", want(1)).expect("a request");
        assert!(desk.answer(&request, Ok(grant(0, 5)), 0).is_none());
        assert_eq!(desk.take(&want(1), 0).0, None);
        assert_eq!(desk.take(&held(0), 0).0, Some("taken"));
    }

    #[test]
    fn a_full_limit_is_believed_for_a_moment_but_not_for_fewer_units() {
        let mut desk = Desk::new();
        let request = desk.wait("a", want(5)).expect("a request");
        assert!(desk.answer(&request, Ok(grant(0, 0)), 0).is_none());
        assert_eq!(desk.heard(), ["a full"]);
        assert_eq!(desk.take(&want(5), FULL_MILLIS - 1).0, Some("full"));
        assert_eq!(desk.take(&want(4), FULL_MILLIS - 1).0, None);
        assert_eq!(desk.take(&want(5), FULL_MILLIS).0, None);
    }

    #[test]
    fn another_limit_gives_back_what_was_leased_under_the_old_one() {
        let mut desk = Desk::with(10);
        let learn = |desk: &mut Desk, revision, limit| {
            desk.ledger.take(&want(1), TimeZone::UTC, Basis::Terms(terms(revision, limit)), 0).0.is_some()
        };
        assert!(learn(&mut desk, 2, Some(1_000)));
        assert!(desk.returned().is_empty());
        // What was learnt before does not apply again.
        assert!(learn(&mut desk, 1, Some(5)));
        assert!(desk.returned().is_empty());
        assert!(!learn(&mut desk, 3, Some(500)));
        assert_eq!((desk.returned(), desk.free()), (vec![8], 0));
        assert!(learn(&mut desk, 4, None), "without a limit there is always enough");
    }

    #[test]
    fn what_was_learnt_before_a_change_decides_nothing() {
        let mut desk = Desk::with(10);
        assert!(desk.ledger.take(&want(1), TimeZone::UTC, Basis::Revision(2), 0).0.is_none());
        assert!(desk.ledger.take(&want(1), TimeZone::UTC, Basis::Revision(1), 0).0.is_some());
    }

    #[test]
    fn idle_units_are_swept_and_held_ones_are_not() {
        let mut desk = Desk::with(10);
        let refill = desk.take(&held(4), 0).1.expect("a refill");
        assert!(desk.answer(&refill, Ok(grant(0, 0)), 0).is_none());
        // The event that spent the first unit.
        desk.ledger.settled(&key(), month(MARCH).start, 1, 1);
        desk.ledger.sweep(IDLE_MILLIS - 1);
        assert!(desk.returned().is_empty());
        desk.ledger.sweep(IDLE_MILLIS);
        assert_eq!(desk.returned(), [6]);
        assert!(desk.ledger.is_busy());
        desk.ledger.unhold(&key(), month(MARCH).start, 4);
        desk.ledger.sweep(IDLE_MILLIS);
        assert_eq!(desk.returned(), [4]);
        assert!(!desk.ledger.is_busy(), "nothing is left to know");
    }

    #[test]
    fn a_suspended_customer_gets_nothing_of_what_is_leased() {
        let mut desk = Desk::with(10);
        let suspended = Terms { customer: Arc::new(customer(true)), ..terms(2, Some(1_000)) };
        let (answer, _) = desk.ledger.take(&want(1), TimeZone::UTC, Basis::Terms(suspended), 0);
        assert!(matches!(answer, Some(Answer::Suspended(..))));
        assert_eq!(desk.free(), 10);
    }

    #[test]
    fn those_who_wait_ask_while_a_refill_is_under_way_and_either_serves_them() {
        let mut desk = Desk::with(10);
        let refill = desk.take(&want(1), 0).1.expect("a refill");
        assert_eq!(desk.take(&want(20), 0).0, None);
        let urgent = desk.wait("a", want(20)).expect("a request");
        assert_eq!((urgent.urgent, urgent.wish.needed), (true, 11));
        assert!(desk.answer(&refill, Ok(grant(64, 0)), 0).is_none());
        assert_eq!(desk.heard(), ["a taken"]);
        assert!(desk.answer(&urgent, Ok(grant(11, 0)), 0).is_none());
        assert_eq!(desk.free(), 9 + 64 - 20 + 11);
    }

    #[test]
    fn a_store_that_fails_is_told_to_those_who_wait_and_to_nobody_for_a_refill() {
        let mut desk = Desk::with(10);
        let refill = desk.take(&want(1), 0).1.expect("a refill");
        assert!(desk.answer(&refill, Err(failure()), 0).is_none());
        assert_eq!(desk.take(&want(9), REFILL_PAUSE_MILLIS - 1).0, Some("taken"));
        let urgent = desk.wait("a", want(1)).expect("a request");
        assert!(desk.wait("b", want(1)).is_none());
        assert!(desk.answer(&urgent, Err(failure()), 0).is_none());
        assert_eq!(desk.heard(), ["a failed", "b failed"]);
        assert!(desk.wait("c", want(1)).is_some(), "the next one asks again");
    }

    #[test]
    fn whose_deadline_has_passed_keeps_no_units() {
        let mut desk = Desk::new();
        let resume = desk.resume("a");
        let request = desk.ledger.wait(Waiter { want: want(3), resume: resume.clone() }, 0).expect("a request");
        assert!(desk.wait("b", want(1)).is_none());
        drop(resume.take());
        assert!(desk.answer(&request, Ok(grant(3, 0)), 0).is_none());
        assert_eq!((desk.heard(), desk.free()), (vec!["b taken".to_owned()], 2));
    }

    #[test]
    fn units_of_a_month_pay_for_nothing_in_the_next() {
        let mut desk = Desk::with(10);
        let april = Want { now: at(APRIL), ..want(1) };
        assert!(desk.ledger.take(&april, TimeZone::UTC, Basis::Revision(1), 0).0.is_none());
        let request = desk.wait("april", april).expect("a request");
        let granted = Leased { period: month(APRIL), ..grant(1, 0) };
        assert!(desk.answer(&request, Ok(granted), 0).is_none());
        assert_eq!(desk.heard(), ["april taken"]);
        // A clock may go back.
        assert_eq!(desk.take(&want(10), 0).0, Some("taken"));
    }

    #[test]
    fn other_periods_give_back_what_was_leased_for_the_old_ones() {
        let mut desk = Desk::with(10);
        let anchor = at(MARCH).plus_millis(7_000);
        let anchored = Customer { billing_cycle_anchor: Some(anchor), ..customer(false) };
        let moved = Terms { customer: Arc::new(anchored.clone()), ..terms(2, Some(1_000)) };
        assert!(desk.ledger.take(&want(1), TimeZone::UTC, Basis::Terms(moved), 0).0.is_none());
        assert_eq!((desk.returned(), desk.free()), (vec![10], 0));
        let request = desk.wait("a", want(2)).expect("a request");
        let period = anchored.billing_period(at(MARCH), TimeZone::UTC);
        assert_eq!(period.end, anchor);
        let granted = Leased { period, customer: anchored, ..grant(2, 0) };
        assert!(desk.answer(&request, Ok(granted), 0).is_none());
        assert_eq!(desk.heard(), ["a taken"]);
        // The next period has units of its own.
        let next = Want { now: anchor, ..want(1) };
        assert!(desk.ledger.take(&next, TimeZone::UTC, Basis::Revision(2), 0).0.is_none());
    }

    #[test]
    fn without_a_limit_nothing_is_leased() {
        let mut desk = Desk::new();
        let request = desk.wait("a", want(1)).expect("a request");
        let unlimited = Leased { standing: Standing { limit: None, used: 0 }, ..grant(0, 0) };
        assert!(desk.answer(&request, Ok(unlimited), 0).is_none());
        assert_eq!(desk.heard(), ["a taken"]);
        let (answer, refill) = desk.ledger.take(&want(1_000_000), TimeZone::UTC, Basis::Revision(1), 0);
        assert!(matches!((answer, refill), (Some(Answer::Taken(Taken { paid: None, .. })), None)));
    }

    #[test]
    fn after_a_settlement_past_the_limit_what_is_left_of_the_lease_is_not_spent() {
        let mut desk = Desk::with(10);
        let refill = desk.take(&held(2), 0).1.expect("a refill");
        let paid = desk.ledger.settle_hold(&key(), month(MARCH).start, 2, 999).expect("a part of the lease");
        assert_eq!((paid.units, desk.free()), (10, 0));
        // It was under way and comes too late.
        assert!(desk.answer(&refill, Ok(grant(64, 0)), 0).is_none());
        assert_eq!((desk.take(&want(1), 0).0, desk.free()), (Some("full"), 64));
    }
}

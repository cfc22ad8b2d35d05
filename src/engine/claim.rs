//! What an event takes of its customer's quotas: of all of them, or of none.
//!
//! The units of its meter in the billing period come first: with them the customer is known, and what else he has only so
//! much of.

use std::sync::Arc;

use super::Engine;
use super::admission::{Admitted, Candidate, Intent, Next, Passage};
use super::holds::Held;
use super::ledger::{Answer, Purpose, Taken, Terms, Want};
use crate::Result;
use crate::domain::{Customer, Meter, Money, Plans, Quota, Refusal, Spending};
use crate::store::{LeasePart, Verdict};

/// What has been taken so far.
#[derive(Debug, Clone)]
pub struct Claim {
    pub first: Taken,
    further: Vec<(Want, Taken)>,
    /// Whether the customer can pay is judged by the store, in the transaction that counts.
    pub leaves_money_to_store: bool,
}

impl From<Taken> for Claim {
    fn from(first: Taken) -> Self {
        Self { first, further: Vec::new(), leaves_money_to_store: false }
    }
}

impl Claim {
    pub fn add(&mut self, want: Want, taken: Taken) {
        self.further.push((want, taken));
    }

    /// What leases pay for.
    pub fn paid(&self) -> Vec<LeasePart> {
        let further = self.further.iter().map(|(_, taken)| taken);
        [&self.first].into_iter().chain(further).filter_map(|taken| taken.paid.clone()).collect()
    }

    pub fn held(&self) -> Vec<Held> {
        let held = |(want, taken): &(Want, Taken)| Held {
            quota: want.key.1,
            period_start: taken.period.start,
            amount: want.units,
        };
        self.further.iter().map(held).collect()
    }

    fn has(&self, quota: Quota) -> bool {
        self.further.iter().any(|(want, _)| want.key.1 == quota)
    }
}

impl Candidate {
    /// Of its meter in the billing period.
    pub fn want(&self) -> Want {
        let (units, _) = self.size();
        self.want_of(Quota::Period(self.event.meter), units)
    }

    /// How many units, and what they cost as far as it is known.
    pub fn size(&self) -> (u64, Money) {
        let (units, cost) = match self.intent {
            Intent::Record => (self.event.units.get(), self.event.cost),
            // What passes every number passes every cap.
            Intent::Hold { units, unit_price } => (units, unit_price.checked_mul(units).unwrap_or(Money::MAX)),
        };
        (units, self.known_cost.unwrap_or(cost))
    }

    /// Whether the period tells what it costs, and has not been asked.
    pub(super) fn is_to_be_rated(&self) -> bool {
        self.event.cost_basis.price().is_some() && self.known_cost.is_none()
    }

    fn want_of(&self, quota: Quota, units: u64) -> Want {
        let purpose = match self.intent {
            Intent::Record => Purpose::Spend,
            Intent::Hold { .. } => Purpose::Hold,
        };
        // There is what is left of credit now, whenever the event has happened.
        let now = if quota == Quota::Credit { self.now } else { self.event.timestamp };
        Want { key: (self.event.customer_id.clone(), quota), units, purpose, now }
    }

    /// Of what else the customer has only so much.
    fn further_wants(&self, plans: &Plans, customer: &Customer) -> Vec<(Want, u64)> {
        let (units, cost) = self.size();
        let money = if customer.prepaid { Quota::Credit } else { Quota::Spend };
        let money = plans.limit_on(customer, money).map(|limit| (money, limit));
        let all = plans.windows(customer, self.event.meter).chain(money);
        let wants = all.map(|(quota, limit)| (self.want_of(quota, quota.amount(units, cost)), limit));
        wants.filter(|(want, _)| want.units > 0).collect()
    }
}

/// All that an event of a meter may take of.
pub fn quotas(plans: &Plans, customer: &Customer, meter: Meter) -> Vec<Quota> {
    let windows = plans.windows(customer, meter).map(|(quota, _)| quota);
    [Quota::Period(meter), Quota::Spend, Quota::Credit].into_iter().chain(windows).collect()
}

impl Engine {
    /// Goes on with the quotas of which nothing is taken yet.
    pub(super) fn take_further(self: &Arc<Self>, candidate: Candidate, mut claim: Claim) -> Next {
        let customer = Arc::clone(&claim.first.terms.customer);
        let is_limited = customer.spend_cap.is_some() || customer.prepaid;
        if customer.pays_by_cap_and_credit() {
            claim.leaves_money_to_store = true;
        } else if is_limited && candidate.is_to_be_rated() {
            match candidate.intent {
                Intent::Record => claim.leaves_money_to_store = true,
                // Whoever holds nothing was let through before.
                Intent::Hold { units: 0, .. } => {}
                Intent::Hold { .. } => {
                    self.give_up(&candidate, &claim);
                    return Next::Rate(candidate, claim.first);
                }
            }
        }
        let plans = &self.shared.catalog().tiers;
        for (want, limit) in candidate.further_wants(plans, &customer) {
            let quota = want.key.1;
            if claim.has(quota) || (quota.meter().is_none() && claim.leaves_money_to_store) {
                continue;
            }
            let terms = Terms { limit: Some(limit), ..claim.first.terms.clone() };
            match self.take(&want, Some(terms)) {
                Some(Answer::Taken(taken)) => claim.add(want, taken),
                Some(Answer::Full(..)) | None if candidate.may_be_known() => {
                    self.give_up(&candidate, &claim);
                    return Next::ChargeUnpaid(candidate);
                }
                Some(Answer::Full(..)) if candidate.is_judged_by_store(quota, &customer) => {
                    claim.leaves_money_to_store = true;
                }
                Some(answer) => return Next::Answer(self.refused(&candidate, &claim, quota, answer)),
                None => return Next::Wait(candidate, Some(claim), want),
            }
        }
        self.spend(candidate, claim)
    }

    /// Goes on where a candidate has waited for a further quota.
    pub(super) fn go_on(self: &Arc<Self>, candidate: Candidate, mut claim: Claim, want: Want, answer: Answer) -> Next {
        let (quota, customer) = (want.key.1, Arc::clone(&claim.first.terms.customer));
        match answer {
            Answer::Taken(taken) => claim.add(want, taken),
            Answer::Full(..) if candidate.is_judged_by_store(quota, &customer) => claim.leaves_money_to_store = true,
            answer => return Next::Answer(self.refused(&candidate, &claim, quota, answer)),
        }
        self.take_further(candidate, claim)
    }

    /// What it means for an event that another quota has nothing for it.
    fn refused(&self, candidate: &Candidate, claim: &Claim, quota: Quota, answer: Answer) -> Result<Passage> {
        self.give_up(candidate, claim);
        let Answer::Full(terms, full, period) = answer else { return answer.refused() };
        let Taken { standing, period: billing_period, .. } = claim.first;
        let (_, cost) = candidate.size();
        let (refusal, standing, period) = match (quota, terms.customer.spend_cap) {
            (Quota::Spend, Some(cap)) => {
                let first = candidate.want();
                let known = self.shared.ledger().known(&first.key, billing_period.start);
                let standing = known.map_or(standing, |allowance| allowance.standing());
                let refusal = Refusal::SpendCapExceeded { spending: Spending::of(cap, full), cost };
                (refusal, standing, billing_period)
            }
            _ => (Refusal::LimitExceeded(full), full, period),
        };
        let verdict = Verdict::Refused(refusal);
        Ok(Passage::Admitted(Admitted { verdict, customer: terms.customer, standing, period, hold: None }))
    }

    /// Takes nothing after all.
    pub(super) fn give_up(&self, candidate: &Candidate, claim: &Claim) {
        let mut ledger = self.shared.ledger();
        ledger.untake(&candidate.want(), &claim.first);
        for (want, taken) in &claim.further {
            ledger.untake(want, taken);
        }
    }
}

impl Candidate {
    /// Whoever sends an id again is let through at the limit too, so only the store can refuse him.
    pub fn may_be_known(&self) -> bool {
        self.event.id.is_some() && self.intent == Intent::Record && !self.is_new
    }

    /// Leases of money are rounded, and there is none of credit where units may be paid by credit too; the store looks at the
    /// last digit.
    fn is_judged_by_store(&self, quota: Quota, customer: &Customer) -> bool {
        let may_be_rounded = |cap| Spending::may_be_rounded(cap, self.event.cost);
        match quota {
            Quota::Credit => true,
            Quota::Spend => self.intent == Intent::Record && customer.spend_cap.is_some_and(may_be_rounded),
            Quota::Period(_) | Quota::Window(..) => false,
        }
    }
}

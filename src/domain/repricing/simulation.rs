//! What customers would have paid, and who would have paid more or less than he did.

use std::cmp::Reverse;

use super::CustomerTally;
use crate::Result;
use crate::domain::invoice::Basis;
use crate::domain::{Catalog, Decimal, Invoice, Money, Period, Proration};

/// What recorded usage costs by a catalog, beside what it cost or would cost otherwise.
#[derive(Debug, Clone, Default)]
pub struct Simulation {
    /// By id.
    pub customers: Vec<CustomerOutcome>,
    /// By id. They are in no sum.
    pub unassigned: Vec<Unassigned>,
    pub events: u64,
    /// Those of them for whose usage the catalog has no price: they cost nothing.
    pub unpriced_events: u64,
    /// `None` where nothing is known of it.
    pub old: Option<Decimal>,
    pub new: Decimal,
    /// Who would pay less.
    pub winners: Side,
    /// Who would pay more.
    pub losers: Side,
}

#[derive(Debug, Clone)]
pub struct CustomerOutcome {
    pub id: Box<str>,
    /// The id of his tier in the catalog.
    pub tier: String,
    /// In how many billing periods he used something.
    pub periods: u64,
    pub events: u64,
    /// `None` where nothing is known of what he paid.
    pub old: Option<Decimal>,
    pub new: Decimal,
}

/// A customer who has no tier, and what his usage cost when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unassigned {
    pub id: Box<str>,
    pub lacking: Lacking,
    pub events: u64,
    pub cost: Money,
}

/// In which catalog a customer has no tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    New,
    Old,
}

/// How many customers, and how much in all: from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Side {
    pub customers: u64,
    pub amount: Decimal,
}

/// What the new amounts are held against.
#[derive(Debug, Clone)]
pub enum Old<'c> {
    /// What each event cost when it was recorded.
    Recorded,
    /// What the same usage costs by another catalog; all of its customers, by id.
    Catalog(&'c Catalog, Vec<CustomerTally>),
    Unknown,
}

impl CustomerOutcome {
    /// What he would pay more; negative where it is less.
    pub fn difference(&self) -> Option<Decimal> {
        self.old.as_ref().map(|old| &self.new - old)
    }
}

impl Simulation {
    /// `customers` are by id. Base amounts and minimums of a billing period that `span` cuts are due for the part within it,
    /// by the second. `invalid_catalog` where a customer's tier asks something for a billing period that is no month.
    pub fn of(catalog: &Catalog, span: Period, customers: &[CustomerTally], old: &Old<'_>) -> Result<Self> {
        let mut simulation = Self { old: (!matches!(old, Old::Unknown)).then(Decimal::default), ..Self::default() };
        for customer in customers {
            let CustomerTally { id, .. } = customer;
            match outcome(catalog, span, customer, old)? {
                Ok(outcome) => simulation.add(outcome, customer),
                Err(lacking) => {
                    let (id, events, cost) = (id.clone(), customer.events(), customer.cost()?);
                    simulation.unassigned.push(Unassigned { id, lacking, events, cost });
                }
            }
        }
        Ok(simulation)
    }

    fn add(&mut self, outcome: CustomerOutcome, customer: &CustomerTally) {
        self.events += outcome.events;
        self.unpriced_events += customer.periods.iter().map(|period| period.unpriced_events).sum::<u64>();
        self.new = &self.new + &outcome.new;
        if let Some(old) = &outcome.old {
            self.old = self.old.take().map(|sum| &sum + old);
            self.winners.add(&old.saturating_sub(&outcome.new));
            self.losers.add(&outcome.new.saturating_sub(old));
        }
        self.customers.push(outcome);
    }

    /// The customers for whom most would change, at most so many; where nothing is known of what they paid, those who would
    /// pay most.
    pub fn most_changed(&self, limit: usize) -> Vec<&CustomerOutcome> {
        let change = |outcome: &CustomerOutcome| match &outcome.old {
            Some(old) if *old > outcome.new => old - &outcome.new,
            Some(old) => &outcome.new - old,
            None => outcome.new.clone(),
        };
        let mut customers: Vec<(Reverse<Decimal>, &CustomerOutcome)> =
            self.customers.iter().map(|outcome| (Reverse(change(outcome)), outcome)).collect();
        // Stable: among equals by id.
        customers.sort_by(|(one, _), (other, _)| one.cmp(other));
        customers.into_iter().take(limit).map(|(_, outcome)| outcome).collect()
    }
}

impl Side {
    fn add(&mut self, amount: &Decimal) {
        if !amount.is_zero() {
            self.customers += 1;
            self.amount = &self.amount + amount;
        }
    }
}

fn outcome(
    catalog: &Catalog,
    span: Period,
    customer: &CustomerTally,
    old: &Old<'_>,
) -> Result<std::result::Result<CustomerOutcome, Lacking>> {
    let Some((tier, new)) = due(catalog, span, customer)? else { return Ok(Err(Lacking::New)) };
    let old = match old {
        Old::Recorded => Some(Decimal::parse("cost", &customer.cost()?.to_string())?),
        Old::Unknown => None,
        Old::Catalog(catalog, tallies) => {
            let same = tallies.binary_search_by(|other| other.id.cmp(&customer.id)).ok();
            let due = same.and_then(|place| tallies.get(place)).map(|tally| due(catalog, span, tally)).transpose()?;
            let Some((_, amount)) = due.flatten() else { return Ok(Err(Lacking::Old)) };
            Some(amount)
        }
    };
    let periods = customer.periods.len() as u64;
    let (id, events) = (customer.id.clone(), customer.events());
    Ok(Ok(CustomerOutcome { id, tier: tier.to_owned(), periods, events, old, new }))
}

/// The tier's id, and what all periods come to; `None` without a tier.
fn due<'c>(catalog: &'c Catalog, span: Period, customer: &CustomerTally) -> Result<Option<(&'c str, Decimal)>> {
    let Some(tier) = customer.terms.tier.and_then(|tier| catalog.tiers().get(tier)) else { return Ok(None) };
    tier.require_due_by_month()?;
    let mut sum = Decimal::default();
    for period in &customer.periods {
        let whole = period.period;
        let part = Period { start: whole.start.max(span.start), end: whole.end.min(span.end) };
        let share = if part == whole { None } else { Some(Proration::by_second(part, whole)?) };
        sum = &sum + &Invoice::preview(&Basis::new(catalog, tier, share), &period.usage, None, &[])?.total();
    }
    Ok(Some((&tier.id, sum)))
}

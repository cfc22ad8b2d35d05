//! What customers would have paid by another catalog, out of what is recorded.

use std::collections::HashMap;

use super::history::{self, History, Sink};
use crate::Result;
use crate::domain::repricing::{Assignment, Old, RecordedUsage, Simulation, Tally, Terms};
use crate::domain::{Catalog, Period, TimeZone, Timestamp};
use crate::store::{self, Store};

const PAGE: usize = 1_000;

/// A catalog, and who is in which of its tiers.
#[derive(Debug, Clone)]
pub struct Plan {
    pub catalog: Catalog,
    pub assignment: Assignment,
}

#[derive(Debug, Clone)]
pub struct Question {
    pub plan: Plan,
    /// What it is held against; without one, what events cost when they were recorded.
    pub baseline: Option<Plan>,
    pub span: Period,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub simulation: Simulation,
    /// The tiers that customers have who are in none of the catalog's, by their place in [`Simulation::unassigned`].
    pub tiers_of_unassigned: Vec<Option<String>>,
    /// Events whose metadata would have to be known, and were dropped: they are not in it.
    pub missing_events: u64,
}

/// What is known of a customer.
struct Known {
    tier: Option<String>,
    anchor: Option<Timestamp>,
}

/// Customers are sorted by the tier and the billing periods that they have now.
pub fn simulate(store: &dyn Store, settings: &store::Catalog, question: &Question) -> Result<Answer> {
    let Question { plan, baseline, span } = question;
    let customers = customers(store)?;
    let sides = || Sides {
        new: tally(plan, settings.time_zone, &customers),
        old: baseline.as_ref().map(|baseline| tally(baseline, settings.time_zone, &customers)),
    };
    let History { sink: Sides { new, old }, missing_events } = history::read(store, None, *span, sides)?;
    let old = match (baseline, old) {
        (Some(baseline), Some(old)) => Old::Catalog(&baseline.catalog, old.finish()?),
        _ => Old::Recorded,
    };
    let simulation = Simulation::of(&plan.catalog, *span, &new.finish()?, &old)?;
    let tier = |id: &str| customers.get(id).and_then(|known| known.tier.clone());
    let tiers_of_unassigned = simulation.unassigned.iter().map(|customer| tier(&customer.id)).collect();
    Ok(Answer { simulation, tiers_of_unassigned, missing_events })
}

fn customers(store: &dyn Store) -> Result<HashMap<String, Known>> {
    let mut customers = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.customers(after.as_deref(), PAGE)?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|customer| customer.id.as_str().to_owned());
        customers.extend(page.into_iter().map(|customer| {
            let known = Known { tier: customer.tier_id, anchor: customer.billing_cycle_anchor };
            (customer.id.as_str().to_owned(), known)
        }));
        if is_last {
            return Ok(customers);
        }
    }
}

fn tally<'a>(
    plan: &'a Plan,
    zone: TimeZone,
    customers: &'a HashMap<String, Known>,
) -> Tally<'a, impl FnMut(&str) -> Terms + Send + use<'a>> {
    Tally::new(&plan.catalog, zone, |id: &str| {
        let known = customers.get(id);
        let has = known.and_then(|known| known.tier.as_deref());
        let tier = plan.assignment.tier(&plan.catalog, id, has);
        Terms { tier, anchor: known.and_then(|known| known.anchor) }
    })
}

/// Both sides of the comparison.
struct Sides<'a, New, Old> {
    new: Tally<'a, New>,
    old: Option<Tally<'a, Old>>,
}

impl<New, Old> Sink for Sides<'_, New, Old>
where
    New: FnMut(&str) -> Terms + Send,
    Old: FnMut(&str) -> Terms + Send,
{
    fn takes_whole(&mut self, usage: &RecordedUsage<'_>, hour: Period) -> bool {
        let old = self.old.as_mut();
        self.new.takes_whole(usage, hour) && old.is_none_or(|old| old.takes_whole(usage, hour))
    }

    fn add(&mut self, usage: &RecordedUsage<'_>) -> Result<()> {
        self.new.add(usage)?;
        self.old.as_mut().map_or(Ok(()), |old| old.add(usage))
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.new.merge(other.new)?;
        match (&mut self.old, other.old) {
            (Some(old), Some(other)) => old.merge(other),
            _ => Ok(()),
        }
    }
}

//! What an event brings its customer nearer to.

use std::collections::BTreeMap;

use super::{Kind, Measure, Reached};
use crate::domain::credit::Unit;
use crate::domain::{Customer, CustomerId, Decimal, Meter, Money, Period, Plans, Thresholds, Timestamp};

/// Something that usage is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Of units in the billing period. `soft`: it never refuses.
    Limit {
        meter: Meter,
        limit: u64,
        soft: bool,
    },
    SpendCap(Money),
    Credit {
        unit: Unit,
        left: Decimal,
        /// All that the customer was ever given.
        given: Decimal,
    },
}

impl Bound {
    /// What a customer's events on a meter count against, but for his credit, which only his books tell.
    fn of<'c>(plans: &'c Plans, customer: &'c Customer, meter: Meter) -> impl Iterator<Item = Bound> + use<'c> {
        let limit = plans.limit(Some(customer), meter).map(|limit| Bound::Limit { meter, limit, soft: false });
        let soft = plans.soft_limit(customer, meter).map(|limit| Bound::Limit { meter, limit, soft: true });
        [limit, soft, customer.spend_cap.map(Bound::SpendCap)].into_iter().flatten()
    }

    pub fn kind(&self) -> Kind {
        match self {
            Bound::Limit { soft: false, .. } => Kind::Limit,
            Bound::Limit { soft: true, .. } => Kind::SoftLimit,
            Bound::SpendCap(_) => Kind::SpendCap,
            Bound::Credit { .. } => Kind::Credit,
        }
    }

    /// Of what it is: a meter, or money.
    pub fn unit(&self) -> Unit {
        match self {
            Bound::Limit { meter, .. } => Unit::Meter(*meter),
            Bound::SpendCap(_) => Unit::Money,
            Bound::Credit { unit, .. } => *unit,
        }
    }

    /// While this is the same nothing is told twice. Another limit or cap is something else to reach, and so is credit of which
    /// more was given.
    pub fn basis(&self) -> String {
        match self {
            Bound::Limit { limit, .. } => limit.to_string(),
            Bound::SpendCap(cap) => cap.to_string(),
            Bound::Credit { given, .. } => given.to_string(),
        }
    }

    /// All of it, where so much was used in the period: units of the meter, or money.
    pub fn whole(&self, used: &Decimal) -> Decimal {
        match self {
            Bound::Limit { limit, .. } => (*limit).into(),
            Bound::SpendCap(cap) => (*cap).into(),
            Bound::Credit { left, .. } => left + used,
        }
    }
}

/// A bound that somebody has come nearer to.
#[derive(Debug, Clone)]
pub struct Watch {
    pub period: Period,
    pub bound: Bound,
    /// When the last of the events was counted.
    pub now: Timestamp,
}

impl Watch {
    /// Whether so many used units can reach anything: most often they are far from it, and nothing has to be calculated.
    pub fn is_near(&self, thresholds: &Thresholds, used: u64) -> bool {
        match (&self.bound, thresholds.percents().first()) {
            (Bound::Limit { limit, .. }, Some(lowest)) => {
                u128::from(used) * 100 >= u128::from(*limit) * u128::from(*lowest)
            }
            (_, lowest) => lowest.is_some(),
        }
    }

    /// What is reached by so much that is used in the period.
    pub fn reached(&self, customer_id: &CustomerId, thresholds: &Thresholds, used: &Decimal) -> Vec<Reached> {
        let Self { period, bound, .. } = self;
        let whole = bound.whole(used);
        let reached = |percent| Reached {
            customer_id: customer_id.clone(),
            period: *period,
            percent,
            measure: Measure { kind: bound.kind(), unit: bound.unit(), whole: whole.clone(), used: used.clone() },
        };
        thresholds.reached(&whole, used).map(reached).collect()
    }
}

/// Whose, in the period that starts then, of which kind, and of which unit.
pub type WatchKey = (CustomerId, Timestamp, Kind, Unit);

/// What a group of events brings customers nearer to.
#[derive(Debug, Default)]
pub struct Watches(BTreeMap<WatchKey, Watch>);

impl Watches {
    /// All that a customer's events on a meter count against, but for his credit.
    pub fn add_bounds(&mut self, plans: &Plans, customer: &Customer, meter: Meter, period: Period, now: Timestamp) {
        for bound in Bound::of(plans, customer, meter) {
            self.add(&customer.id, Watch { period, bound, now });
        }
    }

    pub fn add(&mut self, customer_id: &CustomerId, watch: Watch) {
        let key = (customer_id.clone(), watch.period.start, watch.bound.kind(), watch.bound.unit());
        self.0.insert(key, watch);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&CustomerId, &Watch)> {
        self.0.iter().map(|((customer_id, ..), watch)| (customer_id, watch))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

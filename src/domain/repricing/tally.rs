//! Adding up what was used, by customer, billing period, meter and price.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::finder::Line;
use super::{LineId, PriceFinder, RecordedUsage};
use crate::Result;
use crate::domain::invoice::PricedUsage;
use crate::domain::rating::Usage;
use crate::domain::{Catalog, Decimal, Money, Period, TimeZone, Timestamp, billing_period};

/// By what a customer's usage is sorted and priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// His tier, by its place in the catalog. Without one his usage is counted and not priced.
    pub tier: Option<usize>,
    /// At which instant one of his billing periods begins; without one they are calendar months.
    pub anchor: Option<Timestamp>,
}

/// `Known` says each customer's terms, when he is seen first.
pub struct Tally<'c, Known> {
    finder: PriceFinder<'c>,
    zone: TimeZone,
    known: Known,
    numbers: HashMap<Box<str>, u32>,
    customers: Vec<Account>,
    /// By customer, start of the period, and line.
    sums: HashMap<(u32, Timestamp, LineId), Sum>,
}

struct Account {
    id: Box<str>,
    terms: Terms,
    /// That of his last usage: mostly the next one's too.
    period: Period,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    events: u64,
    units: u128,
    cost: Money,
}

/// What a customer used, by billing period; the earliest first.
#[derive(Debug, Clone)]
pub struct CustomerTally {
    pub id: Box<str>,
    pub terms: Terms,
    pub periods: Vec<PeriodTally>,
}

#[derive(Debug, Clone)]
pub struct PeriodTally {
    pub period: Period,
    /// Of the catalog's meters, by meter and price.
    pub usage: Vec<PricedUsage>,
    /// Of meters that the catalog does not name.
    pub unknown: Vec<PricedUsage>,
    pub events: u64,
    /// Those of them for whose usage the catalog has no price, or of whose meter it knows nothing.
    pub unpriced_events: u64,
    /// The sum of what the events cost when they were recorded.
    pub cost: Money,
    /// The same by meter.
    pub costs: BTreeMap<String, Money>,
}

impl<'c, Known: FnMut(&str) -> Terms> Tally<'c, Known> {
    /// `zone` is that of calendar months.
    pub fn new(catalog: &'c Catalog, zone: TimeZone, known: Known) -> Self {
        Self {
            finder: PriceFinder::new(catalog),
            zone,
            known,
            numbers: HashMap::new(),
            customers: Vec::new(),
            sums: HashMap::new(),
        }
    }

    pub fn add(&mut self, usage: &RecordedUsage<'_>) -> Result<()> {
        let number = self.number(usage.customer_id, usage.at);
        let zone = self.zone;
        let account = &mut self.customers[number as usize];
        let period = account.period_of(usage.at, zone);
        let line = self.finder.find(account.terms.tier, usage);
        let sum = Sum { events: usage.events, units: usage.units.into(), cost: usage.cost };
        self.sums.entry((number, period.start, line)).or_default().add(&sum)
    }

    /// Whether usage of a whole hour that begins at `usage.at` may be added at once: it has one price and lies in one billing
    /// period.
    pub fn takes_whole(&mut self, usage: &RecordedUsage<'_>, hour: Period) -> bool {
        if !self.finder.is_told_by_endpoint(usage.meter, usage.endpoint) {
            return false;
        }
        let number = self.number(usage.customer_id, hour.start);
        let zone = self.zone;
        hour.end <= self.customers[number as usize].period_of(hour.start, zone).end
    }

    fn number(&mut self, id: &str, at: Timestamp) -> u32 {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        // Cannot be cut off: this many accounts do not fit into memory.
        let number = self.customers.len() as u32;
        let terms = (self.known)(id);
        self.customers.push(Account { id: id.into(), terms, period: billing_period(terms.anchor, at, self.zone) });
        self.numbers.insert(id.into(), number);
        number
    }

    /// Adds what another tally of the same catalog, time zone and customers has added up.
    pub fn merge<Other>(&mut self, other: Tally<'c, Other>) -> Result<()> {
        for ((number, start, line), sum) in &other.sums {
            let account = &other.customers[*number as usize];
            let number = self.number(&account.id, *start);
            let line = self.finder.id_of(other.finder.line(*line).clone());
            self.sums.entry((number, *start, line)).or_default().add(sum)?;
        }
        Ok(())
    }

    /// What every customer used of whom there was usage, by id.
    pub fn finish(self) -> Result<Vec<CustomerTally>> {
        let Self { finder, zone, customers, sums, .. } = self;
        let mut periods: Vec<BTreeMap<Timestamp, Vec<(&Line<'c>, Sum)>>> = vec![BTreeMap::new(); customers.len()];
        for ((number, start, line), sum) in &sums {
            periods[*number as usize].entry(*start).or_default().push((finder.line(*line), *sum));
        }
        let mut tallies = Vec::with_capacity(customers.len());
        for (account, periods) in customers.iter().zip(periods).filter(|(_, periods)| !periods.is_empty()) {
            let period = |(start, sums)| PeriodTally::of(finder.catalog(), account.period_of_start(start, zone), sums);
            let periods = periods.into_iter().map(period).collect::<Result<_>>()?;
            tallies.push(CustomerTally { id: account.id.clone(), terms: account.terms, periods });
        }
        tallies.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(tallies)
    }
}

impl Account {
    fn period_of(&mut self, at: Timestamp, zone: TimeZone) -> Period {
        if !self.period.contains(at) {
            self.period = billing_period(self.terms.anchor, at, zone);
        }
        self.period
    }

    fn period_of_start(&self, start: Timestamp, zone: TimeZone) -> Period {
        billing_period(self.terms.anchor, start, zone)
    }
}

impl Sum {
    fn add(&mut self, other: &Sum) -> Result<()> {
        self.events += other.events;
        self.units += other.units;
        self.cost = self.cost.checked_add(other.cost)?;
        Ok(())
    }
}

impl CustomerTally {
    pub fn events(&self) -> u64 {
        self.periods.iter().map(|period| period.events).sum()
    }

    /// What his usage cost when it was recorded.
    pub fn cost(&self) -> Result<Money> {
        self.periods.iter().try_fold(Money::ZERO, |sum, period| sum.checked_add(period.cost))
    }
}

impl PeriodTally {
    /// Of a period without usage.
    pub fn empty(period: Period) -> Self {
        Self {
            period,
            usage: vec![],
            unknown: vec![],
            events: 0,
            unpriced_events: 0,
            cost: Money::ZERO,
            costs: BTreeMap::new(),
        }
    }

    /// By meter and price: an order that depends on nothing else.
    fn of(catalog: &Catalog, period: Period, mut sums: Vec<(&Line<'_>, Sum)>) -> Result<Self> {
        sums.sort_unstable_by(|(one, _), (other, _)| (&one.meter, one.price).cmp(&(&other.meter, other.price)));
        let (mut events, mut unpriced_events, mut cost) = (0, 0, Money::ZERO);
        let mut costs: BTreeMap<String, Money> = BTreeMap::new();
        let mut rows = Vec::with_capacity(sums.len());
        for (line, sum) in sums {
            events += sum.events;
            unpriced_events += if line.price.is_none() { sum.events } else { 0 };
            cost = cost.checked_add(sum.cost)?;
            let of_meter = costs.entry(line.meter.to_string()).or_default();
            *of_meter = of_meter.checked_add(sum.cost)?;
            let usage = Usage { quantity: Decimal::whole(sum.units), events: Some(Decimal::from(sum.events)) };
            rows.push(PricedUsage { meter: line.meter.to_string(), price: line.price.map(str::to_owned), usage });
        }
        let (usage, unknown) = rows.into_iter().partition(|row| catalog.meters().contains(&row.meter));
        Ok(Self { period, usage, unknown, events, unpriced_events, cost, costs })
    }
}

//! The invoice of a billing period, calculated and not issued.
//!
//! In this order, as the lines stand:
//! 1. The **base amount** of the tier, or its share where the tier held for a part of the period only; of each tier that held for
//!    a part.
//! 2. For each meter, in the catalog's order, the **included units**: they are taken from the prices in the catalog's order,
//!    so that the order of the usage does not matter.
//! 3. For each price, in the catalog's order, the rest of its **usage**, priced at once: it is the whole period's quantity
//!    that reaches tiers and packages. A price that the usage does not list costs nothing; one that it lists with 0 asks its
//!    flat amounts.
//! 4. For each meter, by how much its events cost something else when they were **recorded**, where that is known.
//! 5. What is missing to the **minimum**.
//! 6. For each meter, what **credit for its units** has paid, which is known by what its events cost too.
//!
//! **Credits** are taken off what that comes to, each as far as something is left; what is left of a credit stays his. Those that
//! usage has burnt come first. They may be more than the usage comes to: what was counted after its period had ended was billed
//! there, and has burnt credit here.
//!
//! Nothing is rounded but shares of the base amount and the minimum ([`Proration::share`]) and, at the very end, what is
//! [payable](Invoice::payable).

mod event;
mod quantity;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, CatalogTier};
use super::rating::Line;
use super::{Currency, Decimal, Money, Proration, Rounding};
use crate::{Error, Result};

pub use event::cost_of_event;
pub use quantity::{Quantities, Quantity};
pub use usage::PricedUsage;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    pub currency: Currency,
    /// At least the base amount's.
    pub lines: Vec<InvoiceLine>,
    /// One for each credit that was given, in their order.
    pub credits: Vec<CreditLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    pub item: Item,
    pub line: Line,
}

/// What a line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Base,
    Included {
        meter: String,
    },
    Usage {
        meter: String,
        /// The id of the price in the catalog.
        price: String,
    },
    /// Usage for which the catalog has no price. It costs nothing.
    Unpriced {
        meter: String,
    },
    /// By how much the events cost something else than the catalog says.
    Recorded {
        meter: String,
    },
    Minimum,
    /// What credit for its units has paid: an amount below 0.
    Credited {
        meter: String,
    },
}

/// How much of a credit the invoice takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditLine {
    /// The id of the grant that was burnt; `None` of a credit that was named.
    pub grant: Option<String>,
    pub amount: Decimal,
    pub applied: Decimal,
}

/// By what a billing period is priced.
#[derive(Debug, Clone)]
pub struct Basis<'c> {
    pub catalog: &'c Catalog,
    /// Whose prices and included units apply. Included units are a whole period's in any case.
    pub tier: &'c CatalogTier,
    /// Whose base amounts and minimums are due, each for its part of the period; `None` for all of it.
    pub held: Vec<(&'c CatalogTier, Option<Proration>)>,
}

impl<'c> Basis<'c> {
    pub fn new(catalog: &'c Catalog, tier: &'c CatalogTier, share: Option<Proration>) -> Self {
        Self { catalog, tier, held: vec![(tier, share)] }
    }
}

/// What is known of usage that was recorded.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// What the events cost, by meter.
    pub costs: BTreeMap<String, Money>,
    /// The meters for whose units there was credit.
    pub credited: BTreeSet<String>,
    /// How much of which grants it has burnt: their ids.
    pub burnt: Vec<(String, Decimal)>,
}

impl Invoice {
    /// What this usage comes to. Where it was recorded, that is what its events cost then, to the last digit.
    pub fn preview(
        basis: &Basis<'_>,
        usage: &[PricedUsage],
        recorded: Option<&Recorded>,
        credits: &[Decimal],
    ) -> Result<Self> {
        let currency = basis.catalog.currency();
        let part_of = |amount: &Decimal, share: Option<Proration>| match share {
            Some(share) => share.share(amount, currency.decimal_places(), Rounding::default()),
            None => amount.clone(),
        };
        let mut lines: Vec<InvoiceLine> = Vec::new();
        for (tier, share) in &basis.held {
            let description = match basis.held.len() {
                1 => "Base amount".to_owned(),
                _ => format!("Base amount of {}", tier.id),
            };
            lines.push(InvoiceLine::flat(Item::Base, &description, &part_of(&tier.base_amount, *share)));
        }
        let usage = usage::lines(basis.catalog, basis.tier, usage)?;
        let (credited, differing) = recorded.map(|recorded| recorded.differences(&usage)).unwrap_or_default();
        lines.extend(usage);
        lines.extend(differing);
        let minimum: Decimal = basis.held.iter().map(|(tier, share)| part_of(&tier.minimum_amount, *share)).sum();
        let missing = minimum.saturating_sub(&sum(&lines));
        if !missing.is_zero() {
            lines.push(InvoiceLine::flat(Item::Minimum, "Minimum amount", &missing));
        }
        lines.extend(credited);
        let credits = apply(recorded, credits, sum(&lines))?;
        Ok(Self { currency, lines, credits })
    }

    /// How many of a meter's units were included.
    pub fn included(&self, meter: &str) -> Decimal {
        let is_included = |line: &&InvoiceLine| matches!(&line.item, Item::Included { meter: other } if other == meter);
        self.lines.iter().filter(is_included).map(|line| line.line.units.clone()).sum()
    }

    /// The sum of the lines.
    pub fn subtotal(&self) -> Decimal {
        sum(&self.lines)
    }

    /// The subtotal less the credits that are applied; not rounded. Negative only where units that credit has paid for made
    /// others cheaper, under a volume price.
    pub fn total(&self) -> Decimal {
        let applied: Decimal = self.credits.iter().map(|credit| credit.applied.clone()).sum();
        &self.subtotal() - &applied
    }

    /// The total, rounded to what can be paid.
    pub fn payable(&self, rounding: Rounding) -> Decimal {
        self.currency.round(&self.total(), rounding)
    }
}

impl InvoiceLine {
    fn flat(item: Item, description: &str, amount: &Decimal) -> Self {
        let line = Line::new(description, Decimal::default(), &Decimal::default()).with_flat_amount(amount);
        Self { item, line }
    }
}

fn sum(lines: &[InvoiceLine]) -> Decimal {
    lines.iter().map(|line| line.line.amount()).sum()
}

impl Recorded {
    /// What is to be added to the usage of meters, so that it is what their events cost: of those with credit for units, and of
    /// the others.
    fn differences(&self, usage: &[InvoiceLine]) -> (Vec<InvoiceLine>, Vec<InvoiceLine>) {
        let difference = |(meter, cost): (&String, &Money)| {
            let is_usage =
                |line: &&InvoiceLine| matches!(&line.item, Item::Usage { meter: other, .. } if other == meter);
            let priced: Decimal = usage.iter().filter(is_usage).map(|line| line.line.amount()).sum();
            let amount = &Decimal::from(*cost) - &priced;
            let meter = meter.clone();
            (!amount.is_zero()).then(|| match self.credited.contains(&meter) {
                true => InvoiceLine::flat(Item::Credited { meter }, "Paid by credit for units", &amount),
                false => InvoiceLine::flat(Item::Recorded { meter }, "Recorded at other prices", &amount),
            })
        };
        let lines = self.costs.iter().filter_map(difference);
        lines.partition(|line| matches!(line.item, Item::Credited { .. }))
    }
}

fn apply(recorded: Option<&Recorded>, credits: &[Decimal], mut due: Decimal) -> Result<Vec<CreditLine>> {
    let mut lines = Vec::new();
    let mut take = |grant: Option<&String>, amount: &Decimal| {
        // What is due may be negative.
        let applied = amount.saturating_sub(&amount.saturating_sub(&due));
        due = &due - &applied;
        lines.push(CreditLine { grant: grant.cloned(), amount: amount.clone(), applied });
    };
    for (grant, amount) in recorded.iter().flat_map(|recorded| &recorded.burnt) {
        take(Some(grant), amount);
    }
    for (position, amount) in credits.iter().enumerate() {
        if amount.is_negative() {
            return Err(Error::invalid(format!("`credits[{position}]` must not be negative, got {amount}")));
        }
        take(None, amount);
    }
    Ok(lines)
}

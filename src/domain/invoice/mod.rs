//! The invoice of a billing period, calculated and not issued.
//!
//! In this order, as the lines stand:
//! 1. The **base amount** of the tier, or its share where the tier held for a part of the period only.
//! 2. For each meter, in the catalog's order, the **included units**: they are taken from the prices in the catalog's order,
//!    so that the order of the usage does not matter.
//! 3. For each price, in the catalog's order, the rest of its **usage**, priced at once: it is the whole period's quantity
//!    that reaches tiers and packages. A price that the usage does not list costs nothing; one that it lists with 0 asks its
//!    flat amounts.
//! 4. What is missing to the **minimum**.
//! 5. What **credit for units** has paid, where it was burnt when events were counted ([`Invoice::with_units_paid`]).
//!
//! **Credits** are taken off what that comes to, each as far as something is left; what is left of a credit stays his.
//!
//! Nothing is rounded but shares of the base amount and the minimum ([`Proration::share`]) and, at the very end, what is
//! [payable](Invoice::payable).

mod event;
mod quantity;
mod usage;

use std::collections::BTreeMap;

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
    Minimum,
    /// What credit for its units has paid: an amount below 0.
    Credited {
        meter: String,
    },
}

/// How much of a credit the invoice takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditLine {
    pub amount: Decimal,
    pub applied: Decimal,
}

impl Invoice {
    /// `share` is the part of the period for which the tier held; `None` for all of it. Included units are a whole period's
    /// in any case.
    pub fn preview(
        catalog: &Catalog,
        tier: &CatalogTier,
        share: Option<Proration>,
        usage: &[PricedUsage],
        credits: &[Decimal],
    ) -> Result<Self> {
        let currency = catalog.currency();
        let part_of = |amount: &Decimal| match share {
            Some(share) => share.share(amount, currency.decimal_places(), Rounding::default()),
            None => amount.clone(),
        };
        let mut lines = vec![InvoiceLine::flat(Item::Base, "Base amount", &part_of(&tier.base_amount))];
        lines.extend(usage::lines(catalog, tier, usage)?);
        let missing = part_of(&tier.minimum_amount).saturating_sub(&sum(&lines));
        if !missing.is_zero() {
            lines.push(InvoiceLine::flat(Item::Minimum, "Minimum amount", &missing));
        }
        let credits = apply(credits, sum(&lines))?;
        Ok(Self { currency, lines, credits })
    }

    /// Takes off what credit for units has paid: all that a meter's usage comes to above what its events cost in the end.
    /// `costs` has the meters of which there was such credit.
    pub fn with_units_paid(mut self, costs: &BTreeMap<String, Money>) -> Result<Self> {
        for (meter, cost) in costs {
            let is_usage =
                |line: &&InvoiceLine| matches!(&line.item, Item::Usage { meter: other, .. } if other == meter);
            let usage: Decimal = self.lines.iter().filter(is_usage).map(|line| line.line.amount()).sum();
            let paid = &Decimal::from(*cost) - &usage;
            if !paid.is_zero() {
                let item = Item::Credited { meter: meter.clone() };
                self.lines.push(InvoiceLine::flat(item, "Paid by credit for units", &paid));
            }
        }
        let credits: Vec<Decimal> = self.credits.into_iter().map(|credit| credit.amount).collect();
        self.credits = apply(&credits, sum(&self.lines))?;
        Ok(self)
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

fn apply(credits: &[Decimal], mut due: Decimal) -> Result<Vec<CreditLine>> {
    let mut lines = Vec::with_capacity(credits.len());
    for (position, amount) in credits.iter().enumerate() {
        if amount.is_negative() {
            return Err(Error::invalid(format!("`credits[{position}]` must not be negative, got {amount}")));
        }
        let applied = amount.saturating_sub(&amount.saturating_sub(&due));
        due = &due - &applied;
        lines.push(CreditLine { amount: amount.clone(), applied });
    }
    Ok(lines)
}

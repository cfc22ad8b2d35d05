//! The tiers of a price: which cover all quantities from 0, each one once.

use std::fmt;

use super::Line;
use crate::domain::Decimal;
use crate::domain::json::Value;
use crate::domain::mistakes::Mistakes;
use crate::{Code, Error};

/// How a tier states what a unit in it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// By `unitAmount`.
    UnitAmount,
    /// By `rate`, in per cent.
    Rate,
}

/// Tiers by rising bounds, then one without a bound. No quantity falls between two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceTiers {
    bounded: Vec<(Decimal, Terms)>,
    last: Terms,
}

/// What a tier asks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Terms {
    unit_amount: Decimal,
    flat_amount: Decimal,
}

/// A tier between its neighbours: it covers `(above, up_to]`.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    above: Option<&'a Decimal>,
    up_to: Option<&'a Decimal>,
    terms: &'a Terms,
}

impl PriceTiers {
    pub(super) fn read(value: &Value<'_>, charge: Charge, mistakes: &mut Mistakes) -> Option<Self> {
        let tiers = mistakes.value(value, Value::array)?;
        let Some((last, bounded)) = tiers.split_last() else {
            mistakes.note(contradiction(value.place(), "must hold at least one tier"));
            return None;
        };
        let mut read = Vec::with_capacity(bounded.len());
        let mut above = Decimal::default();
        for tier in bounded {
            let Some((up_to, terms)) = read_tier(tier, charge, mistakes) else { continue };
            let place = format!("{}.upTo", tier.place());
            let Some(bound) = up_to else {
                mistakes.note(contradiction(&place, "must be a decimal: only the last tier is without a bound"));
                continue;
            };
            if bound <= above {
                let lower = if read.is_empty() { "0" } else { "the bound of the tier before it" };
                mistakes.note(contradiction(&place, &format!("must be above {lower} ({above}), got {bound}")));
                continue;
            }
            above = bound.clone();
            read.push((bound, terms));
        }
        let (up_to, last_terms) = read_tier(last, charge, mistakes)?;
        if let Some(bound) = up_to {
            let what = format!(
                "must be null, got {bound}: the last tier covers whatever is above {above}, so that every quantity has a \
                 price"
            );
            mistakes.note(contradiction(&format!("{}.upTo", last.place()), &what));
        }
        Some(Self { bounded: read, last: last_terms })
    }

    /// The tiers that a quantity reaches, from the first one, which 0 reaches too.
    pub fn reached(&self, quantity: &Decimal) -> impl Iterator<Item = Span<'_>> {
        self.spans().take_while(move |span| span.above.is_none_or(|above| quantity > above))
    }

    fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let bounds = || self.bounded.iter().map(|(up_to, _)| up_to);
        let lower = [None].into_iter().chain(bounds().map(Some));
        let upper = bounds().map(Some).chain([None]);
        let terms = self.bounded.iter().map(|(_, terms)| terms).chain([&self.last]);
        lower.zip(upper).zip(terms).map(|((above, up_to), terms)| Span { above, up_to, terms })
    }
}

impl Span<'_> {
    pub fn is_alone(&self) -> bool {
        self.above.is_none() && self.up_to.is_none()
    }

    /// How much of the quantity lies in this tier.
    pub fn units(&self, quantity: &Decimal) -> Decimal {
        let end = self.up_to.map_or(quantity, |up_to| up_to.min(quantity));
        self.above.map_or_else(|| end.clone(), |above| end.saturating_sub(above))
    }

    /// So many units at what this tier asks.
    pub fn line(&self, units: Decimal, what: &str) -> Line {
        Line::new(format!("{what}{self}"), units, &self.terms.unit_amount).with_flat_amount(&self.terms.flat_amount)
    }
}

/// ` above 10 up to 20`, to be put after what is counted; nothing for a tier that is alone.
impl fmt::Display for Span<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(formatter, " above {above}")?;
        }
        self.up_to.map_or(Ok(()), |up_to| write!(formatter, " up to {up_to}"))
    }
}

fn read_tier(tier: &Value<'_>, charge: Charge, mistakes: &mut Mistakes) -> Option<(Option<Decimal>, Terms)> {
    let unit_amount = match charge {
        Charge::UnitAmount => "unitAmount",
        Charge::Rate => "rate",
    };
    let object = mistakes.object(tier, &["upTo", unit_amount, "flatAmount"])?;
    let bound = |value: &Value<'_>| if value.is_null() { Ok(None) } else { value.non_negative().map(Some) };
    let up_to = mistakes.required(&object, "upTo", bound);
    let stated = mistakes.required(&object, unit_amount, Value::non_negative);
    let flat_amount = mistakes.non_negative_or_zero(&object, "flatAmount");
    let unit_amount = match charge {
        Charge::UnitAmount => stated?,
        Charge::Rate => stated?.percent(),
    };
    Some((up_to?, Terms { unit_amount, flat_amount: flat_amount? }))
}

fn contradiction(place: &str, what: &str) -> Error {
    Error::new(Code::InvalidCatalog, format!("`{place}` {what}")).at(place)
}

//! Which price applies, and why.
//!
//! Of the prices of a meter that apply, the most specific one wins. Specific is, in this order:
//!
//! 1. the **route**: a price for one before a price for all usage; of two routes the more specific, segment by segment from
//!    the left, plain text before a parameter before a wildcard, as Express would have them;
//! 2. the **method**: a route that names it before one that does not;
//! 3. the **dimensions**: the price that names more of them;
//! 4. the **tier**: a price for the customer's own before one for a tier that it extends, the nearest first, and these
//!    before a price for all tiers.
//!
//! A later one decides only between prices that are equal in those before it. No two prices of a catalog can be equal in all
//! of them for one question: that is refused when the catalog is read.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::route::{Request, Specificity};
use super::{Catalog, CatalogPrice};

/// Of what usage the price is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub meter: &'a str,
    /// The customer's tier, if there is one.
    pub tier: Option<&'a str>,
    /// `None` for usage that came with no request.
    pub request: Option<Request<'a>>,
    /// Metadata of the usage, where it is text.
    pub dimensions: &'a BTreeMap<String, String>,
}

/// The price, and how it was found.
#[derive(Debug, Clone)]
pub struct Resolution<'a> {
    /// `None`: the usage has no price.
    pub price: Option<&'a CatalogPrice>,
    /// For people, in English: what the price applies for; then for each other one that applies, what is more specific.
    pub because: Vec<String>,
}

/// How specifically a price applies: compared in the order of its fields.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    route: Option<Specificity>,
    dimensions: usize,
    /// How far the price's tier is extended by the customer's.
    tier: Option<Reverse<usize>>,
}

impl Catalog {
    pub fn resolve(&self, question: &Question<'_>) -> Resolution<'_> {
        let mut applying: Vec<(Rank, &CatalogPrice)> = self.applying(question).collect();
        applying.sort_by(|(one, _), (other, _)| other.cmp(one));
        let Some(((rank, price), others)) = applying.split_first() else {
            let because = format!("no price of the meter {:?} applies", question.meter);
            return Resolution { price: None, because: vec![because] };
        };
        let losses = others.iter().map(|(other, less)| format!("before {:?}: {}", less.id, difference(rank, other)));
        Resolution { price: Some(price), because: [reason(price)].into_iter().chain(losses).collect() }
    }

    /// The price that [`Catalog::resolve`] explains, without an explanation.
    pub fn find(&self, question: &Question<'_>) -> Option<&CatalogPrice> {
        self.applying(question).max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, price)| price)
    }

    fn applying(&self, question: &Question<'_>) -> impl Iterator<Item = (Rank, &CatalogPrice)> {
        self.prices.iter().filter_map(|price| Some((self.rank(price, question)?, price)))
    }

    /// `None` where the price does not apply.
    pub(super) fn rank(&self, price: &CatalogPrice, question: &Question<'_>) -> Option<Rank> {
        let tier = match &price.tier {
            None => None,
            Some(tier) => {
                let lineage = &self.tier(question.tier?)?.lineage;
                Some(Reverse(lineage.iter().position(|id| id == tier)?))
            }
        };
        let route = match &price.route {
            None => None,
            Some(route) => Some(route.matches(question.request.as_ref()?)?),
        };
        let is_of = |(name, value): (&String, &String)| question.dimensions.get(name) == Some(value);
        let applies = price.meter == question.meter && price.dimensions.iter().all(is_of);
        applies.then_some(Rank { route, dimensions: price.dimensions.len(), tier })
    }
}

fn reason(price: &CatalogPrice) -> String {
    let mut of = vec![format!("the meter {:?}", price.meter)];
    of.extend(price.route.as_ref().map(|route| format!("the route {:?}", route.to_string())));
    of.extend(price.dimensions.iter().map(|(name, value)| format!("{name} = {value:?}")));
    of.extend(price.tier.as_ref().map(|tier| format!("the tier {tier:?}")));
    format!("{:?} is the price of {}", price.id, of.join(", "))
}

fn difference(winner: &Rank, other: &Rank) -> &'static str {
    if winner.route != other.route {
        match (&winner.route, &other.route) {
            (Some(route), Some(other)) if route.is_of_equal_path(other) => "it names the method",
            _ => "its route is more specific",
        }
    } else if winner.dimensions != other.dimensions {
        "it names more dimensions"
    } else {
        "its tier is nearer to the customer's"
    }
}

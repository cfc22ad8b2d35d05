//! The catalog: tiers, what they may use, and what things cost. One JSON text, validated whole.
//!
//! Semantics shared by all of it:
//! - **All mistakes at once**: whoever reads a catalog learns of every one, each with its place, such as
//!   `catalog.tiers[1].limits[0].meter`. A catalog that could be read contradicts itself nowhere.
//! - **Tiers** stand from the lowest to the highest. One that `extends` another has its features, limits, included units and
//!   prices too, where it does not say otherwise itself; never what the tier itself costs.
//! - **Prices** are found by meter, route, dimensions and tier: see [`resolve`].
//! - **Versions**: a customer stays on the version that he signed up to: see [`CatalogVersions`].
//! - **Money** is exact and in one currency.

mod check;
mod included;
mod limit;
mod names;
mod normal;
mod price;
pub mod resolve;
mod route;
mod tariff;
mod tier;
mod versions;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Currency;
use super::json::Value;
use super::mistakes::Mistakes;
use crate::{Code, Error, Result};
use names::{Kind, Names};
use tariff::Tariff;

pub use included::{Included, Overage};
pub use limit::{Limit, LimitWindow};
pub use price::CatalogPrice;
pub use resolve::{Question, Resolution};
pub use route::{Request, Route, RouteRule};
pub use tier::CatalogTier;
pub use versions::CatalogVersions;

#[derive(Debug, Clone)]
pub struct Catalog {
    id: String,
    version: String,
    currency: Currency,
    meters: Vec<String>,
    features: Vec<String>,
    /// From the lowest to the highest.
    tiers: Vec<CatalogTier>,
    prices: Vec<CatalogPrice>,
    routes: Vec<RouteRule>,
    tariff: Arc<Tariff>,
}

/// Equal catalogs have the same normal form.
impl PartialEq for Catalog {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

impl Eq for Catalog {}

/// Why a customer may not call a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The tier, or a higher one, that he needs.
    Tier(String),
    Features(BTreeSet<String>),
}

impl Catalog {
    const FIELDS: &[&str] = &["id", "version", "currency", "meters", "features", "tiers", "prices", "routes"];

    /// Reads a JSON text. The errors are all mistakes, at least one.
    pub fn parse(text: &str) -> std::result::Result<Self, Vec<Error>> {
        let mut mistakes = Mistakes::default();
        let catalog = match Value::parse("catalog", text) {
            Ok(value) => Self::read(&value, &mut mistakes),
            Err(error) => {
                mistakes.note(error);
                None
            }
        };
        mistakes.or(catalog)
    }

    fn read(value: &Value<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let object = mistakes.object(value, Self::FIELDS)?;
        let names = Names::read(&object, mistakes);
        let id = mistakes.required(&object, "id", names::id);
        let version = mistakes.required(&object, "version", names::id);
        let currency = mistakes.required(&object, "currency", |code| Currency::parse(code.place(), &code.string()?));

        let mut prices = names::list(&object, "prices", mistakes, |price, mistakes| {
            CatalogPrice::read(price, currency, &names, mistakes)
        });
        let tiers = names::list(&object, "tiers", mistakes, |tier, mistakes| {
            CatalogTier::read(tier, currency, &names, &mut prices, mistakes)
        });
        let routes =
            names::list(&object, "routes", mistakes, |route, mistakes| RouteRule::read(route, &names, mistakes));

        let tiers = check::inherit(tiers, mistakes);
        let (meters, features) = (names.of(Kind::Meter).to_vec(), names.of(Kind::Feature).to_vec());
        let tariff = Arc::new(Tariff::new(&prices, &routes));
        let catalog =
            Self { id: id?, version: version?, currency: currency?, meters, features, tiers, prices, routes, tariff };
        check::whole(&catalog, mistakes);
        Some(catalog)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn currency(&self) -> Currency {
        self.currency
    }

    pub fn meters(&self) -> &[String] {
        &self.meters
    }

    /// From the lowest to the highest.
    pub fn tiers(&self) -> &[CatalogTier] {
        &self.tiers
    }

    pub fn tier(&self, id: &str) -> Option<&CatalogTier> {
        self.tiers.iter().find(|tier| tier.id == id)
    }

    /// Like [`Catalog::tier`], with the error that an unknown tier deserves.
    pub fn require_tier(&self, id: &str) -> Result<()> {
        if self.tier(id).is_some() {
            return Ok(());
        }
        let known: Vec<_> = self.tiers.iter().map(|tier| tier.id.as_str()).collect();
        let message = format!("unknown tier {id:?}; the tiers of {:?} are: {}", self.version, known.join(", "));
        Err(Error::new(Code::UnknownTier, message))
    }

    /// That requests can be held to all of its limits, and rated: soft limits a month, and units that are included for a month.
    pub fn require_enforceable(&self) -> Result<()> {
        self.tiers.iter().try_for_each(CatalogTier::require_enforceable)
    }

    /// Those of `prices`, in their order, then those that tiers ask for overage.
    pub fn prices(&self) -> &[CatalogPrice] {
        &self.prices
    }

    pub fn price(&self, id: &str) -> Option<&CatalogPrice> {
        self.prices.get(self.position_of_price(id)?)
    }

    /// Among [`Catalog::prices`].
    pub fn position_of_price(&self, id: &str) -> Option<usize> {
        self.tariff.position(id)
    }

    /// What requests need.
    pub fn rules(&self) -> &[RouteRule] {
        &self.routes
    }

    /// What a request needs, by the most specific route that it matches.
    pub fn rule(&self, request: &Request<'_>) -> Option<&RouteRule> {
        self.routes.get(self.tariff.rule(request)?)
    }

    /// Which price applies: what [`Catalog::resolve`] says, without saying why, and fast.
    pub fn price_of(&self, question: &Question<'_>) -> Option<&CatalogPrice> {
        let lineage = question.tier.and_then(|id| self.tier(id)).map_or(&[][..], |tier| &tier.lineage);
        let mut candidates = self.tariff.candidates(question, lineage).into_iter();
        match (candidates.next(), candidates.len()) {
            (first, 0) => self.prices.get(first?),
            (first, _) => {
                let prices = first.into_iter().chain(candidates).filter_map(|position| self.prices.get(position));
                let ranked = prices.filter_map(|price| Some((self.rank(price, question)?, price)));
                ranked.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, price)| price)
            }
        }
    }

    /// Whether a customer of a tier, or of none, may make a request. A route without a rule is open to all.
    pub fn admits(&self, tier: Option<&str>, request: &Request<'_>) -> std::result::Result<(), Missing> {
        let Some(rule) = self.rule(request) else { return Ok(()) };
        let rank = |id: &str| self.tiers.iter().position(|tier| tier.id == id);
        if let Some(required) = &rule.required_tier
            && tier.and_then(rank) < rank(required)
        {
            return Err(Missing::Tier(required.clone()));
        }
        let granted = tier.and_then(|id| self.tier(id)).map(|tier| &tier.features);
        let lacking: BTreeSet<String> =
            rule.requires.iter().filter(|feature| granted.is_none_or(|has| !has.contains(*feature))).cloned().collect();
        if lacking.is_empty() { Ok(()) } else { Err(Missing::Features(lacking)) }
    }
}

fn contradiction(place: &str, what: &str) -> Error {
    Error::new(Code::InvalidCatalog, format!("`{place}`{what}")).at(place)
}

//! A catalog's prices and routes, compiled: a look-up costs the same with five of them and with five thousand.
//!
//! Prices lie in groups, by meter, tier and dimensions. In each group that a question may mean, a router finds the most
//! specific route; of the few prices that are left, [`super::resolve`]'s own order decides.

use std::collections::{BTreeMap, HashMap};

use super::{CatalogPrice, Question, Request, RouteRule};
use crate::domain::router::{Pattern, Router};

#[derive(Debug, Clone)]
pub(super) struct Tariff {
    by_meter: HashMap<String, ByTier>,
    by_id: HashMap<String, usize>,
    rules: Router,
}

/// The prices of a meter.
#[derive(Debug, Clone, Default)]
struct ByTier {
    of_all: ByDimensions,
    of_tier: HashMap<String, ByDimensions>,
}

/// The prices for a tier, by the dimensions that they name: first the names, then their values in the same order.
#[derive(Debug, Clone, Default)]
struct ByDimensions(Vec<(Vec<String>, ByValues)>);

type ByValues = HashMap<Vec<String>, Group>;

/// Prices that differ only in their routes.
#[derive(Debug, Clone, Default)]
struct Group {
    everywhere: Option<usize>,
    /// In the order of the router's.
    on_routes: Vec<usize>,
    router: Option<Router>,
}

impl Tariff {
    pub fn new(prices: &[CatalogPrice], rules: &[RouteRule]) -> Self {
        let mut by_meter: HashMap<String, ByTier> = HashMap::new();
        let mut by_id = HashMap::new();
        for (position, price) in prices.iter().enumerate() {
            by_id.entry(price.id.clone()).or_insert(position);
            let of_meter = by_meter.entry(price.meter.clone()).or_default();
            let of_tier = match &price.tier {
                Some(tier) => of_meter.of_tier.entry(tier.clone()).or_default(),
                None => &mut of_meter.of_all,
            };
            let group = of_tier.group(price);
            match price.route {
                Some(_) => group.on_routes.push(position),
                None => group.everywhere = Some(position),
            }
        }
        for of_meter in by_meter.values_mut() {
            let groups = of_meter.of_tier.values_mut().chain([&mut of_meter.of_all]);
            for group in groups.flat_map(|of_tier| &mut of_tier.0).flat_map(|(_, groups)| groups.values_mut()) {
                group.compile(prices);
            }
        }
        let rules: Vec<Pattern<'_>> = rules.iter().map(|rule| rule.route.pattern()).collect();
        Self { by_meter, by_id, rules: Router::new(&rules) }
    }

    /// The position of the price with this id.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The positions of prices among which is the one that applies. `lineage`: the customer's tier and those that it extends.
    pub fn candidates(&self, question: &Question<'_>, lineage: &[String]) -> Vec<usize> {
        let Some(of_meter) = self.by_meter.get(question.meter) else { return Vec::new() };
        let of_tiers = lineage.iter().filter_map(|tier| of_meter.of_tier.get(tier));
        let groups = of_tiers.chain([&of_meter.of_all]).flat_map(|of_tier| of_tier.groups(question.dimensions));
        groups.filter_map(|group| group.find(question.request.as_ref())).collect()
    }

    /// The position of what a request needs.
    pub fn rule(&self, request: &Request<'_>) -> Option<usize> {
        self.rules.find(request.method, request.path, request.rules)
    }
}

impl ByDimensions {
    fn group(&mut self, price: &CatalogPrice) -> &mut Group {
        let names: Vec<String> = price.dimensions.keys().cloned().collect();
        let place = self.0.iter().position(|(others, _)| *others == names).unwrap_or_else(|| {
            self.0.push((names, HashMap::new()));
            self.0.len() - 1
        });
        self.0[place].1.entry(price.dimensions.values().cloned().collect()).or_default()
    }

    /// Those whose dimensions all have these values.
    fn groups<'a>(&'a self, dimensions: &'a BTreeMap<String, String>) -> impl Iterator<Item = &'a Group> {
        self.0.iter().filter_map(|(names, groups)| {
            let values: Option<Vec<String>> = names.iter().map(|name| dimensions.get(name).cloned()).collect();
            groups.get(&values?)
        })
    }
}

impl Group {
    fn compile(&mut self, prices: &[CatalogPrice]) {
        let routes = self.on_routes.iter().filter_map(|position| Some(prices[*position].route.as_ref()?.pattern()));
        let routes: Vec<Pattern<'_>> = routes.collect();
        self.router = (!routes.is_empty()).then(|| Router::new(&routes));
    }

    fn find(&self, request: Option<&Request<'_>>) -> Option<usize> {
        let on_route = request.and_then(|Request { method, path, rules, .. }| {
            self.on_routes.get(self.router.as_ref()?.find(method, path, *rules)?).copied()
        });
        on_route.or(self.everywhere)
    }
}

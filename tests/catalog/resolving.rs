//! Which price applies, against an oracle: the price list's router says which route is the most specific, and the rest of
//! the order is followed step by step.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weighbridge::domain::catalog::{Question, Request};
use weighbridge::domain::price::RoutingRules;
use weighbridge::domain::{Money, Price, PriceList};

use crate::parse;

const ROUTES: &[&str] = &[
    "/a",
    "/a/:id",
    "POST /a/:name",
    "/a/b",
    "GET /a/b",
    "/a/*rest",
    "/:x/b",
    "/*all",
    "POST /*all",
    "/a/:id/c",
    "/A/:z/c",
];
/// For each route one that no other hides, and some more.
const REQUESTS: &[&str] = &[
    "GET /a",
    "GET /a/b",
    "POST /a/b",
    "DELETE /a/b",
    "POST /a/x/",
    "GET /a/k",
    "GET /x/b",
    "GET /a/b/c",
    "DELETE /a/b/d",
    "POST /",
    "POST /y",
    "GET /y",
];
/// From the lowest to the highest; each extends the one before it.
const TIERS: &[&str] = &["low", "middle", "high"];

/// What a price is for, without its amount.
#[derive(Debug, Clone)]
struct Selector {
    tier: Option<&'static str>,
    route: Option<&'static str>,
    dimensions: BTreeMap<String, String>,
}

fn dimensions() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = || prop::option::of(prop::sample::select(vec!["x", "y"]));
    (value(), value(), value()).prop_map(|values| {
        let pairs = [("model", values.0), ("region", values.1), ("mode", values.2)];
        pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    let tier = prop::option::of(prop::sample::select(TIERS));
    let route = prop::option::of(prop::sample::select(ROUTES));
    (tier, route, dimensions()).prop_map(|(tier, route, dimensions)| Selector { tier, route, dimensions })
}

fn catalog(selectors: &[Selector]) -> Json {
    let price = |(index, selector): (usize, &Selector)| {
        let mut price =
            json!({ "id": index.to_string(), "meter": "m", "tier": selector.tier, "route": selector.route });
        price["price"] = json!({ "model": "per_unit", "unitAmount": 1 });
        if !selector.dimensions.is_empty() {
            price["dimensions"] = json!(selector.dimensions);
        }
        price
    };
    json!({
        "id": "c",
        "version": "1",
        "currency": "EUR",
        "meters": ["m"],
        "tiers": [{ "id": "low" }, { "id": "middle", "extends": "low" }, { "id": "high", "extends": "middle" }],
        "prices": selectors.iter().enumerate().map(price).collect::<Json>(),
    })
}

fn list(routes: &[&str]) -> PriceList {
    let prices = routes.iter().map(|route| Price::new(route, Money::ZERO, None).expect("a route"));
    PriceList::new(prices.collect()).expect("a price list")
}

/// The shape of the route that the router finds among these, as text with the names of parameters taken out.
fn found(routes: &[&str], request: &str) -> Option<String> {
    let (method, path) = request.split_once(' ').expect("a request");
    let mut distinct: Vec<&str> = Vec::new();
    routes.iter().for_each(|route| {
        if !distinct.contains(route) {
            distinct.push(route)
        }
    });
    let list = list(&distinct);
    let price = list.find(method, path, RoutingRules::default())?;
    Some(shape(&format!("{} {}", price.method.as_deref().unwrap_or(""), price.endpoint)))
}

fn shape(route: &str) -> String {
    let route = if route.starts_with('/') { format!(" {route}") } else { route.to_owned() };
    let (method, path) = route.split_once(' ').expect("a method");
    let segment = |segment: &str| match segment.chars().next() {
        Some(first @ (':' | '*')) => first.to_string(),
        _ => segment.to_lowercase(),
    };
    format!("{method} {}", path.split('/').map(segment).collect::<Vec<_>>().join("/"))
}

/// Those of the prices that are the most specific; more than one where the order does not decide.
fn most_specific(
    selectors: &[Selector],
    tier: Option<&str>,
    request: Option<&str>,
    dimensions: &BTreeMap<String, String>,
) -> Vec<usize> {
    let rank = |id: &str| TIERS.iter().position(|tier| *tier == id).expect("a tier");
    let mut left: Vec<(usize, &Selector)> = selectors.iter().enumerate().collect();
    left.retain(|(_, price)| price.dimensions.iter().all(|(name, value)| dimensions.get(name) == Some(value)));
    left.retain(|(_, price)| price.tier.is_none_or(|own| tier.is_some_and(|tier| rank(own) <= rank(tier))));
    left.retain(|(_, price)| {
        price.route.is_none_or(|route| request.is_some_and(|request| found(&[route], request).is_some()))
    });
    let routes: Vec<&str> = left.iter().filter_map(|(_, price)| price.route).collect();
    let route = request.and_then(|request| found(&routes, request));
    left.retain(|(_, price)| price.route.map(shape) == route);
    let most = left.iter().map(|(_, price)| price.dimensions.len()).max();
    left.retain(|(_, price)| Some(price.dimensions.len()) == most);
    let nearest = left.iter().filter_map(|(_, price)| price.tier.map(rank)).max();
    left.retain(|(_, price)| price.tier.map(rank) == nearest);
    left.into_iter().map(|(index, _)| index).collect()
}

/// Tier, request and dimensions.
type Asked = (Option<&'static str>, Option<&'static str>, BTreeMap<String, String>);

fn questions() -> Vec<Asked> {
    let mut dimensions = vec![BTreeMap::new()];
    for name in ["model", "region", "mode"] {
        let with = |value: &str| {
            let value = value.to_owned();
            move |map: &BTreeMap<String, String>| {
                let mut map = map.clone();
                map.insert(name.to_owned(), value.clone());
                map
            }
        };
        dimensions = ["x", "y"]
            .iter()
            .flat_map(|value| dimensions.iter().map(with(value)).collect::<Vec<_>>())
            .chain(dimensions.clone())
            .collect();
    }
    let tiers = [None].into_iter().chain(TIERS.iter().copied().map(Some));
    let requests = || [None].into_iter().chain(REQUESTS.iter().copied().map(Some));
    tiers
        .flat_map(|tier| requests().map(move |request| (tier, request)))
        .flat_map(|(tier, request)| dimensions.iter().map(move |dimensions| (tier, request, dimensions.clone())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// A catalog is refused exactly if there is a question to which two prices are the answer; else every question has the
    /// oracle's.
    #[test]
    fn the_most_specific_price_is_found_or_the_catalog_is_ambiguous(selectors in prop::collection::vec(selector(), 1..6)) {
        let catalog = parse(&catalog(&selectors));
        let mut is_ambiguous = false;
        for (tier, request, dimensions) in questions() {
            let expected = most_specific(&selectors, tier, request, &dimensions);
            is_ambiguous |= expected.len() > 1;
            let Ok(catalog) = &catalog else { continue };
            let request = request.map(|request| {
                let (method, path) = request.split_once(' ').expect("a request");
                Request { method, path, rules: RoutingRules::default(), is_pattern: false }
            });
            let question = Question { meter: "m", tier, request, dimensions: &dimensions };
            let found = catalog.resolve(&question).price.map(|price| price.id.clone());
            prop_assert_eq!(found, expected.first().map(ToString::to_string), "{:?}", question);
        }
        match &catalog {
            Ok(_) => prop_assert!(!is_ambiguous),
            Err(mistakes) => prop_assert!(is_ambiguous, "{:#?}", mistakes),
        }
    }
}

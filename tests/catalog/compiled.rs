//! The compiled look-up finds what the plain one says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use weighbridge::domain::Catalog;
use weighbridge::domain::catalog::{Question, Request};
use weighbridge::domain::price::RoutingRules;

const TIERS: [&str; 4] = ["free", "professional", "enterprise", "partner"];

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "A", "ab", ":id", ":name"])
}

fn route() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["", "GET ", "POST ", "HEAD "]);
    let end = prop::sample::select(vec!["", "", "/*rest", "/"]);
    (method, prop::collection::vec(segment(), 0..4), end).prop_map(|(method, segments, end)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        let path = if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end };
        format!("{method}{path}")
    })
}

fn dimensions() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = || prop::sample::select(vec!["x", "y"]);
    let pair = (prop::sample::select(vec!["model", "region", "size"]), value());
    prop::collection::vec(pair, 0..3)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn price() -> impl Strategy<Value = Value> {
    let meter = prop::sample::select(vec!["calls", "tokens"]);
    let tier = prop::option::of(prop::sample::select(TIERS.as_slice()));
    (meter, tier, prop::option::weighted(0.8, route()), dimensions()).prop_map(|(meter, tier, route, dimensions)| {
        let mut price = json!({ "meter": meter, "price": { "model": "per_unit", "unitAmount": "1" } });
        if let Some(tier) = tier {
            price["tier"] = json!(tier);
        }
        if let Some(route) = route {
            price["route"] = json!(route);
        }
        if !dimensions.is_empty() {
            price["dimensions"] = json!(dimensions);
        }
        price
    })
}

/// Prices that contradict others are left out.
fn catalog(mut prices: Vec<Value>, mut routes: Vec<String>) -> Catalog {
    loop {
        let named = prices.iter().enumerate().map(|(number, price)| {
            let mut price = price.clone();
            price["id"] = json!(number.to_string());
            price
        });
        let catalog = json!({
            "id": "public", "version": "1", "currency": "USD", "meters": ["calls", "tokens"],
            "tiers": [
                { "id": "free" },
                { "id": "professional", "extends": "free" },
                { "id": "enterprise", "extends": "professional" },
                { "id": "partner", "extends": "free" },
            ],
            "prices": named.collect::<Value>(),
            "routes": routes.iter().map(|route| json!({ "route": route })).collect::<Value>(),
        });
        let mistakes = match Catalog::parse(&catalog.to_string()) {
            Ok(catalog) => return catalog,
            Err(mistakes) => mistakes,
        };
        let of = |list: &str| -> BTreeSet<usize> {
            let places = mistakes.iter().filter_map(|mistake| mistake.place.as_deref());
            places.filter_map(|place| place.strip_prefix(list)?.split(']').next()?.parse().ok()).collect()
        };
        let (bad_prices, bad_routes) = (of("catalog.prices["), of("catalog.routes["));
        assert!(!bad_prices.is_empty() || !bad_routes.is_empty(), "{mistakes:?}");
        bad_prices.into_iter().rev().for_each(|place| drop(prices.remove(place)));
        bad_routes.into_iter().rev().for_each(|place| drop(routes.remove(place)));
    }
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "A", "B", "ab", "c", ""]);
    let end = prop::sample::select(vec!["", "", "/"]);
    (prop::collection::vec(segment, 0..5), end)
        .prop_map(|(segments, end)| segments.iter().map(|segment| format!("/{segment}")).collect::<String>() + end)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_price_and_rule_are_the_plain_ones(
        prices in prop::collection::vec(price(), 0..24),
        routes in prop::collection::vec(route(), 0..12),
        questions in prop::collection::vec((
            prop::sample::select(vec!["calls", "tokens", "unknown"]),
            prop::option::of(prop::sample::select(vec!["free", "professional", "enterprise", "partner", "unknown"])),
            prop::option::weighted(0.9, (prop::sample::select(vec!["GET", "POST", "HEAD", "PUT"]), path())),
            (any::<bool>(), any::<bool>()),
            dimensions(),
        ), 1..20),
    ) {
        let catalog = catalog(prices, routes.clone());
        for (meter, tier, request, (case_sensitive, strict), dimensions) in &questions {
            let rules = RoutingRules { case_sensitive: *case_sensitive, strict: *strict };
            let request = request.as_ref().map(|(method, path)| Request { method, path, rules, is_pattern: false });
            let question = Question { meter, tier: *tier, request, dimensions };
            let plain = catalog.resolve(&question).price.map(|price| &price.id);
            // Shapes are told apart as Express does by default, so with other rules two routes may be equal.
            let compiled = catalog.price_of(&question);
            prop_assert_eq!(compiled.map(|price| &price.id), plain, "{:?}", question);

            let Some(request) = request else { continue };
            let rule = catalog.rule(&request).map(|rule| rule.route.matches(&request));
            let best = catalog.rules().iter().map(|rule| rule.route.matches(&request)).max();
            prop_assert_eq!(rule.flatten(), best.flatten(), "{:?}", request);
        }
    }
}

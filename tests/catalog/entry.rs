//! What holds of every text, be it a catalog or not. The fuzz target runs the same.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use weighbridge::domain::Catalog;
use weighbridge::domain::catalog::{Question, Request};
use weighbridge::domain::price::RoutingRules;

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Catalog::parse(text) {
        Ok(catalog) => {
            reads_its_normal_form(&catalog);
            does_not_depend_on_the_order_of_prices(&catalog);
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let json = serde_json::from_str(text).ok();
            for mistake in &mistakes {
                let place = mistake.place.as_deref().unwrap_or_else(|| panic!("no place: {mistake}"));
                let path = place.strip_prefix("catalog").unwrap_or_else(|| panic!("{place}: {mistake}"));
                assert!(json.as_ref().is_none_or(|json| exists(json, path)), "{place} does not exist: {mistake}");
                assert!(mistake.message.starts_with("`catalog"), "{mistake}");
            }
        }
    }
}

fn reads_its_normal_form(catalog: &Catalog) {
    let normal = catalog.to_json();
    let again = Catalog::parse(&normal.to_string()).unwrap_or_else(|mistakes| panic!("{normal:#}: {mistakes:#?}"));
    assert_eq!(again.to_json(), normal);
    let ids = |catalog: &Catalog| catalog.prices().iter().map(|price| price.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(catalog));
}

/// For each price a question to which it applies has one answer, whatever the order.
fn does_not_depend_on_the_order_of_prices(catalog: &Catalog) {
    let mut reversed = catalog.to_json();
    if let Some(prices) = reversed["prices"].as_array_mut() {
        prices.reverse();
    }
    let reversed = Catalog::parse(&reversed.to_string()).expect("the same in another order");
    for price in catalog.prices() {
        let request = price.route.as_ref().map(|route| Request {
            method: route.method.as_deref().unwrap_or("GET"),
            path: &route.endpoint,
            rules: RoutingRules::default(),
            is_pattern: false,
        });
        for others in catalog.prices() {
            let mut dimensions: BTreeMap<String, String> = others.dimensions.clone();
            dimensions.extend(price.dimensions.clone());
            let tier = others.tier.as_deref().filter(|_| price.tier.is_none()).or(price.tier.as_deref());
            let question = Question { meter: &price.meter, tier, request, dimensions: &dimensions };
            let found = catalog.resolve(&question).price.expect("at least this one applies");
            assert_eq!(catalog.find(&question).map(|price| &price.id), Some(&found.id));
            let again = reversed.resolve(&question).price.expect("at least this one applies");
            assert_eq!(found.id, again.id);
        }
    }
}

/// Whether a place such as `.tiers[1].id` is in the JSON, or a field that could be in one of its objects.
pub fn exists(json: &Json, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    if let Some(rest) = path.strip_prefix('[') {
        let Some((index, rest)) = rest.split_once(']') else { return false };
        return index.parse().ok().and_then(|index: usize| json.get(index)).is_some_and(|item| exists(item, rest));
    }
    let (Some(path), Some(object)) = (path.strip_prefix('.'), json.as_object()) else { return false };
    let inside =
        object.iter().any(|(name, value)| path.strip_prefix(name.as_str()).is_some_and(|rest| exists(value, rest)));
    inside || !path.contains(['.', '['])
}

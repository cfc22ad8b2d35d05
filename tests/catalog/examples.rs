//! One catalog, what it says and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use weighbridge::domain::catalog::{LimitWindow, Missing, Overage, Question, Request, Resolution};
use weighbridge::domain::price::RoutingRules;
use weighbridge::domain::{Catalog, Window};

use crate::{VALID, catalog, entry, valid};

fn request<'a>(method: &'a str, path: &'a str) -> Request<'a> {
    Request { method, path, rules: RoutingRules::default(), is_pattern: false }
}

#[test]
fn a_tier_has_what_it_extends_and_its_own_goes_before() {
    let catalog = catalog(&valid());
    let tier = catalog.tier("enterprise").unwrap();
    assert_eq!(tier.lineage, ["enterprise", "professional", "free"]);
    let features: BTreeSet<&str> = tier.features.iter().map(String::as_str).collect();
    assert_eq!(features, BTreeSet::from(["export", "priority-support", "single-sign-on"]));
    let limit = |window, soft| {
        let found = tier.limits.iter().filter(|limit| limit.window == window && limit.soft == soft).collect::<Vec<_>>();
        assert_eq!(found.len(), 1);
        found[0].units
    };
    assert_eq!(limit(LimitWindow::Calendar(Window::Month), false), Some(100_000));
    assert_eq!(limit(LimitWindow::Calendar(Window::Month), true), Some(80_000));
    assert_eq!(limit(LimitWindow::Sliding { seconds: 60 }, false), None);
    let included: Vec<_> = tier.included.iter().map(|included| (included.meter.as_str(), included.units)).collect();
    assert_eq!(included, [("api_request", 500_000), ("tokens", 1_000_000)]);
    // What a tier costs is its own.
    assert_eq!((tier.base_amount.to_string(), tier.minimum_amount.to_string()), ("9999".into(), "0".into()));
    assert_eq!(tier.interval.unit().as_str(), "year");
    let professional = catalog.tier("professional").unwrap();
    assert_eq!(professional.included[0].overage, Overage::ChargeAt("professional.tokens.overage".into()));
    assert_eq!(professional.interval.unit().as_str(), "month");
}

fn resolve<'a>(
    catalog: &'a Catalog,
    meter: &str,
    tier: Option<&str>,
    request: Option<Request<'_>>,
    model: Option<&str>,
) -> Resolution<'a> {
    let dimensions: BTreeMap<String, String> =
        model.map(|model| ("model".to_owned(), model.to_owned())).into_iter().collect();
    catalog.resolve(&Question { meter, tier, request, dimensions: &dimensions })
}

#[test]
fn the_most_specific_price_wins_and_says_why() {
    let catalog = catalog(&valid());
    let found = resolve(&catalog, "api_request", Some("free"), Some(request("POST", "/api/analyze/deeply/")), None);
    assert_eq!(
        found.because,
        [
            "\"analysis\" is the price of the meter \"api_request\", the route \"POST /api/analyze/:kind\"",
            "before \"request\": its route is more specific",
        ]
    );
    assert_eq!(found.price.unwrap().id, "analysis");

    let found = resolve(&catalog, "tokens", Some("enterprise"), None, Some("gpt-4"));
    assert_eq!(
        found.because,
        [
            "\"gpt-4 for enterprises\" is the price of the meter \"tokens\", model = \"gpt-4\", the tier \"enterprise\"",
            "before \"gpt-4\": its tier is nearer to the customer's",
            "before \"professional.tokens.overage\": it names more dimensions",
        ]
    );

    let id = |tier, model| resolve(&catalog, "tokens", tier, None, model).price.map(|price| price.id.as_str());
    assert_eq!(id(Some("professional"), Some("gpt-4")), Some("gpt-4"));
    assert_eq!(id(Some("enterprise"), Some("gpt-5")), Some("professional.tokens.overage"));
    assert_eq!(id(Some("free"), None), None);
    assert_eq!(id(Some("unheard-of"), None), None);
    assert_eq!(resolve(&catalog, "tokens", None, None, None).because, ["no price of the meter \"tokens\" applies"]);
}

#[test]
fn a_route_asks_for_a_tier_or_for_features() {
    let catalog = catalog(&valid());
    let admits = |tier, method, path| catalog.admits(tier, &request(method, path));
    let export = || Err(Missing::Features(BTreeSet::from(["export".to_owned()])));
    assert_eq!(admits(Some("free"), "GET", "/api/export"), export());
    assert_eq!(admits(None, "GET", "/api/export"), export());
    assert_eq!(admits(Some("enterprise"), "GET", "/API/Export/"), Ok(()));
    let professional = || Err(Missing::Tier("professional".to_owned()));
    assert_eq!(admits(Some("free"), "GET", "/api/funding-data/2026/11"), professional());
    assert_eq!(admits(None, "GET", "/api/funding-data/2026"), professional());
    assert_eq!(admits(Some("unheard-of"), "GET", "/api/funding-data/2026"), professional());
    assert_eq!(admits(Some("enterprise"), "GET", "/api/funding-data/2026"), Ok(()));
    assert_eq!(admits(None, "GET", "/api/funding-data/public"), Ok(()));
    assert_eq!(admits(None, "HEAD", "/api/funding-data/public"), Ok(()));
    assert_eq!(admits(None, "POST", "/api/funding-data/public"), professional());
    assert_eq!(admits(None, "GET", "/api/funding-data"), Ok(()));
    assert_eq!(admits(None, "GET", "/elsewhere"), Ok(()));
}

#[test]
fn the_normal_form_says_all_in_its_shortest_form() {
    let normal = catalog(&valid()).to_json();
    assert_eq!(normal["currency"], "USD");
    assert_eq!(normal["tiers"][0]["baseAmount"], "0");
    assert_eq!(normal["tiers"][0]["interval"], "month");
    assert_eq!(normal["tiers"][1]["baseAmount"], "99");
    assert_eq!(normal["tiers"][1]["included"][0]["overage"], json!({ "model": "per_unit", "unitAmount": "0.000015" }));
    assert_eq!(
        normal["tiers"][2]["included"][1],
        json!({ "meter": "tokens", "units": 1_000_000, "overage": "charge" })
    );
    assert_eq!(normal["prices"].as_array().unwrap().len(), 4);
    assert_eq!(normal["prices"][0]["price"]["unitAmount"], "0.01");
    assert_eq!(normal["prices"][1]["price"]["tiers"][1]["upTo"], json!(null));
    entry::check(VALID.as_bytes());
}

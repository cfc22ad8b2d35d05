//! Whose usage has which price, and what cannot be priced by the month.

use serde_json::{Value as Json, json};
use weighbridge::Code;
use weighbridge::domain::json::Value;
use weighbridge::domain::repricing::{Assignment, PriceFinder, RecordedUsage};
use weighbridge::domain::{Catalog, Money};
use weighbridge::engine::invoices;
use weighbridge::engine::simulation::{self, Plan};
use weighbridge::store::Store;

use crate::support::{self, now};
use crate::world::World;

fn catalog(changes: Json) -> Catalog {
    let mut catalog = json!({
        "id": "c", "version": "1", "currency": "EUR", "meters": ["api_request"], "tiers": [{ "id": "low" }], "prices": [],
    });
    for (name, value) in changes.as_object().expect("an object") {
        catalog[name] = value.clone();
    }
    Catalog::parse(&catalog.to_string()).expect("a catalog")
}

/// Is in the tier `low`.
fn everybody(catalog: &Catalog) -> Assignment {
    let object = Value::parse("", r#"{"tierId":"low"}"#).and_then(|json| json.object()).expect("an object");
    Assignment::read(catalog, &object).expect("an assignment")
}

#[test]
fn usage_of_a_wildcard_has_no_price_of_a_parameter() {
    let price = |id: &str, route: Option<&str>| {
        let mut price =
            json!({ "id": id, "meter": "api_request", "price": { "model": "per_unit", "unitAmount": "1" } });
        if let Some(route) = route {
            price["route"] = route.into();
        }
        price
    };
    let catalog = catalog(json!({
        "prices": [
            price("else", None),
            price("file", Some("/files/:id")),
            price("tree", Some("/files/*path")),
            price("page", Some("/pages/:id")),
        ],
        "routes": [{ "route": "/pages/*path", "requiredTier": "low" }, { "route": "/pages/:page", "requiredTier": "low" }],
    }));
    let mut finder = PriceFinder::new(&catalog);
    let mut price_of = |endpoint: &str| {
        let usage = RecordedUsage {
            at: now(),
            customer_id: "ann",
            meter: "api_request",
            endpoint: Some(endpoint),
            method: None,
            metadata: None,
            events: 1,
            units: 1,
            cost: Money::ZERO,
        };
        let line = finder.find(Some(0), &usage);
        finder.line(line).price
    };
    // What the gate counts `/files/a/b` and `/pages/a/b` under.
    assert_eq!(price_of("/files/*path"), Some("tree"));
    assert_eq!(price_of("/pages/*path"), Some("else"));
    assert_eq!(price_of("/files/:id"), Some("file"));
    assert_eq!(price_of("/pages/:page"), Some("page"));
    // A path that nobody declared is one.
    assert_eq!(price_of("/files/*"), Some("file"));
}

#[test]
fn what_a_year_asks_is_not_due_every_month() {
    let world = World::example();
    let preview = |catalog: &Catalog| {
        let question = invoices::Question {
            customer_id: support::customer_id("ann"),
            at: world.events[0].at(),
            tier: Some("low".to_owned()),
            catalog: Some(catalog.clone()),
            held: None,
            credits: Vec::new(),
        };
        invoices::preview(&world.store, &world.store.catalog().unwrap(), &question)
    };
    let simulate = |catalog: &Catalog| {
        let plan = Plan { catalog: catalog.clone(), assignment: everybody(catalog) };
        let question = simulation::Question { plan, baseline: None, span: support::all_time() };
        simulation::simulate(&world.store, &world.store.catalog().unwrap(), &question)
    };
    for asked in [
        json!({ "baseAmount": "1200" }),
        json!({ "minimumAmount": "1" }),
        json!({ "included": [{ "meter": "api_request", "units": 1, "overage": { "model": "per_unit", "unitAmount": "1" } }] }),
    ] {
        let mut tier = asked.clone();
        (tier["id"], tier["interval"]) = ("low".into(), "year".into());
        let catalog = catalog(json!({ "tiers": [tier] }));
        assert_eq!(preview(&catalog).unwrap_err().code, Code::InvalidCatalog, "{asked}");
        assert_eq!(simulate(&catalog).unwrap_err().code, Code::InvalidCatalog, "{asked}");
    }
    let asks_nothing = catalog(json!({ "tiers": [{ "id": "low", "interval": "year" }] }));
    assert!(preview(&asks_nothing).is_ok() && simulate(&asks_nothing).is_ok());
    let by_the_month = catalog(json!({ "tiers": [{ "id": "low", "baseAmount": "100" }] }));
    assert!(preview(&by_the_month).is_ok() && simulate(&by_the_month).is_ok());
}

//! Requests at prices of tiers, from the gate through the journal into the store.

use std::sync::Arc;

use serde_json::json;
use weighbridge::domain::price::PriceList;
use weighbridge::domain::{Catalog, CatalogVersions};
use weighbridge::engine::Engine;
use weighbridge::engine::gate::{Gate, Unpriced};
use weighbridge::engine::pricing::Pricing;

use crate::gate::{asked, decide, request};
use crate::replay::crash;
use crate::support::*;
use crate::{Place, apply, close, ready};

/// Five requests at 1, then 0.5 once and 0.25 for each.
fn open(place: &Place) -> (Arc<Engine>, Gate) {
    let tiers = json!([{ "upTo": 5, "unitAmount": "1" }, { "upTo": null, "unitAmount": "0.25", "flatAmount": "0.5" }]);
    let catalog = json!({
        "id": "public", "version": "1", "currency": "USD", "meters": ["api_request"], "tiers": [{ "id": "free" }],
        "prices": [{ "id": "request", "meter": "api_request", "price": { "model": "graduated", "tiers": tiers } }],
    });
    let versions = CatalogVersions::new(vec![Catalog::parse(&catalog.to_string()).unwrap()]).unwrap();
    let options = weighbridge::engine::Options { catalog: Some(Arc::new(versions)), ..place.options() };
    let engine = Engine::open(options).unwrap();
    ready(&engine).unwrap();
    let prices = Pricing::CatalogOr(Arc::new(PriceList::new(Vec::new()).unwrap()));
    let gate = Gate::new(Arc::clone(&engine), prices, Unpriced::Pass);
    (engine, gate)
}

fn spent(place: &Place) -> String {
    counter(&place.store(), "ann", weighbridge::domain::Meter::API_REQUEST, "2026-03-01T00:00:00Z").1
}

#[test]
fn whoever_takes_a_journal_over_rates_what_is_in_it() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    apply(&engine, create_key(api_key("key-1", "ann")));
    for _ in 0..4 {
        decide(&gate, request("key-1", "GET /anything")).expect("an admission");
    }
    // Some are recorded and some are in the journal only; or none, or all of them.
    let left = crash(&place);
    for _ in 0..3 {
        decide(&gate, request("key-1", "GET /anything")).expect("an admission");
    }
    close(&engine);
    assert_eq!(spent(&place), "6");

    let (heir, gate) = open(&left);
    for _ in 0..3 {
        decide(&gate, request("key-1", "GET /anything")).expect("an admission");
    }
    close(&heir);
    assert_eq!(spent(&left), "6");
}

#[test]
fn engines_on_one_file_rate_one_after_the_other() {
    let place = Place::new();
    let (first, one) = open(&place);
    let (second, other) = open(&place);
    apply(&first, create_key(api_key("key-1", "ann")));
    let ask = |number: usize| asked([&one, &other][number % 2], request("key-1", "GET /anything"));
    let answers: Vec<_> = (0..40).map(ask).collect();
    answers.into_iter().for_each(|answer| drop(answer.get().expect("an admission")));
    close(&first);
    close(&second);
    assert_eq!(spent(&place), "14.25");
    let costs: Vec<_> =
        events(&place.store(), Some("ann"), all_time()).iter().map(|row| row.cost.to_string()).collect();
    let number = |cost: &str| costs.iter().filter(|other| *other == cost).count();
    assert_eq!((number("1"), number("0.75"), number("0.25")), (5, 1, 34));
}

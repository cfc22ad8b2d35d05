//! The versions of a catalog: they never change, and customers stay on theirs.

use serde_json::{Value, json};
use weighbridge::Code;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{Meter, Refusal, Requirements};
use weighbridge::store::Verdict::{Recorded, Refused};
use weighbridge::store::{Admission, Change, Store};

use super::Fixture;
use crate::support::*;

/// Two tiers; requests are limited in the lower one, tokens in both.
fn version(name: &str, requests: u64) -> Value {
    json!({
        "id": "public", "version": name, "currency": "USD",
        "meters": ["api_request", "tokens"], "features": ["export"],
        "tiers": [
            { "id": "low", "limits": [
                { "meter": "api_request", "per": "month", "units": requests },
                { "meter": "tokens", "per": "month", "units": 5 },
            ] },
            {
                "id": "high", "extends": "low", "features": ["export"],
                "limits": [{ "meter": "api_request", "per": "month", "units": null }],
                "included": [{ "meter": "tokens", "units": 3, "overage": "block" }],
            },
        ],
    })
}

fn names(store: &dyn Store) -> Vec<String> {
    let catalog = store.catalog().unwrap().tiers.catalog;
    catalog.iter().flat_map(|versions| versions.iter()).map(|catalog| catalog.version().to_owned()).collect()
}

fn in_version(tier: &str, version: &str) -> CustomerPatch {
    let set = |text: &str| Patch::Set(text.to_owned());
    CustomerPatch { tier_id: set(tier), catalog_version: set(version), ..CustomerPatch::default() }
}

fn version_of(store: &dyn Store, customer: &str) -> Option<String> {
    store.customer(&customer_id(customer)).unwrap().and_then(|customer| customer.catalog_version)
}

fn tokens(customer: &str, number: u32) -> Change {
    admit(weighbridge::domain::UsageEvent {
        meter: Meter::declared("tokens").unwrap(),
        units: units(number),
        ..event(customer)
    })
}

pub fn versions_are_read_as_they_were_given_by_every_store(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    let both = [version("1", 10), version("2", 20)];
    assert!(apply(&*store, offer(&both)).is_ok());
    for store in [&store, &other, &place.open()] {
        assert_eq!(store.catalog().unwrap().tiers.catalog, Some(versions(&both)));
    }
    // Nothing new, nothing changes.
    let revision = store.revision().unwrap();
    assert!(apply(&*other, offer(&both)).is_ok());
    assert_eq!(store.revision().unwrap(), revision);
    assert!(apply(&*other, offer(&[version("2", 20), version("3", 30)])).is_ok());
    assert_eq!(names(&*store), ["1", "2", "3"]);
    assert_eq!(names(&*place.open()), ["1", "2", "3"]);
}

pub fn a_version_never_changes(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[offer(&[version("1", 10), version("2", 20)])]);
    let error = apply(&*store, offer(&[version("1", 11), version("3", 30)])).unwrap_err();
    assert_eq!((error.code, error.place.as_deref()), (Code::InvalidCatalog, Some("catalogs[0].version")));
    let mut other = version("3", 30);
    other["id"] = json!("private");
    assert_eq!(apply(&*store, offer(&[other])).unwrap_err().code, Code::InvalidCatalog);
    // Tiers beside it are refused too, and none are introduced.
    assert_eq!(apply(&*store, configure_tiers(&[("low", None)])).unwrap_err().code, Code::InvalidCatalog);
    commit(&*store, &[Change::IntroduceTiers(tiers(&[("low", None)]))]);
    assert_eq!(names(&*place.open()), ["1", "2"]);
    assert_eq!(place.open().catalog().unwrap().tiers.table, tiers(&[]));
}

pub fn a_customer_stays_on_his_version_until_moved(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[offer(&[version("1", 1)]), set_tier("ann", "low")]);
    commit(&*store, &[offer(&[version("1", 1), version("2", 2)]), set_tier("bob", "low")]);
    let ask = |customer: &str| verdict(&*store, admit(event(customer)));
    let is_full = |customer: &str| matches!(ask(customer), Refused(Refusal::LimitExceeded(_)));
    assert_eq!((ask("ann"), is_full("ann")), (Recorded, true));
    assert_eq!((ask("bob"), ask("bob"), is_full("bob")), (Recorded, Recorded, true));
    // To be given what he has moves nobody.
    commit(&*store, &[set_tier("ann", "low")]);
    assert_eq!(version_of(&*store, "ann").as_deref(), Some("1"));
    assert!(is_full("ann"));
    commit(&*store, &[upsert("ann", in_version("low", "2"))]);
    assert_eq!((ask("ann"), is_full("ann")), (Recorded, true));
    // Another tier is one of the latest version, none of none.
    commit(&*store, &[upsert("ann", in_version("low", "1")), set_tier("ann", "high")]);
    assert_eq!(version_of(&*place.open(), "ann").as_deref(), Some("2"));
    commit(&*store, &[upsert("ann", CustomerPatch { tier_id: Patch::Clear, ..CustomerPatch::default() })]);
    assert_eq!(version_of(&*store, "ann"), None);
    for (patch, code) in [
        (in_version("low", "3"), Code::InvalidArgument),
        (in_version("lowest", "1"), Code::UnknownTier),
        (
            CustomerPatch { catalog_version: Patch::Set("1".to_owned()), ..CustomerPatch::default() },
            Code::InvalidArgument,
        ),
    ] {
        assert_eq!(apply(&*store, upsert("ann", patch)).unwrap_err().code, code);
    }
    assert_eq!(version_of(&*store, "ann"), None);
}

pub fn customers_from_before_the_catalog_sign_up_to_its_first_latest_version(place: &dyn Fixture) {
    let store = place.open();
    let before =
        [configure_tiers(&[("old", Some(1)), ("low", Some(7))]), set_tier("ann", "low"), set_tier("bob", "old")];
    commit(&*store, &before);
    commit(&*store, &[offer(&[version("1", 2), version("2", 3)])]);
    commit(&*store, &[offer(&[version("4", 9)])]);
    assert_eq!(version_of(&*store, "ann").as_deref(), Some("2"));
    // A tier that the catalog does not have keeps its limits, below all others.
    assert_eq!(version_of(&*store, "bob"), None);
    assert_eq!(verdict(&*store, admit(event("bob"))), Recorded);
    assert!(matches!(verdict(&*store, admit(event("bob"))), Refused(Refusal::LimitExceeded(_))));
    let required = Requirements { tier: Some("low".to_owned()), ..Requirements::default() };
    let asked = |customer| admit_where(event(customer), Admission { key_id: None, required: required.clone() });
    assert_eq!(verdict(&*store, asked("bob")), Refused(Refusal::TierTooLow { required: "low".to_owned() }));
    assert_eq!(verdict(&*store, asked("ann")), Recorded);
}

pub fn features_are_those_of_the_tier(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[offer(&[version("1", 10)]), set_tier("ann", "low"), set_tier("bob", "high")]);
    let features = std::collections::BTreeSet::from(["export".to_owned()]);
    let required = Requirements { tier: None, features: features.clone() };
    let asked = |customer| admit_where(event(customer), Admission { key_id: None, required: required.clone() });
    let missing = Refused(Refusal::FeaturesMissing { features });
    assert_eq!(verdict(&*store, asked("ann")), missing);
    assert_eq!(verdict(&*store, asked("carl")), missing);
    assert_eq!(verdict(&*store, asked("bob")), Recorded);
}

pub fn the_catalogs_meters_are_counted_and_no_others(place: &dyn Fixture) {
    let store = place.open();
    let unknown = apply(&*store, tokens("ann", 1)).unwrap_err();
    assert_eq!(unknown.message, "`eventType` must be api_request, agent_execution or data_access, got \"tokens\"");
    commit(&*store, &[offer(&[version("1", 10)]), set_tier("ann", "low"), set_tier("bob", "high")]);
    assert_eq!(verdict(&*store, tokens("ann", 5)), Recorded);
    assert!(matches!(verdict(&*store, tokens("ann", 1)), Refused(Refusal::LimitExceeded(_))));
    // What is included and not charged above is a limit.
    assert_eq!(verdict(&*store, tokens("bob", 3)), Recorded);
    assert!(matches!(verdict(&*store, tokens("bob", 1)), Refused(Refusal::LimitExceeded(_))));
    let pages = weighbridge::domain::UsageEvent { meter: "pages".parse().unwrap(), ..event("ann") };
    let unknown = apply(&*store, record(pages)).unwrap_err().message;
    assert_eq!(unknown, "`eventType` must be api_request, agent_execution, data_access or tokens, got \"pages\"");
    let used = place.open().counters(&customer_id("ann"), at("2026-03-01T00:00:00Z")).unwrap();
    assert_eq!(used.iter().map(|counter| (counter.meter.as_str(), counter.units)).collect::<Vec<_>>(), [("tokens", 5)]);
}

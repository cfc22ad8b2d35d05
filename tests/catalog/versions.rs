//! Versions of a catalog.

use serde_json::json;
use weighbridge::Code;
use weighbridge::domain::{Catalog, CatalogVersions};

use crate::{catalog, valid};

fn version(version: &str) -> Catalog {
    let mut json = valid();
    json["version"] = json!(version);
    catalog(&json)
}

#[test]
fn a_customer_stays_on_the_version_that_he_signed_up_to() {
    let versions = CatalogVersions::new(vec![version("2025"), version("2026"), version("2027")]).unwrap();
    assert_eq!(versions.latest().version(), "2027");
    for (pinned, version) in [(Some("2025"), "2025"), (Some("2027"), "2027"), (None, "2027")] {
        assert_eq!(versions.of_customer(pinned).unwrap().version(), version);
    }
    let error = versions.of_customer(Some("2062")).unwrap_err();
    assert_eq!(error.code, Code::InvalidCatalog);
    assert_eq!(versions.iter().count(), 3);
    let error = versions.of_customer(Some("x")).unwrap_err();
    assert_eq!(error.message, "there is no version \"x\" of the catalog; the versions are: 2025, 2026, 2027");
}

#[test]
fn versions_are_of_one_catalog_and_each_is_another() {
    let message = |catalogs| CatalogVersions::new(catalogs).unwrap_err().message;
    assert_eq!(message(vec![]), "`catalogs` must hold at least one catalog");
    let twice = vec![version("2025"), version("2026"), version("2025")];
    assert_eq!(message(twice), "`catalogs[2].version`: there is already a version \"2025\"");
    let mut other = valid();
    other["id"] = json!("internal");
    let strangers = vec![version("2025"), catalog(&other)];
    assert_eq!(message(strangers), "`catalogs[1].id` is \"internal\", but versions of \"public\" belong here");
}

//! Catalogs through the public interface.

mod compiled;
mod entry;
mod examples;
mod hostile;
mod mistakes;
mod plans;
mod resolving;
mod versions;

use serde_json::Value as Json;
use weighbridge::Error;
use weighbridge::domain::Catalog;

pub const VALID: &str = include_str!("valid.json");

pub fn valid() -> Json {
    serde_json::from_str(VALID).expect("JSON")
}

pub fn parse(catalog: &Json) -> Result<Catalog, Vec<Error>> {
    Catalog::parse(&catalog.to_string())
}

pub fn catalog(catalog: &Json) -> Catalog {
    parse(catalog).unwrap_or_else(|mistakes| panic!("{catalog:#}: {mistakes:#?}"))
}

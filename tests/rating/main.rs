//! Prices through the public interface: every model against an oracle that calculates otherwise, in rational numbers.

mod currencies;
mod decimals;
mod mistakes;
mod models;
mod oracle;
mod units;

use serde_json::json;
use weighbridge::Result;
use weighbridge::domain::json::Value;
use weighbridge::domain::rating::{Price, Quote, Usage};

/// Reads a price as the binding does.
pub fn price(price: &serde_json::Value) -> Result<Price> {
    Price::read(&Value::parse("price", &price.to_string())?)
}

pub fn quote(price: &serde_json::Value, quantity: &str) -> Quote {
    quote_events(price, quantity, None)
}

pub fn quote_events(model: &serde_json::Value, quantity: &str, events: Option<u64>) -> Quote {
    let usage = json!({ "quantity": quantity, "events": events }).to_string();
    let usage = Value::parse("", &usage).and_then(|usage| Usage::read(&usage.object()?)).expect("a usage");
    price(model).unwrap_or_else(|error| panic!("{model}: {error}")).quote(&usage)
}

pub fn amount(price: &serde_json::Value, quantity: &str) -> String {
    quote(price, quantity).amount().to_string()
}

//! The normal form of a catalog: all that was left out is said, decimals are in their shortest form, and a tier lists what it
//! has from those that it extends. Reading it gives the same catalog.

use serde_json::{Map, Value as Json, json};

use super::{Catalog, CatalogPrice, CatalogTier, Included, Limit, LimitWindow, Overage, RouteRule};
use crate::domain::json::Value;
use crate::domain::{Decimal, Window};

impl Catalog {
    pub fn to_json(&self) -> Json {
        let prices = self.prices.iter().filter(|price| !price.is_overage);
        json!({
            "id": self.id,
            "version": self.version,
            "currency": self.currency.code(),
            "meters": self.meters,
            "features": self.features,
            "tiers": self.tiers.iter().map(|tier| self.tier_json(tier)).collect::<Json>(),
            "prices": prices.map(CatalogPrice::to_json).collect::<Json>(),
            "routes": self.routes.iter().map(route_json).collect::<Json>(),
        })
    }

    fn tier_json(&self, tier: &CatalogTier) -> Json {
        with_optional(
            json!({
                "id": tier.id,
                "interval": tier.interval.unit().as_str(),
                "intervalCount": tier.interval.count(),
                "baseAmount": tier.base_amount.to_string(),
                "minimumAmount": tier.minimum_amount.to_string(),
                "features": tier.features,
                "limits": tier.limits.iter().map(limit_json).collect::<Json>(),
                "included": tier.included.iter().map(|units| self.included_json(units)).collect::<Json>(),
            }),
            [("name", &tier.name), ("priceId", &tier.price_id), ("extends", &tier.extends)],
        )
    }

    fn included_json(&self, included: &Included) -> Json {
        let overage = match &included.overage {
            Overage::Block => json!("block"),
            Overage::Charge => json!("charge"),
            Overage::ChargeAt(id) => self.price(id).map_or(Json::Null, |price| price.written.clone()),
        };
        json!({ "meter": included.meter, "units": included.units, "overage": overage })
    }
}

fn limit_json(limit: &Limit) -> Json {
    let per = match limit.window {
        LimitWindow::Calendar(Window::Month) => json!("month"),
        LimitWindow::Calendar(Window::Day) => json!("day"),
        LimitWindow::Calendar(Window::Hour) => json!("hour"),
        LimitWindow::Sliding { seconds } => json!({ "slidingSeconds": seconds }),
    };
    json!({ "meter": limit.meter, "per": per, "units": limit.units, "soft": limit.soft })
}

impl CatalogPrice {
    pub fn to_json(&self) -> Json {
        let mut entry = json!({ "id": self.id, "meter": self.meter, "price": self.written });
        if !self.dimensions.is_empty() {
            entry["dimensions"] = json!(self.dimensions);
        }
        let route = self.route.as_ref().map(ToString::to_string);
        with_optional(entry, [("tier", &self.tier), ("route", &route)])
    }
}

fn route_json(rule: &RouteRule) -> Json {
    let entry = json!({ "route": rule.route.to_string(), "requires": rule.requires });
    with_optional(entry, [("requiredTier", &rule.required_tier)])
}

fn with_optional<const N: usize>(mut object: Json, fields: [(&str, &Option<String>); N]) -> Json {
    for (name, value) in fields {
        if let Some(value) = value {
            object[name] = json!(value);
        }
    }
    object
}

/// A price that could be read, with its decimals in their shortest form and without fields that are null.
pub(super) fn price(value: &Value<'_>) -> Option<Json> {
    if let Ok(items) = value.array() {
        return items.iter().map(price).collect();
    }
    if let Ok(object) = value.object() {
        let fields = object.fields().filter(|(name, value)| *name == "upTo" || !value.is_null());
        return fields
            .map(|(name, value)| Some((name.to_owned(), price(&value)?)))
            .collect::<Option<Map<_, _>>>()
            .map(Json::from);
    }
    match value.decimal() {
        Ok(decimal) => Some(Decimal::to_string(&decimal).into()),
        // The model's name, and `upTo: null`.
        Err(_) if value.is_null() => Some(Json::Null),
        Err(_) => value.string().ok().map(Json::from),
    }
}

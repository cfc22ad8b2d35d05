//! Names that a catalog gives, and places that refer to them.

use super::contradiction;
use crate::Result;
use crate::domain::credit::Unit;
use crate::domain::customer::validate_id;
use crate::domain::json::{Object, Value};
use crate::domain::mistakes::Mistakes;
use crate::domain::suggestion::advice;
use crate::domain::{Currency, Meter};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Meter,
    Feature,
    Tier,
}

/// All names, also of what is otherwise broken, so that a mistake in a tier does not make it unknown elsewhere.
pub(super) struct Names {
    meters: Vec<String>,
    features: Vec<String>,
    tiers: Vec<String>,
}

impl Names {
    pub fn read(catalog: &Object<'_>, mistakes: &mut Mistakes) -> Self {
        let declared = |name, read: fn(&Value<'_>) -> Result<String>, mistakes: &mut Mistakes| {
            let mut ids: Vec<String> = Vec::new();
            list(catalog, name, mistakes, |value, mistakes| {
                let id = mistakes.value(value, read)?;
                if ids.contains(&id) {
                    mistakes.note(contradiction(value.place(), &format!(": {id:?} is listed twice")));
                } else {
                    ids.push(id);
                }
                Some(())
            });
            ids
        };
        let (meters, features) = (declared("meters", meter, mistakes), declared("features", id, mistakes));
        // Whatever is wrong with them is noted where they are read.
        let tiers = catalog.optional("tiers").and_then(|tiers| tiers.array().ok()).unwrap_or_default();
        let tier_id = |tier: &Value<'_>| tier.object().ok()?.optional("id")?.string().ok();
        Self { meters, features, tiers: tiers.iter().filter_map(tier_id).collect() }
    }

    pub fn of(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Meter => &self.meters,
            Kind::Feature => &self.features,
            Kind::Tier => &self.tiers,
        }
    }

    /// Reads a name that must be among those of its kind.
    pub fn known(&self, kind: Kind) -> impl Fn(&Value<'_>) -> Result<String> {
        move |value| {
            let name = value.string()?;
            if self.of(kind).contains(&name) {
                return Ok(name);
            }
            let (one, all) = match kind {
                Kind::Meter => ("meter", "the meters are"),
                Kind::Feature => ("feature", "the features are"),
                Kind::Tier => ("tier", "the tiers are"),
            };
            let advice = advice(&name, all, self.of(kind).iter().map(String::as_str));
            Err(contradiction(value.place(), &format!(": there is no {one} {name:?}; {advice}")))
        }
    }
}

/// An id of 1 to 255 bytes.
pub(super) fn id(value: &Value<'_>) -> Result<String> {
    let id = value.string()?;
    validate_id(value.place(), &id).map(|()| id)
}

fn meter(value: &Value<'_>) -> Result<String> {
    let name = value.string()?;
    // Credit in this unit is money.
    if Meter::is_name(&name) && name != Unit::Money.as_str() {
        return Ok(name);
    }
    Err(value.must_be("a name of 1 to 64 characters out of a to z, 0 to 9, `_`, `.` and `-`, and not \"money\""))
}

/// The items of an array that may be missing, without those in which a mistake was found.
pub(super) fn list<'a, T>(
    object: &Object<'a>,
    name: &str,
    mistakes: &mut Mistakes,
    mut read: impl FnMut(&Value<'a>, &mut Mistakes) -> Option<T>,
) -> Vec<T> {
    let items = mistakes.optional(object, name, Value::array).flatten().unwrap_or_default();
    items.iter().filter_map(|item| read(item, mistakes)).collect()
}

/// That a part is in another currency than the catalog.
pub(super) fn same_currency(object: &Object<'_>, currency: Option<Currency>, mistakes: &mut Mistakes) {
    mistakes.optional(object, "currency", |value| {
        let own = Currency::parse(value.place(), &value.string()?)?;
        match currency {
            Some(currency) if own != currency => Err(contradiction(
                value.place(),
                &format!(" is {own}, but the catalog is in {currency}: a catalog has one currency"),
            )),
            _ => Ok(()),
        }
    });
}

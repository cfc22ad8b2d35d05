//! What no part of a catalog can see alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Catalog, CatalogPrice, CatalogTier, Limit, LimitWindow, Overage, contradiction};
use crate::domain::Window;
use crate::domain::mistakes::Mistakes;

/// Gives each tier what it extends. Tiers that extend each other in a circle stay as they are.
pub(super) fn inherit(tiers: Vec<CatalogTier>, mistakes: &mut Mistakes) -> Vec<CatalogTier> {
    let parents: HashMap<&str, &CatalogTier> = tiers.iter().rev().map(|tier| (tier.id.as_str(), tier)).collect();
    let mut reported: HashSet<&str> = HashSet::new();
    let mut whole = Vec::with_capacity(tiers.len());
    for tier in &tiers {
        let mut lineage = vec![tier];
        let mut next = tier.extends.as_deref();
        while let Some(parent) = next.and_then(|id| parents.get(id)) {
            if let Some(start) = lineage.iter().position(|other| other.id == parent.id) {
                let circle: Vec<&str> = lineage[start..].iter().map(|tier| tier.id.as_str()).collect();
                if reported.is_disjoint(&circle.iter().copied().collect()) {
                    let path = circle.iter().chain(&circle[..1]).map(|id| format!("{id:?}"));
                    let path = path.collect::<Vec<_>>().join(" extends ");
                    let place = format!("{}.extends", lineage[start].place);
                    mistakes.note(contradiction(&place, &format!(" goes in a circle: {path}")));
                }
                reported.extend(circle);
                lineage.truncate(1);
                break;
            }
            lineage.push(parent);
            next = parent.extends.as_deref();
        }
        let mut heir = tier.clone();
        lineage[1..].iter().for_each(|ancestor| heir.inherit(ancestor));
        whole.push(heir);
    }
    whole
}

pub(super) fn whole(catalog: &Catalog, mistakes: &mut Mistakes) {
    let all_were_read = mistakes.is_empty();
    if catalog.tiers.is_empty() && all_were_read {
        mistakes.note(contradiction("catalog.tiers", " must hold at least one tier"));
    }
    twins(catalog.tiers.iter().map(|tier| (format!("{}.id", tier.place), &tier.id)), mistakes);
    twins(catalog.prices.iter().map(|price| (id_place(price), &price.id)), mistakes);
    routes(catalog, mistakes);
    ambiguous(catalog, mistakes);
    for tier in &catalog.tiers {
        soft_limits(tier, mistakes);
        // A price that could not be read is no missing one.
        if all_were_read {
            overage(catalog, tier, mistakes);
        }
    }
}

fn id_place(price: &CatalogPrice) -> String {
    if price.is_overage { price.place.clone() } else { format!("{}.id", price.place) }
}

fn twins<'a>(ids: impl Iterator<Item = (String, &'a String)>, mistakes: &mut Mistakes) {
    let mut first: HashMap<&str, String> = HashMap::new();
    for (place, id) in ids {
        match first.get(id.as_str()) {
            Some(other) => mistakes.note(contradiction(&place, &format!(": {id:?} is already the id at `{other}`"))),
            None => {
                first.insert(id, place);
            }
        }
    }
}

fn routes(catalog: &Catalog, mistakes: &mut Mistakes) {
    let mut first: HashMap<_, &str> = HashMap::new();
    for rule in &catalog.routes {
        if let Some(other) = first.insert(rule.route.shape(), &rule.place) {
            let what = format!(": the same requests match `{other}.route`");
            mistakes.note(contradiction(&format!("{}.route", rule.place), &what));
        }
    }
}

/// A soft limit that is no lower than the hard one is never reached.
fn soft_limits(tier: &CatalogTier, mistakes: &mut Mistakes) {
    let hard = |soft: &Limit| match soft.window {
        LimitWindow::Calendar(Window::Month) => tier.monthly_limit(&soft.meter),
        _ => tier.window_limits(&soft.meter).find(|(window, _)| *window == soft.window).map(|(_, units)| units),
    };
    for soft in tier.limits.iter().filter(|limit| limit.soft) {
        if let (Some(units), Some(limit)) = (soft.units, hard(soft))
            && units >= limit
        {
            let Limit { meter, window, .. } = soft;
            let what = format!(
                ": the soft limit of {units} {meter:?} {window} is never reached, because {limit} are the limit; it must be \
                 lower"
            );
            mistakes.note(contradiction(&tier.place, &what));
        }
    }
}

/// What is charged must have a price.
fn overage(catalog: &Catalog, tier: &CatalogTier, mistakes: &mut Mistakes) {
    for units in tier.included.iter().filter(|units| units.overage == Overage::Charge) {
        let applies = |price: &CatalogPrice| {
            price.meter == units.meter && price.tier.as_ref().is_none_or(|id| tier.lineage.contains(id))
        };
        if !catalog.prices.iter().any(applies) {
            let what = format!(
                ": units of {:?} above the included ones are charged, but no price of that meter applies to the tier {:?}: \
                 add one to `catalog.prices`, or say \"block\"",
                units.meter, tier.id
            );
            mistakes.note(contradiction(&tier.place, &what));
        }
    }
}

/// Two prices of which neither is more specific, though both apply to some usage.
fn ambiguous(catalog: &Catalog, mistakes: &mut Mistakes) {
    let mut alike: BTreeMap<_, Vec<&CatalogPrice>> = BTreeMap::new();
    for price in &catalog.prices {
        let route = price.route.as_ref().map(|route| route.shape());
        alike.entry((&price.meter, route)).or_default().push(price);
    }
    let mut found = Vec::new();
    for group in alike.values() {
        for (position, price) in group.iter().enumerate() {
            let mut rivals = group[..position].iter().filter(|other| other.tier == price.tier);
            let rival = rivals.find(|other| is_ambiguous(price, other, &applying_too(catalog, price, group)));
            found.extend(rival.map(|rival| ambiguity(price, rival)));
        }
    }
    found.into_iter().for_each(|mistake| mistakes.note(mistake));
}

/// Those for all tiers for which the price is.
fn applying_too<'a>(catalog: &Catalog, price: &CatalogPrice, group: &[&'a CatalogPrice]) -> Vec<&'a CatalogPrice> {
    let lineage = price.tier.as_ref().and_then(|id| catalog.tier(id)).map_or(&[][..], |tier| &tier.lineage);
    let applies = |other: &&&CatalogPrice| other.tier.as_ref().is_none_or(|tier| lineage.contains(tier));
    group.iter().filter(applies).copied().collect()
}

fn is_ambiguous(one: &CatalogPrice, other: &CatalogPrice, group: &[&CatalogPrice]) -> bool {
    let (dimensions, others) = (&one.dimensions, &other.dimensions);
    let is_possible = dimensions.iter().all(|(name, value)| others.get(name).is_none_or(|other| other == value));
    // Where both apply, a price that names more of what both name wins over both.
    let is_decided = || {
        group.iter().any(|third| {
            let named = |(name, value)| dimensions.get(name) == Some(value) || others.get(name) == Some(value);
            third.dimensions.len() > dimensions.len() && third.dimensions.iter().all(named)
        })
    };
    dimensions.len() == others.len() && is_possible && !is_decided()
}

fn ambiguity(price: &CatalogPrice, rival: &CatalogPrice) -> crate::Error {
    let what = if price.dimensions == rival.dimensions {
        format!(
            ": {:?} applies to just what `{}` ({:?}) applies to: remove one of them",
            price.id, rival.place, rival.id
        )
    } else {
        let both: BTreeMap<_, _> = price.dimensions.iter().chain(&rival.dimensions).collect();
        let both = both.iter().map(|(name, value)| format!("{name} = {value:?}")).collect::<Vec<_>>().join(" and ");
        format!(
            ": {:?} and `{}` ({:?}) both apply where {both}, and neither is more specific: add a price for that",
            price.id, rival.place, rival.id
        )
    };
    contradiction(&price.place, &what)
}

//! What a request needs and costs: by a price list, or by the catalog of whoever sends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Engine, Reply};
use crate::Result;
use crate::domain::catalog::{self, CatalogPrice, Overage};
use crate::domain::price::RoutingRules;
use crate::domain::{Catalog, CostBasis, Customer, Meter, Money, Plans, PriceId, PriceList, Requirements, UsageEvent};

/// Where prices are looked up.
#[derive(Clone)]
pub enum Pricing {
    /// In this list, whatever the store's catalog says.
    List(Arc<PriceList>),
    /// In the store's catalog; where it has none, in this list.
    CatalogOr(Arc<PriceList>),
}

impl From<Arc<PriceList>> for Pricing {
    fn from(list: Arc<PriceList>) -> Self {
        Pricing::List(list)
    }
}

/// What there is to say of a request.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    pub required: Requirements,
    /// As what it is counted; `None`: it passes uncounted.
    pub counted: Option<Counted>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The route, as whoever set the price wrote it. `None` where the price is for all usage.
    pub endpoint: Option<String>,
    pub cost: Cost,
}

/// What a unit costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cost {
    /// It has no price.
    Unpriced,
    PerUnit(Money),
    /// What it adds to the amount that this price asks for the whole period: said when it is counted.
    ByPeriod(PriceId),
}

impl Cost {
    /// What is known of it before the event is counted.
    pub fn of_unit(&self) -> Money {
        match self {
            Cost::PerUnit(amount) => *amount,
            Cost::Unpriced | Cost::ByPeriod(_) => Money::ZERO,
        }
    }

    pub fn basis(&self) -> CostBasis {
        match self {
            Cost::Unpriced | Cost::PerUnit(_) => CostBasis::UnitPrice,
            Cost::ByPeriod(price) => CostBasis::Period(price.clone()),
        }
    }
}

impl Pricing {
    /// Of a request of a customer's, with the dimensions that its metadata names.
    pub fn offer(
        &self,
        plans: &Plans,
        customer: &Customer,
        request: catalog::Request<'_>,
        dimensions: &BTreeMap<String, String>,
    ) -> Offer {
        let catalog = plans.catalog_of(customer);
        let rule = catalog.and_then(|catalog| catalog.rule(&request));
        let mut required = rule.map_or_else(Requirements::default, |rule| Requirements {
            tier: rule.required_tier.clone(),
            features: rule.requires.clone(),
        });
        let counted = match (self, catalog) {
            (Pricing::CatalogOr(_), Some(catalog)) => {
                let route = rule.map(|rule| rule.route.endpoint.clone());
                in_catalog(catalog, customer, Some(request), Meter::API_REQUEST, dimensions)
                    .map(|counted| Counted { endpoint: counted.endpoint.or(route), ..counted })
            }
            (Pricing::CatalogOr(list) | Pricing::List(list), _) => {
                list.find(request.method, request.path, request.rules).map(|price| {
                    if price.required_tier.is_some() {
                        required.tier.clone_from(&price.required_tier);
                    }
                    Counted { endpoint: Some(price.endpoint.clone()), cost: Cost::PerUnit(price.price_per_request) }
                })
            }
        };
        Offer { required, counted }
    }

    /// Why a price of the catalog applies to a request; `None` where a list has the prices.
    pub fn resolve<'p>(
        &self,
        plans: &'p Plans,
        customer: &Customer,
        request: catalog::Request<'_>,
        dimensions: &BTreeMap<String, String>,
    ) -> Option<catalog::Resolution<'p>> {
        let catalog = plans.catalog_of(customer).filter(|_| matches!(self, Pricing::CatalogOr(_)))?;
        let (meter, tier) = (Meter::API_REQUEST.as_str(), customer.tier_id.as_deref());
        Some(catalog.resolve(&catalog::Question { meter, tier, request: Some(request), dimensions }))
    }
}

impl Pricing {
    /// An event that did not come as a request, with what it costs. Its endpoint may name a method, `POST /api/execute`, and
    /// its metadata a `method` and dimensions. What has no price costs nothing.
    fn priced(&self, plans: &Plans, customer: &Customer, event: UsageEvent) -> Result<UsageEvent> {
        let endpoint = event.endpoint.as_deref();
        let cost = match (self, plans.catalog_of(customer)) {
            (Pricing::CatalogOr(_), Some(catalog)) => {
                let dimensions = event.metadata.as_deref().map(dimensions).unwrap_or_default();
                let method = dimensions.get("method").map(|method| method.to_ascii_uppercase());
                let request = endpoint.map(|endpoint| catalog::Request::of_endpoint(endpoint, method.as_deref()));
                let counted = in_catalog(catalog, customer, request, event.meter, &dimensions);
                counted.map_or(Cost::Unpriced, |counted| counted.cost)
            }
            (Pricing::CatalogOr(list) | Pricing::List(list), _) => {
                let price = endpoint.and_then(|endpoint| {
                    let (method, path) = endpoint.split_once(' ').unwrap_or(("", endpoint));
                    list.find(method, path, RoutingRules::default())
                });
                price.map_or(Cost::Unpriced, |price| Cost::PerUnit(price.price_per_request))
            }
        };
        Ok(UsageEvent { cost: cost.of_unit().checked_mul(event.units.get())?, cost_basis: cost.basis(), ..event })
    }
}

impl Engine {
    /// Gives each of these events what it costs, by what its customer has now, and hands them on.
    pub fn price(&self, pricing: Pricing, events: Vec<UsageEvent>, reply: Reply<Vec<Result<UsageEvent>>>) {
        self.peek_first(
            move |store, catalog| {
                let priced = |event: UsageEvent| {
                    let customer = store.customer(&event.customer_id)?;
                    let customer =
                        customer.unwrap_or_else(|| Customer::new(event.customer_id.clone(), event.timestamp));
                    Ok(pricing.priced(&catalog.tiers, &customer, event))
                };
                events.into_iter().map(priced).collect()
            },
            reply,
        );
    }
}

/// Values of metadata that are text.
fn dimensions(metadata: &str) -> BTreeMap<String, String> {
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_str(metadata).unwrap_or_default();
    let text = |(name, value): (String, serde_json::Value)| Some((name, value.as_str()?.to_owned()));
    fields.into_iter().filter_map(text).collect()
}

/// How usage of a meter is counted; `None` where the catalog neither counts the meter nor has a price for it.
pub fn in_catalog(
    catalog: &Catalog,
    customer: &Customer,
    request: Option<catalog::Request<'_>>,
    meter: Meter,
    dimensions: &BTreeMap<String, String>,
) -> Option<Counted> {
    let tier = customer.tier_id.as_deref();
    let question = catalog::Question { meter: meter.as_str(), tier, request, dimensions };
    let Some(price) = catalog.price_of(&question) else {
        let is_counted = catalog.meters().iter().any(|name| name == meter.as_str());
        return is_counted.then_some(Counted { endpoint: None, cost: Cost::Unpriced });
    };
    let endpoint = price.route.as_ref().map(|route| route.endpoint.clone());
    Some(Counted { endpoint, cost: cost(catalog, tier, price) })
}

/// Units that are included are paid by the tier; which of them are, the period tells.
fn cost(catalog: &Catalog, tier: Option<&str>, price: &CatalogPrice) -> Cost {
    let included = tier.and_then(|id| catalog.tier(id)?.included(&price.meter));
    let by_period = || Cost::ByPeriod(PriceId { version: catalog.version().to_owned(), id: price.id.clone() });
    match price.unit_price {
        // None of them costs anything, or is charged by itself.
        _ if included.is_some_and(|included| included.units > 0 || included.overage == Overage::Block) => by_period(),
        Some(amount) => Cost::PerUnit(amount),
        None => by_period(),
    }
}

//! Brings Stripe's catalog in step: what is there is kept, what is missing is made, what differs is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stripe_billing::{
    BillingMeterStatus,
    billing_meter::{
        CreateBillingMeter, CreateBillingMeterDefaultAggregation, CreateBillingMeterDefaultAggregationFormula,
        ListBillingMeter,
    },
};
use stripe_product::{
    price::{
        CreatePrice, CreatePriceRecurring, CreatePriceRecurringInterval, CreatePriceRecurringUsageType, ListPrice,
    },
    product::{CreateProduct, RetrieveProduct},
};

use super::{
    Failure, Result, StripeService,
    catalog::{Catalog, PaysFor, WantedMeter, WantedPrice},
    objects::{FoundMeter, FoundPrice, FoundProduct, List},
};
use crate::{Code, Error};

/// As many lookup keys as Stripe takes in one request.
const KEYS_AT_ONCE: usize = 10;
const PAGE: i64 = 100;

/// What Stripe has already, by event name, lookup key and id.
#[derive(Default)]
struct Found {
    meters: BTreeMap<String, FoundMeter>,
    prices: BTreeMap<String, FoundPrice>,
    products: BTreeSet<String>,
    conflicts: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    action: &'static str,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier_id: Option<&'a str>,
    /// None where it is yet to be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl StripeService {
    /// Makes what is missing, meters first, then each product and its price; with `is_dry_run` nothing. The answer is the
    /// list of what was (or would be) kept and made. A sync that broke off is completed by the next one.
    ///
    /// Fails with [`Code::StripeCatalogConflict`] before anything is made if something is there and differs: prices cannot
    /// be changed at Stripe.
    pub async fn sync_catalog(&self, catalog: &Catalog, is_dry_run: bool) -> Result<String> {
        let found = self.find(catalog).await?;
        if !found.conflicts.is_empty() {
            let message = format!(
                "Stripe's catalog differs: {}. Mend the catalog, or give it other lookup keys",
                found.conflicts.join("; ")
            );
            return Err(Error::new(Code::StripeCatalogConflict, message).into());
        }
        let mut steps = Vec::new();
        let mut meter_ids = BTreeMap::new();
        for meter in &catalog.meters {
            let known = found.meters.get(&meter.event_name).map(|found| found.id.clone());
            let (action, id) = match known {
                Some(id) => ("keep", Some(id)),
                None if is_dry_run => ("create", None),
                None => ("create", Some(self.create_meter(meter).await?)),
            };
            if let Some(id) = &id {
                meter_ids.insert(meter.event_name.as_str(), id.clone());
            }
            let event_name = Some(meter.event_name.as_str());
            steps.push(Step { action, object: "billing.meter", lookup_key: None, event_name, tier_id: None, id });
        }
        for price in &catalog.prices {
            let (tier_id, event_name) = match &price.pays_for {
                PaysFor::Tier(id) => (Some(id.as_str()), None),
                PaysFor::Usage(event_name) => (None, Some(event_name.as_str())),
            };
            let step = |action, object, id| {
                let lookup_key = Some(price.lookup_key.as_str());
                Step { action, object, lookup_key, event_name, tier_id, id }
            };
            if let Some(found) = found.prices.get(&price.lookup_key) {
                steps.push(step("keep", "product", Some(found.product_id().to_owned())));
                steps.push(step("keep", "price", Some(found.id.clone())));
                continue;
            }
            let product_id = price.product_id();
            if found.products.contains(&product_id) {
                steps.push(step("keep", "product", Some(product_id.clone())));
            } else {
                if !is_dry_run {
                    self.create_product(price).await?;
                }
                steps.push(step("create", "product", Some(product_id.clone())));
            }
            let id = if is_dry_run {
                None
            } else {
                let meter_id = event_name.and_then(|event_name| meter_ids.get(event_name));
                Some(self.create_price(price, &catalog.currency_code(), meter_id).await?)
            };
            steps.push(step("create", "price", id));
        }
        serde_json::to_string(&steps).map_err(|error| Error::new(Code::Internal, error.to_string()).into())
    }

    async fn find(&self, catalog: &Catalog) -> Result<Found> {
        let mut found = Found::default();
        if !catalog.meters.is_empty() {
            found.meters = self.active_meters().await?;
        }
        let keys: Vec<_> = catalog.prices.iter().map(|price| price.lookup_key.clone()).collect();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let request = ListPrice::new().lookup_keys(keys).limit(PAGE);
            let list: List<FoundPrice> = self.client.send(&request).await?.read("a list of prices")?;
            let by_key = list.data.into_iter().filter_map(|price| Some((price.lookup_key.clone()?, price)));
            found.prices.extend(by_key);
        }
        for meter in &catalog.meters {
            found.conflicts.extend(found.meters.get(&meter.event_name).and_then(|found| meter.difference(found)));
        }
        for price in &catalog.prices {
            if let Some(there) = found.prices.get(&price.lookup_key) {
                let meter = match &price.pays_for {
                    PaysFor::Tier(_) => None,
                    PaysFor::Usage(event_name) => found.meters.get(event_name),
                };
                let meter_id = meter.map(|meter| meter.id.as_str());
                found.conflicts.extend(price.difference(there, &catalog.currency_code(), meter_id));
            } else if let Some(product) = self.find_product(&price.product_id()).await? {
                if !product.active {
                    found.conflicts.push(format!("product {} is archived", product.id));
                }
                found.products.insert(product.id);
            }
        }
        Ok(found)
    }

    pub(super) async fn active_meters(&self) -> Result<BTreeMap<String, FoundMeter>> {
        let mut meters = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let mut request = ListBillingMeter::new().status(BillingMeterStatus::Active).limit(PAGE);
            if let Some(after) = after {
                request = request.starting_after(after);
            }
            let page: List<FoundMeter> = self.client.send(&request).await?.read("a list of meters")?;
            after = page.data.last().map(|last| last.id.clone());
            meters.extend(page.data.into_iter().map(|meter| (meter.event_name.clone(), meter)));
            if !page.has_more || after.is_none() {
                return Ok(meters);
            }
        }
    }

    async fn find_product(&self, id: &str) -> Result<Option<FoundProduct>> {
        match self.client.send(&RetrieveProduct::new(id)).await {
            Ok(response) => Ok(Some(response.read("a product")?)),
            Err(Failure::Stripe(error)) if error.status_code == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn create_meter(&self, meter: &WantedMeter) -> Result<String> {
        let formula = match meter.formula.as_str() {
            "count" => CreateBillingMeterDefaultAggregationFormula::Count,
            "last" => CreateBillingMeterDefaultAggregationFormula::Last,
            _ => CreateBillingMeterDefaultAggregationFormula::Sum,
        };
        let aggregation = CreateBillingMeterDefaultAggregation::new(formula);
        let request = CreateBillingMeter::new(aggregation, &meter.display_name, &meter.event_name);
        let created: FoundMeter = self.client.send(&request).await?.read("a meter")?;
        Ok(created.id)
    }

    async fn create_product(&self, price: &WantedPrice) -> Result<()> {
        let request = CreateProduct::new(&price.product_name).id(price.product_id());
        self.client.send(&request).await.map(drop)
    }

    async fn create_price(&self, price: &WantedPrice, currency: &str, meter_id: Option<&String>) -> Result<String> {
        let mut recurring = CreatePriceRecurring::new(CreatePriceRecurringInterval::Month);
        if let Some(meter_id) = meter_id {
            recurring.meter = Some(meter_id.clone());
            recurring.usage_type = Some(CreatePriceRecurringUsageType::Metered);
        }
        // Infallible: currencies that the generated type does not know pass through it.
        let Ok(currency) = currency.parse::<stripe_types::Currency>();
        let request = CreatePrice::new(currency)
            .product(price.product_id())
            .lookup_key(&price.lookup_key)
            .unit_amount_decimal(price.unit_amount.to_string())
            .recurring(recurring);
        let created: FoundPrice = self.client.send(&request).await?.read("a price")?;
        Ok(created.id)
    }
}

//! What JavaScript hands in, made into domain types. Every check is the domain's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use napi::Either;
use napi::bindgen_prelude::Null;
use napi_derive::napi;
use uuid::Uuid;

use super::outbox::{ExportRuleInput, export_rule};
use crate::domain::customer::{CustomerPatch, Patch, validate_id};
use crate::domain::{
    Catalog, CatalogVersions, CostBasis, CustomerId, EventId, HolderId, Money, Price, PriceList, Thresholds, Tier,
    TierTable, Timestamp, Units, UsageEvent,
};
use crate::engine::explain::{Asker, Question};
use crate::engine::health::Listener;
use crate::engine::holds::Settlement;
use crate::engine::home;
use crate::engine::pricing::Pricing;
use crate::engine::{Location, Options};
use crate::store::Durability;
use crate::store::postgres::{Address, PostgresOptions, Schema};
use crate::{Error, Result};

/// An amount: a number, or a decimal string.
pub type Amount = Either<f64, String>;

#[napi(object, object_to_js = false)]
pub struct EngineOptions {
    /// The database file of SQLite, where no `postgres` is given.
    pub path: String,
    /// Where the seed's code may have left files, and where journals are with PostgreSQL.
    pub dir: String,
    pub postgres: Option<PostgresInput>,
    pub tiers: Option<Vec<TierInput>>,
    pub default_tiers: Vec<TierInput>,
    /// The versions of a catalog, each as JSON, the oldest first.
    pub catalog: Option<Vec<String>>,
    pub pricing: Option<Vec<PriceInput>>,
    /// Where the store has no catalog either.
    pub default_pricing: Vec<PriceInput>,
    pub time_zone: Option<String>,
    /// What is reported to Stripe.
    #[napi(ts_type = "ExportRuleInput | null")]
    pub export: Option<Either<ExportRuleInput, Null>>,
    pub now: f64,
    /// By default `journal`.
    pub durability: Option<String>,
    pub deadline_ms: f64,
    /// Per cents of a limit.
    pub thresholds: Option<Vec<f64>>,
    /// Whether there is a receiver of alerts; what the store says where it is left out.
    pub sends_alerts: Option<bool>,
}

/// How to reach PostgreSQL.
#[napi(object, object_to_js = false)]
pub struct PostgresInput {
    pub url: String,
    pub schema: Option<String>,
    pub retention_months: Option<f64>,
}

#[napi(object, object_to_js = false)]
pub struct TierInput {
    pub id: String,
    /// Infinity for no limit.
    pub api_requests_per_month: f64,
    pub agent_executions_per_month: f64,
    /// The tier as JSON.
    pub definition: String,
}

#[napi(object, object_to_js = false)]
pub struct PriceInput {
    pub route: String,
    #[napi(ts_type = "number | string")]
    pub price_per_request: Amount,
    pub required_tier: Option<String>,
}

#[napi(object, object_to_js = false)]
pub struct EventInput {
    pub customer_id: String,
    pub id: Option<String>,
    pub event_type: String,
    pub units: Option<f64>,
    /// What the catalog says where it is left out.
    #[napi(ts_type = "number | string")]
    pub cost: Option<Amount>,
    pub timestamp: f64,
    pub subscription_id: Option<String>,
    pub endpoint: Option<String>,
    pub agent_type: Option<String>,
    /// A JSON object.
    pub metadata: Option<String>,
}

#[napi(object, object_to_js = false)]
pub struct ConsumeInput {
    pub customer_id: String,
    pub id: Option<String>,
    pub event_type: String,
    pub units: Option<f64>,
    /// The price of the endpoint where it is left out.
    #[napi(ts_type = "number | string")]
    pub cost: Option<Amount>,
    pub endpoint: Option<String>,
    pub agent_type: Option<String>,
    pub metadata: Option<String>,
}

/// The end of a hold.
#[napi(object, object_to_js = false)]
pub struct SettlementInput {
    pub units: Option<f64>,
    #[napi(ts_type = "number | string")]
    pub cost: Option<Amount>,
    pub metadata: Option<String>,
}

#[napi(object, object_to_js = false)]
pub struct QuestionInput {
    pub key: Option<String>,
    pub customer_id: Option<String>,
    pub method: String,
    pub path: String,
    pub units: Option<f64>,
    /// Each value is text.
    pub dimensions: Option<HashMap<String, String>>,
}

#[napi(object, object_to_js = false)]
pub struct CustomerInput {
    pub id: String,
    pub tier: Option<Either<String, Null>>,
    pub catalog_version: Option<Either<String, Null>>,
    pub subscription_id: Option<Either<String, Null>>,
    pub stripe_customer_id: Option<Either<String, Null>>,
    pub billing_cycle_anchor: Option<Either<f64, Null>>,
    #[napi(ts_type = "number | string | null")]
    pub spend_cap: Option<Either<Amount, Null>>,
    pub prepaid: Option<bool>,
    pub suspended: Option<bool>,
}

#[napi(object, object_to_js = false)]
pub struct QueryInput {
    pub customer_id: Option<String>,
    pub from: f64,
    pub to: f64,
    pub window: Option<String>,
    pub group_by: Option<Vec<String>>,
}

#[napi(object, object_to_js = false)]
pub struct KeyInput {
    pub customer_id: String,
    pub name: Option<String>,
    pub expires_at: Option<f64>,
    /// An existing secret to import.
    pub key: Option<String>,
}

impl EngineOptions {
    pub fn into_domain(self, listener: Listener) -> Result<(Options, Pricing)> {
        let default_tiers = tier_table(self.default_tiers)?;
        let tiers = self.tiers.map(tier_table).transpose()?;
        let catalog = self.catalog.map(catalog_versions).transpose()?;
        let pricing = match self.pricing {
            Some(prices) => Pricing::List(Arc::new(price_list(prices)?)),
            None => Pricing::CatalogOr(Arc::new(price_list(self.default_pricing)?)),
        };
        let time_zone = self.time_zone.as_deref().map(str::parse).transpose()?;
        let export = export_rule(self.export)?;
        let now = Timestamp::from_millis("clock.now()", self.now)?;
        let durability = durability(self.durability.as_deref())?;
        let deadline = deadline(self.deadline_ms)?;
        let thresholds = self.thresholds.map(Thresholds::new).transpose()?;
        // Last, for it may write.
        let (location, holder) = location(self.path.into(), Path::new(&self.dir), self.postgres)?;
        let legacy_dir = self.dir.into();
        let options = Options {
            location,
            legacy_dir,
            catalog,
            tiers,
            default_tiers,
            time_zone,
            export,
            now,
            durability,
            deadline,
            thresholds,
            sends_alerts: self.sends_alerts,
            holder,
            listener,
        };
        Ok((options, pricing))
    }
}

/// Where the store is, and who holds leases on it from here: nobody else ever has this id.
fn location(path: PathBuf, directory: &Path, postgres: Option<PostgresInput>) -> Result<(Location, HolderId)> {
    let unique = Uuid::now_v7();
    let Some(PostgresInput { url, schema, retention_months }) = postgres else {
        return Ok((Location::Sqlite(path), HolderId::new(unique.to_string())?));
    };
    let address = Address::parse(&url)?;
    let schema = schema.as_deref().map(Schema::new).transpose()?.unwrap_or_default();
    let retention_months = retention_months.map(months).transpose()?;
    let home = home::name(directory)?;
    let holder = HolderId::new(format!("{home}-{}", unique.simple()))?;
    let options = PostgresOptions { address, schema, retention_months, writer: holder.clone(), home };
    Ok((Location::Postgres { options: Box::new(options), directory: directory.to_owned() }, holder))
}

fn months(number: f64) -> Result<u32> {
    if number.fract() == 0.0 && (1.0..=1_200.0).contains(&number) {
        Ok(number as u32)
    } else {
        Err(Error::invalid(format!("`retentionMonths` must be a whole number from 1 to 1200, got {number}")))
    }
}

fn durability(name: Option<&str>) -> Result<Durability> {
    match name {
        None | Some("journal") => Ok(Durability::Process),
        Some("commit") => Ok(Durability::Power),
        Some(name) => Err(Error::invalid(format!("`durability` must be \"journal\" or \"commit\", got {name:?}"))),
    }
}

/// At most a day: longer than any request waits.
fn deadline(millis: f64) -> Result<Duration> {
    if (1.0..=86_400_000.0).contains(&millis) {
        Ok(Duration::from_secs_f64(millis / 1_000.0))
    } else {
        Err(Error::invalid(format!("`storeDeadlineMs` must be a number from 1 to 86400000, got {millis}")))
    }
}

fn tier_table(tiers: Vec<TierInput>) -> Result<TierTable> {
    let tier = |(position, tier): (usize, TierInput)| {
        let limit = |name, number| monthly_limit(&format!("tiers[{position}].features.{name}"), number);
        Ok(Tier {
            api_requests_per_month: limit("apiRequestsPerMonth", tier.api_requests_per_month)?,
            agent_executions_per_month: limit("agentExecutionsPerMonth", tier.agent_executions_per_month)?,
            id: tier.id,
            definition: tier.definition,
        })
    };
    TierTable::new(tiers.into_iter().enumerate().map(tier).collect::<Result<_>>()?)
}

fn catalog_versions(texts: Vec<String>) -> Result<Arc<CatalogVersions>> {
    let first = |mistakes: Vec<Error>| mistakes.into_iter().next().unwrap_or_else(|| Error::invalid("no catalog"));
    let catalogs = texts.iter().map(|text| Catalog::parse(text).map_err(first));
    let versions = CatalogVersions::new(catalogs.collect::<Result<_>>()?)?;
    versions.iter().try_for_each(Catalog::require_enforceable)?;
    Ok(Arc::new(versions))
}

fn monthly_limit(field: &str, number: f64) -> Result<Option<u64>> {
    if number == f64::INFINITY {
        Ok(None)
    } else if number == 0.0 {
        Ok(Some(0))
    } else {
        let units = Units::from_number(number).map_err(|_| {
            Error::invalid(format!("`{field}` must be a whole number from 0, or Infinity for no limit; got {number}"))
        })?;
        Ok(Some(units.get()))
    }
}

pub fn price_list(prices: Vec<PriceInput>) -> Result<PriceList> {
    let price = |price: PriceInput| {
        let field = format!("pricing[{:?}].pricePerRequest", price.route);
        Price::new(&price.route, amount(&field, price.price_per_request)?, price.required_tier)
    };
    PriceList::new(prices.into_iter().map(price).collect::<Result<_>>()?)
}

fn amount(field: &str, amount: Amount) -> Result<Money> {
    match amount {
        Either::A(number) => Money::from_number(field, number),
        Either::B(text) => Money::parse(field, &text),
    }
}

pub fn units(units: Option<f64>) -> Result<Units> {
    units.map_or(Ok(Units::ONE), Units::from_number)
}

impl EventInput {
    /// With its cost, if that was said.
    pub fn into_domain(self) -> Result<(UsageEvent, Option<Money>)> {
        let cost = self.cost.map(|cost| amount("cost", cost)).transpose()?;
        let event = UsageEvent {
            customer_id: CustomerId::new(self.customer_id)?,
            id: self.id.map(EventId::new).transpose()?,
            meter: self.event_type.parse()?,
            units: units(self.units)?,
            cost: cost.unwrap_or_default(),
            cost_basis: CostBasis::Caller,
            timestamp: Timestamp::from_millis("timestamp", self.timestamp)?,
            subscription_id: self.subscription_id,
            endpoint: self.endpoint,
            agent_type: self.agent_type,
            metadata: self.metadata,
        };
        event.validate()?;
        Ok((event, cost))
    }
}

impl ConsumeInput {
    /// With its cost, if that was said.
    pub fn into_domain(self, now: Timestamp) -> Result<(UsageEvent, Option<Money>)> {
        let cost = self.cost.map(|cost| amount("cost", cost)).transpose()?;
        let event = UsageEvent {
            customer_id: CustomerId::new(self.customer_id)?,
            id: self.id.map(EventId::new).transpose()?,
            meter: self.event_type.parse()?,
            units: units(self.units)?,
            cost: cost.unwrap_or_default(),
            cost_basis: CostBasis::Caller,
            timestamp: now,
            subscription_id: None,
            endpoint: self.endpoint,
            agent_type: self.agent_type,
            metadata: self.metadata,
        };
        event.validate()?;
        Ok((event, cost))
    }
}

impl SettlementInput {
    pub fn into_domain(self, now: Timestamp) -> Result<Settlement> {
        let units = match self.units {
            Some(0.0) => Some(0),
            units => units.map(Units::from_number).transpose()?.map(Units::get),
        };
        let cost = self.cost.map(|cost| amount("cost", cost)).transpose()?;
        Ok(Settlement { units, cost, metadata: self.metadata, now })
    }
}

impl QuestionInput {
    pub fn into_domain(self, now: Timestamp) -> Result<Question> {
        let asker = match (self.key, self.customer_id) {
            (Some(key), None) => Asker::Key(key),
            (None, Some(id)) => Asker::Customer(CustomerId::new(id)?),
            _ => return Err(Error::invalid("explain needs either `key` or `customerId`")),
        };
        let rules = crate::domain::price::RoutingRules::default();
        let dimensions = self.dimensions.unwrap_or_default().into_iter().collect();
        let units = units(self.units)?;
        Ok(Question { asker, method: self.method, path: self.path, rules, dimensions, units, now })
    }
}

impl CustomerInput {
    pub fn into_domain(self) -> Result<(CustomerId, CustomerPatch)> {
        let patch = CustomerPatch {
            tier_id: patch(self.tier),
            catalog_version: patch(self.catalog_version),
            subscription_id: patch(self.subscription_id),
            stripe_customer_id: patch(self.stripe_customer_id),
            billing_cycle_anchor: match self.billing_cycle_anchor {
                None => Patch::Keep,
                Some(Either::A(millis)) => Patch::Set(Timestamp::from_millis("billingCycleAnchor", millis)?),
                Some(Either::B(Null)) => Patch::Clear,
            },
            spend_cap: match self.spend_cap {
                None => Patch::Keep,
                Some(Either::A(cap)) => Patch::Set(amount("spendCap", cap)?),
                Some(Either::B(Null)) => Patch::Clear,
            },
            prepaid: self.prepaid,
            suspended: self.suspended,
        };
        patch.validate()?;
        validate_id("id", &self.id)?;
        Ok((CustomerId::new(self.id)?, patch))
    }
}

fn patch(value: Option<Either<String, Null>>) -> Patch<String> {
    match value {
        None => Patch::Keep,
        Some(Either::A(text)) => Patch::Set(text),
        Some(Either::B(Null)) => Patch::Clear,
    }
}

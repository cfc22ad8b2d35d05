//! What JavaScript gets back. `lib/` documents the public types; those that it passes on as they are, are documented here.

use napi::Either;
use napi::bindgen_prelude::Null;
use napi_derive::napi;

use crate::domain::credit::Shortfall;
use crate::domain::{ApiKey, Customer, Meter, Period, Quota, Refusal, Spending, Standing, Timestamp};
use crate::engine::Report;
use crate::engine::admission::{Admitted, Passage};
use crate::engine::explain::{Explanation, PriceFound, QuotaFound};
use crate::engine::health::Notice;
use crate::engine::holds::HoldId;
use crate::engine::means::CreditLeft;
use crate::engine::replay::ReplayReport;
use crate::engine::takeover::TakeoverReport;
use crate::engine::usage::{CustomerUsage, MeterUsage, QueryRow};
use crate::store::Verdict;

/// `null` in JavaScript, where `Option` would be `undefined`.
pub type Nullable<T> = Either<T, Null>;

pub fn nullable<T>(value: Option<T>) -> Nullable<T> {
    value.map_or(Either::B(Null), Either::A)
}

/// Instants and units are exact: both stay below 2^53.
pub fn millis(at: Timestamp) -> f64 {
    at.as_millis() as f64
}

pub fn units(units: u64) -> f64 {
    units as f64
}

/// A customer as the store knows him.
#[napi(object, js_name = "Customer", object_from_js = false)]
pub struct CustomerOutput {
    pub id: String,
    /// The id of the customer's tier; `null` without one, with the limits of a customer without a tier.
    #[napi(ts_type = "string | null")]
    pub tier: Nullable<String>,
    /// The version of the catalog that he signed up to; `null` without a tier or a catalog.
    #[napi(ts_type = "string | null")]
    pub catalog_version: Nullable<String>,
    /// The id of his Stripe subscription.
    #[napi(ts_type = "string | null")]
    pub subscription_id: Nullable<String>,
    /// His id at Stripe.
    #[napi(ts_type = "string | null")]
    pub stripe_customer_id: Nullable<String>,
    /// The status of that subscription, as far as Stripe's webhooks have told. `unpaid` and `paused` suspend him too.
    #[napi(
        ts_type = "'incomplete' | 'incomplete_expired' | 'trialing' | 'active' | 'past_due' | 'unpaid' | 'paused' | 'canceled' | null"
    )]
    pub subscription_status: Nullable<String>,
    /// An instant at which one of the subscription's periods begins, milliseconds since the epoch.
    #[napi(ts_type = "number | null")]
    pub billing_cycle_anchor: Nullable<f64>,
    /// The most that what is admitted may cost in a billing period: a decimal in the currency's major unit.
    #[napi(ts_type = "string | null")]
    pub spend_cap: Nullable<String>,
    /// Whether requests are refused that his credit does not cover.
    pub prepaid: bool,
    /// Whether `customers.upsert` has suspended him: a suspended customer's requests are answered 403.
    pub suspended: bool,
    /// When Weighbridge first saw him, milliseconds since the epoch.
    pub created_at: f64,
}

impl From<Customer> for CustomerOutput {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id.as_str().to_owned(),
            tier: nullable(customer.tier_id),
            catalog_version: nullable(customer.catalog_version),
            subscription_id: nullable(customer.subscription_id),
            stripe_customer_id: nullable(customer.stripe_customer_id),
            subscription_status: nullable(customer.subscription_status.map(|status| status.as_str().to_owned())),
            billing_cycle_anchor: nullable(customer.billing_cycle_anchor.map(millis)),
            spend_cap: nullable(customer.spend_cap.map(|cap| cap.to_string())),
            prepaid: customer.prepaid,
            suspended: customer.suspended,
            created_at: millis(customer.created_at),
        }
    }
}

/// What is known of an API key; never the key itself. Instants are milliseconds since the epoch.
#[napi(object, js_name = "ApiKey", object_from_js = false)]
pub struct KeyOutput {
    /// Names the key in `rotate` and `revoke`; no secret.
    pub id: String,
    pub customer_id: String,
    #[napi(ts_type = "string | null")]
    pub name: Nullable<String>,
    /// The first characters of the key, to recognise it by.
    pub prefix: String,
    pub created_at: f64,
    /// From this instant on the key is refused.
    #[napi(ts_type = "number | null")]
    pub expires_at: Nullable<f64>,
    /// Since when the key is refused.
    #[napi(ts_type = "number | null")]
    pub revoked_at: Nullable<f64>,
}

impl From<ApiKey> for KeyOutput {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            customer_id: key.customer_id.as_str().to_owned(),
            name: nullable(key.name),
            prefix: key.prefix,
            created_at: millis(key.created_at),
            expires_at: nullable(key.expires_at.map(millis)),
            revoked_at: nullable(key.revoked_at.map(millis)),
        }
    }
}

#[napi(object, object_from_js = false)]
pub struct VerificationOutput {
    pub code: String,
    pub customer_id: Option<String>,
    pub key_id: Option<String>,
}

/// Limits and usage of one meter; `null` where there is no limit.
#[napi(object, object_from_js = false)]
pub struct MeterOutput {
    pub event_type: String,
    #[napi(ts_type = "number | null")]
    pub limit: Nullable<f64>,
    pub used: f64,
    #[napi(ts_type = "number | null")]
    pub remaining: Nullable<f64>,
}

impl From<MeterUsage> for MeterOutput {
    fn from(MeterUsage { meter, standing }: MeterUsage) -> Self {
        Self {
            event_type: meter.as_str().to_owned(),
            limit: nullable(standing.limit.map(units)),
            used: units(standing.used),
            remaining: nullable(standing.remaining().map(units)),
        }
    }
}

#[napi(object, object_from_js = false)]
pub struct UsageOutput {
    pub customer: CustomerOutput,
    pub period_start: f64,
    pub period_end: f64,
    pub meters: Vec<MeterOutput>,
    pub total_cost: String,
    pub total_cost_number: f64,
}

impl From<CustomerUsage> for UsageOutput {
    fn from(usage: CustomerUsage) -> Self {
        Self {
            customer: usage.customer.into(),
            period_start: millis(usage.period.start),
            period_end: millis(usage.period.end),
            meters: usage.meters.into_iter().map(MeterOutput::from).collect(),
            total_cost: usage.total_cost.to_string(),
            total_cost_number: usage.total_cost.to_number(),
        }
    }
}

/// One row of a usage report. What the report was not grouped by is left out.
#[napi(object, js_name = "UsageRow", object_from_js = false)]
pub struct RowOutput {
    /// `[windowStart, windowEnd)`, milliseconds since the epoch: the part of the window that lies between `from` and `to`.
    pub window_start: f64,
    pub window_end: f64,
    pub customer_id: Option<String>,
    #[napi(ts_type = "'api_request' | 'agent_execution' | 'data_access' | (string & {})")]
    pub event_type: Option<String>,
    /// The endpoint as the price list writes it; left out for events without one.
    pub endpoint: Option<String>,
    /// How many events.
    pub events: f64,
    /// How many units they took.
    pub units: f64,
    /// What they cost: an exact decimal.
    pub cost: String,
}

impl From<QueryRow> for RowOutput {
    fn from(row: QueryRow) -> Self {
        Self {
            window_start: millis(row.window.start),
            window_end: millis(row.window.end),
            customer_id: row.customer_id.map(|id| id.as_str().to_owned()),
            event_type: row.meter.map(|meter| meter.as_str().to_owned()),
            endpoint: row.endpoint,
            events: units(row.events),
            units: units(row.units),
            cost: row.cost.to_string(),
        }
    }
}

/// What became of one event of a batch.
#[napi(object, object_from_js = false)]
pub struct RecordingOutput {
    pub status: String,
    pub code: Option<String>,
    pub message: Option<String>,
}

/// What was brought in from the journals of processes that had ended without `close()`.
#[napi(object, js_name = "JournalReport", object_from_js = false)]
pub struct ReplayOutput {
    /// How many journals there were.
    pub journals: f64,
    /// How many events were counted now. Those that were in the store already are not counted again.
    pub events: f64,
    /// How many lines could not be read: torn by a crash, in which case nobody was told that they are there, or damaged.
    pub rejected: f64,
    /// The file that holds those lines, each with its reason.
    pub rejected_file: Option<String>,
}

/// What was found when the store was opened: files that the seed's code left behind, and journals of processes that died.
#[napi(object, js_name = "TakeoverReport", object_from_js = false)]
pub struct TakeoverOutput {
    /// How many events of `usage-events.json` were counted now. Those of earlier openings are not counted again.
    pub events: f64,
    /// How many of its lines could not be read.
    pub rejected: f64,
    /// The file that holds those lines, each with its reason.
    pub rejected_file: Option<String>,
    /// How many customers were taken from `customer-usage.json`, because the log has no event of theirs.
    pub summaries: f64,
    /// Why `customer-usage.json` could not be read.
    pub summaries_error: Option<String>,
    /// What was brought in from the journals of processes that had ended without `close()`.
    pub journals: ReplayOutput,
}

impl From<Report> for TakeoverOutput {
    fn from(Report { takeover, replay }: Report) -> Self {
        let TakeoverReport { events, rejected, rejected_file, summaries, summaries_error } = takeover;
        Self {
            events: units(events),
            rejected: units(rejected),
            rejected_file: rejected_file.map(|path| path.display().to_string()),
            summaries: units(summaries),
            summaries_error,
            journals: replay.into(),
        }
    }
}

impl From<ReplayReport> for ReplayOutput {
    fn from(ReplayReport { journals, events, rejected, rejected_file, unreadable: _ }: ReplayReport) -> Self {
        Self {
            journals: units(journals),
            events: units(events),
            rejected: units(rejected),
            rejected_file: rejected_file.map(|path| path.display().to_string()),
        }
    }
}

/// Something that happened by itself. `lib/notices.ts` makes events of it.
#[napi(object, object_from_js = false)]
pub struct NoticeOutput {
    #[napi(ts_type = "'degraded' | 'recovered' | 'rejected' | 'threshold'")]
    pub kind: String,
    pub code: Option<String>,
    pub message: Option<String>,
    pub lines: Option<f64>,
    pub file: Option<String>,
    /// JSON.
    pub threshold: Option<String>,
}

impl From<Notice> for NoticeOutput {
    fn from(notice: Notice) -> Self {
        let named = |kind: &str| Self {
            kind: kind.to_owned(),
            code: None,
            message: None,
            lines: None,
            file: None,
            threshold: None,
        };
        match notice {
            Notice::Degraded(error) => {
                Self { code: Some(error.code.as_str().to_owned()), message: Some(error.message), ..named("degraded") }
            }
            Notice::Recovered => named("recovered"),
            Notice::Rejected { lines, file } => {
                Self { lines: Some(units(lines)), file: Some(file.display().to_string()), ..named("rejected") }
            }
            Notice::Threshold(reached) => Self { threshold: Some(reached.to_json().to_string()), ..named("threshold") },
        }
    }
}

#[napi(object, object_from_js = false)]
pub struct ExplanationOutput {
    /// `recorded`: it would pass and be counted.
    pub code: String,
    pub key: Option<KeyOutput>,
    pub is_malformed: bool,
    pub customer: Option<CustomerOutput>,
    pub required_tier: Option<String>,
    pub required_features: Vec<String>,
    pub price: Option<PriceOutput>,
    /// The version of the catalog that applies, and what of its features the customer has.
    pub catalog_version: Option<String>,
    pub features: Vec<String>,
    pub quota: Option<QuotaOutput>,
    pub spending: Option<SpendingOutput>,
    pub credit: Option<CreditOutput>,
}

#[napi(object, object_from_js = false)]
pub struct CreditOutput {
    pub money: String,
    #[napi(ts_type = "string | null")]
    pub units: Nullable<String>,
}

#[napi(object, object_from_js = false)]
pub struct SpendingOutput {
    pub cap: String,
    pub spent: String,
}

#[napi(object, object_from_js = false)]
pub struct PriceOutput {
    pub endpoint: Option<String>,
    pub price_per_request: Option<String>,
    pub cost: String,
    pub id: Option<String>,
    pub because: Vec<String>,
}

#[napi(object, object_from_js = false)]
pub struct QuotaOutput {
    pub event_type: String,
    pub window: String,
    pub period_start: f64,
    pub period_end: f64,
    #[napi(ts_type = "number | null")]
    pub limit: Nullable<f64>,
    pub used: f64,
    #[napi(ts_type = "number | null")]
    pub remaining: Nullable<f64>,
    pub held_here: f64,
    pub leased_here: f64,
    pub leased_elsewhere: f64,
}

impl From<Explanation> for ExplanationOutput {
    fn from(explanation: Explanation) -> Self {
        let Explanation {
            refusal,
            key,
            is_malformed,
            customer,
            price,
            is_counted,
            required,
            entitlements,
            quota,
            means,
        } = explanation;
        let (spending, credit) = means.map_or((None, None), |means| (means.spending, means.credit));
        let (catalog_version, features) = entitlements.map(|has| (has.version, has.features)).unzip();
        let code = match refusal {
            Some(refusal) => refusal_code(&refusal),
            None if is_counted => "recorded",
            None => "unpriced",
        };
        Self {
            code: code.to_owned(),
            key: key.map(KeyOutput::from),
            is_malformed,
            customer: customer.map(CustomerOutput::from),
            required_tier: required.tier,
            required_features: required.features.into_iter().collect(),
            catalog_version,
            features: features.unwrap_or_default().into_iter().collect(),
            price: price.map(PriceOutput::from),
            quota: quota.map(QuotaOutput::from),
            spending: spending.map(SpendingOutput::from),
            credit: credit.map(CreditOutput::from),
        }
    }
}

impl From<CreditLeft> for CreditOutput {
    fn from(CreditLeft { money, units }: CreditLeft) -> Self {
        Self { money: money.to_string(), units: nullable(units.map(|units| units.to_string())) }
    }
}

impl From<Spending> for SpendingOutput {
    fn from(Spending { cap, spent }: Spending) -> Self {
        Self { cap: cap.to_string(), spent: spent.to_string() }
    }
}

impl From<PriceFound> for PriceOutput {
    fn from(price: PriceFound) -> Self {
        Self {
            endpoint: price.endpoint,
            price_per_request: price.price_per_request.map(|amount| amount.to_string()),
            cost: price.cost.to_string(),
            id: price.id,
            because: price.because,
        }
    }
}

impl From<QuotaFound> for QuotaOutput {
    fn from(found: QuotaFound) -> Self {
        let QuotaFound { quota, period, standing, held_here, leased_here, leased_elsewhere } = found;
        let window = if let Quota::Window(_, window) = quota { window.name() } else { "period".to_owned() };
        Self {
            event_type: quota.meter().map_or("", Meter::as_str).to_owned(),
            window,
            period_start: millis(period.start),
            period_end: millis(period.end),
            limit: nullable(standing.limit.map(units)),
            used: units(standing.used),
            remaining: nullable(found.with_holds().remaining().map(units)),
            held_here: units(held_here),
            leased_here: units(leased_here),
            leased_elsewhere: units(leased_elsewhere),
        }
    }
}

/// `[code, customerId, subscriptionId, tier, limit, used, periodStart, periodEnd, required, hold, spending]`: a tuple, because
/// an object with as many properties costs a microsecond more. `lib/decision.ts` names its places.
pub type DecisionOutput = (
    &'static str,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<f64>,
    f64,
    f64,
    f64,
    Option<Required>,
    Option<f64>,
    Option<Vec<String>>,
);

/// A tier, or features.
type Required = Either<String, Vec<String>>;

pub fn decision(passage: Passage) -> DecisionOutput {
    match passage {
        Passage::Admitted(passage) => admitted(passage),
        Passage::Unpriced(customer) => about(&customer, "unpriced", None, None, None),
        Passage::Refused(refusal) => {
            let (code, required) = (refusal_code(&refusal), required(&refusal));
            (code, None, None, None, None, 0.0, 0.0, 0.0, required, None, None)
        }
    }
}

pub fn admitted(Admitted { verdict, customer, standing, period, hold }: Admitted) -> DecisionOutput {
    let code = match &verdict {
        Verdict::Recorded if hold.is_some() => "held",
        Verdict::Recorded => "recorded",
        Verdict::Duplicate => "duplicate",
        Verdict::Refused(refusal) => refusal_code(refusal),
    };
    let refusal = if let Verdict::Refused(refusal) = &verdict { Some(refusal) } else { None };
    about(&customer, code, Some((standing, period)), refusal, hold)
}

fn about(
    customer: &Customer,
    code: &'static str,
    quota: Option<(Standing, Period)>,
    refusal: Option<&Refusal>,
    hold: Option<HoldId>,
) -> DecisionOutput {
    let limit = quota.and_then(|(standing, _)| standing.limit).map(units);
    let used = quota.map_or(0.0, |(standing, _)| units(standing.used));
    let (start, end) = quota.map_or((0.0, 0.0), |(_, period)| (millis(period.start), millis(period.end)));
    let id = customer.id.as_str().to_owned();
    let Customer { subscription_id, tier_id, .. } = customer;
    let (required, spending) = (refusal.and_then(required), refusal.and_then(spending));
    let hold = hold.map(units);
    (code, Some(id), subscription_id.clone(), tier_id.clone(), limit, used, start, end, required, hold, spending)
}

fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidKey => "invalid_key",
        Refusal::Suspended => "customer_suspended",
        Refusal::TierTooLow { .. } => "tier_required",
        Refusal::FeaturesMissing { .. } => "feature_required",
        Refusal::LimitExceeded(_) => "usage_limit_exceeded",
        Refusal::SpendCapExceeded { .. } => "spend_cap_exceeded",
        Refusal::CreditExhausted(_) => "credit_exhausted",
        Refusal::Unpriced => "unpriced_endpoint",
        Refusal::IdempotencyConflict => "idempotency_conflict",
    }
}

fn required(refusal: &Refusal) -> Option<Required> {
    match refusal {
        Refusal::TierTooLow { required } => Some(Either::A(required.clone())),
        Refusal::FeaturesMissing { features } => Some(Either::B(features.iter().cloned().collect())),
        _ => None,
    }
}

/// The cap, what is spent of it, and what this would have cost; or the unit of the credit, what is left of it, and what this
/// would have cost.
fn spending(refusal: &Refusal) -> Option<Vec<String>> {
    match refusal {
        Refusal::SpendCapExceeded { spending, cost } => {
            Some([spending.cap, spending.spent, *cost].map(|amount| amount.to_string()).to_vec())
        }
        Refusal::CreditExhausted(Shortfall { unit, left, cost }) => {
            Some(vec![unit.to_string(), left.to_string(), cost.to_string()])
        }
        _ => None,
    }
}

pub fn meter_has_room(usage: &CustomerUsage, meter: Meter) -> bool {
    usage.standing(meter).admits(crate::domain::Units::ONE)
}

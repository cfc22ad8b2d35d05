//! The few fields that we read of Stripe's answers. Whatever else an answer holds, in whatever API version, is ignored.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::{Decimal, Timestamp};

const MINUTE: i64 = 60;

#[derive(Debug, Deserialize)]
pub struct Subscription {
    customer: Expandable,
    #[serde(default)]
    items: List<SubscriptionItem>,
    /// Before basil the period was the subscription's; since then each item has its own.
    #[serde(flatten)]
    period: CurrentPeriod,
}

impl Subscription {
    pub fn customer_id(&self) -> &str {
        self.customer.id()
    }

    pub fn items(&self) -> &List<SubscriptionItem> {
        &self.items
    }

    pub fn first_item(&self) -> Option<&SubscriptionItem> {
        self.items.data.first()
    }

    /// The part of the item's current period that has begun, in seconds, widened to the whole minutes that meters want.
    pub fn elapsed_minutes(&self, item: &SubscriptionItem, now: Timestamp) -> (i64, i64) {
        let now = now.as_millis().div_euclid(1000);
        let start = item.period.start.or(self.period.start).unwrap_or(now);
        let end = item.period.end.or(self.period.end).unwrap_or(now).min(now);
        let start = start.div_euclid(MINUTE) * MINUTE;
        let end = -(-end).div_euclid(MINUTE) * MINUTE;
        (start, end.max(start + MINUTE))
    }
}

/// An object's id, or the object itself where a call expanded it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expandable {
    Id(String),
    Object { id: String },
}

impl Expandable {
    fn id(&self) -> &str {
        match self {
            Expandable::Id(id) | Expandable::Object { id } => id,
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    /// Whether this is a first page and not the last one.
    #[serde(default)]
    pub has_more: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { data: Vec::new(), has_more: false }
    }
}

/// Seconds since the epoch.
#[derive(Debug, Default, Deserialize)]
struct CurrentPeriod {
    #[serde(rename = "current_period_start")]
    start: Option<i64>,
    #[serde(rename = "current_period_end")]
    end: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct SubscriptionItem {
    pub id: String,
    /// None where usage is paid for.
    pub quantity: Option<u64>,
    price: Option<Price>,
    #[serde(flatten)]
    period: CurrentPeriod,
}

/// What a price lets us record.
#[derive(Debug, PartialEq, Eq)]
pub enum Metering<'a> {
    /// Events of the meter with this id.
    Meter(&'a str),
    /// Usage records, where the API version has them.
    UsageRecords,
    /// Nothing: a fixed quantity is paid for.
    Licensed,
}

impl SubscriptionItem {
    pub fn price_id(&self) -> Option<&str> {
        self.price.as_ref()?.id.as_deref()
    }

    pub fn metering(&self) -> Metering<'_> {
        let recurring = self.price.as_ref().and_then(|price| price.recurring.as_ref());
        match recurring {
            Some(Recurring { meter: Some(meter), .. }) => Metering::Meter(meter),
            Some(Recurring { usage_type: Some(usage_type), .. }) if usage_type == "licensed" => Metering::Licensed,
            _ => Metering::UsageRecords,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Price {
    id: Option<String>,
    recurring: Option<Recurring>,
}

#[derive(Debug, Deserialize)]
struct Recurring {
    interval: Option<String>,
    interval_count: Option<u32>,
    meter: Option<String>,
    usage_type: Option<String>,
}

/// A meter: the name of its events and the keys of their payload.
#[derive(Debug, Clone, Deserialize)]
pub struct Meter {
    pub event_name: String,
    customer_mapping: Option<PayloadKey>,
    value_settings: Option<PayloadKey>,
}

impl Meter {
    pub(super) const CUSTOMER_KEY: &str = "stripe_customer_id";
    pub(super) const VALUE_KEY: &str = "value";

    /// The key under which an event names the customer.
    pub fn customer_key(&self) -> &str {
        self.customer_mapping.as_ref().map_or(Self::CUSTOMER_KEY, |mapping| &mapping.event_payload_key)
    }

    /// The key under which an event carries its quantity.
    pub fn value_key(&self) -> &str {
        self.value_settings.as_ref().map_or(Self::VALUE_KEY, |settings| &settings.event_payload_key)
    }
}

#[derive(Debug, Clone, Deserialize)]
struct PayloadKey {
    event_payload_key: String,
}

/// A meter in the catalog.
#[derive(Debug, Deserialize)]
pub struct FoundMeter {
    pub id: String,
    pub event_name: String,
    default_aggregation: Option<Aggregation>,
}

impl FoundMeter {
    pub fn formula(&self) -> Option<&str> {
        self.default_aggregation.as_ref().map(|aggregation| aggregation.formula.as_str())
    }
}

#[derive(Debug, Deserialize)]
struct Aggregation {
    formula: String,
}

/// A product in the catalog.
#[derive(Debug, Deserialize)]
pub struct FoundProduct {
    pub id: String,
    pub active: bool,
}

/// A price in the catalog.
#[derive(Debug, Deserialize)]
pub struct FoundPrice {
    pub id: String,
    pub active: bool,
    pub currency: String,
    pub lookup_key: Option<String>,
    product: Expandable,
    /// In the minor unit; none where there are tiers.
    unit_amount_decimal: Option<String>,
    recurring: Option<Recurring>,
}

impl FoundPrice {
    pub fn product_id(&self) -> &str {
        self.product.id()
    }

    pub fn unit_amount(&self) -> Option<Decimal> {
        Decimal::parse("unit_amount_decimal", self.unit_amount_decimal.as_deref()?).ok()
    }

    pub fn is_monthly(&self) -> bool {
        let recurring = self.recurring.as_ref();
        recurring.is_some_and(|recurring| {
            recurring.interval.as_deref() == Some("month") && matches!(recurring.interval_count, None | Some(1))
        })
    }

    pub fn usage_type(&self) -> Option<&str> {
        self.recurring.as_ref()?.usage_type.as_deref()
    }

    pub fn meter(&self) -> Option<&str> {
        self.recurring.as_ref()?.meter.as_deref()
    }
}

/// A list whose objects pass through untouched.
#[derive(Debug, Default, Deserialize)]
pub struct RawList<'a> {
    #[serde(borrow)]
    pub data: Vec<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(json: &str) -> Subscription {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_customer_may_be_expanded() {
        assert_eq!(subscription(r#"{"customer":"cus_1"}"#).customer_id(), "cus_1");
        assert_eq!(subscription(r#"{"customer":{"id":"cus_2","name":"Ada"}}"#).customer_id(), "cus_2");
    }

    #[test]
    fn the_price_says_what_can_be_recorded() {
        for (price, metering) in [
            (r#"{"recurring":{"meter":"mtr_1","usage_type":"metered"}}"#, Metering::Meter("mtr_1")),
            (r#"{"recurring":{"meter":null,"usage_type":"metered"}}"#, Metering::UsageRecords),
            (r#"{"recurring":{"meter":null,"usage_type":"licensed"}}"#, Metering::Licensed),
            (r#"{"recurring":null}"#, Metering::UsageRecords),
            ("null", Metering::UsageRecords),
        ] {
            let item = format!(r#"{{"customer":"cus_1","items":{{"data":[{{"id":"si_1","price":{price}}}]}}}}"#);
            assert_eq!(subscription(&item).first_item().unwrap().metering(), metering, "{price}");
        }
    }

    #[test]
    fn periods_widen_to_whole_minutes() {
        let elapsed = |period: &str, now: i64| {
            let json = format!(r#"{{"customer":"cus_1","items":{{"data":[{{"id":"si_1"{period}}}]}}}}"#);
            let subscription = subscription(&json);
            let item = subscription.first_item().unwrap();
            subscription.elapsed_minutes(item, Timestamp::from_stored(now * 1000 + 999))
        };
        let period = r#","current_period_start":61,"current_period_end":601"#;
        assert_eq!(elapsed(period, 200), (60, 240));
        assert_eq!(elapsed(period, 240), (60, 240));
        assert_eq!(elapsed(period, 5000), (60, 660));
        // A clock behind Stripe's, and a subscription without a period.
        assert_eq!(elapsed(period, 10), (60, 120));
        assert_eq!(elapsed("", 120), (120, 180));
    }

    #[test]
    fn old_versions_have_the_period_on_the_subscription() {
        let old = subscription(
            r#"{"customer":"cus_1","current_period_start":120,"current_period_end":900,"items":{"data":[{"id":"si_1"}]}}"#,
        );
        let window = old.elapsed_minutes(old.first_item().unwrap(), Timestamp::from_stored(600_000));
        assert_eq!(window, (120, 600));
    }
}

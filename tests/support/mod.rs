//! Building blocks for the tests of the store and of the engine.
#![allow(dead_code, reason = "each test binary uses its own part of it")]

pub mod child;
pub mod leases;
pub mod outbox;
pub mod postgres;

use std::sync::Arc;

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{
    ApiKey, Catalog, CatalogVersions, CostBasis, CustomerId, KeyHash, Meter, Money, Period, Tier, TierTable, Timestamp,
    Units, UsageEvent,
};
use weighbridge::store::{Admission, Applied, Change, Charge, Charged, Counter, Outcome, Store, UsageRow, Verdict};

pub fn at(rfc3339: &str) -> Timestamp {
    let instant = chrono::DateTime::parse_from_rfc3339(rfc3339).expect("an RFC 3339 instant");
    Timestamp::from_stored(instant.timestamp_millis())
}

pub fn now() -> Timestamp {
    at("2026-03-10T12:00:00Z")
}

pub fn days_later(days: i64) -> Timestamp {
    now().plus_millis(days * 24 * 3_600_000)
}

pub fn span(start: &str, end: &str) -> Period {
    Period { start: at(start), end: at(end) }
}

pub fn all_time() -> Period {
    Period { start: Timestamp::from_stored(0), end: at("2100-01-01T00:00:00Z") }
}

pub fn customer_id(id: &str) -> CustomerId {
    CustomerId::new(id).expect("a customer's id")
}

pub fn money(text: &str) -> Money {
    Money::parse("amount", text).expect("an amount")
}

pub fn units(units: u32) -> Units {
    Units::from_number(f64::from(units)).expect("units")
}

/// Whole trillionths: an oracle that knows nothing of decimals.
pub fn trillionths(amount: Money) -> i128 {
    let text = amount.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{fraction:0<12}").parse().expect("at most 12 decimal places")
}

/// One free API request of a customer, now.
pub fn event(customer: &str) -> UsageEvent {
    UsageEvent {
        customer_id: customer_id(customer),
        id: None,
        meter: Meter::API_REQUEST,
        units: Units::ONE,
        cost: Money::ZERO,
        cost_basis: CostBasis::Caller,
        timestamp: now(),
        subscription_id: None,
        endpoint: None,
        agent_type: None,
        metadata: None,
    }
}

pub fn event_at(customer: &str, rfc3339: &str) -> UsageEvent {
    UsageEvent { timestamp: at(rfc3339), ..event(customer) }
}

pub fn event_with_id(customer: &str, id: &str) -> UsageEvent {
    UsageEvent { id: Some(weighbridge::domain::EventId::new(id).expect("an event's id")), ..event(customer) }
}

/// Asks for the event to be admitted.
pub fn admit(event: UsageEvent) -> Change {
    admit_where(event, Admission::default())
}

pub fn admit_where(event: UsageEvent, admission: Admission) -> Change {
    Change::Charge(Charge { event, admission: Some(admission), paid: Vec::new(), now: now() })
}

/// Tells that the event has happened.
pub fn record(event: UsageEvent) -> Change {
    Change::Charge(Charge { event, admission: None, paid: Vec::new(), now: now() })
}

/// Tells at another instant that the event has happened.
pub fn record_at(event: UsageEvent, now: Timestamp) -> Change {
    Change::Charge(Charge { event, admission: None, paid: Vec::new(), now })
}

/// Tiers from the lowest to the highest, with their API requests a month.
pub fn tiers(tiers: &[(&str, Option<u64>)]) -> TierTable {
    let tier = |&(id, api_requests_per_month): &(&str, Option<u64>)| Tier {
        id: id.to_owned(),
        api_requests_per_month,
        agent_executions_per_month: None,
        definition: format!(r#"{{"id":{id:?}}}"#),
    };
    TierTable::new(tiers.iter().map(tier).collect()).expect("a table of tiers")
}

pub fn configure_tiers(table: &[(&str, Option<u64>)]) -> Change {
    Change::Configure { tiers: Some(tiers(table)), time_zone: None }
}

/// The versions of a catalog, the oldest first.
pub fn versions(catalogs: &[serde_json::Value]) -> Arc<CatalogVersions> {
    let catalogs = catalogs.iter().map(|catalog| Catalog::parse(&catalog.to_string()).expect("a catalog"));
    Arc::new(CatalogVersions::new(catalogs.collect()).expect("versions"))
}

pub fn offer(catalogs: &[serde_json::Value]) -> Change {
    Change::Offer(versions(catalogs))
}

/// A catalog with one tier, `windowed`, whose API requests have these limits: `("day", 10)`.
pub fn windowed(limits: &[(serde_json::Value, u64)]) -> serde_json::Value {
    let limit = |(per, units): &(serde_json::Value, u64)| serde_json::json!({ "meter": "api_request", "per": per, "units": units });
    serde_json::json!({
        "id": "public", "version": "1", "currency": "USD", "meters": ["api_request"],
        "tiers": [{ "id": "windowed", "limits": limits.iter().map(limit).collect::<Vec<_>>() }, { "id": "free" }],
    })
}

pub fn configure_time_zone(name: &str) -> Change {
    Change::Configure { tiers: None, time_zone: Some(name.parse().expect("a time zone")) }
}

pub fn upsert(customer: &str, patch: CustomerPatch) -> Change {
    Change::UpsertCustomer { id: customer_id(customer), patch, now: now() }
}

pub fn set_tier(customer: &str, tier: &str) -> Change {
    upsert(customer, CustomerPatch { tier_id: Patch::Set(tier.to_owned()), ..CustomerPatch::default() })
}

pub fn suspend(customer: &str) -> Change {
    upsert(customer, CustomerPatch { suspended: Some(true), ..CustomerPatch::default() })
}

pub fn api_key(id: &str, customer: &str) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        customer_id: customer_id(customer),
        name: Some(format!("the key {id}")),
        prefix: id.to_owned(),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
    }
}

/// Makes a key whose secret is `secret-` and its id.
pub fn create_key(key: ApiKey) -> Change {
    let hash = hash_of(&key.id);
    Change::CreateKey { key, hash }
}

pub fn secret_of(key_id: &str) -> String {
    format!("secret-{key_id}")
}

pub fn hash_of(key_id: &str) -> KeyHash {
    KeyHash::of(&secret_of(key_id))
}

pub fn revoke_key(id: &str, now: Timestamp) -> Change {
    Change::RevokeKey { id: id.to_owned(), now }
}

pub fn commit(store: &dyn Store, group: &[Change]) -> Vec<Outcome> {
    store.commit(group).expect("the group commits").outcomes
}

/// Commits a group of one.
pub fn apply(store: &dyn Store, change: Change) -> Outcome {
    commit(store, &[change]).remove(0)
}

pub fn charge(store: &dyn Store, change: Change) -> Charged {
    apply(store, change).and_then(Applied::charged).expect("a charge")
}

pub fn verdict(store: &dyn Store, change: Change) -> Verdict {
    charge(store, change).verdict
}

pub fn verdicts(store: &dyn Store, group: &[Change]) -> Vec<Verdict> {
    let outcomes = commit(store, group).into_iter();
    outcomes.map(|outcome| outcome.and_then(Applied::charged).expect("a charge").verdict).collect()
}

/// What a customer used of a meter in the UTC month of an instant.
pub fn counter(store: &dyn Store, customer: &str, meter: Meter, period_start: &str) -> (u64, String) {
    let counters = store.counters(&customer_id(customer), at(period_start)).expect("counters");
    let counter = counters.iter().find(|counter: &&Counter| counter.meter == meter);
    counter.map_or((0, "0".to_owned()), |counter| (counter.units, counter.cost.to_string()))
}

/// API requests of a customer in March 2026, where [`now`] lies.
pub fn used(store: &dyn Store, customer: &str) -> u64 {
    counter(store, customer, Meter::API_REQUEST, "2026-03-01T00:00:00Z").0
}

pub fn events(store: &dyn Store, customer: Option<&str>, span: Period) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    let customer = customer.map(customer_id);
    store
        .events(customer.as_ref(), span, &mut |row| {
            rows.push(row);
            Ok(())
        })
        .expect("events");
    rows
}

pub fn hourly_rollups(store: &dyn Store, customer: Option<&str>, span: Period) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    let customer = customer.map(customer_id);
    store
        .hourly_rollups(customer.as_ref(), span, &mut |row| {
            rows.push(row);
            Ok(())
        })
        .expect("rollups");
    rows
}

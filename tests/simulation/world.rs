//! Events in a store, a catalog, and what an oracle says that they cost.

use std::collections::BTreeMap;
use std::fmt;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::json::Value;
use weighbridge::domain::repricing::Assignment;
use weighbridge::domain::{Catalog, Meter, Period, Timestamp, UsageEvent};
use weighbridge::store::{Durability, SqliteStore, Store};

use crate::oracle::{GRAINS_PER_UNIT, Millionths, integer, millionths, millionths_text};
use crate::prices::Prices;
use crate::support::{commit, configure_time_zone, customer_id, event, money, record, trillionths, units, upsert};

/// 2026-01-20, from where on there are some ten weeks of events.
const START: i64 = 1_768_867_200_000;
const LENGTH: i64 = 75 * 86_400_000;
const ZONES: &[&str] = &["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"];
/// Whose periods begin on the 15th at 12:34:56, and whose with the month of the zone.
const CUSTOMERS: &[&str] = &["ann", "bob", "cyd"];
const ANCHORED: &str = "bob";
/// 2025-06-15T12:34:56Z.
const ANCHOR: i64 = 1_749_990_896_000;

#[derive(Debug, Clone)]
pub struct Event {
    pub customer: String,
    millis: i64,
    meter: Meter,
    units: u32,
    cost: u64,
    endpoint: Option<&'static str>,
    metadata: Option<&'static str>,
}

impl Event {
    fn arbitrary() -> impl Strategy<Value = Self> {
        let endpoints = [None, Some("/a"), Some("/b"), Some("/B/"), Some("/c/:id"), Some("/c/7")];
        let metadata = [
            None,
            Some("{}"),
            Some(r#"{"method":"POST"}"#),
            Some(r#"{"method":"post","model":"x"}"#),
            Some(r#"{"method":"GET","model":"x","other":{"model":"y"}}"#),
            Some(r#"{"model":"y"}"#),
            Some(r#"{"model":1}"#),
            Some(r#"{"model":"x","model":"y"}"#),
            Some(r#"{"model":["x"]}"#),
        ];
        (
            prop::sample::select(CUSTOMERS),
            // Often just about a whole hour.
            (0..LENGTH, any::<bool>()).prop_map(|(millis, whole)| {
                if whole { millis / 3_600_000 * 3_600_000 - millis % 2 } else { millis }.max(0)
            }),
            prop_oneof![8 => Just(Meter::API_REQUEST), 1 => Just(Meter::DATA_ACCESS), 1 => Just(Meter::AGENT_EXECUTION)],
            1..5u32,
            0..2_000_000_000_000u64,
            prop::sample::select(endpoints.to_vec()),
            prop::sample::select(metadata.to_vec()),
        )
            .prop_map(|(customer, millis, meter, units, cost, endpoint, metadata)| Self {
                customer: customer.to_owned(),
                millis: START + millis,
                meter,
                units,
                cost,
                endpoint,
                metadata,
            })
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_stored(self.millis)
    }

    fn recorded(&self) -> UsageEvent {
        UsageEvent {
            timestamp: self.at(),
            meter: self.meter,
            units: units(self.units),
            cost: money(&format!("{}.{:012}", self.cost / 1_000_000_000_000, self.cost % 1_000_000_000_000)),
            endpoint: self.endpoint.map(str::to_owned),
            metadata: self.metadata.map(str::to_owned),
            ..event(&self.customer)
        }
    }

    /// The place of its price among those of the catalog.
    fn price(&self, tier: usize) -> Option<usize> {
        let metadata: BTreeMap<String, Json> =
            self.metadata.map(|json| serde_json::from_str(json).expect("JSON")).unwrap_or_default();
        let text = |name: &str| metadata.get(name).and_then(Json::as_str);
        let is_post = text("method").is_some_and(|method| method.eq_ignore_ascii_case("POST"));
        match self.endpoint {
            _ if self.meter != Meter::API_REQUEST => None,
            Some("/b" | "/B/") if is_post => Some(1),
            Some("/c/:id" | "/c/7") => Some(2),
            _ if text("model") == Some("x") => Some(3),
            _ if tier == 1 => Some(4),
            _ => Some(0),
        }
    }
}

/// What a tier costs.
#[derive(Debug, Clone, Copy)]
struct Terms {
    base: Millionths,
    minimum: Millionths,
    included: u64,
}

pub struct World {
    pub events: Vec<Event>,
    pub store: SqliteStore,
    zone: &'static str,
    prices: Prices,
    tiers: [Terms; 2],
    _directory: TempDir,
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, zone, prices, tiers, .. } = self;
        formatter
            .debug_struct("World")
            .field("zone", zone)
            .field("prices", prices)
            .field("tiers", tiers)
            .field("events", events)
            .finish()
    }
}

/// A span that cuts hours and periods, or none.
pub fn span() -> impl Strategy<Value = Period> {
    (0..LENGTH, 0..LENGTH, any::<bool>()).prop_map(|(one, other, is_whole)| {
        let (one, other) = if is_whole { (0, LENGTH) } else { (one.min(other), one.max(other)) };
        Period { start: Timestamp::from_stored(START + one), end: Timestamp::from_stored(START + other) }
    })
}

impl World {
    pub fn arbitrary() -> impl Strategy<Value = Self> {
        let terms = || {
            let amount = || prop_oneof![Just(0), 0..50_000_000u64];
            (amount(), amount(), 0..12u64).prop_map(|(base, minimum, included)| Terms { base, minimum, included })
        };
        let events = prop::collection::vec(Event::arbitrary(), 1..60);
        let zone = prop::sample::select(ZONES);
        (events, zone, Prices::arbitrary(), [terms(), terms()])
            .prop_map(|(events, zone, prices, tiers)| Self::of(events, zone, prices, tiers))
    }

    /// Ann's requests alone, in a tier that costs nothing itself.
    pub fn example() -> Self {
        let events = (0..500).map(|number| Event {
            customer: "ann".to_owned(),
            millis: START + number * 1_234_567,
            meter: Meter::API_REQUEST,
            units: 1 + number as u32 % 3,
            cost: 1,
            endpoint: [Some("/a"), Some("/b"), Some("/c/:id")][number as usize % 3],
            metadata: [None, Some(r#"{"method":"POST"}"#)][number as usize % 2],
        });
        let free = Terms { base: 0, minimum: 0, included: 0 };
        let tiers = |first: u64| crate::oracle::Tiers(vec![(first, 1_250_000, 5_000_000), (2 * first, 999_999, 1)]);
        let prices = Prices { per_unit: 1_234_567, package: (7_654_321, 28), graduated: tiers(40), volume: tiers(100) };
        Self::of(events.collect(), "UTC", prices, [free, free])
    }

    fn of(events: Vec<Event>, zone: &'static str, prices: Prices, tiers: [Terms; 2]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = SqliteStore::open(&directory.path().join("weighbridge.db"), Durability::Process).expect("a store");
        let mut group = vec![configure_time_zone(zone)];
        group.extend(events.iter().map(|event| record(event.recorded())));
        let anchor = Patch::Set(Timestamp::from_stored(ANCHOR));
        group.push(upsert(ANCHORED, CustomerPatch { billing_cycle_anchor: anchor, ..CustomerPatch::default() }));
        assert!(commit(&store, &group).iter().all(Result::is_ok));
        Self { events, store, zone, prices, tiers, _directory: directory }
    }

    /// The first customer has the lower tier, all others the higher.
    pub fn tier_of(&self, customer: &str) -> usize {
        usize::from(customer != CUSTOMERS[0])
    }

    pub fn assignment(&self) -> Assignment {
        let json = json!({ "customers": { "ann": "low" }, "tierId": "high" }).to_string();
        let object = Value::parse("", &json).and_then(|json| json.object()).expect("an object");
        Assignment::read(&self.catalog(), &object).expect("an assignment")
    }

    pub fn catalog(&self) -> Catalog {
        let [per_unit, package, graduated, volume] = self.prices.json();
        let tier = |id: &str, Terms { base, minimum, included }: Terms| {
            json!({
                "id": id,
                "baseAmount": millionths_text(base),
                "minimumAmount": millionths_text(minimum),
                "included": [{ "meter": "api_request", "units": included, "overage": "charge" }],
            })
        };
        let of = |id: &str, price: &Json| json!({ "id": id, "meter": "api_request", "price": price });
        let with = |mut price: Json, name: &str, value: Json| {
            price[name] = value;
            price
        };
        let catalog = json!({
            "id": "c",
            "version": "1",
            "currency": "EUR",
            "meters": ["api_request", "data_access"],
            "tiers": [tier("low", self.tiers[0]), tier("high", self.tiers[1])],
            "prices": [
                of("all", &per_unit),
                with(of("posts", &package), "route", json!("POST /b")),
                with(of("route", &graduated), "route", json!("/c/:name")),
                with(of("model", &volume), "dimensions", json!({ "model": "x" })),
                with(of("tier", &per_unit), "tier", json!("high")),
            ],
        });
        Catalog::parse(&catalog.to_string()).expect("a catalog")
    }

    /// The events of a customer in the billing period of an instant.
    pub fn period(&self, customer: &str, at: Timestamp) -> PeriodOracle {
        let bounds = self.bounds(customer, at.as_millis());
        let is_in = |event: &&Event| event.customer == customer && (bounds.0..bounds.1).contains(&event.millis);
        PeriodOracle::of(self.events.iter().filter(is_in), bounds)
    }

    /// All who used something in a span, with what they used in each period of it.
    pub fn customers_in(&self, span: Period) -> BTreeMap<String, Vec<PeriodOracle>> {
        let mut events: BTreeMap<(String, (i64, i64)), Vec<&Event>> = BTreeMap::new();
        for event in self.events.iter().filter(|event| span.contains(event.at())) {
            let bounds = self.bounds(&event.customer, event.millis);
            events.entry((event.customer.clone(), bounds)).or_default().push(event);
        }
        let mut customers: BTreeMap<String, Vec<PeriodOracle>> = BTreeMap::new();
        for ((customer, bounds), events) in events {
            customers.entry(customer).or_default().push(PeriodOracle::of(events.into_iter(), bounds));
        }
        customers
    }

    fn bounds(&self, customer: &str, millis: i64) -> (i64, i64) {
        let zoned = |millis: i64, zone: &str| {
            jiff::Timestamp::from_millisecond(millis).unwrap().to_zoned(TimeZone::get(zone).unwrap())
        };
        if customer != ANCHORED {
            let first = zoned(millis, self.zone).first_of_month().unwrap().start_of_day().unwrap();
            let next = first.checked_add(1.month()).unwrap();
            return (first.timestamp().as_millisecond(), next.timestamp().as_millisecond());
        }
        let anchor = zoned(ANCHOR, "UTC");
        let begins = |months: i32| anchor.checked_add(months.months()).unwrap().timestamp().as_millisecond();
        let number = (0..).find(|months| begins(months + 1) > millis).unwrap();
        (begins(number), begins(number + 1))
    }
}

/// What a customer used in a billing period, added up event by event.
pub struct PeriodOracle {
    tier: usize,
    pub bounds: (i64, i64),
    /// Units by price.
    units: [Option<u64>; 5],
    pub events: u64,
    pub unpriced_events: u64,
    pub unknown_units: u64,
    /// In trillionths.
    pub cost: i128,
}

impl PeriodOracle {
    fn of<'a>(events: impl Iterator<Item = &'a Event>, bounds: (i64, i64)) -> Self {
        let mut period =
            Self { tier: 0, bounds, units: [None; 5], events: 0, unpriced_events: 0, unknown_units: 0, cost: 0 };
        for event in events {
            period.tier = usize::from(event.customer != CUSTOMERS[0]);
            period.events += 1;
            period.cost += trillionths(event.recorded().cost);
            match event.price(period.tier) {
                Some(price) => *period.units[price].get_or_insert(0) += u64::from(event.units),
                None => period.unpriced_events += 1,
            }
            if event.meter == Meter::AGENT_EXECUTION {
                period.unknown_units += u64::from(event.units);
            }
        }
        period
    }

    pub fn recorded_cost(&self) -> BigRational {
        BigRational::new(self.cost.into(), 1_000_000_000_000u64.into())
    }

    /// Of a span, where there is one, only the share of the tier's own amounts.
    pub fn due(&self, world: &World, span: Option<Period>) -> BigRational {
        let Terms { base, minimum, included } = world.tiers[self.tier];
        let mut free = included;
        let mut due = self.share(millionths(base), span);
        for (price, units) in self.units.iter().enumerate() {
            let Some(units) = *units else { continue };
            let covered = units.min(free);
            free -= covered;
            // The last price is the first one once more.
            due += world.prices.amount(price % 4, (units - covered) * GRAINS_PER_UNIT);
        }
        due.max(self.share(millionths(minimum), span))
    }

    /// What has fallen due by the end of the part, in cents, less what had by its start.
    fn share(&self, amount: BigRational, span: Option<Period>) -> BigRational {
        let (start, end) = self.bounds;
        let Some(span) = span else { return amount };
        let part = (start.max(span.start.as_millis()), end.min(span.end.as_millis()));
        if part == self.bounds {
            return amount;
        }
        let seconds = |millis: i64| millis.div_euclid(1_000) - start.div_euclid(1_000);
        let by = |millis: i64| {
            if seconds(millis) == seconds(end) {
                return amount.clone();
            }
            let part = BigRational::new(seconds(millis).into(), seconds(end).into());
            let cents = &amount * part * integer(100) + BigRational::new(1.into(), 2.into());
            cents.floor() / integer(100)
        };
        by(part.1) - by(part.0)
    }
}

#[test]
fn the_oracle_s_customers_are_the_store_s() {
    let world = World::example();
    let customer = world.store.customer(&customer_id(ANCHORED)).unwrap().expect("a customer");
    assert_eq!(customer.billing_cycle_anchor, Some(Timestamp::from_stored(ANCHOR)));
}

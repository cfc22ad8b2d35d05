//! Random events against an oracle of maps and integers: verdicts, events, rollups and counters agree with it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use weighbridge::domain::{EventId, Meter, Refusal, Timestamp, UsageEvent};
use weighbridge::store::{Store, UsageRow, Verdict};

use super::Fixture;
use crate::support::*;

const CUSTOMERS: &[&str] = &["ann", "bob", "cat"];
const ZONES: &[&str] = &["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"];

/// Events, units and trillionths.
type Sums = (u64, u64, i128);
/// Customer, start of the hour or exact instant, meter, endpoint.
type Grain = (String, i64, Meter, Option<String>);

#[derive(Debug, Clone)]
struct Step {
    event: UsageEvent,
    admitted: bool,
}

fn steps() -> impl Strategy<Value = Step> {
    let start = at("2026-01-30T00:00:00Z").as_millis();
    let hours = 0..24 * 62i64;
    // Often at an hour's or half hour's very edge.
    let minutes = prop_oneof![Just(0), Just(29 * 60_000 + 59_999), Just(30 * 60_000), 0..3_600_000i64];
    (
        (prop::sample::select(CUSTOMERS), prop::option::of(0..6u8), prop::sample::select(Meter::BUILT_IN.as_slice())),
        (1..30u32, 0..10_000_000_000u64, hours, minutes),
        (prop::option::of(0..2u8), any::<bool>()),
    )
        .prop_map(move |((customer, id, meter), (count, amount, hour, millis), (endpoint, admitted))| {
            let contents = UsageEvent {
                id: id.map(|id| EventId::new(format!("event-{id}")).unwrap()),
                meter,
                units: units(count),
                cost: money(&format!("{}.{:012}", amount % 7, amount)),
                timestamp: Timestamp::from_stored(start + hour * 3_600_000 + millis),
                endpoint: endpoint.map(|endpoint| format!("/{endpoint}")),
                ..event(customer)
            };
            // With few contents for an id, some repetitions are retries and some are conflicts.
            let event = match id {
                Some(id) if count % 3 > 0 => {
                    UsageEvent { units: units(u32::from(id) + 1), cost: money("0.01"), endpoint: None, ..contents }
                }
                _ => contents,
            };
            Step { event, admitted }
        })
}

#[derive(Default)]
struct Oracle {
    /// What each id of a customer stands for.
    ids: BTreeMap<(String, String), String>,
    recorded: Vec<UsageEvent>,
}

impl Oracle {
    fn judge(&mut self, Step { event, admitted }: &Step, zone: &str) -> &'static str {
        if let Some(id) = &event.id {
            let contents = format!("{:?} {:?} {} {:?}", event.meter, event.units, event.cost, event.endpoint);
            let key = (event.customer_id.to_string(), id.as_str().to_owned());
            match self.ids.get(&key) {
                Some(known) if *known == contents => return "duplicate",
                Some(_) => return "conflict",
                None if !self.fits(event, *admitted, zone) => return "limit",
                None => drop(self.ids.insert(key, contents)),
            }
        } else if !self.fits(event, *admitted, zone) {
            return "limit";
        }
        self.recorded.push(event.clone());
        "recorded"
    }

    /// Nobody has a tier: 1,000 requests and 50 executions a month.
    fn fits(&self, event: &UsageEvent, admitted: bool, zone: &str) -> bool {
        let limit = match event.meter {
            Meter::API_REQUEST => 1_000,
            Meter::AGENT_EXECUTION => 50,
            _ => u64::MAX,
        };
        let counters = self.counters(zone);
        let used = counters.get(&(event.customer_id.to_string(), month(event, zone), event.meter));
        !admitted || used.map_or(0, |used| used.1) + event.units.get() <= limit
    }

    fn counters(&self, zone: &str) -> BTreeMap<(String, i64, Meter), Sums> {
        sums(&self.recorded, |event| (event.customer_id.to_string(), month(event, zone), event.meter))
    }

    fn grains(&self, millis: i64) -> BTreeMap<Grain, Sums> {
        sums(&self.recorded, |event| {
            let start = event.timestamp.as_millis() / millis * millis;
            (event.customer_id.to_string(), start, event.meter, event.endpoint.clone())
        })
    }
}

fn sums<K: Ord>(events: &[UsageEvent], key: impl Fn(&UsageEvent) -> K) -> BTreeMap<K, Sums> {
    let mut sums = BTreeMap::new();
    for event in events {
        let sum: &mut Sums = sums.entry(key(event)).or_default();
        *sum = (sum.0 + 1, sum.1 + event.units.get(), sum.2 + trillionths(event.cost));
    }
    sums
}

/// The start of the event's month, by a calendar that is not the one under test.
fn month(event: &UsageEvent, zone: &str) -> i64 {
    let zone = TimeZone::get(zone).expect("a time zone");
    let instant = jiff::Timestamp::from_millisecond(event.timestamp.as_millis()).expect("an instant");
    let first = instant.to_zoned(zone).first_of_month().and_then(|first| first.start_of_day());
    first.expect("a month").timestamp().as_millisecond()
}

fn visited(rows: Vec<UsageRow>) -> BTreeMap<Grain, Sums> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let key = (row.customer_id.to_string(), row.at.as_millis(), row.meter, row.endpoint);
        let sum: &mut Sums = sums.entry(key).or_default();
        *sum = (sum.0 + row.events, sum.1 + row.units, sum.2 + trillionths(row.cost));
    }
    sums
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Recorded => "recorded",
        Verdict::Duplicate => "duplicate",
        Verdict::Refused(Refusal::IdempotencyConflict) => "conflict",
        Verdict::Refused(Refusal::LimitExceeded(_)) => "limit",
        Verdict::Refused(_) => "other",
    }
}

fn agrees(store: &dyn Store, oracle: &Oracle, zone: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(visited(events(store, None, all_time())), oracle.grains(1));
    prop_assert_eq!(visited(hourly_rollups(store, None, all_time())), oracle.grains(3_600_000));
    let expected = oracle.counters(zone);
    for ((customer, start, meter), (_, units, cost)) in &expected {
        let counters = store.counters(&customer_id(customer), Timestamp::from_stored(*start)).unwrap();
        let counter = counters.iter().find(|counter| counter.meter == *meter);
        let found = counter.map(|counter| (counter.units, trillionths(counter.cost)));
        prop_assert_eq!(found, Some((*units, *cost)), "{} {} {:?}", customer, start, meter);
    }
    Ok(())
}

/// Each run begins in a place of its own.
pub fn rollups_events_and_counters_equal_an_independent_count<F: Fixture>(_: &F) {
    let groups = prop::collection::vec(prop::collection::vec(steps(), 1..25), 1..8);
    let zones = [prop::sample::select(ZONES), prop::sample::select(ZONES)];
    let config = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    let run = |(groups, zones): (Vec<Vec<Step>>, [&str; 2])| run(&F::new(), &groups, zones);
    TestRunner::new(config).run(&(groups, zones), run).unwrap();
}

/// Counts in one time zone and goes over to another; every other group is another store's.
fn run(place: &dyn Fixture, groups: &[Vec<Step>], zones: [&str; 2]) -> Result<(), TestCaseError> {
    let stores = [place.open(), place.open()];
    let mut oracle = Oracle::default();
    let halves = groups.split_at(groups.len() / 2);
    for (zone, groups) in zones.into_iter().zip([halves.0, halves.1]) {
        commit(&*stores[0], &[configure_time_zone(zone)]);
        for (store, group) in stores.iter().cycle().zip(groups) {
            let expected: Vec<_> = group.iter().map(|step| oracle.judge(step, zone)).collect();
            let change = |step: &Step| if step.admitted { admit } else { record }(step.event.clone());
            let verdicts = verdicts(&**store, &group.iter().map(change).collect::<Vec<_>>());
            prop_assert_eq!(verdicts.iter().map(name).collect::<Vec<_>>(), expected);
        }
        agrees(&*stores[1], &oracle, zone)?;
    }
    drop(stores);
    agrees(&*place.open(), &oracle, zones[1])
}

//! What can happen next.

use proptest::prelude::*;
use proptest::sample::select;

/// A customer and a meter: see [`super::world::KEYS`].
pub type Key = usize;

/// Which process or which of its holds: one of those that there are.
pub type Which = usize;

#[derive(Debug, Clone)]
pub enum Step {
    /// A request that an engine admits. One with an id is charged at once, unless the store is away.
    Request {
        process: Which,
        key: Key,
        units: u32,
        id: Option<u8>,
        away: bool,
    },
    Hold {
        process: Which,
        key: Key,
        units: u32,
    },
    /// `None`: without an event.
    EndHold {
        process: Which,
        hold: Which,
        units: Option<u32>,
    },
    Refill {
        process: Which,
        key: Key,
        wanted: u64,
    },
    GiveBack {
        process: Which,
        key: Key,
    },
    HeedRecalls {
        process: Which,
    },
    /// Learns of the limits, the time zone and the anchors.
    Observe {
        process: Which,
    },
    /// Records some more of the journal, and some again that it has recorded; a refill may be in the same group.
    Record {
        process: Which,
        count: usize,
        again: usize,
        refill: Option<(Key, u64)>,
    },
    /// Its last commits are not heard of.
    Crash {
        process: Which,
        recorded: usize,
        refill: Option<(Key, u64)>,
    },
    Close {
        process: Which,
    },
    Start {
        process: Which,
    },
    Inherit {
        from: Which,
        until: Until,
    },
    /// Somebody charges without leases.
    Charge {
        key: Key,
        units: u32,
        id: Option<u8>,
        is_fact: bool,
    },
    SetTier {
        key: Key,
        tier: &'static str,
    },
    SetLimits {
        small: Option<u64>,
        large: Option<u64>,
    },
    SetZone {
        zone: &'static str,
    },
    /// `None`: the customer's billing periods are calendar months.
    SetAnchor {
        key: Key,
        anchor: Option<&'static str>,
    },
    SetClock {
        now: &'static str,
    },
}

/// When an heir dies himself.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Recorded(usize),
    Returned,
    JournalDeleted,
    Done,
}

pub const PROCESSES: usize = 3;
pub const TIERS: [&str; 2] = ["small", "large"];
pub const ZONES: [&str; 3] = ["UTC", "Europe/London", "America/New_York"];

/// With periods that begin with a month, in its midst, and at its end, which is another day in each.
pub const ANCHORS: [Option<&str>; 6] = [
    None,
    Some("2026-03-01T00:00:00Z"),
    Some("2026-01-10T12:00:00Z"),
    Some("2025-12-31T23:00:00Z"),
    Some("2026-04-30T04:00:00Z"),
    Some("2026-03-10T11:59:59.999Z"),
];

/// Around the ends of months, which differ between the zones.
pub const INSTANTS: [&str; 10] = [
    "2026-03-01T00:00:00Z",
    "2026-03-01T04:59:59.999Z",
    "2026-03-10T12:00:00Z",
    "2026-03-31T22:59:59.999Z",
    "2026-03-31T23:00:00Z",
    "2026-03-31T23:59:59.999Z",
    "2026-04-01T00:00:00Z",
    "2026-04-01T03:59:59.999Z",
    "2026-04-01T04:00:00Z",
    "2026-04-20T00:00:00Z",
];

pub fn steps() -> impl Strategy<Value = Step> {
    let process = || 0..PROCESSES;
    let key = || 0..super::world::KEYS.len();
    let units = || prop_oneof![4 => Just(1u32), 2 => 2..6u32, 1 => 6..40u32];
    let id = || prop_oneof![3 => Just(None), 1 => (0..5u8).prop_map(Some)];
    let limit = || select(vec![None, Some(0), Some(1), Some(7), Some(20), Some(60), Some(200)]);
    let refill = || prop::option::weighted(0.3, (key(), 1..80u64));
    let until = prop_oneof![
        2 => (0..9usize).prop_map(Until::Recorded),
        1 => Just(Until::Returned),
        1 => Just(Until::JournalDeleted),
        3 => Just(Until::Done),
    ];
    prop_oneof![
        24 => (process(), key(), units(), id(), any::<bool>())
            .prop_map(|(process, key, units, id, away)| Step::Request { process, key, units, id, away }),
        5 => (process(), key(), units()).prop_map(|(process, key, units)| Step::Hold { process, key, units }),
        5 => (process(), 0..9usize, prop::option::of(units()))
            .prop_map(|(process, hold, units)| Step::EndHold { process, hold, units }),
        8 => (process(), key(), 1..80u64).prop_map(|(process, key, wanted)| Step::Refill { process, key, wanted }),
        2 => (process(), key()).prop_map(|(process, key)| Step::GiveBack { process, key }),
        5 => process().prop_map(|process| Step::HeedRecalls { process }),
        3 => process().prop_map(|process| Step::Observe { process }),
        8 => (process(), 0..12usize, 0..4usize, refill())
            .prop_map(|(process, count, again, refill)| Step::Record { process, count, again, refill }),
        3 => (process(), 0..5usize, refill())
            .prop_map(|(process, recorded, refill)| Step::Crash { process, recorded, refill }),
        1 => process().prop_map(|process| Step::Close { process }),
        4 => process().prop_map(|process| Step::Start { process }),
        4 => (0..9usize, until).prop_map(|(from, until)| Step::Inherit { from, until }),
        5 => (key(), units(), id(), prop::bool::weighted(0.3))
            .prop_map(|(key, units, id, is_fact)| Step::Charge { key, units, id, is_fact }),
        1 => (key(), select(TIERS.as_slice())).prop_map(|(key, tier)| Step::SetTier { key, tier }),
        1 => (limit(), limit()).prop_map(|(small, large)| Step::SetLimits { small, large }),
        1 => select(ZONES.as_slice()).prop_map(|zone| Step::SetZone { zone }),
        1 => (key(), select(ANCHORS.as_slice())).prop_map(|(key, anchor)| Step::SetAnchor { key, anchor }),
        5 => select(INSTANTS.as_slice()).prop_map(|now| Step::SetClock { now }),
    ]
}

//! Small worlds in which everything may happen, at instants six hours apart, in amounts of quarters.

use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::json;
use weighbridge::domain::credit::{Activity, Grant, OverageAtReset, Terms};
use weighbridge::domain::json::Value;
use weighbridge::domain::{Decimal, Timestamp};

/// 2026-01-25T00:00:00Z, so that February begins at tick 28.
const BASE: i64 = 1_769_299_200_000;
const TICK: i64 = 6 * 3_600_000;
pub const TICKS: i64 = 44;
/// The tick at which February begins in UTC.
pub const FEBRUARY: i64 = 28;

pub fn instant(tick: i64) -> Timestamp {
    Timestamp::from_stored(BASE + tick * TICK)
}

/// So many quarters.
pub fn decimal(quarters: u64) -> Decimal {
    Decimal::parse("amount", &text(quarters)).unwrap()
}

fn text(quarters: u64) -> String {
    format!("{}.{:02}", quarters / 4, quarters % 4 * 25)
}

#[derive(Debug, Clone)]
pub enum Recurs {
    /// At midnight in UTC.
    Daily,
    /// At midnight in Dhaka, six hours before UTC.
    DailyInDhaka,
    Monthly,
    At(Vec<i64>),
}

/// A grant in ticks and quarters.
#[derive(Debug, Clone)]
pub struct Spec {
    pub id: char,
    pub amount: u64,
    pub priority: u8,
    pub effective: i64,
    pub expires: Option<i64>,
    pub created: i64,
    pub voided: Option<i64>,
    pub recurs: Option<Recurs>,
    /// Minimum and maximum.
    pub rollover: Option<(u64, Option<u64>)>,
}

impl Spec {
    pub fn grant(&self) -> Grant {
        let millis = |tick: i64| instant(tick).as_millis();
        let recurrence = self.recurs.as_ref().map(|recurs| match recurs {
            Recurs::Daily => json!({ "every": "day" }),
            Recurs::DailyInDhaka => json!({ "every": "day", "timeZone": "Asia/Dhaka" }),
            Recurs::Monthly => json!({ "every": "month" }),
            Recurs::At(ticks) => json!({ "at": ticks.iter().map(|tick| millis(*tick)).collect::<Vec<_>>() }),
        });
        let rollover =
            self.rollover.map(|(minimum, maximum)| json!({ "minimum": text(minimum), "maximum": maximum.map(text) }));
        let grant = json!({
            "id": self.id,
            "amount": text(self.amount),
            "priority": self.priority,
            "effectiveAt": millis(self.effective),
            "expiresAt": self.expires.map(millis),
            "createdAt": millis(self.created),
            "voidedAt": self.voided.map(millis),
            "recurrence": recurrence,
            "rollover": rollover,
        });
        Grant::read(&Value::parse("grant", &grant.to_string()).unwrap()).unwrap()
    }
}

/// What a customer does at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    Use(u64),
    Refund(u64),
}

#[derive(Debug, Clone)]
pub struct World {
    pub grants: Vec<Spec>,
    pub resets: Vec<i64>,
    pub at_reset: OverageAtReset,
    /// In order of time, at one tick usage before refunds, and never more refunded than used.
    pub deeds: Vec<(i64, Deed)>,
}

impl World {
    pub fn grants(&self) -> Vec<Grant> {
        self.grants.iter().map(Spec::grant).collect()
    }

    pub fn resets(&self) -> Vec<Timestamp> {
        self.resets.iter().copied().map(instant).collect()
    }

    /// What is done in `[from, to)`.
    pub fn activity(&self, from: i64, to: i64) -> Vec<Activity> {
        self.deeds.iter().filter(|(tick, _)| (from..to).contains(tick)).map(|deed| activity(*deed)).collect()
    }

    /// The same without refunds.
    pub fn without_refunds(mut self) -> Self {
        self.deeds.retain(|(_, deed)| matches!(deed, Deed::Use(_)));
        self
    }

    pub fn with<Answer>(&self, ask: impl FnOnce(&Terms<'_>) -> Answer) -> Answer {
        ask(&Terms { grants: &self.grants(), resets: &self.resets(), at_reset: self.at_reset })
    }
}

fn activity((tick, deed): (i64, Deed)) -> Activity {
    let at = instant(tick);
    match deed {
        Deed::Use(quarters) => Activity::Usage { at, amount: decimal(quarters) },
        Deed::Refund(quarters) => Activity::Refund { at, amount: decimal(quarters) },
    }
}

fn recurs() -> impl Strategy<Value = Recurs> {
    prop_oneof![
        Just(Recurs::Daily),
        Just(Recurs::DailyInDhaka),
        Just(Recurs::Monthly),
        prop::collection::vec(0..TICKS, 0..4).prop_map(Recurs::At),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let rollover = (0u64..12, prop::option::of(0u64..12))
        .prop_map(|(minimum, width)| (minimum, width.map(|width| minimum + width)));
    let time = (0..30i64, prop::option::of(1..30i64), 0..3i64, prop::option::weighted(0.3, 0..40i64));
    (0u64..24, 0u8..3, time, prop::option::weighted(0.4, recurs()), prop::option::weighted(0.5, rollover)).prop_map(
        |(amount, priority, (effective, life, created, voided), recurs, rollover)| Spec {
            id: 'a',
            amount,
            priority,
            effective,
            expires: life.map(|life| effective + life),
            created,
            voided,
            recurs,
            rollover,
        },
    )
}

fn deeds() -> impl Strategy<Value = Vec<(i64, Deed)>> {
    let deed = prop_oneof![2 => (1u64..16).prop_map(Deed::Use), 1 => (1u64..16).prop_map(Deed::Refund)];
    prop::collection::vec((0..TICKS, deed), 0..30).prop_map(|mut deeds| {
        deeds.sort();
        let mut used = 0;
        deeds.retain_mut(|(_, deed)| match deed {
            Deed::Use(quarters) => {
                used += *quarters;
                true
            }
            Deed::Refund(quarters) => {
                *quarters = used.min(*quarters);
                used -= *quarters;
                *quarters > 0
            }
        });
        deeds
    })
}

pub fn world() -> impl Strategy<Value = World> {
    let grants = prop::collection::vec(spec(), 0..5).prop_map(|mut grants| {
        grants.iter_mut().zip('a'..).for_each(|(grant, id)| grant.id = id);
        grants
    });
    let resets = prop_oneof![Just(vec![]), subsequence((0..TICKS).collect::<Vec<_>>(), 1..12)];
    let at_reset = prop_oneof![Just(OverageAtReset::Bill), Just(OverageAtReset::Carry)];
    (grants.prop_shuffle(), resets, at_reset, deeds()).prop_map(|(grants, resets, at_reset, deeds)| World {
        grants,
        resets,
        at_reset,
        deeds,
    })
}

//! What always holds.

use proptest::prelude::*;
use weighbridge::domain::Decimal;
use weighbridge::domain::credit::{Account, Activity, Balance, Segment, Snapshot, balance_at, run};

use crate::oracle::Oracle;
use crate::world::{Deed, TICKS, World, decimal, instant, world};

fn balance(world: &World, activity: Vec<Activity>, at: i64) -> Balance {
    world.with(|terms| balance_at(&Snapshot::empty(instant(0)), terms, activity, instant(at)).unwrap())
}

/// From cut to cut, each run with the snapshot of the one before.
fn run_by_parts(world: &World, cuts: &[i64]) -> (Snapshot, Vec<Segment>) {
    let mut snapshot = Snapshot::empty(instant(0));
    let mut history = vec![];
    let mut from = 0;
    for to in cuts.iter().copied().chain([TICKS]) {
        let outcome = world.with(|terms| run(&snapshot, terms, world.activity(from, to), instant(to)).unwrap());
        snapshot = outcome.snapshot;
        history.extend(outcome.history);
        from = to;
    }
    (snapshot, history)
}

/// Segments that follow each other although nothing has changed are one.
fn joined(history: Vec<Segment>) -> Vec<Segment> {
    let mut joined: Vec<Segment> = vec![];
    for segment in history {
        match joined.last_mut() {
            Some(last) if segment.changes.is_empty() => {
                assert_eq!(last.period.end, segment.period.start);
                last.period.end = segment.period.end;
                last.used = &last.used + &segment.used;
                last.refunded = &last.refunded + &segment.refunded;
                for (grant, burnt) in segment.burnt {
                    let sum = last.burnt.entry(grant).or_default();
                    *sum = &*sum + &burnt;
                }
                last.burnt.retain(|_, burnt| !burnt.is_zero());
                (last.left, last.overage) = (segment.left, segment.overage);
            }
            _ => joined.push(segment),
        }
    }
    joined
}

fn used(deeds: &[(i64, Deed)], before: i64) -> Decimal {
    let net = deeds.iter().filter(|(tick, _)| *tick < before).fold(0, |sum, (_, deed)| match deed {
        Deed::Use(quarters) => sum + quarters,
        Deed::Refund(quarters) => sum - quarters,
    });
    decimal(net)
}

fn sum<'a>(decimals: impl IntoIterator<Item = &'a Decimal>) -> Decimal {
    decimals.into_iter().cloned().sum()
}

/// What is true of the grants at any instant.
fn is_whole(balance: &Balance, used: &Decimal) {
    for (id, Account { granted, burnt, left, expired, voided, .. }) in &balance.grants {
        let parts = [burnt, left, expired, voided];
        assert!(parts.iter().all(|part| !part.is_negative()), "{id}: {parts:?}");
        assert_eq!(*granted, sum(parts), "{id}");
    }
    let burnt = sum(balance.grants.iter().map(|(_, account)| &account.burnt));
    assert_eq!(*used, sum([&burnt, &balance.overage, &balance.billed]));
    assert!(!balance.overage.is_negative() && !balance.billed.is_negative());
    assert!(balance.left.is_zero() || balance.overage.is_zero(), "owed with something left: {balance:?}");
}

/// The same deeds, those of one tick the other way round.
fn reversed_within_ticks(activity: Vec<Activity>) -> Vec<Activity> {
    let mut reversed: Vec<Activity> = activity.into_iter().rev().collect();
    reversed.sort_by_key(Activity::at);
    reversed
}

proptest! {
    // So many, because few worlds have a reset at the very instant at which something else falls due.
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_run_does_what_the_oracle_does(world in world(), at in 0..=TICKS) {
        let oracle = Oracle::at(&world, at);
        let balance = balance(&world, world.activity(0, TICKS), at);
        let counts: Vec<_> = balance.grants.iter().map(|(id, account)| {
            let Account { left, burnt, expired, voided, .. } = account;
            (id.to_string(), [left, burnt, expired, voided].map(Clone::clone))
        }).collect();
        let mut expected: Vec<_> =
            oracle.counts(&world, at).into_iter().map(|(id, counts)| (id.to_string(), counts.map(decimal))).collect();
        // The one is by burning order, the other by id.
        let mut counts = counts;
        counts.sort_by(|(one, _), (other, _)| one.cmp(other));
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        prop_assert_eq!(counts, expected);
        prop_assert_eq!((&balance.overage, &balance.billed), (&decimal(oracle.owed()), &decimal(oracle.billed())));
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_made_up_at_any_instant(world in world()) {
        for at in 0..=TICKS {
            is_whole(&balance(&world, world.activity(0, TICKS), at), &used(&world.deeds, at));
        }
    }

    /// One run over A..C is one over A..B and one over B..C, in its history too.
    #[test]
    fn snapshots_change_what_it_costs_and_never_what_it_is(world in world(), mut cuts in prop::collection::vec(0..=TICKS, 1..6)) {
        cuts.sort();
        let (whole, whole_history) = run_by_parts(&world, &[]);
        let (parts, parts_history) = run_by_parts(&world, &cuts);
        prop_assert_eq!(whole, parts);
        prop_assert_eq!(joined(whole_history), joined(parts_history));
    }

    #[test]
    fn the_order_of_inputs_does_not_matter(world in world()) {
        let (expected, history) = run_by_parts(&world, &[]);
        let mut other = world.clone();
        other.grants.reverse();
        other.resets.reverse();
        let reversed = reversed_within_ticks(world.activity(0, TICKS));
        let outcome = other.with(|terms| run(&Snapshot::empty(instant(0)), terms, reversed, instant(TICKS)).unwrap());
        prop_assert_eq!(outcome.snapshot, expected);
        prop_assert_eq!(outcome.history, history);
    }

    /// However usage is divided into events, it burns the same.
    #[test]
    fn many_small_events_are_one_large_one(world in world()) {
        let (expected, _) = run_by_parts(&world, &[]);
        let mut other = world.clone();
        other.deeds = world.deeds.iter().flat_map(|(tick, deed)| match *deed {
            Deed::Use(quarters) => vec![(*tick, Deed::Use(1)); quarters as usize],
            Deed::Refund(quarters) => vec![(*tick, Deed::Refund(1)); quarters as usize],
        }).collect();
        prop_assert_eq!(run_by_parts(&other, &[]).0, expected);
    }

    #[test]
    fn what_is_refunded_at_once_was_never_used(world in world(), tick in 0..TICKS, quarters in 1u64..40) {
        let (expected, _) = run_by_parts(&world, &[]);
        let mut other = world.clone();
        other.deeds.extend([(tick, Deed::Use(quarters)), (tick, Deed::Refund(quarters))]);
        other.deeds.sort();
        prop_assert_eq!(run_by_parts(&other, &[]).0, expected);
    }

    /// Whatever has happened since: resets, recurrences, endings.
    #[test]
    fn who_gets_everything_back_has_what_he_would_have(world in world(), at in 0..TICKS) {
        let world = world.without_refunds();
        let idle = balance(&world, vec![], at + 1);
        let mut deeds = world.activity(0, at + 1);
        let Some(total) = deeds.iter().map(amount).reduce(|sum, amount| &sum + &amount) else { return Ok(()) };
        deeds.push(Activity::Refund { at: instant(at), amount: total });
        let refunded = balance(&world, deeds, at + 1);
        let left = |balance: &Balance| -> Vec<_> {
            balance.grants.iter().map(|(id, account)| (id.clone(), account.left.clone(), account.burnt.clone())).collect()
        };
        prop_assert_eq!(left(&refunded), left(&idle));
        prop_assert!(refunded.overage.is_zero() && refunded.billed.is_zero());
    }

    #[test]
    fn a_history_is_without_gap_and_adds_up(world in world()) {
        let (snapshot, history) = run_by_parts(&world, &[]);
        let mut at = instant(0);
        for segment in &history {
            prop_assert_eq!(segment.period.start, at);
            prop_assert!(segment.period.start < segment.period.end);
            at = segment.period.end;
        }
        prop_assert_eq!(at, instant(TICKS));
        let net = &sum(history.iter().map(|segment| &segment.used)) - &sum(history.iter().map(|segment| &segment.refunded));
        prop_assert_eq!(net, used(&world.deeds, TICKS));
        for (id, account) in &snapshot.accounts {
            let burnt = sum(history.iter().filter_map(|segment| segment.burnt.get(id)));
            prop_assert_eq!(&burnt, &account.burnt, "{}", id);
        }
        let last = history.last().unwrap();
        prop_assert_eq!(&last.overage, &snapshot.overage);
        for (id, left) in &last.left {
            prop_assert_eq!(left, &snapshot.accounts[id].left);
        }
    }

    /// Voiding and expiry change nothing before them.
    #[test]
    fn the_end_of_a_grant_does_not_change_the_past(world in world(), end in 0..TICKS) {
        let mut ended = world.clone();
        for grant in &mut ended.grants {
            grant.voided = Some(grant.voided.map_or(end, |voided| voided.min(end)));
        }
        let before = |world: &World| {
            world.with(|terms| run(&Snapshot::empty(instant(0)), terms, world.activity(0, end), instant(end)).unwrap())
        };
        // A grant that never counts is the one that can be told before.
        if ended.grants.iter().all(|grant| grant.effective < end) {
            prop_assert_eq!(before(&ended), before(&world));
        }
        let after = balance(&ended, world.activity(0, end), end);
        prop_assert!(after.left.is_zero());
    }
}

fn amount(activity: &Activity) -> Decimal {
    match activity {
        Activity::Usage { amount, .. } | Activity::Refund { amount, .. } => amount.clone(),
    }
}

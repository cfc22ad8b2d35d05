//! The reports of one account whose usage lies in one hour, and what the other side has counted of that hour.

use super::{Cause, Entry, Finding, Step};
use crate::domain::Timestamp;
use crate::domain::outbox::State;
use crate::domain::outbox::delivery::LONGEST_PAST;

const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
/// Stripe says that meter events are processed asynchronously, and not how long that takes.
const SETTLING: i64 = HOUR;
/// A report may be taken back within 24 hours of its delivery
/// (<https://docs.stripe.com/api/billing/meter-event-adjustment>); a distance is kept.
const CANCELLABLE: i64 = 23 * HOUR;

/// Compares an hour. `entries` are in the order of their ids, which decides what is chosen where there is a choice: a
/// repair that broke off goes on with the same reports.
pub fn compare_hour(entries: &[Entry], counted: u64, hour: Timestamp, now: Timestamp) -> Vec<Finding> {
    let of = |state| entries.iter().filter(move |entry| entry.report.state == state);
    let units = |states: &[State]| total(entries.iter().filter(|entry| states.contains(&entry.report.state)));
    let sent = units(&[State::Sent]);
    let on_its_way = units(&[State::Pending, State::Sending]);
    let fresh = total(of(State::Sent).filter(|entry| is_fresh(entry, now)));
    let is_at_rest = on_its_way == 0 && fresh == 0;
    let mut findings = Vec::new();
    let mut found = |cause, units, steps: Vec<Step>| {
        if units > 0 {
            findings.push(Finding { cause, units, steps: if is_at_rest { steps } else { Vec::new() } });
        }
    };
    found(Cause::OnItsWay, on_its_way, Vec::new());

    // Of what is on its way in doubt, some may have arrived.
    let in_doubt = total(entries.iter().filter(|entry| entry.report.state.is_open_ended() && may_be_there(entry)));
    let mut arrived = counted.saturating_sub(sent);
    arrived -= arrived.min(in_doubt);
    for (state, cause) in
        [(State::Uncertain, Cause::Uncertain), (State::Dead, Cause::Dead), (State::Frozen, Cause::Frozen)]
    {
        let mut steps = Vec::new();
        for entry in of(state) {
            let there = entry.report.units.min(arrived);
            arrived -= there;
            let report = || entry.report.id.clone();
            let rest = entry.report.units - there;
            if there > 0 {
                steps.push(Step::Settle { report: report(), units: there });
            }
            if rest > 0 {
                steps.push(Step::Resend { report: report(), units: rest, timestamp: acceptable(entry, now) });
            }
        }
        found(cause, units(&[state]), steps);
    }
    found(Cause::CountedAtStripeOnly, arrived, take_back(of(State::Sent), arrived, hour, now));

    let short = sent.saturating_sub(counted);
    let late = short.min(fresh);
    found(Cause::Late, late, Vec::new());
    found(Cause::MissingAtStripe, short - late, send_again(of(State::Sent), short - late, now));
    findings
}

fn take_back<'a>(sent: impl Iterator<Item = &'a Entry>, too_many: u64, hour: Timestamp, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut left = too_many;
    for entry in sent.filter(|entry| is_cancellable(entry, now)) {
        if left == 0 {
            break;
        }
        let covered = entry.report.units.min(left);
        left -= covered;
        let resend = entry.report.units - covered;
        let timestamp = acceptable(entry, now);
        steps.push(Step::Cancel { report: entry.report.id.clone(), covered, resend, timestamp });
    }
    if left > 0 {
        steps.push(Step::CarryForward { units: left, timestamp: hour });
    }
    steps
}

fn send_again<'a>(sent: impl Iterator<Item = &'a Entry>, missing: u64, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut left = missing;
    for entry in sent {
        let units = entry.report.units.min(left);
        left -= units;
        if units > 0 {
            steps.push(Step::Resend { report: entry.report.id.clone(), units, timestamp: acceptable(entry, now) });
        }
    }
    steps
}

fn total<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    entries.map(|entry| entry.report.units).sum()
}

fn may_be_there(entry: &Entry) -> bool {
    entry.report.in_doubt || entry.report.state == State::Sending
}

fn is_fresh(entry: &Entry, now: Timestamp) -> bool {
    entry.settled_at.is_some_and(|at| at > now.plus_millis(-SETTLING))
}

/// One that was never attempted under its id is nothing that the other side could take back.
fn is_cancellable(entry: &Entry, now: Timestamp) -> bool {
    entry.report.first_attempt_at.is_some_and(|first| first > now.plus_millis(-CANCELLABLE))
}

/// When its usage was; or, where that is too long ago to be taken, now.
fn acceptable(entry: &Entry, now: Timestamp) -> Timestamp {
    let is_taken = entry.report.timestamp > now.plus_millis(HOUR - LONGEST_PAST);
    if is_taken { entry.report.timestamp } else { now }
}

//! All usage of a time: in whole hours where these suffice, in single events where they do not.
//!
//! Hours are added up by customer, meter and endpoint, and are kept for ever; single events are many, and may have been
//! dropped. Whether an hour's usage suffices depends on nothing but itself, so that each event counts in one of both ways,
//! whatever is recorded meanwhile.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use super::recorder::guarded;
use crate::domain::repricing::RecordedUsage;
use crate::domain::{CustomerId, Period, Timestamp};
use crate::store::{Store, Stretch};
use crate::{Code, Error, Result};

const HOUR: i64 = 3_600_000;
/// More only wait for the disk.
const MOST_THREADS: usize = 8;

/// Takes usage in any order.
pub trait Sink: Send {
    /// Whether all usage of an hour with this customer, meter and endpoint may come at once, without metadata.
    fn takes_whole(&mut self, usage: &RecordedUsage<'_>, hour: Period) -> bool;

    fn add(&mut self, usage: &RecordedUsage<'_>) -> Result<()>;

    /// Takes what another one has taken.
    fn merge(&mut self, other: Self) -> Result<()>
    where
        Self: Sized;
}

/// What was read.
pub struct History<S> {
    pub sink: S,
    /// Events that are known by their hour alone, which did not suffice: they were dropped, and are not in it.
    pub missing_events: u64,
}

/// A stretch, and whether of its events those are left out whose hour has sufficed.
struct Work {
    stretch: Stretch,
    is_told_by_hours: bool,
}

/// Reads on several threads, each with a sink of its own.
pub fn read<S: Sink>(
    store: &dyn Store,
    customer: Option<&CustomerId>,
    span: Period,
    sink: impl Fn() -> S + Sync,
) -> Result<History<S>> {
    let mut first = sink();
    let (hours, dropped_or_single) = read_hours(store, customer, whole_hours(span), &mut first)?;
    let mut work = Vec::new();
    for part in cut_hours(span) {
        work.extend(store.stretches(part)?.into_iter().map(|stretch| Work { stretch, is_told_by_hours: false }));
    }
    for part in joined(&hours) {
        work.extend(store.stretches(part)?.into_iter().map(|stretch| Work { stretch, is_told_by_hours: true }));
    }
    let (sinks, single) = read_events(store, customer, work, &sink)?;
    for sink in sinks {
        first.merge(sink)?;
    }
    Ok(History { sink: first, missing_events: dropped_or_single.saturating_sub(single) })
}

/// Adds the hours that suffice; answers with the others and how many events are in them that do not.
fn read_hours<S: Sink>(
    store: &dyn Store,
    customer: Option<&CustomerId>,
    span: Period,
    sink: &mut S,
) -> Result<(BTreeSet<Timestamp>, u64)> {
    let (mut others, mut events) = (BTreeSet::new(), 0);
    if span.start >= span.end {
        return Ok((others, events));
    }
    store.recorded_hours(customer, span, &mut |usage| {
        if sink.takes_whole(usage, hour_of(usage.at)) {
            return sink.add(usage);
        }
        others.insert(usage.at);
        events += usage.events;
        Ok(())
    })?;
    Ok((others, events))
}

/// Answers with the sinks, and how many events of hours that did not suffice there were.
fn read_events<S: Sink>(
    store: &dyn Store,
    customer: Option<&CustomerId>,
    work: Vec<Work>,
    sink: &(impl Fn() -> S + Sync),
) -> Result<(Vec<S>, u64)> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(work.len());
    let queue = Mutex::new(work.into_iter());
    let next = || queue.lock().ok().and_then(|mut work| work.next());
    let read = || -> Result<(S, u64)> {
        let (mut sink, mut single) = (sink(), 0);
        while let Some(Work { stretch, is_told_by_hours }) = next() {
            store.history(customer, &stretch, &mut |usage| {
                if is_told_by_hours && sink.takes_whole(usage, hour_of(usage.at)) {
                    return Ok(());
                }
                single += u64::from(is_told_by_hours);
                sink.add(usage)
            })?;
        }
        Ok((sink, single))
    };
    let results: Vec<Result<(S, u64)>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| guarded(read))).collect();
        let died = |_| Err(Error::new(Code::Internal, "a bug in Weighbridge; nothing was changed"));
        running.into_iter().map(|thread| thread.join().unwrap_or_else(died)).collect()
    });
    let (mut sinks, mut events) = (Vec::new(), 0);
    for result in results {
        let (sink, single) = result?;
        sinks.push(sink);
        events += single;
    }
    Ok((sinks, events))
}

fn hour_of(at: Timestamp) -> Period {
    let start = Timestamp::from_stored(at.as_millis() / HOUR * HOUR);
    Period { start, end: start.plus_millis(HOUR) }
}

/// The whole hours within a span; where there are none, it ends before it starts.
fn whole_hours(span: Period) -> Period {
    Period { start: hour_of(span.start.plus_millis(HOUR - 1)).start, end: hour_of(span.end).start }
}

/// What of a span is no whole hour.
fn cut_hours(span: Period) -> impl Iterator<Item = Period> {
    let hours = whole_hours(span);
    let parts = if hours.start >= hours.end {
        [span, Period { start: span.end, ..span }]
    } else {
        [Period { end: hours.start, ..span }, Period { start: hours.end, ..span }]
    };
    parts.into_iter().filter(|part| part.start < part.end)
}

/// Hours that follow each other, as one.
fn joined(hours: &BTreeSet<Timestamp>) -> Vec<Period> {
    let mut spans: Vec<Period> = Vec::new();
    for hour in hours.iter().map(|start| hour_of(*start)) {
        match spans.last_mut() {
            Some(last) if last.end == hour.start => last.end = hour.end,
            _ => spans.push(hour),
        }
    }
    spans
}

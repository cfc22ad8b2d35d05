//! Taking over what the seed's code left in `logs/usage/`.
//!
//! - `usage-events.json`: one JSON event a line. Each good line is counted once: the store remembers, in the transaction
//!   that counts, how far it has read, so a file that still grows is continued and one that does not is left alone.
//!   Bad lines go into `usage-events.rejected.jsonl` beside it.
//! - `customer-usage.json`: the seed's sums. They are derived from the events (and lost updates), so they count only for
//!   a customer of whom the log knows nothing.
//!
//! Neither file is ever written to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{CostBasis, CustomerId, Meter, Money, Timestamp, Units, UsageEvent};
use crate::store::{Applied, Change, Store, Takeover};
use crate::{Code, Error, Result};

const EVENTS_FILE: &str = "usage-events.json";
const USAGE_FILE: &str = "customer-usage.json";
const REJECTED_FILE: &str = "usage-events.rejected.jsonl";
/// Lines in one transaction.
const STRETCH: usize = 4_096;

/// What was taken over at this opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakeoverReport {
    pub events: u64,
    pub rejected: u64,
    /// Where the rejected lines are, if there are any.
    pub rejected_file: Option<PathBuf>,
    /// Customers whose sums were taken from `customer-usage.json`, because the log has no event of theirs.
    pub summaries: u64,
    /// Why `customer-usage.json` could not be read.
    pub summaries_error: Option<String>,
}

/// A line of `usage-events.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeedEvent<'a> {
    customer_id: String,
    subscription_id: Option<String>,
    event_type: String,
    endpoint: Option<String>,
    agent_type: Option<String>,
    timestamp: f64,
    cost: f64,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// A value of `customer-usage.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeedUsage {
    current_period_start: f64,
    current_period_end: f64,
    usage: SeedSums,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeedSums {
    api_requests: f64,
    agent_executions: f64,
    data_access_queries: f64,
    total_cost: f64,
}

/// A line of the file of rejected lines.
#[derive(Serialize, Deserialize)]
struct Rejected {
    /// Where the line begins in `usage-events.json`, in bytes.
    position: u64,
    reason: String,
    line: String,
}

/// Takes over what is new in the files of a directory.
///
/// `origin` tells the directory from those of other machines on the same store.
pub fn run(store: &dyn Store, origin: &str, dir: &Path, now: Timestamp) -> Result<TakeoverReport> {
    let mut report = TakeoverReport::default();
    take_over_events(store, &format!("{origin}{EVENTS_FILE}"), dir, now, &mut report)?;
    take_over_summaries(store, &format!("{origin}{USAGE_FILE}"), dir, now, &mut report)?;
    Ok(report)
}

fn take_over_events(
    store: &dyn Store,
    name: &str,
    dir: &Path,
    now: Timestamp,
    report: &mut TakeoverReport,
) -> Result<()> {
    let path = dir.join(EVENTS_FILE);
    let Some(file) = open(&path)? else { return Ok(()) };
    let mut lines = BufReader::new(file);
    loop {
        // Asked again for each stretch: another process may be taking over the same file.
        let from = store.takeover_position(name)?;
        lines.seek(SeekFrom::Start(from)).map_err(|error| unreadable(&path, &error))?;
        let stretch = read_stretch(&mut lines, from).map_err(|error| unreadable(&path, &error))?;
        if stretch.to == from {
            return Ok(());
        }
        let rejected = stretch.rejected.len() as u64;
        if rejected > 0 {
            report.rejected_file = Some(set_aside(dir, &stretch.rejected)?);
        }
        let events = stretch.events.len() as u64;
        let takeover = Takeover {
            file: name.to_owned(),
            from,
            to: stretch.to,
            events: stretch.events,
            customers: Vec::new(),
            now,
        };
        if commit(store, takeover)? {
            report.events += events;
            report.rejected += rejected;
        }
    }
}

#[derive(Default)]
struct Stretch {
    to: u64,
    events: Vec<UsageEvent>,
    rejected: Vec<Rejected>,
}

fn read_stretch(lines: &mut impl BufRead, from: u64) -> std::io::Result<Stretch> {
    let mut stretch = Stretch { to: from, ..Stretch::default() };
    let mut line = Vec::new();
    for _ in 0..STRETCH {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if !text.is_empty() {
            match parse_event(text) {
                Ok(event) => stretch.events.push(event),
                Err(reason) => {
                    stretch.rejected.push(Rejected { position: stretch.to, reason, line: text.to_owned() });
                }
            }
        }
        stretch.to += length as u64;
        if length == 0 {
            break;
        }
    }
    Ok(stretch)
}

fn parse_event(line: &str) -> std::result::Result<UsageEvent, String> {
    let seed: SeedEvent<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let metadata = seed.metadata.map(RawValue::get).filter(|json| *json != "null");
    let event = || {
        let event = UsageEvent {
            customer_id: CustomerId::new(seed.customer_id)?,
            id: None,
            meter: Meter::built_in(&seed.event_type)?,
            units: Units::ONE,
            cost: Money::from_number("cost", seed.cost)?,
            cost_basis: CostBasis::Caller,
            timestamp: Timestamp::from_millis("timestamp", seed.timestamp)?,
            subscription_id: seed.subscription_id,
            endpoint: seed.endpoint,
            agent_type: seed.agent_type,
            metadata: metadata.map(str::to_owned),
        };
        event.validate()?;
        Ok(event)
    };
    event().map_err(|error: Error| error.message)
}

/// Writes rejected lines down, each once: what a crash or another process has written before is not written again.
fn set_aside(dir: &Path, rejected: &[Rejected]) -> Result<PathBuf> {
    let path = dir.join(REJECTED_FILE);
    let write = || -> std::io::Result<()> {
        let mut file = File::options().read(true).append(true).create(true).open(&path)?;
        file.lock()?;
        let mut written = Vec::new();
        file.read_to_end(&mut written)?;
        // A line that a crash has torn is written again.
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        let last = written[..whole]
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Rejected>(line).ok())
            .map(|rejected| rejected.position)
            .max();
        let mut text = Vec::new();
        for line in rejected.iter().filter(|rejected| last.is_none_or(|last| rejected.position > last)) {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        file.write_all(&text)
    };
    write().map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::StorageFull => Code::StoreFull,
            _ => Code::StoreReadOnly,
        };
        Error::new(code, format!("{} cannot be written: {error}", path.display()))
    })?;
    Ok(path)
}

fn take_over_summaries(
    store: &dyn Store,
    name: &str,
    dir: &Path,
    now: Timestamp,
    report: &mut TakeoverReport,
) -> Result<()> {
    let path = dir.join(USAGE_FILE);
    if store.takeover_position(name)? > 0 {
        return Ok(());
    }
    let Some(mut file) = open(&path)? else { return Ok(()) };
    let mut text = String::new();
    let read = file.read_to_string(&mut text).map_err(|error| error.to_string());
    let parsed = read.and_then(|_| {
        serde_json::from_str::<BTreeMap<String, serde_json::Value>>(&text).map_err(|error| error.to_string())
    });
    let summaries = match parsed {
        Ok(summaries) => summaries,
        Err(error) => {
            report.summaries_error = Some(format!("{}: {error}", path.display()));
            return Ok(());
        }
    };
    let mut takeover = Takeover {
        file: name.to_owned(),
        from: 0,
        to: text.len() as u64,
        events: Vec::new(),
        customers: Vec::new(),
        now,
    };
    for (id, summary) in summaries {
        let opening = CustomerId::new(id).and_then(|id| Ok((opening_events(&id, summary, now)?, id)));
        match opening {
            // Whom the store knows, it knows from events.
            Ok((_, id)) if store.customer(&id)?.is_some() => {}
            Ok((mut events, id)) => {
                takeover.events.append(&mut events);
                takeover.customers.push(id);
            }
            Err(error) => report.summaries_error = Some(format!("{}: {}", path.display(), error.message)),
        }
    }
    let taken_over = takeover.customers.len() as u64;
    if commit(store, takeover)? {
        report.summaries = taken_over;
    }
    Ok(())
}

/// One event for each meter, worth the seed's sums. They lie in the month that the seed meant: its period begins on the
/// first at some time of day in a zone that nobody knows, so its edges could fall into the month before or after.
fn opening_events(id: &CustomerId, summary: serde_json::Value, now: Timestamp) -> Result<Vec<UsageEvent>> {
    let SeedUsage { current_period_start, current_period_end, usage } =
        serde_json::from_value(summary).map_err(|error| Error::invalid(format!("{id}: {error}")))?;
    let start = Timestamp::from_millis("currentPeriodStart", current_period_start)?;
    let end = Timestamp::from_millis("currentPeriodEnd", current_period_end)?;
    let middle = start.plus_millis((end.as_millis() - start.as_millis()) / 2);
    let mut cost = Money::from_number("totalCost", usage.total_cost)?;
    let counts = [
        (Meter::API_REQUEST, usage.api_requests),
        (Meter::AGENT_EXECUTION, usage.agent_executions),
        (Meter::DATA_ACCESS, usage.data_access_queries),
    ];
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0.0)
        .map(|(meter, count)| {
            Ok(UsageEvent {
                customer_id: id.clone(),
                id: None,
                meter,
                units: Units::from_number(count)?,
                // The seed kept one sum for all meters: it goes to the first.
                cost: std::mem::take(&mut cost),
                cost_basis: CostBasis::Caller,
                timestamp: middle.min(now.max(start)),
                subscription_id: None,
                endpoint: None,
                agent_type: None,
                metadata: Some(format!(r#"{{"takenOverFrom":"{USAGE_FILE}"}}"#)),
            })
        })
        .collect()
}

fn commit(store: &dyn Store, takeover: Takeover) -> Result<bool> {
    let outcomes = store.commit(&[Change::TakeOver(takeover)])?.outcomes;
    Ok(matches!(super::single(outcomes)?, Applied::TakenOver(true)))
}

fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Code::StoreUnavailable, format!("{} cannot be read: {error}", path.display()))
}

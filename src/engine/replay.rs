//! Bringing the journals of holders who have died into the store.
//!
//! A holder's lock is free when he has ended, however that happened. Then his heir records what the store does not have
//! yet, gives back the units that he had not used, and removes his journal. At whatever instant an heir dies himself, the
//! next one goes on: the store knows how far the journal is recorded, and forgets it last.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::journal::directory::{self, Directory, failed};
use super::journal::line;
use crate::Result;
use crate::domain::HolderId;
use crate::store::{Change, Store};

const REJECTED: &str = "rejected.jsonl";
/// Events in one transaction.
const GROUP: usize = 1_024;

/// What was brought into the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Journals of processes that had ended without closing.
    pub journals: u64,
    /// Events that were recorded now, which the store did not have.
    pub events: u64,
    /// Lines that could not be read.
    pub rejected: u64,
    /// Where those lines are.
    pub rejected_file: Option<PathBuf>,
}

impl ReplayReport {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A line of the file of rejected lines.
#[derive(Serialize)]
struct Rejected<'a> {
    holder: &'a str,
    segment: String,
    /// From 1.
    line: usize,
    reason: &'a str,
    /// As it was, where it is text.
    text: String,
}

/// Brings in the journals of all holders who have died.
pub fn run(store: &dyn Store, journals: &Path) -> Result<ReplayReport> {
    let mut report = ReplayReport::default();
    // Who has leases has had a directory before, and it goes only after them: so these are asked for first.
    let known = store.holders()?;
    let present = directory::holders(journals)?;
    for holder in known.into_iter().filter(|holder| !present.contains(holder)) {
        settle(store, &holder, true)?;
    }
    for holder in present {
        if let Some(inheritance) = Directory::inherit(journals, holder)? {
            inherit(store, journals, inheritance, &mut report)?;
        }
    }
    Ok(report)
}

/// What a holder has not used goes back, and once his journal is gone too, he is forgotten.
pub fn settle(store: &dyn Store, holder: &HolderId, forget: bool) -> Result<()> {
    let mut changes = vec![Change::ReturnLeases { holder: holder.clone() }];
    if forget {
        changes.push(Change::ForgetJournal { holder: holder.clone() });
    }
    store.commit(&changes)?.outcomes.into_iter().try_for_each(|outcome| outcome.map(drop))
}

fn inherit(store: &dyn Store, journals: &Path, from: Directory, report: &mut ReplayReport) -> Result<()> {
    let segments = from.segments()?;
    let mut rejected = Vec::new();
    for segment in &segments {
        replay(store, &from.holder, segment, &mut rejected, report)?;
    }
    if !segments.is_empty() {
        report.journals += 1;
    }
    if !rejected.is_empty() {
        let path = journals.join(REJECTED);
        append(&path, &rejected).map_err(|error| failed(&path, &error))?;
        report.rejected += rejected.len() as u64;
        report.rejected_file = Some(path);
    }
    settle(store, &from.holder, false)?;
    store.sync()?;
    for segment in &segments {
        std::fs::remove_file(segment).map_err(|error| failed(segment, &error))?;
    }
    settle(store, &from.holder, true)?;
    from.remove()
}

fn replay(
    store: &dyn Store,
    holder: &HolderId,
    segment: &Path,
    rejected: &mut Vec<String>,
    report: &mut ReplayReport,
) -> Result<()> {
    let file = File::open(segment).map_err(|error| failed(segment, &error))?;
    let mut reader = BufReader::new(file);
    let mut group = Vec::new();
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(|error| failed(segment, &error))?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        if !line.is_empty() {
            match line::read(line, holder) {
                Ok(record) => {
                    group.push(Change::Record(record));
                    places.push((number, text(line)));
                }
                Err(reason) => rejected.extend(set_aside(holder, segment, number, &reason, text(line))),
            }
        }
        if group.len() == GROUP || length == 0 {
            let outcomes = if group.is_empty() { Vec::new() } else { store.commit(&group)?.outcomes };
            for (outcome, (number, text)) in outcomes.into_iter().zip(places.drain(..)) {
                match outcome.and_then(crate::store::Applied::recorded) {
                    Ok(recorded) => report.events += u64::from(recorded.status.is_counted()),
                    Err(error) => rejected.extend(set_aside(holder, segment, number, &error.message, text)),
                }
            }
            group.clear();
        }
        if length == 0 {
            break;
        }
    }
    Ok(())
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn set_aside(holder: &HolderId, segment: &Path, line: usize, reason: &str, text: String) -> Option<String> {
    let segment = segment.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // It is text and numbers: that cannot fail.
    serde_json::to_string(&Rejected { holder: holder.as_str(), segment, line, reason, text }).ok()
}

fn append(path: &Path, lines: &[String]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all((lines.join("\n") + "\n").as_bytes())?;
    file.sync_data()
}

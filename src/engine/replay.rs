//! Bringing the journals of holders who have died into the store.
//!
//! A holder's lock is free when he has ended, however that happened. Then his heir records what the store does not have
//! yet, gives back the units that he had not used, and removes his journal. At whatever instant an heir dies himself, the
//! next one goes on: the store knows how far the journal is recorded, and forgets it last.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::isolation::{self, Progress};
use super::journal::directory::{self, Directory, failed};
use super::journal::line;
use super::rejected::{self, Rejected};
use crate::domain::{HolderId, Reached};
use crate::store::{Applied, Change, Store};
use crate::{Code, Error, Result};

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
    /// Journals that could not be read or removed. They stay as they are, and are tried again.
    pub unreadable: Vec<PathBuf>,
}

impl ReplayReport {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What ends a replay.
enum Failure {
    /// The store is to blame, and there is no use in going on.
    Store(Error),
    /// This journal is; others may be whole.
    Journal(Error),
}

/// Is told what the events have reached.
pub type Witness<'a> = &'a dyn Fn(Vec<Reached>);

/// Brings in the journals of all holders who have died. `own` is the holder who asks, if he has a journal.
pub fn run(store: &dyn Store, journals: &Path, own: Option<&HolderId>, witness: Witness<'_>) -> Result<ReplayReport> {
    let mut report = ReplayReport::default();
    // Who has leases has had a directory before, and it goes only after them: so these are asked for first.
    let known = store.holders()?;
    let present = directory::holders(journals)?;
    // Somebody has taken the directory away: that says nothing about who is alive.
    if let Some(own) = own
        && !present.contains(own)
    {
        let message = format!("{} is gone, with the journals of living processes; restart them", journals.display());
        return Err(Error::new(Code::StoreUnavailable, message));
    }
    for holder in known.into_iter().filter(|holder| !present.contains(holder)) {
        store.fence(&holder)?;
        settle(store, &holder, true)?;
    }
    for holder in present {
        let path = journals.join(holder.as_str());
        let inherited = match Directory::inherit(journals, holder) {
            Ok(None) => Ok(()),
            Ok(Some(inheritance)) => inherit(store, journals, inheritance, witness, &mut report),
            Err(error) => Err(Failure::Journal(error)),
        };
        match inherited {
            Ok(()) => {}
            Err(Failure::Store(error)) => return Err(error),
            Err(Failure::Journal(error)) => {
                tracing::warn!(%error, "a journal cannot be brought in; it is tried again");
                report.unreadable.push(path);
            }
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

fn inherit(
    store: &dyn Store,
    journals: &Path,
    from: Directory,
    witness: Witness<'_>,
    report: &mut ReplayReport,
) -> std::result::Result<(), Failure> {
    // What he was committing when he died may take effect still.
    store.fence(&from.holder).map_err(Failure::Store)?;
    let segments = from.segments().map_err(Failure::Journal)?;
    let mut rejected = Vec::new();
    for segment in &segments {
        replay(store, &from.holder, segment, witness, &mut rejected, report)?;
    }
    if !segments.is_empty() {
        report.journals += 1;
    }
    if !rejected.is_empty() {
        report.rejected_file = Some(rejected::set_aside(journals, &rejected).map_err(Failure::Journal)?);
        report.rejected += rejected.len() as u64;
    }
    settle(store, &from.holder, false).map_err(Failure::Store)?;
    store.sync().map_err(Failure::Store)?;
    for segment in &segments {
        std::fs::remove_file(segment).map_err(|error| Failure::Journal(failed(segment, &error)))?;
    }
    from.sync().map_err(Failure::Journal)?;
    settle(store, &from.holder, true).map_err(Failure::Store)?;
    from.remove().map_err(Failure::Journal)
}

fn replay(
    store: &dyn Store,
    holder: &HolderId,
    segment: &Path,
    witness: Witness<'_>,
    rejected: &mut Vec<String>,
    report: &mut ReplayReport,
) -> std::result::Result<(), Failure> {
    let unreadable = |error| Failure::Journal(failed(segment, &error));
    let file = File::open(segment).map_err(unreadable)?;
    let mut reader = BufReader::new(file);
    let mut group = Vec::new();
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(unreadable)?;
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
            let Progress { outcomes, reached, failure, .. } =
                if group.is_empty() { Progress::default() } else { isolation::commit(store, &group) };
            group.clear();
            witness(reached);
            for (outcome, (number, text)) in outcomes.into_iter().zip(places.drain(..)) {
                match outcome.and_then(Applied::recorded) {
                    Ok(recorded) => report.events += u64::from(recorded.status.is_counted()),
                    Err(error) => rejected.extend(set_aside(holder, segment, number, &error.message, text)),
                }
            }
            if let Some(error) = failure {
                return Err(Failure::Store(error));
            }
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
    let segment = segment.file_name().map(|name| name.to_string_lossy().into_owned());
    Rejected { holder: holder.as_str(), segment, line: Some(line), reason, text }.to_line()
}

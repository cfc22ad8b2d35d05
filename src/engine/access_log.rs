//! What an access log would have cost, for those who have no history yet.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::Reply;
use super::recorder::{guarded, spawn};
use super::simulation::Plan;
use crate::domain::access_log::{BillOn, MAX_LINE_BYTES, Reader};
use crate::domain::repricing::{Old, Simulation, Tally, Terms};
use crate::domain::{Period, TimeZone};
use crate::{Error, Result};

const BUFFER: usize = 1 << 18;
/// How many bad lines are shown, and how much of each.
const SHOWN_LINES: usize = 5;
const SHOWN_CHARACTERS: usize = 160;
const GZIP: [u8; 2] = [0x1F, 0x8B];

#[derive(Debug, Clone)]
pub struct Question {
    pub file: PathBuf,
    pub plan: Plan,
    /// What it is held against; without one nothing is known of what was paid.
    pub baseline: Option<Plan>,
    /// Lines of other times are left out.
    pub span: Period,
    /// Of the calendar months that are billed.
    pub zone: TimeZone,
    pub reader: Reader,
    pub bill_on: BillOn,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub simulation: Simulation,
    /// Without empty ones.
    pub lines: u64,
    /// Requests that are not billed, by what they were answered.
    pub unbilled: u64,
    /// Lines that tell of no request.
    pub bad: u64,
    /// The first of them.
    pub shown: Vec<Shown>,
}

/// A bad line: its number from 1, why it is bad, and its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub number: u64,
    pub reason: String,
    pub text: String,
}

/// Runs on a thread of its own.
pub fn start(question: Question, reply: Reply<Answer>) -> Result<()> {
    spawn("weighbridge-access-log".to_owned(), move || reply(guarded(|| simulate(question)))).map(drop)
}

/// Errors: `invalid_argument` where the file cannot be read.
pub fn simulate(question: Question) -> Result<Answer> {
    let Question { file, plan, baseline, span, zone, mut reader, bill_on } = question;
    let mut new = tally(&plan, zone);
    let mut old = baseline.as_ref().map(|baseline| tally(baseline, zone));
    let (mut lines, mut unbilled, mut bad, mut shown) = (0, 0, 0, Vec::new());
    each_line(&file, |number, line| {
        lines += 1;
        match reader.read(line) {
            Ok(entry) if !span.contains(entry.at) => {}
            Ok(entry) => match entry.usage(bill_on) {
                None => unbilled += 1,
                Some(usage) => {
                    new.add(&usage)?;
                    old.as_mut().map_or(Ok(()), |old| old.add(&usage))?;
                }
            },
            Err(reason) => {
                bad += 1;
                if shown.len() < SHOWN_LINES {
                    let text = String::from_utf8_lossy(line).chars().take(SHOWN_CHARACTERS).collect();
                    shown.push(Shown { number, reason: reason.into_owned(), text });
                }
            }
        }
        Ok(())
    })?;
    let old = match (&baseline, old) {
        (Some(baseline), Some(old)) => Old::Catalog(&baseline.catalog, old.finish()?),
        _ => Old::Unknown,
    };
    let simulation = Simulation::of(&plan.catalog, span, &new.finish()?, &old)?;
    Ok(Answer { simulation, lines, unbilled, bad, shown })
}

fn tally(plan: &Plan, zone: TimeZone) -> Tally<'_, impl FnMut(&str) -> Terms> {
    Tally::new(&plan.catalog, zone, |id: &str| Terms {
        tier: plan.assignment.tier(&plan.catalog, id, None),
        anchor: None,
    })
}

/// Visits the lines that are not empty, each with its number. Of one that is too long only the beginning is kept.
fn each_line(path: &Path, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let unreadable = |error: std::io::Error| Error::invalid(format!("{} cannot be read: {error}", path.display()));
    let mut reader = open(path).map_err(unreadable)?;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = read_line(&mut *reader, &mut line).map_err(unreadable)?;
        if !read {
            break;
        }
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        let text = if number == 1 { text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text) } else { text };
        if !text.is_empty() {
            visit(number, text)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    let is_gzip = file.fill_buf()?.starts_with(&GZIP);
    Ok(if is_gzip { Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// Reads to the end of a line, which is left away; `false` at the end of the file.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    // One byte more than a line may have, so that it is seen to be too long; and its end.
    let most = MAX_LINE_BYTES as u64 + 2;
    let read = reader.take(most).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read as u64 == most {
        skip_line(reader)?;
    }
    Ok(read > 0)
}

fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(place) => (place + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

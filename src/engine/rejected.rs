//! What stands in a journal and cannot be recorded is set aside, in a file beside the journals.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::journal::directory::failed;
use super::journal::line;
use crate::store::Record;
use crate::{Error, Result};

const FILE: &str = "rejected.jsonl";

/// A line of the file.
#[derive(Serialize)]
pub struct Rejected<'a> {
    pub holder: &'a str,
    /// Where it stands, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub reason: &'a str,
    /// The line of the journal as it was, where it is text.
    pub text: String,
}

impl Rejected<'_> {
    pub fn to_line(&self) -> Option<String> {
        // It is text and numbers: that cannot fail.
        serde_json::to_string(self).ok()
    }
}

/// The line of an event that the store has refused.
pub fn refused(record: &Record, error: &Error) -> Option<String> {
    let mut text = String::new();
    line::write(record, &mut text).ok()?;
    let text = text.trim_end().to_owned();
    Rejected { holder: record.holder.as_str(), segment: None, line: None, reason: &error.message, text }.to_line()
}

/// Answers with where the lines are then.
pub fn set_aside(journals: &Path, lines: &[String]) -> Result<PathBuf> {
    let path = journals.join(FILE);
    let append = || {
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all((lines.join("\n") + "\n").as_bytes())?;
        file.sync_data()
    };
    append().map_err(|error| failed(&path, &error))?;
    Ok(path)
}

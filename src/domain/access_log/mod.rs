//! Access logs: what a line says of a request.
//!
//! Three formats: the [Common Log Format](https://httpd.apache.org/docs/2.4/logs.html#common), the Combined Log Format, which
//! puts referer and user agent behind it, and JSON lines. A line that is none of them is a [`BadLine`], which says why; no text
//! makes a parser panic (`tests/access_log/`, `fuzz/`).

mod common;
mod date;
mod json;

use std::borrow::Cow;
use std::str::FromStr;

use super::{Money, Timestamp};
use crate::domain::customer::validate_id;
use crate::domain::repricing::RecordedUsage;
use crate::{Error, Result};

pub use date::Dates;

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The meter of requests where a line names none.
const METER: &str = "api_request";
/// What answers a request that was not let through: it was never billed.
const REFUSED: [u16; 4] = [401, 402, 403, 429];

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Common,
    /// More fields may follow the user agent.
    Combined,
    /// One object for each line.
    Json,
}

/// By what requests are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CustomerBy {
    /// The user that the server has authenticated; without one the address.
    #[default]
    User,
    Address,
    /// A field of JSON lines.
    Field(String),
}

/// Which requests are billed. Neither bills those that were answered 401, 402, 403 or 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BillOn {
    /// Whatever the answer is.
    #[default]
    Request,
    /// Those that were answered with a status below 400.
    Success,
}

/// A request, as one line tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    pub at: Timestamp,
    pub customer: Cow<'a, str>,
    pub meter: Cow<'a, str>,
    pub units: u64,
    /// In capitals.
    pub method: Cow<'a, str>,
    /// Without a query.
    pub path: Cow<'a, str>,
    pub status: Option<u16>,
    /// The line itself, where it is a JSON object.
    pub json: Option<&'a str>,
}

/// Why a line tells of no request.
pub type BadLine = Cow<'static, str>;

/// Reads lines. It remembers the last day, which the next line mostly shares.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// `None`: each line by its looks.
    pub format: Option<Format>,
    pub customer_by: CustomerBy,
    dates: Dates,
}

impl Reader {
    pub fn new(format: Option<Format>, customer_by: CustomerBy) -> Result<Self> {
        if matches!(customer_by, CustomerBy::Field(_)) && matches!(format, Some(Format::Common | Format::Combined)) {
            return Err(Error::invalid("only JSON lines have fields: `customer` must be \"user\" or \"address\""));
        }
        Ok(Self { format, customer_by, dates: Dates::default() })
    }

    /// `line` is without its end.
    pub fn read<'a>(&mut self, line: &'a [u8]) -> std::result::Result<Entry<'a>, BadLine> {
        if line.len() > MAX_LINE_BYTES {
            return Err(format!("is longer than {MAX_LINE_BYTES} bytes").into());
        }
        let line = std::str::from_utf8(line).map_err(|_| "is no UTF-8")?.trim_end();
        let is_json = line.starts_with('{');
        let entry = match self.format {
            Some(Format::Json) => json::read(line, &self.customer_by),
            None if is_json => json::read(line, &self.customer_by),
            format => common::read(line, format, &self.customer_by, &mut self.dates),
        }?;
        validate_id("customer", &entry.customer).map_err(|error| error.message)?;
        Ok(entry)
    }
}

impl Entry<'_> {
    /// What is to be billed; `None` where nothing is.
    pub fn usage(&self, bill_on: BillOn) -> Option<RecordedUsage<'_>> {
        let is_billed =
            self.status.is_none_or(|status| !REFUSED.contains(&status) && (bill_on == BillOn::Request || status < 400));
        is_billed.then_some(RecordedUsage {
            at: self.at,
            customer_id: &self.customer,
            meter: &self.meter,
            endpoint: Some(&self.path),
            method: Some(&self.method),
            metadata: self.json,
            events: 1,
            units: self.units,
            cost: Money::ZERO,
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "common" => Ok(Self::Common),
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            _ => Err(Error::invalid(format!("`format` must be common, combined or json, got {text:?}"))),
        }
    }
}

impl FromStr for BillOn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "request" => Ok(Self::Request),
            "success" => Ok(Self::Success),
            _ => Err(Error::invalid(format!("`billOn` must be request or success, got {text:?}"))),
        }
    }
}

impl From<String> for CustomerBy {
    fn from(text: String) -> Self {
        match text.as_str() {
            "user" => Self::User,
            "address" => Self::Address,
            _ => Self::Field(text),
        }
    }
}

/// The path of a request's target: `/a?b` and `https://host/a` are `/a`.
fn path_of(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => target,
    };
    let end = target.find(['?', '#']).unwrap_or(target.len());
    &target[..end]
}

/// Methods are names in capitals, as all that are registered.
fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

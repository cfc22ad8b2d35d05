//! JSON lines: an object each. Of the names of a field, as servers and libraries write them, the first that is there counts:
//!
//! | field | names | value |
//! |---|---|---|
//! | time | `time`, `timestamp`, `@timestamp`, `time_iso8601` | ISO 8601 with `Z` or an offset, or milliseconds since 1970 |
//! | user | `user`, `remote_user` | a text; empty, `-` or null for none |
//! | address | `address`, `remote_addr`, `remote_address`, `ip` | a text |
//! | method | `method`, `request_method` | a text in capitals |
//! | path | `path`, `url`, `uri`, `request_uri` | a text; a query does not matter |
//! | status | `status` | a number, or its digits as a text; may be missing |
//! | units | `units` | a whole number; 1 where it is missing |
//! | meter | `meter` | a text; `api_request` where it is missing |
//!
//! All other texts are dimensions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::value::RawValue;

use super::{BadLine, CustomerBy, Entry, METER, is_method, path_of};
use crate::domain::{Timestamp, Units};

type Fields<'a> = BTreeMap<String, &'a RawValue>;

const TIME: &[&str] = &["time", "timestamp", "@timestamp", "time_iso8601"];
const USER: &[&str] = &["user", "remote_user"];
const ADDRESS: &[&str] = &["address", "remote_addr", "remote_address", "ip"];
const METHOD: &[&str] = &["method", "request_method"];
const PATH: &[&str] = &["path", "url", "uri", "request_uri"];

pub fn read<'a>(line: &'a str, customer_by: &CustomerBy) -> Result<Entry<'a>, BadLine> {
    let fields: Fields<'a> = serde_json::from_str(line).map_err(|_| "is no JSON object")?;
    let at = time(&fields)?;
    let method = text(&fields, METHOD).filter(|method| is_method(method)).ok_or("has no `method` in capitals")?;
    let path = match text(&fields, PATH).ok_or("has no `path`")? {
        Cow::Borrowed(target) => Cow::Borrowed(path_of(target)),
        Cow::Owned(target) => Cow::Owned(path_of(&target).to_owned()),
    };
    let address = || text(&fields, ADDRESS);
    let customer = match customer_by {
        CustomerBy::User => text(&fields, USER).filter(|user| !matches!(user.as_ref(), "" | "-")).or_else(address),
        CustomerBy::Address => address(),
        CustomerBy::Field(name) => text(&fields, &[name]).or_else(|| number(&fields, name)),
    };
    let customer = customer.ok_or("has nothing that names the customer")?;
    let meter = text(&fields, &["meter"]).unwrap_or(Cow::Borrowed(METER));
    Ok(Entry { at, customer, meter, units: units(&fields)?, method, path, status: status(&fields)?, json: Some(line) })
}

fn field<'a>(fields: &Fields<'a>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| fields.get(*name)).map(|value| value.get()).filter(|json| *json != "null")
}

/// `None` of what is no text.
fn text<'a>(fields: &Fields<'a>, names: &[&str]) -> Option<Cow<'a, str>> {
    let json = field(fields, names)?;
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

/// As it is written.
fn number<'a>(fields: &Fields<'a>, name: &str) -> Option<Cow<'a, str>> {
    field(fields, &[name]).filter(|json| json.starts_with(|c: char| c == '-' || c.is_ascii_digit())).map(Cow::Borrowed)
}

fn time(fields: &Fields<'_>) -> Result<Timestamp, BadLine> {
    let millis = match text(fields, TIME) {
        Some(text) => DateTime::parse_from_rfc3339(&text).ok().map(|at| at.timestamp_millis()),
        None => field(fields, TIME).and_then(|json| json.parse().ok()),
    };
    let millis = millis.filter(|millis| (0..=Timestamp::MAX.as_millis()).contains(millis));
    let bad = "has no `time` such as \"2026-01-31T00:00:00Z\" or milliseconds since 1970";
    millis.map(Timestamp::from_stored).ok_or_else(|| bad.into())
}

fn status(fields: &Fields<'_>) -> Result<Option<u16>, BadLine> {
    let Some(json) = field(fields, &["status"]) else { return Ok(None) };
    let status = json.trim_matches('"').parse().ok().filter(|status| (100..600).contains(status));
    status.map(Some).ok_or_else(|| "has a `status` that is none".into())
}

fn units(fields: &Fields<'_>) -> Result<u64, BadLine> {
    let Some(json) = field(fields, &["units"]) else { return Ok(1) };
    let units = json.parse().ok().filter(|units| *units <= Units::MAX);
    units.ok_or_else(|| "has `units` that are no whole number".into())
}

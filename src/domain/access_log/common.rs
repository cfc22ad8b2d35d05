//! `address ident user [date] "request" status bytes`, and behind it `"referer" "user agent"`.
//!
//! Within quotes Apache writes `\"`, `\\` and `\xhh`, nginx `\xhh` alone; both are read. The user stands outside of quotes and
//! may hold spaces and brackets: he ends before the first date in brackets.

use std::borrow::Cow;

use super::date::{self, Dates};
use super::{BadLine, CustomerBy, Entry, Format, METER, is_method, path_of};

pub fn read<'a>(
    line: &'a str,
    format: Option<Format>,
    customer_by: &CustomerBy,
    dates: &mut Dates,
) -> Result<Entry<'a>, BadLine> {
    let (address, rest) = line.split_once(' ').ok_or("is no line of a known format")?;
    let (_ident, rest) = rest.split_once(' ').ok_or("is no line of a known format")?;
    let (user, at, rest) = user_and_date(rest, dates).ok_or("has no date such as [10/Oct/2000:13:55:36 -0700]")?;
    let (request, rest) = quoted(rest).ok_or("has no request in quotes behind its date")?;
    let (status, rest) =
        rest.strip_prefix(' ').and_then(|rest| rest.split_once(' ')).ok_or("has no status and size")?;
    let status = Some(status).filter(|status| status.len() == 3).and_then(|status| status.parse().ok());
    let (size, tail) = rest.split_once(' ').map_or((rest, None), |(size, tail)| (size, Some(tail)));
    let is_size = size == "-" || (!size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit()));
    let (Some(status), true) = (status, is_size) else { return Err("has no status and size".into()) };
    check_tail(tail, format)?;
    let (method, path) = method_and_path(request)?;
    let user = Some(user).filter(|user| !matches!(*user, "-" | "" | "\"\"")).map(unescaped).transpose()?;
    let customer = match customer_by {
        CustomerBy::User => user.unwrap_or(Cow::Borrowed(address)),
        CustomerBy::Address => Cow::Borrowed(address),
        CustomerBy::Field(_) => return Err("is no JSON object with the field that names the customer".into()),
    };
    let (meter, method) = (Cow::Borrowed(METER), Cow::Borrowed(method));
    Ok(Entry { at, customer, meter, units: 1, method, path, status: Some(status), json: None })
}

fn user_and_date<'a>(rest: &'a str, dates: &mut Dates) -> Option<(&'a str, crate::domain::Timestamp, &'a str)> {
    rest.match_indices(" [").find_map(|(end, _)| {
        let bracket = &rest[end + 2..];
        let (date, rest_of) = (bracket.get(..date::LENGTH)?, bracket.get(date::LENGTH..)?);
        Some((&rest[..end], dates.read(date)?, rest_of.strip_prefix("] ")?))
    })
}

/// What stands in quotes, with its escapes, and what comes behind.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    Some((&inside[..end], &inside[end + 1..]))
}

fn check_tail(tail: Option<&str>, format: Option<Format>) -> Result<(), BadLine> {
    match (tail, format) {
        (None, Some(Format::Combined)) => Err("has no referer and user agent, as Combined Log Format has".into()),
        (Some(_), Some(Format::Common)) => Err("has more fields than Common Log Format".into()),
        (None, _) => Ok(()),
        (Some(tail), _) => {
            let referer = quoted(tail).and_then(|(_, rest)| quoted(rest.strip_prefix(' ')?));
            referer.map(drop).ok_or_else(|| "has no referer and user agent in quotes".into())
        }
    }
}

/// `GET /a?b HTTP/1.1`, without a version in HTTP/0.9.
fn method_and_path(request: &str) -> Result<(&str, Cow<'_, str>), BadLine> {
    let bad = "has no request such as \"GET /path HTTP/1.1\"";
    let (method, rest) = request.split_once(' ').ok_or(bad)?;
    let target = match rest.rsplit_once(' ') {
        Some((target, version)) if version.starts_with("HTTP/") => target,
        _ => rest,
    };
    if !is_method(method) || target.is_empty() || target.contains(' ') {
        return Err(bad.into());
    }
    let path = match unescaped(target)? {
        Cow::Borrowed(target) => Cow::Borrowed(path_of(target)),
        Cow::Owned(target) => Cow::Owned(path_of(&target).to_owned()),
    };
    Ok((method, path))
}

fn unescaped(text: &str) -> Result<Cow<'_, str>, BadLine> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'x') => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).map_err(|_| "has an escape \\x without two digits")?;
                byte[0]
            }
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0B,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(other) => other,
            None => return Err("ends within an escape".into()),
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "is no UTF-8".into())
}

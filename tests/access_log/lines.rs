//! Single lines.

use weighbridge::domain::access_log::{BillOn, CustomerBy, Format, MAX_LINE_BYTES, Reader};

use crate::{read, reader, reason};

#[test]
fn the_example_of_apache_s_manual() {
    let entry = read(r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#);
    assert_eq!(entry.at.to_iso_string(), "2000-10-10T20:55:36.000Z");
    assert_eq!(
        (entry.customer.as_ref(), entry.method.as_ref(), entry.path.as_ref()),
        ("frank", "GET", "/apache_pb.gif")
    );
    assert_eq!((entry.units, entry.meter.as_ref(), entry.status, entry.json), (1, "api_request", Some(200), None));
}

#[test]
fn users_addresses_paths_and_quotes() {
    for (line, customer, path) in [
        // Combined, and what nginx puts behind it.
        (r#"::1 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b=c HTTP/2.0" 200 5 "http://x/" "curl/8""#, "::1", "/a"),
        (
            r#"2001:db8::ff00:42:8329 - - [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1" 304 - "-" "M (X) \"Y\"" "1.2.3.4" 0.003"#,
            "2001:db8::ff00:42:8329",
            "/a",
        ),
        // Quotes in the request, as Apache and as nginx write them.
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "GET /a\"b HTTP/1.1" 200 5"#, "u", "/a\"b"),
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "GET /a\x22b HTTP/1.1" 200 5"#, "u", "/a\"b"),
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "GET /a\\ HTTP/1.1" 200 5 "-" "\\""#, "u", "/a\\"),
        // Users with spaces and brackets; none.
        (r#"h - Ann of [the] Hill [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#, "Ann of [the] Hill", "/"),
        (r#"h - j\xc3\xbcrgen [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#, "jürgen", "/"),
        (r#"host.example - "" [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#, "host.example", "/"),
        // Other forms of targets; HTTP/0.9.
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "GET https://h.example/a/b?c HTTP/1.1" 200 5"#, "u", "/a/b"),
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "GET https://h.example HTTP/1.1" 200 5"#, "u", "/"),
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "OPTIONS * HTTP/1.1" 200 5"#, "u", "*"),
        (r#"h - u [10/Oct/2000:13:55:36 +0000] "GET /a" 200 5"#, "u", "/a"),
    ] {
        let entry = read(line);
        assert_eq!((entry.customer.as_ref(), entry.path.as_ref()), (customer, path), "{line}");
    }
    let mut by_address = Reader::new(None, CustomerBy::Address).unwrap();
    let line = r#"10.0.0.1 - ann [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#;
    assert_eq!(by_address.read(line.as_bytes()).unwrap().customer, "10.0.0.1");
}

/// Local times that a clock shows twice, or of two zones, are told apart by their offsets.
#[test]
fn offsets_say_what_instant_it_is() {
    let mut reader = reader(Some(Format::Common));
    for (date, instant) in [
        ("29/Mar/2026:01:59:59 +0100", "2026-03-29T00:59:59.000Z"),
        ("29/Mar/2026:03:00:00 +0200", "2026-03-29T01:00:00.000Z"),
        ("25/Oct/2026:02:30:00 +0200", "2026-10-25T00:30:00.000Z"),
        ("25/Oct/2026:02:30:00 +0100", "2026-10-25T01:30:00.000Z"),
        ("01/Jan/2026:00:00:00 +0545", "2025-12-31T18:15:00.000Z"),
        ("31/Dec/2025:23:59:59 -0330", "2026-01-01T03:29:59.000Z"),
        ("29/Feb/2024:00:00:00 +0000", "2024-02-29T00:00:00.000Z"),
    ] {
        let line = format!(r#"h - - [{date}] "GET / HTTP/1.1" 200 5"#);
        assert_eq!(reader.read(line.as_bytes()).unwrap().at.to_iso_string(), instant, "{date}");
    }
}

#[test]
fn lines_that_tell_of_no_request_say_why() {
    let with = |request: &str| format!(r#"h - - [10/Oct/2000:13:55:36 +0000] "{request}" 400 0"#);
    for (line, why) in [
        ("hello".to_owned(), "is no line of a known format"),
        ("h - - no date".to_owned(), "has no date such as"),
        (r#"h - - [10/Oct/2000:13:55:36] "GET / HTTP/1.1" 200 5"#.to_owned(), "has no date such as"),
        (r#"h - - [31/Feb/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5"#.to_owned(), "has no date such as"),
        (r#"h - - [10/Okt/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#.to_owned(), "has no date such as"),
        (r#"h - - [10/Oct/1969:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#.to_owned(), "has no date such as"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] GET / 200 5"#.to_owned(), "has no request in quotes"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1"#.to_owned(), "has no request in quotes"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200"#.to_owned(), "has no status and size"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" OK 5"#.to_owned(), "has no status and size"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 many"#.to_owned(), "has no status and size"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "open"#.to_owned(), "has no referer"),
        (with("-"), "has no request such as"),
        (with(""), "has no request such as"),
        (with(r"\x16\x03\x01\x02"), "has no request such as"),
        (with("get / HTTP/1.1"), "has no request such as"),
        (with("GET /a b HTTP/1.1"), "has no request such as"),
        (with(r"GET /\xzz HTTP/1.1"), "has an escape"),
        (with(r"GET /\xff HTTP/1.1"), "is no UTF-8"),
        (
            format!(r#"h - {} [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#, "u".repeat(256)),
            "must be at most 255",
        ),
        (r#"h - a\nb [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#.to_owned(), "control characters"),
        ("{".to_owned(), "is no JSON object"),
        ("[1]".to_owned(), "is no line of a known format"),
        (r#"{"time":"2026-01-01T00:00:00","method":"GET","path":"/","user":"u"}"#.to_owned(), "has no `time`"),
        (r#"{"time":-1,"method":"GET","path":"/","user":"u"}"#.to_owned(), "has no `time`"),
        (r#"{"time":1,"method":"get","path":"/","user":"u"}"#.to_owned(), "has no `method`"),
        (r#"{"time":1,"method":"GET","path":1,"user":"u"}"#.to_owned(), "has no `path`"),
        (r#"{"time":1,"method":"GET","path":"/","user":""}"#.to_owned(), "has nothing that names the customer"),
        (r#"{"time":1,"method":"GET","path":"/","user":"u","status":"no"}"#.to_owned(), "has a `status` that is none"),
        (r#"{"time":1,"method":"GET","path":"/","user":"u","units":1.5}"#.to_owned(), "has `units`"),
    ] {
        let reason = reason(&line);
        assert!(reason.contains(why), "{line}: {reason}");
    }
    let long = vec![b'a'; MAX_LINE_BYTES + 1];
    assert!(reader(None).read(&long).unwrap_err().contains("longer than"));
    assert!(reader(None).read(b"\xFF").unwrap_err().contains("UTF-8"));
}

#[test]
fn a_format_that_is_named_is_the_only_one() {
    let common = r#"h - u [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1" 200 5"#;
    let combined = format!(r#"{common} "-" "-""#);
    let json = r#"{"time":1,"method":"GET","path":"/a","user":"u"}"#;
    for (format, reads) in [
        (Format::Common, [true, false, false]),
        (Format::Combined, [false, true, false]),
        (Format::Json, [false, false, true]),
    ] {
        let read = [common, &combined, json].map(|line| reader(Some(format)).read(line.as_bytes()).is_ok());
        assert_eq!(read, reads, "{format:?}");
        assert_eq!(Reader::new(Some(format), CustomerBy::Field("f".into())).is_ok(), format == Format::Json);
    }
    let mut by_field = Reader::new(None, CustomerBy::Field("account".into())).unwrap();
    assert!(by_field.read(common.as_bytes()).unwrap_err().contains("field that names the customer"));
}

#[test]
fn json_lines_have_many_names_for_the_same() {
    for line in [
        r#"{"time":"2026-01-31T01:00:00.123+01:00","user":"ann","address":"::1","method":"POST","path":"/a?b","status":201}"#,
        r#"{"timestamp":1769817600123,"remote_user":"ann","request_method":"POST","request_uri":"/a","status":"201"}"#,
        r#"{"@timestamp":"2026-01-31T00:00:00.123456Z","user":"ann","ip":"1.2.3.4","method":"POST","url":"http://h/a","status":null}"#,
        r#"{"time_iso8601":"2026-01-31T00:00:00.123Z","user":"-","remote_addr":"ann","method":"POST","uri":"\/a"}"#,
    ] {
        let entry = read(line);
        assert_eq!(entry.at.to_iso_string(), "2026-01-31T00:00:00.123Z", "{line}");
        assert_eq!((&*entry.customer, &*entry.method, &*entry.path), ("ann", "POST", "/a"), "{line}");
        assert_eq!(entry.json, Some(line));
    }
    let line = r#"{"time":1,"method":"GET","path":"/","account":7,"units":12,"meter":"tokens","model":"x"}"#;
    let mut reader = Reader::new(None, CustomerBy::Field("account".into())).unwrap();
    let entry = reader.read(line.as_bytes()).unwrap();
    assert_eq!((&*entry.customer, entry.units, &*entry.meter), ("7", 12, "tokens"));
}

#[test]
fn what_was_refused_is_not_billed() {
    for (status, request, success) in [
        (200, true, true),
        (304, true, true),
        (404, true, false),
        (500, true, false),
        (401, false, false),
        (429, false, false),
    ] {
        let line = format!(r#"h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" {status} 5"#);
        let entry = read(&line);
        let billed = [BillOn::Request, BillOn::Success].map(|bill_on| entry.usage(bill_on).is_some());
        assert_eq!(billed, [request, success], "{status}");
    }
}

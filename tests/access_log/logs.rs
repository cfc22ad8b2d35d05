//! Whole logs: lines that were made of requests say what these were; what they cost is what the requests cost one by one.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;
use serde_json::json;
use weighbridge::domain::access_log::{CustomerBy, Format, Reader};
use weighbridge::domain::json::Value;
use weighbridge::domain::repricing::Assignment;
use weighbridge::domain::{Catalog, Period, TimeZone as Zone};
use weighbridge::engine::access_log::{Answer, Question, simulate};
use weighbridge::engine::simulation::Plan;

use crate::entry::check;

#[derive(Debug, Clone)]
struct Request {
    millis: i64,
    offset_minutes: i32,
    address: &'static str,
    user: Option<String>,
    method: &'static str,
    path: String,
    query: Option<String>,
    status: u16,
    agent: String,
    format: Format,
}

impl Request {
    fn arbitrary() -> impl Strategy<Value = Self> {
        let seconds = 1_760_000_000..1_780_000_000i64;
        let address = prop::sample::select(vec!["192.0.2.7", "::1", "2001:db8::8a2e:370:7334", "client.example"]);
        let user = prop::option::weighted(0.7, "[a-zü\" \\\\\\[\\]-]{1,8}[a-z]");
        let method = prop::sample::select(vec!["GET", "POST", "DELETE"]);
        let path = prop_oneof!["/a", "/b/[a-z0-9]{1,3}", "/[a-zé\"\\\\%]{0,6}"];
        let formats = prop::sample::select(vec![Format::Common, Format::Combined, Format::Json]);
        (
            (seconds, -840..840i32, address, user, method, path),
            (
                prop::option::of("[a-z=&/?]{0,6}"),
                prop::sample::select(vec![200u16, 204, 404, 429, 500]),
                "[ -~]{0,12}",
                formats,
            ),
        )
            .prop_map(
                |((seconds, offset_minutes, address, user, method, path), (query, status, agent, format))| Self {
                    millis: seconds * 1_000,
                    offset_minutes,
                    address,
                    user,
                    method,
                    path,
                    query,
                    status,
                    agent,
                    format,
                },
            )
    }

    fn customer(&self) -> &str {
        self.user.as_deref().unwrap_or(self.address)
    }

    fn target(&self) -> String {
        format!("{}{}", self.path, self.query.as_ref().map_or(String::new(), |query| format!("?{query}")))
    }

    fn line(&self) -> String {
        let at = jiff::Timestamp::from_millisecond(self.millis).unwrap();
        let local = at.to_zoned(TimeZone::fixed(Offset::from_seconds(self.offset_minutes * 60).unwrap()));
        if self.format == Format::Json {
            return json!({
                "time": local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
                "user": self.user,
                "address": self.address,
                "method": self.method,
                "path": self.target(),
                "status": self.status,
                "agent": self.agent,
            })
            .to_string();
        }
        let user = self.user.as_deref().map_or("-".to_owned(), escaped);
        let (date, target) = (local.strftime("%d/%b/%Y:%H:%M:%S %z"), escaped(&self.target()));
        let line =
            format!(r#"{} - {user} [{date}] "{} {target} HTTP/1.1" {} 512"#, self.address, self.method, self.status);
        if self.format == Format::Common { line } else { format!(r#"{line} "-" "{}""#, escaped(&self.agent)) }
    }
}

/// As Apache does.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| match byte {
        b'"' => escaped + "\\\"",
        b'\\' => escaped + "\\\\",
        b' '..=b'~' => escaped + &char::from(byte).to_string(),
        _ => format!("{escaped}\\x{byte:02x}"),
    })
}

fn plan() -> Plan {
    let price = |id: &str, amount: &str| json!({ "id": id, "meter": "api_request", "price": { "model": "per_unit", "unitAmount": amount } });
    let with_route = |mut price: serde_json::Value, route: &str| {
        price["route"] = json!(route);
        price
    };
    let catalog = json!({
        "id": "c",
        "version": "1",
        "currency": "USD",
        "meters": ["api_request"],
        "tiers": [{ "id": "t" }],
        "prices": [
            price("all", "1"),
            with_route(price("a", "1000"), "/a"),
            with_route(price("b", "1000000"), "/b/:id"),
            with_route(price("post", "1000000000"), "POST /b/:id"),
        ],
    });
    let catalog = Catalog::parse(&catalog.to_string()).unwrap();
    let terms = Value::parse("", r#"{"tierId":"t"}"#).unwrap().object().unwrap();
    Plan { assignment: Assignment::read(&catalog, &terms).unwrap(), catalog }
}

fn run(file: &Path) -> Answer {
    simulate(Question {
        file: file.to_owned(),
        plan: plan(),
        baseline: None,
        span: Period::EVER,
        zone: Zone::UTC,
        reader: Reader::new(None, CustomerBy::User).unwrap(),
        bill_on: Default::default(),
    })
    .unwrap()
}

fn price(request: &Request) -> u64 {
    let lower = request.path.to_lowercase();
    match lower.strip_prefix("/b/").filter(|id| !id.is_empty()) {
        Some(_) if request.method == "POST" => 1_000_000_000,
        Some(_) => 1_000_000,
        None if lower == "/a" => 1_000,
        None => 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_line_says_what_the_request_was(request in Request::arbitrary()) {
        let line = request.line();
        check(line.as_bytes());
        for format in [None, Some(request.format)] {
            let mut reader = Reader::new(format, CustomerBy::User).unwrap();
            let entry = reader.read(line.as_bytes());
            prop_assert!(entry.is_ok(), "{line}: {entry:?}");
            let entry = entry.unwrap();
            prop_assert_eq!(entry.at.as_millis(), request.millis);
            prop_assert_eq!(entry.customer.as_ref(), request.customer());
            prop_assert_eq!((entry.method.as_ref(), entry.path.as_ref()), (request.method, request.path.as_str()));
            prop_assert_eq!(entry.status, Some(request.status));
        }
    }

    #[test]
    fn a_log_costs_what_its_requests_cost(
        requests in prop::collection::vec(Request::arbitrary(), 0..40),
        bad in prop::collection::vec((any::<prop::sample::Index>(), "[a-z{\\[]{1,9}"), 0..9),
        end in prop::sample::select(vec!["\n", "\r\n", "\n\n"]),
        is_compressed in any::<bool>(),
    ) {
        let mut lines: Vec<String> = requests.iter().map(Request::line).collect();
        for (place, line) in &bad {
            lines.insert(place.index(lines.len() + 1), line.clone());
        }
        let text = lines.join(end);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("access.log");
        if is_compressed {
            let mut encoder = GzEncoder::new(std::fs::File::create(&file).unwrap(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap();
        } else {
            std::fs::write(&file, &text).unwrap();
        }
        let answer = run(&file);
        let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
        for request in requests.iter().filter(|request| request.status != 429) {
            *expected.entry(request.customer()).or_default() += price(request);
        }
        let found: BTreeMap<&str, u64> = answer
            .simulation
            .customers
            .iter()
            .map(|customer| (customer.id.as_ref(), customer.new.to_string().parse().unwrap()))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(answer.lines as usize, lines.len());
        prop_assert_eq!(answer.bad as usize, bad.len());
        prop_assert_eq!(answer.shown.len(), bad.len().min(5));
        prop_assert_eq!(answer.unbilled as usize, requests.iter().filter(|request| request.status == 429).count());
        prop_assert!(answer.simulation.old.is_none());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn arbitrary_lines_never_panic(line in "[-{}\\[\\]\":\\\\ x0-9a-z/.+A-Z]{0,80}") {
        check(line.as_bytes());
    }

    #[test]
    fn changed_lines_never_panic(
        request in Request::arbitrary(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = request.line().into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes);
    }
}

#[test]
fn a_line_without_end_is_passed_over_and_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let line = r#"h - u [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1" 200 5"#;
    let long = "x".repeat(3_000_000);
    std::fs::write(&file, format!("\u{FEFF}{line}\n{long}\n{line}\n{long}")).unwrap();
    let answer = run(&file);
    assert_eq!((answer.lines, answer.bad, answer.simulation.events), (4, 2, 2));
    assert_eq!(answer.shown.iter().map(|shown| shown.number).collect::<Vec<_>>(), [2, 4]);
    assert!(answer.shown[0].text.len() <= 160);
}

#[test]
fn what_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let question = |file: &Path| Question {
        file: file.to_owned(),
        plan: plan(),
        baseline: None,
        span: Period::EVER,
        zone: Zone::UTC,
        reader: Reader::default(),
        bill_on: Default::default(),
    };
    let missing = directory.path().join("missing.log");
    assert!(simulate(question(&missing)).unwrap_err().message.contains("missing.log cannot be read"));
    let torn = directory.path().join("torn.log.gz");
    std::fs::write(&torn, [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2]).unwrap();
    assert!(simulate(question(&torn)).unwrap_err().message.contains("torn.log.gz cannot be read"));
}

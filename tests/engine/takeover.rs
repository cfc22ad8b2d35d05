//! Taking over the seed's files: each good line once, each bad line set aside once, nothing of theirs written to.

use std::fs::File;
use std::io::Write;
use std::sync::Barrier;

use serde_json::{Value, json};
use weighbridge::domain::Meter;
use weighbridge::engine::takeover::TakeoverReport;

use crate::support::{all_time, at, counter, customer_id, event, events, record, used};
use crate::{Place, apply, close, ready};
use weighbridge::store::Store;

const EVENTS: &str = "usage-events.json";
const USAGE: &str = "customer-usage.json";
const REJECTED: &str = "usage-events.rejected.jsonl";

impl Place {
    fn append(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.dir.path().join(file);
        File::options().append(true).create(true).open(path).unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(file)).unwrap_or_default()
    }

    /// The rejected lines, without their reasons.
    fn rejected(&self) -> Vec<(u64, String)> {
        let text = String::from_utf8(self.read(REJECTED)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["position"].as_u64().unwrap(), line["line"].as_str().unwrap().to_owned())).collect()
    }

    /// Opens an engine and closes it again.
    fn take_over(&self) -> TakeoverReport {
        let engine = self.open();
        let report = ready(&engine).expect("a report");
        close(&engine);
        report
    }
}

fn line(customer: &str) -> String {
    let timestamp = at("2026-03-05T00:00:00Z").as_millis();
    let event = json!({ "customerId": customer, "eventType": "api_request", "timestamp": timestamp, "cost": 0.1 });
    format!("{event}\n")
}

fn summary(requests: f64, executions: f64, cost: f64) -> Value {
    json!({
        "currentPeriodStart": at("2026-03-01T05:00:00Z").as_millis(),
        "currentPeriodEnd": at("2026-04-01T05:00:00Z").as_millis(),
        "usage": { "apiRequests": requests, "agentExecutions": executions, "dataAccessQueries": 0, "totalCost": cost },
    })
}

#[test]
fn good_lines_count_once_over_three_openings() {
    let place = Place::new();
    let full = json!({
        "customerId": "bob", "subscriptionId": "sub_1", "eventType": "agent_execution", "endpoint": "/agents",
        "agentType": "writer", "timestamp": at("2026-02-28T23:59:59.999Z").as_millis(), "cost": 1.25,
        "metadata": { "deep": [1, 2] }, "unknown": true,
    });
    let lines = format!("{}\n  \n{}{full}\r\n", line("ann"), line("ann"));
    place.append(EVENTS, &lines);
    let report = place.take_over();
    assert_eq!(report, TakeoverReport { events: 3, ..TakeoverReport::default() });
    for _ in 0..2 {
        assert_eq!(place.take_over(), TakeoverReport::default());
    }
    let store = place.store();
    assert_eq!(counter(&store, "ann", Meter::API_REQUEST, "2026-03-01T00:00:00Z"), (2, "0.2".to_owned()));
    assert_eq!(counter(&store, "bob", Meter::AGENT_EXECUTION, "2026-02-01T00:00:00Z"), (1, "1.25".to_owned()));
    assert_eq!(events(&store, Some("bob"), all_time())[0].endpoint.as_deref(), Some("/agents"));
    assert_eq!(place.read(EVENTS), lines.as_bytes());
    assert!(place.read(REJECTED).is_empty());
}

#[test]
fn a_file_that_grows_is_continued() {
    let place = Place::new();
    for lines in [1, 0, 2, 10_000] {
        place.append(EVENTS, line("ann").repeat(lines));
        assert_eq!(place.take_over(), TakeoverReport { events: lines as u64, ..TakeoverReport::default() });
    }
    assert_eq!(used(&place.store(), "ann"), 10_003);
}

#[test]
fn bad_lines_are_set_aside_once_with_their_reasons() {
    let place = Place::new();
    let good = line("ann");
    let good = good.trim_end();
    let bad = [
        ("not JSON".to_owned(), "expected"),
        ("[]".to_owned(), "invalid"),
        (good.replace("api_request", "api_requests"), "`eventType`"),
        (good.replace("0.1", "-0.1"), "`cost`"),
        (good.replace("0.1", r#""0.1""#), "invalid type"),
        (good.replace(r#""ann""#, r#""""#), "`customerId`"),
        (good.replace("customerId", "customer"), "customerId"),
        (good.replace("00000}", "00000.5}"), "`timestamp`"),
        (good.replace('}', r#","metadata":[1]}"#), "`metadata`"),
        (good.replace('}', &format!(r#","metadata":{{"x":"{}"}}}}"#, "x".repeat(17_000))), "`metadata`"),
    ];
    let mut expected = Vec::new();
    let mut lines = Vec::new();
    for (line, reason) in &bad {
        assert_ne!(line, good, "{reason}");
        expected.push((lines.len() as u64, line.clone()));
        lines.extend(format!("{line}\n{good}\n").into_bytes());
    }
    expected.push((lines.len() as u64, "\u{fffd}".to_owned()));
    lines.extend(b"\xff\n");
    place.append(EVENTS, &lines);

    let rejected = expected.len() as u64;
    let rejected_file = Some(place.dir.path().join(REJECTED));
    let report = place.take_over();
    assert_eq!(report, TakeoverReport { events: 10, rejected, rejected_file, ..TakeoverReport::default() });
    let set_aside = place.read(REJECTED);
    for _ in 0..2 {
        assert_eq!(place.take_over(), TakeoverReport::default());
    }
    assert_eq!(place.read(REJECTED), set_aside);
    assert_eq!(place.rejected(), expected);
    for (line, (_, reason)) in String::from_utf8(set_aside).unwrap().lines().zip(&bad) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["reason"].as_str().unwrap().contains(reason), "{line}");
    }
    assert_eq!(place.read(EVENTS), lines);
    assert_eq!(used(&place.store(), "ann"), 10);
}

#[test]
fn a_torn_last_line_is_set_aside_and_what_follows_counts() {
    let place = Place::new();
    let torn = &line("bob")[..30];
    place.append(EVENTS, format!("{}{torn}", line("ann")));
    let report = place.take_over();
    assert_eq!((report.events, report.rejected), (1, 1));
    assert_eq!(place.rejected(), [(line("ann").len() as u64, torn.to_owned())]);
    // The seed's code was started again and goes on in the same line.
    place.append(EVENTS, line("ann"));
    assert_eq!(place.take_over(), TakeoverReport { events: 1, ..TakeoverReport::default() });
    // A line that only lacks its end is a good one.
    place.append(EVENTS, line("ann").trim_end());
    assert_eq!(place.take_over().events, 1);
    place.append(EVENTS, "\n");
    assert_eq!(place.take_over(), TakeoverReport::default());
    assert_eq!((used(&place.store(), "ann"), used(&place.store(), "bob")), (3, 0));
}

#[test]
fn lines_set_aside_before_a_crash_are_set_aside_once() {
    let place = Place::new();
    place.append(EVENTS, format!("bad 1\n{}bad 2\nbad 3\n", line("ann")));
    place.take_over();
    let (whole, rejected) = (place.read(REJECTED), place.rejected());
    assert_eq!(rejected.len(), 3);
    // As if the process had died before the store knew of it, in the middle of writing, after so many bytes.
    for written in [whole.len(), whole.len() - 1, whole.len() - 20, 10, 0] {
        for file in std::fs::read_dir(place.dir.path()).unwrap().map(|file| file.unwrap().path()) {
            if file.to_string_lossy().contains("weighbridge.db") {
                std::fs::remove_file(file).unwrap();
            }
        }
        std::fs::write(place.dir.path().join(REJECTED), &whole[..written]).unwrap();
        assert_eq!(place.take_over().rejected, 3);
        assert_eq!(place.rejected(), rejected, "after {written} bytes");
    }
}

#[test]
fn sums_count_only_for_customers_without_events() {
    let place = Place::new();
    place.append(EVENTS, line("ann"));
    let sums = json!({ "ann": summary(99.0, 9.0, 9.9), "bob": summary(7.0, 2.0, 0.9), "cat": summary(0.0, 0.0, 0.0) });
    place.append(USAGE, sums.to_string());
    let report = place.take_over();
    assert_eq!(report, TakeoverReport { events: 1, summaries: 2, ..TakeoverReport::default() });
    for _ in 0..2 {
        assert_eq!(place.take_over(), TakeoverReport::default());
    }
    let store = place.store();
    let march = |customer, meter| counter(&store, customer, meter, "2026-03-01T00:00:00Z");
    assert_eq!(march("ann", Meter::API_REQUEST), (1, "0.1".to_owned()));
    assert_eq!(march("bob", Meter::API_REQUEST), (7, "0.9".to_owned()));
    assert_eq!(march("bob", Meter::AGENT_EXECUTION), (2, "0".to_owned()));
    assert!(store.customer(&customer_id("cat")).unwrap().is_some());
    assert_eq!(place.read(USAGE), sums.to_string().as_bytes());
}

#[test]
fn broken_sums_are_reported_and_keep_nobody_from_working() {
    let place = Place::new();
    place.append(EVENTS, line("ann"));
    for text in ["", "{\"bob\": ", "[]", "\u{0}"] {
        std::fs::write(place.dir.path().join(USAGE), text).unwrap();
        let engine = place.open();
        let error = ready(&engine).unwrap().summaries_error.expect("why it is broken");
        assert!(error.contains(USAGE), "{error}");
        apply(&engine, record(event("ann")));
        close(&engine);
        assert_eq!(place.read(USAGE), text.as_bytes());
    }
    assert_eq!(used(&place.store(), "ann"), 5);
    // Mended, it counts.
    std::fs::write(place.dir.path().join(USAGE), json!({ "bob": summary(7.0, 0.0, 0.9) }).to_string()).unwrap();
    assert_eq!(place.take_over(), TakeoverReport { summaries: 1, ..TakeoverReport::default() });
    assert_eq!(used(&place.store(), "bob"), 7);
}

#[test]
fn of_broken_sums_the_good_ones_count() {
    let place = Place::new();
    let sums = json!({ "ann": { "usage": 5 }, "bob": summary(7.0, 0.0, 0.9), "cat": summary(0.5, 0.0, 0.0) });
    place.append(USAGE, sums.to_string());
    let report = place.take_over();
    assert_eq!(report.summaries, 1);
    assert!(report.summaries_error.is_some());
    let store = place.store();
    assert_eq!((used(&store, "bob"), store.customers(None, 10).unwrap().len()), (7, 1));
}

#[test]
fn engines_that_open_at_once_count_once() {
    for _ in 0..5 {
        let place = Place::new();
        place.append(EVENTS, format!("{}bad\n", line("ann").repeat(50)).repeat(100));
        place.append(USAGE, json!({ "bob": summary(7.0, 0.0, 0.9) }).to_string());
        let barrier = Barrier::new(3);
        let reports = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                place.take_over()
            };
            let threads = [(); 3].map(|()| scope.spawn(open));
            threads.map(|thread| thread.join().expect("a report"))
        });
        let sum = |part: fn(&TakeoverReport) -> u64| reports.iter().map(part).sum::<u64>();
        assert_eq!(sum(|report| report.events), 5_000);
        assert_eq!(sum(|report| report.rejected), 100);
        assert_eq!(sum(|report| report.summaries), 1);
        assert_eq!(place.rejected().len(), 100);
        assert_eq!((used(&place.store(), "ann"), used(&place.store(), "bob")), (5_000, 7));
    }
}

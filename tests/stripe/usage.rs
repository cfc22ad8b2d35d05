//! What a sender of usage asks, and what it learns from a refusal.

use serde_json::{Value, json as value};
use weighbridge::{
    domain::Decimal,
    stripe::{
        CallOptions, Failure, LAST_VERSION_WITH_USAGE_RECORDS, MeterEvent, MeterEventSession, StripeError,
        StripeErrorKind, SummaryQuery, SummaryWindow,
    },
};

use crate::recorder::{Recorder, error, json};

const TOKEN: &str = "session_token_c2Vzc2lvbg";

fn event(identifier: &str) -> MeterEvent<'_> {
    MeterEvent::new("calls", "cus_1", "7.5", identifier, 1_700_000_000)
}

fn once() -> CallOptions {
    CallOptions { max_network_retries: Some(0), ..CallOptions::with_key("key-1") }
}

fn session() -> String {
    value!({ "id": "mes_1", "authentication_token": TOKEN, "expires_at": "2026-11-23T12:15:00.000Z" }).to_string()
}

async fn open_session(recorder: &Recorder) -> MeterEventSession {
    recorder.client().create_meter_event_session(CallOptions::default()).await.unwrap()
}

fn stripe_error<T: std::fmt::Debug>(result: Result<T, Failure>) -> StripeError {
    match result {
        Err(Failure::Stripe(error)) => *error,
        other => panic!("expected an error of Stripe's, got {other:?}"),
    }
}

#[tokio::test]
async fn a_meter_event_is_sent_under_its_own_identifier() {
    let recorder = Recorder::start([json(200, "{}")]).await;
    recorder.client().create_meter_event(&event("e-1"), once()).await.unwrap();
    let asked = &recorder.asked()[0];
    assert_eq!((asked.line().as_str(), asked.idempotency_key()), ("POST /v1/billing/meter_events", Some("key-1")));
    assert_eq!(
        asked.params(),
        [
            ("event_name", "calls"),
            ("identifier", "e-1"),
            ("payload[stripe_customer_id]", "cus_1"),
            ("payload[value]", "7.5"),
            ("timestamp", "1700000000"),
        ]
    );
}

#[tokio::test]
async fn a_refusal_tells_what_to_do() {
    let duplicate =
        r#"{"error":{"type":"invalid_request_error","message":"An event already exists with identifier e-1."}}"#;
    let unknown = r#"{"error":{"type":"invalid_request_error","code":"resource_missing","message":"No such meter"}}"#;
    for (answer, delivered, retriable) in [
        (json(400, duplicate).with("stripe-should-retry", "false"), true, false),
        (json(400, unknown), false, false),
        (error(429), false, true),
        (error(500), false, true),
        (error(500).with("stripe-should-retry", "false"), false, false),
    ] {
        let recorder = Recorder::start([answer]).await;
        let error = stripe_error(recorder.client().create_meter_event(&event("e-1"), once()).await);
        assert_eq!((error.is_duplicate_meter_event(), error.is_retriable), (delivered, retriable), "{error:?}");
        assert_eq!(recorder.asked().len(), 1);
    }
    let recorder = Recorder::start([error(429).with("retry-after", "7")]).await;
    let error = stripe_error(recorder.client().create_meter_event(&event("e-1"), once()).await);
    assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(7)));
}

#[tokio::test]
async fn an_event_is_taken_back_by_its_identifier() {
    let recorder = Recorder::start([json(200, "{}")]).await;
    recorder.client().cancel_meter_event("calls", "e-1", once()).await.unwrap();
    let asked = &recorder.asked()[0];
    assert_eq!(asked.line(), "POST /v1/billing/meter_event_adjustments");
    assert_eq!(asked.params(), [("cancel[identifier]", "e-1"), ("event_name", "calls"), ("type", "cancel")]);
}

#[tokio::test]
async fn a_session_streams_batches_to_a_host_of_its_own() {
    let recorder = Recorder::start([json(200, session()), json(200, "{}")]).await;
    let session = open_session(&recorder).await;
    assert_eq!((session.id.as_str(), session.expires_at.as_str()), ("mes_1", "2026-11-23T12:15:00.000Z"));
    recorder.client().stream_meter_events(&session, &[event("e-1"), event("e-2")], once()).await.unwrap();

    let asked = recorder.asked();
    assert_eq!(
        recorder.lines(),
        ["POST /v2/billing/meter_event_session", "POST /meter-events/v2/billing/meter_event_stream"]
    );
    assert_eq!(asked[0].body, "{}");
    assert_eq!(asked[1].headers["authorization"], format!("Bearer {TOKEN}"));
    let sent = |identifier| {
        value!({
            "event_name": "calls",
            "identifier": identifier,
            "payload": { "stripe_customer_id": "cus_1", "value": "7.5" },
            "timestamp": "2023-11-14T22:13:20.000Z",
        })
    };
    let body: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(body, value!({ "events": [sent("e-1"), sent("e-2")] }));
    for asked in &asked {
        assert_eq!(asked.headers["content-type"], "application/json");
        assert_eq!(asked.headers["stripe-version"], "2026-09-30.endive");
        assert!(asked.idempotency_key().is_some());
    }
}

#[tokio::test]
async fn an_expired_session_says_so_and_its_token_is_never_shown() {
    let expired = format!(r#"{{"error":{{"code":"temporary_session_expired","message":"{TOKEN} has expired"}}}}"#);
    let recorder = Recorder::start([json(200, session()), json(401, expired)]).await;
    let session = open_session(&recorder).await;
    let error = stripe_error(recorder.client().stream_meter_events(&session, &[event("e-1")], once()).await);
    assert_eq!((error.kind, error.is_retriable), (StripeErrorKind::TemporarySessionExpired, false));
    let shown = format!("{session:?} {error} {error:?}");
    assert!(!shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn summaries_are_read_to_the_last_page_and_to_the_last_digit() {
    let page = |id: &str, value: &str, has_more: bool| {
        let summary = format!(r#"{{"id":"{id}","aggregated_value":{value},"start_time":0,"end_time":3600}}"#);
        json(200, format!(r#"{{"object":"list","data":[{summary}],"has_more":{has_more}}}"#))
    };
    let recorder = Recorder::start([page("s_1", "0.000000000001", true), page("s_2", "12", false)]).await;
    let query = SummaryQuery {
        meter_id: "mtr_1",
        customer_id: "cus_1",
        start_time: 0,
        end_time: 7200,
        window: Some(SummaryWindow::Hour),
    };
    let summaries = recorder.client().list_meter_event_summaries(&query).await.unwrap();
    let values: Vec<_> = summaries.into_iter().map(|summary| summary.aggregated_value).collect();
    assert_eq!(values, [Decimal::parse("", "0.000000000001").unwrap(), Decimal::from(12)]);
    let asked = recorder.asked();
    assert_eq!(asked[0].line(), "GET /v1/billing/meters/mtr_1/event_summaries");
    let first = [
        ("customer", "cus_1"),
        ("end_time", "7200"),
        ("limit", "100"),
        ("start_time", "0"),
        ("value_grouping_window", "hour"),
    ];
    assert_eq!(asked[0].params(), first);
    assert_eq!(asked[1].params["starting_after"], "s_1");
}

#[tokio::test]
async fn a_usage_record_is_sent_with_a_version_that_has_it() {
    let recorder = Recorder::start([json(200, "{}")]).await;
    let options = CallOptions { api_version: Some(LAST_VERSION_WITH_USAGE_RECORDS.into()), ..once() };
    recorder.client().create_usage_record("si_1", 5, 1_700_000_000, options).await.unwrap();
    let asked = &recorder.asked()[0];
    assert_eq!(asked.line(), "POST /v1/subscription_items/si_1/usage_records");
    assert_eq!(asked.headers["stripe-version"], "2025-02-24.acacia");
    assert_eq!(asked.params(), [("action", "increment"), ("quantity", "5"), ("timestamp", "1700000000")]);
}

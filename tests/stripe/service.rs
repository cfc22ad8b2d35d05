//! The service's calls: what they ask Stripe, on old and new API versions.

use serde_json::{Value, json as value};
use weighbridge::{
    Code,
    domain::Timestamp,
    stripe::{CallOptions, Failure, StripeErrorKind},
};

use crate::recorder::{Recorder, json};

const SEED: &str = "2023-10-16";
const ACACIA: &str = "2025-02-24.acacia";
const BASIL: &str = "2025-03-31.basil";
const ENDIVE: &str = "2026-09-30.endive";

/// 2023-11-14T22:13:20.123Z
const NOW_SECONDS: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_stored(NOW_SECONDS * 1000 + 123)
}

/// A subscription with one item, and Stripe's many other fields cut down to one that must survive.
fn subscription(recurring: &Value) -> String {
    value!({
        "id": "sub_1", "object": "subscription", "customer": "cus_1", "future_field": [1.50],
        "items": { "object": "list", "data": [{
            "id": "si_1", "price": { "id": "price_1", "recurring": recurring },
            "current_period_start": NOW_SECONDS - 100, "current_period_end": NOW_SECONDS + 2_000_000,
        }] },
    })
    .to_string()
}

fn metered() -> String {
    subscription(&value!({ "interval": "month", "meter": "mtr_1", "usage_type": "metered" }))
}

fn legacy() -> String {
    subscription(&value!({ "interval": "month", "meter": null, "usage_type": "metered" }))
}

fn licensed() -> String {
    subscription(&value!({ "interval": "month", "meter": null, "usage_type": "licensed" }))
}

fn code(result: Result<String, Failure>) -> Code {
    match result {
        Err(Failure::Weighbridge(error)) => error.code,
        other => panic!("expected an error of ours, got {other:?}"),
    }
}

#[tokio::test]
async fn a_customer_is_named_after_his_address() {
    let recorder = Recorder::start((0..3).map(|_| json(200, r#"{"id":"cus_1"}"#))).await;
    let service = recorder.service(SEED);
    let answer = service.create_customer("ada@example.com", None, now(), CallOptions::default()).await.unwrap();
    assert_eq!(answer, r#"{"id":"cus_1"}"#);
    service.create_customer("ada@example.com", Some("Ada Lovelace"), now(), CallOptions::default()).await.unwrap();
    service.create_customer("ada", Some(""), now(), CallOptions::default()).await.unwrap();

    let asked = recorder.asked();
    assert_eq!(asked[0].line(), "POST /v1/customers");
    assert_eq!(
        asked[0].params(),
        [
            ("email", "ada@example.com"),
            ("metadata[created_by]", "UBOS_API"),
            ("metadata[timestamp]", "2023-11-14T22:13:20.123Z"),
            ("name", "ada"),
        ]
    );
    assert_eq!(asked[1].params["name"], "Ada Lovelace");
    assert_eq!(asked[2].params["name"], "ada");
}

#[tokio::test]
async fn a_customer_needs_an_address() {
    let recorder = Recorder::start([]).await;
    assert_eq!(
        code(recorder.service(SEED).create_customer("", Some("Ada"), now(), CallOptions::default()).await),
        Code::InvalidArgument
    );
    assert!(recorder.asked().is_empty());
}

#[tokio::test]
async fn a_subscription_expands_what_the_version_has() {
    for (version, expanded) in [
        (SEED, "latest_invoice.payment_intent"),
        (ACACIA, "latest_invoice.payment_intent"),
        (BASIL, "latest_invoice.confirmation_secret"),
        (ENDIVE, "latest_invoice.confirmation_secret"),
    ] {
        let recorder = Recorder::start([json(200, r#"{"id":"sub_1"}"#)]).await;
        recorder
            .service(version)
            .create_subscription("cus_1", "price_starter_monthly", CallOptions::default())
            .await
            .unwrap();
        let asked = &recorder.asked()[0];
        assert_eq!(asked.line(), "POST /v1/subscriptions");
        assert_eq!(asked.headers["stripe-version"], version);
        assert_eq!(
            asked.params(),
            [
                ("customer", "cus_1"),
                ("expand[0]", expanded),
                ("items[0][price]", "price_starter_monthly"),
                ("payment_behavior", "default_incomplete"),
                ("payment_settings[save_default_payment_method]", "on_subscription"),
            ]
        );
    }
}

#[tokio::test]
async fn usage_of_a_metered_price_is_its_meters_summary() {
    let summary = r#"{"id":"mtrusg_1","aggregated_value":10.50}"#;
    for version in [SEED, ENDIVE] {
        let list = json(200, format!(r#"{{"object":"list","data":[{summary}],"has_more":false}}"#));
        let recorder = Recorder::start([json(200, metered()), list]).await;
        let usage = recorder.service(version).get_usage("sub_1", now()).await.unwrap();
        assert_eq!(usage, format!(r#"{{"subscription":{},"usage":[{summary}]}}"#, metered()), "not a byte is lost");

        assert_eq!(recorder.lines(), ["GET /v1/subscriptions/sub_1", "GET /v1/billing/meters/mtr_1/event_summaries"]);
        // 1,700,000,000 is 20 seconds past a minute; the period began 100 seconds before.
        assert_eq!(
            recorder.asked()[1].params(),
            [("customer", "cus_1"), ("end_time", "1700000040"), ("start_time", "1699999860")]
        );
    }
}

#[tokio::test]
async fn usage_without_a_meter_is_usage_records_while_they_exist() {
    let summaries = r#"{"object":"list","data":[{"id":"sis_1","total_usage":7},{"id":"sis_2","total_usage":3}]}"#;
    for version in [SEED, ACACIA] {
        let recorder = Recorder::start([json(200, legacy()), json(200, summaries)]).await;
        let usage: Value =
            serde_json::from_str(&recorder.service(version).get_usage("sub_1", now()).await.unwrap()).unwrap();
        assert_eq!(usage["usage"][1]["id"], "sis_2");
        assert_eq!(
            recorder.lines(),
            ["GET /v1/subscriptions/sub_1", "GET /v1/subscription_items/si_1/usage_record_summaries"]
        );
    }
    for version in [BASIL, ENDIVE] {
        let recorder = Recorder::start([json(200, legacy())]).await;
        let usage: Value =
            serde_json::from_str(&recorder.service(version).get_usage("sub_1", now()).await.unwrap()).unwrap();
        assert_eq!(usage["usage"], value!([]));
        assert_eq!(usage["subscription"]["future_field"], value!([1.5]));
        assert_eq!(recorder.lines(), ["GET /v1/subscriptions/sub_1"]);
    }
}

#[tokio::test]
async fn a_subscription_without_items_has_no_usage() {
    let empty = r#"{"id":"sub_1","customer":{"id":"cus_1"},"items":{"data":[]}}"#;
    let recorder = Recorder::start([json(200, empty), json(200, empty)]).await;
    let service = recorder.service(SEED);
    let usage = service.get_usage("sub_1", now()).await.unwrap();
    assert_eq!(usage, format!(r#"{{"subscription":{empty},"usage":[]}}"#));
    assert_eq!(code(service.record_usage("sub_1", 1, None, now(), None).await), Code::StripePriceNotMetered);
}

#[tokio::test]
async fn usage_is_recorded_as_an_event_of_the_prices_meter() {
    let meter = r#"{"id":"mtr_1","event_name":"api_requests","customer_mapping":{"type":"by_id",
        "event_payload_key":"customer"},"value_settings":{"event_payload_key":"units"}}"#;
    let event = r#"{"object":"billing.meter_event","identifier":"x"}"#;
    for version in [SEED, ENDIVE] {
        let recorder =
            Recorder::start([json(200, metered()), json(200, meter), json(500, "{}"), json(200, event)]).await;
        let answer = recorder.service(version).record_usage("sub_1", 42, None, now(), None).await.unwrap();
        assert_eq!(answer, event);
        assert_eq!(
            recorder.lines(),
            [
                "GET /v1/subscriptions/sub_1",
                "GET /v1/billing/meters/mtr_1",
                "POST /v1/billing/meter_events",
                "POST /v1/billing/meter_events",
            ]
        );
        let asked = recorder.asked();
        let identifier = asked[2].params["identifier"].as_str();
        assert_eq!(asked[2].idempotency_key(), Some(identifier));
        assert_eq!(asked[3].idempotency_key(), Some(identifier));
        assert_eq!(asked[2].params, asked[3].params);
        assert_eq!(
            asked[2].params(),
            [
                ("event_name", "api_requests"),
                ("identifier", identifier),
                ("payload[customer]", "cus_1"),
                ("payload[units]", "42"),
                ("timestamp", "1700000000"),
            ]
        );
    }
}

#[tokio::test]
async fn a_meter_has_default_keys() {
    let recorder =
        Recorder::start([json(200, metered()), json(200, r#"{"event_name":"calls"}"#), json(200, "{}")]).await;
    recorder.service(ENDIVE).record_usage("sub_1", u64::MAX, Some(1_600_000_000), now(), None).await.unwrap();
    let params = &recorder.asked()[2].params;
    assert_eq!(params["payload[stripe_customer_id]"], "cus_1");
    assert_eq!(params["payload[value]"], u64::MAX.to_string());
    assert_eq!(params["timestamp"], "1600000000");
}

#[tokio::test]
async fn usage_without_a_meter_is_a_usage_record_while_they_exist() {
    for (version, timestamp, sent) in [(SEED, None, "1700000000"), (ACACIA, Some(1_600_000_000), "1600000000")] {
        let recorder = Recorder::start([json(200, legacy()), json(200, r#"{"object":"usage_record"}"#)]).await;
        let answer = recorder.service(version).record_usage("sub_1", 5, timestamp, now(), None).await.unwrap();
        assert_eq!(answer, r#"{"object":"usage_record"}"#);
        let asked = &recorder.asked()[1];
        assert_eq!(asked.line(), "POST /v1/subscription_items/si_1/usage_records");
        assert_eq!(asked.params(), [("action", "increment"), ("quantity", "5"), ("timestamp", sent)]);
        assert!(asked.idempotency_key().is_some());
    }
}

#[tokio::test]
async fn usage_that_no_price_takes_is_never_dropped_silently() {
    for (version, subscription) in [(BASIL, legacy()), (ENDIVE, legacy()), (SEED, licensed()), (ENDIVE, licensed())] {
        let recorder = Recorder::start([json(200, subscription)]).await;
        let result = recorder.service(version).record_usage("sub_1", 1, None, now(), None).await;
        assert_eq!(code(result), Code::StripePriceNotMetered, "{version}");
        assert_eq!(recorder.lines(), ["GET /v1/subscriptions/sub_1"]);
    }
}

#[tokio::test]
async fn ids_cannot_change_the_path() {
    let recorder = Recorder::start([]).await;
    let service = recorder.service(ENDIVE);
    for id in ["", "..", "../customers", "sub_1/../../x", "sub_1?expand[]=x", "sub_1#x", "sub%2e%2e", "sub 1\r\n"] {
        assert_eq!(code(service.get_usage(id, now()).await), Code::InvalidArgument, "{id:?}");
        assert_eq!(code(service.record_usage(id, 1, None, now(), None).await), Code::InvalidArgument, "{id:?}");
    }
    assert_eq!(code(service.create_subscription("", "price_1", CallOptions::default()).await), Code::InvalidArgument);
    assert_eq!(code(service.create_subscription("cus_1", "", CallOptions::default()).await), Code::InvalidArgument);
    assert_eq!(code(service.record_usage("sub_1", 1, Some(-1), now(), None).await), Code::InvalidArgument);
    assert!(recorder.asked().is_empty());
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_says_so() {
    let recorder = Recorder::start([json(200, r#"{"id":"sub_1"}"#)]).await;
    let result = recorder.service(ENDIVE).get_usage("sub_1", now()).await;
    let Err(Failure::Stripe(error)) = result else { panic!("{result:?}") };
    assert_eq!((error.kind, error.request_id.as_deref()), (StripeErrorKind::Api, Some("req_1")));
    assert!(error.message.contains("a subscription") && error.message.contains("customer"), "{error}");
}

#[tokio::test]
async fn stripes_refusal_reaches_the_caller() {
    let missing = r#"{"error":{"type":"invalid_request_error","code":"resource_missing","param":"id",
        "message":"No such subscription: 'sub_1'"}}"#;
    let recorder = Recorder::start([json(404, missing)]).await;
    let result = recorder.service(ENDIVE).record_usage("sub_1", 1, None, now(), None).await;
    let Err(Failure::Stripe(error)) = result else { panic!("{result:?}") };
    assert_eq!((error.kind.as_str(), error.code.as_deref()), ("StripeInvalidRequestError", Some("resource_missing")));
}

#[tokio::test]
async fn a_callers_key_is_the_meter_events_identifier() {
    let meter = r#"{"event_name":"calls"}"#;
    let recorder = Recorder::start([json(200, metered()), json(200, meter), json(200, "{}")]).await;
    recorder.service(ENDIVE).record_usage("sub_1", 1, None, now(), Some("job-7".to_owned())).await.unwrap();
    let asked = &recorder.asked()[2];
    assert_eq!((asked.idempotency_key(), asked.params["identifier"].as_str()), (Some("job-7"), "job-7"));
}

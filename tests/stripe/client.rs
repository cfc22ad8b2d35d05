//! The client: headers, attempts, errors, connections, secrets.

use std::{collections::BTreeSet, time::Duration};

use stripe_billing::subscription::{CancelSubscription, RetrieveSubscription};
use stripe_core::customer::CreateCustomer;
use weighbridge::{
    Code,
    stripe::{
        Call, CallOptions, ClientOptions, Failure, MAX_RESPONSE_BYTES, Response, StripeClient, StripeError,
        StripeErrorKind,
    },
};

use crate::recorder::{Answer, Recorder, SECRET, error, json};

fn stripe_error(result: Result<Response, Failure>) -> StripeError {
    match result {
        Err(Failure::Stripe(error)) => *error,
        other => panic!("expected an error of Stripe's, got {other:?}"),
    }
}

/// Sends one POST against a script; what came back, and the idempotency key of each attempt.
async fn post(answers: impl IntoIterator<Item = Answer>) -> (Result<Response, Failure>, Vec<String>) {
    let recorder = Recorder::start(answers).await;
    let result = recorder.client().send(&CreateCustomer::new().email("ada@example.com")).await;
    let keys = recorder.asked().iter().map(|asked| asked.idempotency_key().unwrap().to_owned()).collect();
    (result, keys)
}

#[tokio::test]
async fn a_post_carries_every_header() {
    let recorder = Recorder::start([json(200, r#"{"id": "cus_1"}"#)]).await;
    let request = CreateCustomer::new().email("ada+l@example.com").name("Ada & Søn = 100 %");
    let response = recorder.client().send(&request).await.unwrap();
    assert_eq!((response.status, response.request_id.as_deref()), (200, Some("req_1")));
    assert_eq!(response.into_json(), r#"{"id": "cus_1"}"#, "the text is Stripe's own");

    let asked = &recorder.asked()[0];
    assert_eq!(asked.line(), "POST /v1/customers");
    assert_eq!(asked.params(), [("email", "ada+l@example.com"), ("name", "Ada & Søn = 100 %")]);
    let header = |name: &str| asked.headers.get(name).map(String::as_str);
    assert_eq!(header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(header("stripe-version"), Some("2026-09-30.endive"));
    assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(header("user-agent").unwrap().starts_with("Weighbridge/"));
    assert!(uuid::Uuid::parse_str(header("idempotency-key").unwrap()).is_ok());
}

#[tokio::test]
async fn only_posts_carry_an_idempotency_key() {
    let recorder = Recorder::start([json(200, "{}"), json(200, "{}"), json(200, "{}")]).await;
    let client = recorder.client();
    let with_key = |call: Call| call.with(CallOptions::with_key("order-7"));
    client.call(with_key(Call::new(&RetrieveSubscription::new("sub_1")))).await.unwrap();
    client.call(with_key(Call::new(&CancelSubscription::new("sub_1")))).await.unwrap();
    client.call(with_key(Call::new(&CreateCustomer::new()))).await.unwrap();
    assert_eq!(
        recorder.lines(),
        ["GET /v1/subscriptions/sub_1", "DELETE /v1/subscriptions/sub_1", "POST /v1/customers"]
    );
    let keys: Vec<_> = recorder.asked().iter().map(|asked| asked.idempotency_key().map(str::to_owned)).collect();
    assert_eq!(keys, [None, None, Some("order-7".to_owned())]);
}

#[tokio::test]
async fn every_attempt_has_the_same_key_and_every_call_its_own() {
    let recorder = Recorder::start([error(500), error(503), json(200, "{}"), json(200, "{}")]).await;
    let client = recorder.client();
    client.send(&CreateCustomer::new()).await.unwrap();
    client.send(&CreateCustomer::new()).await.unwrap();
    let keys: Vec<_> = recorder.asked().iter().map(|asked| asked.idempotency_key().unwrap().to_owned()).collect();
    assert_eq!((&keys[0], &keys[1]), (&keys[1], &keys[2]));
    assert_ne!(keys[2], keys[3]);
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let lock = r#"{"error":{"code":"lock_timeout","message":"locked"}}"#;
    for passing in [
        error(409),
        error(500),
        error(502),
        error(429),
        error(429).with("stripe-should-retry", "true"),
        error(429).with("stripe-rate-limited-reason", "global-rate").with("retry-after", "0"),
        json(429, lock),
        error(400).with("stripe-should-retry", "true"),
        Answer::Cut,
    ] {
        let (result, keys) = post([passing, json(200, r#"{"id":"cus_1"}"#)]).await;
        assert_eq!(result.unwrap().into_json(), r#"{"id":"cus_1"}"#);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1]);
    }
}

#[tokio::test]
async fn a_lasting_failure_is_not() {
    for (lasting, kind) in [
        (error(400), StripeErrorKind::InvalidRequest),
        (error(401), StripeErrorKind::Authentication),
        (error(402), StripeErrorKind::Card),
        (error(403), StripeErrorKind::Permission),
        (error(404), StripeErrorKind::InvalidRequest),
        (error(429).with("stripe-should-retry", "false"), StripeErrorKind::RateLimit),
        (error(500).with("stripe-should-retry", "false"), StripeErrorKind::Api),
        (error(409).with("stripe-should-retry", "false"), StripeErrorKind::Api),
        (json(200, "<html>"), StripeErrorKind::Api),
        (json(302, ""), StripeErrorKind::Api),
    ] {
        let (result, keys) = post([lasting]).await;
        assert_eq!(stripe_error(result).kind, kind);
        assert_eq!(keys.len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn attempts_have_an_end() {
    let (result, keys) = post([error(500), error(500), error(500)]).await;
    let error_of_last = stripe_error(result);
    assert_eq!((error_of_last.status_code, keys.len()), (Some(500), 3));

    let recorder = Recorder::start([error(500)]).await;
    let options = ClientOptions { max_network_retries: 0, ..recorder.options() };
    let result = StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await;
    assert_eq!(stripe_error(result).status_code, Some(500));
    assert_eq!(recorder.asked().len(), 1);
}

#[tokio::test]
async fn a_time_out_ends_one_attempt() {
    // A slow machine may lose more attempts than the first to the clock; all that counts is that one got through.
    let answers = (0..100).map(|attempt| if attempt == 0 { Answer::Hang } else { json(200, "{}") });
    let recorder = Recorder::start(answers).await;
    let timeout = Duration::from_millis(100);
    let options = ClientOptions { timeout, max_network_retries: 99, ..recorder.options() };
    StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await.unwrap();
    let keys: Vec<_> = recorder.asked().iter().map(|asked| asked.idempotency_key().unwrap().to_owned()).collect();
    assert!(keys.len() >= 2 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");

    let recorder = Recorder::start([Answer::Hang]).await;
    let options = ClientOptions { timeout: Duration::from_millis(20), max_network_retries: 0, ..recorder.options() };
    let error = stripe_error(StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await);
    assert_eq!((error.kind, error.status_code), (StripeErrorKind::Connection, None));
    assert_eq!(error.message, "Stripe did not answer within 20ms");
}

#[tokio::test]
async fn a_call_may_have_options_of_its_own() {
    let recorder = Recorder::start([json(200, "{}"), error(500), json(200, "{}")]).await;
    let client = recorder.client();
    let options = CallOptions {
        idempotency_key: Some("order-7".into()),
        api_version: Some("2023-10-16".into()),
        stripe_account: Some("acct_1".into()),
        max_network_retries: Some(0),
        timeout: None,
    };
    client.call(Call::new(&CreateCustomer::new()).with(options.clone())).await.unwrap();
    let error = stripe_error(client.call(Call::new(&CreateCustomer::new()).with(options)).await);
    assert_eq!((error.status_code, error.is_retriable), (Some(500), true));
    client.send(&CreateCustomer::new()).await.unwrap();
    let header = |asked: usize, name: &str| recorder.asked()[asked].headers.get(name).cloned();
    for (name, value) in
        [("stripe-version", "2023-10-16"), ("stripe-account", "acct_1"), ("idempotency-key", "order-7")]
    {
        assert_eq!(header(0, name).as_deref(), Some(value));
    }
    assert_eq!(header(2, "stripe-version").as_deref(), Some("2026-09-30.endive"), "the next call is as before");
    assert_eq!(header(2, "stripe-account"), None);
}

#[tokio::test]
async fn all_attempts_together_have_a_deadline() {
    // The wait that Stripe asks for would end past it.
    let recorder = Recorder::start([error(429).with("retry-after", "60"), json(200, "{}")]).await;
    let options = ClientOptions { deadline: Duration::from_secs(59), ..recorder.options() };
    let failed = stripe_error(StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await);
    assert_eq!((failed.status_code, failed.retry_after), (Some(429), Some(Duration::from_secs(60))));
    assert_eq!(recorder.asked().len(), 1);

    // However many retries are allowed, those that hang end with the call's time and not with their own.
    let recorder = Recorder::start(std::iter::once(error(500)).chain((0..100).map(|_| Answer::Hang))).await;
    let deadline = Duration::from_millis(300);
    let options = ClientOptions { deadline, max_network_retries: 100, ..recorder.options() };
    let failed = stripe_error(StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await);
    assert_eq!((failed.kind, recorder.asked().len()), (StripeErrorKind::Connection, 2));
}

#[tokio::test]
async fn no_connection_is_a_connection_error() {
    let (result, keys) = post([Answer::Cut, Answer::Cut, Answer::Cut]).await;
    let error = stripe_error(result);
    assert_eq!((error.kind.as_str(), error.status_code, keys.len()), ("StripeConnectionError", None, 3));

    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut options = ClientOptions::new(SECRET);
    options.base_url = format!("http://127.0.0.1:{port}");
    options.initial_backoff = Duration::ZERO;
    let error = stripe_error(StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await);
    assert_eq!(error.kind, StripeErrorKind::Connection);
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn https_is_spoken_only_with_those_who_can() {
    let recorder = Recorder::start([]).await;
    let base_url = recorder.url.replace("http:", "https:");
    let options = ClientOptions { base_url, max_network_retries: 0, ..recorder.options() };
    let error = stripe_error(StripeClient::new(options).unwrap().send(&CreateCustomer::new()).await);
    assert_eq!(error.kind, StripeErrorKind::Connection);
    assert!(recorder.asked().is_empty(), "nothing was sent in the clear");
}

#[tokio::test]
async fn errors_keep_what_stripe_told() {
    let body = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds",
        "param":"source","message":"Your card has insufficient funds."}}"#;
    let (result, _) = post([json(402, body)]).await;
    let expected = StripeError {
        kind: StripeErrorKind::Card,
        message: "Your card has insufficient funds.".into(),
        code: Some("card_declined".into()),
        param: Some("source".into()),
        decline_code: Some("insufficient_funds".into()),
        status_code: Some(402),
        request_id: Some("req_1".into()),
        is_retriable: false,
        retry_after: None,
    };
    assert_eq!(stripe_error(result), expected);
}

#[tokio::test]
async fn a_proxys_html_keeps_its_status() {
    let html = || json(502, "<html><h1>502 Bad Gateway</h1></html>");
    let (result, keys) = post([html(), html(), html()]).await;
    let error = stripe_error(result);
    assert_eq!((error.kind.as_str(), error.status_code, keys.len()), ("StripeAPIError", Some(502), 3));
}

#[tokio::test]
async fn an_endless_answer_is_refused() {
    let (result, keys) = post([json(200, "1".repeat(MAX_RESPONSE_BYTES + 1))]).await;
    let error = stripe_error(result);
    assert_eq!((error.kind, error.status_code, keys.len()), (StripeErrorKind::Api, Some(200), 1));
    assert!(error.message.contains("larger than"), "{error}");
}

#[tokio::test]
async fn sequential_requests_share_one_connection() {
    let recorder = Recorder::start((0..20).map(|_| json(200, "{}"))).await;
    let client = recorder.client();
    for _ in 0..10 {
        client.send(&CreateCustomer::new()).await.unwrap();
        client.send(&RetrieveSubscription::new("sub_1")).await.unwrap();
    }
    let connections: BTreeSet<_> = recorder.asked().iter().map(|asked| asked.connection).collect();
    assert_eq!((recorder.asked().len(), connections.len()), (20, 1));
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    let recorder = Recorder::start([json(200, "{}"), json(200, "{}"), json(200, "{}")]).await;
    for suffix in ["/", "/proxy/stripe", "/proxy/stripe/"] {
        let base_url = format!("{}{suffix}", recorder.url);
        let client = StripeClient::new(ClientOptions { base_url, ..recorder.options() }).unwrap();
        client.send(&CreateCustomer::new()).await.unwrap();
    }
    let proxied = "POST /proxy/stripe/v1/customers";
    assert_eq!(recorder.lines(), ["POST /v1/customers", proxied, proxied]);
}

#[tokio::test]
async fn any_api_version_is_sent_as_it_is() {
    let recorder = Recorder::start([json(200, "{}")]).await;
    let api_version = "2023-10-16; some_beta=v2".to_owned();
    let client = StripeClient::new(ClientOptions { api_version: api_version.clone(), ..recorder.options() }).unwrap();
    client.send(&CreateCustomer::new()).await.unwrap();
    assert_eq!(recorder.asked()[0].headers["stripe-version"], api_version);
}

#[test]
fn wrong_options_are_refused() {
    for base_url in [
        "",
        "api.stripe.com",
        "ftp://api.stripe.com",
        "/v1",
        "https://",
        "https://api.stripe.com?x=1",
        "https://api.stripe.com/#x",
        "https://user:hunter2@api.stripe.com",
        "https://api.stripe.com/a b",
    ] {
        let options = ClientOptions { base_url: base_url.to_owned(), ..ClientOptions::new(SECRET) };
        let error = StripeClient::new(options).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument, "{base_url}");
        assert!(error.message.contains("baseUrl") && !error.message.contains("hunter2"), "{error}");
    }
    for wrong in [
        ClientOptions { api_version: "2023\n".to_owned(), ..ClientOptions::new(SECRET) },
        ClientOptions { timeout: Duration::ZERO, ..ClientOptions::new(SECRET) },
        ClientOptions::new("sk_test_with\nnewline"),
    ] {
        let error = StripeClient::new(wrong).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(!error.message.contains("sk_test"), "{error}");
    }
}

#[test]
fn a_missing_key_is_noticed_last() {
    let error = StripeClient::new(ClientOptions::new("")).unwrap_err();
    assert_eq!(error.code, Code::StripeKeyMissing);
    assert_eq!(error.message, "STRIPE_SECRET_KEY environment variable is required");
    let options = ClientOptions { base_url: "nonsense".to_owned(), ..ClientOptions::new("") };
    assert_eq!(StripeClient::new(options).unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test]
async fn the_secret_key_is_never_shown() {
    let echo = format!(r#"{{"error":{{"message":"Invalid API Key provided: {SECRET}","param":"{SECRET}"}}}}"#);
    let recorder = Recorder::start([json(401, echo)]).await;
    let client = recorder.client();
    let error = stripe_error(client.send(&CreateCustomer::new()).await);
    assert_eq!(error.message, "Invalid API Key provided: [secret key]");
    let service = recorder.service("2023-10-16");
    let shown = format!("{client:?} {service:?} {:?} {error} {error:?}", recorder.options());
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn options_that_no_request_can_carry_are_refused() {
    let recorder = Recorder::start([]).await;
    for options in [
        CallOptions::with_key("line\nbreak"),
        CallOptions::with_key(""),
        CallOptions::with_version("line\nbreak"),
        CallOptions { stripe_account: Some("line\nbreak".into()), ..CallOptions::default() },
        CallOptions { timeout: Some(Duration::ZERO), ..CallOptions::default() },
    ] {
        let result = recorder.client().call(Call::new(&CreateCustomer::new()).with(options)).await;
        let Err(Failure::Weighbridge(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.code, Code::InvalidArgument);
    }
    assert!(recorder.asked().is_empty());
}

//! From one tier to another: which item changes, and how.

use serde_json::{Value, json as value};
use weighbridge::{
    Code,
    stripe::{CallOptions, Failure},
};

use crate::recorder::{Recorder, json};

const TIER_PRICES: [&str; 2] = ["price_starter", "price_pro"];

fn item(id: &str, price: &str, quantity: &Value) -> Value {
    value!({ "id": id, "price": { "id": price }, "quantity": quantity })
}

fn subscription(items: &[Value], has_more: bool) -> String {
    value!({ "id": "sub_1", "customer": "cus_1", "items": { "data": items, "has_more": has_more } }).to_string()
}

async fn change(
    recorder: &Recorder,
    price: &str,
    proration: Option<&str>,
    options: CallOptions,
) -> Result<String, Failure> {
    let tier_prices = TIER_PRICES.map(str::to_owned);
    recorder.service("2026-09-30.endive").change_tier("sub_1", price, &tier_prices, proration, options).await
}

fn code(result: Result<String, Failure>) -> Code {
    match result {
        Err(Failure::Weighbridge(error)) => error.code,
        other => panic!("expected an error of ours, got {other:?}"),
    }
}

#[tokio::test]
async fn the_tiers_item_is_changed_and_keeps_its_quantity() {
    let items = [
        item("si_usage", "price_calls", &Value::Null),
        item("si_tier", "price_starter", &value!(3)),
        item("si_extra", "price_extra", &value!(1)),
    ];
    let recorder = Recorder::start([json(200, subscription(&items, false)), json(200, r#"{"id":"sub_1"}"#)]).await;
    let options = CallOptions { stripe_account: Some("acct_1".into()), ..CallOptions::with_key("upgrade-7") };
    let answer = change(&recorder, "price_pro", Some("always_invoice"), options).await.unwrap();
    assert_eq!(answer, r#"{"id":"sub_1"}"#);
    assert_eq!(recorder.lines(), ["GET /v1/subscriptions/sub_1", "POST /v1/subscriptions/sub_1"]);
    let asked = recorder.asked();
    assert_eq!(
        asked[1].params(),
        [
            ("items[0][id]", "si_tier"),
            ("items[0][price]", "price_pro"),
            ("items[0][quantity]", "3"),
            ("proration_behavior", "always_invoice"),
        ]
    );
    assert_eq!(asked[1].idempotency_key(), Some("upgrade-7"));
    assert!(asked.iter().all(|asked| asked.headers["stripe-account"] == "acct_1"));
}

#[tokio::test]
async fn stripe_prorates_as_it_does_by_default() {
    let items = [item("si_tier", "price_pro", &Value::Null)];
    let recorder = Recorder::start([json(200, subscription(&items, false)), json(200, "{}")]).await;
    change(&recorder, "price_starter", None, CallOptions::default()).await.unwrap();
    assert_eq!(recorder.asked()[1].params(), [("items[0][id]", "si_tier"), ("items[0][price]", "price_starter")]);
}

#[tokio::test]
async fn a_subscription_that_is_there_already_is_left_alone() {
    let subscription = subscription(&[item("si_tier", "price_pro", &value!(1))], false);
    let recorder = Recorder::start([json(200, &*subscription)]).await;
    let answer = change(&recorder, "price_pro", None, CallOptions::with_key("upgrade-7")).await.unwrap();
    assert_eq!(answer, subscription);
    assert_eq!(recorder.lines(), ["GET /v1/subscriptions/sub_1"]);
}

#[tokio::test]
async fn items_beyond_the_first_page_are_looked_at() {
    let others: Vec<_> = (0..10).map(|n| item(&format!("si_{n}"), &format!("price_{n}"), &value!(1))).collect();
    let mut all = others.clone();
    all.push(item("si_tier", "price_starter", &value!(1)));
    let list = value!({ "object": "list", "data": all, "has_more": false }).to_string();
    let recorder = Recorder::start([json(200, subscription(&others, true)), json(200, list), json(200, "{}")]).await;
    change(&recorder, "price_pro", None, CallOptions::default()).await.unwrap();
    let asked = recorder.asked();
    assert_eq!(asked[1].line(), "GET /v1/subscription_items");
    assert_eq!(asked[1].params(), [("limit", "100"), ("subscription", "sub_1")]);
    assert_eq!(asked[2].params["items[0][id]"], "si_tier");
}

#[tokio::test]
async fn what_is_not_clear_is_not_changed() {
    let none = [item("si_1", "price_old", &value!(1))];
    let several = [item("si_1", "price_starter", &value!(1)), item("si_2", "price_pro", &value!(1))];
    for items in [&none[..], &several[..], &[]] {
        let recorder = Recorder::start([json(200, subscription(items, false))]).await;
        assert_eq!(code(change(&recorder, "price_pro", None, CallOptions::default()).await), Code::StripeTierNotFound);
        assert_eq!(recorder.asked().len(), 1);
    }
    let recorder = Recorder::start([]).await;
    let result = change(&recorder, "price_pro", Some("later"), CallOptions::default()).await;
    assert_eq!(code(result), Code::InvalidArgument);
    assert!(recorder.asked().is_empty());
}

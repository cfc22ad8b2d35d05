//! Webhooks: who has sent them, what they are, what they say.

use proptest::prelude::*;
use secrecy::SecretString;
use weighbridge::domain::subscription::Report;
use weighbridge::domain::{SubscriptionStatus, Timestamp};
use weighbridge::stripe::webhook::event::{Event, Object};
use weighbridge::stripe::webhook::{report, signature};
use weighbridge::{Code, Error};

const SIGNED_AT: u64 = 1_700_000_000;
const PAYLOAD: &str = r#"{"id":"evt_1","object":"event","type":"customer.subscription.updated","created":1700000000,"data":{"object":{"name":"Zoë"}}}"#;
/// By Stripe's own Node.js package, 23.1.0, under `whsec_test_secret`.
const HEADER: &str = "t=1700000000,v1=269563b8658248fe8e86189b0732060a0969827a7de81bfb0d9f2f06db46c9a6";

fn secrets(secrets: &[&str]) -> Vec<SecretString> {
    secrets.iter().map(|secret| SecretString::from(*secret)).collect()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_stored(seconds * 1000)
}

fn verify(payload: &str, header: &str, known: &[&str], age: i64) -> Result<(), Error> {
    let now = seconds(SIGNED_AT as i64 + age);
    signature::verify(payload.as_bytes(), header, &secrets(known), signature::DEFAULT_TOLERANCE, now)
}

#[test]
fn what_stripes_own_package_has_signed_passes_and_ours_is_the_same() {
    assert_eq!(verify(PAYLOAD, HEADER, &["whsec_test_secret"], 0), Ok(()));
    let ours = signature::sign(PAYLOAD.as_bytes(), &"whsec_test_secret".into(), SIGNED_AT).unwrap();
    assert_eq!(ours, HEADER);
}

#[test]
fn a_signature_is_tolerated_for_five_minutes_both_ways() {
    for (age, passes) in [(0, true), (300, true), (301, false), (-300, true), (-301, false)] {
        let verdict = verify(PAYLOAD, HEADER, &["whsec_test_secret"], age);
        assert_eq!(verdict.is_ok(), passes, "{age}: {verdict:?}");
    }
    let stale = verify(PAYLOAD, HEADER, &["whsec_test_secret"], 400).unwrap_err();
    assert_eq!(stale.code, Code::WebhookSignatureInvalid);
    assert!(stale.message.contains("400 seconds ago"), "{stale}");
}

#[test]
fn any_of_the_secrets_and_any_of_the_signatures_will_do() {
    assert_eq!(verify(PAYLOAD, HEADER, &["whsec_new", "whsec_test_secret"], 0), Ok(()));
    assert!(verify(PAYLOAD, HEADER, &["whsec_new", "whsec_other"], 0).is_err());
    let (time, signature) = HEADER.split_once(",v1=").unwrap();
    let other = "0".repeat(64);
    assert_eq!(verify(PAYLOAD, &format!("{time},v1={other},v1={signature}"), &["whsec_test_secret"], 0), Ok(()));
    assert_eq!(verify(PAYLOAD, &format!("{time}, v1={signature}, v0={other}"), &["whsec_test_secret"], 0), Ok(()));
}

#[test]
fn headers_that_are_none_are_refused() {
    let signature = HEADER.split_once(",v1=").unwrap().1;
    for header in [
        String::new(),
        "garbage".to_owned(),
        format!("v1={signature}"),
        format!("t={SIGNED_AT}"),
        format!("t={SIGNED_AT},v0={signature}"),
        format!("t={SIGNED_AT},v1={}", &signature[..62]),
        format!("t={SIGNED_AT},v1="),
        format!("t={SIGNED_AT},v1=not hexadecimal"),
        format!("t=+{SIGNED_AT},v1={signature}"),
        format!("t=99999999999999999999,v1={signature}"),
        format!("t={SIGNED_AT},t=1,v1={signature}"),
        format!("t=18446744073709551615,v1={signature}"),
    ] {
        let error = verify(PAYLOAD, &header, &["whsec_test_secret"], 0).unwrap_err();
        assert_eq!(error.code, Code::WebhookSignatureInvalid, "{header}");
        assert!(!error.message.contains("whsec_test_secret"), "{error}");
    }
}

#[test]
fn a_secret_that_everybody_has_is_refused() {
    let header = format!("t={SIGNED_AT},v1={}", "0".repeat(64));
    assert_eq!(verify(PAYLOAD, &header, &[], 0).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(verify(PAYLOAD, &header, &[""], 0).unwrap_err().code, Code::InvalidArgument);
    assert!(signature::sign(b"{}", &"".into(), 1).is_err());
}

proptest! {
    #[test]
    fn a_body_that_differs_in_one_bit_is_refused(
        body in proptest::collection::vec(any::<u8>(), 1..300),
        place in any::<proptest::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let secret = secrets(&["whsec_1"]);
        let header = signature::sign(&body, &secret[0], SIGNED_AT).unwrap();
        let now = seconds(SIGNED_AT as i64);
        prop_assert!(signature::verify(&body, &header, &secret, 0, now).is_ok());
        let mut changed = body;
        let place = place.index(changed.len());
        changed[place] ^= 1_u8 << bit;
        prop_assert!(signature::verify(&changed, &header, &secret, 0, now).is_err());
    }

    #[test]
    fn nothing_that_comes_makes_it_panic(body in any::<Vec<u8>>(), header in ".{0,200}") {
        let _ = signature::verify(&body, &header, &secrets(&["whsec_1"]), 300, seconds(0));
        if let Ok(event) = Event::parse(&body) {
            report::of_event(&event);
        }
    }
}

fn event(kind: &str, object: &str) -> Event {
    let json = format!(r#"{{"id":"evt_1","type":"{kind}","created":1700000000,"data":{{"object":{object}}}}}"#);
    Event::parse(json.as_bytes()).unwrap()
}

#[test]
fn events_of_any_version_are_read() {
    let snapshot = event("a.new.type", r#"{"id":"x_1"}"#);
    assert_eq!((snapshot.id.as_str(), snapshot.created), ("evt_1", seconds(1_700_000_000)));
    assert!(matches!(snapshot.object, Object::Snapshot(json) if json.get() == r#"{"id":"x_1"}"#));
    let thin = Event::parse(
        br#"{"id":"evt_2","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered","livemode":false,
             "created":"2026-03-10T12:00:00.123Z","data":{"developer_message_summary":"3 failed"},
             "related_object":{"id":"mtr_1","type":"billing.meter","url":"/v1/billing/meters/mtr_1"}}"#,
    )
    .unwrap();
    assert_eq!(thin.created, Timestamp::from_stored(1_773_144_000_123));
    assert!(matches!(&thin.object, Object::Related { kind, id } if kind == "billing.meter" && id == "mtr_1"));
    assert!(report::of_event(&thin).is_none());
}

#[test]
fn what_is_no_event_is_refused() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "\u{feff}{}",
        r#"{"id":"evt_1","type":"x"}"#,
        r#"{"id":"","type":"x","created":1}"#,
        r#"{"id":"evt_\u0000","type":"x","created":1}"#,
        r#"{"id":"evt_1","type":"x","created":-1}"#,
        r#"{"id":"evt_1","type":"x","created":"yesterday"}"#,
        r#"{"id":"evt_1","type":"x","created":9223372036854775807}"#,
    ] {
        assert_eq!(Event::parse(body.as_bytes()).unwrap_err().code, Code::WebhookPayloadInvalid, "{body}");
    }
    assert!(Event::parse(b"{\"id\":\"\xff\",\"type\":\"x\",\"created\":1}").is_err());
}

fn subscription(kind: &str, object: &str) -> weighbridge::domain::Subscription {
    match report::of_event(&event(kind, object)) {
        Some(Report::Subscription { subscription, .. }) => subscription,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscription_is_read_in_the_shapes_of_all_versions() {
    let new = r#"{"id":"sub_1","customer":{"id":"cus_1"},"status":"active","created":1690000000,
        "items":{"data":[{"price":{"id":"price_1","lookup_key":"pro"},"current_period_start":1699000000}]}}"#;
    let new = subscription("customer.subscription.updated", new);
    assert_eq!((new.id.as_str(), new.stripe_customer_id.as_str()), ("sub_1", "cus_1"));
    assert_eq!(new.prices, ["price_1", "pro"]);
    assert_eq!(new.billing_cycle_anchor, Some(seconds(1_699_000_000)));
    assert_eq!(new.created_at, seconds(1_690_000_000));

    let old = r#"{"id":"sub_1","customer":"cus_1","status":"past_due","current_period_start":1698000000,
        "items":{"data":[{"plan":{"id":"plan_1"}}]},"plan":{"id":"plan_1"}}"#;
    let old = subscription("customer.subscription.updated", old);
    assert_eq!((old.prices.as_slice(), old.status), (&["plan_1".to_owned()][..], SubscriptionStatus::PastDue));
    assert_eq!(old.billing_cycle_anchor, Some(seconds(1_698_000_000)));

    let anchored = r#"{"id":"sub_1","customer":"cus_1","status":"active","billing_cycle_anchor":1675123200,
        "items":{"data":[{"current_period_start":1677542400}]}}"#;
    let anchored = subscription("customer.subscription.updated", anchored);
    assert_eq!(anchored.billing_cycle_anchor, Some(seconds(1_675_123_200)), "the 31st, not the 28th");
}

#[test]
fn within_one_second_a_subscription_is_created_before_all_else() {
    let object = r#"{"id":"sub_1","customer":"cus_1","status":"active"}"#;
    let as_of = |kind| subscription(kind, object).as_of;
    assert!(as_of("customer.subscription.created") < as_of("customer.subscription.updated"));
    let deleted = subscription("customer.subscription.deleted", object);
    assert_eq!(deleted.status, SubscriptionStatus::Canceled);
}

#[test]
fn invoices_and_checkouts_name_their_subscription() {
    let said = |kind, object| report::of_event(&event(kind, object));
    let at = seconds(1_700_000_000);
    let payment =
        |succeeded| Some(Report::Payment { subscription_id: "sub_1".to_owned(), succeeded, at: at.plus_millis(1) });
    let new = r#"{"parent":{"type":"subscription_details","subscription_details":{"subscription":"sub_1"}}}"#;
    assert_eq!(said("invoice.payment_failed", new), payment(false));
    assert_eq!(said("invoice.paid", r#"{"subscription":"sub_1","parent":null}"#), payment(true));
    assert_eq!(said("invoice.paid", r#"{"subscription":null}"#), None);

    let session = r#"{"mode":"subscription","customer":"cus_1","subscription":"sub_1","client_reference_id":"acme"}"#;
    let Some(Report::Checkout { customer_id, stripe_customer_id, subscription_id, .. }) =
        said("checkout.session.completed", session)
    else {
        panic!("no checkout")
    };
    assert_eq!((stripe_customer_id.as_str(), subscription_id.as_str()), ("cus_1", "sub_1"));
    assert_eq!(customer_id.unwrap().as_str(), "acme");
    assert_eq!(
        said("checkout.session.completed", r#"{"mode":"payment","customer":"cus_1","subscription":null}"#),
        None
    );
}

#[test]
fn what_cannot_be_read_says_nothing() {
    let updated = "customer.subscription.updated";
    for object in ["null", "7", "{}", r#"{"id":"sub_1","customer":"cus_1","status":"a_future_status"}"#] {
        assert_eq!(report::of_event(&event(updated, object)), None, "{object}");
    }
}

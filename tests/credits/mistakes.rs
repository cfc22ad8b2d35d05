//! What is refused, with the place of the mistake.

use proptest::prelude::*;
use weighbridge::domain::credit::{Activity, Grant, OverageAtReset, Snapshot, Terms, run};
use weighbridge::domain::json::Value;
use weighbridge::domain::{Decimal, Timestamp};
use weighbridge::{Code, Error, Result};

fn read(json: &str) -> Result<Grant> {
    Grant::read(&Value::parse("grant", json)?)
}

#[test]
fn a_mistake_in_a_grant_is_shown_at_its_place() {
    for (fields, says) in [
        (r#""id": """#, "`grant.id` must not be empty"),
        (r#""id": 5"#, "`grant.id` must be a string"),
        (r#""amount": "-1""#, "`grant.amount` must be a decimal from 0"),
        (r#""amount": null"#, "`grant.amount` must be a decimal string or a number"),
        (r#""priority": 256"#, "`grant.priority` must be a whole number from 0 to 255, got 256"),
        (r#""priority": "0.5""#, "`grant.priority` must be a whole number from 0 to 255"),
        (r#""effectiveAt": "2026-01-01""#, "`grant.effectiveAt` must be an instant such as"),
        (r#""effectiveAt": "2026-01-01T00:00:00""#, "`grant.effectiveAt` must be an instant such as"),
        (r#""effectiveAt": "2026-01-01T00:00:00.0001Z""#, "to the millisecond"),
        (r#""effectiveAt": -1"#, "`grant.effectiveAt` must be a whole number of milliseconds"),
        (r#""effectiveAt": 0.5"#, "`grant.effectiveAt` must be a whole number of milliseconds"),
        (r#""effectiveAt": true"#, "`grant.effectiveAt` must be milliseconds since 1970"),
        (r#""expiresAt": 10"#, "`grant.expiresAt` must be after `effectiveAt`"),
        (r#""voidetAt": 10"#, "unknown field \"voidetAt\"; did you mean \"voidedAt\"?"),
        (r#""recurrence": {}"#, "`grant.recurrence.every` is missing"),
        (r#""recurrence": { "every": "year" }"#, "`grant.recurrence.every` must be \"hour\", \"day\" or \"month\""),
        (r#""recurrence": { "every": "day", "timeZone": "Mars" }"#, "`grant.recurrence.timeZone`: "),
        (r#""recurrence": { "at": [1, "x"] }"#, "`grant.recurrence.at[1]` must be an instant"),
        (r#""recurrence": { "at": [], "every": "day" }"#, "unknown field \"every\""),
        (r#""rollover": { "minimum": 2, "maximum": 1 }"#, "`grant.rollover.maximum` (1) must not be below"),
        (r#""rollover": { "max": 1 }"#, "`grant.rollover`: unknown field \"max\""),
    ] {
        let mut grant = serde_json::json!({ "id": "g", "amount": "1", "effectiveAt": 10 });
        let fields: serde_json::Value = serde_json::from_str(&format!("{{{fields}}}")).unwrap();
        grant.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let error = read(&grant.to_string()).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(says), "{error}\n  should say: {says}");
    }
}

fn instant(millis: i64) -> Timestamp {
    Timestamp::from_stored(millis)
}

fn usage(millis: i64) -> Activity {
    Activity::Usage { at: instant(millis), amount: 1.into() }
}

fn refused(snapshot: &Snapshot, grants: &[Grant], activity: Vec<Activity>, to: i64) -> Error {
    let terms = Terms { grants, resets: &[], at_reset: OverageAtReset::Bill };
    run(snapshot, &terms, activity, instant(to)).unwrap_err()
}

#[test]
fn a_run_refuses_what_is_not_in_order() {
    let empty = Snapshot::empty(instant(100));
    let refund = |amount: u64| Activity::Refund { at: instant(150), amount: amount.into() };
    for (activity, to, says) in [
        (vec![], 99, "a run cannot end at 1970-01-01T00:00:00.099Z, before its snapshot"),
        (vec![usage(99)], 200, "must come in order of time"),
        (vec![usage(200)], 200, "1970-01-01T00:00:00.200Z is not in ["),
        (vec![usage(150), usage(149)], 200, "must come in order of time"),
        (vec![refund(1)], 200, "a refund of 1 gives back 1 more than was used"),
        (vec![usage(110), refund(3)], 200, "a refund of 3 gives back 2 more than was used"),
        (vec![refund(1), usage(151)], 200, "more than was used"),
    ] {
        let error = refused(&empty, &[], activity, to);
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(says), "{error}\n  should say: {says}");
    }
}

#[test]
fn a_snapshot_of_other_grants_is_refused() {
    let grant = |json: &str| read(json).unwrap();
    let running = grant(r#"{ "id": "g", "amount": 1, "effectiveAt": 10 }"#);
    let terms = |grants| Terms { grants, resets: &[], at_reset: OverageAtReset::Bill };
    let grants = [running.clone()];
    let snapshot = run(&Snapshot::empty(instant(0)), &terms(&grants), [], instant(100)).unwrap().snapshot;
    let voided = Grant { voided_at: Some(instant(50)), ..running.clone() };
    let backdated = grant(r#"{ "id": "h", "amount": 1, "effectiveAt": 99 }"#);
    for (grants, says) in [
        (vec![], "\"g\" counts in it and is not given"),
        (vec![voided], "\"g\" ended before it and counts in it"),
        (vec![running.clone(), backdated], "\"h\" took effect before it and is not in it"),
        (vec![running.clone(), running.clone()], "two grants have the id \"g\""),
    ] {
        let error = refused(&snapshot, &grants, vec![], 200);
        assert!(error.message.contains(says), "{error}\n  should say: {says}");
    }
    // What was decided for later, or is over, is no mistake.
    let ends_now = Grant { voided_at: Some(instant(100)), ..running.clone() };
    let starts_now = grant(r#"{ "id": "h", "amount": 1, "effectiveAt": 100 }"#);
    let never = grant(r#"{ "id": "i", "amount": 1, "effectiveAt": 99, "voidedAt": 99 }"#);
    let grants = [ends_now.clone(), starts_now.clone(), never];
    let later = run(&snapshot, &terms(&grants), [], instant(200)).unwrap().snapshot;
    run(&later, &terms(&[starts_now]), [], instant(300)).unwrap();
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*", json in "[\\[\\]{}\":,0-9eE.TZ+-]*") {
        let _ = read(&text);
        let _ = read(&format!(r#"{{ "id": "g", "amount": 1, "effectiveAt": {json} }}"#));
        let _ = Timestamp::parse("at", &json);
        let _ = Decimal::parse("amount", &json);
    }
}

//! Boundaries and numbers that one can check by hand.

use weighbridge::domain::credit::{
    Activity, Balance, Change, Ending, Grant, OverageAtReset, Snapshot, Terms, balance_at, run,
};
use weighbridge::domain::json::Value;
use weighbridge::domain::{Decimal, Timestamp};

fn grants(json: &str) -> Vec<Grant> {
    let grants = Value::parse("grants", json).unwrap();
    grants.array().unwrap().iter().map(|grant| Grant::read(grant).unwrap()).collect()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse("at", text).unwrap()
}

fn usage(instant: &str, amount: &str) -> Activity {
    Activity::Usage { at: at(instant), amount: Decimal::parse("amount", amount).unwrap() }
}

fn terms(grants: &[Grant]) -> Terms<'_> {
    Terms { grants, resets: &[], at_reset: OverageAtReset::Bill }
}

fn balance(grants: &[Grant], activity: &[Activity], instant: &str) -> Balance {
    balance_at(&Snapshot::empty(at("2026-01-01T00:00:00Z")), &terms(grants), activity.to_vec(), at(instant)).unwrap()
}

#[test]
fn a_grant_counts_from_its_first_millisecond_up_to_its_end() {
    let grants = grants(
        r#"[{ "id": "g", "amount": "5", "effectiveAt": "2026-01-02T00:00:00Z", "expiresAt": "2026-01-03T00:00:00Z" }]"#,
    );
    for (instant, left) in [
        ("2026-01-01T23:59:59.999Z", "0"),
        ("2026-01-02T00:00:00.000Z", "5"),
        ("2026-01-02T23:59:59.999Z", "5"),
        ("2026-01-03T00:00:00.000Z", "0"),
    ] {
        assert_eq!(balance(&grants, &[], instant).left.to_string(), left, "{instant}");
    }
    // Usage in the last millisecond burns it, usage at its end is owed.
    let late = [usage("2026-01-02T23:59:59.999Z", "1.5"), usage("2026-01-03T00:00:00Z", "1")];
    let balance = balance(&grants, &late, "2026-01-03T00:00:00.001Z");
    let account = &balance.grants[0].1;
    assert_eq!([&account.burnt, &account.expired, &balance.overage].map(ToString::to_string), ["1.5", "3.5", "1"]);
}

#[test]
fn grants_burn_by_priority_then_expiry_then_creation_then_id() {
    let grants = grants(
        r#"[
        { "id": "b", "amount": 1, "priority": 2, "effectiveAt": 0 },
        { "id": "a", "amount": 1, "priority": 2, "effectiveAt": 0 },
        { "id": "later-made", "amount": 1, "priority": 2, "effectiveAt": 0, "expiresAt": 1800000000000, "createdAt": 5 },
        { "id": "expires-last", "amount": 1, "priority": 2, "effectiveAt": 0, "expiresAt": 1900000000000 },
        { "id": "first-made", "amount": 1, "priority": 2, "effectiveAt": 0, "expiresAt": 1800000000000, "createdAt": 4 },
        { "id": "urgent", "amount": 1, "priority": 1, "effectiveAt": 0 }
    ]"#,
    );
    let mut order = vec![];
    for used in 1..=6 {
        let activity = (0..used).map(|_| Activity::Usage { at: Timestamp::from_stored(10), amount: 1.into() });
        let snapshot = Snapshot::empty(Timestamp::from_stored(0));
        let balance = balance_at(&snapshot, &terms(&grants), activity, Timestamp::from_stored(11)).unwrap();
        let burnt = balance.grants.iter().filter(|(_, account)| account.left.is_zero()).map(|(id, _)| id.to_string());
        order.extend(burnt.filter(|id| !order.contains(id)).collect::<Vec<_>>());
    }
    assert_eq!(order, ["urgent", "first-made", "later-made", "expires-last", "a", "b"]);
}

#[test]
fn a_month_recurs_by_the_calendar_of_its_zone() {
    let grants = grants(
        r#"[{ "id": "g", "amount": "10", "effectiveAt": "2026-01-31T12:00:00Z",
              "recurrence": { "every": "month", "timeZone": "Europe/Berlin" } }]"#,
    );
    let activity = [usage("2026-01-31T13:00:00Z", "4"), usage("2026-01-31T23:30:00Z", "1")];
    for (instant, left) in [
        ("2026-01-31T22:59:59.999Z", "6"),
        ("2026-01-31T23:00:00.000Z", "10"),
        ("2026-02-01T12:00:00.000Z", "9"),
        // February ends an hour before midnight in UTC, March two hours before it.
        ("2026-02-28T23:00:00.000Z", "10"),
    ] {
        assert_eq!(balance(&grants, &activity, instant).left.to_string(), left, "{instant}");
    }
}

#[test]
fn voiding_wins_over_a_later_expiry_only() {
    let grants = grants(
        r#"[
        { "id": "voided", "amount": "1", "effectiveAt": 0, "voidedAt": 5, "expiresAt": 6 },
        { "id": "both", "amount": "1", "effectiveAt": 0, "voidedAt": 5, "expiresAt": 5 },
        { "id": "never", "amount": "1", "effectiveAt": 5, "voidedAt": 5 }
    ]"#,
    );
    let instant = Timestamp::from_stored(9);
    let balance = balance_at(&Snapshot::empty(Timestamp::from_stored(0)), &terms(&grants), [], instant).unwrap();
    let ends: Vec<_> = balance.grants.iter().map(|(id, account)| (id.as_str(), account.ended)).collect();
    assert_eq!(ends, [("both", Some(Ending::Expired)), ("voided", Some(Ending::Voided))]);
}

#[test]
fn a_history_tells_what_happened() {
    let grants = grants(
        r#"[{ "id": "g", "amount": "10", "effectiveAt": 10, "expiresAt": 40, "recurrence": { "at": [20] },
              "rollover": { "maximum": "3" } }]"#,
    );
    let resets = [Timestamp::from_stored(30)];
    let terms = Terms { grants: &grants, resets: &resets, at_reset: OverageAtReset::Bill };
    let use_at = |millis, amount: u64| Activity::Usage { at: Timestamp::from_stored(millis), amount: amount.into() };
    let deeds = [use_at(5, 2), use_at(15, 3), use_at(25, 1), use_at(35, 4)];
    let outcome = run(&Snapshot::empty(Timestamp::from_stored(0)), &terms, deeds, Timestamp::from_stored(50)).unwrap();
    let told: Vec<_> = outcome
        .history
        .iter()
        .map(|segment| {
            let changes: Vec<_> = segment.changes.iter().map(told).collect();
            let left: Vec<_> = segment.left.values().map(ToString::to_string).collect();
            let millis = segment.period.start.as_millis();
            format!(
                "{millis}: {}; used {}, left {}, owed {}",
                changes.join(", "),
                segment.used,
                left.join(" "),
                segment.overage
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "0: ; used 2, left , owed 2",
            "10: given 10 for 0; used 3, left 5, owed 0",
            "20: given 10 for 5; used 1, left 9, owed 0",
            "30: rolled 9 to 3, reset with 0; used 4, left 0, owed 1",
            "40: Expired with 0; used 0, left , owed 1",
        ]
    );
}

fn told(change: &Change) -> String {
    match change {
        Change::Given { amount, forfeited, .. } => format!("given {amount} for {forfeited}"),
        Change::Ended { ending, forfeited, .. } => format!("{ending:?} with {forfeited}"),
        Change::RolledOver { before, after, .. } => format!("rolled {before} to {after}"),
        Change::Reset { billed } => format!("reset with {billed}"),
    }
}

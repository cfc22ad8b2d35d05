//! API keys: found by their hash, rotated and ended.

use weighbridge::Code;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{ApiKey, KeyHash, Timestamp};
use weighbridge::store::{Applied, Change, Store};

use super::Fixture;
use crate::support::*;

/// Gives the key a successor whose secret is that of `successor`.
fn rotate(id: &str, successor: &str, now: Timestamp, until: Timestamp) -> Change {
    Change::RotateKey {
        id: id.to_owned(),
        successor_id: successor.to_owned(),
        prefix: successor.to_owned(),
        hash: hash_of(successor),
        now,
        until,
    }
}

fn key_of(store: &dyn Store, id: &str) -> ApiKey {
    store.identify(&hash_of(id)).unwrap().expect("a known key").0
}

fn code(store: &dyn Store, change: Change) -> Code {
    apply(store, change).expect_err("a refused change").code
}

pub fn a_key_is_found_by_its_hash_with_its_customer(place: &dyn Fixture) {
    let store = place.open();
    let key = ApiKey { expires_at: Some(now().plus_millis(5)), ..api_key("key-1", "ann") };
    let made = apply(&*store, create_key(key.clone())).and_then(Applied::key).unwrap();
    assert_eq!(made, key);
    commit(&*store, &[suspend("ann")]);
    drop(store);
    let (found, customer) = place.open().identify(&hash_of("key-1")).unwrap().expect("the key");
    assert_eq!((found, customer.id.as_str(), customer.suspended), (key, "ann", true));
    assert_eq!(place.open().identify(&KeyHash::of("another secret")).unwrap(), None);
}

pub fn a_new_key_leaves_an_existing_customer_alone(place: &dyn Fixture) {
    let store = place.open();
    let patch = CustomerPatch { subscription_id: Patch::Set("sub_1".to_owned()), ..CustomerPatch::default() };
    commit(&*store, &[upsert("ann", patch)]);
    let before = store.customer(&customer_id("ann")).unwrap();
    let later = now().plus_millis(1_000);
    commit(&*store, &["ann", "bob"].map(|id| create_key(ApiKey { created_at: later, ..api_key(id, id) })));
    assert_eq!(store.customer(&customer_id("ann")).unwrap(), before);
    assert_eq!(store.customer(&customer_id("bob")).unwrap().map(|bob| bob.created_at), Some(later));
}

pub fn a_secret_is_a_key_only_once(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[create_key(api_key("key-1", "ann"))]);
    let again = Change::CreateKey { key: api_key("key-2", "bob"), hash: hash_of("key-1") };
    assert_eq!(code(&*store, again.clone()), Code::KeyExists);
    // Nor when it is dead.
    commit(&*store, &[revoke_key("key-1", now())]);
    assert_eq!(code(&*store, again), Code::KeyExists);
    assert_eq!(key_of(&*store, "key-1").customer_id, customer_id("ann"));
    assert_eq!(store.customer(&customer_id("bob")).unwrap(), None);
}

pub fn keys_are_listed_the_oldest_first_and_revoked_ones_too(place: &dyn Fixture) {
    let store = place.open();
    let ages = [("key-b", 2), ("key-c", 1), ("key-a", 3)];
    let keys = ages.map(|(id, age)| ApiKey { created_at: now().plus_millis(-age), ..api_key(id, "ann") });
    commit(&*store, &keys.map(create_key));
    commit(&*store, &[create_key(api_key("key-d", "bob")), revoke_key("key-c", now())]);
    let listed = store.keys(&customer_id("ann")).unwrap();
    let listed: Vec<_> = listed.iter().map(|key| (key.id.as_str(), key.revoked_at.is_some())).collect();
    assert_eq!(listed, [("key-a", false), ("key-b", false), ("key-c", true)]);
    assert_eq!(store.keys(&customer_id("nobody")).unwrap(), []);
}

pub fn revoking_twice_keeps_the_first_time(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[create_key(api_key("key-1", "ann"))]);
    for later in [0, 1_000] {
        let key = apply(&*store, revoke_key("key-1", now().plus_millis(later))).and_then(Applied::key).unwrap();
        assert_eq!(key.revoked_at, Some(now()));
        assert_eq!(key_of(&*store, "key-1"), key);
    }
}

pub fn unknown_keys_are_neither_revoked_nor_rotated(place: &dyn Fixture) {
    let store = place.open();
    assert_eq!(code(&*store, revoke_key("key-1", now())), Code::UnknownKey);
    assert_eq!(code(&*store, rotate("key-1", "key-2", now(), now())), Code::UnknownKey);
    assert_eq!(store.identify(&hash_of("key-2")).unwrap(), None);
}

pub fn rotating_without_overlap_ends_the_old_key_at_once(place: &dyn Fixture) {
    let store = place.open();
    let old = ApiKey { expires_at: Some(now().plus_millis(9_000)), ..api_key("key-1", "ann") };
    let later = now().plus_millis(1_000);
    commit(&*store, &[create_key(old.clone())]);
    let successor = apply(&*store, rotate("key-1", "key-2", later, later)).and_then(Applied::key).unwrap();
    // It has the old one's name and expiry.
    let expected = ApiKey { id: "key-2".to_owned(), prefix: "key-2".to_owned(), created_at: later, ..old.clone() };
    assert_eq!(successor, expected);
    assert_eq!(key_of(&*store, "key-2"), expected);
    assert_eq!(key_of(&*store, "key-1"), ApiKey { revoked_at: Some(later), ..old });
}

pub fn rotating_with_overlap_lets_the_old_key_live_until_then(place: &dyn Fixture) {
    let store = place.open();
    let until = now().plus_millis(60_000);
    commit(&*store, &[create_key(api_key("key-1", "ann"))]);
    assert!(apply(&*store, rotate("key-1", "key-2", now(), until)).is_ok());
    assert_eq!(key_of(&*store, "key-1"), ApiKey { expires_at: Some(until), ..api_key("key-1", "ann") });
    assert_eq!(key_of(&*store, "key-2").expires_at, None);
}

pub fn rotating_never_lengthens_a_life(place: &dyn Fixture) {
    let store = place.open();
    let (soon, later) = (now().plus_millis(1_000), now().plus_millis(2_000));
    for (id, expires_at, until) in [("key-1", soon, later), ("key-2", later, soon)] {
        commit(&*store, &[create_key(ApiKey { expires_at: Some(expires_at), ..api_key(id, "ann") })]);
        assert!(apply(&*store, rotate(id, &format!("successor of {id}"), now(), until)).is_ok());
        assert_eq!(key_of(&*store, id).expires_at, Some(soon), "{id}");
    }
}

pub fn a_dead_key_is_not_rotated(place: &dyn Fixture) {
    let store = place.open();
    let expired = ApiKey { expires_at: Some(now()), ..api_key("expired", "ann") };
    commit(&*store, &[create_key(expired), create_key(api_key("revoked", "ann")), revoke_key("revoked", now())]);
    for id in ["expired", "revoked"] {
        let change = rotate(id, "successor", now(), now().plus_millis(1_000));
        assert_eq!(code(&*store, change), Code::KeyRevoked, "{id}");
    }
    assert_eq!(store.identify(&hash_of("successor")).unwrap(), None);
}

pub fn rotating_to_a_secret_that_exists_changes_nothing(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[create_key(api_key("key-1", "ann")), create_key(api_key("key-2", "ann"))]);
    let before = (store.revision().unwrap(), store.keys(&customer_id("ann")).unwrap());
    for until in [now(), now().plus_millis(1_000)] {
        assert_eq!(code(&*store, rotate("key-1", "key-2", now(), until)), Code::KeyExists);
        assert_eq!((store.revision().unwrap(), store.keys(&customer_id("ann")).unwrap()), before);
    }
}

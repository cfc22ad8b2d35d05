//! Stretches of legacy files: each taken over once, whole.

use weighbridge::domain::{Customer, UsageEvent};
use weighbridge::store::{Applied, Change, Store, Takeover};

use super::Fixture;
use crate::support::*;

fn stretch(file: &str, from: u64, to: u64, events: Vec<UsageEvent>) -> Change {
    Change::TakeOver(Takeover { file: file.to_owned(), from, to, events, customers: Vec::new(), now: now() })
}

fn taken_over(store: &dyn Store, change: Change) -> bool {
    match apply(store, change).expect("a stretch") {
        Applied::TakenOver(taken_over) => taken_over,
        other => panic!("{other:?}"),
    }
}

pub fn a_stretch_is_taken_over_only_where_the_store_stands(place: &dyn Fixture) {
    let store = place.open();
    assert_eq!(store.takeover_position("file").unwrap(), 0);
    let first = stretch("file", 0, 100, vec![event("ann"), event("bob")]);
    assert!(!taken_over(&*store, stretch("file", 50, 100, vec![event("ann")])));
    assert!(taken_over(&*store, first.clone()));
    assert!(!taken_over(&*store, first.clone()));
    assert!(taken_over(&*store, stretch("file", 100, 150, vec![event("ann")])));
    drop(store);
    let store = place.open();
    assert!(!taken_over(&*store, first));
    assert_eq!(store.takeover_position("file").unwrap(), 150);
    assert_eq!((used(&*store, "ann"), used(&*store, "bob")), (2, 1));
}

pub fn files_are_taken_over_apart(place: &dyn Fixture) {
    let store = place.open();
    assert!(taken_over(&*store, stretch("file", 0, 100, vec![event("ann")])));
    assert!(taken_over(&*store, stretch("other", 0, 50, vec![event("ann")])));
    assert_eq!((store.takeover_position("file").unwrap(), store.takeover_position("other").unwrap()), (100, 50));
    assert_eq!(used(&*store, "ann"), 2);
}

pub fn customers_come_into_being_without_an_event(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[suspend("ann")]);
    let takeover = Takeover {
        file: "file".to_owned(),
        from: 0,
        to: 1,
        events: Vec::new(),
        customers: vec![customer_id("ann"), customer_id("bob")],
        now: now().plus_millis(5),
    };
    assert!(taken_over(&*store, Change::TakeOver(takeover)));
    assert!(store.customer(&customer_id("ann")).unwrap().is_some_and(|ann| ann.suspended));
    let bob = Customer::new(customer_id("bob"), now().plus_millis(5));
    assert_eq!(store.customer(&customer_id("bob")).unwrap(), Some(bob));
}

pub fn of_two_stores_one_takes_a_stretch_over(place: &dyn Fixture) {
    let stores = [place.open(), place.open()];
    let winners: Vec<usize> = std::thread::scope(|scope| {
        let threads = stores.each_ref().map(|store| {
            scope.spawn(|| {
                let stretches = (0..20).map(|number| stretch("file", number, number + 1, vec![event("ann")]));
                stretches.filter(|stretch| taken_over(&**store, stretch.clone())).count()
            })
        });
        threads.into_iter().map(|thread| thread.join().expect("a thread that takes over")).collect()
    });
    assert_eq!(winners.iter().sum::<usize>(), 20);
    assert_eq!(used(&*stores[0], "ann"), 20);
}

pub fn a_stretch_that_overflows_is_not_taken_over_even_in_part(place: &dyn Fixture) {
    let store = place.open();
    let most = money("999999999999.999999999999").checked_mul(69_999).unwrap();
    let costly = UsageEvent { cost: most, ..event("ann") };
    let group = [stretch("file", 0, 100, vec![event("bob"), costly.clone(), costly])];
    let taken_over =
        store.commit(&group).and_then(|committed| committed.outcomes.into_iter().collect::<Result<Vec<_>, _>>());
    assert_eq!(taken_over.unwrap_err().code, weighbridge::Code::AmountOverflow);
    assert_eq!(store.takeover_position("file").unwrap(), 0);
    assert_eq!(events(&*store, None, all_time()), []);
    assert_eq!(store.customers(None, 10).unwrap(), []);
    assert_eq!(verdict(&*store, record(event("bob"))), weighbridge::store::Verdict::Recorded);
    assert_eq!(used(&*store, "bob"), 1);
}

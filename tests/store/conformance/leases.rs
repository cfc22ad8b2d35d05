//! Leases: what is set aside is spoken for, pays once, and comes back.

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::lease::Wish;
use weighbridge::domain::{Meter, Quota, Refusal, Standing, UsageEvent};
use weighbridge::store::Verdict::{self, Duplicate, Recorded, Refused};
use weighbridge::store::{Change, LeasePart, LeaseRequest, Store};

use super::Fixture;
use crate::support::leases::*;
use crate::support::*;

fn exceeded(limit: u64, used: u64) -> Verdict {
    Refused(Refusal::LimitExceeded(Standing { limit: Some(limit), used }))
}

fn with_limit(place: &dyn Fixture, limit: u64) -> Box<dyn Store> {
    let store = place.open();
    set_limit(&*store, Some(limit));
    store
}

fn wish(holder: &str, needed: u64, wanted: u64) -> Change {
    Change::Lease(request(holder, Wish { needed, wanted }, false))
}

pub fn a_wish_is_granted_as_needed_or_not_at_all(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    assert_eq!(granted(&*store, wish("one", 11, 11)), 0);
    assert_eq!(granted(&*store, wish("one", 7, 7)), 7);
    assert_eq!(granted(&*store, wish("two", 4, 4)), 0);
    assert_eq!(granted(&*store, wish("two", 3, 9)), 3);
    assert_eq!(granted(&*store, wish("one", 0, 9)), 0);
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 7), ("two".to_owned(), 3)]);
}

pub fn grants_shrink_towards_the_limit(place: &dyn Fixture) {
    let store = with_limit(place, 100);
    // Half of a fair share of what is left.
    let grants = ["one", "one", "two", "two", "one"].map(|holder| granted(&*store, refill(holder, 1_000)));
    assert_eq!(grants, [50, 25, 6, 4, 3]);
    let mut rest = 0;
    for holder in ["one", "two"].iter().cycle().take(30) {
        rest += granted(&*store, refill(holder, 1_000));
    }
    assert_eq!(rest, 12, "every unit is granted in the end");
}

pub fn an_answer_tells_where_the_customer_stands(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    commit(&*store, &[record(event_of(2)), urgent("other", 3)]);
    let answer = leased(&*store, urgent("one", 4));
    assert_eq!((answer.granted, answer.leased_elsewhere), (4, 3));
    assert_eq!((answer.standing, answer.period), (Standing { limit: Some(10), used: 2 }, march()));
    assert_eq!(answer.customer.tier_id.as_deref(), Some("tier"));
    assert_eq!(leased(&*store, urgent("one", 1)).leased_elsewhere, 3, "one's own lease is not elsewhere");
}

pub fn without_a_limit_nothing_is_set_aside(place: &dyn Fixture) {
    let store = place.open();
    set_limit(&*store, None);
    let answer = leased(&*store, urgent("one", 5));
    assert_eq!((answer.granted, answer.standing.limit), (0, None));
    let data = LeaseRequest {
        quota: Quota::Period(Meter::DATA_ACCESS),
        ..request("one", Wish { needed: 5, wanted: 5 }, true)
    };
    assert_eq!(granted(&*store, Change::Lease(data)), 0);
    assert_eq!((set_aside(&*store), store.recalls().unwrap()), (0, vec![]));
}

pub fn an_unknown_customer_gets_the_default_limit_and_stays_unknown(place: &dyn Fixture) {
    let store = place.open();
    let answer = leased(&*store, urgent("one", 1_000));
    assert_eq!((answer.granted, answer.standing.limit), (1_000, Some(1_000)));
    assert_eq!(store.customer(&customer_id("ann")).unwrap(), None);
}

pub fn what_is_leased_is_spoken_for_to_everybody_else(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    let other = place.open();
    assert_eq!(granted(&*store, urgent("one", 6)), 6);
    // 0 used + 6 leased + 5 > 10.
    assert_eq!(verdict(&*other, admit(event_of(5))), exceeded(10, 0));
    assert_eq!(granted(&*other, urgent("two", 5)), 0);
    assert_eq!(verdict(&*other, admit(event_of(4))), Recorded);
    assert_eq!(verdict(&*store, admit(event_of(1))), exceeded(10, 4));
    assert_eq!(spoken_for(&*store), (4, 6));
    // Its own holder is refused too: what is to be paid by the lease says so.
    assert_eq!(verdict(&*store, admit_paid(event_of(6), part("one", 6))), Recorded);
    assert_eq!(spoken_for(&*store), (10, 0));
}

pub fn what_is_leased_is_spoken_for_within_a_group_too(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    let group = [
        urgent("one", 6),
        admit(event_of(5)),
        release("one", 1),
        admit(event_of(5)),
        admit(event_of(1)),
        urgent("two", 1),
        record_paid("one", 1, event_of(5)),
        urgent("two", 1),
        return_leases("one"),
        admit(event_of(1)),
    ];
    let mut outcomes = commit(&*store, &group).into_iter().map(Result::unwrap);
    let mut next = || outcomes.next().unwrap();
    assert_eq!(next().leased().unwrap().granted, 6);
    assert_eq!(next().charged().unwrap().verdict, exceeded(10, 0));
    next();
    assert_eq!(next().charged().unwrap().verdict, Recorded);
    assert_eq!(next().charged().unwrap().verdict, exceeded(10, 5));
    assert_eq!(next().leased().unwrap().granted, 0);
    assert_eq!(next().recorded().unwrap().used, 10);
    assert_eq!(next().leased().unwrap().granted, 0);
    next();
    assert_eq!(next().charged().unwrap().verdict, exceeded(10, 10));
    assert_eq!(spoken_for(&*store), (10, 0));
}

pub fn customers_and_meters_are_leased_apart(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    commit(&*store, &[set_tier("bob", "tier")]);
    let of_bob =
        LeaseRequest { customer_id: customer_id("bob"), ..request("one", Wish { needed: 9, wanted: 9 }, true) };
    assert_eq!(granted(&*store, Change::Lease(of_bob.clone())), 9);
    assert_eq!(granted(&*store, urgent("one", 10)), 10);
    let executions = LeaseRequest { quota: Quota::Period(Meter::AGENT_EXECUTION), ..of_bob };
    assert_eq!(leased(&*store, Change::Lease(executions)).standing.limit, None);
    commit(&*store, &[release("one", 10)]);
    assert_eq!(set_aside(&*store), 0);
    assert_eq!(store.leases(&customer_id("bob"), Quota::Period(Meter::API_REQUEST), march()).unwrap()[0].units, 9);
}

pub fn a_charge_that_a_lease_pays_for_passes_at_the_limit(place: &dyn Fixture) {
    let store = with_limit(place, 5);
    assert_eq!(granted(&*store, urgent("one", 5)), 5);
    let paid = |event: UsageEvent| admit_paid(event.clone(), part("one", event.units.get()));
    let first = paid(event_with_id("ann", "event-1"));
    let charged = charge(&*store, first.clone());
    assert_eq!((charged.verdict, charged.standing.used), (Recorded, 1));
    assert_eq!(spoken_for(&*store), (1, 4));
    // What is not recorded leaves its units in the lease.
    assert_eq!(verdict(&*store, first), Duplicate);
    let other = paid(UsageEvent { units: units(2), ..event_with_id("ann", "event-1") });
    assert_eq!(verdict(&*store, other), Refused(Refusal::IdempotencyConflict));
    commit(&*store, &[suspend("ann")]);
    assert_eq!(verdict(&*store, paid(event_of(1))), Refused(Refusal::Suspended));
    assert_eq!(spoken_for(&*store), (1, 4));
}

pub fn a_lease_pays_for_a_part_of_what_has_happened(place: &dyn Fixture) {
    let store = with_limit(place, 5);
    assert_eq!(granted(&*store, urgent("one", 5)), 5);
    assert_eq!(recorded(&*store, journaled_at("one", 1, event_of(9), Some(part("one", 3)))).used, 9);
    assert_eq!(spoken_for(&*store), (9, 2));
    // What is left of the lease was admitted before, and is still good.
    assert_eq!(recorded(&*store, record_paid("one", 2, event_of(2))).used, 11);
    assert_eq!(spoken_for(&*store), (11, 0));
}

pub fn facts_past_the_limit_end_all_grants(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    assert_eq!(granted(&*store, urgent("one", 4)), 4);
    assert_eq!(verdict(&*store, record(event_of(8))), Recorded);
    assert_eq!(spoken_for(&*store), (8, 4));
    assert_eq!(granted(&*store, urgent("two", 1)), 0);
    assert_eq!(verdict(&*store, admit(event_of(1))), exceeded(10, 8));
    commit(&*store, &[release("one", 3)]);
    assert_eq!(granted(&*store, urgent("two", 2)), 0);
    assert_eq!(granted(&*store, urgent("two", 1)), 1);
}

pub fn a_lower_limit_leaves_leases_and_ends_grants(place: &dyn Fixture) {
    let store = with_limit(place, 100);
    let other = place.open();
    assert_eq!(granted(&*store, urgent("one", 40)), 40);
    set_limit(&*other, Some(10));
    assert_eq!(granted(&*store, urgent("one", 1)), 0);
    assert_eq!(verdict(&*store, admit(event_of(1))), exceeded(10, 0));
    // It was admitted before.
    assert_eq!(verdict(&*store, admit_paid(event_of(9), part("one", 9))), Recorded);
    assert_eq!(spoken_for(&*store), (9, 31));
    commit(&*store, &[release("one", 31)]);
    assert_eq!(granted(&*store, urgent("one", 2)), 0);
    assert_eq!(granted(&*store, urgent("one", 1)), 1);
}

pub fn a_higher_limit_is_granted_at_once(place: &dyn Fixture) {
    let store = with_limit(place, 5);
    assert_eq!(granted(&*store, urgent("one", 5)), 5);
    assert_eq!(granted(&*store, urgent("two", 3)), 0);
    let clear = CustomerPatch { tier_id: Patch::Clear, ..CustomerPatch::default() };
    let outcomes = commit(&*store, &[upsert("ann", clear), urgent("two", 995)]);
    assert_eq!(outcomes[1].clone().unwrap().leased().unwrap().granted, 995);
}

pub fn a_lease_belongs_to_its_period(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    assert_eq!(granted(&*store, urgent("one", 10)), 10);
    // April is untouched by what is leased of March.
    let in_april = at("2026-04-01T00:00:00Z");
    assert_eq!(granted(&*store, urgent_at("two", 6, in_april)), 6);
    assert_eq!(verdict(&*store, admit(event_at("ann", "2026-04-30T23:59:59.999Z"))), Recorded);
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 10)]);
    // An old lease pays only for what happened in its period: this leaves April's alone.
    commit(&*store, &[record_paid("one", 1, event_of(4))]);
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 6)]);
    assert_eq!(leases_of(&*store, span("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z")), [("two".to_owned(), 6)]);
    let part_of_april = LeasePart { period_start: in_april, ..part("two", 6) };
    commit(&*store, &[Change::Release(part_of_april)]);
    assert_eq!(set_aside(&*store), 6);
}

pub fn what_is_leased_in_another_zone_is_spoken_for_in_every_month_it_touches(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    assert_eq!(granted(&*store, urgent("one", 7)), 7);
    commit(&*store, &[configure_time_zone("America/New_York")]);
    // New York's March ends four hours later than UTC's, its February five.
    let in_february = || at("2026-03-01T04:59:59.999Z");
    for now in [in_february(), at("2026-03-01T05:00:00Z"), at("2026-04-01T03:59:59.999Z")] {
        assert_eq!(granted(&*store, urgent_at("two", 4, now)), 0, "{}", now.to_iso_string());
    }
    assert_eq!(granted(&*store, urgent_at("two", 10, at("2026-04-01T04:00:00Z"))), 10);
    let late = UsageEvent { timestamp: in_february(), units: units(4), ..event("ann") };
    assert_eq!(verdict(&*store, admit(late.clone())), exceeded(10, 0));
    // It was admitted in UTC's March and is counted in New York's February.
    let paid = UsageEvent { units: units(7), ..late };
    assert_eq!(recorded(&*store, record_paid("one", 1, paid)).used, 7);
    assert_eq!(granted(&*store, urgent_at("three", 3, in_february())), 3);
    assert_eq!(granted(&*store, urgent_at("three", 1, in_february())), 0);
    assert_eq!(granted(&*store, urgent("four", 10)), 10, "the months of one zone do not touch");
}

pub fn a_lease_reaches_as_far_as_the_longest_of_its_periods(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    // London's March begins with UTC's and ends an hour earlier.
    commit(&*store, &[configure_time_zone("Europe/London")]);
    assert_eq!(granted(&*store, urgent("one", 1)), 1);
    commit(&*store, &[configure_time_zone("UTC")]);
    let last = at("2026-03-31T23:30:00Z");
    assert_eq!(granted(&*store, urgent_at("one", 9, last)), 9);
    commit(&*store, &[configure_time_zone("Europe/London")]);
    assert_eq!(granted(&*store, urgent_at("two", 1, last)), 0, "one may have admitted ten events by now");
    let admitted = UsageEvent { units: units(9), timestamp: last, ..event("ann") };
    assert_eq!(recorded(&*store, record_paid("one", 1, admitted)).used, 9);
}

pub fn a_wish_in_vain_recalls_what_others_hold(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    let other = place.open();
    assert_eq!(granted(&*store, urgent("one", 8)), 8);
    let answer = leased(&*other, urgent("two", 3));
    assert_eq!((answer.granted, answer.leased_elsewhere), (0, 8));
    assert!(is_recalled(&*store));
    // It goes to those who wait: nobody stocks up meanwhile, and nobody gets more than he needs.
    assert_eq!(granted(&*store, refill("one", 5)), 0);
    assert_eq!(granted(&*store, refill("three", 1)), 0);
    commit(&*store, &[release("one", 8)]);
    assert!(is_recalled(&*store), "whoever waits has not been served yet");
    assert_eq!(granted(&*store, refill("three", 1)), 0);
    let hungry = Change::Lease(request("two", Wish { needed: 3, wanted: 100 }, true));
    assert_eq!(granted(&*other, hungry), 3);
    assert!(!is_recalled(&*store));
    assert_eq!(granted(&*store, refill("three", 1)), 1);
}

pub fn nothing_is_recalled_where_nobody_holds_anything(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    assert_eq!(granted(&*store, urgent("one", 11)), 0);
    assert!(!is_recalled(&*store));
    // What one holds himself, here and now, he need not be asked for.
    assert_eq!(granted(&*store, urgent("one", 10)), 10);
    assert_eq!(granted(&*store, urgent("one", 1)), 0);
    assert!(!is_recalled(&*store));
    assert_eq!(granted(&*store, refill("two", 1)), 0);
    assert!(!is_recalled(&*store), "nobody waits for a refill");
    // A lease that was used up is none.
    commit(&*store, &[record_paid("one", 1, event_of(10))]);
    assert_eq!(leased(&*store, urgent("two", 1)).leased_elsewhere, 0);
    assert!(!is_recalled(&*store));
}

pub fn a_recall_ends_when_nothing_is_left_to_wait_for(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    commit(&*store, &[urgent("one", 10), urgent("two", 1)]);
    assert!(is_recalled(&*store));
    commit(&*store, &[record_paid("one", 1, event_of(10)), urgent("two", 1)]);
    assert!(!is_recalled(&*store), "the limit is used up");

    commit(&*store, &[return_leases("one")]);
    set_limit(&*store, Some(20));
    commit(&*store, &[urgent("one", 10), urgent("two", 1)]);
    assert!(is_recalled(&*store));
    set_limit(&*store, None);
    assert_eq!(granted(&*store, urgent("two", 1)), 0);
    assert!(!is_recalled(&*store), "there is no limit any more");
}

pub fn a_recall_that_nobody_waits_for_ends_with_the_last_lease(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    commit(&*store, &[urgent("one", 6), urgent("two", 4), urgent("three", 1)]);
    commit(&*store, &[return_leases("one")]);
    assert!(is_recalled(&*store));
    commit(&*store, &[record_paid("two", 1, event_of(4)), return_leases("two")]);
    assert!(!is_recalled(&*store));
    assert_eq!(granted(&*store, refill("four", 1)), 1);
}

pub fn what_one_holds_in_another_zone_is_recalled_from_oneself(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    assert_eq!(granted(&*store, urgent("one", 10)), 10);
    commit(&*store, &[configure_time_zone("America/New_York")]);
    let answer = leased(&*store, urgent("one", 1));
    assert_eq!((answer.granted, answer.leased_elsewhere), (0, 10));
    assert!(is_recalled(&*store));
    commit(&*store, &[release("one", 10)]);
    assert_eq!(granted(&*store, urgent("one", 1)), 1);
}

pub fn a_lease_that_is_used_up_is_none(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    commit(&*store, &[urgent("one", 4), urgent("two", 3)]);
    commit(&*store, &[record_paid("one", 1, event_of(4)), release("two", 3), forget_journal("one")]);
    assert_eq!(leases_of(&*store, march()), []);
    assert_eq!(holders(&*store), [""; 0]);
    // And it can begin again.
    assert_eq!(granted(&*store, urgent("one", 6)), 6);
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 6)]);
}

/// The store cannot undo it, and must not let it pay for anything else.
pub fn what_a_lease_does_not_hold_is_taken_from_nobody(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    commit(&*store, &[urgent("one", 2), urgent("two", 3)]);
    assert_eq!(recorded(&*store, record_paid("one", 1, event_of(5))).used, 5);
    assert_eq!(leases_of(&*store, march()), [("two".to_owned(), 3)]);
    assert_eq!(recorded(&*store, record_paid("three", 1, event_of(1))).used, 6);
    assert_eq!(spoken_for(&*store), (6, 3));
    assert_eq!(granted(&*store, urgent("one", 1)), 1);
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 1), ("two".to_owned(), 3)]);
}

pub fn holders_on_several_stores_use_up_the_limit_between_them(place: &dyn Fixture) {
    const LIMIT: u64 = 300;
    let store = with_limit(place, LIMIT);
    let admitted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> =
            ["one", "two", "three"].map(|name| scope.spawn(move || spend_until_full(&*place.open(), name))).into();
        threads.into_iter().map(|thread| thread.join().expect("a thread that spends")).sum()
    });
    assert_eq!((admitted, spoken_for(&*store)), (LIMIT, (LIMIT, 0)));
}

/// Leases and spends, gives back what is recalled, and ends when the limit is used up.
fn spend_until_full(store: &dyn Store, name: &str) -> u64 {
    let (mut free, mut sequence, mut admitted) = (0, 0, 0);
    loop {
        if free == 0 {
            let answer = leased(store, Change::Lease(request(name, Wish { needed: 1, wanted: 40 }, true)));
            let limit = answer.standing.limit.expect("a limit");
            assert!(answer.standing.used + answer.leased_elsewhere + answer.granted <= limit, "{answer:?}");
            free = answer.granted;
            if free == 0 && answer.leased_elsewhere == 0 {
                return admitted;
            }
        }
        if free > 0 {
            free -= 1;
            admitted += 1;
            sequence += 1;
            commit(store, &[record_paid(name, sequence, event_of(1))]);
        }
        if free > 0 && is_recalled(store) {
            commit(store, &[release(name, std::mem::take(&mut free))]);
        }
    }
}

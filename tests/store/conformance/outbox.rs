//! The outbox: every unit that is counted is in exactly one report, and every report is on its way once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use weighbridge::domain::outbox::State;
use weighbridge::domain::outbox::delivery::Answer;
use weighbridge::domain::{Meter, ReportId, UsageEvent};
use weighbridge::store::outbox::Claim;
use weighbridge::store::{Backlog, Book, Change, Division, RecordStatus, ReportQuery, Store, Takeover, Verdict};

use super::Fixture;
use crate::support::leases::*;
use crate::support::outbox::*;
use crate::support::*;

fn exporting_to(place: &dyn Fixture, customers: &[&str]) -> Box<dyn Store> {
    let store = place.open();
    exporting(&*store, customers);
    store
}

/// As an admitted event comes in.
fn journaled(sequence: u64, event: UsageEvent) -> Change {
    journaled_at("one", sequence, event, None)
}

pub fn what_is_counted_is_reported_by_customer_meter_and_window(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob"]);
    let execution = UsageEvent { meter: Meter::AGENT_EXECUTION, ..event("ann") };
    let late = UsageEvent { timestamp: now().plus_millis(59_999), ..event("ann") };
    let next = UsageEvent { timestamp: now().plus_millis(60_000), ..event("ann") };
    let events = [event_of(3), execution, late, next, event("bob")];
    commit(&*store, &events.map(record));
    let mut found: Vec<_> = reports(&*store)
        .iter()
        .map(|report| {
            let since = report.window_start.as_millis() - now().as_millis();
            let last = report.timestamp.as_millis() - report.window_start.as_millis();
            (report.customer_id.to_string(), report.meter.as_str(), since, last, report.units)
        })
        .collect();
    found.sort();
    let of = |customer: &str, meter, since, last, units| (customer.to_owned(), meter, since, last, units);
    assert_eq!(
        found,
        [
            of("ann", "agent_execution", 0, 0, 1),
            of("ann", "api_request", 0, 59_999, 4),
            of("ann", "api_request", 60_000, 0, 1),
            of("bob", "api_request", 0, 0, 1),
        ]
    );
    let report = only(&*store, "bob");
    assert_eq!((report.state, report.attempts, report.in_doubt), (State::Pending, 0, false));
    assert_eq!((report.recipient.stripe_customer_id.as_str(), report.due_at), ("cus_bob", minutes_later(1)));
    assert!(report.id.as_str().len() <= 100);
}

pub fn however_an_event_is_counted_it_is_reported_once(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    assert_eq!(verdict(&*store, admit(event("ann"))), Verdict::Recorded);
    assert_eq!(verdict(&*store, record(event("ann"))), Verdict::Recorded);
    assert_eq!(
        verdicts(&*store, &[admit(event_with_id("ann", "1")), admit(event_with_id("ann", "1"))])[1],
        Verdict::Duplicate
    );
    let journal = [journaled(1, event("ann")), journaled(2, event_with_id("ann", "2"))];
    assert_eq!(statuses(&*store, &journal), [RecordStatus::Counted; 2]);
    assert_eq!(statuses(&*store, &journal), [RecordStatus::Replayed; 2]);
    assert_eq!(statuses(&*store, &[journaled(3, event_with_id("ann", "2"))]), [RecordStatus::Duplicate]);
    assert_eq!(reported(&*store), [("ann".to_owned(), 5)]);
    assert_eq!(used(&*store, "ann"), 5);
}

pub fn only_what_is_to_be_reported_is(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    set_limit(&*store, Some(0));
    let refused = verdict(&*store, admit(event("ann")));
    assert!(matches!(refused, Verdict::Refused(_)), "{refused:?}");
    // Nobody whom Stripe knows, and no meter that the rule names.
    let access = UsageEvent { meter: Meter::DATA_ACCESS, ..event("ann") };
    commit(&*store, &[record(event("bob")), journaled(1, event("eve")), record(access.clone()), journaled(2, access)]);
    let takeover = Takeover {
        file: "usage.jsonl".to_owned(),
        from: 0,
        to: 1,
        events: vec![event("ann")],
        customers: Vec::new(),
        now: now(),
    };
    assert!(apply(&*store, Change::TakeOver(takeover)).is_ok());
    assert_eq!(reported(&*store), []);
    // From the very next event on.
    commit(&*store, &[set_stripe_customer("bob", "cus_bob"), record(event("bob"))]);
    assert_eq!(statuses(&*store, &[journaled(3, event("bob"))]), [RecordStatus::Counted]);
    assert_eq!(reported(&*store), [("bob".to_owned(), 2)]);
}

pub fn without_a_rule_nothing_is_reported(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[set_stripe_customer("ann", "cus_ann"), record(event("ann"))]);
    assert_eq!(store.catalog().unwrap().export, None);
    let other = place.open();
    exporting(&*other, &[]);
    assert_eq!(store.catalog().unwrap().export, Some(rule()));
    // The other one's rule holds for this store's events, too.
    assert_eq!(statuses(&*store, &[journaled(1, event("ann"))]), [RecordStatus::Counted]);
    commit(&*store, &[Change::Export(None)]);
    assert_eq!(statuses(&*other, &[journaled(2, event("ann"))]), [RecordStatus::Counted]);
    commit(&*other, &[record(event("ann"))]);
    assert_eq!(reported(&*other), [("ann".to_owned(), 1)]);
}

pub fn a_group_that_fails_reports_nothing(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    let most =
        UsageEvent { units: weighbridge::domain::Units::from_number(9_007_199_254_740_991.0).unwrap(), ..event("ann") };
    let takeover = |from| Takeover {
        file: "usage.jsonl".to_owned(),
        from,
        to: from + 1,
        events: vec![most.clone(), most.clone()],
        customers: Vec::new(),
        now: now(),
    };
    assert!(store.commit(&[record(event("ann")), Change::TakeOver(takeover(0))]).is_err());
    assert_eq!(reported(&*store), []);
    // A sum that overflows is refused alone.
    let outcomes = commit(&*store, &[record(event("ann")), record(most.clone())]);
    assert!(outcomes[0].is_ok() && outcomes[1].is_err());
    assert_eq!(reported(&*store), [("ann".to_owned(), 1)]);
}

pub fn a_report_that_was_claimed_grows_no_more(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    commit(&*store, &[record(event_of(2)), journaled(1, event_of(3))]);
    commit(&*store, &[journaled(2, event_of(4))]);
    let report = claimed(&*store, &claim_by("one")).remove(0);
    assert_eq!((report.units, report.state, report.attempts), (9, State::Sending, 1));
    assert_eq!((report.first_attempt_at, report.due_at), (Some(minutes_later(60)), minutes_later(61)));
    commit(&*store, &[record(event_of(5))]);
    commit(&*store, &[journaled(3, event_of(6))]);
    assert_eq!(reported(&*store), [("ann".to_owned(), 9), ("ann".to_owned(), 11)]);
    settle(&*store, "one", &report, Answer::NotNow);
    commit(&*store, &[record(event_of(1))]);
    assert_eq!(reported(&*store), [("ann".to_owned(), 9), ("ann".to_owned(), 12)]);
}

pub fn another_recipient_is_another_report(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    commit(&*store, &[record(event("ann")), set_stripe_customer("ann", "cus_other"), record(event_of(2))]);
    commit(&*store, &[journaled(1, event_of(3))]);
    let mut found: Vec<_> =
        reports(&*store).into_iter().map(|report| (report.recipient.stripe_customer_id, report.units)).collect();
    found.sort();
    assert_eq!(found, [("cus_ann".to_owned(), 1), ("cus_other".to_owned(), 5)]);
}

pub fn one_report_of_an_account_is_on_its_way(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob"]);
    let at_minute = |minute: i64| UsageEvent { timestamp: minutes_later(minute), ..event("ann") };
    commit(&*store, &[record(at_minute(2)), record(at_minute(0)), record(at_minute(1)), record(event("bob"))]);
    let first = claimed(&*store, &claim_by("one"));
    let accounts: Vec<_> = first.iter().map(|report| (report.customer_id.as_str(), report.window_start)).collect();
    assert_eq!(accounts, [("ann", now()), ("bob", now())]);
    // Not to another holder either.
    let other = place.open();
    assert_eq!(claimed(&*other, &claim_by("two")), []);
    settle(&*store, "one", &first[0], Answer::Accepted);
    let second = claimed(&*other, &claim_by("two"));
    assert_eq!((second.len(), second[0].window_start), (1, minutes_later(1)));
}

pub fn a_window_is_claimed_when_it_has_ended_or_early(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob"]);
    commit(&*store, &[record(event("ann"))]);
    let at = |now| Claim { now, ..claim_by("one") };
    assert_eq!(claimed(&*store, &at(minutes_later(1).plus_millis(-1))), []);
    let early = Claim { early: true, ..at(now()) };
    let report = claimed(&*store, &early).remove(0);
    // Not what waits for another attempt.
    settle(&*store, "one", &report, Answer::NotNow);
    assert_eq!(claimed(&*store, &early), []);
    // Nor what no service takes yet.
    let future = UsageEvent { timestamp: minutes_later(5), ..event("bob") };
    commit(&*store, &[record(future)]);
    assert_eq!(claimed(&*store, &early), []);
    assert!(!store.has_unsent(now().plus_millis(-1)).unwrap() && store.has_unsent(now()).unwrap());
    assert_eq!(claimed(&*store, &at(minutes_later(6))).len(), 1);
}

pub fn a_claim_that_has_run_out_is_taken_over_in_doubt(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    commit(&*store, &[record(event("ann"))]);
    let report = claimed(&*store, &claim_by("one")).remove(0);
    commit(&*store, &[record(event("ann"))]);
    let after = |millis| Claim { now: minutes_later(61).plus_millis(millis), ..claim_by("two") };
    assert_eq!(claimed(&*store, &after(-1)), []);
    let heir = claimed(&*store, &Claim { until: minutes_later(90), ..after(0) }).remove(0);
    assert_eq!((&heir.id, heir.units, heir.attempts, heir.in_doubt), (&report.id, 1, 2, true));
    assert_eq!(heir.first_attempt_at, report.first_attempt_at);
    // Whom it was taken from has nothing to say any more.
    settle(&*store, "one", &report, Answer::Refused);
    assert_eq!(claimed(&*store, &after(1)), []);
    settle(&*store, "two", &heir, Answer::Accepted);
    assert_eq!(states(&*store), [State::Pending, State::Sent]);
}

pub fn an_attempt_leads_to_its_state(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob", "eve", "joe"]);
    commit(&*store, &["ann", "bob", "eve", "joe"].map(|customer| record(event(customer))));
    let claim = claimed(&*store, &claim_by("one"));
    let answers = [Answer::Accepted, Answer::Refused, Answer::NotNow, Answer::Unknown];
    for (report, answer) in claim.iter().zip(answers) {
        settle(&*store, "one", report, answer);
    }
    let found = |customer| {
        let report = only(&*store, customer);
        (report.state, report.in_doubt, report.reason.is_some())
    };
    assert_eq!(found("ann"), (State::Sent, false, false));
    assert_eq!(found("bob"), (State::Dead, false, true));
    assert_eq!(found("eve"), (State::Pending, false, true));
    assert_eq!(found("joe"), (State::Pending, true, true));
    // A minute later, see `settle`.
    assert_eq!(claimed(&*store, &claim_by("one")), []);
    let again = claimed(&*store, &Claim { now: minutes_later(61), ..claim_by("one") });
    let customers: Vec<_> = again.iter().map(|report| (report.customer_id.as_str(), report.attempts)).collect();
    assert_eq!(customers, [("eve", 2), ("joe", 2)]);
}

pub fn everybodys_turn_comes(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob", "eve"]);
    let events = ["ann", "bob", "eve"].map(event);
    commit(&*store, &[record(events[0].clone()), record(events[1].clone()), record(events[2].clone())]);
    let mut claim = Claim { limit: 2, ..claim_by("one") };
    let first = claimed(&*store, &claim);
    assert_eq!(first.iter().map(|report| report.customer_id.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    settle(&*store, "one", &first[0], Answer::Accepted);
    commit(&*store, &[record(events[0].clone())]);
    claim.after = first.last().map(|report| (report.customer_id.clone(), report.meter));
    assert_eq!(claimed(&*store, &claim)[0].customer_id.as_str(), "eve");
    claim.after = None;
    assert_eq!(claimed(&*store, &claim)[0].customer_id.as_str(), "ann");
}

pub fn the_backlog_tells_how_much_is_where(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob", "eve"]);
    commit(&*store, &[record(event_of(2)), record(event("bob")), record(event("eve"))]);
    let next = UsageEvent { timestamp: minutes_later(1), ..event_of(3) };
    commit(&*store, &[record(next)]);
    let claim = claimed(&*store, &claim_by("one"));
    settle(&*store, "one", &claim[1], Answer::Refused);
    settle(&*store, "one", &claim[2], Answer::Accepted);
    let mut backlog = store.backlog().unwrap();
    backlog.sort_by_key(|backlog| backlog.state);
    let of = |state, units, since| Backlog { state, reports: 1, units, since };
    assert_eq!(
        backlog,
        [of(State::Pending, 3, minutes_later(1)), of(State::Sending, 2, now()), of(State::Dead, 1, now())]
    );
    let by_state = |customer: Option<&str>| -> Vec<(String, State, u64)> {
        let lines = store.books(customer.map(customer_id).as_ref(), all_time()).unwrap();
        let reported = lines.into_iter().filter(|line| line.book == Book::Reported);
        let mut rows: Vec<_> =
            reported.map(|line| (line.customer_id.to_string(), line.state.unwrap(), line.units)).collect();
        rows.sort();
        rows
    };
    assert_eq!(
        by_state(None),
        [
            ("ann".to_owned(), State::Pending, 3),
            ("ann".to_owned(), State::Sending, 2),
            ("bob".to_owned(), State::Dead, 1),
            ("eve".to_owned(), State::Sent, 1)
        ]
    );
    assert_eq!(by_state(Some("eve")), [("eve".to_owned(), State::Sent, 1)]);
    let dead = store.reports(&ReportQuery { state: Some(State::Dead), limit: 10, ..ReportQuery::default() }).unwrap();
    assert_eq!((dead.len(), dead[0].customer_id.as_str()), (1, "bob"));
}

pub fn reports_are_paged_by_id(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob", "eve"]);
    commit(&*store, &["ann", "bob", "eve"].map(|customer| record(event(customer))));
    let all = reports(&*store);
    let page = |after: Option<&ReportId>| {
        let after = after.map(|id| id.as_str().to_owned());
        store.reports(&ReportQuery { after, limit: 2, ..ReportQuery::default() }).unwrap()
    };
    assert_eq!(page(None), all[..2]);
    assert_eq!(page(Some(&all[1].id)), all[2..]);
    let one = ReportQuery { id: Some(all[1].id.clone()), limit: 10, ..ReportQuery::default() };
    assert_eq!(store.reports(&one).unwrap(), all[1..2]);
}

pub fn what_was_refused_is_sent_again_as_another_report(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    commit(&*store, &[record(event_of(7))]);
    let report = claimed(&*store, &claim_by("one")).remove(0);
    let successor = ReportId::new(minutes_later(60), [9; 10]);
    let retry = |id: &ReportId| store.retry_report(id, &successor, minutes_later(60)).unwrap();
    assert!(!retry(&report.id));
    settle(&*store, "one", &report, Answer::Refused);
    assert!(retry(&report.id) && !retry(&report.id));
    let again = claimed(&*store, &claim_by("one")).remove(0);
    assert_eq!((&again.id, again.units, again.reason), (&successor, 7, None));
    assert_eq!(again.first_attempt_at, Some(minutes_later(60)));
}

pub fn what_is_rejected_afterwards_is_dead(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann"]);
    commit(&*store, &[record(event("ann"))]);
    let report = only(&*store, "ann");
    let reject = || store.reject_report(&report.id, "meter_event_customer_not_found", minutes_later(60)).unwrap();
    // It was not sent yet, so nobody can have rejected it.
    assert_eq!(reject(), None);
    let report = claimed(&*store, &claim_by("one")).remove(0);
    settle(&*store, "one", &report, Answer::Accepted);
    let rejected = reject().unwrap();
    assert_eq!((rejected.state, rejected.customer_id.as_str()), (State::Dead, "ann"));
    assert_eq!(only(&*store, "ann").reason.as_deref(), Some("meter_event_customer_not_found"));
    let nobody = ReportId::from_stored("nobody".to_owned());
    assert_eq!(store.reject_report(&nobody, "a reason", now()).unwrap(), None);
}

pub fn only_what_was_sent_is_forgotten(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob", "eve"]);
    commit(&*store, &["ann", "bob", "eve"].map(|customer| record(event(customer))));
    let claim = claimed(&*store, &Claim { limit: 2, ..claim_by("one") });
    settle(&*store, "one", &claim[0], Answer::Accepted);
    settle(&*store, "one", &claim[1], Answer::Refused);
    assert_eq!(store.forget_reports(minutes_later(60), 10).unwrap(), 0);
    assert_eq!(store.forget_reports(minutes_later(61), 10).unwrap(), 1);
    assert_eq!(reported(&*store), [("bob".to_owned(), 1), ("eve".to_owned(), 1)]);
}

pub fn stores_on_one_place_claim_each_report_once(place: &dyn Fixture) {
    let customers: Vec<String> = (0..40).map(|number| format!("customer-{number}")).collect();
    let names: Vec<&str> = customers.iter().map(String::as_str).collect();
    let store = exporting_to(place, &names);
    let minutes = |customer: &&str| {
        let customer = (*customer).to_owned();
        (0..5).map(move |minute| record(UsageEvent { timestamp: minutes_later(minute), ..event(&customer) }))
    };
    commit(&*store, &names.iter().flat_map(minutes).collect::<Vec<_>>());
    let sent: Vec<Vec<ReportId>> = std::thread::scope(|scope| {
        let send = |number: usize| {
            let (store, name) = (place.open(), format!("holder-{number}"));
            let claim = Claim { limit: 7, ..claim_by(&name) };
            let mut sent = Vec::new();
            while store.has_unsent(minutes_later(60)).unwrap() {
                for report in claimed(&*store, &claim) {
                    assert!(!report.in_doubt);
                    settle(&*store, &name, &report, Answer::Accepted);
                    sent.push(report.id);
                }
            }
            sent
        };
        let threads: Vec<_> = (0..3).map(|number| scope.spawn(move || send(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all: BTreeSet<_> = sent.iter().flatten().collect();
    assert_eq!((all.len(), sent.iter().map(Vec::len).sum::<usize>()), (200, 200));
}

/// While one sends and two count, the one with groups that are decided upon, the other with a journal.
pub fn every_unit_is_in_exactly_one_report(place: &dyn Fixture) {
    let store = exporting_to(place, &["ann", "bob"]);
    let is_counted = AtomicBool::new(false);
    let sent: u64 = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sender = place.open();
            let mut sent = 0;
            loop {
                let ends = is_counted.load(Ordering::SeqCst);
                let reports = claimed(&*sender, &Claim { early: true, ..claim_by("sender") });
                for report in &reports {
                    sent += report.units;
                    settle(&*sender, "sender", report, Answer::Accepted);
                }
                if ends && reports.is_empty() {
                    return sent;
                }
            }
        });
        let decided = scope.spawn(|| {
            let store = place.open();
            for number in 0..60 {
                let id = format!("event-{number}");
                commit(&*store, &[admit(event_with_id("ann", &id)), record(event("bob"))]);
            }
        });
        let journaled_events = scope.spawn(|| {
            let store = place.open();
            for number in 0..60 {
                let at = |place: u64, customer: &str| journaled(2 * number + place, event(customer));
                assert_eq!(statuses(&*store, &[at(1, "bob"), at(2, "ann")]), [RecordStatus::Counted; 2]);
            }
        });
        decided.join().unwrap();
        journaled_events.join().unwrap();
        is_counted.store(true, Ordering::SeqCst);
        sender.join().unwrap()
    });
    assert_eq!(sent, 240);
    assert_eq!(reported(&*store).iter().map(|(_, units)| units).sum::<u64>(), 240);
    assert_eq!((used(&*store, "ann"), used(&*store, "bob")), (120, 120));
    assert!(states(&*store).iter().all(|state| *state == State::Sent));
}

/// All books say the same of what was counted, and of others nothing.
pub fn the_books_agree(place: &dyn Fixture) {
    let store = place.open();
    exporting(&*store, &["ann"]);
    commit(&*store, &[record(event_of(3)), record(event_of(4)), record(event("bob"))]);
    let lines = |customer: Option<&str>| {
        let mut lines: Vec<_> = store.books(customer.map(customer_id).as_ref(), all_time()).unwrap();
        lines.sort_by_key(|line| (line.book, line.customer_id.clone()));
        lines.into_iter().map(|line| (line.book, line.customer_id.to_string(), line.units)).collect::<Vec<_>>()
    };
    let ann = |book| (book, "ann".to_owned(), 7);
    let bob = |book| (book, "bob".to_owned(), 1);
    assert_eq!(
        lines(None),
        [
            ann(Book::Events),
            bob(Book::Events),
            ann(Book::Rollups),
            bob(Book::Rollups),
            ann(Book::Reported),
            ann(Book::Told)
        ]
    );
    assert_eq!(lines(Some("ann")), Book::ALL.map(ann));
    assert_eq!(lines(Some("eve")), []);
}

/// What is divided stays as much as it was, and is told of where the part says so.
pub fn a_report_is_divided_once(place: &dyn Fixture) {
    let store = place.open();
    exporting(&*store, &["ann"]);
    commit(&*store, &[record(event_of(10))]);
    let sending = claimed(&*store, &claim_by("one")).remove(0);
    settle(&*store, "one", &sending, Answer::Accepted);
    let part = ReportId::new(minutes_later(90), [7; 10]);
    let timestamp = minutes_later(-600);
    let division = Division {
        customer_id: customer_id("ann"),
        id: sending.id.clone(),
        state: State::Sent,
        attempts: sending.attempts,
        units: 4,
        part: part.clone(),
        becomes: State::Pending,
        timestamp,
        reason: Some("a reason".to_owned()),
        now: minutes_later(90),
    };
    let divide = |division: &Division| store.divide_report(division).unwrap();
    for wrong in [
        Division { state: State::Dead, ..division.clone() },
        Division { attempts: 9, ..division.clone() },
        Division { units: 11, ..division.clone() },
        Division { id: ReportId::from_stored("nobody".to_owned()), ..division.clone() },
    ] {
        assert!(!divide(&wrong));
    }
    assert!(divide(&division));
    let entries = store.entries(&customer_id("ann"), Meter::API_REQUEST, all_time()).unwrap();
    let [rest, divided] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((rest.report.id.clone(), rest.report.units, rest.report.state), (sending.id.clone(), 6, State::Sent));
    assert_eq!(rest.settled_at, Some(minutes_later(60)));
    assert_eq!((divided.report.id.clone(), divided.report.units), (part, 4));
    assert_eq!((divided.report.timestamp, divided.report.window_start), (timestamp, sending.window_start));
    assert_eq!((divided.report.state, divided.report.first_attempt_at), (State::Pending, None));
    // The whole of the rest: it is another report from now on.
    let other = ReportId::new(minutes_later(91), [8; 10]);
    assert!(divide(&Division { units: 6, part: other.clone(), becomes: State::Sent, ..division }));
    let ids: Vec<_> = reports(&*store).into_iter().map(|report| report.id).collect();
    assert_eq!(ids, [divided.report.id.clone(), other]);
    assert_eq!(claimed(&*store, &claim_by("two")).len(), 0);
    assert_eq!(claimed(&*store, &Claim { now: minutes_later(90), ..claim_by("two") })[0].units, 4);
}

//! Hours against a plain model of the other side: after one repair, and after what is on its way has arrived, every unit is
//! there once.

use proptest::prelude::*;

use super::*;
use crate::domain::outbox::State;
use crate::domain::{CustomerId, Meter, Recipient};

const NOW: i64 = 1_790_000_000_000;
const DAY: i64 = 24 * HOUR;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_stored(millis)
}

fn entry(number: u8, state: State, units: u64, age: i64) -> Entry {
    let then = at(NOW - age);
    let report = Report {
        id: ReportId::from_stored(format!("report-{number:03}")),
        customer_id: CustomerId::new("ann").unwrap(),
        meter: Meter::API_REQUEST,
        window_start: then,
        recipient: Recipient { stripe_customer_id: "cus_1".to_owned(), subscription_id: None },
        units,
        timestamp: then,
        state,
        attempts: 1,
        first_attempt_at: Some(then),
        in_doubt: state == State::Uncertain,
        due_at: then,
        reason: None,
    };
    Entry { report, settled_at: Some(then) }
}

fn causes(entries: &[Entry], counted: u64) -> Vec<(Cause, u64)> {
    let findings = compare_hour(entries, counted, at(NOW - 2 * HOUR), at(NOW));
    findings.into_iter().map(|finding| (finding.cause, finding.units)).collect()
}

#[test]
fn each_difference_has_its_cause() {
    let sent = entry(1, State::Sent, 10, 2 * HOUR);
    assert_eq!(causes(std::slice::from_ref(&sent), 10), []);
    assert_eq!(causes(std::slice::from_ref(&sent), 7), [(Cause::MissingAtStripe, 3)]);
    assert_eq!(causes(std::slice::from_ref(&sent), 12), [(Cause::CountedAtStripeOnly, 2)]);
    assert_eq!(causes(&[], 12), [(Cause::CountedAtStripeOnly, 12)]);
    for (state, cause) in
        [(State::Uncertain, Cause::Uncertain), (State::Dead, Cause::Dead), (State::Frozen, Cause::Frozen)]
    {
        assert_eq!(causes(&[sent.clone(), entry(2, state, 5, 2 * HOUR)], 10), [(cause, 5)]);
    }
    for state in [State::Pending, State::Sending] {
        assert_eq!(causes(&[sent.clone(), entry(2, state, 5, 2 * HOUR)], 10), [(Cause::OnItsWay, 5)]);
    }
    let fresh = entry(2, State::Sent, 5, MINUTE);
    assert_eq!(causes(&[sent.clone(), fresh.clone()], 12), [(Cause::Late, 3)]);
    assert_eq!(causes(&[sent, fresh], 8), [(Cause::Late, 5), (Cause::MissingAtStripe, 2)]);
}

const MINUTE: i64 = 60_000;

#[test]
fn nothing_is_mended_before_an_hour_is_at_rest() {
    for restless in [entry(2, State::Sent, 5, MINUTE), entry(2, State::Pending, 5, 2 * HOUR)] {
        for counted in [0, 3, 100] {
            let entries =
                [entry(1, State::Sent, 10, 2 * HOUR), restless.clone(), entry(3, State::Uncertain, 1, 2 * HOUR)];
            let findings = compare_hour(&entries, counted, at(NOW), at(NOW));
            assert!(findings.iter().all(|finding| finding.steps.is_empty()), "{findings:?}");
        }
    }
}

#[test]
fn what_arrived_unseen_is_settled_and_what_did_not_is_sent() {
    let entries = [entry(1, State::Sent, 10, 2 * HOUR), entry(2, State::Uncertain, 5, 2 * HOUR)];
    let steps = |counted| compare_hour(&entries, counted, at(NOW), at(NOW)).remove(0).steps;
    let report = ReportId::from_stored("report-002".to_owned());
    let timestamp = at(NOW - 2 * HOUR);
    assert_eq!(steps(15), [Step::Settle { report: report.clone(), units: 5 }]);
    assert_eq!(steps(10), [Step::Resend { report, units: 5, timestamp }]);
}

#[test]
fn what_is_too_old_is_told_as_of_now() {
    for (age, timestamp) in [(34 * DAY, NOW - 34 * DAY), (36 * DAY, NOW)] {
        let findings = compare_hour(&[entry(1, State::Frozen, 5, age)], 0, at(NOW - age), at(NOW));
        let report = ReportId::from_stored("report-001".to_owned());
        assert_eq!(findings[0].steps, [Step::Resend { report, units: 5, timestamp: at(timestamp) }]);
    }
}

#[test]
fn the_stores_own_books_are_compared() {
    let causes = |events, rollups, reported, reporting| {
        let findings = compare(Books { events, rollups, reported }, reporting);
        findings.into_iter().map(|finding| (finding.cause, finding.units)).collect::<Vec<_>>()
    };
    assert_eq!(causes(5, 5, 5, Reporting::Reported), []);
    assert_eq!(causes(5, 7, 5, Reporting::Reported), [(Cause::CountersDiffer, 2)]);
    assert_eq!(causes(5, 5, 2, Reporting::Reported), [(Cause::BeforeExport, 3)]);
    assert_eq!(causes(5, 5, 0, Reporting::NoStripeCustomer), [(Cause::NoStripeCustomer, 5)]);
    assert_eq!(causes(5, 5, 0, Reporting::NotTheMeter), [(Cause::NotExported, 5)]);
    assert_eq!(causes(5, 5, 6, Reporting::Reported), [(Cause::EventsMissing, 1)]);
}

/// The other side, as a number: what it has counted of the hour, and what it will count of what is resent or spared.
struct Model {
    counted: i128,
    /// Of each report, what stands for it there, and what is still to be sent.
    reports: Vec<(ReportId, i128)>,
    to_send: i128,
    carried: i128,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        let units_of = |id: &ReportId| self.reports.iter().find(|(other, _)| other == id).unwrap().1;
        match step {
            Step::Settle { .. } => {}
            Step::Resend { units, .. } => self.to_send += i128::from(*units),
            Step::Cancel { report, covered, resend, .. } => {
                assert_eq!(i128::from(covered + resend), units_of(report));
                self.counted -= units_of(report);
                self.to_send += i128::from(*resend);
            }
            Step::CarryForward { units, .. } => self.carried += i128::from(*units),
        }
    }
}

proptest! {
    #[test]
    fn a_repair_leaves_every_unit_there_once(
        reports in prop::collection::vec((0..4_usize, 1..50_u64, 2..60_i64), 0..8),
        counted in 0..300_u64,
    ) {
        let states = [State::Sent, State::Uncertain, State::Dead, State::Frozen];
        let entries: Vec<_> = reports
            .iter()
            .enumerate()
            .map(|(number, (state, units, hours))| entry(number as u8, states[*state], *units, hours * HOUR))
            .collect();
        let findings = compare_hour(&entries, counted, at(NOW - 60 * HOUR), at(NOW));

        // The oracle knows sums alone.
        let total: i128 = reports.iter().map(|(_, units, _)| i128::from(*units)).sum();
        let sent: u64 = reports.iter().filter(|(state, ..)| *state == 0).map(|(_, units, _)| units).sum();
        let units = |cause| findings.iter().find(|finding| finding.cause == cause).map_or(0, |finding| finding.units);
        prop_assert_eq!(units(Cause::MissingAtStripe), sent.saturating_sub(counted));
        let known = u64::try_from(total).unwrap();
        prop_assert_eq!(units(Cause::CountedAtStripeOnly), counted.saturating_sub(known));
        let unsettled = units(Cause::Uncertain) + units(Cause::Dead) + units(Cause::Frozen);
        prop_assert_eq!(unsettled, known - sent);
        prop_assert_eq!(findings.is_empty(), counted == sent && known == sent);

        let reports = entries.iter().map(|entry| (entry.report.id.clone(), i128::from(entry.report.units))).collect();
        let mut model = Model { counted: counted.into(), reports, to_send: 0, carried: 0 };
        for step in findings.iter().flat_map(|finding| &finding.steps) {
            model.apply(step);
        }
        prop_assert_eq!(model.counted + model.to_send - model.carried, total);
    }
}

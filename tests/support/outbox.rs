//! Building blocks for tests of the outbox.

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::outbox::delivery::{Answer, after_attempt};
use weighbridge::domain::outbox::{ExportRule, Report, State};
use weighbridge::domain::{Meter, Timestamp};
use weighbridge::store::outbox::Claim;
use weighbridge::store::{Change, ReportQuery, Settlement, Store};

use super::leases::holder;
use super::{commit, customer_id, now, upsert};

pub const MINUTE: i64 = 60_000;

/// API requests and agent executions, by the minute.
pub fn rule() -> ExportRule {
    ExportRule::new(MINUTE, [Meter::API_REQUEST, Meter::AGENT_EXECUTION]).expect("a rule")
}

/// Where usage is reported, and these customers are known to Stripe under `cus_` and their id.
pub fn exporting(store: &dyn Store, customers: &[&str]) {
    let known = |customer: &&str| set_stripe_customer(customer, &format!("cus_{customer}"));
    let changes: Vec<Change> = [Change::Export(Some(rule()))].into_iter().chain(customers.iter().map(known)).collect();
    assert!(commit(store, &changes).iter().all(Result::is_ok));
}

pub fn set_stripe_customer(customer: &str, stripe_customer: &str) -> Change {
    let stripe_customer_id = Patch::Set(stripe_customer.to_owned());
    upsert(customer, CustomerPatch { stripe_customer_id, ..CustomerPatch::default() })
}

/// Everything in the outbox.
pub fn reports(store: &dyn Store) -> Vec<Report> {
    store.reports(&ReportQuery { limit: 10_000, ..ReportQuery::default() }).expect("reports")
}

/// Customer and units of everything in the outbox, sorted.
pub fn reported(store: &dyn Store) -> Vec<(String, u64)> {
    let mut reported: Vec<_> =
        reports(store).into_iter().map(|report| (report.customer_id.as_str().to_owned(), report.units)).collect();
    reported.sort();
    reported
}

/// Asks for at most a hundred reports that are due an hour from now.
pub fn claim_by(holder_id: &str) -> Claim {
    let now = minutes_later(60);
    Claim { holder: holder(holder_id), now, until: now.plus_millis(MINUTE), limit: 100, after: None, early: false }
}

pub fn minutes_later(minutes: i64) -> Timestamp {
    now().plus_millis(minutes * MINUTE)
}

pub fn claimed(store: &dyn Store, claim: &Claim) -> Vec<Report> {
    store.claim_reports(claim).expect("a claim")
}

/// Says what came of an attempt that was claimed.
pub fn settle(store: &dyn Store, holder_id: &str, report: &Report, answer: Answer) {
    let now = minutes_later(60);
    let settlement = Settlement {
        customer_id: report.customer_id.clone(),
        id: report.id.clone(),
        attempts: report.attempts,
        settled: after_attempt(report, answer, now, MINUTE),
        reason: (answer != Answer::Accepted).then(|| "a reason".to_owned()),
        now,
    };
    store.settle_reports(&holder(holder_id), &[settlement]).expect("a settlement");
}

/// Of everything in the outbox, sorted.
pub fn states(store: &dyn Store) -> Vec<State> {
    let mut states: Vec<_> = reports(store).iter().map(|report| report.state).collect();
    states.sort();
    states
}

/// Of one customer's meter, the report that is there.
pub fn only(store: &dyn Store, customer: &str) -> Report {
    let query = ReportQuery { customer_id: Some(customer_id(customer)), limit: 10, ..ReportQuery::default() };
    let mut reports = store.reports(&query).expect("reports");
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

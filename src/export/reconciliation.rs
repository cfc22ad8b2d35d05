//! Compares the store's books with each other and with what another service has counted; on demand it mends what differs.
//!
//! What differs, why, and what to do about it is decided in [`crate::domain::reconciliation`].

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::access::{StoreAccess, ask};
use super::ledger::{Counted, UsageLedger};
use crate::domain::outbox::State;
use crate::domain::reconciliation::{Books, Cause, Entry, Finding, HOUR, Reporting, Step, compare, compare_hour};
use crate::domain::{Customer, CustomerId, Decimal, Meter, Period, ReportId, TimeZone, Timestamp};
use crate::store::{Book, Catalog, Division, Line, Store};
use crate::{Error, Result};

const PAGE: usize = 1_000;
/// Questions to the other service that are under way at once.
const AT_ONCE: usize = 8;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Task {
    /// Whole UTC hours.
    pub span: Period,
    /// `None`: all.
    pub customer: Option<CustomerId>,
    /// Which meters the other service has.
    pub meters: BTreeSet<Meter>,
    pub repair: bool,
    pub now: Timestamp,
}

impl Task {
    fn validate(&self) -> Result<()> {
        let Period { start, end } = self.span;
        let is_whole = |at: Timestamp| at.as_millis().rem_euclid(HOUR) == 0;
        if !is_whole(start) || !is_whole(end) {
            return Err(Error::invalid(format!(
                "`from` and `to` must be whole UTC hours, as sums are kept by the hour; got {} and {}",
                start.to_iso_string(),
                end.to_iso_string()
            )));
        }
        if start >= end {
            return Err(Error::invalid("`from` must be before `to`"));
        }
        if start < self.now.plus_millis(-super::sender::KEPT_MILLIS) {
            return Err(Error::invalid("`from` must lie within the past 40 days: what was sent earlier is forgotten"));
        }
        Ok(())
    }
}

/// What was found. It serializes as JavaScript gets it: instants are milliseconds since the epoch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    pub from: i64,
    pub to: i64,
    pub agrees: bool,
    pub customers: Vec<CustomerBooks>,
    pub stripe: Vec<StripeBooks>,
    pub differences: Vec<Difference>,
}

/// A customer's meter in the store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerBooks {
    pub customer_id: String,
    pub event_type: &'static str,
    pub events: u64,
    pub rollups: u64,
    /// Units in reports, by their state.
    pub reported: ByState,
}

/// A meter of one of the other service's customers, who may be several of ours.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StripeBooks {
    pub stripe_customer_id: String,
    pub event_type: &'static str,
    pub customer_ids: Vec<String>,
    pub sent: u64,
    /// A decimal: others may have told fractions.
    pub counted: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub cause: &'static str,
    pub event_type: &'static str,
    pub units: u64,
    pub customer_id: Option<String>,
    pub stripe_customer_id: Option<String>,
    /// When the hour or the billing period begins in which it lies, where that is known.
    pub at: Option<i64>,
    /// What mends it.
    pub repairs: BTreeSet<&'static str>,
    /// Whether that was done, wholly.
    pub repaired: bool,
    /// Why it was not.
    pub reason: Option<String>,
}

/// Units.
type ByState = BTreeMap<&'static str, u64>;
/// What the other service calls an account: its customer, and a meter.
type Key = (String, Meter);

#[derive(Default)]
struct Account {
    owners: BTreeSet<CustomerId>,
    sent: u64,
    /// In all other states.
    unsettled: u64,
}

struct Ledgers {
    catalog: Catalog,
    customers: BTreeMap<CustomerId, Customer>,
    lines: Vec<Line>,
}

pub async fn reconcile<L: UsageLedger>(
    store: &StoreAccess,
    ledger: &L,
    task: &Task,
) -> std::result::Result<Reconciliation, L::Failure> {
    task.validate()?;
    let reading = task.clone();
    let ledgers = ask(store, move |store| read(store, &reading)).await?;
    let (customers, mut differences) = own_books(&ledgers, task);
    let counting = task.clone();
    let periods: Vec<_> = ledgers.customers.values().cloned().collect();
    let zone = ledgers.catalog.time_zone;
    differences.extend(ask(store, move |store| counters(store, &periods, zone, &counting)).await?);

    let compared = stream::iter(accounts(&ledgers, task))
        .map(|(key, account)| compare_account(store, ledger, task, key, account))
        .buffered(AT_ONCE);
    let mut stripe = Vec::new();
    for (books, found) in compared.try_collect::<Vec<_>>().await? {
        stripe.push(books);
        differences.extend(found);
    }
    let (from, to) = (task.span.start.as_millis(), task.span.end.as_millis());
    Ok(Reconciliation { from, to, agrees: differences.is_empty(), customers, stripe, differences })
}

/// With a customer those, too, who are the same to the other service: it knows only their sum.
fn read(store: &dyn Store, task: &Task) -> Result<Ledgers> {
    let mut customers: BTreeMap<CustomerId, Customer> = BTreeMap::new();
    loop {
        let last = customers.last_key_value().map(|(id, _)| id.as_str().to_owned());
        let page = store.customers(last.as_deref(), PAGE)?;
        let is_last = page.len() < PAGE;
        customers.extend(page.into_iter().map(|customer| (customer.id.clone(), customer)));
        if is_last {
            break;
        }
    }
    if let Some(wanted) = &task.customer {
        let known_as = customers.get(wanted).and_then(|customer| customer.stripe_customer_id.clone());
        customers
            .retain(|id, customer| id == wanted || (known_as.is_some() && customer.stripe_customer_id == known_as));
    }
    let only = task.customer.as_ref().filter(|_| customers.len() <= 1);
    let mut lines = store.books(only, task.span)?;
    if task.customer.is_some() {
        lines.retain(|line| customers.contains_key(&line.customer_id));
    }
    Ok(Ledgers { catalog: store.catalog()?, customers, lines })
}

fn own_books(ledgers: &Ledgers, task: &Task) -> (Vec<CustomerBooks>, Vec<Difference>) {
    let mut books: BTreeMap<(CustomerId, Meter), (Books, ByState)> = BTreeMap::new();
    for line in &ledgers.lines {
        let (books, reported) = books.entry((line.customer_id.clone(), line.meter)).or_default();
        match line.book {
            Book::Events => books.events += line.units,
            Book::Rollups => books.rollups += line.units,
            Book::Reported => {
                books.reported += line.units;
                *reported.entry(line.state.map_or("", State::as_str)).or_default() += line.units;
            }
            Book::Told => {}
        }
    }
    let mut differences = Vec::new();
    let mut customers = Vec::new();
    for ((customer_id, meter), (books, reported)) in books {
        let is_covered =
            ledgers.catalog.export.as_ref().is_some_and(|rule| rule.covers(meter)) && task.meters.contains(&meter);
        let is_known = ledgers.customers.get(&customer_id).is_some_and(|known| known.stripe_customer_id.is_some());
        let reporting = match (is_covered, is_known) {
            (false, _) => Reporting::NotTheMeter,
            (true, false) => Reporting::NoStripeCustomer,
            (true, true) => Reporting::Reported,
        };
        differences.extend(compare(books, reporting).into_iter().map(|finding| Difference {
            customer_id: Some(customer_id.as_str().to_owned()),
            ..difference(&finding, meter)
        }));
        let Books { events, rollups, .. } = books;
        let (customer_id, event_type) = (customer_id.as_str().to_owned(), meter.as_str());
        customers.push(CustomerBooks { customer_id, event_type, events, rollups, reported });
    }
    (customers, differences)
}

/// Compares counters with the events of the billing periods that lie in the span as a whole.
fn counters(store: &dyn Store, customers: &[Customer], zone: TimeZone, task: &Task) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for customer in customers {
        let mut period = customer.billing_period(task.span.start, zone);
        while period.end <= task.span.end {
            if period.start >= task.span.start {
                differences.extend(counters_of(store, customer, period)?);
            }
            period = customer.billing_period(period.end, zone);
        }
    }
    Ok(differences)
}

fn counters_of(store: &dyn Store, customer: &Customer, period: Period) -> Result<Vec<Difference>> {
    let mut sums: BTreeMap<Meter, (u64, u64)> = BTreeMap::new();
    for counter in store.counters(&customer.id, period.start)? {
        sums.entry(counter.meter).or_default().0 += counter.units;
    }
    store.events(Some(&customer.id), period, &mut |row| {
        sums.entry(row.meter).or_default().1 += row.units;
        Ok(())
    })?;
    let differing = sums.into_iter().filter(|(_, (counter, events))| counter != events);
    Ok(differing
        .map(|(meter, (counter, events))| {
            let finding = Finding { cause: Cause::CountersDiffer, units: counter.abs_diff(events), steps: Vec::new() };
            let customer_id = Some(customer.id.as_str().to_owned());
            Difference { customer_id, at: Some(period.start.as_millis()), ..difference(&finding, meter) }
        })
        .collect())
}

/// Everybody the other service knows, and everybody it was told of.
fn accounts(ledgers: &Ledgers, task: &Task) -> BTreeMap<Key, Account> {
    let mut accounts: BTreeMap<Key, Account> = BTreeMap::new();
    for customer in ledgers.customers.values() {
        let Some(id) = &customer.stripe_customer_id else { continue };
        let covered = |meter: &&Meter| ledgers.catalog.export.as_ref().is_some_and(|rule| rule.covers(**meter));
        for meter in task.meters.iter().filter(covered) {
            accounts.entry((id.clone(), *meter)).or_default().owners.insert(customer.id.clone());
        }
    }
    for line in ledgers.lines.iter().filter(|line| line.book == Book::Told && task.meters.contains(&line.meter)) {
        let Some(id) = &line.stripe_customer_id else { continue };
        let account = accounts.entry((id.clone(), line.meter)).or_default();
        account.owners.insert(line.customer_id.clone());
        if line.state == Some(State::Sent) {
            account.sent += line.units;
        } else {
            account.unsettled += line.units;
        }
    }
    accounts
}

async fn compare_account<L: UsageLedger>(
    store: &StoreAccess,
    ledger: &L,
    task: &Task,
    (stripe_customer_id, meter): Key,
    account: Account,
) -> std::result::Result<(StripeBooks, Vec<Difference>), L::Failure> {
    let counted = ledger.counted(&stripe_customer_id, meter, task.span, false).await?;
    let total: Decimal = counted.into_values().sum();
    let mut differences = Vec::new();
    if total != Decimal::from(account.sent) || account.unsettled > 0 {
        let counted = ledger.counted(&stripe_customer_id, meter, task.span, true).await?;
        let mut hours = hours(store, task, &stripe_customer_id, meter, &account.owners).await?;
        for hour in counted.keys() {
            hours.entry(*hour).or_default();
        }
        for (hour, entries) in hours {
            let units = whole_units(&counted, hour);
            for finding in compare_hour(&entries, units, hour, task.now) {
                let mended =
                    if task.repair { mend(store, ledger, task, meter, &entries, &finding).await } else { Ok(false) };
                let (repaired, reason) =
                    mended.map_or_else(|reason| (false, Some(reason)), |repaired| (repaired, None));
                differences.push(Difference {
                    stripe_customer_id: Some(stripe_customer_id.clone()),
                    at: Some(hour.as_millis()),
                    repaired,
                    reason,
                    ..difference(&finding, meter)
                });
            }
        }
        if differences.is_empty() && !total.is_whole() {
            let finding = Finding { cause: Cause::CountedAtStripeOnly, units: 0, steps: Vec::new() };
            let reason = Some("less than a unit was told by somebody else".to_owned());
            let stripe_customer_id = Some(stripe_customer_id.clone());
            differences.push(Difference { stripe_customer_id, reason, ..difference(&finding, meter) });
        }
    }
    let books = StripeBooks {
        stripe_customer_id,
        event_type: meter.as_str(),
        customer_ids: account.owners.iter().map(|id| id.as_str().to_owned()).collect(),
        sent: account.sent,
        counted: total.to_string(),
    };
    Ok((books, differences))
}

/// What the other service was told of, by the hour.
async fn hours(
    store: &StoreAccess,
    task: &Task,
    stripe_customer_id: &str,
    meter: Meter,
    owners: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<Timestamp, Vec<Entry>>> {
    let (owners, span) = (owners.clone(), task.span);
    let entries = ask(store, move |store| {
        let entries = owners.iter().map(|owner| store.entries(owner, meter, span));
        Ok(entries.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>())
    });
    let mut hours: BTreeMap<Timestamp, Vec<Entry>> = BTreeMap::new();
    for entry in entries.await? {
        if entry.report.recipient.stripe_customer_id == stripe_customer_id {
            let hour = Timestamp::from_stored(entry.report.timestamp.as_millis().div_euclid(HOUR) * HOUR);
            hours.entry(hour).or_default().push(entry);
        }
    }
    Ok(hours)
}

/// What is less than a unit is nothing of ours.
fn whole_units(counted: &Counted, hour: Timestamp) -> u64 {
    let text = counted.get(&hour).map(Decimal::to_string).unwrap_or_default();
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or_default()
}

/// Takes the steps of a finding. Answers whether it is mended by them; an error says why not.
async fn mend<L: UsageLedger>(
    store: &StoreAccess,
    ledger: &L,
    task: &Task,
    meter: Meter,
    entries: &[Entry],
    finding: &Finding,
) -> std::result::Result<bool, String> {
    let entry_of = |id: &ReportId| {
        entries.iter().find(|entry| entry.report.id == *id).ok_or_else(|| format!("there is no report {id}"))
    };
    let divide = async |id: &ReportId, units, becomes, timestamp| -> std::result::Result<(), String> {
        let entry = entry_of(id)?;
        let done = part(store, entry, units, becomes, timestamp, finding.cause, task.now).await;
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("report {id} has changed in the meantime")),
            Err(error) => Err(error.to_string()),
        }
    };
    for step in &finding.steps {
        match step {
            Step::Settle { report, units } => {
                divide(report, *units, State::Sent, entry_of(report)?.report.timestamp).await?;
            }
            Step::Resend { report, units, timestamp } => divide(report, *units, State::Pending, *timestamp).await?,
            Step::Cancel { report, covered, resend, timestamp } => {
                ledger.cancel(meter, report).await.map_err(|failure| failure.to_string())?;
                if *resend > 0 {
                    divide(report, *resend, State::Pending, *timestamp).await?;
                }
                divide(report, *covered, State::Sent, entry_of(report)?.report.timestamp).await?;
            }
            Step::CarryForward { units, timestamp } => {
                let left = carry(store, task, meter, entries, *units, *timestamp, finding.cause).await;
                match left.map_err(|error| error.to_string())? {
                    0 => {}
                    left => return Err(format!("{left} units wait for usage that is still to be sent")),
                }
            }
        }
    }
    Ok(!finding.steps.is_empty())
}

/// Units that the other side has too many of stand for usage that was not sent yet. Answers for how many there is none.
async fn carry(
    store: &StoreAccess,
    task: &Task,
    meter: Meter,
    entries: &[Entry],
    units: u64,
    timestamp: Timestamp,
    cause: Cause,
) -> Result<u64> {
    let owners: BTreeSet<_> = entries.iter().map(|entry| entry.report.customer_id.clone()).collect();
    let recipients: BTreeSet<_> =
        entries.iter().map(|entry| entry.report.recipient.stripe_customer_id.clone()).collect();
    let all_time = Period { start: Timestamp::from_stored(0), end: task.now.plus_millis(HOUR) };
    let waiting = ask(store, move |store| {
        let entries = owners.iter().map(|owner| store.entries(owner, meter, all_time));
        Ok(entries.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>())
    });
    let is_unsent = |entry: &Entry| entry.report.state == State::Pending && entry.report.attempts == 0;
    let is_his = |entry: &Entry| recipients.contains(&entry.report.recipient.stripe_customer_id);
    let mut left = units;
    for entry in waiting.await?.iter().filter(|entry| is_unsent(entry) && is_his(entry)) {
        let units = entry.report.units.min(left);
        if units > 0 && part(store, entry, units, State::Sent, timestamp, cause, task.now).await? {
            left -= units;
        }
    }
    Ok(left)
}

async fn part(
    store: &StoreAccess,
    entry: &Entry,
    units: u64,
    becomes: State,
    timestamp: Timestamp,
    cause: Cause,
    now: Timestamp,
) -> Result<bool> {
    let division = Division {
        customer_id: entry.report.customer_id.clone(),
        id: entry.report.id.clone(),
        state: entry.report.state,
        attempts: entry.report.attempts,
        units,
        part: ReportId::new(now, crate::store::random()?),
        becomes,
        timestamp,
        reason: Some(format!("reconciled: {}", cause.as_str())),
        now,
    };
    ask(store, move |store| store.divide_report(&division)).await
}

fn difference(finding: &Finding, meter: Meter) -> Difference {
    Difference {
        cause: finding.cause.as_str(),
        event_type: meter.as_str(),
        units: finding.units,
        customer_id: None,
        stripe_customer_id: None,
        at: None,
        repairs: finding.steps.iter().map(Step::as_str).collect(),
        repaired: false,
        reason: None,
    }
}

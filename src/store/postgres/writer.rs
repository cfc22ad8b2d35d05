//! Committing groups, one after the other, each exactly once.
//!
//! The server counts the groups of each writer, in their very transactions. Where the answer to a commit is lost, that
//! count tells whether it took effect; and by counting on, one that did not is kept from doing so later.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_postgres::Row;

use super::append::{Additions, Turn};
use super::database::{Database, Purpose, Session, Statement};
use super::error::{PostgresError, Result};
use super::listener::{self, Announcements};
use super::options::PostgresOptions;
use super::partitions::{self, Month, Partitioned, Partitions};
use super::transaction::Transaction;
use super::wanted::{Calendar, KnownCustomers, Wanted};
use super::{alerts, columns, load, read, stripe_events};
use crate::domain::{HolderId, Timestamp, UsageEvent};
use crate::store::group::Group;
use crate::store::{Catalog, Change, Committed, Outcome};
use crate::{Code, Error};

/// How often a group is tried again that lost against others.
const ATTEMPTS: usize = 10;
/// Of some hundred bytes each.
const MOST_KNOWN_CUSTOMERS: usize = 100_000;

pub struct Writer {
    options: Arc<PostgresOptions>,
    announcements: Arc<Announcements>,
    /// How many groups were committed, as the server said last.
    groups: u64,
    revision: u64,
    catalog: Catalog,
    partitions: Partitions,
    /// As of the revision.
    known: KnownCustomers,
}

/// Why an attempt to commit failed.
enum Failure {
    /// Nothing was changed.
    Certain(PostgresError),
    /// The answer was lost. The group was committed if the server counts so many.
    InDoubt { groups: u64, outcomes: Vec<Outcome>, error: PostgresError },
}

impl<E: Into<PostgresError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Certain(error.into())
    }
}

impl Writer {
    pub fn new(database: &Database, options: Arc<PostgresOptions>, announcements: Arc<Announcements>) -> Result<Self> {
        let (revision, catalog) = read::catalog(database, None)?;
        let mut partitions = Partitions::default();
        // Before anybody waits for them.
        partitions.ensure(database, &options.schema, partitions::soon(read::now(database)?))?;
        Ok(Self { options, announcements, groups: 0, revision, catalog, partitions, known: KnownCustomers::new() })
    }

    pub fn forget_partitions(&mut self) {
        self.partitions.forget();
    }

    pub fn commit(&mut self, database: &Database, changes: &[Change]) -> Result<Committed> {
        let mut additions = Additions::of(changes, &self.catalog, &self.known);
        let (mut is_cut, mut has_looked) = (false, false);
        for _ in 0..ATTEMPTS {
            let attempt = match additions.take() {
                Some(additions) => self.append(database, changes, &additions),
                None => self.decide(database, changes),
            };
            match attempt {
                Ok(committed) => return Ok(committed),
                Err(Failure::Certain(error)) if error.is_worth_repeating() => {}
                // Somebody may have dropped a partition.
                Err(Failure::Certain(error)) if error.is_refused() && !has_looked => {
                    has_looked = true;
                    self.partitions.forget();
                }
                // It may have been cut while it lay idle: once more is tried with another one.
                Err(Failure::Certain(error)) if error.is_disconnection() && !is_cut => is_cut = true,
                Err(Failure::Certain(error)) => return Err(error),
                Err(Failure::InDoubt { groups, outcomes, error }) => {
                    let error = error.at(&database.place);
                    tracing::warn!(%error, "it is not known whether a group was committed; the server is asked");
                    if self.end_turn(database)? >= groups {
                        return Ok(Committed { revision: self.revision, outcomes, reached: Vec::new() });
                    }
                    // It was not, and never will be.
                }
            }
        }
        Err(PostgresError::Outdated)
    }

    /// In two round trips: what the group needs is locked and read, and what it changes is written.
    fn decide(&mut self, database: &Database, changes: &[Change]) -> std::result::Result<Committed, Failure> {
        self.make_partitions(database, changes)?;
        let (mut session, mut answers, wanted) = self.begin(database, changes)?;
        let groups = number(answers.first())?;
        let revision = number(answers.get(1))?;
        if revision != self.revision {
            let known = self.catalog.tiers.catalog.as_ref();
            let (revision, catalog) = read::catalog_of(&session.run(&read::settings(known))?, known)?;
            (self.revision, self.catalog) = (revision, catalog);
            self.known.clear();
        }
        let mut transaction = Transaction::begin(session, self.catalog.clone());
        let answers = answers.split_off(2);
        transaction.take(&wanted, answers)?;
        let known = transaction.known().collect();
        let rest = Wanted::of(changes, &self.calendar(&known));
        if rest.counters != wanted.counters {
            // The periods are others than we believed.
            transaction.load(&rest)?;
        }

        let mut group = Group::begin(transaction);
        let outcomes = changes.iter().map(|change| group.apply(change)).collect::<Result<_>>()?;
        let watches = group.take_watches()?;
        let mut transaction = group.tables;
        let mut statements = transaction.take_unwritten()?;
        statements.extend(alerts::reached_statement(&watches, transaction.catalog.alerts.as_ref())?);
        if transaction.recalls_anew {
            statements.push(listener::announce_recall(&self.options.schema));
        }
        let revised = transaction.unwritten.revised;
        if revised {
            // Its row is everybody's, so it is locked last and for the shortest time.
            statements.push(listener::announce(&self.options.schema));
        }
        let known: KnownCustomers = transaction.known().collect();
        let Transaction { session, catalog, .. } = transaction;
        let answers = match session.finish(&statements) {
            Ok(answers) => answers,
            Err(error) if error.is_disconnection() => return Err(Failure::InDoubt { groups, outcomes, error }),
            Err(error) => return Err(Failure::Certain(error)),
        };
        if groups <= self.groups {
            let message = "the server has lost groups that were committed, as after a failover to a server that lagged";
            tracing::error!(groups, before = self.groups, "{message}");
        }
        self.groups = groups;
        if revised {
            (self.revision, self.catalog) = (number(answers.last())?, catalog);
            self.announcements.learn(self.revision);
            // Others may have changed something in between.
            self.known.clear();
        }
        if self.known.len() > MOST_KNOWN_CUSTOMERS {
            self.known.clear();
        }
        self.known.extend(known);
        Ok(Committed { revision: self.revision, outcomes, reached: alerts::reached_of(&answers)? })
    }

    /// Begins the transaction of a group, and asks for what the group needs.
    fn begin<'d>(&self, database: &'d Database, changes: &[Change]) -> Result<(Session<'d>, Vec<Vec<Row>>, Wanted)> {
        let wanted = Wanted::of(changes, &self.calendar(&self.known));
        let mut statements = vec![count(&self.options.writer)];
        // A group of nothing, which tries whether the store can be written to, waits for nobody.
        statements.extend((!changes.is_empty()).then(|| lock_settings(changes)));
        statements.extend(administers_keys(changes).then(|| {
            // So that whoever looks whether a secret is a key already finds out about all that are.
            Statement::new("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
        }));
        statements.extend(concerns_stripe(changes).then(stripe_events::lock));
        statements.push(read::revision_statement());
        let own = statements.len();
        statements.extend(load::statements(&wanted));
        // Another time zone sorts all events.
        let is_long = |change: &Change| matches!(change, Change::Configure { time_zone: Some(_), .. });
        let purpose = if changes.iter().any(is_long) { Purpose::Move } else { Purpose::Write };
        let mut session = database.begin(purpose)?;
        let mut answers = session.run(&statements)?;
        // The locks answer nothing.
        let rest = answers.split_off(own - 1);
        answers.truncate(1);
        answers.extend(rest);
        Ok((session, answers, wanted))
    }

    fn calendar<'c>(&'c self, known: &'c KnownCustomers) -> Calendar<'c> {
        Calendar { catalog: &self.catalog, known, meters: self.catalog.tiers.meters() }
    }

    /// In one round trip, where there is nothing to decide.
    fn append(
        &mut self,
        database: &Database,
        changes: &[Change],
        additions: &Additions,
    ) -> std::result::Result<Committed, Failure> {
        self.make_partitions(database, changes)?;
        let turn = Turn { writer: &self.options.writer, groups: self.groups, revision: self.revision };
        let answers =
            match database.begin(Purpose::Write)?.finish(&additions.statements(&turn, self.catalog.alerts.as_ref())?) {
                Ok(answers) => answers,
                Err(error) if error.is_disconnection() => {
                    // Whatever it was answered, it was counted.
                    let outcomes = additions.outcomes(&[], &self.catalog)?;
                    return Err(Failure::InDoubt { groups: self.groups + 1, outcomes, error });
                }
                // Something is not as we believed.
                Err(error) if error.is_refused() => return Err(Failure::Certain(PostgresError::Outdated)),
                Err(error) => return Err(Failure::Certain(error)),
            };
        self.groups += 1;
        let reached = alerts::reached_of(&answers)?;
        Ok(Committed { revision: self.revision, outcomes: additions.outcomes(&answers, &self.catalog)?, reached })
    }

    /// Finds out how many groups the server has counted, however long that takes, and counts on, so that one which still
    /// lingers on a dead connection cannot be committed any more. Where that must come to an end the group stays in doubt:
    /// nothing that follows relies on it, and an heir counts on.
    fn end_turn(&mut self, database: &Database) -> Result<u64> {
        let ask = || -> Result<u64> {
            // A transaction that is not at its end yet holds this row.
            let count = Statement::new("UPDATE writers SET groups = groups + 1 WHERE holder = $1 RETURNING groups")
                .text(self.options.writer.as_str());
            let answers = database.begin(Purpose::Write)?.finish(&[count])?;
            answers.first().and_then(|rows| rows.first()).map_or(Ok(0), |row| columns::count(row, 0))
        };
        loop {
            match ask() {
                Ok(groups) => {
                    self.groups = groups;
                    return Ok(groups.saturating_sub(1));
                }
                Err(_) if database.is_impatient() => return Err(unknown().into()),
                Err(_) => database.pause(),
            }
        }
    }

    fn make_partitions(&mut self, database: &Database, changes: &[Change]) -> Result<()> {
        let mut wanted = BTreeSet::new();
        let mut want = |event: &UsageEvent, now: Timestamp| {
            wanted.insert((Partitioned::Events, Month::of(event.timestamp)));
            if event.id.is_some() {
                wanted.insert((Partitioned::EventIds, Month::of(now)));
            }
        };
        for change in changes {
            match change {
                Change::Charge(charge) => want(&charge.event, charge.now),
                Change::Record(record) => want(&record.event, record.now),
                Change::TakeOver(takeover) => takeover.events.iter().for_each(|event| want(event, takeover.now)),
                _ => {}
            }
        }
        self.partitions.ensure(database, &self.options.schema, wanted)
    }
}

/// Counts on for a writer who has died: whoever still holds the row is waited for, and what comes later finds that its turn
/// is over.
pub fn fence(database: &Database, writer: &HolderId) -> Result<()> {
    let count = Statement::new(
        "INSERT INTO writers (holder, groups, seen_at) VALUES ($1, 1, 'epoch')
         ON CONFLICT (holder) DO UPDATE SET groups = writers.groups + 1",
    )
    .text(writer.as_str());
    database.begin(Purpose::Write)?.finish(&[count]).map(drop)
}

/// Counts the group. The row is locked until its transaction ends.
fn count(writer: &HolderId) -> Statement {
    Statement::new(
        "INSERT INTO writers (holder, groups, seen_at) VALUES ($1, 1, now())
         ON CONFLICT (holder) DO UPDATE SET groups = writers.groups + 1, seen_at = excluded.seen_at
         RETURNING groups",
    )
    .text(writer.as_str())
}

/// The catalog and the billing periods stand still while a group is decided upon or counted; whoever changes them waits
/// until nobody does that.
fn lock_settings(changes: &[Change]) -> Statement {
    let moves_them = |change: &Change| match change {
        Change::Configure { .. }
        | Change::Offer(_)
        | Change::IntroduceTiers(_)
        | Change::Export(_)
        | Change::Alert(_) => true,
        // From a spend cap on, whoever counts the customer locks him.
        Change::UpsertCustomer { patch, .. } => patch.may_move_periods() || patch.spend_cap.value().is_some(),
        Change::FinishStripeEvent(finished) => !finished.reports.is_empty(),
        _ => false,
    };
    Statement::new(if changes.iter().any(moves_them) {
        "LOCK TABLE settings IN EXCLUSIVE MODE"
    } else {
        "LOCK TABLE settings IN ROW SHARE MODE"
    })
}

fn administers_keys(changes: &[Change]) -> bool {
    let administers = |change: &Change| {
        matches!(change, Change::CreateKey { .. } | Change::RevokeKey { .. } | Change::RotateKey { .. })
    };
    changes.iter().any(administers)
}

/// Whether something may become of what Stripe tells.
fn concerns_stripe(changes: &[Change]) -> bool {
    let concerns = |change: &Change| match change {
        Change::ClaimStripeEvent { .. } | Change::FinishStripeEvent(_) | Change::ReleaseStripeEvent { .. } => true,
        Change::UpsertCustomer { patch, .. } => patch.names_subscription(),
        _ => false,
    };
    changes.iter().any(concerns)
}

fn unknown() -> Error {
    let message = "the server has not said before the end whether this was committed: events with an `id` may be recorded \
                   again, what was admitted is in the journal";
    Error::new(Code::StoreTimeout, message)
}

fn number(rows: Option<&Vec<Row>>) -> Result<u64> {
    match rows.and_then(|rows| rows.first()) {
        Some(row) => columns::count(row, 0),
        None => Err(Error::new(Code::Internal, "the server has not answered with a number").into()),
    }
}

//! The thread that writes to the store, in groups, and answers.
//!
//! What somebody waits for is committed at once: while one group is being committed the next one gathers by itself. What
//! is in the journal is safe already, so it may gather for a moment, and what nobody waits for goes with whatever is
//! committed next.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::isolation::{self, Progress};
use super::mailbox::Mailbox;
use super::opening::Opened;
use super::readers::Readers;
use super::{Reply, Report, Shared};
use crate::domain::Timestamp;
use crate::store::{Change, Outcome, Record, Store};
use crate::{Code, Error, Result};

/// The most changes in one transaction, unless a single batch is larger.
const MAX_GROUP: usize = 4_096;
/// The most changes that may wait: some hundred megabytes.
const MAX_WAITING: usize = 262_144;
/// How often to ask whether another process has changed keys, customers or tiers.
const REVISION_POLL: Duration = Duration::from_millis(250);
/// How long what is journaled may gather, so that a customer's events share the writing of his sums; and what nobody
/// waits for.
const JOURNALED_AGE: Duration = Duration::from_secs(1);
const DEFERRED_AGE: Duration = Duration::from_millis(100);
/// After a failed attempt to open the store.
const REOPENING_PAUSE: Duration = Duration::from_millis(500);
/// After a failed commit.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Recorder {
    mailbox: Mailbox<Job>,
    waiting: Arc<AtomicUsize>,
    /// What the journal has written and nobody has looked at yet.
    journaled: Arc<Mutex<Vec<Journaled>>>,
    /// The most journaled events in one transaction: what the store says, once it is open.
    group_size: Arc<AtomicUsize>,
}

/// An event that the journal holds.
pub struct Journaled {
    pub record: Record,
    /// Of the billing period that its units were taken from.
    pub period_start: Timestamp,
}

enum Job {
    Commit(Batch),
    Defer(Batch),
    /// There is something journaled, or much of it.
    Journaled,
    Flush(Reply<()>),
    Ready(Reply<Report>),
    Close(Reply<()>),
}

/// Changes that are asked for and answered together.
struct Batch {
    changes: Vec<Change>,
    reply: Reply<Vec<Outcome>>,
}

impl Batch {
    fn answer(self, outcomes: Result<Vec<Outcome>>) {
        contained(|| (self.reply)(outcomes));
    }
}

pub fn spawn<T: Send + 'static>(name: String, body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name)
        .spawn(body)
        .map_err(|error| Error::new(Code::StoreUnavailable, format!("no thread could be started: {error}")))
}

impl Recorder {
    pub fn new() -> Self {
        Self {
            mailbox: Mailbox::new(),
            waiting: Arc::default(),
            journaled: Arc::default(),
            group_size: Arc::new(AtomicUsize::new(MAX_GROUP)),
        }
    }

    /// Starts the thread, which opens the store first.
    pub fn start(
        &self,
        shared: Arc<Shared>,
        readers: Readers,
        open: impl FnMut() -> Result<Opened> + Send + 'static,
    ) -> Result<()> {
        let worker = Worker {
            mailbox: self.mailbox.clone(),
            waiting: Arc::clone(&self.waiting),
            shared,
            readers,
            arriving: Arc::clone(&self.journaled),
            group_size: Arc::clone(&self.group_size),
            journaled: VecDeque::new(),
            deferred: Vec::new(),
            journaled_since: None,
            deferred_since: None,
            paused_until: None,
            polled_at: Instant::now(),
        };
        spawn("weighbridge-recorder".to_owned(), move || worker.run(open)).map(drop)
    }

    pub fn ready(&self, reply: Reply<Report>) {
        self.submit(Job::Ready(reply));
    }

    pub fn commit(&self, changes: Vec<Change>, reply: Reply<Vec<Outcome>>) {
        if let Some(error) = self.overloaded(changes.len()) {
            return reply(Err(error));
        }
        self.waiting.fetch_add(changes.len(), Ordering::Relaxed);
        self.submit(Job::Commit(Batch { changes, reply }));
    }

    /// Nobody waits for these: they go with the next commit.
    pub fn defer(&self, changes: Vec<Change>, reply: Reply<Vec<Outcome>>) {
        self.waiting.fetch_add(changes.len(), Ordering::Relaxed);
        self.submit(Job::Defer(Batch { changes, reply }));
    }

    /// What the journal has written. It is kept until it is committed. The worker is woken only for the first of them and
    /// when they are many: it has nothing to do with the others yet.
    pub fn journaled(&self, entries: Vec<Journaled>) {
        self.waiting.fetch_add(entries.len(), Ordering::Relaxed);
        let mut arriving = self.journaled.lock().unwrap_or_else(PoisonError::into_inner);
        let before = arriving.len();
        arriving.extend(entries);
        let group_size = self.group_size.load(Ordering::Relaxed);
        let is_news = before == 0 || (before < group_size && arriving.len() >= group_size);
        drop(arriving);
        if is_news {
            self.submit(Job::Journaled);
        }
    }

    /// Answers when everything that was handed over before is committed.
    pub fn flush(&self, reply: Reply<()>) {
        self.submit(Job::Flush(reply));
    }

    pub fn close(&self, reply: Reply<()>) {
        self.submit(Job::Close(reply));
    }

    /// Why so many changes more cannot wait.
    pub fn overloaded(&self, size: usize) -> Option<Error> {
        (self.waiting.load(Ordering::Relaxed) + size > MAX_WAITING).then(|| {
            let message = format!("more than {MAX_WAITING} changes wait for the store; slow down and try again");
            Error::new(Code::Overloaded, message)
        })
    }

    fn submit(&self, job: Job) {
        self.mailbox.send(job).for_each(Job::refuse_closed);
    }
}

impl Job {
    fn refuse(self, why: &Error) {
        match self {
            Job::Commit(batch) | Job::Defer(batch) => batch.answer(Err(why.clone())),
            Job::Ready(reply) => reply(Err(why.clone())),
            Job::Flush(reply) => reply(Err(why.clone())),
            // They stay in the journal for whoever opens the store next.
            Job::Journaled => {}
            Job::Close(reply) => reply(Ok(())),
        }
    }

    /// To be told to close once more is no mistake.
    fn refuse_closed(self) {
        self.refuse(&closed());
    }
}

pub fn closed() -> Error {
    Error::new(Code::Closed, "this Billing was closed; make a new one")
}

struct Worker {
    mailbox: Mailbox<Job>,
    waiting: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    readers: Readers,
    arriving: Arc<Mutex<Vec<Journaled>>>,
    group_size: Arc<AtomicUsize>,
    journaled: VecDeque<Journaled>,
    deferred: Vec<Batch>,
    /// Since when the oldest of them waits.
    journaled_since: Option<Instant>,
    deferred_since: Option<Instant>,
    /// The store has failed; what is journaled is not tried before.
    paused_until: Option<Instant>,
    polled_at: Instant,
}

impl Worker {
    fn run(mut self, mut open: impl FnMut() -> Result<Opened>) {
        // What is answered when all is done and the store is closed.
        let mut last = Vec::new();
        let opened = loop {
            let opened = guarded(&mut open).and_then(|opened| Ok((self.readers.start(&opened.store)?, opened)));
            match opened {
                Err(error) if error.code.may_pass() => {
                    self.shared.health.failed(&error);
                    self.readers.pause(&error);
                    if let Some(close) = self.refuse_for(REOPENING_PAUSE, &error) {
                        last.push(close);
                        break Err(error);
                    }
                    self.readers.resume();
                }
                opened => break opened,
            }
        };
        // From here on it lives as long as it is open.
        drop(open);
        match opened {
            Ok((threads, Opened { store, report, close, drain, ending })) => {
                self.group_size.store(store.group_size(), Ordering::Relaxed);
                self.shared.health.opened();
                last.extend(self.serve(store.as_ref(), &report));
                self.readers.stop(&closed());
                for thread in threads {
                    // A reader that panicked has nothing left to wait for.
                    let _ = thread.join();
                }
                last.extend(self.finish(store.as_ref(), drain.as_ref()));
                // What is written after the last group nobody would record, and its units would be given back.
                close();
                drain();
                let recorded = self.commit_journaled(store.as_ref(), true);
                if let Err(error) = recorded.and_then(|()| guarded(|| ending(store.as_ref()))) {
                    tracing::warn!(%error, "the journal is left to whoever opens the store next");
                }
            }
            Err(error) => {
                self.readers.stop(&error);
                self.readers.pause(&error);
                if last.is_empty() {
                    last.extend(self.refuse(&error));
                }
            }
        }
        last.into_iter().chain(self.mailbox.end()).for_each(Job::refuse_closed);
    }

    /// Works until it is told to close, or until nobody is left to ask for anything.
    fn serve(&mut self, store: &dyn Store, report: &Report) -> Option<Job> {
        loop {
            let mut urgent = Vec::new();
            let mut flushes = Vec::new();
            let mut size = 0;
            let mut close = None;
            let mut next = match self.mailbox.jobs().recv_timeout(self.patience()) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            };
            while let Some(job) = next.take() {
                match job {
                    Job::Ready(reply) => reply(Ok(report.clone())),
                    Job::Commit(batch) => {
                        size += batch.changes.len();
                        urgent.push(batch);
                    }
                    Job::Defer(batch) => {
                        self.deferred_since.get_or_insert_with(Instant::now);
                        self.deferred.push(batch);
                    }
                    Job::Journaled => {
                        self.journaled_since.get_or_insert_with(Instant::now);
                    }
                    Job::Flush(reply) => {
                        flushes.push(reply);
                        break;
                    }
                    Job::Close(_) => {
                        close = Some(job);
                        break;
                    }
                }
                if size < MAX_GROUP {
                    next = self.mailbox.jobs().try_recv().ok();
                }
            }
            let is_flushed = !flushes.is_empty();
            let deferred_due = is_flushed || self.deferred_since.is_some_and(|since| since.elapsed() >= DEFERRED_AGE);
            if !urgent.is_empty() || deferred_due {
                // What was given back comes before what is asked for: it may be just those units.
                let mut batches = std::mem::take(&mut self.deferred);
                batches.append(&mut urgent);
                self.deferred_since = None;
                self.commit(store, batches);
            }
            let recorded =
                if is_flushed || self.is_journaled_due() { self.commit_journaled(store, is_flushed) } else { Ok(()) };
            for reply in flushes {
                reply(recorded.clone());
            }
            if self.polled_at.elapsed() >= REVISION_POLL {
                self.polled_at = Instant::now();
                self.poll(store);
            }
            if close.is_some() {
                return close;
            }
        }
    }

    /// Does what the readers asked for at last, and what follows from that. Answers what is left for the very end.
    fn finish(&mut self, store: &dyn Store, drain: &dyn Fn()) -> Vec<Job> {
        let mut last = Vec::new();
        loop {
            drain();
            let mut urgent = std::mem::take(&mut self.deferred);
            let mut has_more = false;
            for job in self.mailbox.clone().jobs().try_iter() {
                match job {
                    Job::Commit(batch) | Job::Defer(batch) => urgent.push(batch),
                    Job::Journaled => has_more = true,
                    other => last.push(other),
                }
            }
            if urgent.is_empty() && !has_more {
                return last;
            }
            self.commit(store, urgent);
        }
    }

    fn patience(&self) -> Duration {
        if self.is_journaled_due() {
            return Duration::ZERO;
        }
        let until = |since: Option<Instant>, age: Duration| since.map(|since| age.saturating_sub(since.elapsed()));
        let journaled = match self.paused_until {
            Some(until) => self.journaled_since.map(|_| until.saturating_duration_since(Instant::now())),
            None => until(self.journaled_since, JOURNALED_AGE),
        };
        let deferred = until(self.deferred_since, DEFERRED_AGE);
        let poll = REVISION_POLL.saturating_sub(self.polled_at.elapsed());
        journaled.into_iter().chain(deferred).fold(poll, Duration::min)
    }

    fn arriving(&self) -> MutexGuard<'_, Vec<Journaled>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_journaled_due(&self) -> bool {
        match self.paused_until {
            Some(until) => Instant::now() >= until,
            None => {
                self.journaled.len() + self.arriving().len() >= self.group_size.load(Ordering::Relaxed)
                    || self.journaled_since.is_some_and(|since| since.elapsed() >= JOURNALED_AGE)
            }
        }
    }

    fn commit(&self, store: &dyn Store, mut batches: Vec<Batch>) {
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.changes.len()).collect();
        let group: Vec<Change> = batches.iter_mut().flat_map(|batch| batch.changes.drain(..)).collect();
        let (outcomes, failure) = self.commit_group(store, &group);
        self.waiting.fetch_sub(group.len(), Ordering::Relaxed);
        answer(batches, &sizes, outcomes.into_iter(), failure.as_ref());
    }

    /// Commits one group of what is journaled, or all of it.
    fn commit_journaled(&mut self, store: &dyn Store, all: bool) -> Result<()> {
        self.paused_until = None;
        let arrived = std::mem::take(&mut *self.arriving());
        self.journaled.extend(arrived);
        while !self.journaled.is_empty() {
            let size = self.journaled.len().min(self.group_size.load(Ordering::Relaxed));
            let mut deferred = std::mem::take(&mut self.deferred);
            self.deferred_since = None;
            let sizes: Vec<usize> = deferred.iter().map(|batch| batch.changes.len()).collect();
            let (records, starts): (Vec<Change>, Vec<Timestamp>) =
                self.journaled.drain(..size).map(|entry| (Change::Record(entry.record), entry.period_start)).unzip();
            let others = deferred.iter_mut().flat_map(|batch| batch.changes.drain(..));
            let group: Vec<Change> = records.into_iter().chain(others).collect();
            let (mut outcomes, failure) = self.commit_group(store, &group);
            let mut entries: VecDeque<Journaled> = journaled(group, starts).collect();
            let recorded: Vec<Outcome> = outcomes.drain(..size.min(outcomes.len())).collect();
            self.waiting.fetch_sub(recorded.len() + sizes.iter().sum::<usize>(), Ordering::Relaxed);
            self.shared.recorded(entries.drain(..recorded.len()).zip(recorded));
            answer(deferred, &sizes, outcomes.into_iter(), failure.as_ref());
            if let Some(error) = failure {
                for entry in entries.into_iter().rev() {
                    self.journaled.push_front(entry);
                }
                self.paused_until = Some(Instant::now() + RETRY_PAUSE);
                return Err(error);
            }
            if !all {
                break;
            }
        }
        self.journaled_since = (!self.journaled.is_empty()).then(Instant::now);
        Ok(())
    }

    /// Answers with the outcomes of what was committed, and why that is not all.
    fn commit_group(&self, store: &dyn Store, group: &[Change]) -> (Vec<Outcome>, Option<Error>) {
        if group.is_empty() {
            return (Vec::new(), None);
        }
        let Progress { revision, outcomes, reached, failure } = isolation::commit(store, group);
        match &failure {
            Some(error) => self.shared.health.failed(error),
            None => self.shared.health.works(),
        }
        if let Some(revision) = revision
            && let Err(error) = self.shared.observe(store, revision)
        {
            // The changes are safe; the caches catch up with the next commit or poll.
            tracing::warn!(%error, "the catalog could not be read again");
        }
        self.shared.tell(reached);
        (outcomes, failure)
    }

    /// Asks whether somebody else has changed something, and whether a store that failed works again.
    fn poll(&self, store: &dyn Store) {
        if self.shared.health.is_worth_trying() && self.journaled.is_empty() {
            self.shared.health.committed(&guarded(|| store.commit(&[])));
        }
        let observed = guarded(|| store.revision().and_then(|revision| self.shared.observe(store, revision)));
        if let Err(error) = observed {
            self.shared.health.failed(&error);
        }
    }

    /// Answers everything with why the store could not be opened, for a while or until told to close.
    fn refuse_for(&self, pause: Duration, why: &Error) -> Option<Job> {
        let until = Instant::now() + pause;
        while let Ok(job) = self.mailbox.jobs().recv_deadline(until) {
            if matches!(job, Job::Close(_)) {
                return Some(job);
            }
            self.refuse_job(job, why);
        }
        None
    }

    fn refuse_job(&self, job: Job, why: &Error) {
        if let Job::Commit(batch) | Job::Defer(batch) = &job {
            self.waiting.fetch_sub(batch.changes.len(), Ordering::Relaxed);
        }
        job.refuse(why);
    }

    /// Answers everything with why the store could not be opened, until told to close.
    fn refuse(&self, why: &Error) -> Option<Job> {
        for job in self.mailbox.jobs() {
            if matches!(job, Job::Close(_)) {
                return Some(job);
            }
            self.refuse_job(job, why);
        }
        None
    }
}

/// Gives each batch its outcomes. Where there are none any more it failed as a whole; one that was committed in part learns
/// that of each change.
fn answer(batches: Vec<Batch>, sizes: &[usize], mut outcomes: impl Iterator<Item = Outcome>, failure: Option<&Error>) {
    for (batch, size) in batches.into_iter().zip(sizes) {
        let mut own: Vec<Outcome> = outcomes.by_ref().take(*size).collect();
        match failure {
            Some(error) if own.is_empty() && *size > 0 => batch.answer(Err(error.clone())),
            failure => {
                own.extend(failure.into_iter().cycle().take(size - own.len()).cloned().map(Err));
                batch.answer(Ok(own));
            }
        }
    }
}

/// The journaled events that a group begins with.
fn journaled(group: Vec<Change>, starts: Vec<Timestamp>) -> impl Iterator<Item = Journaled> {
    let records: Vec<Record> = group
        .into_iter()
        .map_while(|change| if let Change::Record(record) = change { Some(record) } else { None })
        .collect();
    records.into_iter().zip(starts).map(|(record, period_start)| Journaled { record, period_start })
}

/// A panic is a bug of ours; it must not take the thread with it and leave everyone waiting.
pub fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(Code::Internal, "a bug in Weighbridge; nothing was changed")))
}

/// What is done with an answer must not take down the thread that gave it: others wait for it too.
pub fn contained(body: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        tracing::error!("a bug in Weighbridge: what was to follow an answer was not done");
    }
}

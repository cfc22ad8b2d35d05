//! The thread that writes: it takes whatever waits, commits it as one group, and answers.
//!
//! It never lingers for a group to fill: while one group is being committed the next one gathers by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::readers::Readers;
use super::takeover::TakeoverReport;
use super::{Reply, Shared};
use crate::store::{Change, Outcome, Store};
use crate::{Code, Error, Result};

/// The most changes in one transaction, unless a single batch is larger.
const MAX_GROUP: usize = 4_096;
/// The most changes that may wait: some hundred megabytes.
const MAX_WAITING: usize = 262_144;
/// How often to ask whether another process has changed keys, customers or tiers, when there is nothing to commit.
const REVISION_POLL: Duration = Duration::from_millis(250);

pub struct Recorder {
    jobs: Sender<Job>,
    /// The worker's queue, to answer what is left in it when the worker has ended.
    queue: Receiver<Job>,
    ended: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
}

enum Job {
    Commit(Batch),
    Ready(Reply<TakeoverReport>),
    Close(Reply<()>),
}

/// Changes that are asked for and answered together.
struct Batch {
    changes: Vec<Change>,
    reply: Reply<Vec<Outcome>>,
}

type Open = (Arc<dyn Store>, TakeoverReport);

pub fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name)
        .spawn(body)
        .map_err(|error| Error::new(Code::StoreUnavailable, format!("no thread could be started: {error}")))
}

impl Recorder {
    pub fn start(
        shared: Arc<Shared>,
        readers: Readers,
        open: impl FnOnce() -> Result<Open> + Send + 'static,
    ) -> Result<Self> {
        let (jobs, queue) = unbounded();
        let (ended, waiting) = (Arc::default(), Arc::default());
        let recorder = Self { jobs, queue, ended, waiting };
        let worker = Worker {
            jobs: recorder.queue.clone(),
            ended: Arc::clone(&recorder.ended),
            waiting: Arc::clone(&recorder.waiting),
            shared,
            readers,
        };
        spawn("weighbridge-recorder".to_owned(), move || worker.run(open))?;
        Ok(recorder)
    }

    pub fn ready(&self, reply: Reply<TakeoverReport>) {
        self.submit(Job::Ready(reply));
    }

    pub fn commit(&self, changes: Vec<Change>, reply: Reply<Vec<Outcome>>) {
        let size = changes.len();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            let message = format!("more than {MAX_WAITING} changes wait for the store; slow down and try again");
            return reply(Err(Error::new(Code::Overloaded, message)));
        }
        self.submit(Job::Commit(Batch { changes, reply }));
    }

    pub fn close(&self, reply: Reply<()>) {
        self.submit(Job::Close(reply));
    }

    /// A job is sent first and the worker's end looked for second; the worker ends first and empties its queue second. So
    /// one of the two finds the job, and it is answered.
    fn submit(&self, job: Job) {
        // Cannot fail while `self.queue` lives.
        drop(self.jobs.send(job));
        if self.ended.load(Ordering::SeqCst) {
            self.queue.try_iter().for_each(Job::refuse_closed);
        }
    }
}

impl Job {
    fn refuse(self, why: &Error) {
        match self {
            Job::Commit(batch) => (batch.reply)(Err(why.clone())),
            Job::Ready(reply) => reply(Err(why.clone())),
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
    jobs: Receiver<Job>,
    ended: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    readers: Readers,
}

impl Worker {
    fn run(self, open: impl FnOnce() -> Result<Open>) {
        let opened = guarded(open).and_then(|(store, report)| {
            self.shared.observe(store.as_ref(), store.revision()?)?;
            Ok((self.readers.start(&store)?, store, report))
        });
        // What is answered when all is done and the store is closed.
        let mut last = Vec::new();
        match opened {
            Ok((threads, store, report)) => {
                last.extend(self.serve(store.as_ref(), &report));
                self.readers.stop(&closed());
                for thread in threads {
                    // A reader that panicked has nothing left to wait for.
                    let _ = thread.join();
                }
                // What the readers asked for at last.
                let mut batches = Vec::new();
                for job in self.jobs.try_iter() {
                    match job {
                        Job::Commit(batch) => batches.push(batch),
                        other => last.push(other),
                    }
                }
                self.commit(store.as_ref(), batches);
            }
            Err(error) => {
                self.readers.refuse(&error);
                last.extend(self.refuse(&error));
            }
        }
        self.ended.store(true, Ordering::SeqCst);
        last.into_iter().chain(self.jobs.try_iter()).for_each(Job::refuse_closed);
    }

    /// Works until it is told to close, or until nobody is left to ask for anything.
    fn serve(&self, store: &dyn Store, report: &TakeoverReport) -> Option<Job> {
        loop {
            let mut batches = Vec::new();
            let mut size = 0;
            let mut close = None;
            let mut next = match self.jobs.recv_timeout(REVISION_POLL) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => {
                    self.poll_revision(store);
                    None
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            };
            while let Some(job) = next.take() {
                match job {
                    Job::Ready(reply) => reply(Ok(report.clone())),
                    Job::Commit(batch) => {
                        size += batch.changes.len();
                        batches.push(batch);
                    }
                    Job::Close(_) => {
                        close = Some(job);
                        break;
                    }
                }
                if size < MAX_GROUP {
                    next = self.jobs.try_recv().ok();
                }
            }
            self.commit(store, batches);
            if close.is_some() {
                return close;
            }
        }
    }

    fn commit(&self, store: &dyn Store, mut batches: Vec<Batch>) {
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.changes.len()).collect();
        let group: Vec<Change> = batches.iter_mut().flat_map(|batch| batch.changes.drain(..)).collect();
        let outcomes = self.commit_group(store, &group);
        self.waiting.fetch_sub(group.len(), Ordering::Relaxed);
        match outcomes {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (batch, size) in batches.into_iter().zip(sizes) {
                    (batch.reply)(Ok(outcomes.by_ref().take(size).collect()));
                }
            }
            Err(error) => batches.into_iter().for_each(|batch| (batch.reply)(Err(error.clone()))),
        }
    }

    fn commit_group(&self, store: &dyn Store, group: &[Change]) -> Result<Vec<Outcome>> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let committed = guarded(|| store.commit(group))?;
        if let Err(error) = self.shared.observe(store, committed.revision) {
            // The changes are safe; the caches catch up with the next commit or poll.
            tracing::warn!(%error, "the catalog could not be read again");
        }
        Ok(committed.outcomes)
    }

    fn poll_revision(&self, store: &dyn Store) {
        let observed = guarded(|| store.revision().and_then(|revision| self.shared.observe(store, revision)));
        if let Err(error) = observed {
            tracing::warn!(%error, "the store could not be asked for its revision");
        }
    }

    /// Answers everything with why the store could not be opened, until told to close.
    fn refuse(&self, why: &Error) -> Option<Job> {
        for job in &self.jobs {
            if matches!(job, Job::Close(_)) {
                return Some(job);
            }
            job.refuse(why);
        }
        None
    }
}

/// A panic is a bug of ours; it must not take the thread with it and leave everyone waiting.
pub fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(Code::Internal, "a bug in Weighbridge; nothing was changed")))
}

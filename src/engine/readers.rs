//! The threads that read, so that no request waits for a report: whose key it is and what is recalled is asked by threads of
//! their own. So is the outbox, whose sender writes, too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::store::Store;
use crate::{Error, Result};

/// For each kind of reads, and for the outbox.
const THREADS: usize = 2;
const OUTBOX_THREADS: usize = 1;

/// A read; it is told of the error where the store could not be opened.
pub type Job = Box<dyn FnOnce(Result<&dyn Store>) + Send>;

/// The reads that wait, and the threads that work them off once the store is open.
#[derive(Clone, Default)]
pub struct Readers {
    /// Requests wait for these.
    first: Queue,
    reports: Queue,
    outbox: Queue,
}

impl Readers {
    /// A report, or anything else that may take long.
    pub fn submit(&self, job: Job) {
        self.reports.submit(job);
    }

    /// Something short that a request waits for.
    pub fn submit_first(&self, job: Job) {
        self.first.submit(job);
    }

    /// What a sender has to do.
    pub fn submit_outbox(&self, job: Job) {
        self.outbox.submit(job);
    }

    pub fn start(&self, store: &Arc<dyn Store>) -> Result<Vec<JoinHandle<()>>> {
        let mut threads = self.first.start("weighbridge-lookup", THREADS, store)?;
        threads.extend(self.reports.start("weighbridge-report", THREADS, store)?);
        threads.extend(self.outbox.start("weighbridge-outbox", OUTBOX_THREADS, store)?);
        Ok(threads)
    }

    /// Takes no more reads for now, and answers those that wait with an error.
    pub fn pause(&self, why: &Error) {
        self.queues().for_each(|queue| queue.pause(why));
    }

    pub fn resume(&self) {
        self.queues().for_each(Queue::resume);
    }

    /// Takes no more reads; the threads end when they have done those they were given.
    pub fn stop(&self, why: &Error) {
        self.queues().for_each(|queue| queue.stop(why));
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        [&self.first, &self.reports, &self.outbox].into_iter()
    }
}

#[derive(Clone)]
struct Queue {
    entrance: Arc<Mutex<Entrance>>,
    jobs: Receiver<Job>,
}

struct Entrance {
    /// Why no reads are taken now.
    refusal: Option<Error>,
    /// The threads end when it is gone.
    sender: Option<Sender<Job>>,
}

impl Default for Queue {
    fn default() -> Self {
        let (sender, jobs) = unbounded();
        Self { entrance: Arc::new(Mutex::new(Entrance { refusal: None, sender: Some(sender) })), jobs }
    }
}

impl Queue {
    fn submit(&self, job: Job) {
        let entrance = self.entrance();
        let refusal = match (&entrance.refusal, &entrance.sender) {
            (None, Some(sender)) => {
                // Cannot fail while `self.jobs` lives.
                drop(sender.send(job));
                return;
            }
            (Some(error), _) => error.clone(),
            (None, None) => super::recorder::closed(),
        };
        drop(entrance);
        job(Err(refusal));
    }

    fn start(&self, name: &str, threads: usize, store: &Arc<dyn Store>) -> Result<Vec<JoinHandle<()>>> {
        (1..=threads)
            .map(|number| {
                let (jobs, store) = (self.jobs.clone(), Arc::clone(store));
                super::recorder::spawn(format!("{name}-{number}"), move || {
                    for job in jobs {
                        super::recorder::contained(|| job(Ok(store.as_ref())));
                    }
                })
            })
            .collect()
    }

    fn pause(&self, why: &Error) {
        self.entrance().refusal = Some(why.clone());
        self.jobs.try_iter().for_each(|job| job(Err(why.clone())));
    }

    fn resume(&self) {
        self.entrance().refusal = None;
    }

    fn stop(&self, why: &Error) {
        *self.entrance() = Entrance { refusal: Some(why.clone()), sender: None };
    }

    fn entrance(&self) -> MutexGuard<'_, Entrance> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The threads that read, so that a report does not keep a request waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::store::Store;
use crate::{Error, Result};

const THREADS: usize = 2;

/// A read; it is told of the error where the store could not be opened.
pub type Job = Box<dyn FnOnce(Result<&dyn Store>) + Send>;

/// A queue of reads, and the threads that work it off once the store is open.
#[derive(Clone)]
pub struct Readers {
    entrance: Arc<Mutex<Entrance>>,
    jobs: Receiver<Job>,
}

struct Entrance {
    /// Why no reads are taken now.
    refusal: Option<Error>,
    /// The threads end when it is gone.
    sender: Option<Sender<Job>>,
}

impl Default for Readers {
    fn default() -> Self {
        let (sender, jobs) = unbounded();
        Self { entrance: Arc::new(Mutex::new(Entrance { refusal: None, sender: Some(sender) })), jobs }
    }
}

impl Readers {
    pub fn submit(&self, job: Job) {
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

    pub fn start(&self, store: &Arc<dyn Store>) -> Result<Vec<JoinHandle<()>>> {
        (1..=THREADS)
            .map(|number| {
                let (jobs, store) = (self.jobs.clone(), Arc::clone(store));
                super::recorder::spawn(format!("weighbridge-reader-{number}"), move || {
                    for job in jobs {
                        job(Ok(store.as_ref()));
                    }
                })
            })
            .collect()
    }

    /// Takes no more reads for now, and answers those that wait with an error.
    pub fn pause(&self, why: &Error) {
        self.entrance().refusal = Some(why.clone());
        self.jobs.try_iter().for_each(|job| job(Err(why.clone())));
    }

    pub fn resume(&self) {
        self.entrance().refusal = None;
    }

    /// Takes no more reads; the threads end when they have done those they were given.
    pub fn stop(&self, why: &Error) {
        *self.entrance() = Entrance { refusal: Some(why.clone()), sender: None };
    }

    fn entrance(&self) -> MutexGuard<'_, Entrance> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The threads that read, so that a report does not keep a request waiting.

use std::sync::{Arc, Mutex, PoisonError};
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
    /// Or why no more reads are taken.
    sender: Arc<Mutex<Result<Sender<Job>>>>,
    receiver: Receiver<Job>,
}

impl Default for Readers {
    fn default() -> Self {
        let (sender, receiver) = unbounded();
        Self { sender: Arc::new(Mutex::new(Ok(sender))), receiver }
    }
}

impl Readers {
    pub fn submit(&self, job: Job) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match sender {
            // Cannot fail while `self.receiver` lives.
            Ok(sender) => drop(sender.send(job)),
            Err(error) => job(Err(error)),
        }
    }

    pub fn start(&self, store: &Arc<dyn Store>) -> Result<Vec<JoinHandle<()>>> {
        (1..=THREADS)
            .map(|number| {
                let (jobs, store) = (self.receiver.clone(), Arc::clone(store));
                super::recorder::spawn(format!("weighbridge-reader-{number}"), move || {
                    for job in jobs {
                        job(Ok(store.as_ref()));
                    }
                })
            })
            .collect()
    }

    /// Takes no more reads; the threads end when they have done those they were given.
    pub fn stop(&self, why: &Error) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Err(why.clone());
    }

    /// Answers the waiting reads with an error, where there are no threads to do them.
    pub fn refuse(&self, why: &Error) {
        self.stop(why);
        // Ends when the last one who was about to submit a read has done so.
        self.receiver.iter().for_each(|job| job(Err(why.clone())));
    }
}

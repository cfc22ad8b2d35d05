//! A queue to a thread that ends while others may still send: no job is forgotten in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TryIter, unbounded};

pub struct Mailbox<T> {
    sender: Sender<T>,
    jobs: Receiver<T>,
    has_ended: Arc<AtomicBool>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), jobs: self.jobs.clone(), has_ended: Arc::clone(&self.has_ended) }
    }
}

impl<T> Mailbox<T> {
    pub fn new() -> Self {
        let (sender, jobs) = unbounded();
        Self { sender, jobs, has_ended: Arc::default() }
    }

    /// What the thread works off.
    pub fn jobs(&self) -> &Receiver<T> {
        &self.jobs
    }

    /// Sends a job. Answers with those that nobody will do: the thread has ended, and the caller must see to them.
    ///
    /// A job is sent first and the thread's end looked for second; the thread ends first and looks for jobs second. So one
    /// of the two finds it.
    pub fn send(&self, job: T) -> impl Iterator<Item = T> {
        // Cannot fail while `self.jobs` lives.
        drop(self.sender.send(job));
        self.has_ended.load(Ordering::SeqCst).then(|| self.jobs.try_iter()).into_iter().flatten()
    }

    /// The thread ends. Answers with what it has not done.
    pub fn end(&self) -> TryIter<'_, T> {
        self.has_ended.store(true, Ordering::SeqCst);
        self.jobs.try_iter()
    }
}

//! The thread that keeps deadlines, asks again for units that others hold, and hands back what they want.
//!
//! It never touches the store, so nothing that the store does can make it late. With nothing to do it sleeps.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::Engine;
use super::recorder::spawn;
use crate::Result;

/// While something is to be done.
const TICK: Duration = Duration::from_millis(10);

/// What happens when a deadline has passed.
pub type Expiry = Box<dyn FnOnce() + Send>;

enum Job {
    Expire(Instant, Expiry),
    /// Units were leased, or somebody waits.
    Wake,
}

pub struct Ticker {
    jobs: Sender<Job>,
    queue: Receiver<Job>,
}

impl Ticker {
    pub fn new() -> Self {
        let (jobs, queue) = unbounded();
        Self { jobs, queue }
    }

    pub fn start(&self, engine: Weak<Engine>) -> Result<()> {
        let jobs = self.queue.clone();
        spawn("weighbridge-ticker".to_owned(), move || run(&jobs, &engine)).map(drop)
    }

    pub fn expire(&self, at: Instant, expiry: Expiry) {
        // Cannot fail while `self.queue` lives.
        drop(self.jobs.send(Job::Expire(at, expiry)));
    }

    pub fn wake(&self) {
        drop(self.jobs.send(Job::Wake));
    }
}

fn run(jobs: &Receiver<Job>, engine: &Weak<Engine>) {
    let mut deadlines: BTreeMap<(Instant, u64), Expiry> = BTreeMap::new();
    let mut number = 0_u64;
    let mut is_busy = false;
    let mut ticks = 0_u64;
    let mut ticked_at = Instant::now();
    loop {
        let job = if is_busy || !deadlines.is_empty() {
            let next = deadlines.first_key_value().map(|((at, _), _)| at.saturating_duration_since(Instant::now()));
            jobs.recv_timeout(next.unwrap_or(TICK).min(TICK))
        } else {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match job {
            Ok(Job::Expire(at, expiry)) => {
                number += 1;
                deadlines.insert((at, number), expiry);
            }
            Ok(Job::Wake) => is_busy = true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(deadline) = deadlines.first_entry().filter(|deadline| deadline.key().0 <= now) {
            deadline.remove()();
        }
        if is_busy && now.duration_since(ticked_at) >= TICK {
            let Some(engine) = engine.upgrade() else { return };
            ticked_at = now;
            ticks += 1;
            is_busy = engine.tick(ticks);
        }
    }
}

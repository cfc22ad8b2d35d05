//! The thread that keeps deadlines, asks again for units that others hold, and hands back what they want.
//!
//! It never touches the store, so nothing that the store does can make it late. With nothing to do it sleeps.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Engine;
use super::mailbox::Mailbox;
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
    /// There is nothing more to be done once the last deadline has passed.
    End,
}

impl Job {
    /// The thread has ended; what it was to wait for will not come.
    fn finish(self) {
        if let Job::Expire(_, expiry) = self {
            expiry();
        }
    }
}

pub struct Ticker(Mailbox<Job>);

impl Ticker {
    pub fn new() -> Self {
        Self(Mailbox::new())
    }

    pub fn start(&self, engine: Weak<Engine>) -> Result<()> {
        let mailbox = self.0.clone();
        spawn("weighbridge-ticker".to_owned(), move || {
            run(mailbox.jobs(), &engine);
            mailbox.end().for_each(Job::finish);
        })
        .map(drop)
    }

    pub fn expire(&self, at: Instant, expiry: Expiry) {
        self.0.send(Job::Expire(at, expiry)).for_each(Job::finish);
    }

    pub fn wake(&self) {
        self.0.send(Job::Wake).for_each(Job::finish);
    }

    /// Ends the thread.
    pub fn end(&self) -> impl FnOnce() + Send + 'static {
        let mailbox = self.0.clone();
        move || mailbox.send(Job::End).for_each(Job::finish)
    }
}

fn run(jobs: &Receiver<Job>, engine: &Weak<Engine>) {
    let mut deadlines: BTreeMap<(Instant, u64), Expiry> = BTreeMap::new();
    let mut number = 0_u64;
    let (mut is_busy, mut is_ending) = (false, false);
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
            Ok(Job::End) => is_ending = true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(deadline) = deadlines.first_entry().filter(|deadline| deadline.key().0 <= now) {
            deadline.remove()();
        }
        if is_ending && deadlines.is_empty() {
            return;
        }
        if is_busy && now.duration_since(ticked_at) >= TICK {
            let Some(engine) = engine.upgrade() else { return };
            ticked_at = now;
            ticks += 1;
            is_busy = engine.tick(ticks);
        }
    }
}

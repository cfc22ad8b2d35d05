//! What time it is. The caller's clock says so now and then; in between the machine's monotonic clock goes on. So a clock
//! that somebody moves by hand moves the sender too, and one that stands still does not keep it from trying again.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::domain::Timestamp;

pub struct Pulse(Mutex<Beat>);

struct Beat {
    told: Timestamp,
    at: Instant,
}

impl Pulse {
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Beat { told: now, at: Instant::now() }))
    }

    /// The clock says so. Time does not go back.
    pub fn tell(&self, now: Timestamp) {
        if now > self.now() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Beat { told: now, at: Instant::now() };
        }
    }

    pub fn now(&self) -> Timestamp {
        let beat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beat.told.plus_millis(i64::try_from(beat.at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

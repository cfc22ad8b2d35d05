//! Something that is owed to somebody, and handed over once: by whoever comes first, the answer or the deadline.

use std::sync::{Arc, Mutex, PoisonError};

pub struct Owed<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Owed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Owed<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn is_owed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

//! Asking the store something from a thread that must not wait for it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::store::Store;
use crate::{Code, Error, Result};

/// Something to do with the store, on a thread that may wait for it; told why where it cannot be had.
pub type StoreJob = Box<dyn FnOnce(Result<&dyn Store>) + Send>;
/// Who brings jobs to the store.
pub type StoreAccess = Arc<dyn Fn(StoreJob) + Send + Sync>;

/// The future holds nothing of the access, so that it may wait on any thread.
pub fn ask<T, F>(access: &StoreAccess, question: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(&dyn Store) -> Result<T> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    access(Box::new(move |store| {
        // Nobody waits any more where this fails.
        drop(answer.send(store.and_then(question)));
    }));
    async move { answered.await.unwrap_or_else(|_| Err(Error::new(Code::Internal, "the store gave no answer"))) }
}

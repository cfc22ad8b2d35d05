//! The thread on which calls run, started by the first one.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

use super::Result;
use crate::{Code, Error};

/// A tokio runtime that exists from its first use on. It may be dropped on any thread, also on its own.
#[derive(Debug, Default)]
pub struct LazyRuntime(Mutex<Option<Runtime>>);

impl LazyRuntime {
    /// Runs `call`, then `done` with its result: once, on the runtime's thread. If the thread cannot be started, `done`
    /// is told so right here.
    pub fn spawn<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let handle = match self.handle() {
            Ok(handle) => handle,
            Err(error) => return done(Err(error.into())),
        };
        // A task of its own, since tokio catches a task's panic and tells whoever waits for it.
        let task = handle.spawn(call);
        handle.spawn(async move {
            done(task.await.unwrap_or_else(|error| {
                Err(Error::new(Code::Internal, format!("A call to Stripe ended early, which is a bug: {error}")).into())
            }));
        });
    }

    fn handle(&self) -> crate::Result<Handle> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*slot {
            return Ok(runtime.handle().clone());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("weighbridge-stripe")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::Internal, format!("Stripe's thread could not be started: {error}")))?;
        Ok(slot.insert(runtime).handle().clone())
    }
}

impl Drop for LazyRuntime {
    fn drop(&mut self) {
        let slot = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = slot.take() {
            // Merely dropping it would wait for its threads, and panic on one of them.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{Arc, mpsc},
    };

    use super::*;

    #[test]
    fn the_thread_starts_with_the_first_call() {
        let runtime = LazyRuntime::default();
        assert!(runtime.0.lock().unwrap().is_none());
        let (sender, receiver) = mpsc::channel();
        let name = async { Ok(std::thread::current().name().map(str::to_owned)) };
        runtime.spawn(name, move |result| sender.send(result).unwrap());
        assert_eq!(receiver.recv().unwrap().unwrap().as_deref(), Some("weighbridge-stripe"));
        assert!(runtime.0.lock().unwrap().is_some());
    }

    #[test]
    fn its_own_thread_may_drop_it() {
        let runtime = Arc::new(LazyRuntime::default());
        let (sender, receiver) = mpsc::channel();
        let last = runtime.clone();
        let (release, released) = mpsc::channel::<()>();
        runtime.spawn(async { Ok(()) }, move |_| {
            released.recv().unwrap();
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(Arc::into_inner(last))));
            sender.send(dropped.is_ok()).unwrap();
        });
        drop(runtime);
        release.send(()).unwrap();
        assert!(receiver.recv().unwrap());
    }

    #[test]
    fn dropping_it_waits_for_no_call() {
        let runtime = LazyRuntime::default();
        runtime.spawn(pending(), |_: Result<()>| ());
        drop(runtime);
    }
}

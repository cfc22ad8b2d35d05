//! Answers on their way to JavaScript. The only unsafe code of the crate is here.
//!
//! Answers gather in a list; the first one into an empty list wakes JavaScript, which takes them all. The threadsafe
//! function is weak: it does not keep the process alive. `lib/tickets.ts` does that while answers are owed.
#![allow(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{FnArgs, Function, ToNapiValue, Undefined};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Status, sys};
use napi_derive::napi;

use crate::Error;
use crate::engine::Reply;

/// Called with `[ticket, ticket, …]`, whose events are written, and `[ticket, error, value, ticket, error, value, …]`.
pub type Deliver<'a> = Function<'a, Arguments, Undefined>;
type Arguments = FnArgs<(Vec<f64>, Batch)>;
type Wake = ThreadsafeFunction<(), Undefined, Arguments, Status, false, true>;

/// No ticket has this number.
const UNASKED: f64 = 0.0;

/// What JavaScript is told of an error.
#[napi(object)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code.as_str().to_owned(), message: error.message }
    }
}

#[derive(Clone)]
pub struct Deliveries {
    waiting: Arc<Mutex<Waiting>>,
    wake: Arc<Wake>,
}

#[derive(Default)]
struct Waiting {
    written: Vec<f64>,
    others: Vec<Delivery>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.written.is_empty() && self.others.is_empty()
    }
}

struct Delivery {
    ticket: f64,
    outcome: Result<IntoJs, Failure>,
}

/// Makes a JavaScript value, on the JavaScript thread.
type IntoJs = Box<dyn FnOnce(sys::napi_env) -> napi::Result<sys::napi_value> + Send>;

impl Deliveries {
    pub fn new(deliver: &Deliver<'_>) -> napi::Result<Self> {
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let taken = Arc::clone(&waiting);
        let wake = deliver.build_threadsafe_function::<()>().weak::<true>().build_callback(move |_| {
            let Waiting { written, others } = take(&taken);
            Ok(FnArgs { data: (written, Batch(others)) })
        })?;
        Ok(Self { waiting, wake: Arc::new(wake) })
    }

    /// A reply that delivers its value, converted, under a ticket.
    pub fn reply<T, V>(&self, ticket: f64, convert: impl FnOnce(T) -> V + Send + 'static) -> Reply<T>
    where
        T: Send + 'static,
        V: ToNapiValue + Send + 'static,
    {
        self.reply_or_fail(ticket, move |value| Ok(convert(value)))
    }

    /// The same where the conversion can fail.
    pub fn reply_or_fail<T, V>(
        &self,
        ticket: f64,
        convert: impl FnOnce(T) -> crate::Result<V> + Send + 'static,
    ) -> Reply<T>
    where
        T: Send + 'static,
        V: ToNapiValue + Send + 'static,
    {
        let deliveries = self.clone();
        Box::new(move |outcome| deliveries.send(ticket, outcome.and_then(convert).map_err(Failure::from)))
    }

    /// What was admitted under a ticket is written, or could not be.
    pub fn written(&self, ticket: f64, written: crate::Result<()>) {
        match written {
            Ok(()) => self.push(|waiting| waiting.written.push(ticket)),
            Err(error) => self.send::<()>(ticket, Err(error.into())),
        }
    }

    /// Delivers something that nobody has asked for.
    pub fn notify<V: ToNapiValue + Send + 'static>(&self, notice: V) {
        self.send(UNASKED, Ok(notice));
    }

    fn send<V: ToNapiValue + Send + 'static>(&self, ticket: f64, outcome: Result<V, Failure>) {
        // SAFETY: `Batch::to_napi_value` calls this with the environment that is asking for the value.
        let into_js = |value: V| -> IntoJs { Box::new(|env| unsafe { V::to_napi_value(env, value) }) };
        self.push(|waiting| waiting.others.push(Delivery { ticket, outcome: outcome.map(into_js) }));
    }

    fn push(&self, push: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = waiting.is_empty();
        push(&mut waiting);
        if is_first {
            drop(waiting);
            // Fails only where the environment is being torn down; then nobody waits any more.
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

fn take(waiting: &Mutex<Waiting>) -> Waiting {
    std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner))
}

pub struct Batch(Vec<Delivery>);

impl ToNapiValue for Batch {
    unsafe fn to_napi_value(env: sys::napi_env, batch: Self) -> napi::Result<sys::napi_value> {
        let mut values = Vec::with_capacity(batch.0.len() * 3);
        for Delivery { ticket, outcome } in batch.0 {
            // SAFETY: `env` is the caller's.
            unsafe {
                values.push(Raw(f64::to_napi_value(env, ticket)?));
                match outcome.and_then(|into_js| into_js(env).map_err(|error| unconvertible(&error))) {
                    Ok(value) => values.extend([Raw(<()>::to_napi_value(env, ())?), Raw(value)]),
                    Err(failure) => {
                        values.extend([Raw(Failure::to_napi_value(env, failure)?), Raw(<()>::to_napi_value(env, ())?)]);
                    }
                }
            }
        }
        // SAFETY: `env` is the caller's.
        unsafe { Vec::to_napi_value(env, values) }
    }
}

/// A value that is JavaScript's already.
struct Raw(sys::napi_value);

impl ToNapiValue for Raw {
    unsafe fn to_napi_value(_: sys::napi_env, raw: Self) -> napi::Result<sys::napi_value> {
        Ok(raw.0)
    }
}

fn unconvertible(error: &napi::Error) -> Failure {
    Error::new(crate::Code::Internal, format!("the answer could not be handed to JavaScript: {error}")).into()
}

//! Calls on the service's own thread, as the binding makes them.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use weighbridge::{
    Code,
    domain::Timestamp,
    stripe::{CallOptions, ClientOptions, Failure, StripeService},
};

use crate::recorder::{Recorder, SECRET, json};

fn service() -> Arc<StripeService> {
    Arc::new(StripeService::new(ClientOptions::new(SECRET)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_answers_on_the_services_thread() {
    let recorder = Recorder::start([json(200, r#"{"id":"cus_1"}"#)]).await;
    let service = Arc::new(recorder.service("2023-10-16"));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let now = Timestamp::from_stored(0);
    service.spawn(
        move |service| async move { service.create_customer("ada@example.com", None, now, CallOptions::default()).await },
        move |result| {
            let thread = thread::current().name().map(str::to_owned);
            sender.send((result, thread)).unwrap();
        },
    );
    // The call goes on without us.
    drop(service);
    let (result, thread) = receiver.await.unwrap();
    assert_eq!(result.unwrap(), r#"{"id":"cus_1"}"#);
    assert_eq!(thread.as_deref(), Some("weighbridge-stripe"));
}

#[test]
fn a_panic_is_an_internal_error() {
    let service = service();
    let (sender, receiver) = mpsc::channel();
    // The thread survives it.
    for _ in 0..2 {
        let sender = sender.clone();
        service.spawn(|_| async { panic!("on purpose") }, move |result: Result<(), _>| sender.send(result).unwrap());
        let Err(Failure::Weighbridge(error)) = receiver.recv().unwrap() else { panic!() };
        assert_eq!(error.code, Code::Internal);
    }
}

#[test]
fn a_service_may_be_dropped_before_and_after_its_first_call() {
    drop(service());
    let service = service();
    let (sender, receiver) = mpsc::channel();
    service.spawn(|_| async { Ok(()) }, move |result| sender.send(result).unwrap());
    assert!(receiver.recv().unwrap().is_ok());
    drop(service);
}

//! Holds whose cost, or whether the customer can pay for it, only the store knows.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};

use weighbridge::domain::PriceList;
use weighbridge::domain::credit::GrantRequest;
use weighbridge::domain::customer::CustomerPatch;
use weighbridge::domain::json::Value;
use weighbridge::engine::Engine;
use weighbridge::engine::gate::{Gate, Request, Unpriced, Wanted};
use weighbridge::store::{Change, Verdict};

use crate::gate::{price, request};
use crate::spend_cap::{admitted, with_packages};
use crate::support::*;
use crate::{Place, apply, close};

/// Reports that do not end before the answer is dropped.
fn report_on_all_threads(engine: &Arc<Engine>) -> Vec<Sender<()>> {
    const THREADS: usize = 2;
    let running = Arc::new(Barrier::new(THREADS + 1));
    let report = |_| {
        let (sender, receiver) = channel::<()>();
        let running = Arc::clone(&running);
        let report = move |_: &dyn weighbridge::store::Store, _: &_| {
            running.wait();
            // An error is the end of the report too.
            let _ = receiver.recv();
            Ok(())
        };
        engine.peek(report, Box::new(drop));
        sender
    };
    let reports = (0..THREADS).map(report).collect();
    running.wait();
    reports
}

/// A gate to the same engine at which `ann` pays 0.03 a request beforehand.
fn prepaid(engine: &Arc<Engine>) -> Gate {
    apply(engine, upsert("ann", CustomerPatch { prepaid: Some(true), ..CustomerPatch::default() }));
    let request = GrantRequest::read(&Value::parse("grant", r#"{"id":"one","amount":"1"}"#).unwrap()).unwrap();
    apply(engine, Change::GrantCredit { customer_id: customer_id("ann"), request, now: now() });
    let prices = PriceList::new(vec![price("/paid", "0.03")]).unwrap();
    Gate::new(Arc::clone(engine), Arc::new(prices), Unpriced::Pass)
}

fn held(route: &str) -> Request {
    Request { units: Wanted::Held(1), ..request("key-1", route) }
}

#[test]
fn no_report_holds_up_a_request() {
    let place = Place::new();
    let (engine, by_period) = with_packages(&place, "1");
    let reports = report_on_all_threads(&engine);
    assert_eq!(admitted(&by_period, held("GET /package")).verdict, Verdict::Recorded);
    let by_credit = prepaid(&engine);
    assert_eq!(admitted(&by_credit, held("GET /paid")).verdict, Verdict::Recorded);
    drop(reports);
    close(&engine);
}

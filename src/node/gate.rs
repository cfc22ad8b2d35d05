//! The hot path: one plain native function for each middleware.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use napi::bindgen_prelude::{Function, FunctionCallContext};
use napi::{Either, Env};

use super::deliveries::Deliveries;
use super::output::{DecisionOutput, admitted, decision, millis, units};
use crate::domain::price::RoutingRules;
use crate::domain::{Customer, EventId, Timestamp, Units};
use crate::engine::admission::{Admitted, Caller, Decision, Passage};
use crate::engine::gate::{Gate, Request, Wanted};
use crate::{Error, Result};

/// `(ticket, now, key, method, path, rules, userAgent, id, units, isHold, digest, dimensions, figures)` → the decision, or
/// `null` where it will be delivered. A decision that says `recorded` is to be followed by the delivery that it is written. It is only the
/// customer's number where he was told of before; either way `figures` get `[number, limit, used, periodStart, periodEnd]`.
pub type GateFunction<'env> = Function<'env, (), Option<Either<f64, DecisionOutput>>>;

/// Bits of `rules`, as `lib/middleware.ts` sets them.
const CASE_SENSITIVE: u32 = 1;
const STRICT: u32 = 2;

/// Some megabytes.
const MOST_ACQUAINTANCES: usize = 8_192;

/// A closure and not a method: a method call costs ten times as much (it locks the class registry).
pub fn function(env: &Env, gate: Gate, deliveries: Deliveries) -> napi::Result<GateFunction<'_>> {
    let acquaintances = RefCell::new(Acquaintances::default());
    env.create_function_from_closure("admit", move |call| {
        let caller = Ticket { number: call.get(0)?, deliveries: deliveries.clone() };
        let made = match request(&call)? {
            Ok(request) => gate.decide(request, caller.clone()),
            Err(error) => Decision::Made(Err(error)),
        };
        match made {
            Decision::Made(Ok(passage)) => Ok(Some(Either::B(decision(passage)))),
            Decision::Writing(passage) => {
                let (number, is_new) = acquaintances.borrow_mut().meet(&passage.customer);
                write_figures(call.get(12)?, number, &passage);
                Ok(Some(if is_new { Either::B(admitted(passage)) } else { Either::A(number) }))
            }
            Decision::Made(Err(error)) => {
                caller.answer(Err(error));
                Ok(None)
            }
            Decision::Later => Ok(None),
        }
    })
}

/// As `lib/gate.ts` names them.
fn write_figures(figures: &mut [f64], number: f64, Admitted { standing, period, .. }: &Admitted) {
    let limit = standing.limit.map_or(f64::NAN, units);
    let values = [number, limit, units(standing.used), millis(period.start), millis(period.end)];
    for (figure, value) in figures.iter_mut().zip(values) {
        *figure = value;
    }
}

/// Customers that JavaScript was told of, by where what is known of each lies in memory. It is kept, so that nothing else
/// comes to lie there.
#[derive(Default)]
struct Acquaintances(IndexMap<*const Customer, Arc<Customer>>);

impl Acquaintances {
    /// The customer's number, and whether he has just got it.
    fn meet(&mut self, customer: &Arc<Customer>) -> (f64, bool) {
        let address = Arc::as_ptr(customer);
        if let Some(number) = self.0.get_index_of(&address) {
            return (number as f64, false);
        }
        if self.0.len() == MOST_ACQUAINTANCES {
            self.0.clear();
        }
        let (number, _) = self.0.insert_full(address, Arc::clone(customer));
        (number as f64, true)
    }
}

/// Whoever has this ticket gets the answer.
#[derive(Clone)]
struct Ticket {
    number: f64,
    deliveries: Deliveries,
}

impl Caller for Ticket {
    fn answer(self, answer: Result<Passage>) {
        self.deliveries.reply(self.number, decision)(answer);
    }

    fn written(self, written: Result<()>) {
        self.deliveries.written(self.number, written);
    }
}

/// `lib/middleware.ts` has checked that it is an object of texts.
fn dimensions_of(json: &str) -> Result<BTreeMap<String, String>> {
    serde_json::from_str(json).map_err(|error| Error::invalid(format!("`dimensions`: {error}")))
}

/// The outer error is a bug in `lib/middleware.ts`, the inner one a bad value of the caller's.
fn request(call: &FunctionCallContext<'_>) -> napi::Result<Result<Request>> {
    let rules: u32 = call.get(5)?;
    let (now, id, units): (f64, Option<String>, f64) = (call.get(1)?, call.get(7)?, call.get(8)?);
    let key: String = call.get(2)?;
    let method: String = call.get(3)?;
    let path: String = call.get(4)?;
    let user_agent: Option<String> = call.get(6)?;
    let is_hold: bool = call.get(9)?;
    let digest: Option<String> = call.get(10)?;
    let dimensions: Option<String> = call.get(11)?;
    let parse = || {
        let units = match is_hold {
            // None at all may be held: what is settled then goes beyond it.
            true if units == 0.0 => Wanted::Held(0),
            true => Wanted::Held(Units::from_number(units)?.get()),
            false => Wanted::Counted(Units::from_number(units)?),
        };
        Ok(Request {
            now: Timestamp::from_millis("clock.now()", now)?,
            id: id.map(EventId::new).transpose()?,
            units,
            rules: RoutingRules { case_sensitive: rules & CASE_SENSITIVE != 0, strict: rules & STRICT != 0 },
            key,
            method,
            path,
            user_agent,
            digest,
            dimensions: dimensions.as_deref().map_or_else(|| Ok(BTreeMap::new()), dimensions_of)?,
        })
    };
    Ok(parse())
}

//! The hot path: one plain native function for each middleware.

use std::collections::BTreeMap;

use napi::Env;
use napi::bindgen_prelude::{Function, FunctionCallContext};

use super::deliveries::Deliveries;
use super::output::{DecisionOutput, admitted, decision};
use crate::domain::price::RoutingRules;
use crate::domain::{EventId, Timestamp, Units};
use crate::engine::admission::{Caller, Decision, Passage};
use crate::engine::gate::{Gate, Request, Wanted};
use crate::{Error, Result};

/// `(ticket, now, key, method, path, rules, userAgent, id, units, isHold, digest, dimensions)` → the decision, or `null` where it will be
/// delivered. A decision that says `recorded` is to be followed by the delivery that it is written.
pub type GateFunction<'env> = Function<'env, (), Option<DecisionOutput>>;

/// Bits of `rules`, as `lib/middleware.ts` sets them.
const CASE_SENSITIVE: u32 = 1;
const STRICT: u32 = 2;

/// A closure and not a method: a method call costs ten times as much (it locks the class registry).
pub fn function(env: &Env, gate: Gate, deliveries: Deliveries) -> napi::Result<GateFunction<'_>> {
    env.create_function_from_closure("admit", move |call| {
        let caller = Ticket { number: call.get(0)?, deliveries: deliveries.clone() };
        let made = match request(&call)? {
            Ok(request) => gate.decide(request, caller.clone()),
            Err(error) => Decision::Made(Err(error)),
        };
        match made {
            Decision::Made(Ok(passage)) => Ok(Some(decision(passage))),
            Decision::Writing(passage) => Ok(Some(admitted(passage))),
            Decision::Made(Err(error)) => {
                caller.answer(Err(error));
                Ok(None)
            }
            Decision::Later => Ok(None),
        }
    })
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

//! The hot path: one plain native function for each middleware.

use napi::Env;
use napi::bindgen_prelude::{Function, FunctionCallContext};

use super::deliveries::Deliveries;
use super::output::{DecisionOutput, decision};
use crate::domain::price::RoutingRules;
use crate::domain::{EventId, Timestamp, Units};
use crate::engine::gate::{Gate, Request};

/// `(ticket, now, key, method, path, rules, userAgent, id, units)` → the decision, or `null` where it will be delivered.
pub type GateFunction<'env> = Function<'env, (), Option<DecisionOutput>>;

/// Bits of `rules`, as `lib/middleware.ts` sets them.
const CASE_SENSITIVE: u32 = 1;
const STRICT: u32 = 2;

/// A closure and not a method: a method call costs ten times as much (it locks the class registry).
pub fn function(env: &Env, gate: Gate, deliveries: Deliveries) -> napi::Result<GateFunction<'_>> {
    env.create_function_from_closure("admit", move |call| {
        let reply = deliveries.reply(call.get(0)?, decision);
        let answer = match request(&call)? {
            Ok(request) => gate.decide(request, reply),
            Err(error) => {
                reply(Err(error));
                None
            }
        };
        match answer {
            Some(Ok(passage)) => Ok(Some(decision(passage))),
            Some(Err(error)) => {
                deliveries.reply(call.get(0)?, decision)(Err(error));
                Ok(None)
            }
            None => Ok(None),
        }
    })
}

/// The outer error is a bug in `lib/middleware.ts`, the inner one a bad value of the caller's.
fn request(call: &FunctionCallContext<'_>) -> napi::Result<crate::Result<Request>> {
    let rules: u32 = call.get(5)?;
    let (now, id, units): (f64, Option<String>, f64) = (call.get(1)?, call.get(7)?, call.get(8)?);
    let key: String = call.get(2)?;
    let method: String = call.get(3)?;
    let path: String = call.get(4)?;
    let user_agent: Option<String> = call.get(6)?;
    let parse = || {
        Ok(Request {
            now: Timestamp::from_millis("clock.now()", now)?,
            id: id.map(EventId::new).transpose()?,
            units: Units::from_number(units)?,
            rules: RoutingRules { case_sensitive: rules & CASE_SENSITIVE != 0, strict: rules & STRICT != 0 },
            key,
            method,
            path,
            user_agent,
        })
    };
    Ok(parse())
}

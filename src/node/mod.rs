//! The Node.js binding: conversions and nothing else.
//!
//! Everything here is internal to the package: the TypeScript in `lib/` is the public face and documents it. An
//! operation takes a *ticket*, a number that `lib/tickets.ts` gave out, and returns at once; its answer comes back under
//! that ticket through [`deliveries`], many at a time. So no operation needs a promise, a thread or a threadsafe
//! function of its own, and the requests of one commit wake JavaScript once.

// In unit tests napi exports nothing, so that plain functions look unused there.
#![cfg_attr(test, allow(dead_code))]

mod access_log;
mod alerts;
mod catalog;
mod credit;
mod credits;
mod deliveries;
mod engine;
mod error;
mod gate;
mod input;
mod invoices;
mod migration;
mod outbox;
mod output;
mod rating;
mod sender;
mod simulation;
mod stripe;
mod suggestion;
mod webhook;

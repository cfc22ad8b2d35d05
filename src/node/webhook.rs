//! Webhooks: plain functions for signatures, and what the engine does with an event.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use secrecy::SecretString;

use super::engine::{NativeEngine, instant};
use super::error::Result;
use super::output::{Nullable, nullable};
use crate::Error;
use crate::domain::Timestamp;
use crate::domain::customer::validate_id;
use crate::domain::subscription::Report;
use crate::store::{Applied, Change, Claim, FinishedStripeEvent, StripeEvent, StripeEventRow};
use crate::stripe::webhook::{Event, report, signature};

/// Seconds in ten thousand years: what is more is a mistake.
const MAX_SECONDS: f64 = 315_569_520_000.0;

/// Who has signed what.
#[napi(object, object_to_js = false)]
pub struct SignedInput {
    pub payload: Buffer,
    /// The header.
    pub signature: String,
    pub secrets: Vec<String>,
    pub tolerance_seconds: f64,
}

/// An event that was delivered, and whether it is the caller's to work on: `granted`, `taken` or `finished`.
#[napi(object, object_from_js = false)]
pub struct ReceivedOutput {
    pub claim: String,
    pub id: String,
    /// The subscription that should be retrieved.
    #[napi(ts_type = "string | null")]
    pub subscription_id: Nullable<String>,
}

/// What is remembered of an event that Stripe has delivered.
#[napi(object, js_name = "StripeEventRecord", object_from_js = false)]
pub struct StripeEventOutput {
    pub id: String,
    #[napi(js_name = "type")]
    pub kind: String,
    /// When it happened, by Stripe; milliseconds since the epoch.
    pub created: f64,
    /// `done`; `kept`, where it says nothing that Weighbridge knows; `claimed` while it is being worked on.
    #[napi(ts_type = "'claimed' | 'done' | 'kept'")]
    pub state: String,
    /// Since when it is in this state; milliseconds since the epoch.
    pub changed_at: f64,
    /// The JSON of one that is kept, as Stripe sent it.
    #[napi(ts_type = "string | null")]
    pub payload: Nullable<String>,
}

impl From<StripeEventRow> for StripeEventOutput {
    fn from(row: StripeEventRow) -> Self {
        Self {
            id: row.event.id,
            kind: row.event.kind,
            created: row.event.created.as_millis() as f64,
            state: row.state.as_str().to_owned(),
            changed_at: row.changed_at.as_millis() as f64,
            payload: nullable(row.payload),
        }
    }
}

impl SignedInput {
    fn verify(self, now: Timestamp) -> crate::Result<(Buffer, Event)> {
        let tolerance = whole_seconds("toleranceSeconds", self.tolerance_seconds)?;
        let secrets: Vec<SecretString> = self.secrets.into_iter().map(SecretString::from).collect();
        signature::verify(&self.payload, &self.signature, &secrets, tolerance, now)?;
        let event = Event::parse(&self.payload)?;
        Ok((self.payload, event))
    }
}

/// Passes where the payload is an event that was signed with one of the secrets.
#[napi(catch_unwind)]
pub fn verify_stripe_event(now: f64, signed: SignedInput) -> Result<()> {
    signed.verify(instant(now)?)?;
    Ok(())
}

#[napi(catch_unwind)]
pub fn sign_stripe_event(payload: Buffer, secret: String, seconds: f64) -> Result<String> {
    Ok(signature::sign(&payload, &secret.into(), whole_seconds("timestamp", seconds)?)?)
}

#[napi]
impl NativeEngine {
    /// Verifies and claims an event.
    #[napi(catch_unwind)]
    pub fn receive_stripe_event(&self, ticket: f64, now: f64, signed: SignedInput) -> Result<()> {
        let now = instant(now)?;
        let (_, event) = signed.verify(now)?;
        let subscription_id = report::of_event(&event).map(|report| report::subscription_id(&report).to_owned());
        let id = event.id.clone();
        let answer = move |applied: Applied| {
            let claim = match applied.claim()? {
                Claim::Granted => "granted",
                Claim::Taken => "taken",
                Claim::Finished => "finished",
            };
            Ok(ReceivedOutput { claim: claim.to_owned(), id, subscription_id: nullable(subscription_id) })
        };
        let change = Change::ClaimStripeEvent { event: claimable(&event), now };
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    /// Does what a claimed event says, or rather what Stripe answered afterwards when it was asked for the subscription.
    /// Answers whether nobody else was faster.
    #[napi(catch_unwind)]
    pub fn finish_stripe_event(
        &self,
        ticket: f64,
        now: f64,
        payload: Buffer,
        retrieved: Option<String>,
        retrieved_at: f64,
    ) -> Result<()> {
        let (now, retrieved_at) = (instant(now)?, instant(retrieved_at)?);
        let event = Event::parse(&payload)?;
        let said = report::of_event(&event);
        // By Stripe's clock it is later than the event, whatever ours says.
        let as_of = retrieved_at.max(event.created.plus_millis(1));
        let retrieved = retrieved.and_then(|json| report::of_subscription(&json, as_of));
        let kept = said.is_none().then(|| String::from_utf8_lossy(&payload).into_owned());
        let finished = FinishedStripeEvent { event: claimable(&event), reports: reports(said, retrieved), kept, now };
        let answer = |applied: Applied| Ok(applied.claim()? == Claim::Granted);
        let change = Change::FinishStripeEvent(finished);
        self.engine.commit_one(change, self.deliveries.reply_or_fail(ticket, answer));
        Ok(())
    }

    /// Gives back an event that could not be worked on.
    #[napi(catch_unwind)]
    pub fn release_stripe_event(&self, ticket: f64, id: String) {
        let change = Change::ReleaseStripeEvent { id };
        self.engine.commit_one(change, self.deliveries.reply(ticket, |_: Applied| ()));
    }

    /// Answers with what is remembered of an event, or `null`.
    #[napi(catch_unwind)]
    pub fn stripe_event(&self, ticket: f64, id: String) -> Result<()> {
        validate_id("id", &id)?;
        let answer = |row: Option<StripeEventRow>| nullable(row.map(StripeEventOutput::from));
        self.engine.peek(move |store, _| store.stripe_event(&id), self.deliveries.reply(ticket, answer));
        Ok(())
    }
}

/// What was retrieved takes the place of what the event says; that something was bought only the event says.
fn reports(said: Option<Report>, retrieved: Option<Report>) -> Vec<Report> {
    match (said, retrieved) {
        (Some(bought @ Report::Checkout { .. }), retrieved) => {
            [Some(bought), retrieved].into_iter().flatten().collect()
        }
        (said, retrieved) => retrieved.or(said).into_iter().collect(),
    }
}

fn claimable(event: &Event) -> StripeEvent {
    StripeEvent { id: event.id.clone(), kind: event.kind.clone(), created: event.created }
}

fn whole_seconds(field: &str, seconds: f64) -> crate::Result<u64> {
    if seconds.fract() != 0.0 || !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(Error::invalid(format!("`{field}` must be a whole number of seconds from 0, got {seconds}")));
    }
    Ok(seconds as u64)
}

//! `POST /v2/billing/meter_event_stream`: up to a hundred events a call, in sessions of fifteen minutes
//! (<https://docs.stripe.com/api/v2/billing/meter-event-stream>).

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::{MeterTargets, attempt, event_of};
use crate::domain::Report;
use crate::domain::outbox::delivery::Answer;
use crate::export::{Attempt, UsageSink};
use crate::stripe::{CallOptions, Failure, MeterEvent, MeterEventSession, Result, StripeClient, StripeErrorKind};

const BATCH: usize = 100;

pub struct MeterEventStreamSink {
    client: Arc<StripeClient>,
    targets: MeterTargets,
    session: Mutex<Option<MeterEventSession>>,
}

impl MeterEventStreamSink {
    pub fn new(client: Arc<StripeClient>, targets: MeterTargets) -> Self {
        Self { client, targets, session: Mutex::default() }
    }

    /// A batch is taken or refused as one. What is refused is halved until it is known which of its events is to blame.
    async fn send_all(&self, reports: &[Report]) -> Vec<Attempt> {
        let values: Vec<String> = reports.iter().map(|report| report.units.to_string()).collect();
        let mut attempts = vec![None; reports.len()];
        let mut events = Vec::new();
        for (place, (report, value)) in reports.iter().zip(&values).enumerate() {
            match event_of(&self.targets, report, value) {
                Ok(event) => events.push((place, event)),
                Err(attempt) => attempts[place] = Some(attempt),
            }
        }
        let mut batches = vec![events];
        while let Some(mut batch) = batches.pop() {
            if batch.is_empty() {
                continue;
            }
            let sent: Vec<MeterEvent<'_>> = batch.iter().map(|(_, event)| event.clone()).collect();
            let attempt = attempt(self.stream(&sent).await);
            if attempt.answer == Answer::Refused && batch.len() > 1 {
                batches.push(batch.split_off(batch.len() / 2));
                batches.push(batch);
                continue;
            }
            for (place, _) in batch {
                attempts[place] = Some(attempt.clone());
            }
        }
        let unsent = || Attempt::failed(Answer::NotNow, "it was not sent");
        attempts.into_iter().map(|attempt| attempt.unwrap_or_else(unsent)).collect()
    }

    /// In the session that there is; where that has expired, in a new one.
    async fn stream(&self, events: &[MeterEvent<'_>]) -> Result<()> {
        let session = self.session(None).await?;
        let sent = self.client.stream_meter_events(&session, events, options()).await;
        match sent {
            Err(Failure::Stripe(error)) if is_expired(error.kind) => {
                let session = self.session(Some(&session.id)).await?;
                self.client.stream_meter_events(&session, events, options()).await
            }
            sent => sent,
        }
    }

    /// A session other than the one that has expired.
    async fn session(&self, expired: Option<&str>) -> Result<MeterEventSession> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| Some(session.id.as_str()) != expired) {
            return Ok(session.clone());
        }
        Ok(session.insert(self.client.create_meter_event_session(options()).await?).clone())
    }
}

/// What an expired token is told differs; a secret key that is wrong is found out with the new session.
fn is_expired(kind: StripeErrorKind) -> bool {
    matches!(kind, StripeErrorKind::TemporarySessionExpired | StripeErrorKind::Authentication)
}

fn options() -> CallOptions {
    CallOptions { max_network_retries: Some(0), ..CallOptions::default() }
}

impl UsageSink for MeterEventStreamSink {
    fn batch_size(&self) -> usize {
        BATCH
    }

    fn send<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Vec<Attempt>> {
        self.send_all(reports).boxed()
    }
}

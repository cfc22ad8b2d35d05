//! What JavaScript may ask of the outbox: any process on the store, whether it sends or not.

use napi::Either;
use napi::bindgen_prelude::Null;
use napi_derive::napi;

use super::engine::NativeEngine;
use super::error::Result;
use super::output::{Nullable, millis, nullable, units};
use crate::Error;
use crate::domain::customer::Patch;
use crate::domain::outbox::{DEFAULT_WINDOW_MILLIS, Report, State};
use crate::domain::{CustomerId, ExportRule, ReportId, Timestamp};
use crate::store::{Backlog, ReportQuery};

/// The most reports on one page.
const MAX_PAGE: f64 = 1_000.0;

#[napi(object, object_to_js = false)]
pub struct ExportRuleInput {
    pub meters: Vec<String>,
    pub window_ms: Option<f64>,
}

/// Left out, what the store has stays; `null` ends it.
pub fn export_rule(rule: Option<Either<ExportRuleInput, Null>>) -> crate::Result<Patch<ExportRule>> {
    let ExportRuleInput { meters, window_ms } = match rule {
        None => return Ok(Patch::Keep),
        Some(Either::B(Null)) => return Ok(Patch::Clear),
        Some(Either::A(rule)) => rule,
    };
    let meters = meters.iter().map(|meter| meter.parse()).collect::<crate::Result<Vec<_>>>()?;
    let window_millis = match window_ms {
        None => DEFAULT_WINDOW_MILLIS,
        Some(number) if number.fract() == 0.0 && number.abs() <= 1e15 => number as i64,
        Some(number) => return Err(Error::invalid(format!("`windowMs` must be a whole number, got {number}"))),
    };
    Ok(Patch::Set(ExportRule::new(window_millis, meters)?))
}

/// How much usage is in a state on its way to Stripe.
#[napi(object, js_name = "UsageBacklog", object_from_js = false)]
pub struct BacklogOutput {
    /// `pending`, `sending`, `dead`, `uncertain` or `frozen`: see `UsageReport`.
    pub state: String,
    pub reports: f64,
    pub units: f64,
    /// When the oldest of their windows began, milliseconds since the epoch.
    pub since: f64,
}

impl From<Backlog> for BacklogOutput {
    fn from(backlog: Backlog) -> Self {
        Self {
            state: backlog.state.as_str().to_owned(),
            reports: units(backlog.reports),
            units: units(backlog.units),
            since: millis(backlog.since),
        }
    }
}

/// What a customer used of a meter in one window of time, on its way to Stripe. Instants are milliseconds since the epoch.
#[napi(object, js_name = "UsageReport", object_from_js = false)]
pub struct ReportOutput {
    /// The identifier and idempotency key of every attempt to send it.
    pub id: String,
    pub customer_id: String,
    #[napi(ts_type = "'api_request' | 'agent_execution' | 'data_access'")]
    pub event_type: String,
    pub stripe_customer_id: String,
    #[napi(ts_type = "string | null")]
    pub subscription_id: Nullable<String>,
    pub window_start: f64,
    /// When the last of its events happened: the timestamp that Stripe is told.
    pub timestamp: f64,
    pub units: f64,
    /// `pending`: it waits. `sending`: a process has claimed it. `sent`: Stripe took it. `dead`: Stripe refused it, see
    /// `reason`. `uncertain`: nobody knows whether it arrived, and to send it again might count it twice. `frozen`: it is
    /// older than Stripe takes.
    #[napi(ts_type = "'pending' | 'sending' | 'sent' | 'dead' | 'uncertain' | 'frozen'")]
    pub state: String,
    pub attempts: f64,
    /// Why the last attempt failed.
    #[napi(ts_type = "string | null")]
    pub reason: Nullable<String>,
    /// An attempt may have arrived without an answer.
    pub in_doubt: bool,
    /// When it is tried next; while it is `sending`, until when it is claimed.
    pub due_at: f64,
}

impl From<Report> for ReportOutput {
    fn from(report: Report) -> Self {
        Self {
            id: report.id.as_str().to_owned(),
            customer_id: report.customer_id.as_str().to_owned(),
            event_type: report.meter.as_str().to_owned(),
            stripe_customer_id: report.recipient.stripe_customer_id,
            subscription_id: nullable(report.recipient.subscription_id),
            window_start: millis(report.window_start),
            timestamp: millis(report.timestamp),
            units: units(report.units),
            state: report.state.as_str().to_owned(),
            attempts: report.attempts.into(),
            reason: nullable(report.reason),
            in_doubt: report.in_doubt,
            due_at: millis(report.due_at),
        }
    }
}

#[napi(object, object_to_js = false)]
pub struct ReportQueryInput {
    pub state: Option<String>,
    pub customer_id: Option<String>,
    pub starting_after: Option<String>,
    pub limit: f64,
}

#[napi]
impl NativeEngine {
    /// Answers with how much is in which state.
    #[napi(catch_unwind)]
    pub fn usage_backlog(&self, ticket: f64) {
        let answer = |backlog: Vec<Backlog>| backlog.into_iter().map(BacklogOutput::from).collect::<Vec<_>>();
        self.engine.read(|store, _| store.backlog(), self.deliveries.reply(ticket, answer));
    }

    /// Answers with a page of reports. One more than a page may be asked for, to see whether there is another one.
    #[napi(catch_unwind)]
    pub fn usage_reports(&self, ticket: f64, query: ReportQueryInput) -> Result<()> {
        if query.limit.fract() != 0.0 || !(1.0..=MAX_PAGE + 1.0).contains(&query.limit) {
            let message = format!("`limit` must be a whole number from 1 to {MAX_PAGE}");
            return Err(Error::invalid(message).into());
        }
        let query = ReportQuery {
            state: query.state.as_deref().map(str::parse::<State>).transpose()?,
            customer_id: query.customer_id.map(CustomerId::new).transpose()?,
            id: None,
            after: query.starting_after,
            limit: query.limit as usize,
        };
        let answer = |reports: Vec<Report>| reports.into_iter().map(ReportOutput::from).collect::<Vec<_>>();
        self.engine.read(move |store, _| store.reports(&query), self.deliveries.reply(ticket, answer));
        Ok(())
    }

    /// Answers whether there was a dead report with this id.
    #[napi(catch_unwind)]
    pub fn retry_usage_report(&self, ticket: f64, now: f64, id: String) -> Result<()> {
        let now = Timestamp::from_millis("clock.now()", now)?;
        let (id, successor) = (ReportId::from_stored(id), ReportId::new(now, crate::store::random()?));
        let reply = self.deliveries.reply(ticket, |retried: bool| retried);
        self.engine.work_on_outbox(Box::new(move |store| {
            reply(store.and_then(|store| store.retry_report(&id, &successor, now)));
        }));
        Ok(())
    }

    /// Answers with the report that Stripe has rejected after it took it, or `null`.
    #[napi(catch_unwind)]
    pub fn reject_usage_report(&self, ticket: f64, now: f64, id: String, reason: String) -> Result<()> {
        let (id, now) = (ReportId::from_stored(id), Timestamp::from_millis("clock.now()", now)?);
        let answer = |report: Option<Report>| nullable(report.map(ReportOutput::from));
        let reply = self.deliveries.reply(ticket, answer);
        self.engine.work_on_outbox(Box::new(move |store| {
            reply(store.and_then(|store| store.reject_report(&id, &reason, now)));
        }));
        Ok(())
    }
}

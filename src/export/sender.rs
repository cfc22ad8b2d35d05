//! The sender: a thread that claims reports, hands them to a sink, and settles them.
//!
//! Any number of senders work on one outbox; the store sees to it that none of them has what another one has. A sender that
//! dies leaves its claims, which run out.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use super::access::{StoreAccess, ask};
use super::pulse::Pulse;
use super::sink::{Attempt, UsageSink};
use crate::domain::outbox::delivery::{Answer, LONGEST_FUTURE, Settled, Step, after_attempt, before_attempt};
use crate::domain::{CustomerId, HolderId, Meter, Report, Timestamp};
use crate::store::outbox::Claim;
use crate::store::{Settlement, Store};
use crate::{Code, Error, Result};

/// How often to look for reports that have become due; while somebody waits for the outbox to be empty, more often.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_WHILE_FLUSHING: Duration = Duration::from_millis(50);
/// Calls that are under way at once.
const CALLS: u32 = 32;
const MOST_CALLS: usize = CALLS as usize;
/// Between attempts, doubling, with jitter.
const PAUSE_FROM: Duration = Duration::from_millis(500);
const PAUSE_TO: Duration = Duration::from_secs(300);
/// For settling a report after its call: until then nobody else claims it.
const SETTLING: Duration = Duration::from_secs(5);
/// What was sent is remembered a little longer than usage can be sent at all.
pub(super) const KEPT_MILLIS: i64 = 40 * 24 * 3_600_000;
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
const FORGET_AT_ONCE: usize = 1_000;
/// How long closing waits for calls.
const CLOSING: Duration = Duration::from_secs(5);
const LONGEST_REASON: usize = 500;

pub struct SenderOptions {
    /// Unlike every other sender's.
    pub holder: HolderId,
    pub sink: Arc<dyn UsageSink>,
    pub store: StoreAccess,
    /// At most so many calls are begun in a second.
    pub calls_per_second: u32,
    /// The longest that a call can take.
    pub call_timeout: Duration,
    pub now: Timestamp,
}

/// Called once.
pub type Reply<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// A running sender. It ends when it is dropped, and leaves what it has claimed; [`Sender::close`] settles that first.
pub struct Sender {
    commands: mpsc::UnboundedSender<Command>,
    pulse: Arc<Pulse>,
    /// It is taken when the sender is dropped.
    runtime: Option<Runtime>,
}

enum Command {
    Flush { until: Instant, reply: Reply<()> },
    Close(Reply<()>),
}

impl Sender {
    pub fn start(options: SenderOptions) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("weighbridge-sender")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::Internal, format!("no thread could be started: {error}")))?;
        let (commands, orders) = mpsc::unbounded_channel();
        let pulse = Arc::new(Pulse::new(options.now));
        let worker = Worker {
            orders,
            pulse: Arc::clone(&pulse),
            pace: Arc::new(Mutex::new(pace(&runtime, options.calls_per_second))),
            call_timeout: options.call_timeout,
            turn: Duration::from_secs(1) * CALLS / options.calls_per_second.max(1),
            holder: options.holder,
            sink: options.sink,
            store: options.store,
            calls: JoinSet::new(),
            unsettled: Vec::new(),
            after: None,
            flushes: Vec::new(),
            forget_at: Instant::now(),
        };
        runtime.spawn(worker.run());
        Ok(Self { commands, pulse, runtime: Some(runtime) })
    }

    /// The caller's clock says so.
    pub fn tell(&self, now: Timestamp) {
        self.pulse.tell(now);
    }

    /// Sends everything that can be sent now, windows that have not ended too, and answers when nothing is left of it; or,
    /// where that takes longer, with `export_timeout`.
    pub fn flush(&self, timeout: Duration, reply: Reply<()>) {
        self.order(Command::Flush { until: Instant::now() + timeout, reply });
    }

    /// Claims nothing more, and answers when what was claimed is settled.
    pub fn close(&self, reply: Reply<()>) {
        self.order(Command::Close(reply));
    }

    fn order(&self, command: Command) {
        if let Err(mpsc::error::SendError(command)) = self.commands.send(command) {
            command.refuse(&Error::new(Code::Closed, "this Billing was closed; make a new one"));
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Merely dropping it would wait for its threads.
            runtime.shutdown_background();
        }
    }
}

impl Command {
    /// To be told to close once more is no mistake.
    fn refuse(self, why: &Error) {
        match self {
            Command::Flush { reply, .. } => reply(Err(why.clone())),
            Command::Close(reply) => reply(Ok(())),
        }
    }
}

/// It belongs to the runtime's timer.
fn pace(runtime: &Runtime, calls_per_second: u32) -> Interval {
    let _inside = runtime.enter();
    let mut pace = interval(Duration::from_secs(1) / calls_per_second.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

struct Worker {
    orders: mpsc::UnboundedReceiver<Command>,
    pulse: Arc<Pulse>,
    /// Each call waits for a beat of it.
    pace: Arc<Mutex<Interval>>,
    call_timeout: Duration,
    /// The longest that a call waits for its turn.
    turn: Duration,
    holder: HolderId,
    sink: Arc<dyn UsageSink>,
    store: StoreAccess,
    calls: JoinSet<Vec<Settlement>>,
    /// The store was away when they were to be written.
    unsettled: Vec<Settlement>,
    /// The account that was claimed last.
    after: Option<(CustomerId, Meter)>,
    flushes: Vec<(Instant, Reply<()>)>,
    forget_at: Instant,
}

impl Worker {
    async fn run(mut self) {
        let closing = loop {
            let look = if self.flushes.is_empty() { LOOK } else { LOOK_WHILE_FLUSHING };
            tokio::select! {
                order = self.orders.recv() => match order {
                    None => break None,
                    Some(Command::Close(reply)) => break Some(reply),
                    Some(Command::Flush { until, reply }) => self.flushes.push((until, reply)),
                },
                Some(settlements) = self.calls.join_next() => self.unsettled.extend(settlements.unwrap_or_default()),
                () = sleep(look) => {}
            }
            if let Err(error) = self.work().await {
                tracing::warn!(%error, "the outbox cannot be worked on; it is tried again");
            }
        };
        let Some(reply) = closing else { return };
        let last_calls = async {
            while let Some(settlements) = self.calls.join_next().await {
                self.unsettled.extend(settlements.unwrap_or_default());
            }
        };
        // What takes longer is left in doubt; where the store is away, too. The claims run out.
        let is_in_time = timeout(CLOSING, last_calls).await.is_ok();
        if !is_in_time {
            tracing::warn!("calls to Stripe were still under way when Weighbridge was closed");
        }
        let settled = self.settle().await;
        for (_, reply) in self.flushes.drain(..) {
            reply(Err(Error::new(Code::Closed, "this Billing was closed while its outbox was being sent")));
        }
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            order.refuse(&Error::new(Code::Closed, "this Billing was closed; make a new one"));
        }
        reply(settled);
    }

    async fn work(&mut self) -> Result<()> {
        while let Some(settlements) = self.calls.try_join_next() {
            self.unsettled.extend(settlements.unwrap_or_default());
        }
        let worked = async {
            self.settle().await?;
            self.fill().await?;
            self.forget().await
        };
        let worked = worked.await;
        self.answer_flushes(&worked).await;
        worked
    }

    async fn settle(&mut self) -> Result<()> {
        if self.unsettled.is_empty() {
            return Ok(());
        }
        let (holder, settlements) = (self.holder.clone(), self.unsettled.clone());
        self.ask(move |store| store.settle_reports(&holder, &settlements)).await?;
        self.unsettled.clear();
        Ok(())
    }

    /// Begins calls until as many are under way as may be, or nothing more is due.
    async fn fill(&mut self) -> Result<()> {
        while self.calls.len() < MOST_CALLS {
            let limit = (MOST_CALLS - self.calls.len()) * self.sink.batch_size();
            let now = self.pulse.now();
            let claim_for = self.turn + self.call_timeout + SETTLING;
            let claim = Claim {
                holder: self.holder.clone(),
                now,
                until: now.plus_millis(i64::try_from(claim_for.as_millis()).unwrap_or(i64::MAX)),
                limit,
                after: self.after.clone(),
                early: !self.flushes.is_empty(),
            };
            let reports = self.ask(move |store| store.claim_reports(&claim)).await?;
            // From the first account on, where the last one was reached.
            let is_round = self.after.is_none();
            let is_last = reports.len() < limit;
            self.after = reports.last().filter(|_| !is_last).map(|report| (report.customer_id.clone(), report.meter));
            for batch in reports.chunks(self.sink.batch_size()) {
                self.begin_call(batch.to_vec());
            }
            if is_last && is_round {
                break;
            }
        }
        Ok(())
    }

    fn begin_call(&mut self, reports: Vec<Report>) {
        let (sink, pulse, pace) = (Arc::clone(&self.sink), Arc::clone(&self.pulse), Arc::clone(&self.pace));
        let call_timeout = self.call_timeout;
        self.calls.spawn(async move {
            pace.lock().await.tick().await;
            let now = pulse.now();
            let mut settlements = Vec::new();
            let mut to_send = Vec::new();
            for report in reports {
                match before_attempt(&report, now) {
                    Step::Send => to_send.push(report),
                    Step::Settle(settled) => {
                        let reason = settled.reason.map(str::to_owned);
                        settlements.push(settlement(&report, settled, reason, now));
                    }
                }
            }
            if !to_send.is_empty() {
                let attempts = match timeout(call_timeout, sink.send(&to_send)).await {
                    Ok(attempts) => attempts,
                    Err(_) => {
                        let reason = format!("there was no answer within {call_timeout:?}");
                        vec![Attempt::failed(Answer::Unknown, reason); to_send.len()]
                    }
                };
                let now = pulse.now();
                settlements.extend(to_send.iter().zip(attempts).map(|(report, attempt)| {
                    let pause = i64::try_from(pause(report, &attempt).as_millis()).unwrap_or(i64::MAX);
                    let settled = after_attempt(report, attempt.answer, now, pause);
                    settlement(report, settled, attempt.reason, now)
                }));
            }
            settlements
        });
    }

    /// Now and then.
    async fn forget(&mut self) -> Result<()> {
        if Instant::now() < self.forget_at {
            return Ok(());
        }
        let before = self.pulse.now().plus_millis(-KEPT_MILLIS);
        let forgotten = self.ask(move |store| store.forget_reports(before, FORGET_AT_ONCE)).await?;
        let is_done = usize::try_from(forgotten).is_ok_and(|forgotten| forgotten < FORGET_AT_ONCE);
        self.forget_at = Instant::now() + if is_done { FORGET_EVERY } else { LOOK };
        Ok(())
    }

    async fn answer_flushes(&mut self, worked: &Result<()>) {
        if self.flushes.is_empty() {
            return;
        }
        let until = self.pulse.now().plus_millis(LONGEST_FUTURE);
        let is_empty = worked.is_ok()
            && self.calls.is_empty()
            && self.unsettled.is_empty()
            && self.ask(move |store| store.has_unsent(until)).await.is_ok_and(|has_unsent| !has_unsent);
        let now = Instant::now();
        for (until, reply) in std::mem::take(&mut self.flushes) {
            match worked {
                _ if is_empty => reply(Ok(())),
                Err(error) if now >= until => reply(Err(error.clone())),
                Ok(()) if now >= until => {
                    let message = "the outbox could not be emptied in time; it is gone on with in the background";
                    reply(Err(Error::new(Code::ExportTimeout, message)));
                }
                _ => self.flushes.push((until, reply)),
            }
        }
    }

    /// The future does not hold the worker, so that it may wait on any thread.
    fn ask<T, F>(&self, question: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> Result<T> + Send + 'static,
    {
        ask(&self.store, question)
    }
}

fn settlement(report: &Report, settled: Settled, reason: Option<String>, now: Timestamp) -> Settlement {
    let reason = reason.map(|reason| reason.chars().filter(|c| *c != '\0').take(LONGEST_REASON).collect());
    let (customer_id, id, attempts) = (report.customer_id.clone(), report.id.clone(), report.attempts);
    Settlement { customer_id, id, attempts, settled, reason, now }
}

/// Before the next attempt: it doubles with each, and is as long as the service asks for.
fn pause(report: &Report, attempt: &Attempt) -> Duration {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(PAUSE_FROM)
        .with_max_delay(PAUSE_TO)
        .with_jitter()
        .without_max_times();
    // After some ten of them they grow no more.
    let before = usize::try_from(report.attempts.saturating_sub(1).min(16)).unwrap_or_default();
    let pause = pauses.build().nth(before).unwrap_or(PAUSE_TO);
    pause.max(attempt.retry_after.unwrap_or_default())
}

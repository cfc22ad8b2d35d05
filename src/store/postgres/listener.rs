//! Hearing at once what other processes change and ask for.
//!
//! Whoever moves the revision, or recalls what others have set aside, announces it with `NOTIFY`. A pooler may swallow
//! that, so it is asked for, too: seldom where an announcement was heard on this connection, often where none was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::Type;

use super::database::{CONNECT_TIMEOUT, Database, Probing, RETRY_FROM, RETRY_TO, Statement};
use super::error::Result;
use super::options::{Address, Schema};

/// How many times in a row what was heard may be relied on before the server is asked. The revision is asked for four
/// times a second, recalls fifty times.
const TRUSTED_REVISIONS: u64 = 4;
const TRUSTED_RECALLS: u64 = 50;
/// And where announcements do not reach us.
const UNHEARD_RECALLS: u64 = 5;
/// What is announced besides numbers.
const RECALL: &str = "recall";
/// So that it is known whether announcements are heard.
const PROBE: &str = "probe";
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// The revision as it was announced.
#[derive(Default)]
pub struct Announcements {
    latest: AtomicU64,
    /// Announcements reach us.
    is_heard: AtomicBool,
    /// Since the last probe.
    was_probe_heard: AtomicBool,
    asked: AtomicU64,
    /// Somebody recalls something, as far as is known.
    is_recalled: AtomicBool,
    asked_recalls: AtomicU64,
}

impl Announcements {
    /// The revision, if what was heard can be relied on now.
    pub fn latest(&self) -> Option<u64> {
        let is_trusted = !self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRUSTED_REVISIONS);
        (is_trusted && self.is_heard.load(Ordering::Acquire)).then(|| self.latest.load(Ordering::Acquire))
    }

    /// Whether the server should be asked for recalls now.
    pub fn may_be_recalling(&self) -> bool {
        let trusted = if self.is_heard.load(Ordering::Acquire) { TRUSTED_RECALLS } else { UNHEARD_RECALLS };
        self.is_recalled.load(Ordering::Acquire)
            || self.asked_recalls.fetch_add(1, Ordering::Relaxed).is_multiple_of(trusted)
    }

    /// As long as there are recalls it is asked for them again and again.
    pub fn learn_recalls(&self, exist: bool) {
        self.is_recalled.store(exist, Ordering::Release);
    }

    fn hear(&self, announcement: &str) {
        match announcement {
            RECALL => self.is_recalled.store(true, Ordering::Release),
            PROBE => {
                self.was_probe_heard.store(true, Ordering::Release);
                self.is_heard.store(true, Ordering::Release);
            }
            revision => {
                self.learn(revision.parse().unwrap_or_default());
            }
        }
    }

    /// The highest revision of which anybody has told.
    pub fn known(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// It was announced, or read.
    pub fn learn(&self, revision: u64) -> u64 {
        self.latest.fetch_max(revision, Ordering::AcqRel).max(revision)
    }
}

/// Listens in the background until the database is dropped.
pub fn start(database: &Database, address: Address, schema: &Schema, announcements: Arc<Announcements>) -> Result<()> {
    let channel = schema.quoted();
    let pauses = ExponentialBuilder::default()
        .with_min_delay(RETRY_FROM)
        .with_max_delay(RETRY_TO)
        .with_jitter()
        .without_max_times();
    let probing = database.probing(format!("NOTIFY {channel}, '{PROBE}'"));
    database.runtime()?.spawn(async move {
        let attempt = || async {
            let heard = listen(&address, &channel, &announcements, &probing).await;
            announcements.is_heard.store(false, Ordering::Release);
            // It always ends with an error: a connection that ends well is lost, too.
            heard
        };
        drop(attempt.retry(pauses).await);
    });
    Ok(())
}

async fn listen(
    address: &Address,
    channel: &str,
    announcements: &Announcements,
    probing: &Probing,
) -> std::result::Result<(), Option<tokio_postgres::Error>> {
    let Ok(connected) = timeout(CONNECT_TIMEOUT, address.hosts.connect()).await else { return Err(None) };
    let (client, mut connection) = connected?;
    let mut messages = poll_fn(move |context| connection.poll_message(context));
    let listening = async {
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        // The client is kept as long as the connection. What is sent from another connection a pooler does not pass on, so
        // whoever hears it hears all.
        loop {
            announcements.was_probe_heard.store(false, Ordering::Release);
            probing.send().await;
            sleep(PROBE_INTERVAL).await;
            if !announcements.was_probe_heard.load(Ordering::Acquire) {
                announcements.is_heard.store(false, Ordering::Release);
            }
        }
        #[expect(unreachable_code, reason = "says what would have gone wrong")]
        Ok(())
    };
    let hearing = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message? {
                announcements.hear(notification.payload());
            }
        }
        Ok(())
    };
    let ended: std::result::Result<((), ()), tokio_postgres::Error> = tokio::try_join!(listening, hearing);
    Err(ended.err())
}

/// Moves the revision, and announces it when the transaction is committed.
pub fn announce(schema: &Schema) -> Statement {
    Statement::new(
        "WITH moved AS (
             UPDATE settings SET value = (value::bigint + 1)::text WHERE name = 'revision' RETURNING value
         )
         SELECT value::bigint, pg_notify($1, value) FROM moved",
    )
    .with(schema.as_str().to_owned(), Type::TEXT)
}

/// Announces a recall when the transaction is committed.
pub fn announce_recall(schema: &Schema) -> Statement {
    Statement::new("SELECT pg_notify($1, $2)").text(schema.as_str()).text(RECALL)
}

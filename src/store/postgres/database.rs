//! The connections to the server, and talking over them in transactions.
//!
//! No statement is prepared by name and no setting outlives a transaction, so that a pooler may hand over another
//! connection after each of them. Statements that do not wait for each other's answers go out together: a transaction takes
//! as many round trips as it has [`Session::run`]s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use futures_util::future::join_all;
use futures_util::{StreamExt, pin_mut};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::error::{PostgresError, Result};
use super::options::{Address, Schema};
use crate::{Code, Error};

/// For a new connection, its encryption and its password included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the statements that go out together. The server itself gives up earlier: then the connection is kept.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// For changes to the tables, which may have to wait for others, and for what reads or writes much.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(600);
/// For the next rows of a long answer.
const ROWS_TIMEOUT: Duration = Duration::from_secs(60);
/// From when it is known that the store will be closed, for a server that is away.
const CLOSING_PATIENCE: Duration = Duration::from_secs(3);
/// One writes, four read, two see to the outbox, one tidies up.
const CONNECTIONS: usize = 8;
/// Rows that are taken from an answer at once.
const CHUNK: usize = 1_024;
/// Between attempts to reach a server that is away: with jitter, so that a thousand processes do not come at once.
pub const RETRY_FROM: Duration = Duration::from_millis(100);
pub const RETRY_TO: Duration = Duration::from_secs(3);

pub struct Database {
    /// It is taken when the database is dropped.
    runtime: Option<Runtime>,
    pool: Pool,
    /// Begins a transaction; what may be set is set for it alone.
    settings: String,
    /// For errors: where the database is, without a password.
    pub place: String,
    outage: Arc<Outage>,
    /// Whether a server that is away has been waited for long enough.
    impatience: watch::Sender<bool>,
}

#[derive(Default)]
struct Outage(Mutex<Reachability>);

#[derive(Default)]
struct Reachability {
    /// Why the server cannot be reached, while it is tried again in the background.
    error: Option<Error>,
    /// How often it was away and has come back.
    returns: u64,
}

impl Outage {
    fn get(&self) -> MutexGuard<'_, Reachability> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Write,
    Read,
    /// To read much, which may take minutes.
    Report,
    /// To write much, while nobody else uses the schema.
    Move,
    /// To change tables, for which it may have to wait for others.
    Schema,
}

impl Purpose {
    /// How long the statements that go out together may take.
    fn patience(self) -> Duration {
        match self {
            Purpose::Write | Purpose::Read => ANSWER_TIMEOUT,
            Purpose::Report | Purpose::Move | Purpose::Schema => SCHEMA_TIMEOUT,
        }
    }
}

/// A statement and its parameters.
pub struct Statement {
    sql: &'static str,
    parameters: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Statement {
    pub fn new(sql: &'static str) -> Self {
        Self { sql, parameters: Vec::new() }
    }

    pub fn with(mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> Self {
        self.parameters.push((Box::new(value), kind));
        self
    }

    pub fn text(self, value: impl Into<String>) -> Self {
        self.with(value.into(), Type::TEXT)
    }

    pub fn texts(self, values: Vec<String>) -> Self {
        self.with(values, Type::TEXT_ARRAY)
    }

    fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|(value, kind)| (value.as_ref() as &(dyn ToSql + Sync), kind.clone())).collect()
    }
}

impl Database {
    pub fn connect(address: &Address, schema: &Schema) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("weighbridge-postgres")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::StoreUnavailable, format!("no thread could be started: {error}")))?;
        let manager = Manager::from_connect(
            // The hosts have theirs.
            tokio_postgres::Config::new(),
            address.hosts.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .build()
            .map_err(|error| Error::new(Code::Internal, format!("the pool of connections: {error}")))?;
        Ok(Self {
            runtime: Some(runtime),
            pool,
            settings: format!("SET LOCAL search_path = {}", schema.quoted()),
            place: address.place(),
            outage: Arc::default(),
            impatience: watch::Sender::new(false),
        })
    }

    pub fn runtime(&self) -> Result<&Runtime> {
        // It is there until the database is dropped.
        self.runtime.as_ref().ok_or_else(|| Error::new(Code::Closed, "the store was closed").into())
    }

    /// Begins a transaction. While the server is known to be away it fails at once.
    pub fn begin(&self, purpose: Purpose) -> Result<Session<'_>> {
        let returns = {
            let reachability = self.outage.get();
            if let Some(error) = &reachability.error {
                return Err(error.clone().into());
            }
            reachability.returns
        };
        match self.runtime()?.block_on(take(&self.pool)) {
            Ok(client) => {
                let (begin, patience) = (Some(self.begin_text(purpose)), purpose.patience());
                Ok(Session { database: self, client: Some(client), begin, patience, returns })
            }
            Err(error) => Err(self.lost(error, returns)),
        }
    }

    fn begin_text(&self, purpose: Purpose) -> String {
        let (mode, statement, lock) = match purpose {
            Purpose::Write => ("", "5s", "3s"),
            Purpose::Read => (" READ ONLY", "5s", "3s"),
            Purpose::Report => (" READ ONLY", "10min", "3s"),
            Purpose::Move | Purpose::Schema => ("", "10min", "10s"),
        };
        format!(
            "BEGIN{mode}; {}; SET LOCAL statement_timeout = '{statement}'; SET LOCAL lock_timeout = '{lock}'; \
             SET LOCAL idle_in_transaction_session_timeout = '10s'",
            self.settings
        )
    }

    /// Sends a text on any of the connections.
    pub fn probing(&self, text: String) -> Probing {
        Probing { pool: self.pool.clone(), text }
    }

    /// Between two attempts to find something out that must be known.
    pub fn pause(&self) {
        if let Ok(runtime) = self.runtime() {
            // The timer belongs to the runtime, so it is made inside.
            runtime.block_on(async { sleep(RETRY_FROM).await });
        }
    }

    /// From now on a server that is away is not waited for much longer.
    pub fn hurry(&self) {
        let impatience = self.impatience.clone();
        if let Ok(runtime) = self.runtime() {
            runtime.spawn(async move {
                sleep(CLOSING_PATIENCE).await;
                impatience.send_replace(true);
            });
        }
    }

    pub fn is_impatient(&self) -> bool {
        *self.impatience.borrow()
    }

    /// Waits for the server, unless it is away when there is no more time for that.
    fn wait<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let abandoned = async {
            // Fails without a sender, and we have one.
            drop(self.impatience.subscribe().wait_for(|is_over| *is_over).await);
            while self.outage.get().error.is_none() {
                sleep(RETRY_FROM).await;
            }
        };
        self.runtime()?.block_on(async {
            tokio::select! {
                answer = answer => answer,
                () = abandoned => Err(PostgresError::Timeout),
            }
        })
    }

    /// What is said where the server cannot be reached. From now on it is tried in the background, unless it has come back
    /// since that was begun: then it is an old connection that nobody answers on.
    fn lost(&self, error: PostgresError, returns: u64) -> PostgresError {
        if !error.is_disconnection() {
            return error;
        }
        let error = error.at(&self.place);
        let mut outage = self.outage.get();
        if outage.error.is_none()
            && outage.returns == returns
            && let Ok(runtime) = self.runtime()
        {
            outage.error = Some(error.clone());
            runtime.spawn(recover(self.pool.clone(), Arc::clone(&self.outage)));
        }
        error.into()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not to wait for a server that does not answer.
            runtime.shutdown_background();
        }
    }
}

/// A text to be sent now and then.
pub struct Probing {
    pool: Pool,
    text: String,
}

impl Probing {
    /// Where it cannot be sent nobody hears it.
    pub async fn send(&self) {
        let Ok(client) = take(&self.pool).await else { return };
        if !matches!(timeout(CONNECT_TIMEOUT, client.batch_execute(&self.text)).await, Ok(Ok(()))) {
            drop(Object::take(client));
        }
    }
}

async fn take(pool: &Pool) -> Result<Object> {
    match timeout(CONNECT_TIMEOUT, pool.get()).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(PoolError::Backend(error))) => Err(error.into()),
        Ok(Err(_)) | Err(_) => Err(PostgresError::Timeout),
    }
}

/// Tries to reach the server until it answers again.
async fn recover(pool: Pool, outage: Arc<Outage>) {
    // They lead where nobody answers, and to find that out would take each one's time.
    pool.retain(|_, _| false);
    let attempt = || async {
        let client = take(&pool).await?;
        let answer = timeout(CONNECT_TIMEOUT, client.batch_execute("SELECT 1")).await;
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(discard(client, error.into())),
            Err(_) => Err(discard(client, PostgresError::Timeout)),
        }
    };
    let pauses = ExponentialBuilder::default()
        .with_min_delay(RETRY_FROM)
        .with_max_delay(RETRY_TO)
        .with_jitter()
        .without_max_times();
    // It is tried for ever, or until the runtime ends.
    drop(attempt.retry(pauses).await);
    let mut outage = outage.get();
    outage.error = None;
    outage.returns += 1;
}

/// Closes a connection that is in an unknown state.
fn discard(client: Object, error: PostgresError) -> PostgresError {
    drop(Object::take(client));
    error
}

/// A transaction. It is rolled back, and its connection closed, unless it is finished.
pub struct Session<'d> {
    database: &'d Database,
    client: Option<Object>,
    /// Goes out with the first statements.
    begin: Option<String>,
    patience: Duration,
    /// How often the server had come back when it was begun.
    returns: u64,
}

impl Session<'_> {
    /// Sends statements together and answers with each one's rows.
    pub fn run(&mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>> {
        self.send(statements, None)
    }

    pub fn run_one(&mut self, statement: Statement) -> Result<Vec<Row>> {
        Ok(self.run(&[statement])?.pop().unwrap_or_default())
    }

    /// The same, and then ends the transaction.
    pub fn finish(mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>> {
        let rows = self.send(statements, Some("COMMIT"))?;
        self.release();
        Ok(rows)
    }

    /// Runs texts that have no parameters, of several statements perhaps.
    pub fn execute(&mut self, texts: &[&str]) -> Result<()> {
        let begin = self.begin.take();
        let client = self.client()?;
        let texts = begin.as_deref().into_iter().chain(texts.iter().copied());
        let answers = join_all(texts.map(|text| client.batch_execute(text)));
        let result = self.wait(SCHEMA_TIMEOUT, async { first_cause(answers.await) });
        result.map(drop).map_err(|error| self.broken(error))
    }

    /// Visits the rows of a long answer.
    pub fn visit(&mut self, statement: &Statement, mut visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        self.run(&[])?;
        let client = self.client()?;
        let visited = self.database.wait(async {
            let rows = client.query_typed_raw(statement.sql, statement.parameters()).await?.ready_chunks(CHUNK);
            pin_mut!(rows);
            while let Some(chunk) = timeout(ROWS_TIMEOUT, rows.next()).await.map_err(|_| PostgresError::Timeout)? {
                chunk.into_iter().try_for_each(|row| visit(&row?))?;
            }
            Ok(())
        });
        visited.map_err(|error| self.broken(error))
    }

    fn send(&mut self, statements: &[Statement], end: Option<&'static str>) -> Result<Vec<Vec<Row>>> {
        let begin = self.begin.take();
        let client = self.client()?;
        let answers = async {
            let begin = async {
                match &begin {
                    Some(text) => client.batch_execute(text).await,
                    None => Ok(()),
                }
            };
            let queries = join_all(statements.iter().map(|statement| async move {
                client.query_typed(statement.sql, &statement.parameters()).await.map_err(PostgresError::from)
            }));
            let end = async {
                match end {
                    Some(text) => client.batch_execute(text).await,
                    None => Ok(()),
                }
            };
            // All of them are sent before the first one is answered, in this order.
            let (begun, rows, ended) = tokio::join!(biased; begin, queries, end);
            begun?;
            let rows = first_cause(rows)?;
            ended?;
            Ok(rows)
        };
        let answered = self.wait(self.patience, answers);
        answered.map_err(|error| self.broken(error))
    }

    fn wait<T>(&self, limit: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.database.wait(async { timeout(limit, answer).await.unwrap_or(Err(PostgresError::Timeout)) })
    }

    fn client(&self) -> Result<&Object> {
        // It is there until the transaction is finished or has failed.
        self.client.as_ref().ok_or_else(|| Error::new(Code::Internal, "the transaction has ended").into())
    }

    fn release(&mut self) {
        drop(self.client.take());
    }

    /// After an error the connection is not used again. A server that does not answer is left alone for a while.
    fn broken(&mut self, error: PostgresError) -> PostgresError {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
        if matches!(error, PostgresError::Timeout) { self.database.lost(error, self.returns) } else { error }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

/// All answers, or the error that the others follow from.
fn first_cause<T, E: Into<PostgresError>>(answers: Vec<std::result::Result<T, E>>) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(answers.len());
    let mut consequence = None;
    for answer in answers {
        match answer.map_err(Into::into) {
            Ok(value) => values.push(value),
            Err(error) if error.is_consequence() => consequence = Some(error),
            Err(error) => return Err(error),
        }
    }
    consequence.map_or(Ok(values), Err)
}

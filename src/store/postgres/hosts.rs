//! Of several servers the one that can be written to. One that hangs keeps nobody from the next.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database::CONNECT_TIMEOUT;

pub type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The servers of a URL, in its order.
#[derive(Clone)]
pub struct Hosts {
    each: Arc<[Config]>,
    /// Which of them was the right one last: it is asked first.
    last: Arc<AtomicUsize>,
    tls: MakeRustlsConnect,
}

impl Hosts {
    pub fn new(config: &Config, tls: MakeRustlsConnect) -> Self {
        let count = config.get_hosts().len().max(config.get_hostaddrs().len());
        let each = (0..count).map(|index| only(config, index)).collect();
        Self { each, last: Arc::default(), tls }
    }

    /// Each server has its share of [`CONNECT_TIMEOUT`]; that the last one does not take longer, whoever waits must see to.
    pub async fn connect(&self) -> Result<(Client, Connection<Socket, Stream>), Error> {
        let count = self.each.len();
        let share = CONNECT_TIMEOUT / u32::try_from(count).unwrap_or(u32::MAX);
        let first = self.last.load(Ordering::Relaxed);
        let mut turn = 0;
        loop {
            let index = (first + turn) % count;
            let attempt = self.each[index].connect(self.tls.clone());
            turn += 1;
            let answer = if turn < count { timeout(share, attempt).await.ok() } else { Some(attempt.await) };
            match answer {
                Some(Ok(connected)) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                Some(Err(error)) if turn == count => return Err(error),
                Some(Err(_)) | None => {}
            }
        }
    }
}

impl Connect for Hosts {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(async move {
            let (client, connection) = Hosts::connect(self).await?;
            let talking = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to PostgreSQL has ended");
                }
            });
            Ok((client, talking))
        })
    }
}

/// The same with one of its servers only.
fn only(config: &Config, index: usize) -> Config {
    let mut one = Config::new();
    match config.get_hosts().get(index) {
        Some(Host::Tcp(name)) => _ = one.host(name),
        #[cfg(unix)]
        Some(Host::Unix(path)) => _ = one.host_path(path),
        None => {}
    }
    if let Some(address) = config.get_hostaddrs().get(index) {
        one.hostaddr(*address);
    }
    let ports = config.get_ports();
    if let Some(port) = ports.get(index).or_else(|| ports.first()) {
        one.port(*port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    one
}

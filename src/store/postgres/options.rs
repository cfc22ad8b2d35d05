//! Where the database is and how to reach it.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::database::CONNECT_TIMEOUT;
use super::hosts::Hosts;
use super::tls::{self, Verification};
use crate::domain::HolderId;
use crate::{Error, Result};

const DEFAULT_SCHEMA: &str = "weighbridge";
/// PostgreSQL cuts longer names off.
const MAX_SCHEMA_BYTES: usize = 63;

/// How to open a [`super::PostgresStore`].
#[derive(Clone)]
pub struct PostgresOptions {
    pub address: Address,
    pub schema: Schema,
    /// Events of older months are dropped; `None` keeps them all.
    pub retention_months: Option<u32>,
    /// Whose groups are committed here; unlike every other's, now and ever.
    pub writer: HolderId,
    /// What the ids of all holders begin with whose journals are where the writer's is.
    pub home: String,
}

/// A database, and how to reach it.
#[derive(Clone)]
pub struct Address {
    config: Config,
    pub(super) hosts: Hosts,
}

impl Address {
    /// `url` is a connection URI as PostgreSQL's own tools take it, with one host or several:
    /// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>.
    pub fn parse(url: &str) -> Result<Self> {
        let (url, encryption) = Encryption::take_from(url)?;
        let mut config: Config = url.parse().map_err(|error| invalid_url(&error))?;
        config.ssl_mode(encryption.mode);
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            return Err(unescaped());
        }
        if config.get_hosts().is_empty() {
            return Err(Error::invalid("`store` names no host; write postgres://user:password@host/database"));
        }
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            // Of several servers one is the primary, and only that one can be written to.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("weighbridge");
        }
        let tls = tls::connector(encryption.verification, encryption.root_certificates.as_deref())?;
        let hosts = Hosts::new(&config, tls);
        Ok(Self { config, hosts })
    }

    /// Names the database, without user and password.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host).collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("PostgreSQL on {}, database {database:?}", hosts.join(", "))
    }
}

/// Nothing of the URL is shown: it may be a part of the password.
fn unescaped() -> Error {
    Error::invalid("`store`: write @ as %40, ? as %3F and / as %2F in the user and the password")
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

fn invalid_url(error: &tokio_postgres::Error) -> Error {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), |source| source.to_string());
    let example = "postgres://user:password@host:5432/database";
    Error::invalid(format!("`store` must be a URL such as {example}: {reason}"))
}

/// The name of the schema that holds our tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(String);

impl Default for Schema {
    fn default() -> Self {
        Self(DEFAULT_SCHEMA.to_owned())
    }
}

impl Schema {
    pub fn new(name: &str) -> Result<Self> {
        let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if (1..=MAX_SCHEMA_BYTES).contains(&name.len()) && is_plain(name) {
            return Ok(Self(name.to_owned()));
        }
        let message = format!("`schema` must be 1 to {MAX_SCHEMA_BYTES} letters, digits and underscores, got {name:?}");
        Err(Error::invalid(message))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// What the URL says of encryption. tokio-postgres knows a part of it.
struct Encryption {
    mode: SslMode,
    verification: Verification,
    root_certificates: Option<PathBuf>,
}

impl Encryption {
    /// Takes `sslmode` and `sslrootcert` out of a URL. They mean what they mean to PostgreSQL's own tools:
    /// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
    fn take_from(url: &str) -> Result<(String, Self)> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        if query.contains('@') {
            return Err(unescaped());
        }
        let mut others = Vec::new();
        let mut mode = None;
        let mut is_system = false;
        let mut root_certificates = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" if value == "system" => is_system = true,
                "sslrootcert" => root_certificates = Some(PathBuf::from(value.as_ref())),
                _ => others.push(parameter),
            }
        }
        let mode = mode.unwrap_or_else(|| if is_system { "verify-full" } else { "prefer" }.to_owned());
        if is_system && mode != "verify-full" {
            return Err(Error::invalid(format!("`sslrootcert=system` needs `sslmode=verify-full`, got {mode:?}")));
        }
        let (mode, verification) = match (mode.as_str(), &root_certificates) {
            ("disable", _) => (SslMode::Disable, Verification::None),
            ("allow" | "prefer", _) => (SslMode::Prefer, Verification::None),
            ("require", None) => (SslMode::Require, Verification::None),
            ("require", Some(_)) | ("verify-ca", _) => (SslMode::Require, Verification::Issuer),
            ("verify-full", _) => (SslMode::Require, Verification::IssuerAndHost),
            (other, _) => {
                let message = format!(
                    "`sslmode` must be disable, allow, prefer, require, verify-ca or verify-full, got {other:?}"
                );
                return Err(Error::invalid(message));
            }
        };
        let url = if others.is_empty() { address.to_owned() } else { format!("{address}?{}", others.join("&")) };
        Ok((url, Self { mode, verification, root_certificates }))
    }
}

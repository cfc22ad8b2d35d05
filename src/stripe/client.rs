//! The only HTTP of Weighbridge: pooled connections, headers, time-outs, attempts.

use std::{fmt, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use stripe_client_core::{StripeMethod, StripeRequest};
use tokio::time::Instant;

use super::{
    ApiVersion, DEFAULT_API_VERSION, Result, StripeError,
    call::{Body, Call, Host},
    retry,
};
use crate::{Code, Error};

pub const DEFAULT_BASE_URL: &str = "https://api.stripe.com";
pub const DEFAULT_METER_EVENTS_BASE_URL: &str = "https://meter-events.stripe.com";
/// A larger answer is refused: Stripe's largest, a list of a hundred expanded objects, stay far below.
pub const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

const AGENT: &str = concat!("Weighbridge/", env!("CARGO_PKG_VERSION"));
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
const STRIPE_ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");

/// How to reach Stripe. The defaults are those of stripe-node.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub secret_key: SecretString,
    /// `http` or `https`; it may have a path, before which a proxy is mounted, and end in a slash.
    pub base_url: String,
    /// The same for the host that takes the meter event stream.
    pub meter_events_base_url: String,
    /// Sent as it is.
    pub api_version: String,
    /// Of each attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// How many attempts may follow the first.
    pub max_network_retries: u32,
    /// The least wait before another attempt.
    pub initial_backoff: Duration,
    /// Of a call: no attempt begins later, and all but the first end by then.
    pub deadline: Duration,
}

impl ClientOptions {
    pub fn new(secret_key: impl Into<SecretString>) -> Self {
        Self {
            secret_key: secret_key.into(),
            base_url: DEFAULT_BASE_URL.to_owned(),
            meter_events_base_url: DEFAULT_METER_EVENTS_BASE_URL.to_owned(),
            api_version: DEFAULT_API_VERSION.to_owned(),
            timeout: Duration::from_secs(80),
            max_network_retries: 2,
            initial_backoff: retry::DEFAULT_INITIAL_BACKOFF,
            deadline: retry::DEFAULT_DEADLINE,
        }
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub request_id: Option<String>,
    /// Stripe's own text, known to be JSON.
    pub body: Box<RawValue>,
}

impl Response {
    pub fn into_json(self) -> String {
        Box::<str>::from(self.body).into_string()
    }

    /// Reads the few fields that we need. `what` names the object in the error.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self, what: &str) -> Result<T> {
        serde_json::from_str(self.body.get()).map_err(|error| {
            let message = format!("Stripe answered with {what} that cannot be read: {error}");
            StripeError::unusable(message, self.status, self.request_id.clone()).into()
        })
    }
}

/// Sends requests to Stripe. Connections are kept and shared by all calls, which must run on one tokio runtime.
pub struct StripeClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Without a slash at the end.
    base_url: String,
    meter_events_base_url: String,
    api_version: ApiVersion,
    secret_key: SecretString,
    /// Those that all requests have in common.
    headers: HeaderMap,
    timeout: Duration,
    max_network_retries: u32,
    initial_backoff: Duration,
    deadline: Duration,
}

impl StripeClient {
    /// Opens no connection and starts no thread.
    ///
    /// The key is looked at last: [`Code::StripeKeyMissing`] means that all other options are good.
    pub fn new(options: ClientOptions) -> crate::Result<Self> {
        let base_url = parse_base_url("baseUrl", &options.base_url)?;
        let meter_events_base_url = parse_base_url("meterEventsBaseUrl", &options.meter_events_base_url)?;
        let api_version = ApiVersion::new(options.api_version)?;
        check_timeout(options.timeout)?;
        let headers = common_headers(&options.secret_key, &api_version)?;
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector()?),
            base_url,
            meter_events_base_url,
            api_version,
            secret_key: options.secret_key,
            headers,
            timeout: options.timeout,
            max_network_retries: options.max_network_retries,
            initial_backoff: options.initial_backoff,
            deadline: options.deadline,
        })
    }

    pub fn api_version(&self) -> &ApiVersion {
        &self.api_version
    }

    /// Sends a request of version 1.
    pub async fn send<R: StripeRequest + Sync>(&self, request: &R) -> Result<Response> {
        self.call(Call::new(request)).await
    }

    /// Makes a call: attempts until one succeeds, fails for good, or the retries or the time have run out. Whatever must
    /// not happen twice carries one idempotency key, the same in every attempt.
    pub async fn call(&self, call: Call) -> Result<Response> {
        let request = self.prepare(&call)?;
        let timeout = call.options.timeout.unwrap_or(self.timeout);
        let max_retries = call.options.max_network_retries.unwrap_or(self.max_network_retries);
        check_timeout(timeout)?;
        let deadline = Instant::now() + self.deadline;
        let mut time_left = timeout;
        let mut retries = 0;
        loop {
            let error = match self.attempt(request.clone(), timeout.min(time_left)).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            retries += 1;
            let wait = retry::backoff(self.initial_backoff, retries, random_fraction(), error.retry_after);
            time_left = deadline.saturating_duration_since(Instant::now() + wait);
            if !error.is_retriable || retries > max_retries || time_left.is_zero() {
                return Err(self.without_secrets(error, &call.host).into());
            }
            tracing::debug!(retries, ?wait, status = error.status_code, "trying Stripe again");
            tokio::time::sleep(wait).await;
        }
    }

    fn without_secrets(&self, error: StripeError, host: &Host) -> StripeError {
        let error = error.redact(self.secret_key.expose_secret());
        match host {
            Host::Api => error,
            Host::MeterEvents(token) => error.redact(token.expose_secret()),
        }
    }

    fn prepare(&self, call: &Call) -> crate::Result<Request<Full<Bytes>>> {
        let base_url = match call.host {
            Host::Api => &self.base_url,
            Host::MeterEvents(_) => &self.meter_events_base_url,
        };
        let uri = format!("{base_url}{}", call.path);
        let (body, content_type) = match &call.body {
            Body::None => (Full::default(), None),
            Body::Form(form) => (Full::from(form.clone()), Some("application/x-www-form-urlencoded")),
            Body::Json(json) => (Full::from(json.clone()), Some("application/json")),
        };
        let mut request = Request::new(body);
        *request.uri_mut() =
            uri.parse().map_err(|error| Error::invalid(format!("{uri:?} is no URL to ask Stripe at: {error}")))?;
        *request.method_mut() = match call.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Delete => Method::DELETE,
            StripeMethod::Post => Method::POST,
        };
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        if let Host::MeterEvents(token) = &call.host {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(version) = call.api_version()? {
            headers.insert(STRIPE_VERSION, header("apiVersion", version.as_str())?);
        }
        if let Some(account) = &call.options.stripe_account {
            headers.insert(STRIPE_ACCOUNT, header("stripeAccount", account)?);
        }
        if let Some(key) = call.idempotency_key()? {
            headers.insert(IDEMPOTENCY_KEY, header("idempotencyKey", &key)?);
        }
        Ok(request)
    }

    async fn attempt(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> std::result::Result<Response, StripeError> {
        let (status, headers, body) = match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(exchanged) => exchanged?,
            Err(_) => return Err(StripeError::connection(format!("Stripe did not answer within {timeout:?}"))),
        };
        let request_id = text(&headers, &REQUEST_ID).map(str::to_owned);
        if !(200..300).contains(&status) {
            return Err(StripeError {
                is_retriable: retry::is_retriable(status, text(&headers, &SHOULD_RETRY)),
                retry_after: text(&headers, &RETRY_AFTER).and_then(retry::parse_retry_after),
                ..StripeError::from_answer(status, request_id, &body)
            });
        }
        match serde_json::from_slice(&body) {
            Ok(body) => Ok(Response { status, request_id, body }),
            Err(error) => {
                let message = format!("Invalid JSON received from the Stripe API: {error}");
                Err(StripeError::unusable(message, status, request_id))
            }
        }
    }

    /// One request, one whole answer.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> std::result::Result<(u16, HeaderMap, Bytes), StripeError> {
        let response = self.http.request(request).await.map_err(|error| disconnected(&error))?;
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        match Limited::new(body, MAX_RESPONSE_BYTES).collect().await {
            Ok(body) => Ok((status, parts.headers, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                let request_id = text(&parts.headers, &REQUEST_ID).map(str::to_owned);
                let message = format!("Stripe's answer is larger than {MAX_RESPONSE_BYTES} bytes");
                Err(StripeError::unusable(message, status, request_id))
            }
            Err(error) => Err(disconnected(&*error)),
        }
    }
}

impl fmt::Debug for StripeClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StripeClient")
            .field("base_url", &self.base_url)
            .field("api_version", &self.api_version)
            .field("timeout", &self.timeout)
            .field("max_network_retries", &self.max_network_retries)
            .finish_non_exhaustive()
    }
}

fn disconnected(error: &(dyn std::error::Error + 'static)) -> StripeError {
    // The outer errors only say "client error"; the innermost tells the cause.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    StripeError::connection(format!("An error occurred with our connection to Stripe: {cause}"))
}

fn check_timeout(timeout: Duration) -> crate::Result<()> {
    if timeout.is_zero() { Err(Error::invalid("the time-out must be positive")) } else { Ok(()) }
}

fn connector() -> crate::Result<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    // Named, because rustls' default is whatever another crate of the process made it.
    let builder = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| Error::new(Code::Internal, format!("TLS could not be set up: {error}")))?;
    Ok(builder.https_or_http().enable_all_versions().wrap_connector(http))
}

fn common_headers(secret_key: &SecretString, api_version: &ApiVersion) -> crate::Result<HeaderMap> {
    let text = secret_key.expose_secret();
    if text.is_empty() {
        return Err(Error::new(Code::StripeKeyMissing, "STRIPE_SECRET_KEY environment variable is required"));
    }
    // A space or a line break comes from a badly copied key; the message must not show it.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid("the Stripe secret key must be printable ASCII without spaces"));
    }
    Ok(HeaderMap::from_iter([
        (AUTHORIZATION, bearer(secret_key)?),
        (STRIPE_VERSION, header("apiVersion", api_version.as_str())?),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
    ]))
}

fn bearer(secret: &SecretString) -> crate::Result<HeaderValue> {
    // The message must not show it.
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()))
        .map_err(|_| Error::new(Code::Internal, "the token of a meter event session fits no header"))?;
    authorization.set_sensitive(true);
    Ok(authorization)
}

fn header(field: &str, text: &str) -> crate::Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::invalid(format!("`{field}` must not hold control characters")))
}

/// The base URL without a slash at its end.
fn parse_base_url(field: &str, text: &str) -> crate::Result<String> {
    // The message does not repeat the URL: it may hold a password.
    let wrong = || {
        Error::invalid(format!(
            "`{field}` must be an http or https URL such as {DEFAULT_BASE_URL:?}, without user, query or fragment"
        ))
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let is_plain = uri.query().is_none() && !text.contains('#') && !authority.as_str().contains('@');
    if !matches!(scheme, "http" | "https") || authority.host().is_empty() || !is_plain {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/')))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// From 0 to 1. Without randomness waits are merely not spread.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

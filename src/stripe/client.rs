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
use stripe_client_core::{IdempotencyKey, RequestBuilder, StripeMethod, StripeRequest};

use super::{
    ApiVersion, DEFAULT_API_VERSION, Result, StripeError,
    retry::{self, Answer},
};
use crate::{Code, Error};

pub const DEFAULT_BASE_URL: &str = "https://api.stripe.com";
/// A larger answer is refused: Stripe's largest, a list of a hundred expanded objects, stay far below.
pub const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

const AGENT: &str = concat!("Weighbridge/", env!("CARGO_PKG_VERSION"));
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
const RATE_LIMITED_REASON: HeaderName = HeaderName::from_static("stripe-rate-limited-reason");

/// How to reach Stripe. The defaults are those of stripe-node.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub secret_key: SecretString,
    /// `http` or `https`; it may have a path, before which a proxy is mounted, and end in a slash.
    pub base_url: String,
    /// Sent as it is.
    pub api_version: String,
    /// Of each attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// How many attempts may follow the first.
    pub max_network_retries: u32,
    /// The least wait before another attempt.
    pub initial_backoff: Duration,
}

impl ClientOptions {
    pub fn new(secret_key: impl Into<SecretString>) -> Self {
        Self {
            secret_key: secret_key.into(),
            base_url: DEFAULT_BASE_URL.to_owned(),
            api_version: DEFAULT_API_VERSION.to_owned(),
            timeout: Duration::from_secs(80),
            max_network_retries: 2,
            initial_backoff: retry::DEFAULT_INITIAL_BACKOFF,
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
    api_version: ApiVersion,
    secret_key: SecretString,
    /// Those that all requests have in common.
    headers: HeaderMap,
    timeout: Duration,
    max_network_retries: u32,
    initial_backoff: Duration,
}

/// An attempt that failed, and whether another may help.
struct Failed {
    error: StripeError,
    is_retriable: bool,
    retry_after: Option<Duration>,
}

impl StripeClient {
    /// Opens no connection and starts no thread.
    ///
    /// The key is looked at last: [`Code::StripeKeyMissing`] means that all other options are good.
    pub fn new(options: ClientOptions) -> crate::Result<Self> {
        let base_url = parse_base_url(&options.base_url)?;
        let api_version = ApiVersion::new(options.api_version)?;
        if options.timeout.is_zero() {
            return Err(Error::invalid("`timeoutMs` must be positive"));
        }
        let headers = common_headers(&options.secret_key, &api_version)?;
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector()?),
            base_url,
            api_version,
            secret_key: options.secret_key,
            headers,
            timeout: options.timeout,
            max_network_retries: options.max_network_retries,
            initial_backoff: options.initial_backoff,
        })
    }

    pub fn api_version(&self) -> &ApiVersion {
        &self.api_version
    }

    /// Sends a request. A POST gets a random idempotency key, so that repeating it does nothing twice.
    pub async fn send<R: StripeRequest + Sync>(&self, request: &R) -> Result<Response> {
        self.send_idempotent(request, &IdempotencyKey::new_uuid_v4()).await
    }

    /// Sends a POST under the caller's idempotency key. Other methods repeat harmlessly and take none.
    pub async fn send_idempotent<R: StripeRequest + Sync>(
        &self,
        request: &R,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Response> {
        let request = self.prepare(request.build(), idempotency_key)?;
        let mut retries = 0;
        loop {
            // The same request every time, with the same idempotency key.
            let failed = match self.attempt(request.clone()).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            if !failed.is_retriable || retries == self.max_network_retries {
                return Err(failed.error.redact(self.secret_key.expose_secret()).into());
            }
            retries += 1;
            let wait = retry::backoff(self.initial_backoff, retries, random_fraction(), failed.retry_after);
            tracing::debug!(retries, ?wait, status = failed.error.status_code, "trying Stripe again");
            tokio::time::sleep(wait).await;
        }
    }

    fn prepare(&self, call: RequestBuilder, idempotency_key: &IdempotencyKey) -> crate::Result<Request<Full<Bytes>>> {
        let query = call.query.filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
        let uri = format!("{}/v1{}{query}", self.base_url, call.path);
        let mut request = Request::new(Full::from(call.body.unwrap_or_default()));
        *request.uri_mut() =
            uri.parse().map_err(|error| Error::invalid(format!("{uri:?} is no URL to ask Stripe at: {error}")))?;
        *request.headers_mut() = self.headers.clone();
        *request.method_mut() = match call.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Delete => Method::DELETE,
            StripeMethod::Post => {
                let key = HeaderValue::from_str(idempotency_key.as_str())
                    .map_err(|_| Error::invalid("the idempotency key must not hold control characters"))?;
                request.headers_mut().insert(IDEMPOTENCY_KEY, key);
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(CONTENT_TYPE, form);
                Method::POST
            }
        };
        Ok(request)
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> std::result::Result<Response, Failed> {
        let (status, headers, body) = match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(exchanged) => exchanged?,
            Err(_) => {
                let message = format!("Stripe did not answer within {:?}", self.timeout);
                return Err(Failed::on_the_way(message));
            }
        };
        let request_id = text(&headers, REQUEST_ID).map(str::to_owned);
        if !(200..300).contains(&status) {
            return Err(Failed::answered(status, &headers, request_id, &body));
        }
        match serde_json::from_slice(&body) {
            Ok(body) => Ok(Response { status, request_id, body }),
            Err(error) => {
                let message = format!("Invalid JSON received from the Stripe API: {error}");
                Err(Failed::for_good(StripeError::unusable(message, status, request_id)))
            }
        }
    }

    /// One request, one whole answer.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> std::result::Result<(u16, HeaderMap, Bytes), Failed> {
        let response = self.http.request(request).await.map_err(|error| Failed::disconnected(&error))?;
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        match Limited::new(body, MAX_RESPONSE_BYTES).collect().await {
            Ok(body) => Ok((status, parts.headers, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                let request_id = text(&parts.headers, REQUEST_ID).map(str::to_owned);
                let message = format!("Stripe's answer is larger than {MAX_RESPONSE_BYTES} bytes");
                Err(Failed::for_good(StripeError::unusable(message, status, request_id)))
            }
            Err(error) => Err(Failed::disconnected(&*error)),
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

impl Failed {
    fn for_good(error: StripeError) -> Self {
        Self { error, is_retriable: false, retry_after: None }
    }

    fn on_the_way(message: String) -> Self {
        Self { error: StripeError::connection(message), is_retriable: true, retry_after: None }
    }

    fn disconnected(error: &(dyn std::error::Error + 'static)) -> Self {
        // The outer errors only say "client error"; the innermost tells the cause.
        let mut cause = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::on_the_way(format!("An error occurred with our connection to Stripe: {cause}"))
    }

    fn answered(status: u16, headers: &HeaderMap, request_id: Option<String>, body: &[u8]) -> Self {
        let error = StripeError::from_answer(status, request_id, body);
        let answer = Answer {
            status,
            should_retry: text(headers, SHOULD_RETRY),
            is_rate_limited: headers.contains_key(RATE_LIMITED_REASON),
            code: error.code.as_deref(),
        };
        Self {
            is_retriable: answer.is_retriable(),
            retry_after: text(headers, RETRY_AFTER).and_then(retry::parse_retry_after),
            error,
        }
    }
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
    let secret_key = secret_key.expose_secret();
    if secret_key.is_empty() {
        return Err(Error::new(Code::StripeKeyMissing, "STRIPE_SECRET_KEY environment variable is required"));
    }
    // A space or a line break comes from a badly copied key; the message must not show it.
    if !secret_key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid("the Stripe secret key must be printable ASCII without spaces"));
    }
    let header = |text: &str| HeaderValue::from_str(text).map_err(|error| Error::invalid(error.to_string()));
    let mut authorization = header(&format!("Bearer {secret_key}"))?;
    authorization.set_sensitive(true);
    Ok(HeaderMap::from_iter([
        (AUTHORIZATION, authorization),
        (STRIPE_VERSION, header(api_version.as_str())?),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
    ]))
}

/// The base URL without a slash at its end.
fn parse_base_url(text: &str) -> crate::Result<String> {
    // The message does not repeat the URL: it may hold a password.
    let wrong = || {
        Error::invalid(format!(
            "`baseUrl` must be an http or https URL such as {DEFAULT_BASE_URL:?}, without user, query or fragment"
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

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// From 0 to 1. Without randomness waits are merely not spread.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

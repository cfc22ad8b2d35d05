//! One logical call, however many attempts it takes: what is asked, of which host, under which options.

use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use stripe_client_core::{IdempotencyKey, RequestBuilder, StripeMethod, StripeRequest};

use super::ApiVersion;
use crate::{Code, Error, Result};

const V1: &str = "/v1/";
const V2: &str = "/v2/";
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// What may differ from call to call, under the names of stripe-node's request options.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// At most 255 characters. Without one a random key is made. Calls that repeat harmlessly carry none.
    pub idempotency_key: Option<String>,
    pub api_version: Option<String>,
    /// The connected account (`acct_…`) on whose behalf is asked.
    pub stripe_account: Option<String>,
    /// Of each attempt.
    pub timeout: Option<Duration>,
    pub max_network_retries: Option<u32>,
}

impl CallOptions {
    pub fn with_key(idempotency_key: impl Into<String>) -> Self {
        Self { idempotency_key: Some(idempotency_key.into()), ..Self::default() }
    }

    pub fn with_version(api_version: impl Into<String>) -> Self {
        Self { api_version: Some(api_version.into()), ..Self::default() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// Of version 1.
    Form(String),
    /// Of version 2.
    Json(String),
}

/// Whom to ask, and with what proof of who asks.
#[derive(Debug, Clone)]
pub(super) enum Host {
    /// With the secret key.
    Api,
    /// With a session's token.
    MeterEvents(SecretString),
}

#[derive(Debug, Clone)]
pub struct Call {
    pub(super) method: StripeMethod,
    /// From `/v1/` or `/v2/` on, with its query.
    pub(super) path: String,
    pub(super) body: Body,
    pub(super) host: Host,
    pub(super) options: CallOptions,
}

impl Call {
    /// A request of version 1.
    pub fn new(request: &impl StripeRequest) -> Self {
        let RequestBuilder { method, path, query, body } = request.build();
        let query = query.filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            path: format!("/v1{path}{query}"),
            body: match body {
                None if !matches!(method, StripeMethod::Post) => Body::None,
                form => Body::Form(form.unwrap_or_default()),
            },
            method,
            host: Host::Api,
            options: CallOptions::default(),
        }
    }

    /// A POST of version 2.
    pub fn json(path: &str, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_string(body).map_err(|error| Error::new(Code::Internal, error.to_string()))?;
        Ok(Self {
            method: StripeMethod::Post,
            path: path.to_owned(),
            body: Body::Json(body),
            host: Host::Api,
            options: CallOptions::default(),
        })
    }

    /// Anything at all. Parameters are an object; they become the query of a GET or DELETE and the body of a POST, a form
    /// or JSON as the path's version wants it. The path may have a query of its own.
    pub fn raw(method: &str, path: &str, params: &Value) -> Result<Self> {
        check_path(path)?;
        if !params.is_object() {
            return Err(Error::invalid(format!("the parameters of {path} must be an object")));
        }
        let method = match method.to_ascii_uppercase().as_str() {
            "GET" => StripeMethod::Get,
            "POST" => StripeMethod::Post,
            "DELETE" => StripeMethod::Delete,
            _ => {
                return Err(Error::invalid(format!(
                    "`method` must be \"GET\", \"POST\" or \"DELETE\", got {method:?}"
                )));
            }
        };
        if matches!(method, StripeMethod::Post) && path.starts_with(V2) {
            return Self::json(path, params);
        }
        let form = as_form(params).and_then(|params| RequestBuilder::new(method, path).form(&params).body);
        let form = form.unwrap_or_default();
        let (path, body) = match method {
            StripeMethod::Post => (path.to_owned(), Body::Form(form)),
            _ if form.is_empty() => (path.to_owned(), Body::None),
            _ => (format!("{path}{}{form}", if path.contains('?') { '&' } else { '?' }), Body::None),
        };
        Ok(Self { method, path, body, host: Host::Api, options: CallOptions::default() })
    }

    pub fn with(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    pub(super) fn at_meter_events(mut self, token: SecretString) -> Self {
        self.host = Host::MeterEvents(token);
        self
    }

    pub(super) fn api_version(&self) -> Result<Option<ApiVersion>> {
        self.options.api_version.clone().map(ApiVersion::new).transpose()
    }

    /// The caller's key or a random one, where Stripe takes one: on POSTs, and in version 2 also on DELETEs
    /// (<https://docs.stripe.com/api/idempotent_requests>).
    pub(super) fn idempotency_key(&self) -> Result<Option<String>> {
        let takes_one = match self.method {
            StripeMethod::Get => false,
            StripeMethod::Delete => self.path.starts_with(V2),
            StripeMethod::Post => true,
        };
        if !takes_one {
            return Ok(None);
        }
        match &self.options.idempotency_key {
            None => Ok(Some(IdempotencyKey::new_uuid_v4().as_str().to_owned())),
            Some(key) if key.is_empty() || key.chars().count() > MAX_IDEMPOTENCY_KEY => Err(Error::invalid(format!(
                "`idempotencyKey` must have 1 to {MAX_IDEMPOTENCY_KEY} characters, got {}",
                key.chars().count()
            ))),
            Some(key) => Ok(Some(key.clone())),
        }
    }
}

/// A form holds text alone: `null`, which unsets a field, is empty text in it, and an object or array with nothing in it
/// is not there.
fn as_form(params: &Value) -> Option<Value> {
    match params {
        Value::Null => Some(Value::from("")),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(as_form).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| Some((name.clone(), as_form(value)?)));
            let fields: Map<_, _> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        text_or_number => Some(text_or_number.clone()),
    }
}

/// The secret key goes wherever the path leads, so it must lead to Stripe's API and nowhere else.
fn check_path(path: &str) -> Result<()> {
    let before_query = path.split('?').next().unwrap_or_default();
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'));
    let leads_up = before_query.split('/').any(|segment| matches!(segment, "." | "..") || segment.contains('%'));
    let is_versioned = [V1, V2].iter().any(|version| path.starts_with(version));
    if !is_plain || leads_up || !is_versioned || before_query[V1.len()..].is_empty() || before_query.contains("//") {
        return Err(Error::invalid(format!(
            "`path` must begin with /v1/ or /v2/ and lead straight on, as \"/v1/customers\" does; got {path:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(method: &str, path: &str, params: &Value) -> (String, Body) {
        let call = Call::raw(method, path, params).unwrap();
        (call.path, call.body)
    }

    #[test]
    fn parameters_go_where_the_method_and_the_version_want_them() {
        let params = json!({ "a": [1, { "b": "x & y" }], "c": true, "d": null, "e": [{}], "f": 0.1 });
        let form = "a[0]=1&a[1][b]=x+%26+y&c=true&d=&f=0.1".to_owned();
        assert_eq!(raw("get", "/v1/prices", &params), (format!("/v1/prices?{form}"), Body::None));
        assert_eq!(raw("DELETE", "/v1/prices?g=1", &params), (format!("/v1/prices?g=1&{form}"), Body::None));
        assert_eq!(raw("POST", "/v1/prices", &params), ("/v1/prices".into(), Body::Form(form)));
        assert_eq!(raw("POST", "/v2/x", &json!({"a": [1]})), ("/v2/x".into(), Body::Json(r#"{"a":[1]}"#.into())));
        assert_eq!(raw("GET", "/v1/balance", &json!({})), ("/v1/balance".into(), Body::None));
        assert_eq!(raw("POST", "/v1/prices", &json!({})), ("/v1/prices".into(), Body::Form(String::new())));
    }

    #[test]
    fn paths_lead_to_the_api_alone() {
        for bad in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v2/",
            "/v3/x",
            "v1/customers",
            "//v1/x",
            "/v1//x",
            "/v1/../x",
            "/v1/./x",
            "/v1/%2e%2e/x",
            "/v1/x y",
            "/v1/x#y",
            "/v1/x\\y",
            "/v1/x\r\nHost: y",
            "/v1/ü",
            "https://elsewhere/v1/x",
        ] {
            assert!(Call::raw("GET", bad, &json!({})).is_err(), "{bad:?}");
        }
        assert!(Call::raw("PATCH", "/v1/x", &json!({})).is_err());
        assert!(Call::raw("POST", "/v1/x", &json!([])).is_err());
    }

    #[test]
    fn keys_belong_to_what_must_not_happen_twice() {
        let key = |method: &str, path: &str| Call::raw(method, path, &json!({})).unwrap().idempotency_key().unwrap();
        assert_eq!((key("GET", "/v1/x"), key("DELETE", "/v1/x"), key("GET", "/v2/x")), (None, None, None));
        assert!(key("POST", "/v1/x").is_some() && key("POST", "/v2/x").is_some() && key("DELETE", "/v2/x").is_some());
        let with = |key: &str| {
            Call::raw("POST", "/v1/x", &json!({})).unwrap().with(CallOptions::with_key(key)).idempotency_key()
        };
        assert_eq!(with("order-7").unwrap().as_deref(), Some("order-7"));
        assert!(with(&"ü".repeat(255)).is_ok());
        assert!(with("").is_err() && with(&"x".repeat(256)).is_err());
    }
}

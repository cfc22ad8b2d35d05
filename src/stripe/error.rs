//! What can go wrong, under the class names of Stripe's own Node.js library, so that `error.type` checks keep working.

use std::{fmt, time::Duration};

use serde_json::Value;

use super::retry;

pub type Result<T> = std::result::Result<T, Failure>;

/// A call failed: at Stripe or on the way there, or because of us or our caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Stripe(Box<StripeError>),
    #[error(transparent)]
    Weighbridge(#[from] crate::Error),
}

impl From<StripeError> for Failure {
    fn from(error: StripeError) -> Self {
        Failure::Stripe(Box::new(error))
    }
}

/// The classes of stripe-node, as far as the calls here can meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StripeErrorKind {
    /// 400 or 404: a wrong parameter, or no such object.
    InvalidRequest,
    /// 401: the secret key is wrong.
    Authentication,
    /// 402: the card was declined.
    Card,
    /// 403: the key may not do that.
    Permission,
    /// 429: too many requests, or an object is locked by another one.
    RateLimit,
    /// The idempotency key was used before with other parameters.
    Idempotency,
    /// Anything else that Stripe answered, or an answer that is not Stripe's.
    Api,
    /// No answer: no connection, a connection that broke, or a time-out.
    Connection,
    /// The token of a meter event session is older than its fifteen minutes.
    TemporarySessionExpired,
}

impl StripeErrorKind {
    /// The name of the class, which is also its `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            StripeErrorKind::InvalidRequest => "StripeInvalidRequestError",
            StripeErrorKind::Authentication => "StripeAuthenticationError",
            StripeErrorKind::Card => "StripeCardError",
            StripeErrorKind::Permission => "StripePermissionError",
            StripeErrorKind::RateLimit => "StripeRateLimitError",
            StripeErrorKind::Idempotency => "StripeIdempotencyError",
            StripeErrorKind::Api => "StripeAPIError",
            StripeErrorKind::Connection => "StripeConnectionError",
            StripeErrorKind::TemporarySessionExpired => "TemporarySessionExpiredError",
        }
    }

    fn of(status: u16, error_type: Option<&str>, code: Option<&str>) -> Self {
        match status {
            _ if [error_type, code].contains(&Some("temporary_session_expired")) => {
                StripeErrorKind::TemporarySessionExpired
            }
            400 if code == Some("rate_limit") => StripeErrorKind::RateLimit,
            400 | 404 if error_type == Some("idempotency_error") => StripeErrorKind::Idempotency,
            400 | 404 => StripeErrorKind::InvalidRequest,
            401 => StripeErrorKind::Authentication,
            402 => StripeErrorKind::Card,
            403 => StripeErrorKind::Permission,
            429 => StripeErrorKind::RateLimit,
            _ => StripeErrorKind::Api,
        }
    }
}

impl fmt::Display for StripeErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An error as Stripe told it. No field ever holds the secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StripeError {
    pub kind: StripeErrorKind,
    pub message: String,
    pub code: Option<String>,
    /// The parameter that was wrong.
    pub param: Option<String>,
    /// Why the card's issuer declined.
    pub decline_code: Option<String>,
    /// `None`: there was no answer.
    pub status_code: Option<u16>,
    /// What Stripe's support asks for.
    pub request_id: Option<String>,
    /// Whether the same call may succeed later, by Stripe's rule. Under the same idempotency key it is made once.
    pub is_retriable: bool,
    /// How long Stripe asked to wait.
    pub retry_after: Option<Duration>,
}

impl StripeError {
    /// No answer came: whether Stripe did what it was asked is unknown.
    pub(super) fn connection(message: impl Into<String>) -> Self {
        Self {
            kind: StripeErrorKind::Connection,
            message: message.into(),
            code: None,
            param: None,
            decline_code: None,
            status_code: None,
            request_id: None,
            is_retriable: true,
            retry_after: None,
        }
    }

    /// An answer came that we cannot use.
    pub(super) fn unusable(message: impl Into<String>, status: u16, request_id: Option<String>) -> Self {
        Self {
            kind: StripeErrorKind::Api,
            status_code: Some(status),
            request_id,
            is_retriable: false,
            ..Self::connection(message)
        }
    }

    /// Reads an answer that is an error. What is not Stripe's JSON, as a proxy's HTML, still tells its status.
    pub(super) fn from_answer(status: u16, request_id: Option<String>, body: &[u8]) -> Self {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| parsed["error"][name].as_str().map(str::to_owned);
        let code = text("code");
        Self {
            kind: StripeErrorKind::of(status, text("type").as_deref(), code.as_deref()),
            message: text("message").unwrap_or_else(|| format!("Stripe answered with status {status} and no message")),
            code,
            param: text("param"),
            decline_code: text("decline_code"),
            status_code: Some(status),
            request_id,
            is_retriable: retry::is_retriable(status, None),
            retry_after: None,
        }
    }

    /// Whether a meter event was refused because Stripe has one with its identifier: it was delivered before. Stripe's
    /// version 1 gives this refusal no code.
    pub fn is_duplicate_meter_event(&self) -> bool {
        self.status_code == Some(400)
            && (self.code.as_deref() == Some("duplicate_meter_event")
                || self.message.starts_with("An event already exists with identifier"))
    }

    /// Blots out a secret that the other side echoed.
    pub(super) fn redact(mut self, secret: &str) -> Self {
        let optional = [&mut self.code, &mut self.param, &mut self.decline_code, &mut self.request_id];
        for text in optional.into_iter().flatten().chain([&mut self.message]) {
            if text.contains(secret) {
                *text = text.replace(secret, "[secret key]");
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_status() {
        for (status, body, kind) in [
            (400, r#"{"error":{"type":"invalid_request_error"}}"#, "StripeInvalidRequestError"),
            (400, r#"{"error":{"type":"idempotency_error"}}"#, "StripeIdempotencyError"),
            (400, r#"{"error":{"code":"rate_limit"}}"#, "StripeRateLimitError"),
            (401, "{}", "StripeAuthenticationError"),
            (402, "{}", "StripeCardError"),
            (403, "{}", "StripePermissionError"),
            (404, r#"{"error":{"code":"resource_missing"}}"#, "StripeInvalidRequestError"),
            (409, r#"{"error":{"type":"idempotency_error"}}"#, "StripeAPIError"),
            (429, "{}", "StripeRateLimitError"),
            (401, r#"{"error":{"code":"temporary_session_expired"}}"#, "TemporarySessionExpiredError"),
            (302, "", "StripeAPIError"),
            (502, "<html>Bad Gateway</html>", "StripeAPIError"),
        ] {
            let error = StripeError::from_answer(status, None, body.as_bytes());
            assert_eq!((error.kind.as_str(), error.status_code), (kind, Some(status)), "{status} {body}");
        }
    }

    #[test]
    fn fields_of_an_unexpected_type_are_left_out() {
        let error = StripeError::from_answer(400, None, br#"{"error":{"message":"no","code":7,"param":["a"]}}"#);
        assert_eq!((error.message.as_str(), error.code, error.param), ("no", None, None));
        for body in [&b"[]"[..], b"\"text\"", b"{\"error\":\"invalid_grant\"}", b"\xff"] {
            assert_eq!(
                StripeError::from_answer(400, None, body).message,
                "Stripe answered with status 400 and no message"
            );
        }
    }

    #[test]
    fn a_duplicate_meter_event_is_known_by_its_code_or_its_message() {
        let is_duplicate =
            |status, body: &str| StripeError::from_answer(status, None, body.as_bytes()).is_duplicate_meter_event();
        let message =
            r#"{"error":{"type":"invalid_request_error","message":"An event already exists with identifier a:b."}}"#;
        assert!(is_duplicate(400, message));
        assert!(is_duplicate(400, r#"{"error":{"code":"duplicate_meter_event"}}"#));
        assert!(!is_duplicate(500, message));
        assert!(!is_duplicate(400, r#"{"error":{"code":"no_meter","message":"No meter"}}"#));
    }

    #[test]
    fn an_echoed_secret_is_blotted_out_everywhere() {
        let body = r#"{"error":{"message":"Invalid API Key: sk_test_1","param":"sk_test_1","code":"sk_test_1"}}"#;
        let error = StripeError::from_answer(401, Some("req_sk_test_1".into()), body.as_bytes()).redact("sk_test_1");
        assert!(!format!("{error} {error:?}").contains("sk_test_1"));
        assert_eq!(error.message, "Invalid API Key: [secret key]");
    }
}

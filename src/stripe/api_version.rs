//! What an API version still has.

use std::fmt;

use crate::{Error, Result};

/// The API version that the generated request types were made for.
pub const DEFAULT_API_VERSION: &str = "2026-09-30.endive";

/// The last version with usage records.
pub const LAST_VERSION_WITH_USAGE_RECORDS: &str = "2025-02-24.acacia";

/// The first version of "basil", which removed usage records and the invoice's payment intent.
const BASIL: &str = "2025-03-31";

/// The `Stripe-Version` header: a date, since 2024 followed by the release's name (`2025-03-31.basil`). Any text is
/// sent as it is; Stripe refuses versions that it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersion(String);

impl ApiVersion {
    /// Refuses what cannot be sent in a header: nothing, and anything but printable ASCII.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(Error::invalid(format!(
                "`apiVersion` must look like {DEFAULT_API_VERSION:?} or \"2023-10-16\", got {text:?}"
            )));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether usage records and `latest_invoice.payment_intent` still exist. A version that does not start with a date
    /// counts as a new one.
    pub fn is_before_basil(&self) -> bool {
        self.date().is_some_and(|date| date < BASIL)
    }

    /// The `YYYY-MM-DD` at the start: in this form dates compare as text.
    fn date(&self) -> Option<&str> {
        let date = self.0.get(..BASIL.len())?;
        let looks_right = date.bytes().zip(BASIL.bytes()).all(|(byte, model)| match model {
            b'-' => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        looks_right.then_some(date)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_the_request_types_were_generated_for() {
        assert_eq!(DEFAULT_API_VERSION, stripe_client_core::VERSION.as_str());
    }

    #[test]
    fn basil_is_a_date() {
        for (text, before) in [
            ("2017-08-15", true),
            ("2023-10-16", true),
            ("2025-02-24.acacia", true),
            ("2023-10-16; custom_beta=v1", true),
            ("2025-03-31.basil", false),
            ("2026-09-30.endive", false),
            ("preview", false),
            ("1.2.3.4.5.6", false),
        ] {
            assert_eq!(ApiVersion::new(text).unwrap().is_before_basil(), before, "{text}");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        for bad in ["", "2023-10-16\r\nHost: elsewhere", "2023–10–16"] {
            assert!(ApiVersion::new(bad).is_err(), "{bad:?}");
        }
    }
}

//! The `Stripe-Signature` header: `t=<seconds>,v1=<hex>`, an HMAC-SHA256 of `<seconds>.<body>` under the endpoint's
//! secret. While a secret is rolled there is one `v1` for each. Source: <https://docs.stripe.com/webhooks/signature>.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::domain::Timestamp;
use crate::{Code, Error, Result};

/// How far the time of a signature may be from ours, in seconds: as in Stripe's own packages.
pub const DEFAULT_TOLERANCE: u64 = 300;

/// Passes where one of the signatures is of one of the secrets, and its time at most `tolerance` seconds from `now`,
/// earlier or later. The signatures are compared in constant time.
///
/// Errors: `webhook_signature_invalid`; `invalid_argument` where there is no secret, or an empty one, which anybody has.
pub fn verify(payload: &[u8], header: &str, secrets: &[SecretString], tolerance: u64, now: Timestamp) -> Result<()> {
    if secrets.is_empty() {
        return Err(Error::invalid("there is no webhook secret"));
    }
    let header = Header::parse(header)?;
    let mut is_signed = false;
    for secret in secrets {
        let mac = mac(payload, header.time, secret)?;
        // Each is compared, so that how long it takes does not tell which secret it was.
        for signature in &header.signatures {
            is_signed |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if !is_signed {
        return Err(invalid(
            "none of the signatures is of these bytes under the webhook's secret; use the secret of this very endpoint \
             (`whsec_…`), and let nothing read or change the body before",
        ));
    }
    let now = now.as_millis().div_euclid(1000);
    let (distance, relation) = match now.checked_sub_unsigned(header.time) {
        Some(age) if age >= 0 => (age.unsigned_abs(), "ago"),
        Some(age) => (age.unsigned_abs(), "in the future"),
        None => (u64::MAX, "in the future"),
    };
    if distance > tolerance {
        return Err(invalid(format!(
            "it was signed {distance} seconds {relation}, and {tolerance} are tolerated; set this machine's clock, or \
             send the event anew"
        )));
    }
    Ok(())
}

/// A header for a test's own event: `seconds` since the epoch. Refuses an empty secret.
pub fn sign(payload: &[u8], secret: &SecretString, seconds: u64) -> Result<String> {
    let signature = mac(payload, seconds, secret)?.finalize().into_bytes();
    Ok(format!("t={seconds},v1={}", hex::encode(signature)))
}

struct Header {
    /// Seconds since the epoch.
    time: u64,
    signatures: Vec<Vec<u8>>,
}

impl Header {
    /// Parts that are unknown, such as `v0`, are of no interest.
    fn parse(text: &str) -> Result<Self> {
        let (mut times, mut signatures) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            match part.trim().split_once('=') {
                Some(("t", value)) => times.push(value),
                // What is no hexadecimal number is no signature either.
                Some(("v1", value)) => signatures.extend(hex::decode(value)),
                _ => {}
            }
        }
        let [time] = times[..] else {
            return Err(invalid("the `Stripe-Signature` header is missing or does not look like \"t=…,v1=…\""));
        };
        // A sign would be parsed too.
        let is_plain = time.bytes().all(|byte| byte.is_ascii_digit());
        let time = time.parse().ok().filter(|_| is_plain);
        let time = time.ok_or_else(|| invalid("the `t` of the `Stripe-Signature` header is no number of seconds"))?;
        if signatures.is_empty() {
            return Err(invalid("the `Stripe-Signature` header has no signature of the scheme `v1`"));
        }
        Ok(Self { time, signatures })
    }
}

fn mac(payload: &[u8], seconds: u64, secret: &SecretString) -> Result<Hmac<Sha256>> {
    let secret = secret.expose_secret().as_bytes();
    let mac = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| !secret.is_empty());
    let mut mac = mac.ok_or_else(|| Error::invalid("a webhook secret must not be empty"))?;
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(payload);
    Ok(mac)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::WebhookSignatureInvalid, message)
}

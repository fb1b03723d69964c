//! Webhook signatures: Standard Webhooks 1.0 (`v1,` HMAC-SHA-256 over `id.timestamp.body`), and the
//! plain `X-Chatbot-Signature: sha256=<hex>` over the body, which gives no replay protection.
//!
//! Both sign the exact bytes sent. A verifier must be given the raw body, never a re-serialised one.

mod incoming;
mod sealed;

use ambient::{Millis, Random, RandomError};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

pub use incoming::{DeliveryId, verify_message, verify_standard, weaker_names};
pub use sealed::{MintedSecret, mint_sealed, open_sealed, secret_place};

use crate::mac::Keyed;

/// Name of the header with the message's id, constant over retries.
pub const ID_HEADER: &str = "webhook-id";
/// Name of the header with the seconds since the epoch at which this attempt was signed.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Name of the header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// Name of the header with the plain signature.
pub const PLAIN_SIGNATURE_HEADER: &str = "X-Chatbot-Signature";
/// Name of the header with the seconds that [`TIMED_SIGNATURE_HEADER`] signs.
pub const TIMED_TIMESTAMP_HEADER: &str = "X-Chatbot-Timestamp";
/// Name of the header with the signature of the same form over `timestamp.body`.
pub const TIMED_SIGNATURE_HEADER: &str = "X-Chatbot-Signature-V2";

/// How far a timestamp may be off, either way, in seconds (the reference libraries' value).
pub const TOLERANCE_S: i64 = 300;
/// How many signatures of one header are looked at.
pub const MAX_SIGNATURES: usize = 32;
/// How long an id may be, in bytes.
pub const MAX_ID: usize = 256;

const PREFIX: &str = "whsec_";
const PLAIN_PREFIX: &str = "sha256=";

/// The key of one endpoint: 24 to 64 bytes, shown as `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// The text is no webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// Not base64 after the optional `whsec_`.
    #[error("a webhook secret is base64, with or without whsec_ before it")]
    Encoding,
    /// Not 24 to 64 bytes.
    #[error("a webhook secret has 24 to 64 bytes")]
    Length,
}

impl WebhookSecret {
    /// Reads a secret, with or without `whsec_`, with or without padding.
    ///
    /// # Errors
    /// When it is not base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, WebhookSecretError> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        let encoding = if text.ends_with('=') { BASE64 } else { BASE64_NOPAD };
        let bytes = Zeroizing::new(encoding.decode(text.as_bytes()).map_err(|_| WebhookSecretError::Encoding)?);
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(WebhookSecretError::Length) }
    }

    /// Draws 32 random bytes.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        random.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The form that is shown once and stored sealed: `whsec_` and padded base64.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(BASE64.encode(&self.0));
        Zeroizing::new([PREFIX, encoded.as_str()].concat())
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        Keyed::new(&self.0).mac(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
    }

    /// Of the plain forms the key is the text that was shown: their receivers decode nothing.
    fn plain_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        Keyed::new(self.to_text().as_bytes()).mac(parts)
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Why a message was not signed or not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Empty, over [`MAX_ID`], with a full stop (two messages could share a signature) or a
    /// character that is not visible ASCII.
    #[error("the webhook id must be 1 to 256 visible ASCII characters without a full stop")]
    Id,
    /// Not whole seconds in decimal.
    #[error("the webhook timestamp is not a whole number of seconds")]
    Timestamp,
    /// More than [`TOLERANCE_S`] in the past: perhaps a replay.
    #[error("the webhook timestamp is too old")]
    TooOld,
    /// More than [`TOLERANCE_S`] in the future.
    #[error("the webhook timestamp is in the future")]
    TooNew,
    /// None of the signatures is right.
    #[error("no webhook signature matches")]
    Signature,
    /// There is no signature.
    #[error("there is no webhook signature")]
    Missing,
}

fn check_id(id: &str) -> Result<(), WebhookError> {
    let visible = id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    if visible && (1..=MAX_ID).contains(&id.len()) { Ok(()) } else { Err(WebhookError::Id) }
}

fn check_time(timestamp: &str, now: Millis) -> Result<(), WebhookError> {
    let seconds: i64 = timestamp.parse().map_err(|_| WebhookError::Timestamp)?;
    if seconds.to_string() != timestamp {
        return Err(WebhookError::Timestamp);
    }
    // Saturating: i64::MIN is a timestamp that a stranger may send.
    match now.seconds().saturating_sub(seconds) {
        age if age > TOLERANCE_S => Err(WebhookError::TooOld),
        age if age < -TOLERANCE_S => Err(WebhookError::TooNew),
        _ => Ok(()),
    }
}

/// The value of `webhook-signature` for one secret. During a rotation the sender joins the values
/// of both secrets with a space.
///
/// # Errors
/// [`WebhookError::Id`].
pub fn sign(secret: &WebhookSecret, id: &str, timestamp_s: i64, body: &[u8]) -> Result<String, WebhookError> {
    check_id(id)?;
    Ok(format!("v1,{}", BASE64.encode(&secret.mac(id, &timestamp_s.to_string(), body))))
}

/// Checks a message against the secrets in force. The header is a list separated by spaces: any
/// match passes, unknown versions are skipped, and only the first [`MAX_SIGNATURES`] are looked at.
///
/// # Errors
/// What is wrong: the id, the timestamp, its distance from `now`, or every signature.
pub fn verify(
    secrets: &[WebhookSecret],
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: Millis,
) -> Result<(), WebhookError> {
    check_id(id)?;
    check_time(timestamp, now)?;
    let expected: Vec<_> = secrets.iter().map(|secret| secret.mac(id, timestamp, body)).collect();
    let mut found = Choice::from(0);
    for candidate in signature.split(' ').take(MAX_SIGNATURES).filter_map(|part| part.strip_prefix("v1,")) {
        // Compared whole and decoded: a shorter one never equals 32 bytes (RUSTSEC-2024-0010).
        let Some(candidate) = decode_32(candidate, &BASE64) else { continue };
        for right in &expected {
            found |= right.ct_eq(&candidate);
        }
    }
    if found.into() { Ok(()) } else { Err(WebhookError::Signature) }
}

fn decode_32(text: &str, encoding: &data_encoding::Encoding) -> Option<[u8; 32]> {
    encoding.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The value of `X-Chatbot-Signature`: `sha256=` and the hex HMAC-SHA-256 of the body.
#[must_use]
pub fn sign_plain(secret: &[u8], body: &[u8]) -> String {
    format!("{PLAIN_PREFIX}{}", HEXLOWER.encode(&Keyed::new(secret).mac(&[body])))
}

/// The value of [`TIMED_SIGNATURE_HEADER`]: `sha256=` and the hex HMAC-SHA-256 of `timestamp.body`; its key is the
/// secret's text, as in [`sign_plain`].
#[must_use]
pub fn sign_timed(secret: &WebhookSecret, timestamp_s: i64, body: &[u8]) -> String {
    let mac = secret.plain_mac(&[timestamp_s.to_string().as_bytes(), b".", body]);
    format!("{PLAIN_PREFIX}{}", HEXLOWER.encode(&mac))
}

/// Whether `header` is [`sign_plain`] of the raw body; hex in either case. Anything malformed, and
/// anything at all under an empty secret, is simply not a match.
#[must_use]
pub fn verify_plain(secret: &[u8], body: &[u8], header: &str) -> bool {
    let Some(given) = header.strip_prefix(PLAIN_PREFIX).and_then(|hex| decode_32(hex, &HEXLOWER_PERMISSIVE)) else {
        return false;
    };
    !secret.is_empty() && bool::from(Keyed::new(secret).mac(&[body]).ct_eq(&given))
}

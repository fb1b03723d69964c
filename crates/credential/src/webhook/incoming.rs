//! Whether a message that came in is what its sender has signed, and by which name it counts once.

use ambient::Millis;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use subtle::ConstantTimeEq;

use super::{
    ID_HEADER, MAX_ID, MAX_SIGNATURES, PLAIN_PREFIX, PLAIN_SIGNATURE_HEADER, SIGNATURE_HEADER, TIMED_SIGNATURE_HEADER,
    TIMED_TIMESTAMP_HEADER, TIMESTAMP_HEADER, WebhookError, WebhookSecret, check_time, decode_32, verify,
};

/// What a message that was verified is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryId {
    /// 1 to 256 visible ASCII characters. Whoever keeps these for longer than [`super::TOLERANCE_S`] and takes each
    /// once refuses every replay.
    pub name: String,
    /// Whether a signed time says that it was sent just now. Where it does not, only kept names tell a replay, and
    /// the same body sent twice on purpose has one name.
    pub is_timed: bool,
}

/// Checks a message by its headers and its raw body, in one of three forms:
///
/// 1. Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`, or Svix' names for them;
/// 2. `X-Chatbot-Timestamp` and `X-Chatbot-Signature-V2: sha256=<hex>` over `timestamp.body`;
/// 3. `X-Chatbot-Signature: sha256=<hex>` over the body, whose key is the secret's text (seed 001).
///
/// The first whose signature header is there decides, so that a weaker one cannot save a stronger one that is wrong.
/// `header` gives a header that came exactly once; names are lower-case.
///
/// # Errors
/// [`WebhookError::Missing`] when there is no signature, else what is wrong with it.
pub fn verify_message<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    secrets: &[WebhookSecret],
    now: Millis,
) -> Result<DeliveryId, WebhookError> {
    match verify_standard(&header, body, secrets, now) {
        Err(WebhookError::Missing) => {}
        verdict => return verdict,
    }
    let lower = |name: &str| header(&name.to_ascii_lowercase());
    if let Some(signature) = lower(TIMED_SIGNATURE_HEADER) {
        let timestamp = lower(TIMED_TIMESTAMP_HEADER).ok_or(WebhookError::Timestamp)?;
        check_time(timestamp, now)?;
        let name = matching(secrets, &[timestamp.as_bytes(), b".", body], signature)?;
        return Ok(DeliveryId { name, is_timed: true });
    }
    let signature = lower(PLAIN_SIGNATURE_HEADER).ok_or(WebhookError::Missing)?;
    Ok(DeliveryId { name: matching(secrets, &[body], signature)?, is_timed: false })
}

/// The same for the first form alone: whatever else is there counts for nothing.
///
/// # Errors
/// [`WebhookError::Missing`] when there is no signature of this form, else what is wrong with it.
pub fn verify_standard<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    secrets: &[WebhookSecret],
    now: Millis,
) -> Result<DeliveryId, WebhookError> {
    for prefix in ["webhook", "svix"] {
        let named = |standard: &str| header(&standard.replacen("webhook", prefix, 1));
        if let Some(signature) = named(SIGNATURE_HEADER) {
            let id = named(ID_HEADER).ok_or(WebhookError::Id)?;
            let timestamp = named(TIMESTAMP_HEADER).ok_or(WebhookError::Timestamp)?;
            verify(secrets, id, timestamp, signature, body, now)?;
            return Ok(DeliveryId { name: id.to_owned(), is_timed: true });
        }
    }
    Err(WebhookError::Missing)
}

/// What a message that [`verify_message`] has taken would be known by to somebody who leaves stronger signatures out:
/// the signature of each secret in force, for each of the forms 2 and 3 in which it is signed rightly. Whoever keeps
/// these besides its name takes no stripped copy of it.
pub fn weaker_names<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    secrets: &[WebhookSecret],
) -> Vec<DeliveryId> {
    let lower = |name: &str| header(&name.to_ascii_lowercase());
    let mut names = Vec::new();
    let mut add = |signature: &str, parts: &[&[u8]], is_timed| {
        if matching(secrets, parts, signature).is_ok() {
            let name = |secret: &WebhookSecret| format!("{PLAIN_PREFIX}{}", HEXLOWER.encode(&secret.plain_mac(parts)));
            names.extend(secrets.iter().map(|secret| DeliveryId { name: name(secret), is_timed }));
        }
    };
    if let (Some(signature), Some(timestamp)) = (lower(TIMED_SIGNATURE_HEADER), lower(TIMED_TIMESTAMP_HEADER)) {
        add(signature, &[timestamp.as_bytes(), b".", body], true);
    }
    if let Some(signature) = lower(PLAIN_SIGNATURE_HEADER) {
        add(signature, &[body], false);
    }
    names
}

/// The signature that is right, in lower case: it names what it signs. Separated by commas there may be several,
/// during a rotation.
fn matching(secrets: &[WebhookSecret], parts: &[&[u8]], header: &str) -> Result<String, WebhookError> {
    let right: Vec<_> = secrets.iter().map(|secret| secret.plain_mac(parts)).collect();
    let (mut found, mut name) = (subtle::Choice::from(0), String::new());
    for candidate in header.split(',').take(MAX_SIGNATURES) {
        let hex = candidate.trim().strip_prefix(PLAIN_PREFIX);
        let Some(given) = hex.and_then(|hex| decode_32(hex, &HEXLOWER_PERMISSIVE)) else { continue };
        for right in &right {
            let is_right = right.ct_eq(&given);
            if is_right.into() && name.is_empty() {
                name = candidate.trim().to_ascii_lowercase();
            }
            found |= is_right;
        }
    }
    debug_assert!(name.len() <= MAX_ID);
    if found.into() { Ok(name) } else { Err(WebhookError::Signature) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::{sign, sign_plain, sign_timed};

    const NOW: Millis = Millis(1_700_000_000_000);

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(text).unwrap()
    }

    fn ours() -> WebhookSecret {
        secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    }

    fn theirs() -> WebhookSecret {
        secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    }

    fn check(headers: &[(&str, &str)], body: &[u8]) -> Result<DeliveryId, WebhookError> {
        let find = |name: &str| headers.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
        verify_message(find, body, &[ours(), theirs()], NOW)
    }

    #[test]
    fn each_form_is_taken_under_each_secret_and_is_named() {
        for secret in [ours(), theirs()] {
            let signature = sign(&secret, "msg_1", NOW.seconds(), b"{}").unwrap();
            for prefix in ["webhook", "svix"] {
                let names = ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
                let time = NOW.seconds().to_string();
                let headers = [(&*names[0], "msg_1"), (&*names[1], &*time), (&*names[2], &*signature)];
                assert_eq!(check(&headers, b"{}"), Ok(DeliveryId { name: "msg_1".to_owned(), is_timed: true }));
                assert_eq!(check(&headers, b"{} "), Err(WebhookError::Signature));
                assert_eq!(check(&headers[1..], b"{}"), Err(WebhookError::Id));
                assert_eq!(check(&[headers[0], headers[2]], b"{}"), Err(WebhookError::Timestamp));
            }
            let plain = sign_plain(secret.to_text().as_bytes(), b"{}");
            let taken = check(&[("x-chatbot-signature", &plain)], b"{}").unwrap();
            assert_eq!(taken, DeliveryId { name: plain.clone(), is_timed: false });
            let upper = plain.to_uppercase().replace("SHA256", "sha256");
            assert_eq!(check(&[("x-chatbot-signature", &upper)], b"{}"), Ok(taken), "one message has one name");
        }
    }

    #[test]
    fn a_signed_time_is_checked_and_a_weaker_signature_saves_no_wrong_one() {
        let plain = sign_plain(ours().to_text().as_bytes(), b"{}");
        for (off, expected) in [
            (0, None),
            (-300, None),
            (300, None),
            (-301, Some(WebhookError::TooOld)),
            (301, Some(WebhookError::TooNew)),
            (i64::MIN, Some(WebhookError::TooOld)),
        ] {
            let time = NOW.seconds().saturating_add(off);
            let (value, time) = (sign_timed(&ours(), time, b"{}"), time.to_string());
            let headers = [
                ("x-chatbot-signature-v2", &*value),
                ("x-chatbot-timestamp", &*time),
                ("x-chatbot-signature", &*plain),
            ];
            assert_eq!(check(&headers, b"{}").err(), expected, "{off}");
        }
        let other = (NOW.seconds() + 1).to_string();
        let value = sign_timed(&ours(), NOW.seconds(), b"{}");
        let moved = [("x-chatbot-signature-v2", &*value), ("x-chatbot-timestamp", &*other)];
        assert_eq!(check(&moved, b"{}"), Err(WebhookError::Signature), "the time is signed");
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "1700000000"),
            ("webhook-signature", "v1,AAAA"),
            ("x-chatbot-signature", &plain),
        ];
        assert_eq!(check(&headers, b"{}"), Err(WebhookError::Signature));
    }

    #[test]
    fn what_is_missing_empty_short_or_one_of_too_many_is_not_taken() {
        assert_eq!(check(&[], b"{}"), Err(WebhookError::Missing));
        let right = sign_plain(ours().to_text().as_bytes(), b"{}");
        for wrong in ["", "sha256=", "sha256=00", &right[..70], &right["sha256=".len()..], "sha1=00", ","] {
            assert_eq!(check(&[("x-chatbot-signature", wrong)], b"{}"), Err(WebhookError::Signature), "{wrong}");
        }
        let two = format!("sha256={},{right}", "0".repeat(64));
        assert!(check(&[("x-chatbot-signature", &two)], b"{}").is_ok());
        let many = format!("{}{right}", "sha256=00,".repeat(MAX_SIGNATURES));
        assert_eq!(check(&[("x-chatbot-signature", &many)], b"{}"), Err(WebhookError::Signature));
        let nobody = verify_message(|name| (name == "x-chatbot-signature").then_some(&*right), b"{}", &[], NOW);
        assert_eq!(nobody, Err(WebhookError::Signature), "without a secret nothing is right");
    }

    #[test]
    fn a_copy_with_less_is_known_by_the_names_of_the_whole() {
        let find = |headers: Vec<(&'static str, String)>| {
            move |name: &str| headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone())
        };
        let plain = |secret: &WebhookSecret| sign_plain(secret.to_text().as_bytes(), b"{}");
        let of = |headers: Vec<(&'static str, String)>| {
            let headers = find(headers);
            let all: Vec<_> = ["x-chatbot-timestamp", "x-chatbot-signature-v2", "x-chatbot-signature"]
                .into_iter()
                .filter_map(|name| Some((name, headers(name)?)))
                .collect();
            let header = |name: &str| all.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str());
            weaker_names(header, b"{}", &[ours(), theirs()])
        };
        let names: Vec<_> = of(vec![("x-chatbot-signature", plain(&theirs()))]).into_iter().map(|id| id.name).collect();
        assert_eq!(names, [plain(&ours()), plain(&theirs())], "under each secret in force");
        let time = NOW.seconds().to_string();
        let timed = sign_timed(&ours(), NOW.seconds(), b"{}");
        let timed = of(vec![("x-chatbot-timestamp", time), ("x-chatbot-signature-v2", timed)]);
        assert!(timed.len() == 2 && timed.iter().all(|id| id.is_timed));
        assert!(of(vec![("x-chatbot-signature", plain(&ours()).replace("sha256=", "sha256=0"))]).is_empty());
        assert!(of(Vec::new()).is_empty());
        let find = |name: &str| (name == "x-chatbot-signature").then_some("sha256=00");
        assert_eq!(verify_standard(find, b"{}", &[ours()], NOW), Err(WebhookError::Missing));
    }
}

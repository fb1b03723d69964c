//! The headers of an attempt.

use ambient::{EventId, Millis};
use credential::{
    Secrets, WebhookSecret,
    seal::SealError,
    webhook::{
        ID_HEADER, PLAIN_SIGNATURE_HEADER, SIGNATURE_HEADER, TIMED_SIGNATURE_HEADER, TIMED_TIMESTAMP_HEADER,
        TIMESTAMP_HEADER, open_sealed, secret_place, sign, sign_plain, sign_timed,
    },
};
use outbound::{HeaderName, HeaderValue, check_header};
use store::{DueDelivery, WebhookRecord};

/// The secrets in force, the newer first: two for a day after a rotation.
pub(crate) fn secrets_of(
    secrets: &Secrets,
    due: &DueDelivery,
    webhook: &WebhookRecord,
    now: Millis,
) -> Result<Vec<WebhookSecret>, SealError> {
    let place = secret_place(&due.tenant.workspace, &due.tenant.environment, &webhook.id);
    let previous =
        webhook.previous_sealed.as_deref().filter(|_| webhook.previous_until.is_some_and(|until| now < until));
    let sealed = std::iter::once(webhook.secret_sealed.as_slice()).chain(previous);
    sealed.map(|sealed| open_sealed(secrets, &place, sealed)).collect()
}

/// Signs for one attempt. The id is the event's, whatever the attempt; the time is this attempt's.
///
/// Standard Webhooks' header holds a signature of each secret. The plain headers hold one: their receivers compare
/// the whole value. While two secrets are in force, attempts take turns, the older one first, so that a receiver
/// with either has the event after the second attempt.
pub(crate) fn headers(
    secrets: &[WebhookSecret],
    event: EventId,
    attempts: u32,
    body: &[u8],
    now: Millis,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let (id, seconds) = (event.to_string(), now.seconds());
    let signatures: Result<Vec<_>, _> = secrets.iter().map(|secret| sign(secret, &id, seconds, body)).collect();
    let (signatures, time) = (signatures.map_err(|error| error.to_string())?.join(" "), seconds.to_string());
    let mut headers = vec![
        (ID_HEADER, id.clone()),
        (TIMESTAMP_HEADER, time.clone()),
        (SIGNATURE_HEADER, signatures.clone()),
        // The same under the older names.
        ("svix-id", id),
        ("svix-timestamp", time.clone()),
        ("svix-signature", signatures),
        ("accept", "*/*".to_owned()),
    ];
    let turn = usize::try_from(attempts).unwrap_or_default() % secrets.len().max(1);
    if let Some(secret) = secrets.iter().rev().nth(turn) {
        headers.push((PLAIN_SIGNATURE_HEADER, sign_plain(secret.to_text().as_bytes(), body)));
        headers.push((TIMED_TIMESTAMP_HEADER, time));
        headers.push((TIMED_SIGNATURE_HEADER, sign_timed(secret, seconds, body)));
    }
    headers.iter().map(|(name, value)| check_header(name, value).map_err(|error| error.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use ambient::{SeededRandom, Ulid};
    use credential::webhook::verify_message;

    use super::*;

    #[test]
    fn each_attempt_verifies_with_both_secrets_and_the_plain_ones_take_turns() {
        let random = SeededRandom::new(1);
        let new = WebhookSecret::generate(&random).unwrap();
        let old = WebhookSecret::generate(&random).unwrap();
        let (both, now) = ([new.clone(), old.clone()], Millis(1_700_000_000_000));
        for attempt in 0..4 {
            let made = headers(&both, EventId(Ulid(1)), attempt, b"{}", now).unwrap();
            let value =
                |name: &str| made.iter().find(|(given, _)| *given == name).map(|(_, value)| value.to_str().unwrap());
            for secret in &both {
                for kept in ["webhook", "svix"] {
                    let find = |name: &str| value(name).filter(|_| name.starts_with(kept));
                    assert!(verify_message(find, b"{}", std::slice::from_ref(secret), now).is_ok(), "{kept}");
                }
            }
            let right = if attempt % 2 == 0 { &old } else { &new };
            let other = if attempt % 2 == 0 { &new } else { &old };
            for plain in ["x-chatbot-signature", "x-chatbot-signature-v2"] {
                let find = |name: &str| value(name).filter(|_| name == plain || name == "x-chatbot-timestamp");
                assert!(verify_message(find, b"{}", std::slice::from_ref(right), now).is_ok(), "{plain} {attempt}");
                assert!(verify_message(find, b"{}", std::slice::from_ref(other), now).is_err(), "{plain} {attempt}");
            }
        }
        assert!(headers(&both, EventId(Ulid(1)), 0, b"{}", now).unwrap().iter().all(|(_, value)| value.is_sensitive()));
    }
}

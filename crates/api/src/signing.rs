//! How the senders of webhooks sign, and the secrets that they sign with.

use access::Tenant;
use ambient::{Millis, Random, TriggerId};
use credential::webhook::{self, ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookSecret};
use gate::{FieldError, Problem, Sent, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::SealedValue;
use zeroize::Zeroizing;

use crate::{App, input};

/// GitHub's header.
const HUB_HEADER: &str = "x-hub-signature-256";
/// The headers that name an event, where it is not signed.
const DELIVERY_HEADERS: [&str; 2] = [ID_HEADER, "x-github-delivery"];
/// What names no event: every request has its own, or it is a secret.
const NO_DELIVERY: [&str; 5] = ["authorization", "cookie", "x-api-key", SIGNATURE_HEADER, HUB_HEADER];
/// The most bytes of the name of an event.
const MAX_DELIVERY: usize = 256;

/// How a secret that signs is rotated.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// How long the secret before counts, too: 0 to 86,400 seconds (a day); 0 for a leak.
    #[serde(default = "one_day")]
    #[schemars(range(min = 0, max = 86_400))]
    grace_seconds: u32,
}

const MAX_GRACE: u32 = 86_400;

const fn one_day() -> u32 {
    MAX_GRACE
}

impl RotateSecret {
    /// Until when the secret before counts; nothing when it ends at once.
    ///
    /// # Errors
    /// 422 for longer than a day.
    pub(crate) fn until(self, now: Millis) -> Result<Option<Millis>, Problem> {
        let mut errors = Vec::new();
        field::range(&mut errors, "grace_seconds", u64::from(self.grace_seconds), 0, u64::from(MAX_GRACE));
        input::done(errors)?;
        Ok((self.grace_seconds > 0).then(|| now.plus(i64::from(self.grace_seconds) * 1000)))
    }

    pub(crate) fn detail(self) -> Value {
        json!({ "grace_seconds": self.grace_seconds })
    }
}

/// How the sender of a webhook signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Signing {
    /// Not: whoever knows the address may call.
    #[default]
    None,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`, as Standard Webhooks 1.0 says.
    StandardWebhooks,
    /// `X-Hub-Signature-256` over the body, as GitHub does; what was sent once can be sent again.
    HubSha256,
}

/// What is stored of a webhook besides its secrets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct WebhookSettings {
    pub(crate) signing: Signing,
    #[serde(default)]
    pub(crate) delivery_id_header: Option<String>,
}

impl WebhookSettings {
    pub(crate) fn read(stored: Option<&str>) -> Option<Self> {
        serde_json::from_str(stored?).ok()
    }

    pub(crate) fn check(&self, errors: &mut Vec<FieldError>) {
        let Some(name) = &self.delivery_id_header else { return };
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if self.signing == Signing::StandardWebhooks {
            let message = "is always `webhook-id` here: it is the one that is signed";
            errors.push(FieldError::new("delivery_id_header", message));
        } else if !fits || NO_DELIVERY.contains(&name.as_str()) {
            let message = "must be the name of a header that names the event: letters, digits and `-`, at most 64";
            errors.push(FieldError::new("delivery_id_header", message));
        }
    }

    /// Whether its sender has sent this, and now. Compared in constant time.
    pub(crate) fn verify(&self, app: &App, place: &[u8], sealed: Option<&[u8]>, sent: &Sent) -> Result<(), Problem> {
        if self.signing == Signing::None {
            return Ok(());
        }
        let opened = app.secrets().sealer().open(place, sealed.unwrap_or_default()).map_err(Problem::unavailable)?;
        let header = |name: &str| {
            let missing = || Problem::invalid_signature(format!("The header `{name}` must be sent, once"));
            sent.header(name).ok_or_else(missing)
        };
        if self.signing == Signing::HubSha256 {
            let is_right = webhook::verify_plain(&opened, sent.body(), header(HUB_HEADER)?);
            let wrong = || Problem::invalid_signature("The signature does not match the body");
            return if is_right { Ok(()) } else { Err(wrong()) };
        }
        let text = std::str::from_utf8(&opened).map_err(Problem::unavailable)?;
        let secret = [WebhookSecret::parse(text).map_err(Problem::unavailable)?];
        let (id, time, signature) = (header(ID_HEADER)?, header(TIMESTAMP_HEADER)?, header(SIGNATURE_HEADER)?);
        webhook::verify(&secret, id, time, signature, sent.body(), app.clock().now())
            .map_err(|error| Problem::invalid_signature(format!("Not taken: {error}")))
    }

    /// The name of the event, by which it starts one run.
    pub(crate) fn delivery(&self, sent: &Sent, idempotency_key: Option<&str>) -> Result<Option<String>, Problem> {
        let named = match self.signing {
            // No other header is signed.
            Signing::StandardWebhooks => sent.header(ID_HEADER),
            Signing::None | Signing::HubSha256 => {
                let own = self.delivery_id_header.as_deref().and_then(|name| sent.header(name));
                own.or_else(|| DELIVERY_HEADERS.iter().find_map(|name| sent.header(name))).or(idempotency_key)
            }
        };
        match named {
            Some(name) if !(1..=MAX_DELIVERY).contains(&name.len()) => {
                Err(Problem::invalid_request("The name of an event is 1 to 256 visible ASCII characters"))
            }
            named => Ok(named.map(str::to_owned)),
        }
    }
}

/// The secret that a sender signs with, its own or a new one; none where nothing is signed.
pub(crate) fn secret_of(
    errors: &mut Vec<FieldError>,
    signing: Signing,
    given: Option<&str>,
    random: &dyn Random,
) -> Result<Option<Zeroizing<String>>, Problem> {
    match (signing, given) {
        (Signing::None, None) => return Ok(None),
        (Signing::None, Some(_)) => errors.push(FieldError::new("secret", "needs a `signing` that uses it")),
        (_, None) => return Ok(Some(WebhookSecret::generate(random)?.to_text())),
        (Signing::StandardWebhooks, Some(given)) => match WebhookSecret::parse(given) {
            Ok(secret) => return Ok(Some(secret.to_text())),
            Err(error) => errors.push(FieldError::new("secret", error.to_string())),
        },
        (Signing::HubSha256, Some(given)) => {
            if (16..=256).contains(&given.len()) && given.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                return Ok(Some(Zeroizing::new(given.to_owned())));
            }
            errors.push(FieldError::new("secret", "must be 16 to 256 visible ASCII characters"));
        }
    }
    Ok(None)
}

/// Where a sealed secret belongs: moved to another row or another workspace, it does not open.
pub(crate) fn place(tenant: Tenant, trigger: TriggerId) -> Vec<u8> {
    place_of(tenant, &trigger)
}

fn place_of(tenant: Tenant, trigger: &dyn std::fmt::Display) -> Vec<u8> {
    format!("trigger.secret:{}:{}:{trigger}", tenant.workspace, tenant.environment).into_bytes()
}

/// Where the sealed secret of a trigger belongs.
#[must_use]
pub fn trigger_place(value: &SealedValue) -> Vec<u8> {
    place_of(value.tenant, &value.id)
}

pub(crate) fn seal(app: &App, tenant: Tenant, trigger: TriggerId, secret: &str) -> Result<Vec<u8>, Problem> {
    let place = place(tenant, trigger);
    app.secrets().sealer().seal(&place, secret.as_bytes(), app.random()).map_err(Problem::unavailable)
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;

    use super::*;

    fn secret(signing: Signing, given: Option<&str>) -> Result<Option<String>, String> {
        let mut errors = Vec::new();
        let secret = secret_of(&mut errors, signing, given, &SeededRandom::new(1)).unwrap();
        errors.pop().map_or(Ok(secret.map(|text| text.to_string())), |error| Err(error.message))
    }

    #[test]
    fn a_secret_is_made_where_none_is_given_and_must_be_long_enough() {
        assert_eq!(secret(Signing::None, None), Ok(None));
        assert!(secret(Signing::None, Some("a secret of somebody's own")).is_err());
        for signing in [Signing::StandardWebhooks, Signing::HubSha256] {
            assert!(secret(signing, None).unwrap().unwrap().starts_with("whsec_"));
            assert!(secret(signing, Some("short")).is_err());
        }
        let given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(secret(Signing::StandardWebhooks, Some(given)), Ok(Some(given.to_owned())));
        assert_eq!(secret(Signing::HubSha256, Some(&"x".repeat(16))), Ok(Some("x".repeat(16))));
    }

    #[test]
    fn an_event_is_named_by_a_header_and_a_signed_one_by_the_signed_header_alone() {
        let wrong = |signing, name: &str| {
            let mut errors = Vec::new();
            WebhookSettings { signing, delivery_id_header: Some(name.to_owned()) }.check(&mut errors);
            !errors.is_empty()
        };
        assert!(!wrong(Signing::None, "x-event-id") && !wrong(Signing::HubSha256, "x-event-id"));
        assert!(wrong(Signing::StandardWebhooks, "x-event-id"));
        for name in ["", "x event", "authorization", HUB_HEADER, &"x".repeat(65)] {
            assert!(wrong(Signing::None, name), "{name}");
        }
    }
}

//! The secrets that sign what `webhook` integrations are asked, and what comes in through channels.

use std::fmt;

use access::Tenant;
use ambient::{ChannelId, IntegrationId, Millis, Random};
use credential::{Secrets, WebhookSecret, seal::Sealer};
use store::{SealedSecret, SealedValue};
use zeroize::Zeroizing;

use crate::{Cause, ChatError};

/// Where the secret of an integration belongs: moved to another row or another workspace, it does not open.
pub(crate) fn secret_place(tenant: Tenant, integration: IntegrationId) -> Vec<u8> {
    place("integration", tenant, &integration)
}

/// Where the secret of a channel belongs.
#[must_use]
pub fn channel_place(tenant: Tenant, channel: ChannelId) -> Vec<u8> {
    place("channel", tenant, &channel)
}

/// Where the sealed secret of an integration belongs.
#[must_use]
pub fn integration_secret_place(value: &SealedValue) -> Vec<u8> {
    place("integration", value.tenant, &value.id)
}

/// Where the sealed secret of a channel belongs.
#[must_use]
pub fn channel_secret_place(value: &SealedValue) -> Vec<u8> {
    place("channel", value.tenant, &value.id)
}

fn place(of: &str, tenant: Tenant, id: &dyn fmt::Display) -> Vec<u8> {
    format!("{of}.secret:{}:{}:{id}", tenant.workspace, tenant.environment).into_bytes()
}

/// A new secret, sealed for a place, and its text, which is shown once.
///
/// # Errors
/// When the random source fails.
pub fn new_secret(
    sealer: &Sealer,
    place: &[u8],
    random: &dyn Random,
) -> Result<(Vec<u8>, Zeroizing<String>), ChatError> {
    let text = WebhookSecret::generate(random)?.to_text();
    Ok((sealer.seal(place, text.as_bytes(), random)?, text))
}

/// The secrets in force, the newer first. One that cannot be opened is left out: the other may do.
///
/// # Errors
/// When there was one, and none can be opened.
pub fn open_secrets(
    secrets: &Secrets,
    place: &[u8],
    sealed: &SealedSecret,
    now: Millis,
) -> Result<Vec<WebhookSecret>, Cause> {
    let (mut opened, mut failure) = (Vec::new(), None);
    for value in sealed.in_force(now) {
        let plain = secrets.sealer().open(place, value).map_err(Cause::from);
        let read = plain.and_then(|plain| Ok(WebhookSecret::parse(std::str::from_utf8(&plain)?)?));
        match read {
            Ok(secret) => opened.push(secret),
            Err(cause) => failure = Some(cause),
        }
    }
    match failure {
        Some(cause) if opened.is_empty() => Err(cause),
        _ => Ok(opened),
    }
}

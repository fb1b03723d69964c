//! How a key is shown. The plaintext is in the answers to create and rotate, and nowhere else.

use std::net::IpAddr;

use access::{KeyKind, ScopeSet};
use ambient::{KeyId, Millis, ServiceAccountId};
use credential::key::{ApiKey, Environment};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use store::{EXPIRING_MS, KeyRecord, SecretRecord};

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyStatus {
    /// Works.
    Active,
    /// Works, and stops within 30 days.
    Expiring,
    /// Has run out.
    Expired,
    /// Was revoked; for good.
    Revoked,
    /// Its service account is disabled.
    Disabled,
}

impl From<KeyStatus> for store::KeyStatus {
    fn from(status: KeyStatus) -> Self {
        match status {
            KeyStatus::Active => Self::Active,
            KeyStatus::Expiring => Self::Expiring,
            KeyStatus::Expired => Self::Expired,
            KeyStatus::Revoked => Self::Revoked,
            KeyStatus::Disabled => Self::Disabled,
        }
    }
}

/// An API key, without its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct KeyView {
    /// Its id; stays through rotations.
    pub(crate) id: KeyId,
    /// What people call it.
    name: String,
    /// What it is for.
    kind: KeyKind,
    /// Whose data it sees.
    environment: Environment,
    /// How it stands.
    pub(crate) status: KeyStatus,
    /// The newest secret: its prefix, first 4 and last 4 characters.
    display: String,
    /// What it may do. A service account's key may do no more than the account at any time.
    scopes: ScopeSet,
    /// Widget keys: the domains whose pages may use it.
    allowed_domains: Vec<String>,
    /// Widget keys: whether pages on `localhost` may use it; `null` for other kinds.
    allow_localhost: Option<bool>,
    /// Whether a browser's `Origin` is overlooked, because a reverse proxy forwards it.
    allow_origin_header: bool,
    /// Where it may be used from; `[]` is anywhere.
    allowed_ips: Vec<String>,
    /// When it stops; `null` is never.
    expires_at: Option<Millis>,
    /// Requests a minute; `null` is no budget of its own.
    rate_limit: Option<u32>,
    /// Widget keys: sessions in 24 hours; `null` is no ceiling.
    daily_sessions: Option<u32>,
    /// Widget keys: messages in 24 hours, in all sessions; `null` is no ceiling.
    daily_messages: Option<u32>,
    /// Requests on one day, UTC; `null` is no ceiling.
    daily_requests: Option<u32>,
    /// Who answers for it.
    owner: Option<String>,
    /// What it is for.
    purpose: Option<String>,
    /// When somebody should rotate it.
    rotate_after: Option<Millis>,
    /// Your own notes.
    metadata: Option<serde_json::Value>,
    /// The service account that it belongs to.
    service_account_id: Option<ServiceAccountId>,
    /// Who made it: the kind of party and its id.
    created_by: String,
    /// When any of its secrets was last used, to the second.
    last_used_at: Option<Millis>,
    /// From where.
    last_used_ip: Option<IpAddr>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
    /// When it was revoked.
    revoked_at: Option<Millis>,
    /// Its secrets, the newest first: a second one works until its grace ends.
    secrets: Vec<SecretView>,
}

/// One secret of a key, to tell after a rotation which one is in use.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct SecretView {
    /// Its prefix, first 4 and last 4 characters.
    display: String,
    /// When it was made.
    created_at: Millis,
    /// When its grace ends; `null` for the newest.
    expires_at: Option<Millis>,
    /// When it was last used, to the second.
    last_used_at: Option<Millis>,
    /// How often, until this answer; a crash loses a minute of it at most.
    uses: u64,
}

/// A key that was just made. This is the only time that `key` is shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyWithSecret {
    #[serde(flatten)]
    pub(crate) view: KeyView,
    /// The secret: keep it now, it is never shown again.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub(crate) key: ApiKey,
}

/// A key that was just rotated. This is the only time that `key` is shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RotatedKey {
    #[serde(flatten)]
    pub(crate) view: KeyView,
    /// The new secret: keep it now, it is never shown again.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub(crate) key: ApiKey,
    /// When the secret before it stops.
    pub(crate) previous_expires_at: Millis,
}

pub(crate) fn expose<S: Serializer>(key: &ApiKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}

impl KeyView {
    /// The key as it stands at `now`; `disabled` says that its service account is.
    pub(crate) fn of(record: KeyRecord, disabled: bool, now: Millis) -> Self {
        let status = status_of(&record, disabled, now);
        let last_used = record.secrets.iter().filter(|secret| secret.last_used_at.is_some());
        let last_used = last_used.max_by_key(|secret| secret.last_used_at);
        let (last_used_at, last_used_ip) =
            last_used.map_or((None, None), |secret| (used_at(secret), secret.last_used_ip));
        let settings = record.settings;
        Self {
            id: record.id,
            name: record.name,
            kind: record.kind,
            environment: record.environment,
            status,
            display: record.secrets.first().map(|secret| secret.display.clone()).unwrap_or_default(),
            scopes: record.scopes,
            allowed_domains: settings.allowed_domains,
            allow_localhost: (record.kind == KeyKind::Widget).then_some(!settings.deny_localhost),
            allow_origin_header: settings.allow_origin_header,
            allowed_ips: settings.allowed_ips.iter().map(ToString::to_string).collect(),
            expires_at: record.expires_at,
            rate_limit: settings.rate_limit,
            daily_sessions: settings.daily_sessions,
            daily_messages: settings.daily_messages,
            daily_requests: settings.daily_requests,
            owner: settings.owner,
            purpose: settings.purpose,
            rotate_after: settings.rotate_after,
            metadata: settings.metadata,
            service_account_id: record.service_account,
            created_by: record.created_by,
            last_used_at,
            last_used_ip,
            created_at: record.created_at,
            updated_at: record.updated_at,
            revoked_at: record.revoked_at,
            secrets: record.secrets.into_iter().map(SecretView::of).collect(),
        }
    }
}

impl SecretView {
    fn of(secret: SecretRecord) -> Self {
        Self {
            last_used_at: used_at(&secret),
            display: secret.display,
            created_at: secret.created_at,
            expires_at: secret.expires_at,
            uses: secret.uses,
        }
    }
}

/// Uses are noted to the second, cut off: nothing was used before it was made.
fn used_at(secret: &SecretRecord) -> Option<Millis> {
    secret.last_used_at.map(|at| at.max(secret.created_at))
}

fn status_of(record: &KeyRecord, disabled: bool, now: Millis) -> KeyStatus {
    match record.expires_at {
        _ if record.revoked_at.is_some() => KeyStatus::Revoked,
        Some(at) if at <= now => KeyStatus::Expired,
        _ if disabled => KeyStatus::Disabled,
        Some(at) if at.since(now) <= EXPIRING_MS => KeyStatus::Expiring,
        _ => KeyStatus::Active,
    }
}

#[cfg(test)]
#[path = "key_view_tests.rs"]
mod tests;

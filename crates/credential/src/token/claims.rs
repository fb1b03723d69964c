use ambient::{ConversationId, DeploymentId, KeyId, Millis, RunId, WorkspaceId};
use serde::{Deserialize, Deserializer, Serialize};

use super::TokenKind;
use crate::key::Environment;

/// What a session token says: one conversation, for one visitor's browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClaims {
    /// The one conversation it opens.
    pub conversation: ConversationId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Live or test data.
    pub environment: Environment,
    /// The key that made it: revoking that ends this.
    pub key: KeyId,
    /// The key's epoch when it was made; a later epoch ends it.
    pub epoch: u32,
    /// Made from this origin, and good from no other.
    pub origin: Option<String>,
    /// From when, in whole seconds.
    pub issued_at: Millis,
    /// Until when, in whole seconds; 24 hours later at most.
    pub expires_at: Millis,
}

/// What a participant token says: one run, one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantClaims {
    /// The one run it opens.
    pub run: RunId,
    /// The role in that run, as the workflow names it.
    pub role: String,
    /// The deployment that the run executes.
    pub deployment: DeploymentId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Live or test data.
    pub environment: Environment,
    /// The key that made it: revoking that ends this.
    pub key: KeyId,
    /// The key's epoch when it was made; a later epoch ends it.
    pub epoch: u32,
    /// From when, in whole seconds.
    pub issued_at: Millis,
    /// Until when, in whole seconds; exactly one hour later.
    pub expires_at: Millis,
}

/// The claims that are checked the same way in every kind.
pub(super) struct Common<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub issued_at: i64,
    pub not_before: Option<i64>,
    pub expires_at: i64,
}

pub(super) trait Wire {
    fn common(&self) -> Common<'_>;
}

/// `null` and a missing member are not the same: an optional claim is absent or has its type.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The payload of a session token. Owned strings and `i64` seconds: a list of audiences, a float or
/// a time as text is no such payload. serde refuses a member that comes twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionWire {
    iss: String,
    aud: String,
    sub: ConversationId,
    iat: i64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    workspace: WorkspaceId,
    env: Environment,
    key: KeyId,
    epoch: u32,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

/// The payload of a participant token; as strict as [`SessionWire`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParticipantWire {
    iss: String,
    aud: String,
    sub: RunId,
    iat: i64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    role: String,
    deployment: DeploymentId,
    workspace: WorkspaceId,
    env: Environment,
    key: KeyId,
    epoch: u32,
}

impl SessionWire {
    pub(super) fn new(issuer: &str, claims: &SessionClaims) -> Self {
        Self {
            iss: issuer.to_owned(),
            aud: TokenKind::Session.audience().to_owned(),
            sub: claims.conversation,
            iat: claims.issued_at.seconds(),
            nbf: None,
            exp: claims.expires_at.seconds(),
            workspace: claims.workspace,
            env: claims.environment,
            key: claims.key,
            epoch: claims.epoch,
            origin: claims.origin.clone(),
        }
    }
}

impl From<SessionWire> for SessionClaims {
    fn from(wire: SessionWire) -> Self {
        Self {
            conversation: wire.sub,
            workspace: wire.workspace,
            environment: wire.env,
            key: wire.key,
            epoch: wire.epoch,
            origin: wire.origin,
            issued_at: Millis::from_seconds(wire.iat),
            expires_at: Millis::from_seconds(wire.exp),
        }
    }
}

impl ParticipantWire {
    pub(super) fn new(issuer: &str, claims: &ParticipantClaims) -> Self {
        Self {
            iss: issuer.to_owned(),
            aud: TokenKind::Participant.audience().to_owned(),
            sub: claims.run,
            iat: claims.issued_at.seconds(),
            nbf: None,
            exp: claims.expires_at.seconds(),
            role: claims.role.clone(),
            deployment: claims.deployment,
            workspace: claims.workspace,
            env: claims.environment,
            key: claims.key,
            epoch: claims.epoch,
        }
    }
}

impl From<ParticipantWire> for ParticipantClaims {
    fn from(wire: ParticipantWire) -> Self {
        Self {
            run: wire.sub,
            role: wire.role,
            deployment: wire.deployment,
            workspace: wire.workspace,
            environment: wire.env,
            key: wire.key,
            epoch: wire.epoch,
            issued_at: Millis::from_seconds(wire.iat),
            expires_at: Millis::from_seconds(wire.exp),
        }
    }
}

macro_rules! common {
    ($($wire:ty)*) => {$(
        impl Wire for $wire {
            fn common(&self) -> Common<'_> {
                Common {
                    issuer: &self.iss,
                    audience: &self.aud,
                    issued_at: self.iat,
                    not_before: self.nbf,
                    expires_at: self.exp,
                }
            }
        }
    )*};
}

common!(SessionWire ParticipantWire);

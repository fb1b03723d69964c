//! Tokens: short-lived JWTs (RFC 7519) that this installation signs and nobody else.
//!
//! One strict reader instead of a general one (RFC 8725): compact form only, one algorithm, a `typ`,
//! an audience and a key of its own for each kind, every claim required, nothing unknown accepted.
//! A new claim therefore needs a release that reads it before one that writes it.

mod claims;
mod keys;
mod verify;

use std::fmt;

use ambient::{Millis, WorkspaceId};
pub use claims::{ParticipantClaims, SessionClaims};
use claims::{ParticipantWire, SessionWire};
pub use keys::Algorithm;
use keys::Keyring;
use serde::{Serialize, de::DeserializeOwned};
pub use verify::{TokenError, TokenKind};

use crate::{key::Environment, secret::Secrets};

/// The largest token, in bytes; larger ones are refused unread.
pub const MAX_BYTES: usize = 4096;
/// How far two nodes' clocks may differ, in milliseconds.
pub const LEEWAY_MS: i64 = 5_000;
/// The longest life of a session token, in seconds.
pub const SESSION_MAX_S: i64 = 24 * 3600;
/// The life of every participant token, in seconds.
pub const PARTICIPANT_S: i64 = 3600;

/// Signs and checks tokens. Built once from the installation's secret.
pub struct Tokens {
    issuer: String,
    session: Keyring,
    participant: Keyring,
}

/// The issuer is empty, longer than 255 bytes or not visible ASCII; or a key could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// The issuer will not do.
    #[error("the token issuer must be 1 to 255 visible ASCII characters")]
    Issuer,
    /// The cryptographic library refused a derived key.
    #[error("the token signing key could not be made")]
    Key,
}

/// A token that cannot be signed, because no verifier would accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not within the life that its kind allows, or before 1970.
    #[error("the token's lifetime is not allowed for its kind")]
    Lifetime,
    /// A text claim is empty or the whole over [`MAX_BYTES`].
    #[error("a claim is empty or too long")]
    Size,
    /// The cryptographic library failed.
    #[error("the token could not be signed")]
    Crypto,
}

impl Tokens {
    /// Prepares one key per kind, of the current secret and of the previous one. `issuer` becomes
    /// `iss` and is compared exactly. Changing `algorithm` ends every token in circulation: a key is
    /// used with one algorithm only.
    ///
    /// # Errors
    /// When the issuer will not do or a key cannot be made.
    pub fn new(secrets: &Secrets, algorithm: Algorithm, issuer: &str) -> Result<Self, TokensError> {
        if !(1..=255).contains(&issuer.len()) || !issuer.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokensError::Issuer);
        }
        let keyring = |kind| Keyring::new(secrets, algorithm, kind).ok_or(TokensError::Key);
        Ok(Self {
            issuer: issuer.to_owned(),
            session: keyring(TokenKind::Session)?,
            participant: keyring(TokenKind::Participant)?,
        })
    }

    /// Signs a session token. Times are rounded down to whole seconds.
    ///
    /// # Errors
    /// When the life is over [`SESSION_MAX_S`] or not positive, or a claim too long.
    pub fn sign_session(&self, claims: &SessionClaims) -> Result<String, SignError> {
        self.sign(TokenKind::Session, &SessionWire::new(&self.issuer, claims))
    }

    /// Reads a session token.
    ///
    /// # Errors
    /// The first thing that is wrong; the caller is told no more than that it is invalid or expired.
    pub fn verify_session(&self, token: &str, now: Millis) -> Result<SessionClaims, TokenError> {
        self.verify::<SessionWire>(TokenKind::Session, token, now).map(Into::into)
    }

    /// Signs a participant token. Times are rounded down to whole seconds.
    ///
    /// # Errors
    /// When the life is not exactly [`PARTICIPANT_S`], the role empty or a claim too long.
    pub fn sign_participant(&self, claims: &ParticipantClaims) -> Result<String, SignError> {
        if claims.role.is_empty() {
            return Err(SignError::Size);
        }
        self.sign(TokenKind::Participant, &ParticipantWire::new(&self.issuer, claims))
    }

    /// Reads a participant token.
    ///
    /// # Errors
    /// The first thing that is wrong; the caller is told no more than that it is invalid or expired.
    pub fn verify_participant(&self, token: &str, now: Millis) -> Result<ParticipantClaims, TokenError> {
        self.verify::<ParticipantWire>(TokenKind::Participant, token, now).map(Into::into)
    }

    /// What a text claims to be, from its unverified header: to choose a verifier, never to trust.
    /// `None` for anything that is no token of ours, such as an API key.
    #[must_use]
    pub fn kind_of(token: &str) -> Option<TokenKind> {
        let parts = verify::Parts::split(token).ok()?;
        let header = parts.header_bytes().ok()?;
        TokenKind::of(verify::Header::read(&header).ok()?.typ)
    }

    /// Whose data a token is about that was signed here, whether it is still good or not. It lets nobody in: by it
    /// somebody else's token is told of as one that was never signed.
    #[must_use]
    pub fn owner_of(&self, token: &str) -> Option<(WorkspaceId, Environment)> {
        let kind = Self::kind_of(token)?;
        let payload = verify::authenticate(self.keyring(kind), kind, token).ok()?;
        Some(match kind {
            TokenKind::Session => {
                let claims = SessionClaims::from(serde_json::from_slice::<SessionWire>(&payload).ok()?);
                (claims.workspace, claims.environment)
            }
            TokenKind::Participant => {
                let claims = ParticipantClaims::from(serde_json::from_slice::<ParticipantWire>(&payload).ok()?);
                (claims.workspace, claims.environment)
            }
        })
    }

    /// The public keys of a kind as a JWK set (RFC 7517, RFC 8037); empty with HS256.
    #[must_use]
    pub fn jwks(&self, kind: TokenKind) -> serde_json::Value {
        serde_json::json!({ "keys": self.keyring(kind).jwks() })
    }

    fn keyring(&self, kind: TokenKind) -> &Keyring {
        match kind {
            TokenKind::Session => &self.session,
            TokenKind::Participant => &self.participant,
        }
    }

    fn sign<W: Serialize + claims::Wire>(&self, kind: TokenKind, wire: &W) -> Result<String, SignError> {
        let (issued_at, expires_at) = (wire.common().issued_at, wire.common().expires_at);
        if issued_at < 0 || !kind.allows_life(expires_at.saturating_sub(issued_at)) {
            return Err(SignError::Lifetime);
        }
        let token = self.keyring(kind).sign(kind, wire).ok_or(SignError::Crypto)?;
        if token.len() > MAX_BYTES { Err(SignError::Size) } else { Ok(token) }
    }

    fn verify<W: DeserializeOwned + claims::Wire>(
        &self,
        kind: TokenKind,
        token: &str,
        now: Millis,
    ) -> Result<W, TokenError> {
        let payload = verify::authenticate(self.keyring(kind), kind, token)?;
        let wire: W = serde_json::from_slice(&payload).map_err(|_| TokenError::Claims)?;
        verify::check(&wire.common(), kind, &self.issuer, now)?;
        Ok(wire)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod forgery_tests;
#[cfg(test)]
mod tests;

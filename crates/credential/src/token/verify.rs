use ambient::Millis;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::{LEEWAY_MS, MAX_BYTES, PARTICIPANT_S, SESSION_MAX_S, claims::Common, keys::Keyring};

/// The kinds of token. They share nothing that could make one pass for the other: `typ`, audience,
/// key and claims all differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// One conversation.
    Session,
    /// One run, one role.
    Participant,
}

impl TokenKind {
    /// The `typ` header (RFC 8725, section 3.11).
    #[must_use]
    pub fn typ(self) -> &'static str {
        match self {
            Self::Session => "chatsession+jwt",
            Self::Participant => "participant+jwt",
        }
    }

    /// The `aud` claim.
    #[must_use]
    pub fn audience(self) -> &'static str {
        match self {
            Self::Session => "chatelaine:session",
            Self::Participant => "chatelaine:participant",
        }
    }

    pub(super) fn of(typ: &str) -> Option<Self> {
        [Self::Session, Self::Participant].into_iter().find(|kind| kind.typ() == typ)
    }

    pub(super) fn allows_life(self, seconds: i64) -> bool {
        match self {
            Self::Session => (1..=SESSION_MAX_S).contains(&seconds),
            Self::Participant => seconds == PARTICIPANT_S,
        }
    }
}

/// Why a token was refused. For the operator: the caller learns `INVALID_TOKEN` or `TOKEN_EXPIRED`,
/// and expiry is only reported of a token that was otherwise good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not a compact JWS with a header of exactly `typ`, `alg` and `kid`.
    #[error("not a token of this installation")]
    Malformed,
    /// Another algorithm than the configured one.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// A token of another kind.
    #[error("the token is of another kind")]
    Kind,
    /// Unknown key, or the signature is wrong.
    #[error("the token's signature is not valid")]
    Signature,
    /// A claim is missing, unknown, doubled, of the wrong type or not for us.
    #[error("the token's claims are not acceptable")]
    Claims,
    /// Past its end.
    #[error("the token has expired")]
    Expired,
    /// Before its beginning.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Over [`MAX_BYTES`].
    #[error("the token is too long")]
    TooLong,
}

impl TokenError {
    /// A stable name for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Kind => "kind",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::TooLong => "too_long",
        }
    }
}

/// The compact form (RFC 7515, section 7.1), not decoded.
pub(super) struct Parts<'a> {
    /// Header and payload with their dot: what is signed.
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        if !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(TokenError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if payload.contains('.') || [header, payload, signature].iter().any(|part| part.is_empty()) {
            return Err(TokenError::Malformed);
        }
        Ok(Self { message, header, payload, signature })
    }

    pub(super) fn header_bytes(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.header)
    }
}

/// Refuses padding and a last character with unused bits set, so that one token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Malformed)
}

/// Exactly what we write. Unknown members are refused, and with them `crit`, `b64`, `jku`, `jwk`,
/// `x5u`, `x5c` and `zip`; serde refuses doubled ones; borrowed text refuses escapes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header<'a> {
    pub typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

impl<'a> Header<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(bytes).map_err(|_| TokenError::Malformed)
    }
}

/// The payload of a token whose form, algorithm, kind, key and signature are right.
pub(super) fn authenticate(keys: &Keyring, kind: TokenKind, token: &str) -> Result<Vec<u8>, TokenError> {
    let parts = Parts::split(token)?;
    let header = parts.header_bytes()?;
    let header = Header::read(&header)?;
    if header.alg != keys.algorithm().as_str() {
        return Err(TokenError::Algorithm);
    }
    if header.typ != kind.typ() {
        return Err(TokenError::Kind);
    }
    if keys.verify(header.kid, parts.message, parts.signature) != Some(true) {
        return Err(TokenError::Signature);
    }
    decode(parts.payload)
}

/// Issuer, audience and times. The library's own validation is not used: it reads the machine's
/// clock, and takes a missing issuer or audience for a good one.
pub(super) fn check(claims: &Common<'_>, kind: TokenKind, issuer: &str, now: Millis) -> Result<(), TokenError> {
    if claims.issuer != issuer || claims.audience != kind.audience() {
        return Err(TokenError::Claims);
    }
    let begins = claims.not_before.unwrap_or(claims.issued_at).max(claims.issued_at);
    let life = claims.expires_at.saturating_sub(claims.issued_at);
    if claims.issued_at < 0 || claims.not_before.is_some_and(|s| s < 0) || !kind.allows_life(life) {
        return Err(TokenError::Claims);
    }
    if now.plus(LEEWAY_MS) < Millis::from_seconds(begins) {
        return Err(TokenError::NotYetValid);
    }
    if now.plus(-LEEWAY_MS) >= Millis::from_seconds(claims.expires_at) {
        return Err(TokenError::Expired);
    }
    Ok(())
}

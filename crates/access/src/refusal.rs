use crate::{Role, Scope};

/// Why a request was not admitted. The gate turns it into an answer; the code is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was presented where something is needed.
    MissingCredential,
    /// Two different credentials on one request (RFC 6750, section 2).
    MultipleCredentials,
    /// Malformed, unknown or revoked: one answer for all, so that nothing is learned.
    InvalidApiKey,
    /// Whoever holds a whole expired key may be told.
    ApiKeyExpired,
    /// Malformed, forged, of another kind, or cut.
    InvalidToken,
    /// A token past its time.
    TokenExpired,
    /// Known, and the key lacks this scope.
    MissingScope(Scope),
    /// Known, and the person lacks this role.
    MissingRole(Role),
    /// A widget key or its token, from an origin that is not listed.
    OriginNotAllowed,
    /// A server key that came from a browser: the audience firewall.
    SecretKeyInBrowser,
    /// A credential of a kind that this operation does not admit.
    WrongCredential,
    /// A session token, on another conversation than its own.
    ConversationMismatch,
    /// The client's address is not on the key's list.
    AddressNotAllowed,
}

impl Refusal {
    /// The stable code of the envelope.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingCredential => "MISSING_CREDENTIAL",
            Self::MultipleCredentials => "MULTIPLE_CREDENTIALS",
            Self::InvalidApiKey => "INVALID_API_KEY",
            Self::ApiKeyExpired => "API_KEY_EXPIRED",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::MissingScope(_) | Self::MissingRole(_) | Self::AddressNotAllowed => "INSUFFICIENT_PERMISSIONS",
            Self::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Self::SecretKeyInBrowser => "SECRET_KEY_IN_BROWSER",
            Self::WrongCredential => "WRONG_CREDENTIAL",
            Self::ConversationMismatch => "CONVERSATION_MISMATCH",
        }
    }

    /// The HTTP status. 401: did not prove who it is; 403: known, and not allowed (seed S3).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MultipleCredentials => 400,
            Self::MissingCredential
            | Self::InvalidApiKey
            | Self::ApiKeyExpired
            | Self::InvalidToken
            | Self::TokenExpired => 401,
            Self::MissingScope(_)
            | Self::MissingRole(_)
            | Self::AddressNotAllowed
            | Self::OriginNotAllowed
            | Self::SecretKeyInBrowser
            | Self::WrongCredential
            | Self::ConversationMismatch => 403,
        }
    }

    /// What the caller reads: what happened and what to do.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::MissingCredential => "Send a credential: `Authorization: Bearer <key>`, or `X-API-Key: <key>`",
            Self::MultipleCredentials => "Send one credential, not several",
            Self::InvalidApiKey => "The provided API key is invalid",
            Self::ApiKeyExpired => "This API key has expired",
            Self::InvalidToken => "The provided token is invalid",
            Self::TokenExpired => "This token has expired",
            Self::MissingScope(_) => "API key does not have permission to perform this action",
            Self::MissingRole(_) => "Your role does not have permission to perform this action",
            Self::AddressNotAllowed => "This API key may not be used from this address",
            Self::OriginNotAllowed => "This origin is not on the key's list of allowed domains",
            Self::SecretKeyInBrowser => {
                "This key is for servers and came from a browser: use a widget key there, and rotate this one"
            }
            Self::WrongCredential => "This kind of credential is not accepted here",
            Self::ConversationMismatch => "This session token belongs to another conversation",
        }
    }
}

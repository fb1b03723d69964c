//! Credentials as text and bytes: what a key, a token, a signature and an origin look like, how
//! each is made and how each is checked.
//!
//! Everything here is pure: no clock, no storage, no network. Time and randomness are arguments
//! (see `ambient`). Whether a well-formed credential exists, is revoked or may do something is
//! decided elsewhere.

mod mac;

pub mod compare;
pub mod key;
pub mod leak;
pub mod livekit;
pub mod origin;
pub mod seal;
pub mod secret;
pub mod token;
pub mod totp;
pub mod transfer;
pub mod webhook;

pub use compare::{Comparer, StaticKey};
pub use key::{ApiKey, Environment, Family, Form, KeyError, Parser, Prefixes};
pub use livekit::{LiveKit, LiveKitError};
pub use origin::AllowedOrigins;
pub use seal::Sealer;
pub use secret::{Digest, RootSecret, Secrets};
pub use token::{Algorithm, ParticipantClaims, SessionClaims, TokenError, TokenKind, Tokens};
pub use totp::{TotpSecret, TypedCode};
pub use transfer::{Pepper, Transfer};
pub use webhook::WebhookSecret;

use std::error::Error;

use crate::{HeaderRefusal, UrlRefusal};

/// What happened inside; for the operator's log, never for a tenant.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why there is no (whole) answer. The text may be shown to a tenant; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The policy does not let this address be called.
    #[error(transparent)]
    Refused(#[from] UrlRefusal),
    /// A header of the request may not be sent.
    #[error(transparent)]
    Header(#[from] HeaderRefusal),
    /// The host name has no address.
    #[error("the host name could not be resolved")]
    Resolve(#[source] Cause),
    /// No connection, or no trusted certificate.
    #[error("no connection to the address could be made")]
    Connect(#[source] Cause),
    /// Connecting, the answer's head, or the next piece of the body took too long.
    #[error("the address did not answer in time")]
    Timeout,
    /// As many calls as may be are under way already.
    #[error("too many calls are under way")]
    Busy,
    /// The answer is longer than the caller wanted to read.
    #[error("the answer is too large")]
    TooLarge,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke before the answer was complete")]
    Transport(#[source] Cause),
    /// The client could not be made; only at start.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] Cause),
}

/// A name lookup that failed, so that it is told from a refusal on the way back through the client.
#[derive(Debug, thiserror::Error)]
#[error("name lookup failed")]
pub(crate) struct LookupFailed(#[source] pub(crate) std::io::Error);

impl OutboundError {
    pub(crate) fn from_client(error: reqwest::Error) -> Self {
        // A query may hold a secret.
        let error = error.without_url();
        if let Some(refusal) = find::<UrlRefusal>(&error) {
            return Self::Refused(refusal.clone());
        }
        if error.is_timeout() {
            Self::Timeout
        } else if find::<LookupFailed>(&error).is_some() || error.is_dns() {
            Self::Resolve(error.into())
        } else if error.is_connect() {
            Self::Connect(error.into())
        } else {
            Self::Transport(error.into())
        }
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

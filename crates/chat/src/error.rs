use cluster::ClusterError;
use credential::seal::SealError;
use store::StoreError;

/// What happened inside; for the operator's log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not done. The text may be shown to the caller; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// Absent, or not visible to this caller.
    #[error("not found")]
    NotFound,
    /// The session was ended; its token is dead.
    #[error("this session has ended")]
    Ended,
    /// The key behind the session was revoked, disabled or has run out since the request came in.
    #[error("the credential behind this session is no longer valid")]
    Revoked,
    /// Too many messages wait in this conversation.
    #[error("too many messages are waiting in this conversation; wait for an answer first")]
    Busy,
    /// A field breaks a rule.
    #[error("{field}: {message}")]
    Invalid {
        /// Its name on the wire.
        field: &'static str,
        /// One sentence for the caller.
        message: String,
    },
    /// The message's key was used before, with another text.
    #[error("this key belongs to another message")]
    Reused,
    /// It contradicts what is there; the word says what.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// There is no room for another; says of what, in one sentence for the caller.
    #[error("{0}")]
    Full(&'static str),
    /// The workspace is metered and nothing is left.
    #[error("the workspace has no credits left")]
    NoCredits,
    /// The operator has not set this up; says what, in one sentence for the caller.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// This server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// Our own outage: never the caller's fault.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Cause),
}

impl ChatError {
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }

    pub(crate) fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Conflict("ended") => Self::Ended,
            StoreError::Conflict(what) => Self::Conflict(what),
            other => Self::unavailable(other),
        }
    }
}

impl From<ClusterError> for ChatError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Store(error) => error.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<SealError> for ChatError {
    fn from(error: SealError) -> Self {
        Self::unavailable(error)
    }
}

impl From<ambient::RandomError> for ChatError {
    fn from(error: ambient::RandomError) -> Self {
        Self::unavailable(error)
    }
}

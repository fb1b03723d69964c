use store::StoreError;
use workflow::{FieldFault, Rejection};

/// What happened inside; for the operator's log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not done. The text may be shown to the caller; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No such run or step, or not this caller's: to the outside that is the same. 404.
    #[error("not found")]
    NotFound,
    /// The input, the answer or the words do not fit; every fault at once. 422.
    #[error("the value does not fit")]
    Invalid(Vec<FieldFault>),
    /// The step was answered before. 409.
    #[error("this step was answered before")]
    AlreadyAnswered,
    /// The agent still owes answers to what was said. 409.
    #[error("the agent has not answered yet")]
    Busy,
    /// The run is over. 409.
    #[error("this run has ended")]
    Ended,
    /// The deployment was revoked: no run begins any more.
    #[error("this deployment was revoked")]
    Revoked,
    /// Our own outage: never the caller's fault. 503.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Cause),
}

impl RunError {
    pub(crate) fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        match error {
            // Off, or gone: to the outside that is the same.
            StoreError::NotFound | StoreError::Conflict("trigger") => Self::NotFound,
            StoreError::Conflict("revoked") => Self::Revoked,
            other => Self::unavailable(other),
        }
    }
}

impl From<Rejection> for RunError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NotFound | Rejection::NotYours => Self::NotFound,
            Rejection::Invalid(faults) => Self::Invalid(faults),
            Rejection::AlreadyAnswered => Self::AlreadyAnswered,
            Rejection::Busy => Self::Busy,
            Rejection::Ended => Self::Ended,
            // Callers of these bring no effect's result, and definitions do not change under a run.
            Rejection::Stale | Rejection::Mismatch => Self::unavailable(rejection),
        }
    }
}

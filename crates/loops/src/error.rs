use store::StoreError;

/// What happened inside; for the operator's log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not done. The text may be shown to the caller; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopError {
    /// No such loop or execution, or not this caller's: to the outside that is the same. 404.
    #[error("not found")]
    NotFound,
    /// Fields that do not fit, as field and sentence. 422.
    #[error("the value does not fit")]
    Invalid(Vec<(String, String)>),
    /// There are as many as there may be. 409.
    #[error("{0}")]
    Full(&'static str),
    /// As many executions wait as may. 429.
    #[error("too many executions are not over")]
    Busy,
    /// The execution is over. 409.
    #[error("this execution is over")]
    Ended,
    /// Our own outage: never the caller's fault. 503.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Cause),
}

impl LoopError {
    pub(crate) fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    pub(crate) fn invalid(field: &str, sentence: impl Into<String>) -> Self {
        Self::Invalid(vec![(field.to_owned(), sentence.into())])
    }
}

impl From<StoreError> for LoopError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Conflict("agent_loops") => Self::Full("There are 500 agent loops, as many as may be"),
            StoreError::Conflict("executions") => Self::Busy,
            StoreError::Conflict("ended") => Self::Ended,
            other => Self::unavailable(other),
        }
    }
}

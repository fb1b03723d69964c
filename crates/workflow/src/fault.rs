use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mistake in a definition: where, in which node, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the definition; empty for the whole.
    pub path: String,
    /// The id of the node it stands in, when it has a usable one.
    pub node: Option<String>,
    /// A sentence for the author.
    pub message: String,
}

/// A value that a person or a program gave and that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldFault {
    /// The input's id or name; `value` or `text` where the whole answer is meant.
    pub field: String,
    /// A sentence for who gave it.
    pub message: String,
}

impl FieldFault {
    pub(crate) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

/// Why nothing happened. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such step is open, nor was it answered. 404.
    #[error("there is no such step")]
    NotFound,
    /// The step is another role's. To the outside the same 404 as [`Rejection::NotFound`].
    #[error("the step belongs to another role")]
    NotYours,
    /// The step was answered before. 409.
    #[error("the step was answered before")]
    AlreadyAnswered,
    /// The value does not fit; every fault at once. 422.
    #[error("the value does not fit")]
    Invalid(Vec<FieldFault>),
    /// The agent still owes answers to what was said; say it again later. 409.
    #[error("the agent has not answered yet")]
    Busy,
    /// The effect is not open: its result came before, or nobody waits for it any more. Drop it.
    #[error("nobody waits for this result")]
    Stale,
    /// The run is over. 409.
    #[error("the run has ended")]
    Ended,
    /// The state was made by another definition. A mistake of the caller.
    #[error("the state does not belong to this definition")]
    Mismatch,
}

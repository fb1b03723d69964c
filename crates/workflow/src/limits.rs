//! What bounds a definition, a turn and a run. Every number here is part of what `docs` may promise.

/// Nodes in a definition, all levels together.
pub const MAX_NODES: usize = 500;
/// Levels of nodes within nodes; the root is the first.
pub const MAX_DEPTH: usize = 20;
/// A definition's size, written as compact JSON.
pub const MAX_DEFINITION_BYTES: usize = 256 * 1024;
/// What a participant may say to an agent in one message.
pub const MAX_SAY_CHARACTERS: usize = 4000;
/// What a tool may answer, written as compact JSON; more is the failure `body_too_large`.
pub const MAX_TOOL_BODY_BYTES: usize = 64 * 1024;

/// A template's own text, and what it may render to; more is cut off.
pub(crate) const MAX_TEXT: usize = 16 * 1024;
/// References in one template.
pub(crate) const MAX_REFERENCES: usize = 100;
/// Conditions within conditions.
pub(crate) const MAX_CONDITION_DEPTH: usize = 10;
/// Faults that are reported at once.
pub(crate) const MAX_FAULTS: usize = 100;
/// Visits of nodes and comparisons in one turn.
pub(crate) const MAX_WORK: usize = 10_000;
/// Events of a whole run.
pub(crate) const MAX_EVENTS: u64 = 10_000;
/// Bytes of events in one turn.
pub(crate) const MAX_TURN_BYTES: usize = 1024 * 1024;
/// Bytes of all results of a run.
pub(crate) const MAX_RESULTS_BYTES: usize = 1024 * 1024;
/// Bytes of a tool's rendered body.
pub(crate) const MAX_CALL_BYTES: usize = 256 * 1024;
/// Bytes of a tool's rendered URL.
pub(crate) const MAX_URL_BYTES: usize = 8 * 1024;
/// Levels of JSON that come from outside: with what is around them they stay below the 128 that JSON readers allow.
pub(crate) const MAX_JSON_DEPTH: usize = 32;
/// Bytes of a dialogue, after which the answer at hand is its last.
pub(crate) const MAX_DIALOGUE_BYTES: usize = 256 * 1024;
/// Messages that a participant may send ahead of the agent's answer.
pub(crate) const MAX_UNANSWERED: usize = 5;
/// How often a model may try again to answer in the form asked for.
pub(crate) const MAX_REPAIRS: usize = 2;
/// How often a failed question to a bot is asked again.
pub(crate) const REPLY_RETRIES: u32 = 2;
/// Milliseconds before the first and every further retry.
pub(crate) const BACKOFF: [i64; 2] = [5_000, 30_000];

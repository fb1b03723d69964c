use std::collections::BTreeMap;

use ambient::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Method;

/// Who said a line, as models call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The participant, or the workflow in their place.
    User,
    /// The bot.
    Assistant,
}

/// One message of a dialogue with an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Who said it.
    pub from: Speaker,
    /// What was said. Plain text.
    pub text: String,
}

impl Line {
    pub(crate) fn user(text: impl Into<String>) -> Self {
        Self { from: Speaker::User, text: text.into() }
    }

    pub(crate) fn assistant(text: impl Into<String>) -> Self {
        Self { from: Speaker::Assistant, text: text.into() }
    }
}

/// A call over HTTP, rendered. The connection's secrets are added by who carries it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The HTTP method.
    pub method: Method,
    /// The address; scheme and host are the definition's own words.
    pub url: String,
    /// Headers, without any secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, to be sent as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The id of the connection whose secrets go along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Seconds until the call counts as failed.
    pub timeout_seconds: u32,
}

/// Something to be done outside. Its outcome comes back as [`crate::Incoming`] under the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// `<step>#<n>`; never issued twice in a run.
    pub id: String,
    /// The step it serves. The same for every retry, so it makes an idempotency key together with the run's id.
    pub step: String,
    /// What to do.
    pub kind: EffectKind,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EffectKind {
    /// Ask a bot; `Replied` or `ReplyFailed` comes back.
    AskBot {
        /// The bot's id, as the definition has it.
        bot: String,
        /// What is added to the bot's own instructions.
        instructions: String,
        /// The dialogue so far. With `extract` its last line asks for JSON already.
        messages: Vec<Line>,
        /// The JSON Schema of the answer, for models that can be held to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extract: Option<Value>,
    },
    /// Call a tool; `ToolReturned` or `ToolFailed` comes back.
    CallTool(ToolCall),
    /// Wait; `TimerFired` comes back, at this time or later.
    SetTimer {
        /// When.
        at: Millis,
    },
}

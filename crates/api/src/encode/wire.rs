//! The members of an event, the same whichever way the stream is framed.

use chat::ReplyEvent;
use serde::Serialize;

/// One event as the wire has it.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Wire<'a> {
    StreamStart { agent_name: &'a str },
    Chunk { delta: &'a str },
    ToolCall { name: &'a str, status: &'a str },
    ToolResult { name: &'a str, status: &'a str },
    Handoff { to: &'a str },
    StreamEnd { usage: WireUsage, end_session: bool },
    Gap { message: &'static str },
    Error { error: &'a str, message: &'a str },
}

#[derive(Debug, Serialize)]
pub(crate) struct WireUsage {
    input_tokens: u64,
    output_tokens: u64,
}

impl<'a> From<&'a ReplyEvent> for Wire<'a> {
    fn from(event: &'a ReplyEvent) -> Self {
        match event {
            ReplyEvent::Start { agent_name } => Self::StreamStart { agent_name },
            ReplyEvent::Delta(delta) => Self::Chunk { delta },
            ReplyEvent::ToolCall { name, status } => Self::ToolCall { name, status },
            ReplyEvent::ToolResult { name, status } => Self::ToolResult { name, status },
            ReplyEvent::Handoff { to } => Self::Handoff { to },
            ReplyEvent::End { usage, end_session } => Self::StreamEnd {
                usage: WireUsage { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens },
                end_session: *end_session,
            },
            ReplyEvent::Gap => Self::Gap { message: "Some events are no longer kept; the history has them" },
            ReplyEvent::Error { code, message } => Self::Error { error: code.as_str(), message },
        }
    }
}

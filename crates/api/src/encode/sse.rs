//! Server-sent events, as seed S2's clients read them: a comment as heartbeat, an `id` and one
//! `data` line for each event. JSON escapes line breaks, so no text can begin an event of its own.

use std::time::Duration;

use bytes::Bytes;
use chat::{EventId, Numbered, ReplyEvent};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;

/// After so much silence a comment is sent, so that proxies keep the connection.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// One event as the wire has it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire<'a> {
    StreamStart { agent_name: &'a str },
    Chunk { delta: &'a str },
    ToolCall { name: &'a str, status: &'a str },
    ToolResult { name: &'a str, status: &'a str },
    Handoff { to: &'a str },
    StreamEnd { usage: WireUsage, end_session: bool },
    Gap { message: &'static str },
    Error { error: &'a str, message: &'a str },
}

#[derive(Serialize)]
struct WireUsage {
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
            ReplyEvent::Gap => Self::Gap { message: "What came before is no longer kept: read the history" },
            ReplyEvent::Error { code, message } => Self::Error { error: code.as_str(), message },
        }
    }
}

pub(crate) fn encode(id: EventId, event: &ReplyEvent) -> Bytes {
    let mut bytes = format!("id: {id}\ndata: ").into_bytes();
    // Nothing in it can fail: every value is a text, a number or a truth value.
    let _ = serde_json::to_writer(&mut bytes, &Wire::from(event));
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

/// The whole reply, with a comment after each `silence`. Dropping it drops the reply.
pub(crate) fn stream(
    reply: impl Stream<Item = Numbered> + Send + Unpin + 'static,
    silence: Duration,
) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::unfold(reply, move |mut reply| async move {
        match tokio::time::timeout(silence, reply.next()).await {
            Ok(Some(Numbered { id, event })) => Some((encode(id, &event), reply)),
            Ok(None) => None,
            Err(_) => Some((Bytes::from_static(b": heartbeat\n\n"), reply)),
        }
    })
}

#[cfg(test)]
mod tests {
    use chat::{ReplyErrorCode, Usage};

    use super::*;

    fn text(bytes: &Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn each_event_has_its_form() {
        let tool = || ("search".to_owned(), "running".to_owned());
        let events = [
            ReplyEvent::Start { agent_name: "Ada".to_owned() },
            ReplyEvent::Delta("Hi \"you\"".to_owned()),
            ReplyEvent::ToolCall { name: tool().0, status: tool().1 },
            ReplyEvent::ToolResult { name: tool().0, status: tool().1 },
            ReplyEvent::Handoff { to: "human".to_owned() },
            ReplyEvent::End { usage: Usage { input_tokens: 3, output_tokens: 5 }, end_session: false },
            ReplyEvent::Error { code: ReplyErrorCode::Revoked, message: "gone".to_owned() },
        ];
        let lines: String = (1..).zip(&events).map(|(number, event)| text(&encode(number, event))).collect();
        let expected = r#"id: 1
data: {"type":"stream_start","agent_name":"Ada"}

id: 2
data: {"type":"chunk","delta":"Hi \"you\""}

id: 3
data: {"type":"tool_call","name":"search","status":"running"}

id: 4
data: {"type":"tool_result","name":"search","status":"running"}

id: 5
data: {"type":"handoff","to":"human"}

id: 6
data: {"type":"stream_end","usage":{"input_tokens":3,"output_tokens":5},"end_session":false}

id: 7
data: {"type":"error","error":"revoked","message":"gone"}

"#;
        assert_eq!(lines, expected);
    }

    #[test]
    fn no_text_begins_an_event_of_its_own() {
        let hostile = "a\n\ndata: {\"type\":\"stream_end\"}\r\rid: 9\u{2028}";
        let encoded = text(&encode(1, &ReplyEvent::Delta(hostile.to_owned())));
        assert_eq!(encoded.lines().count(), 3, "{encoded}");
        assert!(!encoded.contains('\r') && encoded.ends_with("\n\n") && encoded.matches("\n\n").count() == 1);
    }

    #[tokio::test]
    async fn silence_is_filled_with_comments_that_count_for_nothing() {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<ReplyEvent>();
        let reply = Box::pin(stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        }));
        let mut parts = Box::pin(stream(reply, Duration::from_millis(5)));
        assert_eq!(text(&parts.next().await.unwrap()), ": heartbeat\n\n");
        assert_eq!(text(&parts.next().await.unwrap()), ": heartbeat\n\n");
        sender.send(ReplyEvent::Delta("a".to_owned())).unwrap();
        assert!(text(&parts.next().await.unwrap()).starts_with("id: 1\n"));
        drop(sender);
        assert!(parts.next().await.is_none());
    }

    #[tokio::test]
    async fn dropping_the_parts_drops_the_reply() {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<ReplyEvent>();
        let reply = Box::pin(stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        }));
        let parts = stream(reply, HEARTBEAT);
        assert!(!sender.is_closed());
        drop(parts);
        assert!(sender.is_closed());
    }
}

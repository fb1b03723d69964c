//! A reply as the original's NDJSON lines.

use std::time::Duration;

use ambient::ConversationId;
use bytes::Bytes;
use chat::{EventId, Numbered, ReplyErrorCode, ReplyEvent};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;

use crate::text::trim;

/// After so much silence a blank line is sent: the original's clients step over it, and proxies keep the
/// connection.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is said when the model said nothing: the original's words.
const NOTHING_SAID: &str = "I could not generate a response right now.";

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Line<'a> {
    Start { conversation_id: ConversationId },
    Token { token: &'a str },
    Done { message: &'a str, conversation_id: ConversationId },
    Error { error: &'static str },
    Gap { message: &'a str },
}

/// A line for a client that can come back says where it is.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// What the whole answer is to these clients.
pub(crate) fn answer(text: &str) -> &str {
    match trim(text) {
        "" => NOTHING_SAID,
        text => text,
    }
}

/// What a reply that was cut says.
const fn error(code: ReplyErrorCode) -> &'static str {
    match code {
        ReplyErrorCode::Revoked | ReplyErrorCode::Expired => "Unauthorized",
        _ => "Internal server error",
    }
}

/// Writes the lines of one reply.
#[derive(Debug)]
pub(crate) struct Lines {
    conversation: ConversationId,
    /// Whether each line has an id: the client named its message, and may come back.
    named: bool,
    /// Whether `text` begins where the answer does.
    whole: bool,
    text: String,
}

impl Lines {
    pub(crate) const fn new(conversation: ConversationId, named: bool, after: Option<EventId>) -> Self {
        Self { conversation, named, whole: after.is_none(), text: String::new() }
    }

    /// The event's line, if it has one. `answered` is the stored answer, for a reader who came back.
    fn line(&mut self, event: &Numbered, answered: Option<&str>) -> Option<Bytes> {
        let conversation_id = self.conversation;
        let line = match &event.event {
            ReplyEvent::Start { .. } => {
                // What follows is an answer from its beginning, whatever the client has seen of another.
                self.text.clear();
                self.whole = true;
                Line::Start { conversation_id }
            }
            ReplyEvent::Delta(token) if token.is_empty() => return None,
            ReplyEvent::Delta(token) => {
                self.text.push_str(token);
                Line::Token { token }
            }
            ReplyEvent::End { .. } => Line::Done { message: answer(answered.unwrap_or(&self.text)), conversation_id },
            ReplyEvent::Error { code, .. } => Line::Error { error: error(*code) },
            ReplyEvent::Gap => Line::Gap { message: "Some of the answer is no longer kept" },
            ReplyEvent::ToolCall { .. } | ReplyEvent::ToolResult { .. } | ReplyEvent::Handoff { .. } => return None,
        };
        let named = Named { line, id: self.named.then(|| event.id.to_string()) };
        // Nothing in it can fail: every value is a text.
        let mut bytes = serde_json::to_vec(&named).unwrap_or_default();
        bytes.push(b'\n');
        Some(bytes.into())
    }
}

/// The lines of a reply as it comes; dropping it drops the reply. `stored` looks up the whole answer to the
/// message at a place, for a reader who came back in its middle.
pub(crate) fn stream<R, F, A>(
    reply: R,
    lines: Lines,
    silence: Duration,
    stored: F,
) -> impl Stream<Item = Bytes> + Send + 'static
where
    R: Stream<Item = Numbered> + Send + Unpin + 'static,
    F: Fn(u64) -> A + Send + 'static,
    A: Future<Output = Option<String>> + Send,
{
    stream::unfold((reply, lines, stored), move |(mut reply, mut lines, stored)| async move {
        loop {
            let event = match tokio::time::timeout(silence, reply.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return None,
                Err(_) => return Some((Bytes::from_static(b"\n"), (reply, lines, stored))),
            };
            let ends = matches!(event.event, ReplyEvent::End { .. });
            let answered = if ends && !lines.whole { stored(event.id.position).await } else { None };
            if let Some(line) = lines.line(&event, answered.as_deref()) {
                return Some((line, (reply, lines, stored)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;
    use chat::Usage;

    use super::*;

    const CONVERSATION: ConversationId = ConversationId(Ulid(1));

    fn numbered(events: Vec<ReplyEvent>) -> Vec<Numbered> {
        let id = |number| EventId { position: 3, number };
        (1..).zip(events).map(|(number, event)| Numbered { id: id(number), event }).collect()
    }

    fn delta(text: &str) -> ReplyEvent {
        ReplyEvent::Delta(text.to_owned())
    }

    fn end() -> ReplyEvent {
        ReplyEvent::End { usage: Usage::default(), end_session: false }
    }

    fn start() -> ReplyEvent {
        ReplyEvent::Start { agent_name: "Assistant".to_owned() }
    }

    async fn written(lines: Lines, events: Vec<ReplyEvent>) -> String {
        let reply = stream::iter(numbered(events));
        let stored = |position: u64| std::future::ready(Some(format!(" the whole answer to {position}\n")));
        let parts: Vec<Bytes> = stream(reply, lines, HEARTBEAT, stored).collect().await;
        String::from_utf8(parts.concat()).unwrap()
    }

    #[tokio::test]
    async fn the_lines_are_the_originals_to_the_byte() {
        let tool = || ("search".to_owned(), "done".to_owned());
        let text = written(
            Lines::new(CONVERSATION, false, None),
            vec![
                start(),
                delta(" Hi"),
                delta(""),
                ReplyEvent::ToolCall { name: tool().0, status: tool().1 },
                ReplyEvent::ToolResult { name: tool().0, status: tool().1 },
                ReplyEvent::Handoff { to: "you".to_owned() },
                delta(" \"you\"\n\u{2028}</script>😀 "),
                end(),
            ],
        )
        .await;
        let id = CONVERSATION.to_string();
        let expected = [
            r#"{"type":"start","conversationId":"ID"}"#,
            r#"{"type":"token","token":" Hi"}"#,
            concat!(r#"{"type":"token","token":" \"you\"\n"#, "\u{2028}", r#"</script>😀 "}"#),
            concat!(r#"{"type":"done","message":"Hi \"you\"\n"#, "\u{2028}", r#"</script>😀","conversationId":"ID"}"#),
        ];
        let expected: String = expected.iter().map(|line| line.replace("ID", &id) + "\n").collect();
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn an_empty_answer_is_said_in_the_originals_words() {
        let text = written(Lines::new(CONVERSATION, false, None), vec![delta(" \n"), end()]).await;
        assert!(text.contains(r#""message":"I could not generate a response right now.""#), "{text}");
    }

    #[tokio::test]
    async fn a_reply_that_is_cut_says_whether_it_was_the_key() {
        for (code, said) in [
            (ReplyErrorCode::Revoked, "Unauthorized"),
            (ReplyErrorCode::Expired, "Unauthorized"),
            (ReplyErrorCode::UpstreamRefused, "Internal server error"),
            (ReplyErrorCode::Shutdown, "Internal server error"),
        ] {
            let text = written(Lines::new(CONVERSATION, false, None), vec![code.event()]).await;
            assert_eq!(text, format!("{{\"type\":\"error\",\"error\":\"{said}\"}}\n"));
        }
    }

    #[tokio::test]
    async fn a_client_that_can_come_back_reads_where_it_is_and_gets_the_whole_at_the_end() {
        let named = Lines::new(CONVERSATION, true, None);
        let text = written(named, vec![start(), delta("a"), end()]).await;
        let ids: Vec<_> = text.lines().map(|line| line.rsplit_once(r#","id":"#).unwrap().1).collect();
        assert_eq!(ids, [r#""3-1"}"#, r#""3-2"}"#, r#""3-3"}"#]);
        let again = Lines::new(CONVERSATION, true, Some(EventId { position: 3, number: 1 }));
        let text = written(again, vec![ReplyEvent::Gap, delta("er to 3"), end()]).await;
        assert!(text.starts_with(r#"{"type":"gap","#), "{text}");
        assert!(text.contains(r#""message":"the whole answer to 3""#), "{text}");
    }

    #[tokio::test]
    async fn an_answer_that_begins_anew_is_whole() {
        let again = Lines::new(CONVERSATION, true, Some(EventId { position: 3, number: 9 }));
        let text = written(again, vec![ReplyEvent::Gap, start(), delta("all of "), delta("it"), end()]).await;
        assert!(text.contains(r#""message":"all of it""#), "{text}");
    }

    #[tokio::test]
    async fn silence_is_broken_by_a_blank_line() {
        let reply = stream::pending::<Numbered>();
        let lines = Lines::new(CONVERSATION, false, None);
        let mut parts = Box::pin(stream(reply, lines, Duration::from_millis(1), |_| std::future::ready(None)));
        for _ in 0..2 {
            assert_eq!(parts.next().await.unwrap(), "\n");
        }
    }
}

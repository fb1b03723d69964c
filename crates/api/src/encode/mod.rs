//! Encoders of the one reply stream: a new door is a new encoder.

pub(crate) mod ndjson;
pub(crate) mod sse;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use chat::Numbered;
use futures_util::{Stream, StreamExt, stream};
use gate::EventStream;

/// After so much silence something is sent, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The answer in the form that the client asked for.
pub(crate) fn respond(
    events: impl Stream<Item = Numbered> + Send + Unpin + 'static,
    wants_ndjson: bool,
) -> EventStream {
    if wants_ndjson {
        EventStream::ndjson(encode_stream(events, ndjson::encode, ndjson::SILENCE, HEARTBEAT))
    } else {
        EventStream::new(encode_stream(events, sse::encode, sse::SILENCE, HEARTBEAT))
    }
}

/// Every event, and a sign of life after each `silence`. Dropping it drops the events.
fn encode_stream(
    events: impl Stream<Item = Numbered> + Send + Unpin + 'static,
    encode: fn(&Numbered) -> Bytes,
    sign: Bytes,
    silence: Duration,
) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::unfold((events, sign), move |(mut events, sign)| async move {
        match tokio::time::timeout(silence, events.next()).await {
            Ok(Some(event)) => Some((encode(&event), (events, sign))),
            Ok(None) => None,
            Err(_) => Some((sign.clone(), (events, sign))),
        }
    })
}

#[cfg(test)]
mod tests {
    use chat::{EventId, ReplyErrorCode, ReplyEvent, Usage};
    use tokio::sync::mpsc;

    use super::*;

    pub(super) fn one_of_each() -> Vec<Numbered> {
        let tool = || ("search".to_owned(), "running".to_owned());
        let events = [
            ReplyEvent::Start { agent_name: "Ada".to_owned() },
            ReplyEvent::Delta("Hi \"you\"".to_owned()),
            ReplyEvent::ToolCall { name: tool().0, status: tool().1 },
            ReplyEvent::ToolResult { name: tool().0, status: tool().1 },
            ReplyEvent::Handoff { to: "human".to_owned() },
            ReplyEvent::End { usage: Usage { input_tokens: 3, output_tokens: 5 }, end_session: false },
            ReplyEvent::Error { code: ReplyErrorCode::Revoked, message: "gone".to_owned() },
            ReplyEvent::Gap,
        ];
        (1..).zip(events).map(|(number, event)| Numbered { id: EventId { position: 12, number }, event }).collect()
    }

    pub(super) fn delta(text: &str) -> Numbered {
        Numbered { id: EventId { position: 1, number: 1 }, event: ReplyEvent::Delta(text.to_owned()) }
    }

    fn events() -> (mpsc::UnboundedSender<Numbered>, impl Stream<Item = Numbered> + Send + Unpin + 'static) {
        let (sender, receiver) = mpsc::unbounded_channel::<Numbered>();
        let events =
            stream::unfold(
                receiver,
                |mut receiver| async move { receiver.recv().await.map(|event| (event, receiver)) },
            );
        (sender, Box::pin(events))
    }

    #[tokio::test]
    async fn silence_is_filled_with_signs_that_count_for_nothing() {
        let (sender, events) = events();
        let mut parts = Box::pin(encode_stream(events, sse::encode, sse::SILENCE, Duration::from_millis(5)));
        assert_eq!(parts.next().await.unwrap(), ": heartbeat\n\n");
        assert_eq!(parts.next().await.unwrap(), ": heartbeat\n\n");
        sender.send(delta("a")).unwrap();
        assert!(parts.next().await.unwrap().starts_with(b"id: 1-1\n"));
        drop(sender);
        assert!(parts.next().await.is_none());
    }

    #[tokio::test]
    async fn dropping_the_parts_drops_the_reply() {
        let (sender, events) = events();
        let parts = encode_stream(events, sse::encode, sse::SILENCE, HEARTBEAT);
        assert!(!sender.is_closed());
        drop(parts);
        assert!(sender.is_closed());
    }
}

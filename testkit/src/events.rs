//! Server-sent events, read as they arrive.
#![expect(clippy::expect_used, clippy::panic, reason = "a test whose stream breaks is over")]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::{client::Connection, now};

/// How long [`Events::next`] waits; longer than any upstream of a test is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long [`Events::rest`] waits; longer than any reply of a test.
const LONGEST: Duration = Duration::from_secs(60);

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its `id:`.
    pub id: String,
    /// Its `data:`, parsed.
    pub data: Value,
    /// When its last byte was here.
    pub at: Instant,
}

impl Event {
    /// The `type` in its data.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or_default()
    }

    /// The text of a `chunk`, else empty.
    #[must_use]
    pub fn delta(&self) -> &str {
        self.data["delta"].as_str().unwrap_or_default()
    }
}

/// An open stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct Events {
    /// The answer's headers.
    pub headers: HeaderMap,
    body: Incoming,
    buffer: Vec<u8>,
    ready: VecDeque<Event>,
    _connection: Connection,
}

impl Events {
    pub(crate) fn new(headers: HeaderMap, body: Incoming, connection: Connection) -> Self {
        Self { headers, body, buffer: Vec::new(), ready: VecDeque::new(), _connection: connection }
    }

    /// The next event; `None` at the end, also when the connection broke.
    ///
    /// # Panics
    /// When nothing comes for 20 s, or what comes is not an event of one `id:` and one `data:` line.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let Ok(frame) = tokio::time::timeout(PATIENCE, self.body.frame()).await else {
                panic!("no event in {PATIENCE:?}")
            };
            let Ok(frame) = frame? else { return None };
            let Ok(data) = frame.into_data() else { continue };
            self.buffer.extend_from_slice(&data);
            self.parse();
        }
    }

    /// All events to the end.
    ///
    /// # Panics
    /// When there is no end in 60 s.
    pub async fn rest(mut self) -> Vec<Event> {
        let start = now();
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
            assert!(start.elapsed() < LONGEST, "the stream does not end; the last event was {:?}", all.last());
        }
        all
    }

    /// The first event of this type; those before it are gone.
    ///
    /// # Panics
    /// When the stream ends before it.
    pub async fn until(&mut self, kind: &str) -> Event {
        loop {
            match self.next().await {
                Some(event) if event.kind() == kind => return event,
                Some(_) => {}
                None => panic!("the stream ended before `{kind}`"),
            }
        }
    }

    fn parse(&mut self) {
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let text = String::from_utf8(block).expect("events are UTF-8");
            let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with(':')).collect();
            if lines.is_empty() {
                continue;
            }
            let [id, data] = lines[..] else { panic!("not one `id:` and one `data:` line: {text:?}") };
            let id = id.strip_prefix("id: ").expect("a numbered event").to_owned();
            let data = data.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok()).expect("JSON data");
            self.ready.push_back(Event { id, data, at: now() });
        }
    }
}

/// The text of all chunks.
#[must_use]
pub fn text_of(events: &[Event]) -> String {
    events.iter().map(Event::delta).collect()
}

//! NDJSON, read as it arrives.
#![expect(clippy::panic, reason = "a test whose stream breaks is over")]

use std::time::Duration;

use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::client::Connection;

/// How long [`Lines::next`] waits; longer than any upstream of a test is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open stream of lines. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lines {
    /// The answer's headers.
    pub headers: HeaderMap,
    body: Incoming,
    buffer: Vec<u8>,
    _connection: Connection,
}

impl Lines {
    pub(crate) fn new(headers: HeaderMap, body: Incoming, connection: Connection) -> Self {
        Self { headers, body, buffer: Vec::new(), _connection: connection }
    }

    /// The next line, without its end and blank ones; `None` at the end, also when the connection broke.
    ///
    /// # Panics
    /// When nothing comes for 20 s.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line[..end]).into_owned();
                if !text.is_empty() {
                    return Some(text);
                }
            }
            let Ok(frame) = tokio::time::timeout(PATIENCE, self.body.frame()).await else {
                panic!("no line in {PATIENCE:?}")
            };
            let Ok(frame) = frame? else { return None };
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// All lines to the end.
    pub async fn rest(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.next().await {
            all.push(line);
        }
        all
    }

    /// The first line whose JSON is of this type; those before it are gone.
    ///
    /// # Panics
    /// When the stream ends before it.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let Some(line) = self.next().await else { panic!("the stream ended before `{kind}`") };
            let value: Value = serde_json::from_str(&line).unwrap_or_default();
            if value["type"] == kind {
                return value;
            }
        }
    }
}

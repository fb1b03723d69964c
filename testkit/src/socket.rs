//! A WebSocket, as a test's client holds it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test whose server does not answer is over")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{Answer, Request};

/// Longer than anything a healthy server takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the other side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A text.
    Text(String),
    /// The end: its code and reason, or nothing where the connection was cut.
    Closed(Option<(u16, String)>),
}

/// The client's end of a WebSocket. Dropping it hangs up.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// Of the answer 101.
    pub headers: HeaderMap,
}

impl Request {
    /// Sends it as a handshake that offers these subprotocols.
    ///
    /// # Errors
    /// The answer, where it is not 101.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn socket(self, protocols: &[&str]) -> Result<WebSocket, Answer> {
        let handshake = self
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let handshake = match protocols {
            [] => handshake,
            some => handshake.header("sec-websocket-protocol", some.join(", ")),
        };
        let Ok((response, connection)) = tokio::time::timeout(PATIENCE, handshake.open()).await else {
            panic!("no answer to a handshake in {PATIENCE:?}")
        };
        if response.status() != 101 {
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("the whole answer").to_bytes();
            return Err(Answer { status: parts.status.as_u16(), headers: parts.headers, body });
        }
        let headers = response.headers().clone();
        let io = hyper::upgrade::on(response).await.expect("an upgraded connection");
        drop(connection);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Client, None).await;
        Ok(WebSocket { stream, headers })
    }
}

impl WebSocket {
    /// Sends a text; a server that has gone is noticed by [`WebSocket::next`].
    pub async fn send(&mut self, text: impl Into<String>) {
        let _ = self.stream.send(Message::text(text.into())).await;
    }

    /// Sends JSON.
    pub async fn send_json(&mut self, value: &Value) {
        self.send(value.to_string()).await;
    }

    /// Sends a ping; the answer is not told.
    pub async fn ping(&mut self) {
        let _ = self.stream.send(Message::Ping(Bytes::new())).await;
    }

    /// What comes next.
    ///
    /// # Panics
    /// When nothing comes for half a minute.
    pub async fn next(&mut self) -> Said {
        let wait = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => return Said::Text(text.to_string()),
                    Some(Ok(Message::Close(frame))) => {
                        return Said::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Said::Closed(None),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("something within half a minute")
    }

    /// The next text, as JSON.
    ///
    /// # Panics
    /// When the socket ends instead, or the text is no JSON.
    pub async fn next_json(&mut self) -> Value {
        match self.next().await {
            Said::Text(text) => serde_json::from_str(&text).expect("JSON"),
            Said::Closed(why) => panic!("closed instead of a message: {why:?}"),
        }
    }

    /// Reads until a message of this `type`, and gives it.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let value = self.next_json().await;
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// Reads to the end: its code and reason, or nothing where the connection was cut.
    pub async fn end(&mut self) -> Option<(u16, String)> {
        loop {
            if let Said::Closed(why) = self.next().await {
                return why;
            }
        }
    }
}

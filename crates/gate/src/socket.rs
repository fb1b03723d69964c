//! One WebSocket as the rooms above see it: text in, text out, and an end. The library stays in here.
//!
//! Bounded on every side: a message, what waits to be written, how long the other side may be silent or
//! may not read, how much it may say besides text.

use std::{borrow::Cow, fmt, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::time::{Interval, MissedTickBehavior, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::TokenDoor;

type Stream = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Pings, pongs and empty messages that a client may send between two of our pings.
const IDLE_TALK: u32 = 100;
/// How long the other side has to answer a close.
const FAREWELL: Duration = Duration::from_secs(2);

/// How patient and how generous a socket is.
#[derive(Clone, Copy, Debug)]
pub struct SocketConfig {
    /// The largest message that is read, in bytes; a larger one closes with 1009.
    pub max_message: usize,
    /// Between two pings. A client that has sent nothing since the one before, not even a pong, is gone.
    pub ping_every: Duration,
    /// How long a message may take to be handed to the network; a client that reads slower is gone.
    pub send_within: Duration,
}

impl Default for SocketConfig {
    /// 64 KiB, 30 s, 10 s.
    fn default() -> Self {
        Self { max_message: 64 * 1024, ping_every: Duration::from_secs(30), send_within: Duration::from_secs(10) }
    }
}

/// The other side is gone, or reads too slowly to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the socket is closed")]
pub struct Gone;

/// The server's end of a WebSocket. Dropping it cuts the connection; [`Socket::close`] says why.
pub struct Socket {
    // Boxed: it is moved into futures of other rooms.
    stream: Box<Stream>,
    pings: Interval,
    config: SocketConfig,
    door: TokenDoor,
    /// Whether anything came since the last ping.
    heard: bool,
    idle_talk: u32,
    over: bool,
}

impl Socket {
    pub(crate) async fn new(io: hyper::upgrade::Upgraded, config: SocketConfig, door: TokenDoor) -> Self {
        let limits = WebSocketConfig::default()
            // The default is 128 KiB for each connection, taken at once.
            .read_buffer_size(1024)
            .write_buffer_size(0)
            .max_write_buffer_size(1024 * 1024)
            .max_message_size(Some(config.max_message))
            .max_frame_size(Some(config.max_message));
        let stream = Stream::from_raw_socket(TokioIo::new(io), Role::Server, Some(limits)).await;
        let mut pings = tokio::time::interval(config.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        Self { stream: Box::new(stream), pings, config, door, heard: true, idle_talk: 0, over: false }
    }

    /// What checks tokens that come in messages.
    #[must_use]
    pub fn door(&self) -> TokenDoor {
        self.door.clone()
    }

    /// The next text; `None` when the socket has ended, whoever ended it. Pings only while somebody waits
    /// here. Nothing is lost when the future is dropped before it is ready.
    pub async fn recv(&mut self) -> Option<String> {
        while !self.over {
            tokio::select! {
                biased;
                _ = self.pings.tick() => self.ping().await,
                message = self.stream.next() => {
                    self.heard = true;
                    match message {
                        Some(Ok(Message::Text(text))) if !text.is_empty() => return Some(text.as_str().to_owned()),
                        Some(Ok(Message::Binary(_))) => self.end(CloseCode::Unsupported, "send text").await,
                        // The library answers a ping by itself.
                        Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                            self.idle_talk += 1;
                            if self.idle_talk > IDLE_TALK {
                                self.end(CloseCode::Policy, "too many pings").await;
                            }
                        }
                        // The answer to the close goes out with the next read.
                        Some(Ok(Message::Close(_))) => {
                            let _ = timeout(FAREWELL, self.stream.next()).await;
                            self.over = true;
                        }
                        Some(Err(error)) => self.fail(&error).await,
                        None => self.over = true,
                    }
                }
            }
        }
        None
    }

    /// Sends a text and waits until the network has taken it.
    ///
    /// # Errors
    /// [`Gone`] when the socket has ended, or the other side does not read in time.
    pub async fn send(&mut self, text: impl Into<String>) -> Result<(), Gone> {
        if self.over {
            return Err(Gone);
        }
        self.write(Message::text(text.into())).await
    }

    /// Says goodbye with a code (RFC 6455, section 7.4; 4000 to 4999 are ours) and a reason of at most 123
    /// bytes, and waits up to 2 s for the answer.
    pub async fn close(mut self, code: u16, reason: impl Into<Cow<'static, str>>) {
        if !self.over {
            self.end(CloseCode::from(code), &reason.into()).await;
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(self.config.send_within, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                self.over = true;
                Err(Gone)
            }
        }
    }

    async fn ping(&mut self) {
        if !std::mem::take(&mut self.heard) {
            self.over = true;
            return;
        }
        self.idle_talk = 0;
        // A failure is noted in `over`.
        let _ = self.write(Message::Ping(bytes::Bytes::new())).await;
    }

    async fn fail(&mut self, error: &Error) {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                self.end(CloseCode::Size, "the message is too long").await;
            }
            Error::Utf8(_) => self.end(CloseCode::Invalid, "the message is not UTF-8").await,
            Error::Protocol(_) => self.end(CloseCode::Protocol, "not a frame of a client").await,
            _ => self.over = true,
        }
    }

    async fn end(&mut self, code: CloseCode, reason: &str) {
        self.over = true;
        let reason = &reason[..reason.floor_char_boundary(123)];
        let frame = CloseFrame { code, reason: reason.into() };
        let farewell = async {
            if self.stream.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            // Until the other side has answered, or has gone; what it says besides is not read.
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("over", &self.over).finish_non_exhaustive()
    }
}

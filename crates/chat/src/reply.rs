use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use cluster::CutReason;
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::{EventId, Numbered};

/// Events between the task that answers and the one who reads: a slow reader slows the upstream.
pub(crate) const BUFFER: usize = 64;

/// What a reply cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt as the upstream counts them, or words where it does not say.
    pub input_tokens: u64,
    /// Tokens of the answer, likewise.
    pub output_tokens: u64,
}

/// One step of a reply, whatever the door it leaves through. The first is `Start`, the last is
/// `End` or `Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyEvent {
    /// The bot begins.
    Start {
        /// The bot's name.
        agent_name: String,
    },
    /// More text.
    Delta(String),
    /// The bot calls a tool.
    ToolCall {
        /// Which.
        name: String,
        /// How far it is.
        status: String,
    },
    /// A tool answered.
    ToolResult {
        /// Which.
        name: String,
        /// How it went.
        status: String,
    },
    /// Somebody else goes on.
    Handoff {
        /// Who.
        to: String,
    },
    /// The whole answer is stored, durably.
    End {
        /// What it cost.
        usage: Usage,
        /// Whether the session ends with it.
        end_session: bool,
    },
    /// What was asked for is no longer kept. What follows, if anything, begins anew with `Start`; the rest
    /// is in the history.
    Gap,
    /// The reply was cut; what had come is stored as `partial`.
    Error {
        /// Stable.
        code: ReplyErrorCode,
        /// For the end user; says nothing about the upstream.
        message: String,
    },
}

/// Why a reply ended without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyErrorCode {
    /// The key behind the session was revoked or disabled, or its origin is no longer allowed.
    Revoked,
    /// The session was ended.
    Ended,
    /// The key or the token behind the session ran out.
    Expired,
    /// This server stops.
    Shutdown,
    /// The upstream could not be reached, or broke off.
    UpstreamUnavailable,
    /// The upstream took too long.
    UpstreamTimeout,
    /// The upstream answered, with an error.
    UpstreamRefused,
    /// No integration of the bot is on.
    NotConfigured,
    /// Its user stopped it.
    Cancelled,
    /// It never came to its end, and the conversation has gone on since.
    Superseded,
    /// Our own fault.
    Internal,
}

impl ReplyErrorCode {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Ended => "ended",
            Self::Expired => "expired",
            Self::Shutdown => "shutdown",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamRefused => "upstream_refused",
            Self::NotConfigured => "not_configured",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Internal => "internal",
        }
    }

    /// What the end user reads.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Revoked => "The key behind this session was revoked",
            Self::Ended => "This session has ended",
            Self::Expired => "This session has expired",
            Self::Shutdown => "The server is restarting; please send the message again",
            Self::UpstreamUnavailable => "The model behind this bot could not be reached",
            Self::UpstreamTimeout => "The model behind this bot did not answer in time",
            Self::UpstreamRefused => "The model behind this bot refused the request",
            Self::NotConfigured => "This bot has no integration that is switched on",
            Self::Cancelled => "The reply was stopped",
            Self::Superseded => "The conversation has gone on without this reply",
            Self::Internal => "The reply could not be completed",
        }
    }

    /// The event that says so.
    #[must_use]
    pub fn event(self) -> ReplyEvent {
        ReplyEvent::Error { code: self, message: self.message().to_owned() }
    }
}

impl From<CutReason> for ReplyErrorCode {
    fn from(reason: CutReason) -> Self {
        match reason {
            CutReason::Revoked | CutReason::Disabled | CutReason::OriginRemoved => Self::Revoked,
            CutReason::Expired => Self::Expired,
            CutReason::Ended => Self::Ended,
            CutReason::Shutdown => Self::Shutdown,
        }
    }
}

/// A reply on its way, a stream of [`ReplyEvent`]. Dropping it says that the client left: the call
/// to the upstream is cancelled at once and what had come is stored as `partial`.
pub struct Reply {
    events: mpsc::Receiver<ReplyEvent>,
    /// Overtakes what is buffered: after a revocation not one more word goes out.
    cut: Option<oneshot::Receiver<ReplyEvent>>,
    last: EventId,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// The writing side of a [`Reply`].
pub(crate) struct Sink {
    pub(crate) events: mpsc::Sender<ReplyEvent>,
    pub(crate) cut: oneshot::Sender<ReplyEvent>,
}

impl Reply {
    pub(crate) fn channel(position: u64) -> (Sink, Self) {
        let (events, receive_events) = mpsc::channel(BUFFER);
        let (cut, receive_cut) = oneshot::channel();
        (
            Sink { events, cut },
            Self { events: receive_events, cut: Some(receive_cut), last: EventId { position, number: 0 } },
        )
    }
}

impl Stream for Reply {
    type Item = Numbered;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Numbered>> {
        self.poll_event(cx).map(|event| {
            let event = event?;
            self.last.number += 1;
            Some(Numbered { id: self.last, event })
        })
    }
}

impl Reply {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReplyEvent>> {
        if let Some(cut) = &mut self.cut
            && let Poll::Ready(result) = Pin::new(cut).poll(cx)
        {
            self.cut = None;
            if let Ok(event) = result {
                self.events.close();
                while self.events.try_recv().is_ok() {}
                return Poll::Ready(Some(event));
            }
        }
        self.events.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn events_come_in_order_and_then_nothing() {
        let (sink, reply) = Reply::channel(1);
        sink.events.send(ReplyEvent::Delta("a".to_owned())).await.unwrap();
        sink.events.send(ReplyErrorCode::Internal.event()).await.unwrap();
        drop(sink);
        let all: Vec<_> = reply.map(|numbered| numbered.event).collect().await;
        assert_eq!(all, [ReplyEvent::Delta("a".to_owned()), ReplyErrorCode::Internal.event()]);
    }

    #[tokio::test]
    async fn a_cut_overtakes_what_is_buffered_and_is_the_last_event() {
        let (sink, mut reply) = Reply::channel(1);
        for _ in 0..BUFFER {
            sink.events.send(ReplyEvent::Delta("secret".to_owned())).await.unwrap();
        }
        sink.cut.send(ReplyErrorCode::Revoked.event()).unwrap();
        assert_eq!(reply.next().await.map(|numbered| numbered.event), Some(ReplyErrorCode::Revoked.event()));
        assert!(sink.events.is_closed(), "the task sees that nobody reads any more");
        drop(sink.events);
        assert_eq!(reply.next().await, None);
    }
}

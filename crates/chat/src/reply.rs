use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use cluster::{CutReason, Grant};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use crate::{
    EventId, Numbered,
    log::{Found, Reader, ReplyLog},
};

/// How long a cut waits for the partial answer to be stored before it says that it cut.
pub(crate) const CUT_PATIENCE: Duration = Duration::from_millis(250);

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

impl ReplyEvent {
    /// Whether its reply says no more.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::End { .. } | Self::Error { .. })
    }
}

impl From<CutReason> for ReplyErrorCode {
    fn from(reason: CutReason) -> Self {
        match reason {
            CutReason::Revoked | CutReason::Disabled | CutReason::OriginRemoved => Self::Revoked,
            CutReason::Expired => Self::Expired,
            // The other is for participants' sockets alone.
            CutReason::Ended | CutReason::Replaced => Self::Ended,
            CutReason::Shutdown => Self::Shutdown,
        }
    }
}

/// A reply on its way, a stream of [`Numbered`] events. Dropping it says that the client left. Then the
/// call to the upstream is cancelled, at once, or in ten seconds where the client can come back, and what
/// had come is stored as `partial`.
pub struct Reply {
    events: BoxStream<'static, Numbered>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl Reply {
    /// Reads `log` on from `after`, for as long as the grant holds.
    pub(crate) fn new(reader: Reader, grant: Arc<Grant>, after: Option<EventId>) -> Self {
        let (position, log) = (reader.log().position, reader.log());
        let (seen, gap) = match after {
            // Of this reply nothing has been seen.
            None => (0, false),
            Some(after) if after.position < position => (0, false),
            Some(after) if after.position == position => log.place_of(after.number).map_or((0, true), |it| (it, false)),
            Some(_) => (0, true),
        };
        let reading = Reading { reader, grant, seen, gap, over: false };
        let events = stream::unfold(reading, |mut reading| async move {
            let event = reading.next().await?;
            Some((event, reading))
        });
        Self { events: events.boxed() }
    }
}

impl Stream for Reply {
    type Item = Numbered;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Numbered>> {
        self.events.poll_next_unpin(cx)
    }
}

struct Reading {
    reader: Reader,
    grant: Arc<Grant>,
    seen: usize,
    gap: bool,
    over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Numbered> {
        let log = Arc::clone(self.reader.log());
        if self.over {
            return None;
        }
        if self.grant.reason().is_none() && std::mem::take(&mut self.gap) {
            return Some(Numbered { id: log.id(self.seen), event: ReplyEvent::Gap });
        }
        loop {
            let mut changed = pin!(log.changed());
            changed.as_mut().enable();
            if let Some(reason) = self.grant.reason() {
                self.over = true;
                return Some(last_words(&log, reason).await);
            }
            match log.read(&mut self.seen) {
                Found::Event(numbered) => {
                    self.over = numbered.event.is_last();
                    return Some(numbered);
                }
                Found::Over => return None,
                Found::Later => tokio::select! {
                    _ = self.grant.cancelled() => {}
                    () = changed => {}
                },
            }
        }
    }
}

/// The last event of a stream that was cut. What had come is stored by then, if that is quick.
pub(crate) async fn last_words(log: &ReplyLog, reason: CutReason) -> Numbered {
    let _ = timeout(CUT_PATIENCE, log.over()).await;
    Numbered { id: log.last_id(), event: ReplyErrorCode::from(reason).event() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_and_a_sentence_of_its_own() {
        let all = [
            ReplyErrorCode::Revoked,
            ReplyErrorCode::Ended,
            ReplyErrorCode::Expired,
            ReplyErrorCode::Shutdown,
            ReplyErrorCode::UpstreamUnavailable,
            ReplyErrorCode::UpstreamTimeout,
            ReplyErrorCode::UpstreamRefused,
            ReplyErrorCode::NotConfigured,
            ReplyErrorCode::Cancelled,
            ReplyErrorCode::Superseded,
            ReplyErrorCode::Internal,
        ];
        let names: HashSet<_> = all.iter().map(|code| code.as_str()).collect();
        let sentences: HashSet<_> = all.iter().map(|code| code.message()).collect();
        assert_eq!((names.len(), sentences.len()), (all.len(), all.len()));
    }
}

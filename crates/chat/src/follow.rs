//! Listening to a conversation: its replies one after the other, whoever sent the messages.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use access::SessionCaller;
use ambient::{Clock, Millis};
use cluster::{Grant, SESSION_IDLE_MS};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{sleep, timeout};

use crate::{
    Chat, ChatError, EventId, Numbered, ReplyErrorCode, ReplyEvent,
    live::{Follower, Place},
    log::{Found, ReplyLog},
    reply::{CUT_PATIENCE, last_words},
};

/// How long somebody listens to silence before the stream ends and the token is to be shown again.
const SILENCE: Duration = Duration::from_millis(SESSION_IDLE_MS.unsigned_abs());
/// How long who stops a reply waits until what came is stored.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Every reply of a session from some moment on. It ends with the session: the last event is an `Error`.
pub struct Follow {
    events: BoxStream<'static, Numbered>,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").finish_non_exhaustive()
    }
}

impl Stream for Follow {
    type Item = Numbered;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Numbered>> {
        self.events.poll_next_unpin(cx)
    }
}

/// Where one who listens begins.
struct Start {
    reading: Option<(Arc<ReplyLog>, usize)>,
    /// How many replies have begun that are read or passed over.
    heard: u64,
    /// Something is missing before it.
    gap: Option<EventId>,
}

struct Following {
    place: Place,
    grant: Grant,
    clock: Arc<dyn Clock>,
    token_ends: Millis,
    start: Start,
    last: EventId,
    over: bool,
    _follower: Follower,
}

impl Chat {
    /// Every reply of the session after the event `after`, and from now on. Without `after` it begins with
    /// the reply under way. A [`ReplyEvent::Gap`] says that some events are no longer kept.
    ///
    /// # Errors
    /// [`ChatError::Busy`] when eight listen already; [`ChatError::Ended`] and [`ChatError::Revoked`].
    pub async fn follow(&self, session: &SessionCaller, after: Option<EventId>) -> Result<Follow, ChatError> {
        let grant =
            self.parts.cluster.hold(session.key, Some(session.conversation)).ok_or_else(|| self.gone(session))?;
        let place = self.live.enter(session.conversation);
        let follower = place.follow().ok_or(ChatError::Busy)?;
        let start = match after {
            None => Start::now(&place),
            Some(after) => match Start::after(&place, after) {
                Some(start) => start,
                None => {
                    let data = self.parts.store.workspace(session.tenant);
                    let said = data.conversation(session.conversation).await?.message_count;
                    Start::anew(&place, after, said)
                }
            },
        };
        let last = start.gap.or(after).unwrap_or(EventId { position: 0, number: 0 });
        let following = Following {
            place,
            grant,
            clock: Arc::clone(&self.parts.clock),
            token_ends: session.expires_at,
            start,
            last,
            over: false,
            _follower: follower,
        };
        let events = stream::unfold(following, |mut following| async move {
            let event = following.next().await?;
            following.last = event.id;
            Some((event, following))
        });
        Ok(Follow { events: events.boxed() })
    }

    /// Stops the reply under way; what was said is kept as `partial`. Whether there was one.
    pub async fn cancel(&self, session: &SessionCaller) -> bool {
        let place = self.live.enter(session.conversation);
        let Some(log) = place.current() else { return false };
        log.stop();
        // That it is stored is good to know and no more: the reply ends in any case.
        let _ = timeout(STOP_PATIENCE, log.over()).await;
        true
    }
}

impl Start {
    fn now(place: &Place) -> Self {
        // Read first: a reply that begins in between is then heard, and not passed over.
        let begun = place.begun();
        match place.current() {
            Some(log) => Self::at(log, 0),
            None => Self { reading: None, heard: begun, gap: None },
        }
    }

    fn at(log: Arc<ReplyLog>, seen: usize) -> Self {
        Self { heard: log.sequence, reading: Some((log, seen)), gap: None }
    }

    /// Right behind an event that is in memory.
    fn after(place: &Place, after: EventId) -> Option<Self> {
        if let Some(log) = place.at(after.position) {
            let seen = log.place_of(after.number)?;
            return Some(Self::at(log, seen));
        }
        let next = place.at(after.position.checked_add(1)?).filter(|_| after.number == 0)?;
        Some(Self::at(next, 0))
    }

    /// Where nobody knows `after`: only if it names the very end of the conversation is nothing missing.
    fn anew(place: &Place, after: EventId, said: u64) -> Self {
        let start = Self::now(place);
        if after == (EventId { position: said, number: 0 }) {
            return start;
        }
        let position = start.reading.as_ref().map_or(said, |(log, _)| log.position);
        Self { gap: Some(EventId { position, number: 0 }), ..start }
    }
}

impl Following {
    async fn next(&mut self) -> Option<Numbered> {
        while !self.over {
            if let Some(last) = self.last_words().await {
                self.over = true;
                return Some(last);
            }
            if let Some(id) = self.start.gap.take() {
                return Some(Numbered { id, event: ReplyEvent::Gap });
            }
            let read = match self.start.reading.clone() {
                Some((log, seen)) => self.read(&log, seen).await,
                None => self.wait().await,
            };
            if read.is_some() {
                return read;
            }
        }
        None
    }

    /// What is said when the session may not be listened to any more.
    async fn last_words(&self) -> Option<Numbered> {
        if let Some(reason) = self.grant.reason() {
            return Some(match &self.start.reading {
                Some((log, _)) => last_words(log, reason).await,
                None => Numbered { id: self.last, event: ReplyErrorCode::from(reason).event() },
            });
        }
        let is_over = self.clock.now() >= self.token_ends;
        is_over.then(|| Numbered { id: self.last, event: ReplyErrorCode::Expired.event() })
    }

    /// The next event of the reply that is read, or `None` to look again.
    async fn read(&mut self, log: &ReplyLog, mut seen: usize) -> Option<Numbered> {
        let mut said = pin!(log.changed());
        said.as_mut().enable();
        match log.read(&mut seen) {
            Found::Event(numbered) => {
                self.start.reading = self.start.reading.take().map(|(log, _)| (log, seen));
                // What cuts a reply cuts who listens too, as a rule, a moment later: it is told once.
                if numbered.event.is_last() && log.was_cut() {
                    self.over = timeout(CUT_PATIENCE, self.grant.cancelled()).await.is_ok();
                }
                Some(numbered)
            }
            Found::Over => {
                self.start.reading = None;
                None
            }
            Found::Later => {
                self.until(said).await;
                None
            }
        }
    }

    /// Takes up the next reply, or waits for it.
    async fn wait(&mut self) -> Option<Numbered> {
        let place = Arc::clone(&self.place);
        let mut begun = pin!(place.changed());
        begun.as_mut().enable();
        let Some(log) = place.after(self.start.heard) else {
            self.over = !self.until(begun).await;
            return None;
        };
        let missed = log.sequence != self.start.heard + 1;
        let gap = missed.then(|| Numbered { id: log.id(0), event: ReplyEvent::Gap });
        self.start = Start::at(log, 0);
        gap
    }

    /// Waits for it, or for the end of the session. False when it has been silent for too long.
    async fn until(&self, what: impl Future<Output = ()>) -> bool {
        let left = self.token_ends.0.saturating_sub(self.clock.now().0).max(1);
        let left = Duration::from_millis(left.unsigned_abs());
        tokio::select! {
            _ = self.grant.cancelled() => true,
            () = what => true,
            () = sleep(left.min(SILENCE)) => left < SILENCE,
        }
    }
}

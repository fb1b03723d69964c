//! What a connection has been doing, looked at every few seconds: cheaper than a timer for each
//! request, and exact enough for clients that dribble, stall or forget to close.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;

/// How often a connection is looked at.
pub(super) const TICK: Duration = Duration::from_secs(5);

/// Looks until a head that began, or a first request that never came, is given up (10 to 15 s).
const HEAD: u32 = 3;
/// Looks until an idle connection is closed (75 to 80 s): longer than the 60 s after which common
/// balancers close theirs, so that none of them sends a request into a closing connection.
const IDLE: u32 = 16;
/// Looks until a client that reads nothing of its answer is given up (60 to 65 s).
const STALLED: u32 = 13;

/// Looks after which a head that is still not whole is nobody's honest request (5 to 10 s).
const DRIBBLES: u32 = 2;

/// Written by the socket and the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    requests: AtomicU64,
    in_flight: AtomicU32,
    /// Bytes came since the last request was complete.
    partial: AtomicBool,
    written: AtomicU64,
    /// The client's window is full.
    blocked: AtomicBool,
    /// Looks since it last did anything but wait, or dribble a head.
    waited: AtomicU32,
    asked: AtomicBool,
    asking: Notify,
}

impl Activity {
    pub(super) fn read(&self) {
        self.partial.store(true, Relaxed);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
        self.blocked.store(false, Relaxed);
    }

    pub(super) fn block(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// For how many looks it has waited for a request; `None` while there is one, or one is coming in.
    pub(super) fn idle(&self) -> Option<u32> {
        let waited = self.waited.load(Relaxed);
        let is_coming = self.partial.load(Relaxed) && waited < DRIBBLES;
        (self.in_flight.load(Relaxed) == 0 && !is_coming && !self.asked.load(Relaxed)).then_some(waited)
    }

    /// It is a WebSocket from here on: nobody looks at it any more, and nobody may ask it to leave.
    pub(super) fn become_socket(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Somebody else needs its place.
    pub(super) fn ask_to_leave(&self) {
        self.asked.store(true, Relaxed);
        self.asking.notify_one();
    }

    /// Returns when it is asked to leave; whether it may: a request may have come meanwhile.
    pub(super) async fn asked_to_leave(&self) -> bool {
        self.asking.notified().await;
        self.asked.store(false, Relaxed);
        self.idle().is_some()
    }

    #[cfg(test)]
    pub(super) fn is_asked_to_leave(&self) -> bool {
        self.asked.load(Relaxed)
    }
}

/// A request from its head to the end of its answer.
pub(super) struct InFlight(Arc<Activity>);

impl InFlight {
    pub(super) fn begin(activity: Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Relaxed);
        activity.in_flight.fetch_add(1, Relaxed);
        activity.waited.store(0, Relaxed);
        Self(activity)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.partial.store(false, Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// An answer's body that counts as in flight until it is dropped.
pub(super) struct Counted {
    body: Body,
    _in_flight: InFlight,
}

impl Counted {
    pub(super) fn new(body: Body, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Nobody needs it any more.
    Finish,
    /// It is being abused, or its client is gone.
    Drop,
}

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Watch {
    requests: u64,
    written: u64,
    head: u32,
    idle: u32,
    stalled: u32,
}

impl Watch {
    pub(super) fn look(&mut self, activity: &Activity) -> Verdict {
        let (requests, written) = (activity.requests.load(Relaxed), activity.written.load(Relaxed));
        if activity.blocked.load(Relaxed) && written == self.written {
            self.stalled += 1;
        } else {
            self.stalled = 0;
        }
        let quiet = activity.in_flight.load(Relaxed) == 0 && requests == self.requests;
        let head = quiet && (activity.partial.load(Relaxed) || requests == 0);
        self.head = if head { self.head + 1 } else { 0 };
        self.idle = if quiet && !head { self.idle + 1 } else { 0 };
        activity.waited.store(self.head.max(self.idle), Relaxed);
        (self.requests, self.written) = (requests, written);
        if self.stalled >= STALLED || self.head > HEAD {
            Verdict::Drop
        } else if self.idle >= IDLE {
            Verdict::Finish
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(watch: &mut Watch, activity: &Activity, most: u32) -> Option<(u32, Verdict)> {
        (1..=most).map(|n| (n, watch.look(activity))).find(|(_, verdict)| *verdict != Verdict::Keep)
    }

    #[test]
    fn a_head_that_dribbles_is_given_up_however_many_bytes_come() {
        let (activity, mut watch) = (Activity::default(), Watch::default());
        for _ in 0..HEAD {
            activity.read();
            assert_eq!(watch.look(&activity), Verdict::Keep);
        }
        activity.read();
        assert_eq!(watch.look(&activity), Verdict::Drop);
    }

    #[test]
    fn an_idle_connection_is_kept_for_over_a_minute_and_a_new_request_begins_anew() {
        let (activity, mut watch) = (Arc::new(Activity::default()), Watch::default());
        activity.read();
        drop(InFlight::begin(activity.clone()));
        assert_eq!(looks(&mut watch, &activity, IDLE), None);
        drop(InFlight::begin(activity.clone()));
        let (n, verdict) = looks(&mut watch, &activity, 100).unwrap();
        assert_eq!((n, verdict), (IDLE + 1, Verdict::Finish));
        assert!(TICK * (n - 1) > Duration::from_secs(60));
    }

    #[test]
    fn who_waits_or_dribbles_is_idle_and_the_longer_the_more() {
        let (activity, mut watch) = (Arc::new(Activity::default()), Watch::default());
        assert_eq!(activity.idle(), Some(0));
        activity.read();
        assert_eq!(activity.idle(), None, "a head comes in");
        for _ in 0..DRIBBLES {
            watch.look(&activity);
        }
        assert_eq!(activity.idle(), Some(DRIBBLES), "and does not end");
        let request = InFlight::begin(activity.clone());
        assert_eq!(activity.idle(), None);
        drop(request);
        assert_eq!(activity.idle(), Some(0));
        watch.look(&activity);
        watch.look(&activity);
        assert_eq!(activity.idle(), Some(1), "the first look sees that there was a request");
    }

    #[test]
    fn a_socket_is_never_idle() {
        let activity = Arc::new(Activity::default());
        let request = InFlight::begin(activity.clone());
        activity.become_socket();
        drop(request);
        assert_eq!(activity.idle(), None);
    }

    #[test]
    fn a_long_answer_lasts_unless_its_client_stops_reading() {
        let (activity, mut watch) = (Arc::new(Activity::default()), Watch::default());
        let _request = InFlight::begin(activity.clone());
        assert_eq!(looks(&mut watch, &activity, 1000), None);
        activity.block();
        assert_eq!(looks(&mut watch, &activity, 100), Some((STALLED, Verdict::Drop)));
        activity.wrote(1);
        assert_eq!(watch.look(&activity), Verdict::Keep);
    }
}

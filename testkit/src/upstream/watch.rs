use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use http::HeaderMap;
use serde_json::Value;

/// A completion as it was asked for.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// All of them, names in lower case.
    pub headers: HeaderMap,
    /// The parsed body.
    pub body: Value,
    /// When its body was complete.
    pub received_at: Instant,
}

impl RecordedRequest {
    /// A header's value, empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    requests: Mutex<Vec<RecordedRequest>>,
    first_tokens: Mutex<Vec<Instant>>,
    active: AtomicUsize,
    cancelled: AtomicUsize,
}

impl Watch {
    /// Keeps the request and gives its number, from 1.
    pub(super) fn record(&self, headers: HeaderMap, body: &Value) -> usize {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(RecordedRequest { headers, body: body.clone(), received_at: now() });
        requests.len()
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn first_tokens(&self) -> Vec<Instant> {
        self.first_tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    pub(super) fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// One completion under way. Dropped before [`Running::finish`], its client has left.
#[derive(Debug)]
pub(super) struct Running {
    watch: Arc<Watch>,
    finished: AtomicBool,
    has_sent: AtomicBool,
}

impl Running {
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        watch.active.fetch_add(1, Ordering::SeqCst);
        Self { watch, finished: AtomicBool::new(false), has_sent: AtomicBool::new(false) }
    }

    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::SeqCst);
    }

    pub(super) fn note_token(&self) {
        if !self.has_sent.swap(true, Ordering::SeqCst) {
            self.watch.first_tokens.lock().unwrap_or_else(PoisonError::into_inner).push(now());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished.load(Ordering::SeqCst) {
            self.watch.cancelled.fetch_add(1, Ordering::SeqCst);
        }
        self.watch.active.fetch_sub(1, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures real latency between two ends of a socket")]
fn now() -> Instant {
    Instant::now()
}

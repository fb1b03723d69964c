//! Finds what is due in the database, and has nothing that the database has not.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use ambient::{Clock, Millis, Random};
use credential::Secrets;
use outbound::{Client, Url, UrlRefusal};
use store::{DueDelivery, FinishedAttempt, Store, StoreError};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    desk::{Desk, MAX_CALLS, Place},
    writer::{Finished, queue, write},
};

/// How much is looked at. Where more is due, some of each endpoint is looked at.
const SCAN: usize = 512;
/// And then how much of each, and of all.
const SCAN_OF_EACH: u32 = 16;
const SCAN_OF_ALL: u32 = 8 * 1024;
/// For how long that is good, because it costs as much as there is due: so often the time that it took, in bounds.
const GOOD_FOR: u32 = 4;
const GOOD_FOR_AT_LEAST: Duration = Duration::from_millis(10);
const GOOD_FOR_AT_MOST: Duration = Duration::from_secs(2);
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// An attempt is somebody's for so long, in milliseconds; it takes less.
const CLAIM_MS: i64 = 60_000;

/// What [`Webhooks`] is made of.
pub struct WebhooksParts {
    /// Where events are.
    pub store: Store,
    /// Calls endpoints.
    pub outbound: Client,
    /// Opens what signs.
    pub secrets: Arc<Secrets>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For jitter.
    pub random: Arc<dyn Random>,
    /// Attempts run on it.
    pub drain: TaskTracker,
}

/// Delivers events. Clones share everything; when the last one goes, no attempt begins any more.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) parts: WebhooksParts,
    desk: Desk,
    /// Where what is over goes, once there is somebody who writes it down.
    finished: OnceLock<mpsc::Sender<Finished>>,
    stopping: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Puts it together; nothing is sent before [`Webhooks::resume`].
    #[must_use]
    pub fn new(parts: WebhooksParts) -> Self {
        let bell = parts.store.clone();
        let desk = Desk::new(move || bell.wake_deliveries());
        Self(Arc::new(Inner { parts, desk, finished: OnceLock::new(), stopping: CancellationToken::new() }))
    }

    /// Begins to send what is due, first what a crash has left. Once.
    pub fn resume(&self) {
        let (weak, stopping, store) = (Arc::downgrade(&self.0), self.0.stopping.clone(), self.0.parts.store.clone());
        let (sender, finished) = queue();
        if self.0.finished.set(sender).is_err() {
            return;
        }
        self.0.parts.drain.spawn(write(store.clone(), self.0.desk.clone(), finished, stopping.clone()));
        tokio::spawn(async move { stopping.run_until_cancelled(work(weak, store)).await });
    }

    /// Looks for what is due now: for a clock that jumped.
    pub fn wake(&self) {
        self.0.parts.store.wake_deliveries();
    }

    /// Ends the attempts under way and begins no more. Whoever resumes makes them again.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Checks an address that a tenant wrote, on save; at each attempt it is judged again.
    ///
    /// # Errors
    /// The first rule that it breaks, in a sentence for the tenant.
    pub fn check_url(&self, url: &str) -> Result<Url, UrlRefusal> {
        self.0.parts.outbound.check_url(url)
    }
}

/// What is due and has no place yet.
#[derive(Default)]
struct Waiting {
    due: Vec<DueDelivery>,
    /// There is more than this.
    has_more: bool,
    /// While there is something in it, it is good until then, on [`Clock::elapsed`]. What somebody has done
    /// meanwhile is not claimed.
    good_until: Duration,
}

/// Works until it is stopped, or the last [`Webhooks`] is gone.
async fn work(inner: Weak<Inner>, store: Store) {
    let mut waiting = Waiting::default();
    let mut is_released = false;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if !is_released {
            is_released = store.release_deliveries(inner.parts.clock.now()).await.is_ok();
        }
        let pause = inner.begin_due(&mut waiting).await.unwrap_or_else(|error| {
            tracing::warn!(cause = %error, "what is due for webhooks could not be read");
            RETRY
        });
        drop(inner);
        tokio::select! {
            () = store.event_written() => {}
            () = sleep(pause) => {}
        }
    }
}

impl Inner {
    /// Begins what is due and finds a place; says how long to wait for more.
    async fn begin_due(self: &Arc<Self>, waiting: &mut Waiting) -> Result<Duration, StoreError> {
        loop {
            let now = self.parts.clock.now();
            // What is left found no place yet.
            let is_new = waiting.due.is_empty() || self.parts.clock.elapsed() >= waiting.good_until;
            if is_new {
                *waiting = self.read_due(now).await?;
            }
            // Before the look for a place: one that becomes free from here on rings.
            self.desk.await_room(true);
            let mut admitted: Vec<(DueDelivery, Place)> = Vec::new();
            waiting.due.retain(|due| match self.desk.admit(due.tenant, due.webhook) {
                Some(place) => {
                    admitted.push((*due, place));
                    false
                }
                None => true,
            });
            let has_begun = !admitted.is_empty();
            self.begin(admitted, now).await?;
            let is_left = !waiting.due.is_empty();
            if !is_left && (!is_new || has_begun && waiting.has_more) {
                continue;
            }
            if is_left && (!is_new || waiting.has_more) {
                // What is not in it, or came since, is looked for then.
                return Ok(waiting.good_until.saturating_sub(self.parts.clock.elapsed()).max(GOOD_FOR_AT_LEAST));
            }
            if !is_left {
                self.desk.await_room(false);
            }
            let Some(next) = self.parts.store.next_delivery_after(now).await? else { return Ok(LOOK_EVERY) };
            let pause = u64::try_from(next.since(self.parts.clock.now())).map(Duration::from_millis);
            return Ok(pause.unwrap_or_default().clamp(Duration::from_millis(1), LOOK_EVERY));
        }
    }

    /// What is due of everybody: however much is due of one, some of each other is in it.
    async fn read_due(&self, now: Millis) -> Result<Waiting, StoreError> {
        let mut before = self.parts.clock.elapsed();
        let mut due = self.parts.store.due_deliveries(now, u32::try_from(SCAN).unwrap_or(u32::MAX)).await?;
        let has_more = due.len() >= SCAN;
        if has_more {
            before = self.parts.clock.elapsed();
            due = self.parts.store.due_deliveries_of_each(now, SCAN_OF_EACH, SCAN_OF_ALL).await?;
        }
        let after = self.parts.clock.elapsed();
        let good_for = (after.saturating_sub(before) * GOOD_FOR).clamp(GOOD_FOR_AT_LEAST, GOOD_FOR_AT_MOST);
        Ok(Waiting { due, has_more, good_until: after + good_for })
    }

    /// Claims all of them in one transaction, then sends.
    async fn begin(self: &Arc<Self>, admitted: Vec<(DueDelivery, Place)>, now: Millis) -> Result<(), StoreError> {
        debug_assert!(admitted.len() <= MAX_CALLS);
        if admitted.is_empty() {
            return Ok(());
        }
        let (due, until): (Vec<_>, _) = (admitted.iter().map(|(due, _)| *due).collect(), now.plus(CLAIM_MS));
        let claimed = self.parts.store.claim_deliveries(&due, now, until).await?;
        for (due, place) in admitted {
            if claimed.contains(&due) {
                self.parts.drain.spawn(Arc::clone(self).deliver(due, until, place));
            }
        }
        Ok(())
    }

    async fn deliver(self: Arc<Self>, due: DueDelivery, claim: Millis, place: Place) {
        let work = async {
            let data = self.parts.store.workspace(due.tenant);
            let job = data.delivery_job(due.webhook, due.event).await?;
            place.learn(job.as_ref().is_some_and(|job| job.webhook.failing_since.is_some()));
            let Some(job) = job else { return Ok(None) };
            Ok::<_, StoreError>(self.attempt(&due, &job).await)
        };
        match self.stopping.run_until_cancelled(work).await {
            Some(Ok(Some(outcome))) => {
                tracing::debug!(webhook = %due.webhook, event = %due.event, then = ?outcome.then, "an event was sent");
                let finished = Finished { attempt: FinishedAttempt { due, claim, outcome }, place };
                // It has room there; whoever has stopped sends it again.
                if let Some(queue) = self.finished.get() {
                    let _ = queue.try_send(finished);
                }
                return;
            }
            // Deleted meanwhile, or whoever resumes finds it.
            None | Some(Ok(None)) => {}
            Some(Err(cause)) => {
                tracing::warn!(webhook = %due.webhook, event = %due.event, %cause, "an attempt is made again");
            }
        }
        drop(place);
        self.parts.store.wake_deliveries();
    }
}

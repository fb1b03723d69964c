//! Writes down what attempts came to, together what is over at about the same time: each transaction is a wait for
//! the disk.

use std::time::Duration;

use store::{FinishedAttempt, Store, StoreError};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, MAX_CALLS, Place};

/// The most that is written in one transaction: whoever else writes waits for so long.
const GROUP: usize = 100;
/// The longest wait of one that is over for others that are under way.
const LINGER: Duration = Duration::from_millis(2);
/// After so many in a row that could not be written alone, the others are not tried.
const TRIES: u32 = 3;

/// An attempt that is over, and its place until that is written.
pub(crate) struct Finished {
    pub(crate) attempt: FinishedAttempt,
    pub(crate) place: Place,
}

/// Where it is written.
pub(crate) trait Ledger: Send + Sync {
    /// All of them or none.
    fn finish(&self, attempts: &[FinishedAttempt]) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Something may be due now.
    fn wake(&self);
}

impl Ledger for Store {
    async fn finish(&self, attempts: &[FinishedAttempt]) -> Result<(), StoreError> {
        self.finish_attempts(attempts).await
    }

    fn wake(&self) {
        self.wake_deliveries();
    }
}

/// A queue in which whatever has a place has room.
pub(crate) fn queue() -> (mpsc::Sender<Finished>, mpsc::Receiver<Finished>) {
    mpsc::channel(MAX_CALLS)
}

/// Writes until it is stopped. What is not written then, or cannot be, is sent again: its claim ends.
pub(crate) async fn write(
    ledger: impl Ledger,
    desk: Desk,
    mut finished: mpsc::Receiver<Finished>,
    stopping: CancellationToken,
) {
    let mut group = Vec::with_capacity(GROUP);
    while let Some(1..) = stopping.run_until_cancelled(finished.recv_many(&mut group, GROUP)).await {
        let rest = async {
            while group.len() < GROUP.min(desk.under_way())
                && let Some(one) = finished.recv().await
            {
                group.push(one);
            }
        };
        // Whoever is not there by then is in the next group.
        let _ = timeout(LINGER, rest).await;
        let (attempts, places): (Vec<_>, Vec<_>) = group.drain(..).map(|one| (one.attempt, one.place)).unzip();
        write_group(&ledger, &attempts).await;
        drop(places);
        // The next time of one of them may come before the one that is waited for.
        ledger.wake();
    }
}

/// All of them at once; where that fails, each alone, so that none suffers from another.
async fn write_group(ledger: &impl Ledger, attempts: &[FinishedAttempt]) {
    let Err(cause) = ledger.finish(attempts).await else { return };
    tracing::debug!(%cause, attempts = attempts.len(), "attempts are written one by one");
    let mut failures = 0;
    for attempt in attempts {
        let Err(cause) = ledger.finish(std::slice::from_ref(attempt)).await else {
            failures = 0;
            continue;
        };
        tracing::warn!(webhook = %attempt.due.webhook, event = %attempt.due.event, %cause, "an attempt is made again");
        failures += 1;
        if failures == TRIES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use access::Tenant;
    use ambient::{EventId, Millis, Ulid, WebhookId, WorkspaceId};
    use credential::Environment;
    use parking_lot::Mutex;
    use store::{AfterAttempt, AttemptOutcome, DueDelivery};

    use super::*;

    /// Refuses whatever holds one of these; notes what was asked.
    #[derive(Clone, Default)]
    struct Notes {
        refused: Vec<u128>,
        asked: Arc<Mutex<Vec<Vec<u128>>>>,
    }

    impl Ledger for Notes {
        async fn finish(&self, attempts: &[FinishedAttempt]) -> Result<(), StoreError> {
            let events: Vec<_> = attempts.iter().map(|one| one.due.event.0.0).collect();
            let is_refused = events.iter().any(|event| self.refused.contains(event));
            self.asked.lock().push(events);
            if is_refused { Err(StoreError::Corrupt("row".to_owned())) } else { Ok(()) }
        }

        fn wake(&self) {}
    }

    fn finished(desk: &Desk, event: u128) -> Finished {
        let tenant = Tenant { workspace: WorkspaceId(Ulid(event)), environment: Environment::Live };
        let due = DueDelivery { tenant, webhook: WebhookId(Ulid(event)), event: EventId(Ulid(event)) };
        let outcome = AttemptOutcome {
            status: Some(200),
            error: None,
            answer: None,
            took_ms: 1,
            throttled_until: None,
            then: AfterAttempt::Delivered,
        };
        let attempt = FinishedAttempt { due, claim: Millis(1), outcome };
        Finished { attempt, place: desk.admit(tenant, due.webhook).unwrap() }
    }

    /// What is asked when so many are over, and some of them are refused.
    async fn asked(count: u128, refused: &[u128]) -> Vec<Vec<u128>> {
        let (desk, (sender, receiver)) = (Desk::new(|| {}), queue());
        for event in 0..count {
            assert!(sender.try_send(finished(&desk, event)).is_ok());
        }
        drop(sender);
        let notes = Notes { refused: refused.to_vec(), ..Notes::default() };
        write(notes.clone(), desk.clone(), receiver, CancellationToken::new()).await;
        for event in 0..u128::try_from(MAX_CALLS).unwrap() {
            drop(finished(&desk, event));
        }
        notes.asked.lock().clone()
    }

    #[tokio::test]
    async fn what_is_over_together_is_written_together_in_bounds() {
        assert_eq!(asked(5, &[]).await, [(0..5).collect::<Vec<_>>()]);
        let many = asked(128, &[]).await;
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [GROUP, 128 - GROUP]);
    }

    #[tokio::test]
    async fn one_that_is_over_waits_for_those_under_way_but_not_for_long() {
        let (desk, (sender, receiver)) = (Desk::new(|| {}), queue());
        let notes = Notes::default();
        let writing = tokio::spawn(write(notes.clone(), desk.clone(), receiver, CancellationToken::new()));
        // Two are over at once, a third is under way for long.
        let (first, second, third) = (finished(&desk, 1), finished(&desk, 2), finished(&desk, 3));
        assert!(sender.try_send(first).is_ok());
        tokio::task::yield_now().await;
        assert!(sender.try_send(second).is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(sender.try_send(third).is_ok());
        drop(sender);
        writing.await.unwrap();
        assert_eq!(*notes.asked.lock(), [vec![1, 2], vec![3]]);
    }

    #[tokio::test]
    async fn one_that_cannot_be_written_takes_nobody_with_it() {
        let expected: [&[u128]; 5] = [&[0, 1, 2, 3], &[0], &[1], &[2], &[3]];
        assert_eq!(asked(4, &[1, 2]).await, expected);
    }

    #[tokio::test]
    async fn nobody_asks_a_dead_database_a_hundred_times() {
        assert_eq!(asked(90, &(0..90).collect::<Vec<_>>()).await.len(), 4);
    }

    #[tokio::test]
    async fn after_the_end_nothing_is_written_and_every_place_is_free() {
        let (desk, (sender, receiver)) = (Desk::new(|| {}), queue());
        let (notes, stopping) = (Notes::default(), CancellationToken::new());
        assert!(sender.try_send(finished(&desk, 1)).is_ok());
        stopping.cancel();
        write(notes.clone(), desk.clone(), receiver, stopping).await;
        assert!(notes.asked.lock().is_empty());
        assert!(sender.try_send(finished(&desk, 1)).is_err());
        let all: Vec<_> = (0..u128::try_from(MAX_CALLS).unwrap()).map(|event| finished(&desk, event)).collect();
        assert_eq!(all.len(), MAX_CALLS);
    }
}

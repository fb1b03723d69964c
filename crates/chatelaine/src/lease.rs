//! One server on one PostgreSQL database at a time: servers do not hear of each other's revocations
//! yet. With SQLite the lock on the data directory does this.

use std::time::Duration;

use ambient::{Clock, Random, Ulid};
use store::Store;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::StartError;

/// Between two signs of life, and the longest that one may take.
const EVERY: Duration = Duration::from_secs(2);
/// After the last answer to one. The answer came [`EVERY`] late at most, so that the server is gone
/// eight seconds after the database last heard of it.
const GIVE_UP: Duration = Duration::from_secs(6);
/// Between two tries after a failure, and between two looks at somebody else's lease.
const AGAIN: Duration = Duration::from_millis(500);
/// So many looks, ten seconds, without a sign of life: its server is dead.
const LOOKS: u32 = 20;

/// The right to serve from this database. Dropped without [`Lease::release`], the next start waits.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Store,
    node: String,
    lost: CancellationToken,
    renewing: AbortOnDropHandle<()>,
}

impl Lease {
    /// Takes it; waits when another server has it that gives no sign of life, which may have been killed.
    pub(crate) async fn take(store: &Store, clock: &dyn Clock, random: &dyn Random) -> Result<Self, StartError> {
        let node = Ulid::mint(clock, random)?.to_string();
        if !take(store, &node).await? {
            return Err(StartError::OtherServer);
        }
        let lost = CancellationToken::new();
        let renewing = tokio::spawn(renew(store.clone(), node.clone(), lost.clone()));
        Ok(Self { store: store.clone(), node, lost, renewing: AbortOnDropHandle::new(renewing) })
    }

    /// Cancelled when another server may serve from here on, also when it was given up.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Gives it up, so that the next start need not wait.
    pub(crate) async fn release(self) {
        self.renewing.abort();
        if let Err(error) = self.store.release_lease(&self.node).await {
            tracing::warn!(%error, "the lease on the database could not be given up; the next start waits for its end");
        }
    }
}

impl Drop for Lease {
    /// Whoever waits for its loss need not wait any longer.
    fn drop(&mut self) {
        self.lost.cancel();
    }
}

async fn take(store: &Store, node: &str) -> Result<bool, StartError> {
    let Some(first) = store.lease().await? else { return Ok(store.take_lease(node, None).await?) };
    tracing::warn!("another server has the lease on this database; waiting up to 11 seconds, in case it was killed");
    for _ in 0..LOOKS {
        sleep(AGAIN).await;
        match store.lease().await? {
            None => return Ok(store.take_lease(node, None).await?),
            Some(now) if now != first => return Ok(false),
            Some(_) => {}
        }
    }
    Ok(store.take_lease(node, Some(&first)).await?)
}

async fn renew(store: Store, node: String, lost: CancellationToken) {
    loop {
        let renewed = timeout(GIVE_UP, async {
            sleep(EVERY).await;
            loop {
                match timeout(EVERY, store.renew_lease(&node)).await {
                    Ok(Ok(renewed)) => return renewed,
                    Ok(Err(error)) => tracing::warn!(%error, "the lease on the database could not be renewed"),
                    Err(_) => tracing::warn!("the database is slow to renew the lease"),
                }
                sleep(AGAIN).await;
            }
        });
        match renewed.await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!("another server has taken the database over: this one stops");
                break;
            }
            Err(_) => {
                tracing::error!(
                    "the lease on the database could not be renewed in time, another server may serve: this one stops"
                );
                break;
            }
        }
    }
    lost.cancel();
}

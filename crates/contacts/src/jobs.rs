//! Finds imports in the database, and works at one of each workspace at a time.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use access::Tenant;
use ambient::{Clock, ImportId, WorkspaceId};
use parking_lot::Mutex;
use store::{Store, StoreError};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::job::{Job, Stop};

/// Workspaces whose imports are worked at, in turns.
const AT_ONCE: usize = 32;
/// Of them, how many at the same moment.
const SLICES: usize = 2;
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database, and at most.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);
/// A file of which nothing has come for so long will not come any more, in milliseconds.
const STALE_MS: i64 = 15 * 60 * 1000;
/// What is said of our own fault.
const OUR_FAULT: &str = "Something of the import cannot be read any more; send the file again";

/// What [`Imports`] is made of.
pub struct ImportsParts {
    /// Where they are kept.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What has begun is stored before the server ends.
    pub drain: TaskTracker,
}

/// The imports of all workspaces. Clones share; when the last one goes, nothing begins any more.
#[derive(Clone)]
pub struct Imports(Arc<Inner>);

struct Inner {
    parts: ImportsParts,
    bell: Arc<Notify>,
    slices: Semaphore,
    under_way: Mutex<HashSet<WorkspaceId>>,
    stopping: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl fmt::Debug for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imports").field("under_way", &self.0.under_way.lock().len()).finish_non_exhaustive()
    }
}

impl Imports {
    /// Puts it together; nothing is done before [`Imports::resume`].
    #[must_use]
    pub fn new(parts: ImportsParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            bell: Arc::default(),
            slices: Semaphore::new(SLICES),
            under_way: Mutex::default(),
            stopping: CancellationToken::new(),
        }))
    }

    /// Begins with what there is, and with what a crash left where it was. Once.
    pub fn resume(&self) {
        let (weak, stopping, bell) = (Arc::downgrade(&self.0), self.0.stopping.clone(), Arc::clone(&self.0.bell));
        let work = async move {
            while let Some(inner) = Weak::upgrade(&weak) {
                let pause = match inner.begin_open().await {
                    Ok(()) => LOOK_EVERY,
                    Err(error) => {
                        tracing::warn!(cause = %error, "open imports could not be read");
                        RETRY
                    }
                };
                drop(inner);
                tokio::select! {
                    () = bell.notified() => {}
                    () = sleep(pause) => {}
                }
            }
        };
        tokio::spawn(async move { stopping.run_until_cancelled(work).await });
    }

    /// There is one to begin.
    pub fn wake(&self) {
        self.0.bell.notify_one();
    }

    /// Begins nothing any more; what is under way stops behind the rows that it is storing, and goes on from there
    /// when somebody resumes.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }
}

impl Inner {
    async fn begin_open(self: &Arc<Self>) -> Result<(), StoreError> {
        self.parts.store.forget_stale_uploads(self.parts.clock.now().plus(-STALE_MS)).await?;
        let limit = u32::try_from(2 * AT_ONCE).unwrap_or(u32::MAX);
        for (tenant, id) in self.parts.store.open_imports(limit).await? {
            let mut under_way = self.under_way.lock();
            if under_way.len() >= AT_ONCE {
                break;
            }
            if under_way.insert(tenant.workspace) {
                let inner = Arc::clone(self);
                self.parts.drain.spawn(async move {
                    inner.work(tenant, id).await;
                    inner.under_way.lock().remove(&tenant.workspace);
                    inner.bell.notify_one();
                });
            }
        }
        Ok(())
    }

    async fn work(&self, tenant: Tenant, id: ImportId) {
        let data = self.parts.store.workspace(tenant);
        let job = Job { data: &data, id, slices: &self.slices, stopping: &self.stopping };
        let mut pause = RETRY;
        while !self.stopping.is_cancelled() {
            let ended = match job.run().await {
                Ok(()) => return,
                Err(Stop::Fault(fault)) => data.end_import(id, Some(&fault)).await,
                Err(Stop::Store(error @ StoreError::Corrupt(_))) => {
                    tracing::error!(import = %id, cause = %error, "an import cannot go on");
                    data.end_import(id, Some(OUR_FAULT)).await
                }
                Err(Stop::Store(error)) => Err(error),
            };
            match ended {
                // Cancelled meanwhile.
                Ok(()) | Err(StoreError::NotFound) => return,
                Err(error) => tracing::warn!(import = %id, cause = %error, "an import goes on later"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_AT_MOST);
        }
    }
}

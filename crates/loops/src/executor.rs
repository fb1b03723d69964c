//! Which executions go on: finds them in the database, and has nothing that the database has not.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use access::Tenant;
use ambient::ExecutionId;
use parking_lot::Mutex;
use runs::Shares;
use store::StoreError;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::loops::Inner;

/// Executions that go on at once.
const MAX_RUNNING: usize = 64;
/// Those of one workspace.
const MAX_OF_WORKSPACE: usize = 4;
/// Among them those of its `test`: the rest is for its `live`.
const MAX_OF_TEST: usize = 2;
/// How many are looked at of each tenant: those that go on are among the oldest.
const SCAN_OF_EACH: u32 = 4;
/// And of all of them.
const SCAN: u32 = 4096;
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);

/// What goes on, and the bell for whoever begins it. Clones share.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Sheet>);

#[derive(Default)]
struct Sheet {
    bell: Notify,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    running: HashMap<ExecutionId, CancellationToken>,
    of: Shares,
}

/// The place of what goes on; dropping it makes room.
pub(crate) struct Place {
    desk: Desk,
    pub(crate) tenant: Tenant,
    pub(crate) id: ExecutionId,
    /// Somebody has ended it.
    pub(crate) cut: CancellationToken,
}

impl Desk {
    /// There is something to begin.
    pub(crate) fn wake(&self) {
        self.0.bell.notify_one();
    }

    /// It is over.
    pub(crate) fn cut(&self, id: ExecutionId) {
        if let Some(token) = self.0.places.lock().running.get(&id) {
            token.cancel();
        }
    }

    fn admit(&self, tenant: Tenant, id: ExecutionId) -> Option<Place> {
        let mut places = self.0.places.lock();
        let has_room = !places.running.contains_key(&id) && places.running.len() < MAX_RUNNING;
        if !has_room || !places.of.take(tenant, MAX_OF_WORKSPACE, MAX_OF_TEST) {
            return None;
        }
        let cut = CancellationToken::new();
        places.running.insert(id, cut.clone());
        Some(Place { desk: self.clone(), tenant, id, cut })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.desk.0.places.lock();
        places.running.remove(&self.id);
        places.of.give_back(self.tenant);
        drop(places);
        self.desk.wake();
    }
}

/// Works until it is stopped, or the last [`crate::Loops`] is gone.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    let (weak, stopping, desk) = (Arc::downgrade(inner), inner.stopping.clone(), inner.desk.clone());
    tokio::spawn(async move { stopping.run_until_cancelled(work(weak, desk)).await });
}

async fn work(inner: Weak<Inner>, desk: Desk) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let pause = match inner.begin_due().await {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(cause = %error, "executions of agent loops could not be read");
                RETRY
            }
        };
        drop(inner);
        tokio::select! {
            () = desk.0.bell.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

impl Inner {
    /// Begins what finds a place; what ends makes room, and rings.
    async fn begin_due(self: &Arc<Self>) -> Result<(), StoreError> {
        for (tenant, id) in self.parts.store.open_executions(SCAN_OF_EACH, SCAN).await? {
            let Some(place) = self.desk.admit(tenant, id) else { continue };
            let inner = Arc::clone(self);
            self.parts.drain.spawn(async move {
                tokio::select! {
                    biased;
                    // Whoever resumes finds it.
                    () = inner.stopping.cancelled() => {}
                    () = inner.carry_on(&place) => {}
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ambient::{Ulid, WorkspaceId};
    use credential::Environment;

    use super::*;

    fn admit(desk: &Desk, workspace: u128, environment: Environment, count: u128) -> Vec<Place> {
        let tenant = Tenant { workspace: WorkspaceId(Ulid(workspace)), environment };
        let number = |n: u128| workspace << 64 | u128::from(environment == Environment::Test) << 32 | n;
        (0..count).filter_map(|n| desk.admit(tenant, ExecutionId(Ulid(number(n))))).collect()
    }

    #[test]
    fn one_workspace_leaves_room_for_the_others_and_its_test_for_its_live() {
        let desk = Desk::default();
        let test = admit(&desk, 1, Environment::Test, 10);
        let live = admit(&desk, 1, Environment::Live, 10);
        assert_eq!((test.len(), live.len()), (MAX_OF_TEST, MAX_OF_WORKSPACE - MAX_OF_TEST));
        let others: Vec<_> = (2..100).flat_map(|workspace| admit(&desk, workspace, Environment::Live, 10)).collect();
        assert_eq!(others.len(), MAX_RUNNING - MAX_OF_WORKSPACE);
        drop((test, live, others));
        assert!(desk.0.places.lock().of.is_empty(), "what is over is forgotten");
        assert_eq!(admit(&desk, 1, Environment::Live, 10).len(), MAX_OF_WORKSPACE, "and makes room");
    }

    #[test]
    fn what_goes_on_does_not_begin_again_and_is_cut_alone() {
        let desk = Desk::default();
        let mine = admit(&desk, 1, Environment::Live, 2);
        assert!(admit(&desk, 1, Environment::Live, 2).is_empty());
        desk.cut(mine[0].id);
        assert!(mine[0].cut.is_cancelled() && !mine[1].cut.is_cancelled());
    }
}

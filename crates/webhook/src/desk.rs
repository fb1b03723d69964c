//! Places for attempts: bounded in all, per workspace, per its test data, and per endpoint.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use access::Tenant;
use ambient::{WebhookId, WorkspaceId};
use credential::Environment;
use parking_lot::Mutex;

/// Attempts that are under way at once.
pub(crate) const MAX_CALLS: usize = 128;
/// Those of one workspace: an endpoint that hangs keeps a place for twenty seconds, and the rest is for the others.
const MAX_CALLS_OF_WORKSPACE: usize = 16;
/// Among them those of its `test`.
const MAX_CALLS_OF_TEST: usize = 8;
/// Among them those to endpoints that have done nothing but fail for a while: one that hangs fails, too.
const MAX_CALLS_OF_FAILING: usize = MAX_CALLS_OF_WORKSPACE / 2;
/// Those to one endpoint.
const MAX_CALLS_OF_ENDPOINT: usize = 4;

/// What is under way. Clones share.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Sheet>);

struct Sheet {
    /// Rung when there is room again and somebody waits for it.
    bell: Box<dyn Fn() + Send + Sync>,
    /// Something found no place; the next that is over rings.
    is_awaited: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    all: usize,
    of_workspace: HashMap<WorkspaceId, usize>,
    of_test: HashMap<WorkspaceId, usize>,
    of_endpoint: HashMap<WebhookId, usize>,
    of_failing: HashMap<WorkspaceId, usize>,
    /// Endpoints that were failing when they were last read.
    failing: HashSet<WebhookId>,
}

/// The place of an attempt; dropping it makes room.
pub(crate) struct Place {
    desk: Desk,
    tenant: Tenant,
    webhook: WebhookId,
    is_failing: bool,
}

impl Desk {
    pub(crate) fn new(bell: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Sheet { bell: Box::new(bell), is_awaited: AtomicBool::new(false), places: Mutex::default() }))
    }

    /// From here on, the next that is over rings.
    pub(crate) fn await_room(&self, is_awaited: bool) {
        self.0.is_awaited.store(is_awaited, Relaxed);
    }

    /// How many have a place.
    pub(crate) fn under_way(&self) -> usize {
        self.0.places.lock().all
    }

    pub(crate) fn admit(&self, tenant: Tenant, webhook: WebhookId) -> Option<Place> {
        let (workspace, is_test) = (tenant.workspace, tenant.environment == Environment::Test);
        let mut places = self.0.places.lock();
        let is_failing = places.failing.contains(&webhook);
        let is_full = places.all >= MAX_CALLS
            || count(&places.of_workspace, &workspace) >= MAX_CALLS_OF_WORKSPACE
            || is_test && count(&places.of_test, &workspace) >= MAX_CALLS_OF_TEST
            || is_failing && count(&places.of_failing, &workspace) >= MAX_CALLS_OF_FAILING
            || count(&places.of_endpoint, &webhook) >= MAX_CALLS_OF_ENDPOINT;
        if is_full {
            return None;
        }
        places.all += 1;
        *places.of_workspace.entry(workspace).or_default() += 1;
        if is_test {
            *places.of_test.entry(workspace).or_default() += 1;
        }
        *places.of_endpoint.entry(webhook).or_default() += 1;
        if is_failing {
            *places.of_failing.entry(workspace).or_default() += 1;
        }
        Some(Place { desk: self.clone(), tenant, webhook, is_failing })
    }
}

impl Place {
    /// What its endpoint is from the next on.
    pub(crate) fn learn(&self, is_failing: bool) {
        let mut places = self.desk.0.places.lock();
        if is_failing {
            places.failing.insert(self.webhook);
        } else {
            places.failing.remove(&self.webhook);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.desk.0.places.lock();
        places.all -= 1;
        leave(&mut places.of_workspace, &self.tenant.workspace);
        if self.tenant.environment == Environment::Test {
            leave(&mut places.of_test, &self.tenant.workspace);
        }
        if self.is_failing {
            leave(&mut places.of_failing, &self.tenant.workspace);
        }
        leave(&mut places.of_endpoint, &self.webhook);
        drop(places);
        if self.desk.0.is_awaited.swap(false, Relaxed) {
            (self.desk.0.bell)();
        }
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use ambient::Ulid;

    use super::*;

    fn admit(desk: &Desk, workspace: u128, environment: Environment, webhooks: std::ops::Range<u128>) -> Vec<Place> {
        let tenant = Tenant { workspace: WorkspaceId(Ulid(workspace)), environment };
        let tries = webhooks.flat_map(|id| std::iter::repeat_n(WebhookId(Ulid(id)), 100));
        tries.filter_map(|id| desk.admit(tenant, id)).collect()
    }

    #[test]
    fn an_endpoint_a_workspace_and_its_test_data_have_their_parts() {
        let desk = Desk::new(|| {});
        let one = admit(&desk, 1, Environment::Live, 0..1);
        assert_eq!(one.len(), MAX_CALLS_OF_ENDPOINT);
        let test = admit(&desk, 1, Environment::Test, 1..100);
        assert_eq!(test.len(), MAX_CALLS_OF_TEST);
        let live = admit(&desk, 1, Environment::Live, 100..200);
        assert_eq!(one.len() + test.len() + live.len(), MAX_CALLS_OF_WORKSPACE);
        let others: Vec<_> =
            (2..100).map(|id| admit(&desk, id, Environment::Live, id * 1000..id * 1000 + 50)).collect();
        assert_eq!(others[0].len(), MAX_CALLS_OF_WORKSPACE);
        assert_eq!(others.iter().map(Vec::len).sum::<usize>(), MAX_CALLS - MAX_CALLS_OF_WORKSPACE);
        drop((one, test, live, others));
        let places = desk.0.places.lock();
        let left = [places.of_workspace.len(), places.of_test.len(), places.of_endpoint.len(), places.all];
        assert_eq!(left, [0; 4], "what is over is forgotten");
    }

    #[test]
    fn endpoints_that_fail_leave_half_of_their_workspace_s_places_to_the_others() {
        let desk = Desk::new(|| {});
        let first = admit(&desk, 1, Environment::Live, 0..4);
        first.iter().for_each(|place| place.learn(true));
        drop(first);
        let failing = admit(&desk, 1, Environment::Live, 0..4);
        assert_eq!(failing.len(), MAX_CALLS_OF_FAILING);
        let good = admit(&desk, 1, Environment::Live, 4..100);
        assert_eq!(failing.len() + good.len(), MAX_CALLS_OF_WORKSPACE);
        failing.iter().for_each(|place| place.learn(false));
        drop((failing, good));
        let places = desk.0.places.lock();
        assert!(places.of_failing.is_empty() && places.of_workspace.is_empty(), "what is over is forgotten");
        drop(places);
        assert_eq!(admit(&desk, 1, Environment::Live, 0..4).len(), MAX_CALLS_OF_WORKSPACE, "they take again");
    }

    #[test]
    fn whoever_waits_for_room_is_rung_once() {
        let rung = Arc::new(AtomicUsize::new(0));
        let desk = Desk::new({
            let rung = Arc::clone(&rung);
            move || {
                rung.fetch_add(1, Relaxed);
            }
        });
        drop(admit(&desk, 1, Environment::Live, 0..1));
        assert_eq!(rung.load(Relaxed), 0);
        desk.await_room(true);
        drop(admit(&desk, 1, Environment::Live, 0..1));
        assert_eq!(rung.load(Relaxed), 1);
    }
}

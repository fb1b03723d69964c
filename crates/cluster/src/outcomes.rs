//! How often a workspace's callers were let in or refused, and why: counted by the hour, written with the uses.

use std::collections::HashMap;

use access::Tenant;
use ambient::Millis;
use parking_lot::Mutex;
use store::OutcomeCount;

use crate::{Cluster, cluster::Inner};

const SHARDS: usize = 16;
/// Different counts that wait in a shard, at most: what comes beyond them, under a database that cannot be used, is
/// not counted.
const WAITING: usize = 4096;
const HOUR: i64 = 3_600_000;

type Place = (Tenant, i64, &'static str);

pub(crate) struct Outcomes(Box<[Mutex<HashMap<Place, u64>>]>);

impl Default for Outcomes {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Outcomes {
    fn add(&self, (tenant, hour, code): Place, requests: u64) {
        // The last bits of an id are random.
        let at = usize::try_from(tenant.workspace.0.0 % SHARDS as u128).unwrap_or(0);
        let mut counts = self.0[at].lock();
        if let Some(count) = counts.get_mut(&(tenant, hour, code)) {
            *count = count.saturating_add(requests);
        } else if counts.len() < WAITING {
            counts.insert((tenant, hour, code), requests);
        }
    }

    fn take(&self) -> Vec<(Place, u64)> {
        self.0.iter().flat_map(|shard| std::mem::take(&mut *shard.lock())).collect()
    }

    fn of(&self, tenant: Tenant) -> Vec<OutcomeCount> {
        let at = usize::try_from(tenant.workspace.0.0 % SHARDS as u128).unwrap_or(0);
        let counts = self.0[at].lock();
        let own = counts.iter().filter(|((of, ..), _)| *of == tenant);
        own.map(|((_, hour, code), requests)| count(*hour, code, *requests)).collect()
    }
}

fn count(hour: i64, code: &str, requests: u64) -> OutcomeCount {
    OutcomeCount { hour, code: code.to_owned(), requests }
}

impl Cluster {
    /// Counts an answered request of a tenant, by the code of its refusal or [`OutcomeCount::LET_IN`]. Written to the
    /// store about once a minute.
    pub fn count_outcome(&self, tenant: Tenant, code: &'static str, now: Millis) {
        self.0.outcomes.add((tenant, now.0.div_euclid(HOUR), code), 1);
    }

    /// What this node has counted of a tenant and not written yet.
    #[must_use]
    pub fn fresh_outcomes(&self, tenant: Tenant) -> Vec<OutcomeCount> {
        self.0.outcomes.of(tenant)
    }
}

impl Inner {
    /// Writes what was counted. What cannot be written is tried again.
    pub(crate) async fn flush_outcomes(&self) {
        let taken = self.outcomes.take();
        if taken.is_empty() {
            return;
        }
        let rows: Vec<_> =
            taken.iter().map(|((tenant, hour, code), requests)| (*tenant, count(*hour, code, *requests))).collect();
        if let Err(error) = self.store.record_outcomes(&rows).await {
            tracing::warn!(%error, rows = rows.len(), "counts of refusals could not be written");
            for (place, requests) in taken {
                self.outcomes.add(place, requests);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ambient::{Ulid, WorkspaceId};
    use credential::key::Environment;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_counted_once() {
        let outcomes = Outcomes::default();
        let tenant = Tenant { workspace: WorkspaceId(Ulid(3)), environment: Environment::Live };
        outcomes.add((tenant, 5, "NOT_FOUND"), 1);
        outcomes.add((tenant, 5, "NOT_FOUND"), 2);
        assert_eq!(outcomes.of(tenant), [count(5, "NOT_FOUND", 3)]);
        assert!(outcomes.of(Tenant { environment: Environment::Test, ..tenant }).is_empty());
        for hour in 0..2 * i64::try_from(WAITING).unwrap() {
            outcomes.add((tenant, hour, "OK"), 1);
        }
        outcomes.add((tenant, 5, "NOT_FOUND"), 1);
        let taken = outcomes.take();
        assert_eq!(taken.len(), WAITING);
        assert!(taken.contains(&((tenant, 5, "NOT_FOUND"), 4)));
        assert!(outcomes.take().is_empty());
    }
}

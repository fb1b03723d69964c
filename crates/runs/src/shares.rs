//! How much of what goes on is whose: no workspace takes all the places, and its test data not all of its own.

use std::collections::HashMap;

use access::Tenant;
use ambient::WorkspaceId;
use credential::Environment;

/// What goes on, counted by workspace; who has nothing is not in it.
#[derive(Debug, Default)]
pub struct Shares(HashMap<WorkspaceId, Share>);

/// Of one workspace.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    all: usize,
    test: usize,
}

impl Shares {
    /// Takes one place for a tenant; false when its workspace has `max`, or its test data `max_of_test` of them.
    pub fn take(&mut self, tenant: Tenant, max: usize, max_of_test: usize) -> bool {
        let is_test = tenant.environment == Environment::Test;
        let own = self.0.get(&tenant.workspace).copied().unwrap_or_default();
        if own.all >= max || is_test && own.test >= max_of_test {
            return false;
        }
        let share = Share { all: own.all + 1, test: own.test + usize::from(is_test) };
        self.0.insert(tenant.workspace, share);
        true
    }

    /// Gives back one that was taken.
    pub fn give_back(&mut self, tenant: Tenant) {
        let Some(own) = self.0.get_mut(&tenant.workspace) else { return };
        own.all -= 1;
        own.test -= usize::from(tenant.environment == Environment::Test);
        if own.all == 0 {
            self.0.remove(&tenant.workspace);
        }
    }

    /// Whether nothing goes on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

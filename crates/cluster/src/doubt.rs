use std::collections::HashSet;

use access::Tenant;
use ambient::{KeyId, ServiceAccountId};
use parking_lot::Mutex;

/// Something whose state in memory may be behind the store, because the store failed half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doubt {
    Key(KeyId),
    Account(Tenant, ServiceAccountId),
}

/// What has to be read again. While there is any, a miss in memory is not final.
#[derive(Default)]
pub(crate) struct Doubts(Mutex<HashSet<Doubt>>);

impl Doubts {
    pub(crate) fn add(&self, doubt: Doubt) {
        self.0.lock().insert(doubt);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn list(&self) -> Vec<Doubt> {
        self.0.lock().iter().copied().collect()
    }

    pub(crate) fn settle(&self, doubt: Doubt) {
        self.0.lock().remove(&doubt);
    }
}

//! Peppers of installations whose keys were taken over: what is tried after our own, until every such key was used.

use std::sync::atomic::{AtomicBool, Ordering};

use ambient::Millis;
use credential::{
    Pepper,
    secret::{Digest, Secrets},
    transfer::MAX_FOREIGN,
};
use parking_lot::RwLock;
use store::{Store, StoreError};

use crate::{Cluster, ClusterError};

/// Mostly none.
pub(crate) struct Peppers {
    all: RwLock<Vec<Pepper>>,
    /// Whether a digest under one of them was renewed since it was last looked whether any is left.
    renewed: AtomicBool,
}

impl Peppers {
    pub(crate) async fn load(store: &Store, secrets: &Secrets, now: Millis) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        for kept in store.foreign_peppers().await? {
            if store.drop_spent_pepper(&kept.id, now).await? {
                tracing::info!(pepper = kept.id, "no key that was taken over with this pepper waits for its first use");
                continue;
            }
            match Pepper::open(secrets.sealer(), &kept.id, &kept.sealed) {
                Ok(pepper) => all.push(pepper),
                Err(cause) => tracing::error!(
                    pepper = kept.id, %cause,
                    "keys that were taken over and not used yet cannot be checked; their owners need new ones"
                ),
            }
        }
        all.truncate(MAX_FOREIGN);
        Ok(Self { all: RwLock::new(all), renewed: AtomicBool::new(false) })
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.all.read().iter().any(|pepper| pepper.id() == id)
    }

    /// What the other installations stored for a key.
    pub(crate) fn digests(&self, text: &str) -> Vec<Digest> {
        self.all.read().iter().map(|pepper| pepper.digest(text)).collect()
    }

    /// Whether another installation stored this digest of a key, as far as we know.
    pub(crate) fn knows(&self, digest: &Digest, text: &str) -> bool {
        self.digests(text).contains(digest)
    }

    pub(crate) fn note_renewal(&self) {
        self.renewed.store(true, Ordering::Release);
    }
}

impl Cluster {
    /// Lets go of the peppers of other installations that no secret needs any more. Runs within a minute after such
    /// a secret was used, and every hour.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn drop_spent_peppers(&self) -> Result<(), ClusterError> {
        let inner = &self.0;
        let ids: Vec<String> = inner.peppers.all.read().iter().map(|pepper| pepper.id().to_owned()).collect();
        for id in ids {
            if inner.store.drop_spent_pepper(&id, inner.clock.now()).await? {
                inner.peppers.all.write().retain(|pepper| pepper.id() != id);
                tracing::info!(pepper = id, "no key that was taken over with this pepper waits for its first use");
            }
        }
        Ok(())
    }
}

impl Peppers {
    /// Whether one was renewed since this was last asked.
    pub(crate) fn take_renewal(&self) -> bool {
        self.renewed.swap(false, Ordering::AcqRel)
    }
}

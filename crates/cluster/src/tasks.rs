use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Cluster, CutReason, cluster::Inner, doubt::Doubt, entry::AccountState};

const FLUSH_EVERY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// Starts what runs beside the requests. Each task holds the cluster weakly: it ends with it.
pub(crate) fn spawn(cluster: &Cluster) {
    let weak = || Arc::downgrade(&cluster.0);
    tokio::spawn(every(weak(), FLUSH_EVERY, async |inner| inner.flush(false).await));
    tokio::spawn(every(weak(), LOOK_EVERY, async |inner| {
        inner.settle_doubts().await;
        Cluster(inner).cut_survivors();
    }));
    tokio::spawn(every(weak(), PRUNE_EVERY, async |inner| {
        let now = inner.clock.now();
        inner.keyring.prune(now);
        inner.sessions.prune(now);
    }));
    tokio::spawn(every(weak(), PRUNE_EVERY, async |inner| inner.flush_outcomes().await));
    tokio::spawn(every(weak(), PRUNE_EVERY, async |inner| {
        if let Err(error) = inner.store.release_expired_credits(inner.clock.now()).await {
            tracing::warn!(%error, "credits that a crash left held could not be released");
        }
    }));
    tokio::spawn(every(weak(), PRUNE_EVERY, async |inner| {
        if let Err(error) = Cluster(inner).give_key_notices().await {
            tracing::warn!(%error, "what is due to be told of keys could not be told yet");
        }
    }));
    tokio::spawn(every(weak(), PRUNE_EVERY, async |inner| {
        if inner.peppers.take_renewal() {
            drop_spent_peppers(inner).await;
        }
    }));
    tokio::spawn(every(weak(), SWEEP_EVERY, async |inner| {
        drop_spent_peppers(Arc::clone(&inner)).await;
        if let Err(error) = inner.store.sweep(inner.clock.now()).await {
            tracing::warn!(%error, "the store could not be swept");
        }
    }));
}

async fn drop_spent_peppers(inner: Arc<Inner>) {
    if let Err(error) = Cluster(inner).drop_spent_peppers().await {
        tracing::warn!(%error, "it could not be seen whether a foreign pepper is still needed");
    }
}

/// A slow round delays the next one instead of piling up.
async fn every(inner: Weak<Inner>, period: Duration, round: impl AsyncFn(Arc<Inner>)) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Some(stopping) = inner.upgrade().map(|inner| inner.stopping.clone()) else { return };
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        round(inner).await;
    }
}

impl Inner {
    /// Reads again what may have changed without memory knowing.
    pub(crate) async fn settle_doubts(&self) {
        for doubt in self.doubts.list() {
            match self.settle(doubt).await {
                Ok(()) => self.doubts.settle(doubt),
                Err(error) => tracing::warn!(%error, ?doubt, "memory may be behind the store"),
            }
        }
    }

    async fn settle(&self, doubt: Doubt) -> Result<(), StoreError> {
        let now = self.clock.now();
        match doubt {
            Doubt::Key(id) => {
                match self.store.find_key(id).await? {
                    Some(live) => {
                        self.keyring.insert(&live);
                    }
                    None => self.keyring.revoke(id, now),
                }
                self.cut_key_survivors(id, now, true);
            }
            Doubt::Account(tenant, id) => {
                let state = match self.store.workspace(tenant).service_account(id).await {
                    Ok(account) => AccountState { scopes: account.scopes, disabled: account.disabled_at.is_some() },
                    Err(StoreError::NotFound) => AccountState { scopes: access::ScopeSet::NONE, disabled: true },
                    Err(error) => return Err(error),
                };
                self.keyring.set_account(id, state);
                for key in self.grants.keys() {
                    self.cut_key_survivors(key, now, false);
                }
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Cuts what a key has open, whatever it is; says how many.
    pub(crate) fn cut_key(&self, key: ambient::KeyId, reason: CutReason) -> u64 {
        self.grants.cut_key(key, |_| Some(reason))
    }
}

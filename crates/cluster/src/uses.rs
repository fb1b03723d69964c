//! What keys are used for: noted on the way, read together with what is stored, written in batches.

use std::{fmt, net::IpAddr, sync::atomic::Ordering};

use ambient::Millis;
use store::KeyRecord;
use tokio::sync::RwLockReadGuard;

use crate::{Cluster, ClusterError, KeyHandle, cluster::Inner, keyring::Keyring, limits::counted};

impl Cluster {
    /// Notes a use: a few atomics. Written to the store within seconds, then at most once a minute.
    pub fn touch(&self, handle: &KeyHandle, address: Option<IpAddr>, now: Millis) {
        self.0.usage.touch(handle, address, now);
    }

    /// Notes a request that was refused although its key was right: one atomic. Written with the uses.
    pub fn refuse(&self, handle: &KeyHandle) {
        self.0.usage.refuse(handle);
    }

    /// Reads how much of a key's ceiling of the day is gone, before its first request is charged to
    /// [`Bucket::RequestsOfDay`]; asks the store once for a key and process. After a crash the uses of the last
    /// minute are not known.
    ///
    /// # Errors
    /// When the store cannot be asked: 503, never a request too many.
    pub async fn resume_requests(&self, handle: &KeyHandle, now: Millis) -> Result<(), ClusterError> {
        let (inner, key) = (&self.0, &handle.entry);
        let Some(extra) = key.extra().filter(|_| key.has_unread_day()) else { return Ok(()) };
        let today = now.0.div_euclid(crate::usage::DAY);
        let _held = inner.flushing.read().await;
        let written = inner.store.workspace(key.tenant()).requests_of_day(key.id(), today).await?;
        let secrets = key.secrets();
        let waiting = secrets.iter().filter_map(|secret| key.usage_of(&secret.digest)?.0.peek());
        let waiting: u64 = waiting.filter(|uses| uses.day(now) == today).map(|uses| u64::from(uses.count)).sum();
        let cell = counted(now, written.saturating_add(waiting));
        // Of several who have read, the first one tells.
        let _ = extra.requests_today.compare_exchange(0, cell, Ordering::AcqRel, Ordering::Relaxed);
        Ok(())
    }

    /// Holds what was used back from the store: what is read of keys meanwhile, and [`FreshUses::add_to`] what is
    /// not written yet, is together what happened until this moment.
    pub async fn fresh_uses(&self) -> FreshUses<'_> {
        FreshUses { keyring: &self.0.keyring, _held: self.0.flushing.read().await }
    }

    /// Tells the owners of keys what is due; see [`Store::give_key_notices`]. Runs every minute.
    ///
    /// # Errors
    /// When the store cannot be used; what was not told is told the next time.
    pub async fn give_key_notices(&self) -> Result<(), ClusterError> {
        while self.0.store.give_key_notices(self.0.clock.now()).await? {
            if self.0.stopping.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Writes the uses that are due, all of them with `all`. Runs every five seconds.
    pub async fn flush_uses(&self, all: bool) {
        self.0.flush(all).await;
    }
}

/// Uses that are not written yet; while this lives, none is written.
pub struct FreshUses<'a> {
    keyring: &'a Keyring,
    _held: RwLockReadGuard<'a, ()>,
}

impl fmt::Debug for FreshUses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreshUses")
    }
}

impl FreshUses<'_> {
    /// Adds them to a key that was read from the store.
    pub fn add_to(&self, key: &mut KeyRecord) {
        let Some(entry) = self.keyring.get(key.id) else { return };
        for secret in &mut key.secrets {
            let Some(uses) = entry.usage_of(&secret.digest).and_then(|(usage, _)| usage.peek()) else { continue };
            secret.uses = secret.uses.saturating_add(u64::from(uses.count));
            if uses.count > 0 && secret.last_used_at.is_none_or(|at| at <= uses.last) {
                (secret.last_used_at, secret.last_used_ip) = (Some(uses.last), uses.address);
            }
        }
    }
}

impl Inner {
    /// Writes uses in small transactions. What cannot be written is tried again.
    pub(crate) async fn flush(&self, all: bool) {
        let _alone = self.flushing.write().await;
        for batch in self.usage.collect((self.clock.now(), self.clock.elapsed()), all) {
            let written = self.store.record_uses(&batch.rows).await;
            if let Err(error) = &written {
                tracing::warn!(%error, rows = batch.rows.len(), "last uses could not be written");
            }
            self.usage.settle(batch, self.clock.elapsed(), written.is_ok());
        }
    }
}

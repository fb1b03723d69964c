//! The second look at a key, and looks that leave no trace: for whoever asks what would be.

use std::time::Duration;

use access::Tenant;
use ambient::Millis;
use credential::{secret::Digest, token::SessionClaims};
use store::StoreError;

use crate::{Bucket, Cluster, ClusterError, KeyHandle, Lookup, SessionState, Verdict, sessions::SESSION_IDLE_MS};

impl Cluster {
    /// The second look, after [`Lookup::Miss`]: a key whose digest was made with the previous secret or by another
    /// installation, or imported without one (it is renewed), or one that another node made. With SQLite an unknown
    /// key costs no read.
    ///
    /// # Errors
    /// When the store cannot be asked: 503, never 401.
    pub async fn lookup_slow(&self, text: &str, now: Millis) -> Result<Lookup, ClusterError> {
        let inner = &self.0;
        let digest = inner.secrets.digest(text);
        let (old, found) = self.find_slow(text, now).await?;
        let Lookup::Found(handle) = found else { return Ok(found) };
        if old == digest {
            return Ok(Lookup::Found(handle));
        }
        if inner.peppers.knows(&old, text) {
            inner.peppers.note_renewal();
        }
        match inner.store.renew_digest(&old, &digest, inner.secrets.id()).await {
            // Somebody else was faster.
            Ok(()) | Err(StoreError::NotFound) => inner.keyring.renew(handle.id(), &old, digest),
            // The key is good; it will be renewed another time.
            Err(error) => {
                tracing::warn!(%error, key = %handle.id(), "a digest could not be renewed");
                return Ok(Lookup::Found(handle));
            }
        }
        Ok(inner.keyring.lookup(&digest, now))
    }

    /// What [`Cluster::lookup_slow`] would find, and under which digest; nothing is renewed.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn find_slow(&self, text: &str, now: Millis) -> Result<(Digest, Lookup), ClusterError> {
        let inner = &self.0;
        let digest = inner.secrets.digest(text);
        match inner.read_through(&digest, now).await? {
            Lookup::Miss => {}
            found => return Ok((digest, found)),
        }
        let (mut old, mut found) = (digest, Lookup::Miss);
        if let Some(previous) = inner.secrets.previous_digest(text) {
            old = previous;
            found = match inner.keyring.lookup(&old, now) {
                Lookup::Miss => inner.read_through(&old, now).await?,
                found => found,
            };
        }
        if matches!(found, Lookup::Miss) {
            old = Digest::of_import(text);
            found = inner.imported(&old, now).await?;
        }
        if matches!(found, Lookup::Miss) {
            for digest in inner.peppers.digests(text) {
                old = digest;
                found = inner.imported(&old, now).await?;
                if !matches!(found, Lookup::Miss) {
                    break;
                }
            }
        }
        Ok((old, found))
    }

    /// Every digest under which a key of this text may be stored: ours first.
    #[must_use]
    pub fn digests_of(&self, text: &str) -> Vec<Digest> {
        let inner = &self.0;
        let own = [Some(inner.secrets.digest(text)), inner.secrets.previous_digest(text)].into_iter().flatten();
        own.chain([Digest::of_import(text)]).chain(inner.peppers.digests(text)).collect()
    }

    /// The key in memory that has a secret of this digest, in whatever state both are, and whether its service
    /// account is disabled. For saying why it was refused, and for nothing else.
    #[must_use]
    pub fn known(&self, digest: &Digest) -> Option<(KeyHandle, bool)> {
        let entry = self.0.keyring.find(digest)?;
        let is_previous = entry.digest() != digest;
        let is_disabled = entry.is_disabled();
        Some((KeyHandle { entry, is_previous }, is_disabled))
    }

    /// What [`Cluster::session`] would say; it counts as no use.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn peek_session(&self, claims: &SessionClaims, now: Millis) -> Result<SessionState, ClusterError> {
        let inner = &self.0;
        let tenant = Tenant { workspace: claims.workspace, environment: claims.environment };
        if let Some(state) = inner.sessions.peek(claims.conversation, tenant, claims.key, now) {
            return Ok(state);
        }
        match inner.store.workspace(tenant).conversation(claims.conversation).await {
            Ok(stored)
                if stored.key == Some(claims.key)
                    && stored.ended_at.is_none()
                    && now.since(stored.updated_at) < SESSION_IDLE_MS =>
            {
                Ok(SessionState::Live)
            }
            Ok(_) | Err(StoreError::NotFound) => Ok(SessionState::Ended),
            Err(error) => Err(error.into()),
        }
    }

    /// What [`Cluster::charge`] would say. Charges nothing.
    #[must_use]
    pub fn look<'a, B: Into<Option<Bucket<'a>>> + Copy>(&'a self, buckets: &[B], now: Duration) -> Verdict {
        self.0.limits().look(buckets, now)
    }
}

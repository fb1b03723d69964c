//! What is done about a key that somebody has found where it should not be.

use std::sync::Arc;

use access::{KeyKind, Tenant};
use ambient::KeyId;
use credential::{
    key::{Family, Form},
    secret::Digest,
};
use store::{AuditEntry, LeakAction, NewLeak, SecretRecord};

use crate::{Cluster, ClusterError, CutReason, changes::OwnedAudit, cluster::Inner, doubt::Doubt};

/// Where a key was found.
#[derive(Clone, Debug)]
pub struct Leak {
    /// What kind of place, such as `commit`.
    pub source: String,
    /// Where.
    pub url: Option<String>,
}

/// A key of this installation, and which of its secrets it is.
struct Known {
    id: KeyId,
    tenant: Tenant,
    digest: Digest,
}

impl Cluster {
    /// Does what the key's workspace wants done about a leaked secret; true when it is, or was, one of this
    /// installation. Whoever holds the whole text may hurt that key and no other. A widget key is public by
    /// nature: it is none. With `thorough`, keys are known that memory does not hold any more.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn report_leak(
        &self,
        text: &str,
        leak: Leak,
        thorough: bool,
        audit: AuditEntry<'_>,
    ) -> Result<bool, ClusterError> {
        let family = match self.0.parser.parse(text) {
            Err(_) | Ok(Form::Generated { family: Family::Widget, .. }) => return Ok(false),
            Ok(Form::Generated { family, .. }) => family,
            Ok(Form::Imported { .. }) => Family::Secret,
        };
        let Some(known) = self.0.find_leaked(text, thorough).await? else { return Ok(false) };
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(known.tenant).await;
            // Its text is dropped here: nobody is to know it.
            let (_, unseen) = inner.mint(family, known.tenant.environment)?;
            let prefix = inner.parser.prefixes().of(family, known.tenant.environment);
            let unseen = SecretRecord { display: format!("{prefix}…"), ..unseen };
            let new = NewLeak { key: known.id, digest: known.digest, source: leak.source, url: leak.url, unseen };
            let reported = inner.store.workspace(known.tenant).report_leak(new, audit.entry()).await;
            match inner.noting(Doubt::Key(known.id), reported)?.map(|record| record.action) {
                Some(LeakAction::Revoked) => {
                    inner.keyring.revoke(known.id, inner.clock.now());
                    inner.cut_key(known.id, CutReason::Revoked);
                    inner.shared.confirm().await;
                }
                Some(LeakAction::SecretEnded | LeakAction::GraceStarted) => {
                    inner.reread(known.id).await;
                    inner.shared.confirm().await;
                }
                Some(LeakAction::Notified) | None => {}
            }
            Ok(true)
        })
        .await
    }
}

impl Inner {
    async fn find_leaked(self: &Arc<Self>, text: &str, thorough: bool) -> Result<Option<Known>, ClusterError> {
        let digests = [Some(self.secrets.digest(text)), self.secrets.previous_digest(text)];
        let digests = digests.into_iter().flatten().chain([Digest::of_import(text)]);
        let digests = digests.chain(self.peppers.digests(text));
        for digest in digests {
            if let Some(entry) = self.keyring.find(&digest) {
                let known = Known { id: entry.id(), tenant: entry.tenant(), digest };
                return Ok((entry.kind() != KeyKind::Widget).then_some(known));
            }
            // A key that is dead or in doubt is not in memory.
            if (thorough || !self.doubts.is_empty())
                && let Some(live) = self.store.find_key_by_digest(&digest).await?
            {
                let tenant = Tenant { workspace: live.key.workspace, environment: live.key.environment };
                let known = Known { id: live.key.id, tenant, digest };
                return Ok((live.key.kind != KeyKind::Widget).then_some(known));
            }
        }
        Ok(None)
    }
}

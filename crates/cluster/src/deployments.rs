//! Deployments come and go with their keys, whose ids have the same number.

use access::{Scope, Tenant};
use ambient::{DeploymentId, KeyId};
use credential::key::{ApiKey, Family};
use store::{AuditEntry, DeploymentRecord, KeyRecord, NewDeployment};

use crate::{
    Cluster, ClusterError, CutReason, Grant, Opener, Receipt,
    changes::{OwnedAudit, in_ms},
    cluster::objection,
    doubt::Doubt,
    maker::Maker,
};

impl Cluster {
    /// Makes a deployment and its key, both or neither. The text is in the answer and nowhere else.
    ///
    /// # Errors
    /// As [`store::Workspace::create_deployment`].
    pub async fn create_deployment(
        &self,
        tenant: Tenant,
        new: NewDeployment,
        audit: AuditEntry<'_>,
    ) -> Result<(DeploymentRecord, KeyRecord, ApiKey), ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            // The key that comes of it has no scopes: who may deploy may hand it out.
            Maker::check(&inner, &audit.actor, Scope::DeploymentsWrite).await?;
            let (text, secret) = inner.mint(Family::Deployment, tenant.environment)?;
            let data = inner.store.workspace(tenant);
            let (deployment, key) = data.create_deployment(new, secret, audit.entry()).await?;
            inner.reread(key.id).await;
            Ok((deployment, key, text))
        })
        .await
    }

    /// Revokes a deployment for good: when this returns its key is not found, its tokens are dead and
    /// its streams and sockets are cut. Once more is no error and tells the first time. The receipt names
    /// the key.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`].
    pub async fn revoke_deployment(
        &self,
        tenant: Tenant,
        id: DeploymentId,
        audit: AuditEntry<'_>,
    ) -> Result<Receipt, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let started = inner.clock.elapsed();
            let _turn = inner.turn(tenant).await;
            Maker::check(&inner, &audit.actor, Scope::DeploymentsWrite).await?;
            let (now, key) = (inner.clock.now(), KeyId(id.0));
            let revoked = inner.store.workspace(tenant).revoke_deployment(id, now, audit.entry()).await;
            let (deployment, _) = inner.noting(Doubt::Key(key), revoked)?;
            inner.keyring.revoke(key, now);
            let streams_closed = inner.cut_key(key, CutReason::Revoked);
            let nodes_confirmed = inner.shared.confirm().await;
            let took = inner.clock.elapsed().saturating_sub(started);
            Ok(Receipt {
                id: key,
                revoked_at: deployment.revoked_at.unwrap_or(now),
                took_ms: in_ms(took),
                nodes_confirmed,
                streams_closed,
            })
        })
        .await
    }

    /// The place of a stream that a key, or a token of it without a session, opened: a participant's
    /// socket, a run's timeline. `None` when the key or its epoch has gone since the request was admitted.
    #[must_use]
    pub fn hold_opened(&self, opener: &Opener) -> Option<Grant> {
        self.hold_needing(opener, None)
    }

    /// The same of what goes on only while the key allows `needed`: a file that leaves, or comes in.
    #[must_use]
    pub fn hold_needing(&self, opener: &Opener, needed: Option<Scope>) -> Option<Grant> {
        let inner = &self.0;
        let grant = inner.grants.enter_needing(needed, opener.key, opener.epoch, None, opener.origin.clone());
        let entry = inner.keyring.get(opener.key);
        objection(entry.as_deref(), grant.stream(), inner.clock.now(), true).is_none().then_some(grant)
    }
}

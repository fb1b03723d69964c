//! Every change to keys, service accounts and sessions: first the store, then memory, then what is
//! open. A change runs in a task of its own, so that a client who hangs up between the commit and
//! the change of memory leaves no revoked key behind. Each may fail with [`ClusterError::MakerGone`].

use std::{sync::Arc, time::Duration};

use access::{Actor, KeyKind, Scope, ScopeSet, Tenant};
use ambient::{ConversationId, KeyId, Millis, ServiceAccountId};
use credential::key::{ApiKey, Environment, Family};
use store::{
    AuditEntry, KeyChange, KeyRecord, KeySettings, MemberRecord, NewMember, NewServiceAccount, NewWorkspace,
    SecretRecord, ServiceAccountChange, ServiceAccountRecord, WorkspaceRecord,
};
use tokio::sync::MutexGuard;

use crate::{
    Cluster, ClusterError, CutReason,
    cluster::Inner,
    doubt::Doubt,
    entry::AccountState,
    maker::{Maker, powers},
};

/// A key to be made; its secret is minted here and nowhere else.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose data it sees. A test tenant makes test keys only.
    pub environment: Environment,
    /// What it is for.
    pub kind: KeyKind,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// Everything else that can be set.
    pub settings: KeySettings,
    /// The service account that owns it.
    pub service_account: Option<ServiceAccountId>,
    /// When it stops; `None` is never.
    pub expires_at: Option<Millis>,
}

impl NewKey {
    fn with_secret(self, family: Family, secret: SecretRecord) -> store::NewKey {
        let Self { environment, kind, name, scopes, settings, service_account, expires_at } = self;
        store::NewKey { environment, kind, family, name, scopes, settings, service_account, expires_at, secret }
    }
}

/// What a revocation did. When its owner has it, no node accepts the key any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Receipt {
    /// The key.
    pub id: KeyId,
    /// When it was revoked; the first time counts.
    pub revoked_at: Millis,
    /// How long it took, in milliseconds, until no node accepted it.
    pub took_ms: f64,
    /// Nodes that have confirmed, this one included.
    pub nodes_confirmed: u32,
    /// Streams on this node that were cut.
    pub streams_closed: u64,
}

/// Milliseconds to the microsecond: more digits than that say nothing.
pub(crate) fn in_ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// An [`AuditEntry`] that a task can own.
pub(crate) struct OwnedAudit {
    pub(crate) actor: Actor,
    action: String,
    detail: Option<serde_json::Value>,
}

impl OwnedAudit {
    pub(crate) fn new(audit: AuditEntry<'_>) -> Self {
        Self { actor: audit.actor.clone(), action: audit.action.to_owned(), detail: audit.detail }
    }

    pub(crate) fn entry(&self) -> AuditEntry<'_> {
        AuditEntry { actor: &self.actor, action: &self.action, detail: self.detail.clone() }
    }
}

impl Cluster {
    /// Makes a key. The text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`] when its service account is not the tenant's.
    pub async fn create_key(
        &self,
        tenant: Tenant,
        new: NewKey,
        family: Family,
        audit: AuditEntry<'_>,
    ) -> Result<(KeyRecord, ApiKey), ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            let maker = Maker::check(&inner, &audit.actor, Scope::ApiKeysWrite).await?;
            maker.must_cover(powers(new.kind, new.scopes))?;
            let (text, secret) = inner.mint(family, new.environment)?;
            let new = new.with_secret(family, secret);
            let record = inner.store.workspace(tenant).create_key(new, audit.entry()).await?;
            inner.reread(record.id).await;
            Ok((record, text))
        })
        .await
    }

    /// Makes a workspace, its owner and its first key, all or nothing; see
    /// [`store::Store::create_workspace_with_key`].
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`] when there is nothing to consume; [`store::StoreError::Conflict`]
    /// `email`.
    pub async fn create_workspace(
        &self,
        workspace: NewWorkspace,
        owner: NewMember,
        consume_setup: Option<&'static str>,
        first_key: NewKey,
        audit: AuditEntry<'_>,
    ) -> Result<(WorkspaceRecord, MemberRecord, KeyRecord, ApiKey), ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let (text, secret) = inner.mint(Family::Secret, first_key.environment)?;
            let new = first_key.with_secret(Family::Secret, secret);
            let (workspace, owner, key) =
                inner.store.create_workspace_with_key(workspace, owner, consume_setup, new, audit.entry()).await?;
            inner.reread(key.id).await;
            Ok((workspace, owner, key, text))
        })
        .await
    }

    /// Gives a key a new secret; the one before works for `grace_ms` milliseconds more. With 0 it is
    /// refused at once, tokens minted so far die, and open streams are cut.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`]; [`store::StoreError::Conflict`] for a revoked key.
    pub async fn rotate_key(
        &self,
        tenant: Tenant,
        id: KeyId,
        grace_ms: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(KeyRecord, ApiKey), ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            let maker = Maker::check(&inner, &audit.actor, Scope::ApiKeysWrite).await?;
            let data = inner.store.workspace(tenant);
            let key = data.key(id).await?;
            maker.must_cover(powers(key.kind, key.scopes))?;
            let (text, secret) = inner.mint(key.family, key.environment)?;
            let grace_ms = grace_ms.max(0);
            let ends = secret.created_at.plus(grace_ms);
            let rotated = data.rotate_key(id, secret, ends, grace_ms == 0, audit.entry()).await;
            let record = inner.noting(Doubt::Key(id), rotated)?;
            inner.reread(id).await;
            inner.shared.confirm().await;
            Ok((record, text))
        })
        .await
    }

    /// Ends the grace of a key's previous secret: when this returns it is refused. Once more is no error.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`]; [`store::StoreError::Conflict`] for a revoked key.
    pub async fn end_grace(&self, tenant: Tenant, id: KeyId, audit: AuditEntry<'_>) -> Result<KeyRecord, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            Maker::check(&inner, &audit.actor, Scope::ApiKeysWrite).await?;
            let ended = inner.store.workspace(tenant).end_key_grace(id, audit.entry()).await;
            let record = inner.noting(Doubt::Key(id), ended)?;
            inner.reread(id).await;
            inner.shared.confirm().await;
            Ok(record)
        })
        .await
    }

    /// Changes a key, in force at once. Streams of sessions whose origin is no longer allowed are cut, and
    /// all of its sessions when it no longer may chat.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`]; [`store::StoreError::Conflict`] for a revoked key.
    pub async fn update_key(
        &self,
        tenant: Tenant,
        id: KeyId,
        change: KeyChange,
        audit: AuditEntry<'_>,
    ) -> Result<KeyRecord, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            let maker = Maker::check(&inner, &audit.actor, Scope::ApiKeysWrite).await?;
            let data = inner.store.workspace(tenant);
            let key = data.key(id).await?;
            maker.must_cover(powers(key.kind, key.scopes))?;
            maker.must_cover(change.scopes.unwrap_or_default())?;
            let updated = data.update_key(id, change, audit.entry()).await;
            let record = inner.noting(Doubt::Key(id), updated)?;
            inner.reread(id).await;
            inner.shared.confirm().await;
            Ok(record)
        })
        .await
    }

    /// Revokes a key for good: when this returns, no look-up finds it and its streams are cut. Once
    /// more is no error and tells the first time.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`].
    pub async fn revoke_key(&self, tenant: Tenant, id: KeyId, audit: AuditEntry<'_>) -> Result<Receipt, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let started = inner.clock.elapsed();
            let _turn = inner.turn(tenant).await;
            Maker::check(&inner, &audit.actor, Scope::ApiKeysWrite).await?;
            let now = inner.clock.now();
            let revoked = inner.store.workspace(tenant).revoke_key(id, now, audit.entry()).await;
            let record = inner.noting(Doubt::Key(id), revoked)?;
            inner.keyring.revoke(id, now);
            let streams_closed = inner.cut_key(id, CutReason::Revoked);
            let nodes_confirmed = inner.shared.confirm().await;
            let took = inner.clock.elapsed().saturating_sub(started);
            Ok(Receipt {
                id,
                revoked_at: record.revoked_at.unwrap_or(now),
                took_ms: in_ms(took),
                nodes_confirmed,
                streams_closed,
            })
        })
        .await
    }

    /// Makes a service account.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn create_service_account(
        &self,
        tenant: Tenant,
        new: NewServiceAccount,
        audit: AuditEntry<'_>,
    ) -> Result<ServiceAccountRecord, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            let maker = Maker::check(&inner, &audit.actor, Scope::ServiceAccountsWrite).await?;
            maker.must_cover(new.scopes)?;
            Ok(inner.store.workspace(tenant).create_service_account(new, audit.entry()).await?)
        })
        .await
    }

    /// Changes a service account, in force at once for all its keys. Disabling it cuts their streams,
    /// taking `chat:write` from it their sessions.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`].
    pub async fn update_service_account(
        &self,
        tenant: Tenant,
        id: ServiceAccountId,
        change: ServiceAccountChange,
        audit: AuditEntry<'_>,
    ) -> Result<ServiceAccountRecord, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            let maker = Maker::check(&inner, &audit.actor, Scope::ServiceAccountsWrite).await?;
            let data = inner.store.workspace(tenant);
            let old = data.service_account(id).await?;
            let starts = change.disabled_at == Some(None) && old.disabled_at.is_some();
            if starts || change.scopes.is_some() {
                maker.must_cover(change.scopes.unwrap_or(old.scopes))?;
            }
            let updated = data.update_service_account(id, change, audit.entry()).await;
            let record = inner.noting(Doubt::Account(tenant, id), updated)?;
            let disabled = record.disabled_at.is_some();
            inner.keyring.set_account(id, AccountState { scopes: record.scopes, disabled });
            inner.cut_account_survivors(id);
            inner.shared.confirm().await;
            Ok(record)
        })
        .await
    }

    /// Deletes a service account and revokes its keys; says which.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`].
    pub async fn delete_service_account(
        &self,
        tenant: Tenant,
        id: ServiceAccountId,
        audit: AuditEntry<'_>,
    ) -> Result<Vec<KeyId>, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let _turn = inner.turn(tenant).await;
            Maker::check(&inner, &audit.actor, Scope::ServiceAccountsWrite).await?;
            let now = inner.clock.now();
            let deleted = inner.store.workspace(tenant).delete_service_account(id, audit.entry()).await;
            let keys = inner.noting(Doubt::Account(tenant, id), deleted)?;
            inner.keyring.set_account(id, AccountState { scopes: ScopeSet::NONE, disabled: true });
            for key in &keys {
                inner.keyring.revoke(*key, now);
                inner.cut_key(*key, CutReason::Revoked);
            }
            inner.shared.confirm().await;
            Ok(keys)
        })
        .await
    }

    /// Ends a session: when this returns its token is dead and its streams are cut. Once more is no
    /// error. Says how many streams.
    ///
    /// # Errors
    /// [`store::StoreError::NotFound`].
    pub async fn end_session(
        &self,
        tenant: Tenant,
        conversation: ConversationId,
        audit: AuditEntry<'_>,
    ) -> Result<u64, ClusterError> {
        let audit = OwnedAudit::new(audit);
        self.detach(move |inner| async move {
            let now = inner.clock.now();
            inner.store.workspace(tenant).end_conversation(conversation, now, audit.entry()).await?;
            Ok(Self(inner).drop_session(conversation))
        })
        .await
    }

    /// Runs a change to its end, also when the caller is dropped meanwhile.
    pub(crate) async fn detach<T, F>(&self, change: impl FnOnce(Arc<Inner>) -> F) -> Result<T, ClusterError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClusterError>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        self.0.changes.spawn(store::in_this_attempt(change(inner))).await.unwrap_or(Err(ClusterError::Interrupted))
    }
}

impl Inner {
    /// The workspace's turn: its changes reach memory in the order in which they were committed.
    pub(crate) async fn turn(&self, tenant: Tenant) -> MutexGuard<'_, ()> {
        let stripe = tenant.workspace.0.0 % self.stripes.len() as u128;
        self.stripes[stripe as usize].lock().await
    }

    pub(crate) fn mint(
        &self,
        family: Family,
        environment: Environment,
    ) -> Result<(ApiKey, SecretRecord), ClusterError> {
        let text = self.parser.mint(family, environment, &*self.random)?;
        let secret = SecretRecord {
            digest: self.secrets.digest(text.expose()),
            pepper_id: self.secrets.id().to_owned(),
            display: self.parser.display(text.expose()),
            created_at: self.clock.now(),
            expires_at: None,
            last_used_at: None,
            last_used_ip: None,
            uses: 0,
        };
        Ok((text, secret))
    }

    /// Takes note when nobody knows whether a change was committed.
    pub(crate) fn noting<T>(&self, doubt: Doubt, result: Result<T, store::StoreError>) -> Result<T, ClusterError> {
        result.map_err(ClusterError::from).inspect_err(|error| {
            if error.is_doubtful() {
                self.doubts.add(doubt);
            }
        })
    }

    /// Brings a key that was just committed into memory, and cuts what no longer holds. A key that
    /// cannot be read back leaves memory until it can be: what was in force before no longer is.
    pub(crate) async fn reread(&self, id: KeyId) {
        match self.store.find_key(id).await {
            Ok(Some(live)) => {
                let before = self.keyring.get(id);
                self.keyring.insert(&live);
                if let (Some(old), Some(new)) = (before, self.keyring.get(id))
                    && !Arc::ptr_eq(&old, &new)
                {
                    self.usage.carry_over(&old, &new);
                }
            }
            Ok(None) => self.keyring.revoke(id, self.clock.now()),
            Err(error) => {
                tracing::warn!(%error, key = %id, "a changed key could not be read back");
                self.doubts.add(Doubt::Key(id));
                self.keyring.forget(id);
            }
        }
        self.cut_key_survivors(id, self.clock.now(), true);
    }

    fn cut_account_survivors(&self, account: ServiceAccountId) {
        let now = self.clock.now();
        for key in self.grants.keys() {
            if self.keyring.get(key).is_some_and(|entry| entry.service_account() == Some(account)) {
                self.cut_key_survivors(key, now, false);
            }
        }
    }
}

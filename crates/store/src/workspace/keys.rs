use access::ActorKind;
use ambient::{KeyId, Millis, ServiceAccountId};
use credential::secret::IMPORTED;
use serde_json::Map;

use super::{EventKind, Workspace, key_list::folded};
use crate::{
    catalogue::{Bound, Statement, keys as sql, leaks as leak_sql},
    change::{KeyChange, NewKey},
    error::StoreError,
    foreign::ForeignPepper,
    key_notices::dates,
    keyring::key_records,
    notice::Dates,
    record::{AuditEntry, KeyRecord, KeySettings, SecretRecord},
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "api_key";
/// Why a request that was carried out and never answered is not carried out again.
const LOST: &str = "an earlier request with this `Idempotency-Key` has made it, its answer was lost, and it was changed \
                    or used since: look for it, and use another key for another one";

impl Workspace {
    /// Makes a key with its first secret.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `environment` when a test tenant asks for a live key or a test account
    /// for a live one, `secret` when the digest is known; [`StoreError::NotFound`] for the account.
    pub async fn create_key(&self, new: NewKey, audit: AuditEntry<'_>) -> Result<KeyRecord, StoreError> {
        let key = KeyRecord { id: self.new_id()?, ..self.key_record(new, &audit)? };
        if self.made_before(key.id, self.key(key.id)).await?.is_some() {
            let secret = key.secrets.first().cloned().ok_or(StoreError::NotFound)?;
            return self.replace_lost_secret(&key, secret, &audit).await;
        }
        let mut tx = self.store.begin().await?;
        if let Some(account) = key.service_account {
            let owner = self.lock_account(&mut tx, account).await?;
            self.store
                .workspace(access::Tenant { environment: owner.environment, ..self.tenant })
                .may_make(key.environment)?;
        }
        self.insert_whole_key(&mut tx, &key).await?;
        self.insert_audit(&mut tx, &audit, KIND, &key.id).await?;
        self.key_event(&mut tx, EventKind::ApiKeyCreated, &key, &audit, Map::new()).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// A key with its secret and its audit record, in a transaction of the caller's.
    pub(crate) async fn insert_new_key(
        &self,
        tx: &mut Tx,
        new: NewKey,
        audit: &AuditEntry<'_>,
    ) -> Result<KeyRecord, StoreError> {
        let key = self.key_record(new, audit)?;
        self.insert_whole_key(tx, &key).await?;
        self.insert_audit(tx, audit, KIND, &key.id).await?;
        self.key_event(tx, EventKind::ApiKeyCreated, &key, audit, Map::new()).await?;
        Ok(key)
    }

    pub(super) async fn insert_whole_key(&self, tx: &mut Tx, key: &KeyRecord) -> Result<(), StoreError> {
        tx.execute(self.insert_key(key)?).await?;
        for secret in &key.secrets {
            tx.execute(self.insert_secret(key.id, secret)).await?;
        }
        Ok(())
    }

    /// Makes many keys that no service account owns, all or none, with one audit record that names the
    /// first. A running server's keyring does not hear of it: this is for a database at rest.
    ///
    /// # Errors
    /// As [`Workspace::create_key`].
    pub async fn import_keys(&self, news: Vec<NewKey>, audit: AuditEntry<'_>) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let (mut first, mut count) = (None, 0);
        for new in news {
            if new.service_account.is_some() {
                return Err(StoreError::Conflict("service_account"));
            }
            let key = self.key_record(new, &audit)?;
            self.insert_whole_key(&mut tx, &key).await?;
            first = first.or(Some(key.id));
            count += 1;
        }
        if let Some(first) = first {
            self.insert_audit(&mut tx, &audit, KIND, &first).await?;
        }
        tx.commit().await?;
        Ok(count)
    }

    /// Makes keys that another installation has made, with their ids, all or none, and keeps its peppers. A running
    /// server's keyring does not hear of it: this is for a database at rest.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an id or a digest is known, or a key is not this tenant's or has an owner.
    pub async fn take_over_keys(
        &self,
        keys: &[KeyRecord],
        peppers: &[ForeignPepper],
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let Some(first) = keys.first() else { return Ok(()) };
        let mut tx = self.store.begin().await?;
        for key in keys {
            self.may_make(key.environment)?;
            if key.workspace != self.tenant.workspace || key.service_account.is_some() {
                return Err(StoreError::Conflict("service_account"));
            }
            self.insert_whole_key(&mut tx, key).await?;
        }
        for pepper in peppers {
            tx.execute(pepper.keep()).await?;
        }
        self.insert_audit(&mut tx, &audit, KIND, &first.id).await?;
        tx.commit().await
    }

    pub(super) fn key_record(&self, new: NewKey, audit: &AuditEntry<'_>) -> Result<KeyRecord, StoreError> {
        self.may_make(new.environment)?;
        let now = self.store.now();
        Ok(KeyRecord {
            id: KeyId::mint(self.store.clock(), self.store.random())?,
            workspace: self.tenant.workspace,
            environment: new.environment,
            kind: new.kind,
            family: new.family,
            name: new.name,
            scopes: new.scopes,
            settings: new.settings,
            service_account: new.service_account,
            created_by: audit.actor.to_string(),
            created_at: now,
            updated_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            epoch: 0,
            version: 1,
            secrets: vec![new.secret],
        })
    }

    /// A key, in any state, with the secrets that still work.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn key(&self, id: KeyId) -> Result<KeyRecord, StoreError> {
        key_records(&self.store.rows(self.select_key(id)).await?)?.pop().ok_or(StoreError::NotFound)
    }

    /// Every key of a service account, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn keys_of_service_account(&self, id: ServiceAccountId) -> Result<Vec<KeyRecord>, StoreError> {
        key_records(&self.store.rows(self.seen(&sql::KEYS_OF_ACCOUNT).time(self.store.now()).id(id)).await?)
    }

    /// Changes what a key may and how it is called.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `revoked`.
    pub async fn update_key(
        &self,
        id: KeyId,
        change: KeyChange,
        audit: AuditEntry<'_>,
    ) -> Result<KeyRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let mut key = self.lock_key(&mut tx, id).await?;
        let before = dates(&key);
        key.name = change.name.unwrap_or(key.name);
        key.scopes = change.scopes.unwrap_or(key.scopes);
        key.settings = change.settings.unwrap_or(key.settings);
        key.expires_at = change.expires_at.unwrap_or(key.expires_at);
        let update = sql::UPDATE_KEY.bound().id(self.tenant.workspace).id(id).text(&key.name);
        let update = update.text(json(&key.scopes)?).text(settings_text(&key.settings)?).maybe_time(key.expires_at);
        let update = update.text(folded(&key.name));
        tx.change(update).await?;
        self.wait_for_notices(&mut tx, &key, before).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Gives a key a new secret. The one before works until `previous_expires_at`, those before it stop
    /// now. With `bump_epoch`, tokens that were minted under the key die.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `revoked`, or `secret` for a known digest.
    pub async fn rotate_key(
        &self,
        id: KeyId,
        new: SecretRecord,
        previous_expires_at: Millis,
        bump_epoch: bool,
        audit: AuditEntry<'_>,
    ) -> Result<KeyRecord, StoreError> {
        let workspace = self.tenant.workspace;
        let mut tx = self.store.begin().await?;
        let key = self.lock_key(&mut tx, id).await?;
        let end = sql::END_SECRETS.bound().id(workspace).id(id).time(previous_expires_at).time(self.store.now());
        if key.secrets.first().is_some_and(SecretRecord::is_unseen) && !bump_epoch {
            // A leak has set the end of the secret that is in use: it stays.
            tx.change(leak_sql::DROP_UNSEEN.bound().id(workspace).id(id)).await?;
        } else {
            tx.execute(end).await?;
        }
        tx.execute(self.insert_secret(id, &new)).await?;
        if bump_epoch {
            tx.change(sql::BUMP_EPOCH.bound().id(workspace).id(id)).await?;
            self.take_back_invitations(&mut tx, ActorKind::ApiKey, &id).await?;
        }
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let key = self.read_key(&mut tx, id).await?;
        let ends = Map::from_iter([("previous_expires_at".to_owned(), serde_json::json!(previous_expires_at))]);
        self.key_event(&mut tx, EventKind::ApiKeyRotated, &key, &audit, ends).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Gives a key that an earlier attempt has made another secret: nobody has seen the one it has, and nobody will.
    /// It must be what this attempt would make now, and nobody may have changed or used it since: `wanted`.
    pub(super) async fn replace_lost_secret(
        &self,
        wanted: &KeyRecord,
        secret: SecretRecord,
        audit: &AuditEntry<'_>,
    ) -> Result<KeyRecord, StoreError> {
        let (workspace, now, id) = (self.tenant.workspace, self.store.now(), wanted.id);
        let mut tx = self.store.begin().await?;
        if !is_as_made(&self.lock_key(&mut tx, id).await?, wanted) {
            return Err(StoreError::Conflict(LOST));
        }
        tx.execute(sql::END_SECRETS.bound().id(workspace).id(id).time(now).time(now)).await?;
        tx.execute(self.insert_secret(id, &secret)).await?;
        self.insert_audit(&mut tx, audit, KIND, &id).await?;
        let key = self.read_key(&mut tx, id).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Ends the grace of a key's previous secret now. Where none is running, nothing is changed and nothing logged.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `revoked`.
    pub async fn end_key_grace(&self, id: KeyId, audit: AuditEntry<'_>) -> Result<KeyRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        self.lock_key(&mut tx, id).await?;
        let end = sql::END_GRACE.bound().id(self.tenant.workspace).id(id).time(self.store.now());
        if tx.execute(end).await? == 0 {
            drop(tx);
            return self.key(id).await;
        }
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let key = self.read_key(&mut tx, id).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Revokes a key, for good, and with a deployment's key the deployment. One that is revoked already is answered as it is, and nothing is logged.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_key(&self, id: KeyId, now: Millis, audit: AuditEntry<'_>) -> Result<KeyRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let revoked = self.mark_key_revoked(&mut tx, id, now).await?;
        let key = self.read_key(&mut tx, id).await?;
        if revoked {
            self.revoke_deployment_of(&mut tx, &key, now).await?;
            self.insert_audit(&mut tx, &audit, KIND, &id).await?;
            self.key_event(&mut tx, EventKind::ApiKeyRevoked, &key, &audit, Map::new()).await?;
        }
        tx.commit().await?;
        Ok(key)
    }

    /// Whether it was not revoked before.
    pub(super) async fn mark_key_revoked(&self, tx: &mut Tx, id: KeyId, now: Millis) -> Result<bool, StoreError> {
        Ok(tx.execute(self.seen(&sql::REVOKE_KEY).id(id).time(now)).await? > 0)
    }

    /// Lets the notices of a changed key come at their new times. Of an end that stays, none that is waited for is lost.
    async fn wait_for_notices(&self, tx: &mut Tx, key: &KeyRecord, before: Dates) -> Result<(), StoreError> {
        let (after, now) = (dates(key), self.store.now());
        let bound = |statement: &Statement| statement.bound().id(self.tenant.workspace).id(key.id);
        if after.expires_at != before.expires_at {
            tx.execute(bound(&sql::SET_NOTICE).maybe_time(after.first_look(now))).await?;
        } else if after.rotate_after != before.rotate_after
            && let Some(at) = after.rotate_after
        {
            tx.execute(bound(&sql::ADVANCE_NOTICE).time(at.max(now))).await?;
        }
        Ok(())
    }

    /// Holds a key that can still be changed, and counts its version on.
    async fn lock_key(&self, tx: &mut Tx, id: KeyId) -> Result<KeyRecord, StoreError> {
        let locked = tx.execute(self.seen(&sql::LOCK_KEY).id(id).time(self.store.now())).await?;
        let key = self.read_key(tx, id).await?;
        if locked == 0 { Err(StoreError::Conflict("revoked")) } else { Ok(key) }
    }

    pub(super) async fn read_key(&self, tx: &mut Tx, id: KeyId) -> Result<KeyRecord, StoreError> {
        key_records(&tx.rows(self.select_key(id)).await?)?.pop().ok_or(StoreError::NotFound)
    }

    fn select_key(&self, id: KeyId) -> Bound {
        self.seen(&sql::KEY).time(self.store.now()).id(id)
    }

    fn insert_key(&self, key: &KeyRecord) -> Result<Bound, StoreError> {
        let bound = sql::INSERT_KEY.bound().id(self.tenant.workspace).id(key.id).text(key.environment.as_str());
        let bound = bound.text(key.kind.as_str()).text(key.family.as_str()).text(&key.name);
        let bound = bound.text(json(&key.scopes)?).text(settings_text(&key.settings)?).maybe_id(key.service_account);
        let bound = bound.text(&key.created_by).time(key.created_at).maybe_time(key.expires_at);
        Ok(bound.maybe_time(dates(key).first_look(self.store.now())).text(folded(&key.name)))
    }

    pub(super) fn insert_secret(&self, key: KeyId, secret: &SecretRecord) -> Bound {
        let bound = sql::INSERT_SECRET.bound().id(self.tenant.workspace).id(key).digest(&secret.digest);
        let bound = bound.text(&secret.pepper_id).text(&secret.display).time(secret.created_at);
        let bound = bound.maybe_time(secret.expires_at).maybe_time(secret.last_used_at);
        let is_imported = secret.pepper_id == IMPORTED;
        bound.maybe_id(secret.last_used_ip).count(secret.uses).text(if is_imported { IMPORTED } else { "hmac" })
    }
}

/// Whether a key that was just locked is as an earlier attempt has left it, and no more than `wanted`.
fn is_as_made(made: &KeyRecord, wanted: &KeyRecord) -> bool {
    // 1 when it was made, and 1 for the lock.
    let is_untouched = made.version == 2 && made.epoch == 0 && made.secrets.len() == 1;
    let is_used = made.secrets.iter().any(|secret| secret.uses > 0 || secret.last_used_at.is_some());
    let ends_in_time = wanted.expires_at.is_none_or(|wanted| made.expires_at.is_some_and(|made| made <= wanted));
    let is_same = (made.environment, made.kind, made.scopes, &made.settings, made.service_account)
        == (wanted.environment, wanted.kind, wanted.scopes, &wanted.settings, wanted.service_account);
    is_untouched && !is_used && ends_in_time && is_same
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::unavailable)
}

/// Most keys have none: two bytes then, which the keyring's load recognises without parsing.
fn settings_text(settings: &KeySettings) -> Result<String, StoreError> {
    if *settings == KeySettings::default() { Ok("{}".to_owned()) } else { json(settings) }
}

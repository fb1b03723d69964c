use ambient::{KeyId, ServiceAccountId};
use serde_json::Map;

use super::{EventKind, Workspace, keys::json, limits};
use crate::{
    catalogue::keys as sql,
    change::{NewServiceAccount, ServiceAccountChange},
    error::StoreError,
    record::{AuditEntry, Page, PageRequest, ServiceAccountRecord},
    row::Row,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "service_account";

impl Workspace {
    /// Makes a service account.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `environment` when a test tenant asks for a live one.
    pub async fn create_service_account(
        &self,
        new: NewServiceAccount,
        audit: AuditEntry<'_>,
    ) -> Result<ServiceAccountRecord, StoreError> {
        self.may_make(new.environment)?;
        let now = self.store.now();
        let id = self.new_id()?;
        if let Some(made) = self.made_before(id, self.service_account(id)).await? {
            return Ok(made);
        }
        let account = ServiceAccountRecord {
            id,
            workspace: self.tenant.workspace,
            environment: new.environment,
            name: new.name,
            description: new.description,
            role: new.role,
            scopes: new.scopes,
            disabled_at: new.disabled_at,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.store.begin().await?;
        let insert =
            sql::INSERT_ACCOUNT.bound().id(account.workspace).id(account.id).text(account.environment.as_str());
        let insert = insert.text(&account.name).maybe_text(account.description.as_deref()).id(account.role);
        tx.execute(insert.text(json(&account.scopes)?).maybe_time(account.disabled_at).time(now)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &account.id).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// A service account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn service_account(&self, id: ServiceAccountId) -> Result<ServiceAccountRecord, StoreError> {
        self.one(self.seen(&sql::ACCOUNT).id(id), account_record).await
    }

    /// A page of service accounts, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn service_accounts(&self, page: PageRequest) -> Result<Page<ServiceAccountRecord>, StoreError> {
        let rows = limits(self.seen(&sql::ACCOUNTS), page);
        self.page(rows, self.seen(&sql::ACCOUNT_COUNT), account_record).await
    }

    /// Changes a service account. The versions of its keys move on: what they may has changed too.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_service_account(
        &self,
        id: ServiceAccountId,
        change: ServiceAccountChange,
        audit: AuditEntry<'_>,
    ) -> Result<ServiceAccountRecord, StoreError> {
        let workspace = self.tenant.workspace;
        let mut tx = self.store.begin().await?;
        let mut account = self.lock_account(&mut tx, id).await?;
        account.name = change.name.unwrap_or(account.name);
        account.description = change.description.unwrap_or(account.description);
        account.role = change.role.unwrap_or(account.role);
        account.scopes = change.scopes.unwrap_or(account.scopes);
        account.disabled_at = match change.disabled_at {
            Some(Some(at)) => account.disabled_at.or(Some(at)),
            Some(None) => None,
            None => account.disabled_at,
        };
        account.updated_at = self.store.now();
        let update = sql::UPDATE_ACCOUNT.bound().id(workspace).id(id).text(&account.name);
        let update = update.maybe_text(account.description.as_deref()).id(account.role).text(json(&account.scopes)?);
        tx.change(update.maybe_time(account.disabled_at).time(account.updated_at)).await?;
        tx.execute(sql::BUMP_ACCOUNT_KEYS.bound().id(workspace).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// Deletes a service account and revokes its keys; these are they. Each is logged too.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_service_account(
        &self,
        id: ServiceAccountId,
        audit: AuditEntry<'_>,
    ) -> Result<Vec<KeyId>, StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.seen(&sql::DELETE_ACCOUNT).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let revoke = sql::REVOKE_ACCOUNT_KEYS.bound().id(self.tenant.workspace).id(id).time(self.store.now());
        let revoked = tx.rows(revoke).await?.iter().map(|row| row.id("id")).collect::<Result<Vec<KeyId>, _>>()?;
        for key in &revoked {
            self.insert_audit(&mut tx, &audit, "api_key", key).await?;
            let key = self.read_key(&mut tx, *key).await?;
            self.key_event(&mut tx, EventKind::ApiKeyRevoked, &key, &audit, Map::new()).await?;
        }
        tx.commit().await?;
        Ok(revoked)
    }

    /// Holds an account until the transaction ends: it is not deleted meanwhile.
    pub(super) async fn lock_account(
        &self,
        tx: &mut Tx,
        id: ServiceAccountId,
    ) -> Result<ServiceAccountRecord, StoreError> {
        let row = tx.row(self.seen(&sql::LOCK_ACCOUNT).id(id)).await?;
        account_record(&row.ok_or(StoreError::NotFound)?)
    }
}

fn account_record(row: &Row) -> Result<ServiceAccountRecord, StoreError> {
    Ok(ServiceAccountRecord {
        id: row.id("id")?,
        workspace: row.id("workspace_id")?,
        environment: row.id("environment")?,
        name: row.string("name")?,
        description: row.maybe_string("description")?,
        role: row.id("role")?,
        scopes: row.json("scopes")?,
        disabled_at: row.maybe_time("disabled_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

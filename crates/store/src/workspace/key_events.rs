//! What is told of keys: their making, rotation, revocation, exposure and coming end.

use access::Tenant;
use ambient::KeyId;
use serde_json::{Map, Value, json};

use super::{EventKind, Workspace};
use crate::{
    error::StoreError,
    record::{AuditEntry, KeyRecord},
    tx::Tx,
};

impl Workspace {
    /// Tells of a key, in the transaction of what happened to it and in the key's own environment. `more` is added
    /// to what is said of every key; never a secret.
    pub(crate) async fn key_event(
        &self,
        tx: &mut Tx,
        kind: EventKind,
        key: &KeyRecord,
        by: &AuditEntry<'_>,
        more: Map<String, Value>,
    ) -> Result<(), StoreError> {
        let of_key = self.store.workspace(Tenant { environment: key.environment, ..self.tenant });
        let mut data = described(key, by);
        data.extend(more);
        of_key.event(tx, kind, &Value::Object(data)).await
    }

    /// Logs that a key was seen where it should not be, and tells of it; `audit` says where.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn record_exposure(&self, id: KeyId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let key = self.read_key(&mut tx, id).await?;
        self.insert_audit(&mut tx, &audit, "api_key", &id).await?;
        let seen = match &audit.detail {
            Some(Value::Object(detail)) => detail.clone(),
            _ => Map::new(),
        };
        self.key_event(&mut tx, EventKind::ApiKeyExposed, &key, &audit, seen).await?;
        tx.commit().await
    }
}

fn described(key: &KeyRecord, by: &AuditEntry<'_>) -> Map<String, Value> {
    let actor = by.actor;
    let entries = [
        ("id", json!(key.id)),
        ("name", json!(key.name)),
        ("display", json!(key.secrets.first().map(|secret| &secret.display))),
        ("kind", json!(key.kind)),
        ("environment", json!(key.environment)),
        ("service_account_id", json!(key.service_account)),
        ("owner", json!(key.settings.owner)),
        ("purpose", json!(key.settings.purpose)),
        ("by", json!({"kind": actor.kind.as_str(), "id": actor.id})),
        ("request_id", json!(actor.request)),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

use ambient::{EventId, Millis, WebhookId};
use serde_json::{Value, json};

use super::{Workspace, limits};
use crate::{
    catalogue::{Bound, webhooks as sql},
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    tx::Tx,
    webhooks::{NewWebhook, WebhookChange, WebhookRecord},
};

/// What the audit log calls them.
pub(crate) const KIND: &str = "webhook";
/// The most endpoints of one environment of a workspace, besides those of channels and agent loops.
pub const MAX_WEBHOOKS: u64 = 50;
/// Of one that its owner has turned off.
const PAUSED: &str = "paused";
/// Every kind, as stored.
const ALL: &str = "*";

impl Workspace {
    /// Makes an endpoint.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `webhooks` when there are [`MAX_WEBHOOKS`].
    pub async fn create_webhook(&self, new: NewWebhook, audit: AuditEntry<'_>) -> Result<WebhookRecord, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        if tx.total(self.own(&sql::WEBHOOK_COUNT)).await? >= MAX_WEBHOOKS {
            return Err(StoreError::Conflict("webhooks"));
        }
        let record = WebhookRecord {
            id: new.id,
            owner: None,
            url: new.url,
            events: new.events,
            description: new.description,
            secret_sealed: new.secret_sealed,
            previous_sealed: None,
            previous_until: None,
            disabled_at: (!new.is_active).then_some(now),
            disabled_reason: (!new.is_active).then(|| PAUSED.to_owned()),
            failing_since: None,
            created_at: now,
            updated_at: now,
        };
        self.insert_webhook(&mut tx, &record).await?;
        self.insert_audit(&mut tx, &audit, KIND, &record.id).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Makes the endpoint of a channel or an agent loop, in its owner's transaction. It is not listed, and hears
    /// what [`Workspace::event_for`] names it for. Mint the id first, then the secret:
    /// [`credential::webhook::mint_sealed`].
    pub(crate) async fn insert_owned_webhook(
        &self,
        tx: &mut Tx,
        id: WebhookId,
        owner: &str,
        url: &str,
        secret_sealed: Vec<u8>,
    ) -> Result<(), StoreError> {
        let now = self.store.now();
        let record = WebhookRecord {
            id,
            owner: Some(owner.to_owned()),
            url: url.to_owned(),
            events: Some(Vec::new()),
            description: None,
            secret_sealed,
            previous_sealed: None,
            previous_until: None,
            disabled_at: None,
            disabled_reason: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
        };
        self.insert_webhook(tx, &record).await
    }

    /// Gives the endpoint of a channel or an agent loop another address, and turns it on if it was disabled.
    pub(crate) async fn update_owned_webhook(&self, tx: &mut Tx, id: WebhookId, url: &str) -> Result<(), StoreError> {
        let mut record = self.lock_webhook(tx, id, true).await?;
        url.clone_into(&mut record.url);
        (record.disabled_at, record.disabled_reason, record.failing_since) = (None, None, None);
        self.write_webhook(tx, &mut record).await
    }

    /// Gives the endpoint of a channel or an agent loop another secret; the one before signs along until then, if at
    /// all.
    pub(crate) async fn rotate_owned_webhook(
        &self,
        tx: &mut Tx,
        id: WebhookId,
        secret_sealed: Vec<u8>,
        previous_until: Option<Millis>,
    ) -> Result<(), StoreError> {
        let mut record = self.lock_webhook(tx, id, true).await?;
        record.rotate(secret_sealed, previous_until);
        self.write_webhook(tx, &mut record).await
    }

    /// Deletes the endpoint of a channel or an agent loop, with what was not delivered yet.
    pub(crate) async fn delete_owned_webhook(&self, tx: &mut Tx, id: WebhookId) -> Result<(), StoreError> {
        tx.change(self.own(&sql::DELETE_OWNED_WEBHOOK).id(id)).await
    }

    /// The endpoint of a channel or an agent loop.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn owned_webhook(&self, id: WebhookId) -> Result<WebhookRecord, StoreError> {
        self.one(self.own(&sql::OWNED_WEBHOOK).id(id), webhook_record).await
    }

    /// An endpoint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn webhook(&self, id: WebhookId) -> Result<WebhookRecord, StoreError> {
        self.one(self.own(&sql::WEBHOOK).id(id), webhook_record).await
    }

    /// A page of endpoints, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn webhooks(&self, page: PageRequest) -> Result<Page<WebhookRecord>, StoreError> {
        self.page(limits(self.own(&sql::WEBHOOKS), page), self.own(&sql::WEBHOOK_COUNT), webhook_record).await
    }

    /// Changes an endpoint. One that is turned off forgets what was not delivered yet as failed; one that is turned
    /// on begins anew. Another address has another secret: whoever is there proves nothing to who was there before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_webhook(
        &self,
        id: WebhookId,
        change: WebhookChange,
        audit: AuditEntry<'_>,
    ) -> Result<WebhookRecord, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let mut record = self.lock_webhook(&mut tx, id, false).await?;
        if let Some(url) = change.url.filter(|url| *url != record.url) {
            record.url = url;
            if let Some(sealed) = change.secret_sealed {
                record.secret_sealed = sealed;
                (record.previous_sealed, record.previous_until) = (None, None);
            }
        }
        record.events = change.events.unwrap_or(record.events);
        record.description = change.description.unwrap_or(record.description);
        match change.is_active {
            Some(true) => (record.disabled_at, record.disabled_reason, record.failing_since) = (None, None, None),
            Some(false) if record.disabled_at.is_none() => {
                (record.disabled_at, record.disabled_reason) = (Some(now), Some(PAUSED.to_owned()));
                tx.execute(self.own(&sql::FAIL_DELIVERIES).id(id).time(now)).await?;
            }
            Some(false) | None => {}
        }
        self.write_webhook(&mut tx, &mut record).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Gives an endpoint another secret; the one before signs along until then, if at all. One that is still signing
    /// along from the rotation before goes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rotate_webhook(
        &self,
        id: WebhookId,
        secret_sealed: Vec<u8>,
        previous_until: Option<Millis>,
        audit: AuditEntry<'_>,
    ) -> Result<WebhookRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let mut record = self.lock_webhook(&mut tx, id, false).await?;
        record.rotate(secret_sealed, previous_until);
        self.write_webhook(&mut tx, &mut record).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Deletes an endpoint, with what was not delivered yet and what is known of attempts.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_webhook(&self, id: WebhookId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::DELETE_WEBHOOK).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    /// Writes an event for one endpoint of the list alone, whatever it listens to: its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `disabled`.
    pub async fn test_webhook(
        &self,
        id: WebhookId,
        kind: &str,
        data: &Value,
        audit: AuditEntry<'_>,
    ) -> Result<EventId, StoreError> {
        let mut tx = self.store.begin().await?;
        self.lock_webhook(&mut tx, id, false).await?;
        let event = self.insert_event_for(&mut tx, id, kind, data).await?.ok_or(StoreError::Conflict("disabled"))?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(event)
    }

    /// Disables an endpoint that answers no more, and tells everybody else; false when it was disabled before.
    pub(crate) async fn disable_webhook(
        &self,
        tx: &mut Tx,
        record: &WebhookRecord,
        reason: &'static str,
        now: Millis,
    ) -> Result<bool, StoreError> {
        if tx.execute(self.own(&sql::DISABLE_WEBHOOK).id(record.id).time(now).text(reason)).await? == 0 {
            return Ok(false);
        }
        tx.execute(self.own(&sql::FAIL_DELIVERIES).id(record.id).time(now)).await?;
        let actor = access::Actor::system();
        let audit = AuditEntry { actor: &actor, action: "webhook.disabled", detail: Some(json!({"reason": reason})) };
        self.insert_audit(tx, &audit, KIND, &record.id).await?;
        // Without the address: it may hold a secret that only those who manage endpoints see.
        let data = json!({
            "id": record.id, "owner_id": record.owner, "description": record.description, "status": "disabled",
            "disabled_reason": reason, "disabled_at": now, "failing_since": record.failing_since,
        });
        self.event(tx, super::EventKind::WebhookDisabled, &data).await?;
        Ok(true)
    }

    pub(crate) async fn lock_webhook(
        &self,
        tx: &mut Tx,
        id: WebhookId,
        is_owned: bool,
    ) -> Result<WebhookRecord, StoreError> {
        let row = tx.row(self.own(&sql::LOCK_WEBHOOK).id(id)).await?;
        let record = webhook_record(&row.ok_or(StoreError::NotFound)?)?;
        if record.owner.is_some() == is_owned { Ok(record) } else { Err(StoreError::NotFound) }
    }

    async fn insert_webhook(&self, tx: &mut Tx, record: &WebhookRecord) -> Result<(), StoreError> {
        let insert = self.own(&sql::INSERT_WEBHOOK).id(record.id).maybe_text(record.owner.as_deref());
        let insert = insert.text(&record.url).text(stored(record.events.as_deref()));
        let insert = insert.maybe_text(record.description.as_deref()).blob(record.secret_sealed.clone());
        let insert = insert.maybe_time(record.disabled_at).maybe_text(record.disabled_reason.as_deref());
        tx.execute(insert.time(record.created_at)).await.map(|_| ())
    }

    async fn write_webhook(&self, tx: &mut Tx, record: &mut WebhookRecord) -> Result<(), StoreError> {
        record.updated_at = self.store.now();
        let update: Bound = self.own(&sql::UPDATE_WEBHOOK).id(record.id).text(&record.url);
        let update = update.text(stored(record.events.as_deref())).maybe_text(record.description.as_deref());
        let update = update.blob(record.secret_sealed.clone()).maybe_blob(record.previous_sealed.clone());
        let update = update.maybe_time(record.previous_until).maybe_time(record.disabled_at);
        let update = update.maybe_text(record.disabled_reason.as_deref()).maybe_time(record.failing_since);
        tx.change(update.time(record.updated_at)).await
    }
}

/// `*`, or the kinds with a comma before and behind each.
fn stored(events: Option<&[String]>) -> String {
    match events {
        None => ALL.to_owned(),
        Some(kinds) => kinds.iter().fold(",".to_owned(), |all, kind| all + kind + ","),
    }
}

pub(crate) fn webhook_record(row: &Row) -> Result<WebhookRecord, StoreError> {
    let events = row.text("events")?;
    let kinds = || events.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect();
    Ok(WebhookRecord {
        id: row.id("id")?,
        owner: row.maybe_string("owner_id")?,
        url: row.string("url")?,
        events: (events != ALL).then(kinds),
        description: row.maybe_string("description")?,
        secret_sealed: row.maybe_blob("secret_sealed")?.unwrap_or_default(),
        previous_sealed: row.maybe_blob("previous_sealed")?,
        previous_until: row.maybe_time("previous_until")?,
        disabled_at: row.maybe_time("disabled_at")?,
        disabled_reason: row.maybe_string("disabled_reason")?,
        failing_since: row.maybe_time("failing_since")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

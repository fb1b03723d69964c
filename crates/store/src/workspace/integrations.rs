use ambient::{BotId, IntegrationId, Millis};

use super::{Workspace, keys::json};
use crate::{
    catalogue::{Bound, bots as sql},
    change::{IntegrationChange, NewIntegration},
    error::StoreError,
    record::{AuditEntry, IntegrationRecord, SealedSecret},
    row::Row,
};

/// What the audit log calls them.
const KIND: &str = "integration";

impl Workspace {
    /// Makes an integration of a bot.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bot.
    pub async fn create_integration(
        &self,
        new: NewIntegration,
        audit: AuditEntry<'_>,
    ) -> Result<IntegrationRecord, StoreError> {
        if let Some(made) = self.made_before(new.id, self.integration(new.id)).await? {
            return Ok(made);
        }
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        // The foreign key carries workspace and environment: another tenant's bot is not there.
        tx.execute(self.insert_integration(&new, now)?).await?;
        self.insert_audit(&mut tx, &audit, KIND, &new.id).await?;
        tx.commit().await?;
        Ok(IntegrationRecord {
            id: new.id,
            bot: new.bot,
            name: new.name,
            kind: new.kind,
            url: new.url,
            model: new.model,
            headers_sealed: new.headers_sealed,
            header_names: new.header_names,
            timeout_seconds: new.timeout_seconds,
            weight: new.weight,
            fallback: new.fallback,
            secret: SealedSecret { current: new.secret_sealed, ..SealedSecret::default() },
            created_at: now,
            updated_at: now,
        })
    }

    /// An integration.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn integration(&self, id: IntegrationId) -> Result<IntegrationRecord, StoreError> {
        self.one(self.own(&sql::INTEGRATION).id(id), integration_record).await
    }

    /// Every integration of a bot, the oldest first; none when there is no such bot.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn integrations(&self, bot: BotId) -> Result<Vec<IntegrationRecord>, StoreError> {
        let rows = self.store.rows(self.own(&sql::INTEGRATIONS_OF_BOT).id(bot)).await?;
        rows.iter().map(integration_record).collect()
    }

    /// Those of every bot from `first` to `last`, the oldest of each first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn integrations_of_bots(&self, first: BotId, last: BotId) -> Result<Vec<IntegrationRecord>, StoreError> {
        let rows = self.store.rows(self.own(&sql::INTEGRATIONS_OF_BOTS).id(first).id(last)).await?;
        rows.iter().map(integration_record).collect()
    }

    /// Changes an integration.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_integration(
        &self,
        id: IntegrationId,
        change: IntegrationChange,
        audit: AuditEntry<'_>,
    ) -> Result<IntegrationRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let row = tx.row(self.own(&sql::LOCK_INTEGRATION).id(id).time(self.store.now())).await?;
        let mut integration = integration_record(&row.ok_or(StoreError::NotFound)?)?;
        integration.name = change.name.unwrap_or(integration.name);
        integration.kind = change.kind.unwrap_or(integration.kind);
        integration.url = change.url.unwrap_or(integration.url);
        integration.model = change.model.unwrap_or(integration.model);
        if let Some((sealed, names)) = change.headers {
            (integration.headers_sealed, integration.header_names) = (sealed, names);
        }
        integration.timeout_seconds = change.timeout_seconds.unwrap_or(integration.timeout_seconds);
        integration.weight = change.weight.unwrap_or(integration.weight);
        integration.fallback = change.fallback.unwrap_or(integration.fallback);
        integration.secret = change.secret.unwrap_or(integration.secret);
        let update = self.own(&sql::UPDATE_INTEGRATION).id(id).text(&integration.name).text(&integration.kind);
        let update = update.maybe_text(integration.url.as_deref()).maybe_text(integration.model.as_deref());
        let update = update.maybe_blob(integration.headers_sealed.clone()).text(json(&integration.header_names)?);
        let update = update.count(integration.timeout_seconds).count(integration.weight);
        let update = update.count(i64::from(integration.fallback)).maybe_blob(integration.secret.current.clone());
        let update = update.maybe_blob(integration.secret.previous.clone());
        tx.change(update.maybe_time(integration.secret.previous_until)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(integration)
    }

    /// Deletes an integration.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_integration(&self, id: IntegrationId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::DELETE_INTEGRATION).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    pub(super) fn insert_integration(&self, new: &NewIntegration, now: Millis) -> Result<Bound, StoreError> {
        let bound = self.own(&sql::INSERT_INTEGRATION).id(new.id).id(new.bot).text(&new.name).text(&new.kind);
        let bound = bound.maybe_text(new.url.as_deref()).maybe_text(new.model.as_deref());
        let bound = bound.maybe_blob(new.headers_sealed.clone()).text(json(&new.header_names)?);
        let bound = bound.count(new.timeout_seconds).count(new.weight).count(i64::from(new.fallback));
        Ok(bound.maybe_blob(new.secret_sealed.clone()).time(now))
    }
}

fn integration_record(row: &Row) -> Result<IntegrationRecord, StoreError> {
    Ok(IntegrationRecord {
        id: row.id("id")?,
        bot: row.id("bot_id")?,
        name: row.string("name")?,
        kind: row.string("kind")?,
        url: row.maybe_string("url")?,
        model: row.maybe_string("model")?,
        headers_sealed: row.maybe_blob("headers_sealed")?,
        header_names: row.json("header_names")?,
        timeout_seconds: row.count("timeout_seconds")?,
        weight: row.count("weight")?,
        fallback: row.count::<i64>("fallback")? != 0,
        secret: SealedSecret::read(row)?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

use ambient::{BotId, IntegrationId};

use super::{Workspace, limits};
use crate::{
    catalogue::bots as sql,
    change::{BotChange, NewBot, NewIntegration},
    error::StoreError,
    record::{AuditEntry, BotRecord, Page, PageRequest},
    row::Row,
};

/// What the audit log calls them.
const KIND: &str = "bot";

impl Workspace {
    /// Makes a bot that echoes: its first integration is made with it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn create_bot(&self, new: NewBot, audit: AuditEntry<'_>) -> Result<BotRecord, StoreError> {
        let now = self.store.now();
        let id = self.new_id()?;
        if let Some(made) = self.made_before(id, self.bot(id)).await? {
            return Ok(made);
        }
        let bot = BotRecord {
            id,
            name: new.name,
            description: new.description,
            greeting: new.greeting,
            instructions: new.instructions,
            architecture: new.architecture,
            context_messages: new.context_messages,
            created_at: now,
            updated_at: now,
        };
        let echo = NewIntegration {
            id: IntegrationId::mint(self.store.clock(), self.store.random())?,
            bot: bot.id,
            name: "echo".to_owned(),
            kind: "echo".to_owned(),
            url: None,
            model: None,
            headers_sealed: None,
            header_names: Vec::new(),
            timeout_seconds: 30,
            weight: 1,
            fallback: false,
            secret_sealed: None,
        };
        let mut tx = self.store.begin().await?;
        let insert = self.own(&sql::INSERT_BOT).id(bot.id).text(&bot.name).maybe_text(bot.description.as_deref());
        let insert = insert.maybe_text(bot.greeting.as_deref()).maybe_text(bot.instructions.as_deref());
        tx.execute(insert.text(&bot.architecture).count(bot.context_messages).time(now)).await?;
        tx.execute(self.insert_integration(&echo, now)?).await?;
        self.insert_audit(&mut tx, &audit, KIND, &bot.id).await?;
        tx.commit().await?;
        Ok(bot)
    }

    /// A bot.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn bot(&self, id: BotId) -> Result<BotRecord, StoreError> {
        self.one(self.own(&sql::BOT).id(id), bot_record).await
    }

    /// A page of bots, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn bots(&self, page: PageRequest) -> Result<Page<BotRecord>, StoreError> {
        self.page(limits(self.own(&sql::BOTS), page), self.own(&sql::BOT_COUNT), bot_record).await
    }

    /// Changes a bot.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_bot(
        &self,
        id: BotId,
        change: BotChange,
        audit: AuditEntry<'_>,
    ) -> Result<BotRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let row = tx.row(self.own(&sql::LOCK_BOT).id(id).time(self.store.now())).await?;
        let mut bot = bot_record(&row.ok_or(StoreError::NotFound)?)?;
        bot.name = change.name.unwrap_or(bot.name);
        bot.description = change.description.unwrap_or(bot.description);
        bot.greeting = change.greeting.unwrap_or(bot.greeting);
        bot.instructions = change.instructions.unwrap_or(bot.instructions);
        bot.architecture = change.architecture.unwrap_or(bot.architecture);
        bot.context_messages = change.context_messages.unwrap_or(bot.context_messages);
        let update = self.own(&sql::UPDATE_BOT).id(id).text(&bot.name).maybe_text(bot.description.as_deref());
        let update = update.maybe_text(bot.greeting.as_deref()).maybe_text(bot.instructions.as_deref());
        tx.change(update.text(&bot.architecture).count(bot.context_messages)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(bot)
    }

    /// Deletes a bot with its integrations, channels and agent loops. Its conversations stay readable.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_bot(&self, id: BotId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::DELETE_BOT).id(id)).await?;
        tx.execute(self.own(&sql::DELETE_OWNERLESS_WEBHOOKS)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }
}

fn bot_record(row: &Row) -> Result<BotRecord, StoreError> {
    Ok(BotRecord {
        id: row.id("id")?,
        name: row.string("name")?,
        description: row.maybe_string("description")?,
        greeting: row.maybe_string("greeting")?,
        instructions: row.maybe_string("instructions")?,
        architecture: row.string("architecture")?,
        context_messages: row.count("context_messages")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

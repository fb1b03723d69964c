use ambient::{BotId, ConversationId, Millis};

use super::{EventKind, Workspace, limits};
use crate::{
    catalogue::conversations as sql,
    change::NewConversation,
    error::StoreError,
    record::{AuditEntry, ConversationRecord, Page, PageRequest},
    row::Row,
    tx::Tx,
};

impl Workspace {
    /// Opens a conversation with a bot.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bot.
    pub async fn create_conversation(&self, new: NewConversation) -> Result<ConversationRecord, StoreError> {
        self.create_conversation_as(ConversationId::mint(self.store.clock(), self.store.random())?, new).await
    }

    /// Opens a conversation under an id of [`Workspace::new_id`]: what an attempt before has opened is answered as
    /// it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bot.
    pub async fn create_conversation_as(
        &self,
        id: ConversationId,
        new: NewConversation,
    ) -> Result<ConversationRecord, StoreError> {
        if let Some(made) = self.made_before(id, self.conversation(id)).await? {
            return Ok(made);
        }
        let mut tx = self.store.begin().await?;
        let made = self.insert_conversation(&mut tx, id, new).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Opens it in a transaction of the caller's.
    pub(super) async fn insert_conversation(
        &self,
        tx: &mut Tx,
        id: ConversationId,
        new: NewConversation,
    ) -> Result<ConversationRecord, StoreError> {
        // Its id's own, so that a period of time is a range of ids.
        let now = id.0.time();
        let insert = self.own(&sql::INSERT_CONVERSATION).id(new.bot).id(id).text(&new.channel).maybe_id(new.key);
        let insert = insert.maybe_text(new.user_identifier.as_deref()).maybe_id(new.metadata.as_ref()).time(now);
        tx.change(insert.maybe_id(new.channel_id)).await?;
        let opened = ConversationRecord {
            id,
            bot: new.bot,
            channel: new.channel,
            key: new.key,
            user_identifier: new.user_identifier,
            metadata: new.metadata,
            channel_id: new.channel_id,
            created_at: now,
            updated_at: now,
            ended_at: None,
            message_count: 0,
        };
        self.event(tx, EventKind::ConversationCreated, &opened.told()).await?;
        Ok(opened)
    }

    /// A conversation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn conversation(&self, id: ConversationId) -> Result<ConversationRecord, StoreError> {
        self.one(self.own(&sql::CONVERSATION).id(id), conversation_record).await
    }

    /// A page of conversations, the newest first; of one bot, if asked.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn conversations(
        &self,
        page: PageRequest,
        bot: Option<BotId>,
    ) -> Result<Page<ConversationRecord>, StoreError> {
        let (rows, total) = match bot {
            None => (limits(self.own(&sql::CONVERSATIONS), page), self.own(&sql::CONVERSATION_COUNT)),
            Some(bot) => (
                limits(self.own(&sql::CONVERSATIONS_OF_BOT), page).id(bot),
                self.own(&sql::CONVERSATION_COUNT_OF_BOT).id(bot),
            ),
        };
        self.page(rows, total, conversation_record).await
    }

    /// Deletes a conversation and its messages, with what endpoints were told of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_conversation(&self, id: ConversationId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::DELETE_CONVERSATION).id(id)).await?;
        self.forget_events(&mut tx, id).await?;
        self.insert_audit(&mut tx, &audit, "conversation", &id).await?;
        tx.commit().await
    }

    /// Ends a conversation; whether it was still open. One that has ended is left alone, and nothing
    /// is logged.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn end_conversation(
        &self,
        id: ConversationId,
        now: Millis,
        audit: AuditEntry<'_>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        if tx.execute(self.own(&sql::END_CONVERSATION).id(id).time(now)).await? > 0 {
            self.insert_audit(&mut tx, &audit, "conversation", &id).await?;
            let ended = tx.row(self.own(&sql::CONVERSATION).id(id)).await?.ok_or(StoreError::NotFound)?;
            self.event(&mut tx, EventKind::SessionEnded, &conversation_record(&ended)?.told()).await?;
            tx.commit().await?;
            return Ok(true);
        }
        drop(tx);
        self.conversation(id).await.map(|_| false)
    }

    /// Notes that something happened in a conversation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn touch_conversation(&self, id: ConversationId, now: Millis) -> Result<(), StoreError> {
        match self.store.execute(self.own(&sql::TOUCH_CONVERSATION).id(id).time(now)).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }
}

pub(super) fn conversation_record(row: &Row) -> Result<ConversationRecord, StoreError> {
    Ok(ConversationRecord {
        id: row.id("id")?,
        bot: row.id("bot_id")?,
        channel: row.string("channel")?,
        key: row.maybe_id("key_id")?,
        user_identifier: row.maybe_string("user_identifier")?,
        metadata: row.maybe_json("metadata")?,
        channel_id: row.maybe_id("channel_id")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        ended_at: row.maybe_time("ended_at")?,
        message_count: row.count("message_count")?,
    })
}

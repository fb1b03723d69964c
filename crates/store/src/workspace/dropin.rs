use ambient::{BotId, ConversationId, KeyId};

use super::{EventKind, Workspace, conversations::conversation_record};
use crate::{
    catalogue::{Bound, Statement, conversations, dropin as sql},
    error::StoreError,
    record::{NamedConversation, Page},
    row::Row,
};

/// Which door these conversations come through.
const CHANNEL: &str = "dropin";

impl Workspace {
    /// The conversation that `owner` (without a colon) calls `name`, made when there is none, also when two
    /// ask at once. From now on `bot` answers in it, and it is open, whatever was before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bot.
    pub async fn conversation_by_name(
        &self,
        owner: &str,
        name: &str,
        bot: BotId,
        key: Option<KeyId>,
    ) -> Result<ConversationId, StoreError> {
        let external = format!("{owner}:{name}");
        // Twice: whoever loses the race for the name finds the winner's conversation.
        for _ in 0..2 {
            let found = self.store.row(self.own(&sql::CONVERSATION_BY_NAME).text(CHANNEL).text(&external)).await?;
            if let Some(row) = found {
                return self.resume(&row, bot).await;
            }
            let id = ConversationId::mint(self.store.clock(), self.store.random())?;
            let insert = self.own(&sql::INSERT_NAMED_CONVERSATION).id(bot).id(id).text(CHANNEL).text(&external);
            let mut tx = self.store.begin().await?;
            if tx.execute(insert.maybe_id(key).time(id.0.time())).await? > 0 {
                let opened = tx.row(self.own(&conversations::CONVERSATION).id(id)).await?;
                let opened = conversation_record(&opened.ok_or(StoreError::NotFound)?)?;
                self.event(&mut tx, EventKind::ConversationCreated, &opened.told()).await?;
                tx.commit().await?;
                return Ok(id);
            }
        }
        // The name is free and nothing was inserted.
        Err(StoreError::NotFound)
    }

    /// Whether `owner` calls a conversation `name` at this moment.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn has_named(&self, owner: &str, name: &str) -> Result<bool, StoreError> {
        let look = self.own(&sql::CONVERSATION_BY_NAME).text(CHANNEL).text(format!("{owner}:{name}"));
        Ok(self.store.row(look).await?.is_some())
    }

    async fn resume(&self, row: &Row, bot: BotId) -> Result<ConversationId, StoreError> {
        let id: ConversationId = row.id("id")?;
        let answers: BotId = row.id("bot_id")?;
        if answers == bot && row.maybe_time("ended_at")?.is_none() {
            return Ok(id);
        }
        match self.store.execute(self.own(&sql::RESUME_CONVERSATION).id(id).id(bot)).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(id),
        }
    }

    /// The conversations that `owner` has named, the one that was updated last first: `limit` of them, and
    /// how many there are in all.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn named_conversations(&self, owner: &str, limit: u32) -> Result<Page<NamedConversation>, StoreError> {
        let rows = self.named(&sql::NAMED_CONVERSATIONS, owner).count(limit);
        self.page(rows, self.named(&sql::NAMED_CONVERSATION_COUNT, owner), |row| named_record(row, owner)).await
    }

    /// One of [`Workspace::named_conversations`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also when another owner has named it.
    pub async fn named_conversation(&self, owner: &str, id: ConversationId) -> Result<NamedConversation, StoreError> {
        self.one(self.named(&sql::NAMED_CONVERSATION, owner).id(id), |row| named_record(row, owner)).await
    }

    /// The bot that was made first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn oldest_bot(&self) -> Result<Option<BotId>, StoreError> {
        self.store.row(self.own(&sql::OLDEST_BOT)).await?.map(|row| row.id("id")).transpose()
    }

    /// `;` is the letter after `:`, so these are all names of the owner and no other's.
    fn named(&self, statement: &Statement, owner: &str) -> Bound {
        self.own(statement).text(CHANNEL).text(format!("{owner}:")).text(format!("{owner};"))
    }
}

fn named_record(row: &Row, owner: &str) -> Result<NamedConversation, StoreError> {
    let name = row.string("external_id")?.split_off(owner.len() + 1);
    Ok(NamedConversation {
        id: row.id("id")?,
        name,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        last_message: row.maybe_string("last_message")?.unwrap_or_default(),
    })
}

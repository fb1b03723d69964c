use ambient::{ConversationId, MessageId};

use super::{EventKind, Workspace, limits};
use crate::{
    catalogue::conversations as sql,
    error::StoreError,
    record::{MessageRecord, Page, PageRequest},
    row::Row,
    tx::Tx,
};

/// The most text that is read of a conversation for one prompt or one history, in bytes: a message may
/// have as much, and a hundred of them are asked for.
const MAX_TEXT: u32 = 1024 * 1024;

impl Workspace {
    /// Appends a message: it gets the next place, without gaps, also when two are appended at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the conversation; [`StoreError::Conflict`] `ended` when the role is
    /// `user` and the conversation is over. A reply that is still running then may be kept.
    pub async fn append_message(
        &self,
        conversation: ConversationId,
        role: &str,
        content: &str,
        status: &str,
        token_count: Option<u64>,
    ) -> Result<MessageRecord, StoreError> {
        self.append(conversation, (role, content, status), token_count, None).await
    }

    /// Appends a message of the user, once for each `client_key` in its conversation.
    ///
    /// # Errors
    /// As [`Workspace::append_message`], and [`StoreError::Conflict`] `client_key` when it is there already.
    pub async fn append_message_once(
        &self,
        conversation: ConversationId,
        content: &str,
        token_count: Option<u64>,
        client_key: &str,
    ) -> Result<MessageRecord, StoreError> {
        self.append(conversation, ("user", content, "complete"), token_count, Some(client_key)).await
    }

    /// The message that its sender called so.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn message_by_client_key(
        &self,
        conversation: ConversationId,
        client_key: &str,
    ) -> Result<Option<MessageRecord>, StoreError> {
        let named = self.own(&sql::MESSAGE_BY_CLIENT_KEY).id(conversation).text(client_key);
        match self.one(named, message_record).await {
            Ok(message) => Ok(Some(message)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn append(
        &self,
        conversation: ConversationId,
        (role, content, status): (&str, &str, &str),
        token_count: Option<u64>,
        client_key: Option<&str>,
    ) -> Result<MessageRecord, StoreError> {
        let id = MessageId::mint(self.store.clock(), self.store.random())?;
        let mut tx = self.store.begin().await?;
        let said = (role, content, status);
        let message = self.insert_message(&mut tx, id, conversation, said, token_count, client_key).await?;
        tx.commit().await?;
        Ok(message)
    }

    /// Appends it in a transaction of the caller's.
    pub(super) async fn insert_message(
        &self,
        tx: &mut Tx,
        id: MessageId,
        conversation: ConversationId,
        (role, content, status): (&str, &str, &str),
        token_count: Option<u64>,
        client_key: Option<&str>,
    ) -> Result<MessageRecord, StoreError> {
        let now = self.store.now();
        let row = tx.row(self.own(&sql::NEXT_POSITION).id(conversation).time(now)).await?;
        let row = row.ok_or(StoreError::NotFound)?;
        if role == "user" && row.maybe_time("ended_at")?.is_some() {
            return Err(StoreError::Conflict("ended"));
        }
        let position: u64 = row.count("message_count")?;
        let insert = self.own(&sql::INSERT_MESSAGE).id(conversation).count(position).id(id);
        tx.execute(
            insert.text(role).text(content).text(status).maybe_count(token_count).time(now).maybe_text(client_key),
        )
        .await?;
        let message = MessageRecord {
            id,
            conversation,
            position,
            role: role.to_owned(),
            content: content.to_owned(),
            status: status.to_owned(),
            token_count,
            created_at: now,
        };
        self.event(tx, EventKind::MessageCreated, &message.told()).await?;
        Ok(message)
    }

    /// A page of messages, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the conversation.
    pub async fn messages(
        &self,
        conversation: ConversationId,
        page: PageRequest,
    ) -> Result<Page<MessageRecord>, StoreError> {
        let total = self.conversation(conversation).await?.message_count;
        let rows = self.store.rows(limits(self.own(&sql::MESSAGES).id(conversation), page)).await?;
        Ok(Page::exact(rows.iter().map(message_record).collect::<Result<_, _>>()?, total))
    }

    /// What was said after a message, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the conversation or the message.
    pub async fn messages_after(
        &self,
        conversation: ConversationId,
        after: MessageId,
        limit: u32,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let position = self.own(&sql::POSITION_OF).id(conversation).id(after);
        let position: u64 = self.one(position, |row| row.count("position")).await?;
        let rows = self.own(&sql::MESSAGES_AFTER).id(conversation).count(limit).count(position);
        self.store.rows(rows).await?.iter().map(message_record).collect()
    }

    /// The last messages, the oldest of them first, with at most 1 MiB of text: the newest are kept. None
    /// when there is no such conversation.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn last_messages(
        &self,
        conversation: ConversationId,
        limit: u32,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let rows = self.store.rows(self.own(&sql::LAST_MESSAGES).id(conversation).count(limit).count(MAX_TEXT)).await?;
        rows.iter().rev().map(message_record).collect()
    }
}

pub(super) fn message_record(row: &Row) -> Result<MessageRecord, StoreError> {
    Ok(MessageRecord {
        id: row.id("id")?,
        conversation: row.id("conversation_id")?,
        position: row.count("position")?,
        role: row.string("role")?,
        content: row.string("content")?,
        status: row.string("status")?,
        token_count: row.maybe_count("token_count")?,
        created_at: row.time("created_at")?,
    })
}

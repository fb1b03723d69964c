use access::Tenant;
use ambient::{BotId, ChannelId, ConversationId, MessageId, Millis};
use serde_json::{Value, json};

use super::{Workspace, deployments::tenant, limits};
use crate::{
    catalogue::channels as sql,
    change::NewConversation,
    channels::{
        ChannelChange, ChannelRecord, ChannelTurn, DueChannelMessage, NewChannel, NewChannelMessage, TakenMessage,
    },
    error::StoreError,
    record::{AuditEntry, MessageRecord, Page, PageRequest, SealedSecret},
    row::Row,
    store::Store,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "channel";
/// The door that conversations of a webhook channel came through.
const DOOR: &str = "webhook";
/// What is sent when a message is answered.
const REPLY: &str = "channel.reply";
/// And when it never will be.
const FAILED: &str = "channel.failed";

/// The most channels of one environment of a workspace; a few more when they are made at the same moment.
pub const MAX_CHANNELS: u64 = 500;
/// The most messages of channels that wait in one environment of a workspace.
const MAX_WAITING: u64 = 1000;
/// And in one conversation.
const MAX_WAITING_OF_CONVERSATION: u64 = 20;
/// Senders try again for a day or two, and then no more.
const DELIVERY_TTL: i64 = 3 * 24 * 3600 * 1000;
/// A message that was signed without a time can be sent again at any time.
const UNTIMED_TTL: i64 = 400 * 24 * 3600 * 1000;

impl Workspace {
    /// Makes a channel of a bot, with the endpoint that its replies go to.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bot; [`StoreError::Conflict`] `channels` when there are [`MAX_CHANNELS`].
    pub async fn create_channel(&self, new: NewChannel, audit: AuditEntry<'_>) -> Result<ChannelRecord, StoreError> {
        if let Some(made) = self.made_before(new.id, self.channel(new.id)).await? {
            return Ok(made);
        }
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        if tx.total(self.own(&sql::CHANNEL_COUNT)).await? >= MAX_CHANNELS {
            return Err(StoreError::Conflict("channels"));
        }
        let webhook = new.reply.as_ref().map(|reply| reply.id);
        if let Some(reply) = new.reply {
            let owner = new.id.to_string();
            self.insert_owned_webhook(&mut tx, reply.id, &owner, &reply.url, reply.secret_sealed).await?;
        }
        let insert = self.own(&sql::INSERT_CHANNEL).id(new.id).id(new.bot).text(new.kind).text(new.name);
        let insert = insert.text(new.settings).maybe_blob(new.secret_sealed).maybe_id(webhook);
        tx.execute(insert.maybe_time((!new.is_active).then_some(now)).time(now)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &new.id).await?;
        let made = self.read_channel(&mut tx, new.id).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// A channel.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn channel(&self, id: ChannelId) -> Result<ChannelRecord, StoreError> {
        self.one(self.own(&sql::CHANNEL).id(id), channel_record).await
    }

    /// A page of the channels of a bot, the newest first; none when there is no such bot.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn channels(&self, bot: BotId, page: PageRequest) -> Result<Page<ChannelRecord>, StoreError> {
        let rows = limits(self.own(&sql::CHANNELS_OF_BOT).id(bot), page);
        self.page(rows, self.own(&sql::CHANNEL_COUNT_OF_BOT).id(bot), channel_record).await
    }

    /// Changes a channel.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `kind` for a `reply_url` of one that sends no replies.
    pub async fn update_channel(
        &self,
        id: ChannelId,
        change: ChannelChange,
        audit: AuditEntry<'_>,
    ) -> Result<ChannelRecord, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let mut channel = self.lock_channel(&mut tx, id).await?;
        channel.name = change.name.unwrap_or(channel.name);
        channel.settings = change.settings.unwrap_or(channel.settings);
        match change.is_active {
            Some(true) => channel.disabled_at = None,
            Some(false) => channel.disabled_at = channel.disabled_at.or(Some(now)),
            None => {}
        }
        if let Some(url) = change.reply_url {
            let webhook = channel.webhook.ok_or(StoreError::Conflict("kind"))?;
            self.update_owned_webhook(&mut tx, webhook, &url).await?;
        }
        self.write_channel(&mut tx, &channel, now).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let changed = self.read_channel(&mut tx, id).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Gives a channel other secrets, for what comes in and for what goes out; those before count until then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `kind` for one that has none.
    pub async fn rotate_channel(
        &self,
        id: ChannelId,
        (secret_sealed, reply_sealed): (Vec<u8>, Vec<u8>),
        previous_until: Option<Millis>,
        audit: AuditEntry<'_>,
    ) -> Result<ChannelRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let mut channel = self.lock_channel(&mut tx, id).await?;
        let webhook = channel.webhook.ok_or(StoreError::Conflict("kind"))?;
        channel.secret = channel.secret.rotate(secret_sealed, previous_until);
        self.write_channel(&mut tx, &channel, self.store.now()).await?;
        self.rotate_owned_webhook(&mut tx, webhook, reply_sealed, previous_until).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let changed = self.read_channel(&mut tx, id).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Deletes a channel, with what waits in it and what was not delivered yet. Its conversations stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_channel(&self, id: ChannelId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let channel = self.lock_channel(&mut tx, id).await?;
        tx.change(self.own(&sql::DELETE_CHANNEL).id(id)).await?;
        if let Some(webhook) = channel.webhook {
            self.delete_owned_webhook(&mut tx, webhook).await?;
        }
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    /// Takes a message in, once for each delivery; it waits for its turn from then on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the channel, one that is off, and a conversation that is not this user's in it;
    /// [`StoreError::Conflict`] `ended` for a conversation that is over, `waiting` when too many wait.
    pub async fn take_channel_message(
        &self,
        channel: ChannelId,
        new: NewChannelMessage,
    ) -> Result<TakenMessage, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let record = self.lock_channel(&mut tx, channel).await?;
        if let Some(row) = tx.row(self.own(&sql::TAKEN_MESSAGE).id(channel).text(&new.delivery)).await? {
            let (conversation, message) = (row.id("conversation_id")?, row.id("message_id")?);
            return Ok(TakenMessage { conversation, message, is_duplicate: true });
        }
        if record.disabled_at.is_some() {
            return Err(StoreError::NotFound);
        }
        if tx.total(self.own(&sql::WAITING_MESSAGES)).await? >= MAX_WAITING {
            return Err(StoreError::Conflict("waiting"));
        }
        let conversation = self.conversation_for(&mut tx, &record, &new).await?;
        let waiting = tx.total(self.own(&sql::WAITING_MESSAGES_OF_CONVERSATION).id(conversation)).await?;
        if waiting >= MAX_WAITING_OF_CONVERSATION {
            return Err(StoreError::Conflict("waiting"));
        }
        let message = MessageId::mint(self.store.clock(), self.store.random())?;
        let insert = self.own(&sql::INSERT_CHANNEL_MESSAGE).id(channel).text(new.delivery).id(conversation);
        tx.execute(insert.id(message).text(new.content).text(new.user_data).time(now)).await?;
        for alias in new.aliases {
            let insert = self.own(&sql::INSERT_CHANNEL_ALIAS).id(channel).text(alias).id(conversation);
            tx.execute(insert.id(message).time(now)).await?;
        }
        tx.commit().await?;
        Ok(TakenMessage { conversation, message, is_duplicate: false })
    }

    async fn conversation_for(
        &self,
        tx: &mut Tx,
        channel: &ChannelRecord,
        new: &NewChannelMessage,
    ) -> Result<ConversationId, StoreError> {
        if let Some(named) = new.conversation {
            let found = self.own(&sql::CONVERSATION_OF_CHANNEL).id(named).id(channel.id).text(&new.user);
            let row = tx.row(found).await?.ok_or(StoreError::NotFound)?;
            return if row.maybe_time("ended_at")?.is_some() { Err(StoreError::Conflict("ended")) } else { Ok(named) };
        }
        if let Some(row) = tx.row(self.own(&sql::CONVERSATION_OF_USER).id(channel.id).text(&new.user)).await? {
            return row.id("id");
        }
        let id = ConversationId::mint(self.store.clock(), self.store.random())?;
        let conversation = NewConversation {
            bot: channel.bot,
            channel: DOOR.to_owned(),
            key: None,
            user_identifier: Some(new.user.clone()),
            metadata: new.metadata.clone(),
            channel_id: Some(channel.id),
        };
        Ok(self.insert_conversation(tx, id, conversation).await?.id)
    }

    /// Says a message of a channel in its conversation: its turn has come. Once.
    ///
    /// # Errors
    /// As [`Workspace::append_message_once`].
    pub async fn append_channel_message(
        &self,
        turn: &ChannelTurn,
        content: &str,
        token_count: Option<u64>,
    ) -> Result<MessageRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let (id, key) = (turn.message, turn.message.to_string());
        let said = ("user", content, "complete");
        let message = self.insert_message(&mut tx, id, turn.conversation, said, token_count, Some(&key)).await?;
        tx.commit().await?;
        Ok(message)
    }

    /// Stores the reply to a message of a channel, and that it is to be sent, in one transaction. Nothing when the
    /// message is over already: it has one reply.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the conversation.
    pub async fn append_channel_reply(
        &self,
        turn: &ChannelTurn,
        content: &str,
        token_count: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let Some(user) = self.finish_channel_message(&mut tx, turn).await? else { return Ok(()) };
        let id = MessageId::mint(self.store.clock(), self.store.random())?;
        let said = ("assistant", content, "complete");
        let reply = self.insert_message(&mut tx, id, turn.conversation, said, token_count, None).await?;
        let message =
            json!({"id": reply.id, "role": reply.role, "content": reply.content, "created_at": reply.created_at});
        let mut data = about(turn, &user);
        data["message"] = message;
        self.send_to_channel(&mut tx, turn, REPLY, &data).await?;
        tx.commit().await
    }

    /// Gives a message of a channel up, and says so where its reply would have gone. Nothing when it is over.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn fail_channel_message(&self, turn: &ChannelTurn, code: &str) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let Some(user) = self.finish_channel_message(&mut tx, turn).await? else { return Ok(()) };
        let mut data = about(turn, &user);
        data["error"] = json!(code);
        self.send_to_channel(&mut tx, turn, FAILED, &data).await?;
        tx.commit().await
    }

    /// Leaves a message for later.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn postpone_channel_message(
        &self,
        turn: &ChannelTurn,
        until: Millis,
        attempts: u32,
    ) -> Result<(), StoreError> {
        let later = self.own(&sql::POSTPONE_CHANNEL_MESSAGE).id(turn.channel).text(&turn.delivery);
        self.store.execute(later.time(until).count(attempts)).await.map(|_| ())
    }

    /// Who sent it; nothing when it is over.
    async fn finish_channel_message(&self, tx: &mut Tx, turn: &ChannelTurn) -> Result<Option<Value>, StoreError> {
        let finish = self.own(&sql::FINISH_CHANNEL_MESSAGE).id(turn.channel).text(&turn.delivery);
        tx.row(finish).await?.map(|row| row.json("user_data")).transpose()
    }

    async fn send_to_channel(
        &self,
        tx: &mut Tx,
        turn: &ChannelTurn,
        kind: &str,
        data: &Value,
    ) -> Result<(), StoreError> {
        if let Some(webhook) = self.read_channel(tx, turn.channel).await?.webhook {
            self.event_for(tx, webhook, kind, data).await?;
        }
        Ok(())
    }

    async fn lock_channel(&self, tx: &mut Tx, id: ChannelId) -> Result<ChannelRecord, StoreError> {
        tx.change(self.own(&sql::LOCK_CHANNEL).id(id)).await?;
        self.read_channel(tx, id).await
    }

    async fn read_channel(&self, tx: &mut Tx, id: ChannelId) -> Result<ChannelRecord, StoreError> {
        channel_record(&tx.row(self.own(&sql::CHANNEL).id(id)).await?.ok_or(StoreError::NotFound)?)
    }

    async fn write_channel(&self, tx: &mut Tx, channel: &ChannelRecord, now: Millis) -> Result<(), StoreError> {
        let update = self.own(&sql::UPDATE_CHANNEL).id(channel.id).text(&channel.name).text(&channel.settings);
        let update = update.maybe_blob(channel.secret.current.clone()).maybe_blob(channel.secret.previous.clone());
        let update = update.maybe_time(channel.secret.previous_until).maybe_time(channel.disabled_at);
        tx.change(update.time(now)).await
    }
}

impl Store {
    /// Whose channel this is.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn tenant_of_channel(&self, id: ChannelId) -> Result<Option<Tenant>, StoreError> {
        self.row(sql::TENANT_OF_CHANNEL.bound().id(id)).await?.map(|row| tenant(&row)).transpose()
    }

    /// Messages of channels that are to be answered by `now`: of each conversation the first that waits, at most
    /// `of_each` of a tenant's environment. The tenants take turns.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn due_channel_messages(
        &self,
        now: Millis,
        of_each: u32,
        limit: u32,
    ) -> Result<Vec<DueChannelMessage>, StoreError> {
        let due = sql::DUE_CHANNEL_MESSAGES.bound().time(now).count(of_each).count(limit);
        let read = |row: &Row| {
            let turn = ChannelTurn {
                channel: row.id("channel_id")?,
                delivery: row.string("delivery_id")?,
                conversation: row.id("conversation_id")?,
                message: row.id("message_id")?,
            };
            let (content, attempts) = (row.string("content")?, row.count("attempts")?);
            Ok(DueChannelMessage { tenant: tenant(row)?, turn, content, attempts })
        };
        self.rows(due).await?.iter().map(read).collect()
    }

    /// When the next one is due after `now`.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn next_channel_message_after(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let row = self.row(sql::NEXT_CHANNEL_MESSAGE.bound().time(now)).await?;
        row.map(|row| row.maybe_time("due_at")).transpose().map(Option::flatten)
    }

    /// Forgets what came in more than three days ago and is over, and of what was signed without a time who sent it;
    /// its name stays for 400 days. How much.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub(crate) async fn sweep_channel_messages(&self, now: Millis) -> Result<u64, StoreError> {
        let old = now.plus(-DELIVERY_TTL);
        let gone = self.execute(sql::SWEEP_CHANNEL_MESSAGES.bound().time(old).time(now.plus(-UNTIMED_TTL))).await?;
        Ok(gone + self.execute(sql::STRIP_CHANNEL_MESSAGES.bound().time(old)).await?)
    }
}

/// What both kinds of delivery say.
fn about(turn: &ChannelTurn, user: &Value) -> Value {
    json!({
        "channel_id": turn.channel, "conversation_id": turn.conversation, "in_reply_to": turn.message, "user": user,
    })
}

fn channel_record(row: &Row) -> Result<ChannelRecord, StoreError> {
    Ok(ChannelRecord {
        id: row.id("id")?,
        bot: row.id("bot_id")?,
        kind: row.string("kind")?,
        name: row.string("name")?,
        settings: row.string("settings")?,
        secret: SealedSecret::read(row)?,
        webhook: row.maybe_id("webhook_id")?,
        reply_url: row.maybe_string("reply_url")?,
        reply_disabled_at: row.maybe_time("reply_disabled_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

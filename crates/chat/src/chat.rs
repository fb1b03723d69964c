use std::{fmt, sync::Arc, time::Duration};

use access::{KeyCaller, SessionCaller, Tenant};
use ambient::{BotId, ChannelId, Clock, ConversationId, Millis, Random};
use cluster::{Cluster, SessionEntry};
use credential::{LiveKit, Secrets, SessionClaims, Tokens};
use serde_json::Value;
use store::{AuditEntry, MessageRecord, NewConversation, Store, Workspace};
use tokio_util::task::TaskTracker;

use crate::{
    ChatError, Credits, channels::Desk, choice::model_of, live::Registry, send::RESUME_GRACE, text::count_words,
    turn::Turns,
};

const MAX_USER_IDENTIFIER: usize = 255;
const MAX_METADATA: usize = 4096;
const MAX_HISTORY: u32 = 100;

/// What [`Chat`] is made of.
pub struct ChatParts {
    /// Where conversations are kept.
    pub store: Store,
    /// Grants and sessions.
    pub cluster: Cluster,
    /// The way out to upstreams.
    pub outbound: outbound::Client,
    /// Seals the headers of integrations.
    pub secrets: Arc<Secrets>,
    /// Signs session tokens.
    pub tokens: Arc<Tokens>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Draws among integrations, makes ids and nonces.
    pub random: Arc<dyn Random>,
    /// Every reply runs on it, so that a stopping server waits until what came is stored.
    pub drain: TaskTracker,
    /// What replies of metered workspaces cost.
    pub credits: Credits,
    /// The LiveKit server of voice sessions, if there is one.
    pub livekit: Option<LiveKit>,
    /// How long a session token lives at most, in milliseconds: 24 hours by the contract, section 2.
    pub session_life_ms: i64,
}

/// Conversations and their replies. Clones share everything.
#[derive(Clone)]
pub struct Chat {
    pub(crate) parts: Arc<ChatParts>,
    pub(crate) turns: Turns,
    pub(crate) live: Registry,
    pub(crate) grace: Duration,
    pub(crate) channels: Arc<Desk>,
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat").finish_non_exhaustive()
    }
}

/// What a session is opened with (seed S2).
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Who answers.
    pub bot: BotId,
    /// The customer's own name for the user, at most 255 characters.
    pub user_identifier: Option<String>,
    /// The customer's own notes: an object of at most 4 KiB of JSON.
    pub metadata: Option<Value>,
    /// The bot's widget channel that it counts to.
    pub channel: Option<ChannelId>,
}

/// An open session.
#[derive(Clone)]
pub struct OpenedSession {
    /// Its conversation.
    pub conversation: ConversationId,
    /// For the end user's browser, for this conversation alone.
    pub token: String,
    /// How long the token lives, in seconds.
    pub expires_in: i64,
    /// The bot's name.
    pub agent_name: String,
    /// The bot's first words, already in the history.
    pub greeting: Option<String>,
    /// What the bot runs on.
    pub agent_model: String,
}

impl fmt::Debug for OpenedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedSession").field("conversation", &self.conversation).finish_non_exhaustive()
    }
}

impl Chat {
    /// Puts it together; nothing runs until somebody calls.
    #[must_use]
    pub fn new(parts: ChatParts) -> Self {
        let live = Registry::new(Arc::clone(&parts.clock));
        Self { parts: Arc::new(parts), turns: Turns::default(), live, grace: RESUME_GRACE, channels: Arc::default() }
    }

    /// Lets a reply that can be resumed go on so long without a reader, instead of ten seconds.
    #[must_use]
    pub fn with_resume_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Opens a conversation with a bot and mints its token, bound to the opener's key, the key's
    /// epoch and the origin that it came from.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] for a bot that is not the opener's, [`ChatError::Invalid`] for a field.
    pub async fn open_session(&self, opener: &KeyCaller, request: OpenSession) -> Result<OpenedSession, ChatError> {
        check_request(&request)?;
        let ChatParts { store, cluster, .. } = &*self.parts;
        let data = store.workspace(opener.tenant);
        let bot = data.bot(request.bot).await?;
        let integrations = data.integrations(bot.id).await?;
        let own_greeting = self.greeting_of(&data, &request).await?;
        let conversation = NewConversation {
            bot: bot.id,
            channel: "session".to_owned(),
            key: Some(opener.key),
            user_identifier: request.user_identifier,
            metadata: request.metadata,
            channel_id: request.channel,
        };
        let conversation = data.create_conversation_as(data.new_id()?, conversation).await?;
        let greeting = own_greeting.or(bot.greeting).filter(|greeting| !greeting.is_empty());
        // After a crash it may have been said already.
        if let Some(greeting) = greeting.as_ref().filter(|_| conversation.message_count == 0) {
            let words = Some(count_words(greeting));
            data.append_message(conversation.id, "assistant", greeting, "complete", words).await?;
        }
        let entry = SessionEntry {
            conversation: conversation.id,
            tenant: opener.tenant,
            key: opener.key,
            epoch: opener.epoch,
            origin: opener.origin.clone(),
        };
        let (token, expires_in) = self.mint(&entry, opener.expires_at)?;
        cluster.open_session(entry);
        Ok(OpenedSession {
            conversation: conversation.id,
            token,
            expires_in,
            agent_name: bot.name,
            greeting,
            agent_model: model_of(&integrations),
        })
    }

    /// What a widget channel says first, instead of its bot.
    async fn greeting_of(&self, data: &Workspace, request: &OpenSession) -> Result<Option<String>, ChatError> {
        let Some(id) = request.channel else { return Ok(None) };
        let channel = data.channel(id).await?;
        if channel.bot != request.bot || channel.kind != "widget" || channel.disabled_at.is_some() {
            return Err(ChatError::NotFound);
        }
        let settings: Value = serde_json::from_str(&channel.settings).map_err(ChatError::unavailable)?;
        Ok(settings["greeting"].as_str().map(str::to_owned))
    }

    /// Another token for the same session, bound to the same key, epoch and origin, and how many seconds it
    /// lives. The one that asks lives on to its own end.
    ///
    /// # Errors
    /// [`ChatError::Ended`] and [`ChatError::Revoked`] when the session died in the meantime.
    pub fn renew(&self, session: &SessionCaller) -> Result<(String, i64), ChatError> {
        let entry = self.parts.cluster.session_entry(session.conversation).ok_or(ChatError::Ended)?;
        let key = self.parts.cluster.key_by_id(session.key).ok_or(ChatError::Revoked)?;
        if entry.key != session.key || entry.epoch != session.epoch {
            return Err(ChatError::Revoked);
        }
        self.mint(&entry, key.expires_at())
    }

    /// A token, and how many seconds it lives: never longer than its key.
    fn mint(&self, entry: &SessionEntry, key_ends: Option<Millis>) -> Result<(String, i64), ChatError> {
        let ChatParts { clock, tokens, session_life_ms, .. } = &*self.parts;
        let now = clock.now();
        let end = now.plus(*session_life_ms);
        let expires_at = key_ends.map_or(end, |key| key.min(end));
        let claims = SessionClaims {
            conversation: entry.conversation,
            workspace: entry.tenant.workspace,
            environment: entry.tenant.environment,
            key: entry.key,
            epoch: entry.epoch,
            origin: entry.origin.as_deref().map(str::to_owned),
            issued_at: now,
            expires_at,
        };
        let token = tokens.sign_session(&claims).map_err(ChatError::unavailable)?;
        Ok((token, expires_at.since(now) / 1000))
    }

    /// The newest `limit` messages (1 to 100), oldest first; none when the conversation was deleted.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when the store cannot be read.
    pub async fn history(&self, session: &SessionCaller, limit: u32) -> Result<Vec<MessageRecord>, ChatError> {
        let data = self.parts.store.workspace(session.tenant);
        Ok(data.last_messages(session.conversation, limit.clamp(1, MAX_HISTORY)).await?)
    }

    /// Ends a session: its token is dead when this returns, and a reply on its way is cut.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] when the conversation was deleted.
    pub async fn end(&self, session: &SessionCaller, audit: AuditEntry<'_>) -> Result<(), ChatError> {
        self.parts.cluster.end_session(session.tenant, session.conversation, audit).await?;
        Ok(())
    }

    /// Deletes a conversation with its messages; its session and a reply on its way are cut.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] when there is none.
    pub async fn delete_conversation(
        &self,
        tenant: Tenant,
        conversation: ConversationId,
        audit: AuditEntry<'_>,
    ) -> Result<(), ChatError> {
        self.parts.store.workspace(tenant).delete_conversation(conversation, audit).await?;
        self.parts.cluster.drop_session(conversation);
        Ok(())
    }
}

fn check_request(request: &OpenSession) -> Result<(), ChatError> {
    if request.user_identifier.as_ref().is_some_and(|user| user.chars().count() > MAX_USER_IDENTIFIER) {
        return Err(ChatError::invalid("user_identifier", "It may have at most 255 characters"));
    }
    match &request.metadata {
        Some(metadata @ Value::Object(_)) if metadata.to_string().len() <= MAX_METADATA => Ok(()),
        Some(_) => Err(ChatError::invalid("metadata", "It must be an object of at most 4096 bytes of JSON")),
        None => Ok(()),
    }
}

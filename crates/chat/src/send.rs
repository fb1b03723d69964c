use std::sync::Arc;

use access::{SessionCaller, Tenant};
use ambient::{ConversationId, KeyId};
use cluster::{CutReason, Grant};

use crate::{Chat, ChatError, EventId, Reply, job::Job, text::count_words};

/// The longest message of an end user, in characters (seed S2).
pub const MAX_MESSAGE: usize = 10_000;

/// Which conversation a message is for, where no session token says it.
#[derive(Clone, Copy, Debug)]
pub struct SayTo {
    /// Whose.
    pub tenant: Tenant,
    /// The conversation.
    pub conversation: ConversationId,
    /// The key that the message came with: when it goes, so does the reply. Without one only the end of the
    /// conversation and of the server cut it.
    pub key: Option<KeyId>,
    /// How many messages the model reads, instead of what the bot says.
    pub context_messages: Option<u32>,
}

/// How a message is sent, besides its text.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// The client's own name for the message, at most 255 bytes: sent again, it is neither stored nor asked
    /// again, and a client that lost its connection has ten seconds to come back for the reply.
    pub client_key: Option<String>,
    /// The last event that the client has seen: the reply goes on after it.
    pub after: Option<EventId>,
}

impl Chat {
    /// Stores the message durably and begins its answer. Waits while an earlier message of the
    /// conversation is answered.
    ///
    /// # Errors
    /// [`ChatError::Busy`] when eight wait already; [`ChatError::Ended`] and [`ChatError::Revoked`]
    /// when the session died, also while waiting; [`ChatError::Invalid`] for an empty or too long text;
    /// [`ChatError::Reused`] for a key that named another text.
    pub async fn send(&self, session: &SessionCaller, text: String, options: SendOptions) -> Result<Reply, ChatError> {
        let grant =
            self.parts.cluster.hold(session.key, Some(session.conversation)).ok_or_else(|| self.gone(session))?;
        let to = SayTo {
            tenant: session.tenant,
            conversation: session.conversation,
            key: Some(session.key),
            context_messages: None,
        };
        self.answer(to, grant, text, options).await
    }

    /// The same for a conversation that no session token opens.
    ///
    /// # Errors
    /// As [`Chat::send`].
    pub async fn say(&self, to: SayTo, text: String, options: SendOptions) -> Result<Reply, ChatError> {
        let grant = self.parts.cluster.hold_conversation(to.conversation, to.key).ok_or(ChatError::Revoked)?;
        self.answer(to, grant, text, options).await
    }

    async fn answer(&self, to: SayTo, grant: Grant, text: String, _options: SendOptions) -> Result<Reply, ChatError> {
        check_text(&text)?;
        let turn = tokio::select! {
            biased;
            reason = grant.cancelled() => return Err(refuse(reason)),
            turn = self.turns.wait(to.conversation) => turn.map_err(|_| ChatError::Busy)?,
        };
        let data = self.parts.store.workspace(to.tenant);
        let conversation = data.conversation(to.conversation).await?;
        let bot = data.bot(conversation.bot).await?;
        let message = data.append_message(to.conversation, "user", &text, "complete", Some(count_words(&text))).await?;
        let (sink, reply) = Reply::channel(message.position);
        let parts = Arc::clone(&self.parts);
        let job = Job { parts, tenant: to.tenant, conversation: to.conversation, bot, text };
        self.parts.drain.spawn(job.run(grant, turn, sink));
        Ok(reply)
    }

    /// Why there is no place in the tree for this session.
    fn gone(&self, session: &SessionCaller) -> ChatError {
        match self.parts.cluster.key_by_id(session.key) {
            Some(key) if key.epoch() == session.epoch => ChatError::Ended,
            _ => ChatError::Revoked,
        }
    }
}

fn check_text(text: &str) -> Result<(), ChatError> {
    if text.trim().is_empty() || text.chars().count() > MAX_MESSAGE {
        return Err(ChatError::invalid("message", "It must have between 1 and 10000 characters"));
    }
    Ok(())
}

fn refuse(reason: CutReason) -> ChatError {
    match reason {
        CutReason::Ended => ChatError::Ended,
        CutReason::Shutdown => ChatError::Stopping,
        CutReason::Revoked | CutReason::Expired | CutReason::Disabled | CutReason::OriginRemoved => ChatError::Revoked,
    }
}

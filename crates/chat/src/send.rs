use std::{pin::pin, sync::Arc, time::Duration};

use access::{SessionCaller, Tenant};
use ambient::ConversationId;
use cluster::{CutReason, Grant, Opener};
use store::{ChannelTurn, StoreError, Workspace};

use crate::{
    Chat, ChatError, EventId, Reply,
    job::{Job, Leave},
    live::Place,
    log::{self, ReplyLog},
    replay::{Stored, base_of_another},
    text::count_words,
    turn::Turn,
    upstream::About,
};

/// The longest message of an end user, in characters (seed S2).
pub const MAX_MESSAGE: usize = 10_000;

/// How long a reply to a message with a client key goes on without a reader.
pub(crate) const RESUME_GRACE: Duration = Duration::from_secs(10);
const MAX_CLIENT_KEY: usize = 255;

/// Which conversation a message is for, where no session token says it.
#[derive(Clone, Debug)]
pub struct SayTo {
    /// Whose.
    pub tenant: Tenant,
    /// The conversation.
    pub conversation: ConversationId,
    /// The key and the page that the message came with: when one of them goes, so does the reply. Without
    /// them only the end of the conversation and of the server cut it.
    pub opener: Option<Opener>,
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
        check_text(&text)?;
        let grant =
            self.parts.cluster.hold(session.key, Some(session.conversation)).ok_or_else(|| self.gone(session))?;
        let to = To { tenant: session.tenant, conversation: session.conversation, context_messages: None };
        self.answer(to, grant, text, options, None).await
    }

    /// The same for a conversation that no session token opens. The caller has rules of its own for the text.
    ///
    /// # Errors
    /// As [`Chat::send`].
    pub async fn say(&self, to: SayTo, text: String, options: SendOptions) -> Result<Reply, ChatError> {
        let SayTo { tenant, conversation, opener, context_messages } = to;
        let grant = self.parts.cluster.hold_conversation(conversation, opener.as_ref()).ok_or(ChatError::Revoked)?;
        let to = To { tenant, conversation, context_messages };
        self.answer(to, grant, text, options, None).await
    }

    /// The same for a message of a channel, which is stored already and waits for its turn.
    pub(crate) async fn say_in_channel(
        &self,
        tenant: Tenant,
        turn: ChannelTurn,
        text: String,
    ) -> Result<Reply, ChatError> {
        let conversation = turn.conversation;
        let grant = self.parts.cluster.hold_conversation(conversation, None).ok_or(ChatError::Revoked)?;
        let options = SendOptions { client_key: Some(turn.message.to_string()), after: None };
        self.answer(To { tenant, conversation, context_messages: None }, grant, text, options, Some(turn)).await
    }

    async fn answer(
        &self,
        to: To,
        grant: Grant,
        text: String,
        options: SendOptions,
        channel: Option<ChannelTurn>,
    ) -> Result<Reply, ChatError> {
        check_client_key(options.client_key.as_deref())?;
        let ask = Ask { to, grant: Arc::new(grant), hash: log::hash(&text), text, options, channel };
        let place = self.live.enter(to.conversation);
        let turn = match self.wait(&ask, &place).await? {
            Next::Reply(reply) => return Ok(reply),
            Next::Turn(turn) => turn,
        };
        let data = self.parts.store.workspace(to.tenant);
        let conversation = data.conversation(to.conversation).await?;
        let about = About {
            conversation: Some(conversation.id),
            user: conversation.user_identifier,
            metadata: conversation.metadata,
        };
        let bot = data.bot(conversation.bot).await?;
        let stored = ask.stored(&data).await?;
        if let Some(told) = stored.as_ref().and_then(|stored| stored.replay(&bot.name)) {
            return Ok(Reply::new(Arc::new(told).reader(), ask.grant, ask.options.after));
        }
        let hold = self.parts.credits.reserve(to.tenant, to.conversation).await?;
        let is_first = stored.is_none();
        let stored = match stored {
            Some(stored) => stored,
            None => ask.store(&data).await?,
        };
        let base = if is_first { 0 } else { self.another_base()? };
        let key = ask.options.client_key.as_deref();
        let log = place.begin(ReplyLog::new(stored.message.position, base, &ask.text, key));
        // A message that has just been sent has no events that its sender could have seen.
        let after = ask.options.after.filter(|_| !is_first);
        let reply = Reply::new(log.reader(), Arc::clone(&ask.grant), after);
        let job = Job {
            parts: Arc::clone(&self.parts),
            tenant: to.tenant,
            conversation: to.conversation,
            bot,
            about,
            later: stored.later(),
            context_messages: to.context_messages,
            // Nobody comes back for the reply to a channel.
            grace: if key.is_some() && ask.channel.is_none() { self.grace } else { Duration::ZERO },
            channel: ask.channel,
            text: ask.text,
        };
        self.parts.drain.spawn(job.run(Leave { grant: ask.grant, turn, hold, place }, log));
        Ok(reply)
    }

    /// The reply to the same message, or the turn to have it answered.
    async fn wait(&self, ask: &Ask, place: &Place) -> Result<Next, ChatError> {
        let mut turn = pin!(self.turns.wait(ask.to.conversation));
        loop {
            let mut changed = pin!(place.changed());
            changed.as_mut().enable();
            if let Some(reply) = ask.attach(place)? {
                return Ok(Next::Reply(reply));
            }
            tokio::select! {
                biased;
                reason = ask.grant.cancelled() => return Err(refuse(reason)),
                turn = &mut turn => {
                    let turn = turn.map_err(|_| ChatError::Busy)?;
                    // It may have begun and ended in the meantime.
                    return Ok(ask.attach(place)?.map_or(Next::Turn(turn), Next::Reply));
                }
                () = changed => {}
            }
        }
    }

    fn another_base(&self) -> Result<u64, ChatError> {
        let mut bytes = [0; 4];
        self.parts.random.fill(&mut bytes)?;
        Ok(base_of_another(u32::from_le_bytes(bytes)))
    }

    /// Why there is no place in the tree for this session.
    pub(crate) fn gone(&self, session: &SessionCaller) -> ChatError {
        match self.parts.cluster.key_by_id(session.key) {
            Some(key) if key.epoch() == session.epoch => ChatError::Ended,
            _ => ChatError::Revoked,
        }
    }
}

/// Where a message goes that has its place in the tree.
#[derive(Clone, Copy)]
struct To {
    tenant: Tenant,
    conversation: ConversationId,
    context_messages: Option<u32>,
}

/// A message on its way in.
struct Ask {
    to: To,
    grant: Arc<Grant>,
    text: String,
    hash: u64,
    options: SendOptions,
    channel: Option<ChannelTurn>,
}

enum Next {
    Reply(Reply),
    Turn(Turn),
}

impl Ask {
    /// The reply to the same message, where it is still in memory. One that failed is asked for anew by
    /// whoever knows that, or has seen nothing of it.
    fn attach(&self, place: &Place) -> Result<Option<Reply>, ChatError> {
        let Some(log) = self.options.client_key.as_deref().and_then(|key| place.by_key(key)) else { return Ok(None) };
        if log.text_hash != self.hash {
            return Err(ChatError::Reused);
        }
        if let Some((false, events)) = log.outcome() {
            let after = self.options.after.filter(|after| after.position == log.position);
            if after.and_then(|after| log.place_of(after.number)).is_none_or(|seen| seen == events) {
                return Ok(None);
            }
        }
        Ok(Some(Reply::new(log.reader(), Arc::clone(&self.grant), self.options.after)))
    }

    /// The message, if it was stored before.
    async fn stored(&self, data: &Workspace) -> Result<Option<Stored>, ChatError> {
        let Some(key) = &self.options.client_key else { return Ok(None) };
        match data.message_by_client_key(self.to.conversation, key).await? {
            Some(message) if message.content != self.text => Err(ChatError::Reused),
            Some(message) => Ok(Some(Stored::read(data, message).await?)),
            None => Ok(None),
        }
    }

    async fn store(&self, data: &Workspace) -> Result<Stored, ChatError> {
        let (conversation, words) = (self.to.conversation, Some(count_words(&self.text)));
        let stored = match (&self.channel, &self.options.client_key) {
            (Some(turn), _) => data.append_channel_message(turn, &self.text, words).await,
            (None, Some(key)) => data.append_message_once(conversation, &self.text, words, key).await,
            (None, None) => data.append_message(conversation, "user", &self.text, "complete", words).await,
        };
        match stored {
            Ok(message) => Ok(Stored::new(message)),
            // Only another server can have come between; it answers.
            Err(StoreError::Conflict("client_key")) => Err(ChatError::Busy),
            Err(error) => Err(error.into()),
        }
    }
}

fn check_client_key(key: Option<&str>) -> Result<(), ChatError> {
    match key {
        Some(key) if key.is_empty() || key.len() > MAX_CLIENT_KEY || key.contains('\0') => {
            Err(ChatError::invalid("Idempotency-Key", "It must have between 1 and 255 bytes"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_text(text: &str) -> Result<(), ChatError> {
    if text.trim().is_empty() || text.chars().count() > MAX_MESSAGE {
        return Err(ChatError::invalid("message", "It must have between 1 and 10000 characters"));
    }
    Ok(())
}

fn refuse(reason: CutReason) -> ChatError {
    match reason {
        CutReason::Ended | CutReason::Replaced => ChatError::Ended,
        CutReason::Shutdown => ChatError::Stopping,
        CutReason::Revoked | CutReason::Expired | CutReason::Disabled | CutReason::OriginRemoved => ChatError::Revoked,
    }
}

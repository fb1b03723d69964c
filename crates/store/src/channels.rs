//! Channels of bots and the messages that come in through them, as values.

use std::fmt;

use access::Tenant;
use ambient::{BotId, ChannelId, ConversationId, MessageId, Millis, WebhookId};
use serde_json::Value;

use crate::record::SealedSecret;

/// A way to a bot that has a name.
#[derive(Clone, Debug)]
pub struct ChannelRecord {
    /// Its id.
    pub id: ChannelId,
    /// Who answers.
    pub bot: BotId,
    /// `widget` or `webhook`.
    pub kind: String,
    /// What people call it.
    pub name: String,
    /// What a widget shows: JSON.
    pub settings: String,
    /// What the senders of a `webhook` sign with.
    pub secret: SealedSecret,
    /// The endpoint of a `webhook` where replies go.
    pub webhook: Option<WebhookId>,
    /// Its address.
    pub reply_url: Option<String>,
    /// Since when it is disabled.
    pub reply_disabled_at: Option<Millis>,
    /// Since when the channel takes nothing.
    pub disabled_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// Where a channel's replies go. Its maker gives the id, because the secret is sealed for it.
#[derive(Clone)]
pub struct NewReplyEndpoint {
    /// Its id.
    pub id: WebhookId,
    /// Where.
    pub url: String,
    /// What signs, sealed.
    pub secret_sealed: Vec<u8>,
}

impl fmt::Debug for NewReplyEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewReplyEndpoint").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A channel to be made. Its maker gives the id, because the secret is sealed for it.
#[derive(Clone, Debug)]
pub struct NewChannel {
    /// Its id.
    pub id: ChannelId,
    /// Who answers.
    pub bot: BotId,
    /// `widget` or `webhook`.
    pub kind: String,
    /// What people call it.
    pub name: String,
    /// What a widget shows: JSON.
    pub settings: String,
    /// What the senders of a `webhook` sign with, sealed.
    pub secret_sealed: Option<Vec<u8>>,
    /// Where the replies of a `webhook` go.
    pub reply: Option<NewReplyEndpoint>,
    /// Whether it takes anything yet.
    pub is_active: bool,
}

/// What is to be different about a channel; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ChannelChange {
    /// What people call it.
    pub name: Option<String>,
    /// What a widget shows: JSON.
    pub settings: Option<String>,
    /// Where the replies of a `webhook` go; an endpoint that was disabled is on again.
    pub reply_url: Option<String>,
    /// Whether it takes anything.
    pub is_active: Option<bool>,
}

/// A message that came in through a channel, verified.
#[derive(Clone)]
pub struct NewChannelMessage {
    /// The name by which it counts once.
    pub delivery: String,
    /// Other names that are taken with it: a copy of it that has one of these is it.
    pub aliases: Vec<String>,
    /// The customer's own name for who sent it.
    pub user: String,
    /// Who sent it, as it was sent: JSON.
    pub user_data: String,
    /// What was said.
    pub content: String,
    /// The conversation, if the sender names one; else the user's open one, or a new one.
    pub conversation: Option<ConversationId>,
    /// The customer's own notes, for a new conversation.
    pub metadata: Option<Value>,
}

impl fmt::Debug for NewChannelMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewChannelMessage").field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

/// What became of a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenMessage {
    /// Where it is.
    pub conversation: ConversationId,
    /// Its id, once it is its turn.
    pub message: MessageId,
    /// Whether it was here before.
    pub is_duplicate: bool,
}

/// Names a message that waits to be answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelTurn {
    /// Through which channel it came.
    pub channel: ChannelId,
    /// The name by which it counts once.
    pub delivery: String,
    /// Where it is to be said.
    pub conversation: ConversationId,
    /// The id that it has there.
    pub message: MessageId,
}

/// A message that is to be answered now.
#[derive(Clone)]
pub struct DueChannelMessage {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub turn: ChannelTurn,
    /// What was said.
    pub content: String,
    /// How often it was tried before.
    pub attempts: u32,
}

impl fmt::Debug for DueChannelMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DueChannelMessage").field("turn", &self.turn).finish_non_exhaustive()
    }
}

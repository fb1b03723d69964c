//! Voice sessions (seed S2): a room of a LiveKit server and the token that opens it.

use std::fmt;

use access::KeyCaller;
use ambient::{BotId, ConversationId, Ulid};
use cluster::Opener;
use credential::livekit::VoiceGrant;
use serde_json::json;
use store::NewConversation;

use crate::{Chat, ChatError, chat::ChatParts};

/// The architecture of a bot that cannot be spoken to.
const TEXT: &str = "text";

/// An open voice session.
#[derive(Clone)]
pub struct OpenedVoice {
    /// Its conversation, and the room's name.
    pub conversation: ConversationId,
    /// For the end user's browser: LiveKit's access token to this room, one hour.
    pub token: String,
    /// Where the browser connects.
    pub url: String,
    /// The bot's name.
    pub agent_name: String,
}

impl fmt::Debug for OpenedVoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedVoice").field("conversation", &self.conversation).finish_non_exhaustive()
    }
}

impl Chat {
    /// Opens a room with a bot that speaks, charges its price and mints the room's token. LiveKit checks that
    /// token alone: what revokes the key does not end it.
    ///
    /// # Errors
    /// [`ChatError::NotConfigured`] without a LiveKit server, [`ChatError::NotFound`] for a bot that is not the
    /// opener's, [`ChatError::Invalid`] for one that answers in text, [`ChatError::NoCredits`],
    /// [`ChatError::Revoked`] for a key that went since the request was let in.
    pub async fn open_voice(&self, opener: &KeyCaller, bot: BotId) -> Result<OpenedVoice, ChatError> {
        let ChatParts { store, cluster, clock, random, credits, livekit, .. } = &*self.parts;
        let Some(livekit) = livekit else {
            return Err(ChatError::NotConfigured("Voice needs a LiveKit server, and none is set up on this one"));
        };
        let data = store.workspace(opener.tenant);
        let bot = data.bot(bot).await?;
        if bot.architecture == TEXT {
            let message = "This bot answers in text; voice needs a bot whose architecture is `pipeline` or `realtime`";
            return Err(ChatError::invalid("agent_id", message));
        }
        let price = credits.reserve_voice(opener.tenant).await?;
        let conversation = NewConversation {
            bot: bot.id,
            channel: "voice".to_owned(),
            key: Some(opener.key),
            user_identifier: None,
            metadata: None,
            channel_id: None,
        };
        let conversation = data.create_conversation(conversation).await?.id;
        let grant = VoiceGrant {
            room: conversation.to_string(),
            identity: format!("user_{conversation}"),
            name: "User".to_owned(),
            metadata: json!({"conversation_id": conversation, "agent_id": bot.id}).to_string(),
            id: Ulid::mint(&**clock, &**random)?.to_string(),
        };
        // The last look before what nobody can call back: a key that was revoked meanwhile lets nobody in, nor
        // does a page that left its list.
        let opener = Opener { key: opener.key, epoch: opener.epoch, origin: opener.origin.clone() };
        let still = cluster.hold_conversation(conversation, Some(&opener)).ok_or(ChatError::Revoked)?;
        let token = livekit.sign(&grant, clock.now()).map_err(ChatError::unavailable)?;
        drop(still);
        price.pay(conversation).await?;
        Ok(OpenedVoice { conversation, token, url: livekit.url().to_owned(), agent_name: bot.name })
    }
}

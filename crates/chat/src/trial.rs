//! Conversations in which a person of the workspace tries a bot out. No token opens one: only who began it says more
//! in it.

use access::{MemberCaller, Tenant};
use ambient::{BotId, ConversationId, MemberId};
use store::NewConversation;

use crate::{Chat, ChatError, Reply, SayTo, SendOptions, choice::model_of, send::check_text, text::count_words};

/// The door that such a conversation came through.
const CHANNEL: &str = "trial";

/// A conversation that was just begun.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its id.
    pub conversation: ConversationId,
    /// The bot's name.
    pub agent_name: String,
    /// The bot's first words, already in the conversation.
    pub greeting: Option<String>,
    /// What the bot runs on.
    pub agent_model: String,
}

/// What the bot's side is told the person is called.
fn user_of(member: MemberId) -> String {
    format!("member:{member}")
}

impl Chat {
    /// Opens a conversation of this person with a bot.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] for the bot.
    pub async fn open_trial(&self, person: &MemberCaller, bot: BotId) -> Result<Trial, ChatError> {
        let data = self.parts.store.workspace(person.tenant);
        let bot = data.bot(bot).await?;
        let agent_model = model_of(&data.integrations(bot.id).await?);
        let conversation = NewConversation {
            bot: bot.id,
            channel: CHANNEL.to_owned(),
            key: None,
            user_identifier: Some(user_of(person.member)),
            metadata: None,
            channel_id: None,
        };
        let conversation = data.create_conversation_as(data.new_id()?, conversation).await?;
        let greeting = bot.greeting.filter(|greeting| !greeting.is_empty());
        // After a crash it may have been said already.
        if let Some(greeting) = greeting.as_ref().filter(|_| conversation.message_count == 0) {
            let words = Some(count_words(greeting));
            data.append_message(conversation.id, "assistant", greeting, "complete", words).await?;
        }
        Ok(Trial { conversation: conversation.id, agent_name: bot.name, greeting, agent_model })
    }

    /// Says something in a trial of this person's own, and begins the answer, which costs what any reply costs.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] for what is no trial of this person's; else as [`Chat::send`].
    pub async fn say_in_trial(
        &self,
        person: &MemberCaller,
        conversation: ConversationId,
        text: String,
        options: SendOptions,
    ) -> Result<Reply, ChatError> {
        check_text(&text)?;
        self.check_trial(person, conversation).await?;
        let tenant: Tenant = person.tenant;
        // No key and no page is behind it: whoever reads the reply looks whether the person still may.
        self.say(SayTo { tenant, conversation, opener: None, context_messages: None }, text, options).await
    }

    /// Whether a conversation is a trial of this person's.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] for what is none.
    pub async fn check_trial(&self, person: &MemberCaller, conversation: ConversationId) -> Result<(), ChatError> {
        let found = self.parts.store.workspace(person.tenant).conversation(conversation).await?;
        let is_own = found.user_identifier.as_deref() == Some(user_of(person.member).as_str());
        if found.channel == CHANNEL && is_own { Ok(()) } else { Err(ChatError::NotFound) }
    }
}

//! Questions to a bot outside any conversation: agents in workflows ask them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use access::Tenant;
use ambient::BotId;
use serde_json::Value;
use store::{BotRecord, IntegrationRecord, StoreError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    Cause, Chat, ChatError, ReplyErrorCode, Usage,
    chat::ChatParts,
    choice::{ECHO, choose},
    credits::Hold,
    job::{Asking, REPLY_LIMIT, chain},
    log::ReplyLog,
    text::count_words,
    upstream::{About, Answer, Failure, Message},
};

/// What a bot is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What is added to the bot's own instructions.
    pub instructions: String,
    /// The dialogue so far, as `user` or `assistant` and what was said.
    pub messages: Vec<(&'static str, String)>,
    /// The JSON Schema of the answer; models that know none are asked without it.
    pub schema: Option<Value>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The bot did not answer; the code is stable, for operators.
    #[error("the bot did not answer: {0}")]
    Failed(&'static str),
    /// Our own outage: ask again.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Cause),
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Failed("bot_not_found"),
            other => Self::Unavailable(other.into()),
        }
    }
}

impl From<ChatError> for AskError {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::NoCredits => Self::Failed("no_credits"),
            other => Self::Unavailable(other.into()),
        }
    }
}

/// A bot that can be asked.
pub(crate) struct Ready {
    pub(crate) bot: BotRecord,
    /// Whom to ask, one after the other.
    pub(crate) order: Vec<IntegrationRecord>,
    /// What the answer may cost.
    pub(crate) hold: Hold,
}

impl Ready {
    pub(crate) fn note(&self, integration: &IntegrationRecord, failure: &Failure) {
        let Failure { code, cause } = failure;
        tracing::warn!(
            integration = %integration.id, bot = %self.bot.id, code = code.as_str(), cause = %chain(&**cause),
            "an integration failed",
        );
    }
}

/// Its outcome, unless it is cut or takes too long.
pub(crate) async fn in_time<T>(
    cut: &CancellationToken,
    asking: impl Future<Output = Result<T, ReplyErrorCode>>,
) -> Result<T, ReplyErrorCode> {
    tokio::select! {
        biased;
        () = cut.cancelled() => Err(ReplyErrorCode::Cancelled),
        outcome = timeout(REPLY_LIMIT, asking) => outcome.unwrap_or(Err(ReplyErrorCode::UpstreamTimeout)),
    }
}

/// What a bot is told before everything else: its own instructions, then those of whoever asks.
pub(crate) fn system_prompt(own: Option<&str>, added: &str) -> Option<String> {
    let parts: Vec<_> = [own.unwrap_or_default(), added].into_iter().filter(|text| !text.trim().is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

impl Chat {
    /// What a question needs before it is asked.
    pub(crate) async fn ready(&self, tenant: Tenant, bot: BotId) -> Result<Ready, AskError> {
        let ChatParts { store, random, credits, .. } = &*self.parts;
        let data = store.workspace(tenant);
        let bot = data.bot(bot).await?;
        let integrations = data.integrations(bot.id).await?;
        let order = choose(&integrations, &**random).map_err(|error| AskError::Unavailable(error.into()))?;
        let order = order.into_iter().cloned().collect();
        let hold = credits.reserve_question(tenant).await?;
        Ok(Ready { bot, order, hold })
    }

    /// Asks a bot and gives its whole answer, without keeping anything. `cut` ends it early; it is paid for
    /// as far as it came. Dropped, it costs nothing.
    ///
    /// # Errors
    /// [`AskError::Failed`] for what the bot's side did, `no_credits`, or `cancelled` after a cut.
    pub async fn ask_bot(
        &self,
        tenant: Tenant,
        bot: BotId,
        question: Question,
        cut: &CancellationToken,
    ) -> Result<(String, Usage), AskError> {
        let ready = self.ready(tenant, bot).await?;
        let bot = &ready.bot;
        let messages = prompt(bot.instructions.as_deref(), &question);
        let log = ReplyLog::new(0, 0, "", None);
        let (answer, is_asked, about) = (Answer(&log), AtomicBool::new(false), About::default());
        let asking = async {
            let mut failure = Failure::new(ReplyErrorCode::NotConfigured, "no integration is on");
            for integration in &ready.order {
                is_asked.fetch_or(integration.kind != ECHO, Relaxed);
                let parts = Arc::clone(&self.parts);
                let about = &about;
                let mut asking = Asking { parts, tenant, integration, messages: &messages, schema: None, bot, about };
                asking.schema = question.schema.as_ref();
                let mut asked = asking.ask(&answer).await;
                // Not every server knows schemas; the question says in words too what is wanted.
                let is_refused = |failure: &Failure| failure.code == ReplyErrorCode::UpstreamRefused;
                if asking.schema.take().is_some() && answer.is_empty() && asked.as_ref().is_err_and(is_refused) {
                    asked = asking.ask(&answer).await;
                }
                match asked {
                    Ok(usage) => return Ok(usage),
                    Err(new) => failure = new,
                }
                ready.note(integration, &failure);
                if !answer.is_empty() {
                    break;
                }
            }
            Err(failure.code)
        };
        let outcome = in_time(cut, asking).await;
        let text = log.text();
        let usage = outcome.unwrap_or_else(|_| Usage {
            input_tokens: messages.iter().map(|message| count_words(&message.content)).sum(),
            output_tokens: count_words(&text),
        });
        // Cut without a word, a model has read the question nevertheless.
        let is_cut = outcome == Err(ReplyErrorCode::Cancelled) && is_asked.load(Relaxed);
        if outcome.is_ok() || !text.is_empty() || is_cut {
            ready.hold.settle(usage).await;
        }
        outcome.map(|usage| (text, usage)).map_err(|code| AskError::Failed(code.as_str()))
    }
}

fn prompt(own: Option<&str>, question: &Question) -> Vec<Message> {
    let system = system_prompt(own, &question.instructions);
    let system = system.map(|content| Message { role: "system".to_owned(), content });
    let said = question.messages.iter().map(|(role, text)| Message { role: (*role).to_owned(), content: text.clone() });
    system.into_iter().chain(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_of_the_bot_come_before_those_of_the_question() {
        let mut question = Question { messages: vec![("user", "hi".to_owned())], ..Question::default() };
        let roles = |messages: Vec<Message>| messages.into_iter().map(|m| (m.role, m.content)).collect::<Vec<_>>();
        assert_eq!(roles(prompt(Some(" "), &question)), [("user".to_owned(), "hi".to_owned())]);
        question.instructions = "Be brief.".to_owned();
        let messages = roles(prompt(Some("You sell shoes."), &question));
        assert_eq!(messages[0], ("system".to_owned(), "You sell shoes.\n\nBe brief.".to_owned()));
        assert_eq!(messages.len(), 2);
    }
}

//! Questions to a bot that may call tools before it answers. Whoever asks carries the calls out and asks again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use access::Tenant;
use ambient::BotId;
use serde_json::{Value, json};
use store::{BotRecord, IntegrationRecord};
use tokio_util::sync::CancellationToken;

use crate::{
    AskError, Chat, ReplyErrorCode, Usage,
    choice::ECHO,
    job::Asking,
    log::ReplyLog,
    question::{in_time, system_prompt},
    text::count_words,
    upstream::{About, Answer, Failure, Message, ask_with_tools},
};

/// What a bot is asked.
#[derive(Clone, Debug, Default)]
pub struct ToolQuestion {
    /// What is added to the bot's own instructions.
    pub instructions: String,
    /// What was said so far, as OpenAI's messages.
    pub messages: Vec<Value>,
    /// What may be called, as OpenAI's tools. Integrations that know no tools are asked without.
    pub tools: Vec<Value>,
}

/// What a bot answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolAnswer {
    /// What it says; may be empty where it calls.
    pub text: String,
    /// What it calls, in order; none in the last answer.
    pub calls: Vec<ToolCall>,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result is sent back under.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// JSON as a rule, but whatever the model wrote.
    pub arguments: String,
}

impl Chat {
    /// Asks a bot, which may call tools, and keeps nothing. `cut` ends it early; it is paid for as far as it came.
    /// Dropped, it costs nothing.
    ///
    /// # Errors
    /// [`AskError::Failed`] for what the bot's side did, `no_credits`, or `cancelled` after a cut.
    pub async fn ask_with_tools(
        &self,
        tenant: Tenant,
        bot: BotId,
        question: ToolQuestion,
        cut: &CancellationToken,
    ) -> Result<(ToolAnswer, Usage), AskError> {
        let ready = self.ready(tenant, bot).await?;
        let bot = &ready.bot;
        let messages = prompt(bot.instructions.as_deref(), &question.instructions, question.messages);
        let is_asked = AtomicBool::new(false);
        let asking = async {
            let mut failure = Failure::new(ReplyErrorCode::NotConfigured, "no integration is on");
            for integration in &ready.order {
                is_asked.fetch_or(integration.kind != ECHO, Relaxed);
                match self.ask_one(tenant, bot, integration, &messages, &question.tools).await {
                    Ok(answer) => return Ok(answer),
                    Err(new) => failure = new,
                }
                ready.note(integration, &failure);
            }
            Err(failure.code)
        };
        let outcome = in_time(cut, asking).await;
        let is_cut = outcome.as_ref().is_err_and(|code| *code == ReplyErrorCode::Cancelled) && is_asked.load(Relaxed);
        let (text, calls) = outcome.as_ref().map_or(("", &[][..]), |(answer, _)| (&answer.text, &answer.calls));
        let counted = Usage {
            input_tokens: messages.iter().map(words_of).sum(),
            output_tokens: count_words(text) + calls.iter().map(|call| count_words(&call.arguments)).sum::<u64>(),
        };
        let usage = outcome.as_ref().ok().and_then(|(_, usage)| *usage).unwrap_or(counted);
        if outcome.is_ok() || is_cut {
            ready.hold.settle(usage).await;
        }
        outcome.map(|(answer, _)| (answer, usage)).map_err(|code| AskError::Failed(code.as_str()))
    }

    async fn ask_one(
        &self,
        tenant: Tenant,
        bot: &BotRecord,
        integration: &IntegrationRecord,
        messages: &[Value],
        tools: &[Value],
    ) -> Result<(ToolAnswer, Option<Usage>), Failure> {
        let (parts, about, plain) = (Arc::clone(&self.parts), About::default(), plain(messages));
        let asking = Asking { parts, tenant, integration, messages: &plain, schema: None, bot, about: &about };
        if integration.kind == "openai" {
            return ask_with_tools(&self.parts.outbound, asking.call()?, messages, tools).await;
        }
        let log = ReplyLog::new(0, 0, "", None);
        let usage = asking.ask(&Answer(&log)).await?;
        Ok((ToolAnswer { text: log.text(), calls: Vec::new() }, Some(usage)))
    }
}

fn prompt(own: Option<&str>, added: &str, messages: Vec<Value>) -> Vec<Value> {
    let system = system_prompt(own, added).map(|text| json!({"role": "system", "content": text}));
    system.into_iter().chain(messages).collect()
}

fn words_of(message: &Value) -> u64 {
    message["content"].as_str().map_or(0, count_words)
}

/// For who knows no tools: words alone.
fn plain(messages: &[Value]) -> Vec<Message> {
    let said = messages.iter().filter_map(|message| {
        let role = message["role"].as_str().filter(|role| ["system", "user", "assistant"].contains(role))?;
        let content = message["content"].as_str().filter(|text| !text.is_empty())?;
        Some(Message { role: role.to_owned(), content: content.to_owned() })
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_of_the_bot_come_first_and_tools_are_left_out_for_who_knows_none() {
        let said = vec![
            json!({"role": "user", "content": "hi"}),
            json!({"role": "assistant", "content": null, "tool_calls": []}),
            json!({"role": "tool", "tool_call_id": "a", "content": "x"}),
        ];
        let messages = prompt(Some("You sell shoes."), "Be brief.", said);
        assert_eq!(messages[0], json!({"role": "system", "content": "You sell shoes.\n\nBe brief."}));
        assert_eq!(messages.len(), 4);
        let roles: Vec<_> = plain(&messages).into_iter().map(|message| message.role).collect();
        assert_eq!(roles, ["system", "user"]);
        assert_eq!(prompt(Some(" "), "", Vec::new()), Vec::<Value>::new());
    }
}

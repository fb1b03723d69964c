//! One reply from its first event to its last. Whatever ends it, what was said is stored before the
//! last event goes out.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use access::Tenant;
use ambient::ConversationId;
use cluster::{CutReason, Grant};
use serde_json::Value;
use store::{BotRecord, ChannelTurn, IntegrationRecord, StoreError};
use tokio::time::timeout;

use crate::{
    ReplyErrorCode, ReplyEvent, Usage,
    channels::keep_reply,
    chat::ChatParts,
    choice::{ECHO, WEBHOOK, choose},
    credits::Hold,
    headers::{Headers, place},
    live::Place,
    log::ReplyLog,
    reply::CUT_PATIENCE,
    signing::{open_secrets, secret_place},
    text::count_words,
    turn::Turn,
    upstream::{About, Answer, Call, Failure, Message, Said, WebhookQuestion, Who, ask, ask_webhook, echo},
};

/// The longest a reply may take, however slowly it keeps coming.
pub(crate) const REPLY_LIMIT: Duration = Duration::from_secs(600);
/// How long the end of an answered call is waited for, so that its connection can be used again.
const REST_PATIENCE: Duration = Duration::from_secs(1);

/// What a reply is about.
pub(crate) struct Job {
    pub(crate) parts: Arc<ChatParts>,
    pub(crate) tenant: Tenant,
    pub(crate) conversation: ConversationId,
    pub(crate) bot: BotRecord,
    pub(crate) about: About,
    /// The message to be answered.
    pub(crate) text: String,
    /// How many messages have come after it: parts of an earlier answer.
    pub(crate) later: u32,
    /// How many messages the model reads, instead of what the bot says.
    pub(crate) context_messages: Option<u32>,
    /// How long it goes on without a reader.
    pub(crate) grace: Duration,
    /// The message of a channel that it answers: the whole answer is stored with the note that it is to be sent.
    pub(crate) channel: Option<ChannelTurn>,
}

/// What a reply runs with.
pub(crate) struct Leave {
    pub(crate) grant: Arc<Grant>,
    pub(crate) turn: Turn,
    pub(crate) hold: Hold,
    pub(crate) place: Place,
}

enum Outcome {
    Said(Usage),
    Failed(ReplyErrorCode),
    /// An ancestor of the grant went.
    Cut(CutReason),
    /// Nobody reads any more.
    Left,
}

/// What a reply has cost so far.
#[derive(Default)]
struct Spent {
    prompt_words: AtomicU64,
    /// A model has the prompt.
    is_asked: AtomicBool,
}

impl Outcome {
    /// Whether it ended at the wish of whoever asked. Without a word said, a model has read the prompt for
    /// it nevertheless: were that free, leaving in time would be a way to make models work for nothing.
    const fn is_of_client(&self) -> bool {
        match self {
            Self::Left | Self::Failed(ReplyErrorCode::Cancelled) => true,
            Self::Cut(reason) => !matches!(reason, CutReason::Shutdown),
            Self::Said(_) | Self::Failed(_) => false,
        }
    }
}

/// Ends the log in any case, so that no reader waits for ever.
struct Writing<'a> {
    place: &'a Place,
    log: &'a Arc<ReplyLog>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.log.end(ReplyErrorCode::Internal.event());
        self.place.finish(self.log);
    }
}

impl Job {
    pub(crate) async fn run(self, leave: Leave, log: Arc<ReplyLog>) {
        let Leave { grant, turn, hold, place } = leave;
        let writing = Writing { place: &place, log: &log };
        let spent = Spent::default();
        // Dropping it drops the call to the upstream with its connection.
        let mut answering = Box::pin(timeout(REPLY_LIMIT, self.answer(&log, &spent)));
        let outcome = tokio::select! {
            biased;
            reason = grant.cancelled() => Outcome::Cut(reason),
            () = log.stopped() => Outcome::Failed(ReplyErrorCode::Cancelled),
            () = place.abandoned(&log, self.grace) => Outcome::Left,
            outcome = &mut answering => match outcome {
                Ok(Ok(usage)) => Outcome::Said(usage),
                Ok(Err(failure)) => Outcome::Failed(failure.code),
                Err(_) => Outcome::Failed(ReplyErrorCode::UpstreamTimeout),
            },
        };
        let text = log.text();
        let usage = match outcome {
            Outcome::Said(usage) => usage,
            _ => Usage { input_tokens: spent.prompt_words.load(Relaxed), output_tokens: count_words(&text) },
        };
        let is_free =
            usage.output_tokens == 0 && text.is_empty() && !(spent.is_asked.load(Relaxed) && outcome.is_of_client());
        let hold = if is_free { None } else { Some(hold) };
        // Where thousands are cut at once, each reader is told before any connection is taken down.
        let answering = matches!(outcome, Outcome::Cut(_)).then_some(answering);
        match outcome {
            Outcome::Said(usage) => {
                let kept = self.keep(text, "complete", Some(usage.output_tokens)).await;
                settle(hold, usage).await;
                log.end(kept.map_or_else(ReplyErrorCode::event, |()| ReplyEvent::End { usage, end_session: false }));
            }
            Outcome::Failed(code) => {
                self.keep_partial(text).await;
                settle(hold, usage).await;
                log.end(code.event());
            }
            Outcome::Left => {
                // Who comes back later has it answered anew, after this turn.
                place.forget(&log);
                self.keep_partial(text).await;
                log.end(ReplyErrorCode::Cancelled.event());
                settle(hold, usage).await;
            }
            Outcome::Cut(reason) => {
                let mut keeping = pin!(self.keep_partial(text));
                let in_time = timeout(CUT_PATIENCE, &mut keeping).await.is_ok();
                log.cut(ReplyErrorCode::from(reason).event());
                tokio::task::yield_now().await;
                drop(answering);
                if !in_time {
                    keeping.await;
                }
                settle(hold, usage).await;
            }
        }
        drop(writing);
        drop(turn);
    }

    async fn answer(&self, log: &ReplyLog, spent: &Spent) -> Result<Usage, Failure> {
        log.add(ReplyEvent::Start { agent_name: self.bot.name.clone() });
        let data = self.parts.store.workspace(self.tenant);
        let integrations = data.integrations(self.bot.id).await.map_err(internal)?;
        let messages = self.prompt(log.position).await.map_err(internal)?;
        spent.prompt_words.store(messages.iter().map(|message| count_words(&message.content)).sum(), Relaxed);
        let order = choose(&integrations, &*self.parts.random).map_err(Failure::internal)?;
        let mut failure = Failure::new(ReplyErrorCode::NotConfigured, "no integration is on");
        let answer = Answer(log);
        for integration in order {
            spent.is_asked.fetch_or(integration.kind != ECHO, Relaxed);
            let parts = Arc::clone(&self.parts);
            let (tenant, bot, about) = (self.tenant, &self.bot, &self.about);
            let asking = Asking { parts, tenant, integration, messages: &messages, schema: None, bot, about };
            let asked = if integration.kind == ECHO { echo(&self.text, &answer) } else { asking.ask(&answer).await };
            match asked {
                Ok(usage) => return Ok(usage),
                Err(new) => failure = new,
            }
            let Failure { code, cause } = &failure;
            tracing::warn!(
                integration = %integration.id, bot = %self.bot.id, code = code.as_str(), cause = %chain(&**cause),
                "an integration failed",
            );
            // The reader has seen words of this one: another cannot begin anew.
            if !answer.is_empty() {
                break;
            }
        }
        Err(failure)
    }

    /// The instructions, then the last messages of the conversation, with the one to be answered.
    async fn prompt(&self, position: u64) -> Result<Vec<Message>, StoreError> {
        let data = self.parts.store.workspace(self.tenant);
        let count = self.context_messages.unwrap_or(self.bot.context_messages).max(1);
        let mut window = data.last_messages(self.conversation, count.saturating_add(self.later)).await?;
        window.retain(|message| message.position <= position);
        let instructions = self.bot.instructions.as_deref().filter(|text| !text.trim().is_empty());
        let system = instructions.map(|text| Message { role: "system".to_owned(), content: text.to_owned() });
        let said = window.into_iter().map(|message| Message { role: message.role, content: message.content });
        Ok(system.into_iter().chain(said).collect())
    }

    async fn keep_partial(&self, text: String) {
        // Its failure is logged there, and there is nobody left to tell.
        let _ = self.keep(text, "partial", None).await;
    }

    async fn keep(&self, text: String, status: &str, tokens: Option<u64>) -> Result<(), ReplyErrorCode> {
        let channel = self.channel.as_ref().filter(|_| status == "complete");
        if text.is_empty() && channel.is_none() {
            return Ok(());
        }
        let tokens = tokens.unwrap_or_else(|| count_words(&text));
        let data = self.parts.store.workspace(self.tenant);
        let kept = match channel {
            Some(turn) => keep_reply(&data, turn, &text, tokens).await,
            None => {
                let kept = data.append_message(self.conversation, "assistant", &text, status, Some(tokens)).await;
                kept.map(drop)
            }
        };
        match kept {
            Ok(()) => Ok(()),
            // The conversation was deleted meanwhile, and its words with it.
            Err(StoreError::NotFound | StoreError::Conflict(_)) => Err(ReplyErrorCode::Ended),
            Err(error) => {
                tracing::error!(conversation = %self.conversation, cause = %chain(&error), "an answer was not stored");
                Err(ReplyErrorCode::Internal)
            }
        }
    }
}

/// One question to one integration.
pub(crate) struct Asking<'a> {
    pub(crate) parts: Arc<ChatParts>,
    pub(crate) tenant: Tenant,
    pub(crate) integration: &'a IntegrationRecord,
    pub(crate) messages: &'a [Message],
    /// What the answer is to be, as a JSON Schema.
    pub(crate) schema: Option<&'a Value>,
    pub(crate) bot: &'a BotRecord,
    pub(crate) about: &'a About,
}

impl Asking<'_> {
    /// The question to an `openai` integration, without what is asked.
    pub(crate) fn call(&self) -> Result<Call, Failure> {
        let ChatParts { secrets, outbound, .. } = &*self.parts;
        let Self { tenant, integration, .. } = self;
        let headers =
            Headers::open(secrets.sealer(), &place(*tenant, integration.id), integration.headers_sealed.as_deref());
        let url = integration.url.as_deref().unwrap_or_default();
        Ok(Call {
            base: outbound.check_url(url).map_err(|e| Failure::new(ReplyErrorCode::UpstreamUnavailable, e))?,
            model: integration.model.clone().unwrap_or_default(),
            headers: headers.map_err(Failure::internal)?.to_wire().map_err(Failure::internal)?,
            timeout: Duration::from_secs(integration.timeout_seconds.into()),
        })
    }

    pub(crate) async fn ask(&self, answer: &Answer<'_>) -> Result<Usage, Failure> {
        let integration = self.integration;
        if integration.kind == ECHO {
            let last = self.messages.last().map_or("", |message| message.content.as_str());
            return echo(last, answer);
        }
        let ChatParts { secrets, outbound, drain, clock, random, .. } = &*self.parts;
        let place = place(self.tenant, integration.id);
        let headers = Headers::open(secrets.sealer(), &place, integration.headers_sealed.as_deref());
        let headers = headers.map_err(Failure::internal)?.to_wire().map_err(Failure::internal)?;
        let url = integration.url.as_deref().unwrap_or_default();
        let url = outbound.check_url(url).map_err(|e| Failure::new(ReplyErrorCode::UpstreamUnavailable, e))?;
        let timeout_of_call = Duration::from_secs(integration.timeout_seconds.into());
        if integration.kind == WEBHOOK {
            let (now, place) = (clock.now(), secret_place(self.tenant, integration.id));
            let question = WebhookQuestion {
                url,
                headers,
                timeout: timeout_of_call,
                secrets: open_secrets(secrets, &place, &integration.secret, now).map_err(Failure::internal)?,
                id: ambient::EventId::mint(&**clock, &**random).map_err(Failure::internal)?.to_string(),
                now,
                bot: Who { id: self.bot.id, name: &self.bot.name },
                about: self.about,
            };
            return ask_webhook(outbound, question, self.messages, answer).await;
        }
        let call =
            Call { base: url, model: integration.model.clone().unwrap_or_default(), headers, timeout: timeout_of_call };
        let Said { usage, rest } = ask(outbound, call, self.messages, self.schema, answer).await?;
        if let Some(mut rest) = rest {
            drain.spawn(timeout(REST_PATIENCE, async move { while let Ok(Some(_)) = rest.chunk().await {} }));
        }
        Ok(usage)
    }
}

async fn settle(hold: Option<Hold>, usage: Usage) {
    if let Some(hold) = hold {
        hold.settle(usage).await;
    }
}

fn internal(error: StoreError) -> Failure {
    Failure::internal(error)
}

/// An error and what caused it, in one line. Our errors carry no secret and no URL.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

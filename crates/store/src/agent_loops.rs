//! What the store knows of agent loops: prompts with tools, and their executions.

use std::fmt;

use ambient::{AgentLoopId, BotId, ExecutionId, Millis, WebhookId};

/// An agent loop.
#[derive(Clone)]
pub struct AgentLoopRecord {
    /// Its id.
    pub id: AgentLoopId,
    /// Who is asked.
    pub bot: BotId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What the bot is told.
    pub prompt: String,
    /// What the bot may call, as JSON.
    pub tools: String,
    /// How often the bot is asked at most.
    pub max_iterations: u32,
    /// How long an execution may take, in seconds.
    pub timeout_seconds: u32,
    /// Its own endpoint, that is called back.
    pub webhook: Option<WebhookId>,
    /// Where that is.
    pub callback_url: Option<String>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

impl fmt::Debug for AgentLoopRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentLoopRecord").field("id", &self.id).field("bot", &self.bot).finish_non_exhaustive()
    }
}

/// An agent loop as it is to be.
#[derive(Clone)]
pub struct AgentLoopDraft {
    /// Its id: whoever makes it chooses it.
    pub id: AgentLoopId,
    /// Who is asked.
    pub bot: BotId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What the bot is told.
    pub prompt: String,
    /// What the bot may call, as JSON.
    pub tools: String,
    /// How often the bot is asked at most.
    pub max_iterations: u32,
    /// How long an execution may take, in seconds.
    pub timeout_seconds: u32,
    /// Who is called back from now on.
    pub callback: CallbackDraft,
}

/// Who is called back when an execution has ended.
#[derive(Clone)]
pub enum CallbackDraft {
    /// As it is.
    Keep,
    /// Nobody.
    Nobody,
    /// This endpoint, with a new secret.
    To {
        /// The loop's own that it has, or a new one: the secret is sealed for it.
        id: WebhookId,
        /// Where.
        url: String,
        /// What signs.
        secret_sealed: Vec<u8>,
    },
}

impl fmt::Debug for AgentLoopDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentLoopDraft").field("id", &self.id).field("bot", &self.bot).finish_non_exhaustive()
    }
}

/// One execution of an agent loop.
#[derive(Clone, Debug)]
pub struct ExecutionRecord {
    /// Its id.
    pub id: ExecutionId,
    /// Of which loop.
    pub agent_loop: AgentLoopId,
    /// `pending`, `running`, `completed`, `failed`, `stopped` or `cancelled`.
    pub status: String,
    /// What it was given, as JSON.
    pub input: String,
    /// The notes of whoever started it, as JSON.
    pub metadata: Option<String>,
    /// The loop as it was when it was started, as JSON.
    pub state: String,
    /// What the bot said last.
    pub output: Option<String>,
    /// Why it did not complete: a stable code.
    pub reason: Option<String>,
    /// How often the bot was asked.
    pub iterations: u32,
    /// What it read, in tokens.
    pub input_tokens: u64,
    /// What it wrote, in tokens.
    pub output_tokens: u64,
    /// Who started it, `api_key:key_…`.
    pub started_by: String,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it last went on.
    pub updated_at: Millis,
    /// When its first step began.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
}

/// An execution to be started.
#[derive(Clone, Debug)]
pub struct NewExecution {
    /// Of which loop.
    pub agent_loop: AgentLoopId,
    /// What it is given, as JSON.
    pub input: String,
    /// The notes of whoever starts it, as JSON.
    pub metadata: Option<String>,
    /// The loop as it is now, as JSON.
    pub state: String,
    /// Who starts it.
    pub started_by: String,
}

/// One thing that an execution did.
#[derive(Clone, Debug)]
pub struct ExecutionStepRecord {
    /// Which, from 1.
    pub position: u32,
    /// What it was.
    pub kind: String,
    /// Its content, as JSON.
    pub data: String,
    /// How long it took.
    pub took_ms: u64,
    /// When it was over.
    pub at: Millis,
}

/// One thing that an execution has just done.
#[derive(Clone, Debug)]
pub struct NewExecutionStep {
    /// Which, from 1: another of the same number is a conflict.
    pub position: u32,
    /// What it was.
    pub kind: &'static str,
    /// Its content, as JSON.
    pub data: String,
    /// How long it took.
    pub took_ms: u64,
    /// 1 for an answer of the bot.
    pub iterations: u32,
    /// What the bot read.
    pub input_tokens: u64,
    /// What the bot wrote.
    pub output_tokens: u64,
}

/// How an execution ends.
#[derive(Clone, Debug)]
pub struct ExecutionEnd {
    /// `completed`, `failed`, `stopped` or `cancelled`.
    pub status: &'static str,
    /// What the bot said last.
    pub output: Option<String>,
    /// Why it did not complete.
    pub reason: Option<String>,
}

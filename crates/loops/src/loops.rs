use std::{fmt, sync::Arc};

use access::Tenant;
use ambient::{AgentLoopId, BotId, Clock, ExecutionId, KeyId, Random, WebhookId};
use chat::Chat;
use cluster::Cluster;
use credential::{Secrets, webhook};
use runs::Runs;
use serde_json::Value;
use store::{
    AgentLoopDraft, AgentLoopRecord, AuditEntry, CallbackDraft, ExecutionRecord, NewExecution, Store, StoreError,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

use crate::{
    LoopError,
    execution::{Frozen, end, told},
    executor::{self, Desk},
    tool::{self, Tool},
};

const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 1000;
const MAX_PROMPT: usize = 32_000;
const MAX_CALLBACK_URL: usize = 2048;
const MAX_ITERATIONS: u32 = 50;
const MAX_SECONDS: u32 = 3600;
/// The most bytes of an input, as JSON.
const MAX_INPUT: usize = 64 * 1024;
/// Executions that are looked for at once when their loop is deleted.
const BATCH: u32 = 100;

/// What [`Loops`] is made of.
pub struct LoopsParts {
    /// Where loops are kept.
    pub store: Store,
    /// Grants: an execution ends with the key that started it.
    pub cluster: Cluster,
    /// Asks bots.
    pub chat: Chat,
    /// Opens the connections of tools.
    pub runs: Runs,
    /// Calls tools.
    pub outbound: outbound::Client,
    /// Seals what signs callbacks.
    pub secrets: Arc<Secrets>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For ids and secrets.
    pub random: Arc<dyn Random>,
    /// Executions run on it, so that a stopping server waits until what came is stored.
    pub drain: TaskTracker,
}

/// Agent loops. Clones share everything; when the last one goes, no execution begins any more.
#[derive(Clone)]
pub struct Loops(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) parts: LoopsParts,
    pub(crate) desk: Desk,
    pub(crate) stopping: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl fmt::Debug for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loops").finish_non_exhaustive()
    }
}

/// A loop to be made.
#[derive(Clone, Debug)]
pub struct NewLoop {
    /// Who is asked.
    pub bot: BotId,
    /// What people call it, 1 to 100 characters.
    pub name: String,
    /// What it is for, at most 1,000 characters.
    pub description: Option<String>,
    /// What the bot is told, 1 to 32,000 characters.
    pub prompt: String,
    /// What the bot may call, at most [`crate::MAX_TOOLS`].
    pub tools: Vec<Tool>,
    /// How often the bot is asked, 1 to 50.
    pub max_iterations: u32,
    /// How long an execution may take, 1 to 3,600 seconds.
    pub timeout_seconds: u32,
    /// Where an ended execution is told.
    pub callback_url: Option<String>,
}

/// A change of a loop; `None` leaves a member as it is.
#[derive(Clone, Debug, Default)]
pub struct LoopUpdate {
    /// Who is asked.
    pub bot: Option<BotId>,
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// What the bot is told.
    pub prompt: Option<String>,
    /// What the bot may call, all of it.
    pub tools: Option<Vec<Tool>>,
    /// How often the bot is asked.
    pub max_iterations: Option<u32>,
    /// How long an execution may take, in seconds.
    pub timeout_seconds: Option<u32>,
    /// Where an ended execution is told. Another address has another secret.
    pub callback_url: Option<Option<String>>,
}

/// The secret of a callback that was just set, shown once.
pub type Callback = Option<Zeroizing<String>>;

/// What an execution is started with.
#[derive(Clone, Debug)]
pub struct Execute {
    /// What the bot is given.
    pub input: Value,
    /// The notes of whoever starts it, as JSON.
    pub metadata: Option<String>,
    /// Who starts it, `api_key:key_…`.
    pub started_by: String,
    /// Under which key, and its epoch.
    pub key: Option<(KeyId, u32)>,
}

impl Loops {
    /// Puts it together; nothing is executed before [`Loops::resume`].
    #[must_use]
    pub fn new(parts: LoopsParts) -> Self {
        Self(Arc::new(Inner { parts, desk: Desk::default(), stopping: CancellationToken::new() }))
    }

    /// Begins to execute what is asked for and what a crash left. Once.
    pub fn resume(&self) {
        executor::spawn(&self.0);
    }

    /// Cuts what goes on and begins no more. Whoever resumes goes on with it.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Makes a loop; gives the secret that signs its callback, if it has one.
    ///
    /// # Errors
    /// [`LoopError::Invalid`] for fields, [`LoopError::Full`].
    pub async fn create(
        &self,
        tenant: Tenant,
        new: NewLoop,
        audit: AuditEntry<'_>,
    ) -> Result<(AgentLoopRecord, Callback), LoopError> {
        let data = self.0.parts.store.workspace(tenant);
        self.0.check(tenant, &new).await?;
        let (callback, secret) = match new.callback_url.clone() {
            Some(url) => self.0.callback(tenant, None, url)?,
            None => (CallbackDraft::Nobody, None),
        };
        let made = data.create_agent_loop(draft(data.new_id()?, new, callback)?, audit).await?;
        Ok((made, secret))
    }

    /// Changes a loop; executions that were started before stay what they are. Gives the secret of another
    /// callback. Who calls this for one loop at a time loses no change.
    ///
    /// # Errors
    /// [`LoopError::NotFound`], [`LoopError::Invalid`] for fields.
    pub async fn update(
        &self,
        tenant: Tenant,
        id: AgentLoopId,
        change: LoopUpdate,
        audit: AuditEntry<'_>,
    ) -> Result<(AgentLoopRecord, Callback), LoopError> {
        let data = self.0.parts.store.workspace(tenant);
        let old = data.agent_loop(id).await?;
        let callback_url = change.callback_url.unwrap_or_else(|| old.callback_url.clone());
        let new = NewLoop {
            bot: change.bot.unwrap_or(old.bot),
            name: change.name.unwrap_or(old.name),
            description: change.description.unwrap_or(old.description),
            prompt: change.prompt.unwrap_or(old.prompt),
            tools: match change.tools {
                Some(tools) => tools,
                None => serde_json::from_str(&old.tools).map_err(LoopError::unavailable)?,
            },
            max_iterations: change.max_iterations.unwrap_or(old.max_iterations),
            timeout_seconds: change.timeout_seconds.unwrap_or(old.timeout_seconds),
            callback_url,
        };
        self.0.check(tenant, &new).await?;
        let (callback, secret) = match new.callback_url.clone() {
            None => (CallbackDraft::Nobody, None),
            url if url == old.callback_url => (CallbackDraft::Keep, None),
            Some(url) => self.0.callback(tenant, old.webhook, url)?,
        };
        let changed = data.update_agent_loop(draft(id, new, callback)?, audit).await?;
        Ok((changed, secret))
    }

    /// Deletes a loop with its executions; those that go on are cut.
    ///
    /// # Errors
    /// [`LoopError::NotFound`].
    pub async fn delete(&self, tenant: Tenant, id: AgentLoopId, audit: AuditEntry<'_>) -> Result<(), LoopError> {
        let data = self.0.parts.store.workspace(tenant);
        loop {
            let open = data.open_executions(id, BATCH).await?;
            for execution in &open {
                let ended =
                    data.finish_execution(*execution, Vec::new(), end("cancelled", "deleted", None), told, None);
                match ended.await {
                    Ok(_) | Err(StoreError::NotFound | StoreError::Conflict(_)) => self.0.desk.cut(*execution),
                    Err(error) => return Err(error.into()),
                }
            }
            if open.is_empty() {
                break;
            }
        }
        Ok(data.delete_agent_loop(id, audit).await?)
    }

    /// Starts an execution of a loop as it is now; it is stored and `pending` when this returns.
    ///
    /// # Errors
    /// [`LoopError::NotFound`], [`LoopError::Invalid`] for the input, [`LoopError::Busy`].
    pub async fn execute(
        &self,
        tenant: Tenant,
        id: AgentLoopId,
        execute: Execute,
        audit: AuditEntry<'_>,
    ) -> Result<ExecutionRecord, LoopError> {
        let data = self.0.parts.store.workspace(tenant);
        let own = data.agent_loop(id).await?;
        let input = execute.input.to_string();
        if input.len() > MAX_INPUT || input.contains("\\u0000") {
            return Err(LoopError::invalid("input", "must be at most 64 KiB, written as JSON, without U+0000"));
        }
        let (key, epoch) = execute.key.map_or((None, 0), |(key, epoch)| (Some(key), epoch));
        let frozen = Frozen {
            bot: own.bot,
            prompt: own.prompt,
            tools: serde_json::from_str(&own.tools).map_err(LoopError::unavailable)?,
            max_iterations: own.max_iterations,
            timeout_seconds: own.timeout_seconds,
            key,
            epoch,
        };
        let state = serde_json::to_string(&frozen).map_err(LoopError::unavailable)?;
        let Execute { metadata, started_by, .. } = execute;
        let new = NewExecution { agent_loop: id, input, metadata, state, started_by };
        let started = data.create_execution(new, audit).await?;
        self.0.desk.wake();
        Ok(started)
    }

    /// Ends an execution; what it has under way is cut.
    ///
    /// # Errors
    /// [`LoopError::NotFound`], [`LoopError::Ended`].
    pub async fn cancel(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        audit: AuditEntry<'_>,
    ) -> Result<ExecutionRecord, LoopError> {
        let data = self.0.parts.store.workspace(tenant);
        let ended =
            data.finish_execution(id, Vec::new(), end("cancelled", "cancelled", None), told, Some(audit)).await?;
        self.0.desk.cut(id);
        Ok(ended)
    }
}

impl Inner {
    async fn check(&self, tenant: Tenant, new: &NewLoop) -> Result<(), LoopError> {
        let mut faults = Vec::new();
        let mut text = |field: &str, value: &str, least: usize, most: usize| {
            let count = value.chars().count();
            if count < least || count > most || value.contains('\0') || least > 0 && value.trim().is_empty() {
                faults.push((field.to_owned(), format!("must be {least} to {most} characters, without U+0000")));
            }
        };
        text("name", &new.name, 1, MAX_NAME);
        text("description", new.description.as_deref().unwrap_or_default(), 0, MAX_DESCRIPTION);
        text("prompt", &new.prompt, 1, MAX_PROMPT);
        let mut number = |field: &str, value: u32, most: u32| {
            if !(1..=most).contains(&value) {
                faults.push((field.to_owned(), format!("must be 1 to {most}")));
            }
        };
        number("max_iterations", new.max_iterations, MAX_ITERATIONS);
        number("timeout_seconds", new.timeout_seconds, MAX_SECONDS);
        faults.extend(tool::check(&new.tools, &self.parts.outbound));
        if let Some(url) = &new.callback_url {
            if url.len() > MAX_CALLBACK_URL {
                faults.push(("callback_url".to_owned(), "must be at most 2048 bytes".to_owned()));
            } else if let Err(refusal) = self.parts.outbound.check_url(url) {
                faults.push(("callback_url".to_owned(), refusal.to_string()));
            }
        }
        let data = self.parts.store.workspace(tenant);
        if is_missing(data.bot(new.bot).await.map(|_| ()))? {
            faults.push(("bot_id".to_owned(), "there is no such bot".to_owned()));
        }
        for (n, tool) in new.tools.iter().enumerate() {
            let Some(connection) = tool.connection() else { continue };
            if is_missing(data.connection(connection).await.map(|_| ()))? {
                faults.push((format!("tools[{n}].connection"), "there is no such connection".to_owned()));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(LoopError::Invalid(faults)) }
    }

    fn callback(
        &self,
        tenant: Tenant,
        own: Option<WebhookId>,
        url: String,
    ) -> Result<(CallbackDraft, Callback), LoopError> {
        let parts = &self.parts;
        let id = match own {
            Some(id) => id,
            None => WebhookId::mint(&*parts.clock, &*parts.random).map_err(LoopError::unavailable)?,
        };
        let place = webhook::secret_place(&tenant.workspace, &tenant.environment, &id);
        let minted = webhook::mint_sealed(&parts.secrets, &place, &*parts.random).map_err(LoopError::unavailable)?;
        Ok((CallbackDraft::To { id, url, secret_sealed: minted.sealed }, Some(minted.shown)))
    }
}

fn is_missing(found: Result<(), StoreError>) -> Result<bool, LoopError> {
    match found {
        Ok(()) => Ok(false),
        Err(StoreError::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn draft(id: AgentLoopId, new: NewLoop, callback: CallbackDraft) -> Result<AgentLoopDraft, LoopError> {
    let NewLoop { bot, name, description, prompt, tools, max_iterations, timeout_seconds, .. } = new;
    let tools = serde_json::to_string(&tools).map_err(LoopError::unavailable)?;
    Ok(AgentLoopDraft { id, bot, name, description, prompt, tools, max_iterations, timeout_seconds, callback })
}

//! One execution, from where it is to its end.

use std::time::Duration;

use access::{Role, Scope};
use ambient::{BotId, KeyId, MemberId};
use chat::{AskError, ToolQuestion};
use cluster::{CutReason, Opener};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{ExecutionEnd, ExecutionRecord, NewExecutionStep, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    LoopError,
    executor::Place,
    loops::Inner,
    steps::{Progress, answered, begun, returned},
    tool::Tool,
    toolbox::{NoTools, Toolbox},
};

/// Before what failed on our side is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// The most characters of an answer that an event tells; the whole is read by a call.
const MAX_TOLD: usize = 8000;
/// More steps than an execution can have.
const MAX_STEPS: u32 = 10_000;

/// A loop as it was when an execution was started, and who did.
#[derive(Deserialize, Serialize)]
pub(crate) struct Frozen {
    pub(crate) bot: BotId,
    pub(crate) prompt: String,
    pub(crate) tools: Vec<Tool>,
    pub(crate) max_iterations: u32,
    pub(crate) timeout_seconds: u32,
    /// Under which key: when it goes, so does this.
    pub(crate) key: Option<KeyId>,
    pub(crate) epoch: u32,
}

/// Why an execution does not go on.
enum Halt {
    /// It is to end like this, after these steps.
    End(ExecutionEnd, Vec<NewExecutionStep>),
    /// Somebody else has ended it, or will go on with it.
    Left,
    /// Our own outage.
    Failed(LoopError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound | StoreError::Conflict(_) => Self::Left,
            other => Self::Failed(other.into()),
        }
    }
}

impl From<LoopError> for Halt {
    fn from(error: LoopError) -> Self {
        Self::Failed(error)
    }
}

pub(crate) fn end(status: &'static str, reason: &str, output: Option<String>) -> ExecutionEnd {
    ExecutionEnd { status, output, reason: Some(reason.to_owned()) }
}

impl Inner {
    /// Goes on until it is over, cut, or must wait for our own database.
    pub(crate) async fn carry_on(&self, place: &Place) {
        let data = self.parts.store.workspace(place.tenant);
        let done = match self.drive(place).await {
            Halt::Left => Ok(()),
            Halt::Failed(error) => Err(error),
            Halt::End(end, steps) => match data.finish_execution(place.id, steps, end, told, None).await {
                Ok(_) | Err(StoreError::NotFound | StoreError::Conflict(_)) => Ok(()),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = done {
            let error: &dyn std::error::Error = &error;
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            tracing::warn!(execution = %place.id, cause, "an execution is tried again");
            place.cut.run_until_cancelled(sleep(RETRY)).await;
        }
    }

    async fn drive(&self, place: &Place) -> Halt {
        let data = self.parts.store.workspace(place.tenant);
        let record = match data.execution(place.id).await {
            Ok(record) if record.finished_at.is_none() => record,
            Ok(_) => return Halt::Left,
            Err(error) => return error.into(),
        };
        let Ok(frozen) = serde_json::from_str::<Frozen>(&record.state) else {
            return Halt::End(end("failed", "unreadable", None), Vec::new());
        };
        // In the tree of grants before it is looked whether the key still lives: nothing goes on without it.
        let grant = match frozen.key {
            None => None,
            Some(key) => {
                if let Err(error) = self.parts.cluster.find_key(key).await {
                    return Halt::Failed(LoopError::unavailable(error));
                }
                let opener = Opener { key, epoch: frozen.epoch, origin: None };
                match self.parts.cluster.hold_opened(&opener) {
                    Some(grant) => Some(grant),
                    None => return Halt::End(end("cancelled", CutReason::Revoked.as_str(), None), Vec::new()),
                }
            }
        };
        let cancelled = async {
            match &grant {
                Some(grant) => grant.cancelled().await,
                None => std::future::pending().await,
            }
        };
        // What a model has been asked is paid for, so it is cut and waited for, and not dropped.
        let cut = CancellationToken::new();
        let mut going = std::pin::pin!(self.go(place, &record, &frozen, &cut));
        let why = tokio::select! {
            biased;
            () = place.cut.cancelled() => Halt::Left,
            reason = cancelled => match reason {
                CutReason::Shutdown => Halt::Left,
                reason => Halt::End(end("cancelled", reason.as_str(), None), Vec::new()),
            },
            () = sleep(self.left(&record, &frozen)) => Halt::End(end("stopped", "timeout", None), Vec::new()),
            halt = &mut going => return halt,
        };
        cut.cancel();
        going.await;
        why
    }

    /// How long it may still take.
    fn left(&self, record: &ExecutionRecord, frozen: &Frozen) -> Duration {
        let (now, limit) = (self.parts.clock.now(), i64::from(frozen.timeout_seconds) * 1000);
        let left = record.started_at.unwrap_or(now).plus(limit).since(now);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    async fn go(&self, place: &Place, record: &ExecutionRecord, frozen: &Frozen, cut: &CancellationToken) -> Halt {
        match self.try_go(place, record, frozen, cut).await {
            Ok(never) => match never {},
            Err(halt) => halt,
        }
    }

    async fn try_go(
        &self,
        place: &Place,
        record: &ExecutionRecord,
        frozen: &Frozen,
        cut: &CancellationToken,
    ) -> Result<std::convert::Infallible, Halt> {
        let data = self.parts.store.workspace(place.tenant);
        data.begin_execution(place.id).await?;
        let steps = data.execution_steps(place.id, MAX_STEPS).await?;
        let mut progress = Progress::resume(&record.input, &steps)?;
        drop(steps);
        let toolbox = cut.run_until_cancelled(self.open_tools(place.tenant, &frozen.tools)).await.ok_or(Halt::Left)?;
        let toolbox = toolbox.map_err(|error| match error {
            NoTools::Failed(code) => Halt::End(end("failed", code, progress.said.clone()), Vec::new()),
            NoTools::Unavailable(error) => Halt::Failed(error),
        })?;
        loop {
            if progress.is_too_large() {
                return Err(Halt::End(end("stopped", "too_large", progress.said.take()), Vec::new()));
            }
            // Also what the last answer calls is not called: nobody would look at the result.
            if progress.iterations >= frozen.max_iterations {
                return Err(Halt::End(end("stopped", "max_iterations", progress.said.take()), Vec::new()));
            }
            self.check_starter(place, record, frozen).await?;
            if progress.calls.is_empty() {
                self.ask(place, frozen, &toolbox, &mut progress, cut).await?;
            } else {
                self.call(place, &toolbox, &mut progress, cut).await?;
            }
        }
    }

    /// Whether who started it may still start it: looked at before each question and each call.
    async fn check_starter(&self, place: &Place, record: &ExecutionRecord, frozen: &Frozen) -> Result<(), Halt> {
        let person = record.started_by.strip_prefix("member:").map(str::parse::<MemberId>);
        let may = match (frozen.key, person) {
            (Some(key), _) => {
                let key = self.parts.cluster.find_key(key).await;
                let scopes = key.map_err(|error| Halt::Failed(LoopError::unavailable(error)))?.map(|key| key.scopes());
                scopes.is_some_and(|scopes| scopes.allows(Scope::AgentLoopsWrite))
            }
            (None, Some(Ok(person))) => match self.parts.store.workspace(place.tenant).member(person).await {
                Ok(member) => member.role >= Role::Admin,
                Err(StoreError::NotFound) => false,
                Err(error) => return Err(error.into()),
            },
            (None, _) => true,
        };
        if may { Ok(()) } else { Err(Halt::End(end("cancelled", CutReason::Revoked.as_str(), None), Vec::new())) }
    }

    async fn ask(
        &self,
        place: &Place,
        frozen: &Frozen,
        toolbox: &Toolbox,
        progress: &mut Progress,
        cut: &CancellationToken,
    ) -> Result<(), Halt> {
        let (messages, tools) = (progress.messages.clone(), toolbox.told().to_vec());
        let question = ToolQuestion { instructions: frozen.prompt.clone(), messages, tools };
        let started = self.parts.clock.elapsed();
        let asked = self.parts.chat.ask_with_tools(place.tenant, frozen.bot, question, cut).await;
        let (answer, usage) = asked.map_err(|error| match error {
            AskError::Failed(_) if cut.is_cancelled() => Halt::Left,
            AskError::Failed(code) => Halt::End(end("failed", code, progress.said.take()), Vec::new()),
            AskError::Unavailable(cause) => Halt::Failed(LoopError::Unavailable(cause)),
        })?;
        let is_last = answer.calls.is_empty();
        let step = progress.step(&answered(answer, usage), self.took(started))?;
        if is_last {
            let output = Some(progress.said.take().unwrap_or_default());
            let completed = ExecutionEnd { status: "completed", output, reason: None };
            return Err(Halt::End(completed, vec![step]));
        }
        Ok(self.parts.store.workspace(place.tenant).save_execution_steps(place.id, vec![step]).await?)
    }

    /// The first call that has no result yet. One that was begun before may have been made: it is made again, and
    /// says which one it is.
    async fn call(
        &self,
        place: &Place,
        toolbox: &Toolbox,
        progress: &mut Progress,
        cut: &CancellationToken,
    ) -> Result<(), Halt> {
        let data = self.parts.store.workspace(place.tenant);
        let Some(call) = progress.calls.front().cloned() else { return Ok(()) };
        let number = match progress.begun {
            Some(number) => number,
            None => {
                let step = progress.step(&begun(&call), 0)?;
                data.save_execution_steps(place.id, vec![step]).await?;
                progress.position
            }
        };
        let (started, key) = (self.parts.clock.elapsed(), format!("{}/{number}", place.id));
        let calling = self.call_tool(place.tenant, toolbox, &call, &key);
        let outcome = cut.run_until_cancelled(calling).await.ok_or(Halt::Left)??;
        let step = progress.step(&returned(&call, outcome), self.took(started))?;
        Ok(data.save_execution_steps(place.id, vec![step]).await?)
    }

    fn took(&self, started: Duration) -> u64 {
        let took = self.parts.clock.elapsed().saturating_sub(started);
        u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What whoever wants to know is told.
pub(crate) fn told(record: &ExecutionRecord) -> Value {
    let output = record.output.as_deref();
    let shown: Option<String> = output.map(|text| text.chars().take(MAX_TOLD).collect());
    let is_cut = output.is_some_and(|text| text.chars().nth(MAX_TOLD).is_some());
    let metadata: Value =
        record.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    json!({
        "id": record.id, "agent_loop_id": record.agent_loop, "status": record.status, "reason": record.reason,
        "output": shown, "output_is_cut": is_cut, "iterations": record.iterations,
        "usage": {"input_tokens": record.input_tokens, "output_tokens": record.output_tokens},
        "metadata": metadata, "started_by": record.started_by, "created_at": record.created_at,
        "started_at": record.started_at, "finished_at": record.finished_at,
    })
}

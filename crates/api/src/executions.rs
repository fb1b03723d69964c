//! Executions of agent loops: started, looked at step by step, cancelled.

use access::{Access, Caller, Limit, Role, Scope};
use ambient::{AgentLoopId, ExecutionId, Millis};
use gate::{Call, Data, List, Nothing, Operation, PageQuery, Problem, Routes};
use loops::{Execute, StepData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{ExecutionRecord, ExecutionStepRecord};

use crate::{
    App,
    agent_loops::of_loop,
    input::{self, Metadata},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::AgentLoopsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::AgentLoopsWrite).audited();

pub(crate) const RUN_AGENT_LOOP: Operation<RunInput, Data<Started>> = Operation::post(
    "/v1/agent-loops/{id}/run",
    "run_agent_loop",
    "Start an execution of an agent loop; it goes on after the answer.",
    WRITE,
)
.accepts();
pub(crate) const LIST_EXECUTIONS: Operation<PageQuery, List<Execution>> = Operation::get(
    "/v1/agent-loops/{id}/executions",
    "list_executions",
    "List the executions of an agent loop without steps and inputs, the newest first.",
    READ,
);
pub(crate) const GET_EXECUTION: Operation<Nothing, Data<ExecutionWithSteps>> =
    Operation::get("/v1/executions/{id}", "get_execution", "Read an execution with its steps.", READ);
pub(crate) const CANCEL_EXECUTION: Operation<Nothing, Data<Execution>> = Operation::post(
    "/v1/executions/{id}/cancel",
    "cancel_execution",
    "End an execution; what it has under way is cut.",
    WRITE,
);

/// More steps than an execution can have.
const MAX_STEPS: u32 = 10_000;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(RUN_AGENT_LOOP, run_agent_loop);
    routes.mount(LIST_EXECUTIONS, list_executions);
    routes.mount(GET_EXECUTION, get_execution);
    routes.mount(CANCEL_EXECUTION, cancel_execution);
}

/// A text or an object.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ExecutionInput")]
pub(crate) enum Given {
    /// As the bot reads it.
    Text(String),
    /// Written as JSON for the bot.
    Object(Map<String, Value>),
}

/// What an execution is started with.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunInput {
    /// What the bot is given besides the prompt: a text or an object, at most 64 KiB, written as JSON.
    #[serde(default)]
    input: Option<Given>,
    /// Notes of your own, at most 4 KiB, written as JSON; they come back in events and lists.
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// How an execution stands.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ExecutionStatus")]
pub(crate) enum Status {
    /// Its turn has not come yet.
    Pending,
    /// It goes on.
    Running,
    /// The bot has said its last word.
    Completed,
    /// The bot or a server of tools could not be asked; `reason` says why.
    Failed,
    /// It met a limit: `max_iterations`, `timeout` or `too_large`.
    Stopped,
    /// Somebody has ended it, or the key that started it has gone.
    Cancelled,
}

/// An execution that was just started.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StartedExecution")]
pub(crate) struct Started {
    /// Its id.
    id: ExecutionId,
    /// How it stands.
    status: Status,
}

/// What a bot read and wrote.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExecutionUsage")]
pub(crate) struct Tokens {
    /// Tokens that it read.
    input_tokens: u64,
    /// Tokens that it wrote.
    output_tokens: u64,
}

/// One execution of an agent loop.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Execution {
    /// Its id.
    id: ExecutionId,
    /// Of which loop.
    agent_loop_id: AgentLoopId,
    /// How it stands.
    status: Status,
    /// Why it did not complete, or stopped early: a stable code.
    reason: Option<String>,
    /// What the bot said last; in lists its first 1,000 characters.
    output: Option<String>,
    /// How often the bot was asked.
    iterations: u32,
    /// What that came to.
    usage: Tokens,
    /// Notes of whoever started it.
    metadata: Option<Metadata>,
    /// Who started it, such as `api_key:key_…`.
    started_by: String,
    /// When it was asked for.
    created_at: Millis,
    /// When it last went on.
    updated_at: Millis,
    /// When its first step began.
    started_at: Option<Millis>,
    /// When it ended.
    finished_at: Option<Millis>,
}

/// An execution with all that it did.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ExecutionWithSteps {
    #[serde(flatten)]
    execution: Execution,
    /// What the bot was given.
    input: Option<Given>,
    /// What it did, in order.
    steps: Vec<Step>,
}

/// One thing that an execution did.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionStep")]
pub(crate) struct Step {
    /// Which, from 1.
    position: u32,
    /// What it was.
    #[serde(flatten)]
    data: StepData,
    /// How long it took, in milliseconds.
    took_ms: u64,
    /// When it was over.
    created_at: Millis,
}

fn read_status(text: &str) -> Result<Status, Problem> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(Problem::unavailable)
}

impl Execution {
    fn of(record: ExecutionRecord) -> Result<Self, Problem> {
        Ok(Self {
            id: record.id,
            agent_loop_id: record.agent_loop,
            status: read_status(&record.status)?,
            reason: record.reason,
            output: record.output,
            iterations: record.iterations,
            usage: Tokens { input_tokens: record.input_tokens, output_tokens: record.output_tokens },
            metadata: record.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            started_by: record.started_by,
            created_at: record.created_at,
            updated_at: record.updated_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
        })
    }
}

impl Step {
    fn of(record: &ExecutionStepRecord) -> Result<Self, Problem> {
        let data = serde_json::from_str(&record.data).map_err(Problem::unavailable)?;
        Ok(Self { position: record.position, data, took_ms: record.took_ms, created_at: record.at })
    }
}

async fn run_agent_loop(app: App, call: Call<RunInput>) -> Result<Data<Started>, Problem> {
    let (tenant, id, actor) = (call.tenant()?, call.id::<AgentLoopId>("id")?, call.actor());
    let mut errors = Vec::new();
    if let Some(metadata) = &call.input.metadata {
        input::metadata(&mut errors, metadata);
    }
    input::done(errors)?;
    let key = match &call.caller {
        Caller::Key(key) => Some((key.key, key.epoch)),
        _ => None,
    };
    let audit = call.audit(&actor, None);
    let execute = Execute {
        input: serde_json::to_value(&call.input.input).map_err(Problem::unavailable)?,
        metadata: call.input.metadata.map(|metadata| Value::Object(metadata).to_string()),
        started_by: actor.to_string(),
        key,
    };
    let started = app.loops().execute(tenant, id, execute, audit).await.map_err(of_loop)?;
    Ok(Data::new(Started { id: started.id, status: read_status(&started.status)? }))
}

async fn list_executions(app: App, call: Call<PageQuery>) -> Result<List<Execution>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let of = data.agent_loop(call.id("id")?).await?.id;
    let page = data.executions(of, request).await?;
    let rows = page.rows.iter().cloned().map(Execution::of).collect::<Result<Vec<_>, _>>()?;
    Ok(List::of(page.with_rows(rows), request, |row| row))
}

async fn get_execution(app: App, call: Call<Nothing>) -> Result<Data<ExecutionWithSteps>, Problem> {
    let (data, id) = (app.workspace(&call)?, call.id::<ExecutionId>("id")?);
    let record = data.execution(id).await?;
    let steps = data.execution_steps(id, MAX_STEPS).await?;
    let steps = steps.iter().map(Step::of).collect::<Result<_, _>>()?;
    let input = serde_json::from_str(&record.input).map_err(Problem::unavailable)?;
    Ok(Data::new(ExecutionWithSteps { execution: Execution::of(record)?, input, steps }))
}

async fn cancel_execution(app: App, call: Call<Nothing>) -> Result<Data<Execution>, Problem> {
    let (tenant, actor) = (call.tenant()?, call.actor());
    let ended = app.loops().cancel(tenant, call.id("id")?, call.audit(&actor, None)).await.map_err(of_loop)?;
    Ok(Data::new(Execution::of(ended)?))
}

//! Agent loops: a prompt, a bot and what it may call. Executions are in their own file.

use access::{Access, Limit, Role, Scope};
use ambient::{AgentLoopId, BotId, Millis};
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes};
use loops::{Callback, LoopError, LoopUpdate, NewLoop as NewRecord, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::AgentLoopRecord;

use crate::{App, connections};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::AgentLoopsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::AgentLoopsWrite).audited();

pub(crate) const LIST_AGENT_LOOPS: Operation<PageQuery, List<AgentLoop>> = Operation::get(
    "/v1/agent-loops",
    "list_agent_loops",
    "List agent loops without their prompts and tools, the newest first.",
    READ,
);
pub(crate) const CREATE_AGENT_LOOP: Operation<NewAgentLoop, Data<AgentLoopWithSecret>> = Operation::post(
    "/v1/agent-loops",
    "create_agent_loop",
    "Create an agent loop; what signs its callback is shown once.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const GET_AGENT_LOOP: Operation<Nothing, Data<AgentLoop>> =
    Operation::get("/v1/agent-loops/{id}", "get_agent_loop", "Read an agent loop.", READ);
pub(crate) const UPDATE_AGENT_LOOP: Operation<AgentLoopPatch, Data<AgentLoopWithSecret>> = Operation::patch(
    "/v1/agent-loops/{id}",
    "update_agent_loop",
    "Change an agent loop; executions that were started before stay what they are.",
    WRITE,
)
.dangerous();
pub(crate) const DELETE_AGENT_LOOP: Operation<Nothing, Empty> = Operation::delete(
    "/v1/agent-loops/{id}",
    "delete_agent_loop",
    "Delete an agent loop with its executions; those that go on are cut.",
    WRITE,
)
.answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_AGENT_LOOPS, list_agent_loops);
    routes.mount(CREATE_AGENT_LOOP, create_agent_loop);
    routes.mount(GET_AGENT_LOOP, get_agent_loop);
    routes.mount(UPDATE_AGENT_LOOP, update_agent_loop);
    routes.mount(DELETE_AGENT_LOOP, delete_agent_loop);
}

/// An agent loop to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAgentLoop {
    /// What people call it, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// What it is for, at most 1,000 characters.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    description: Option<String>,
    /// What the bot is told besides its own instructions, 1 to 32,000 characters.
    #[schemars(length(min = 1, max = 32000))]
    prompt: String,
    /// The bot that is asked. One that echoes answers at once and calls nothing.
    bot_id: BotId,
    /// What it may call, at most 32.
    #[serde(default)]
    #[schemars(length(max = 32))]
    tools: Vec<Tool>,
    /// How often the bot is asked at most; 10 by default.
    #[serde(default = "iterations")]
    #[schemars(range(min = 1, max = 50))]
    max_iterations: u32,
    /// How long one execution may take, in seconds; 300 by default.
    #[serde(default = "seconds")]
    #[schemars(range(min = 1, max = 3600))]
    timeout_seconds: u32,
    /// Where `agent_loop.finished` is sent when an execution has ended, signed as webhooks are.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    callback_url: Option<String>,
}

const fn iterations() -> u32 {
    10
}

const fn seconds() -> u32 {
    300
}

/// What is to be different about an agent loop; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentLoopPatch {
    /// What people call it, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// What it is for, at most 1,000 characters.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(length(max = 1000))]
    description: Option<Option<String>>,
    /// What the bot is told, 1 to 32,000 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 32000))]
    prompt: Option<String>,
    /// The bot that is asked.
    #[serde(default)]
    bot_id: Option<BotId>,
    /// What it may call, all of it.
    #[serde(default)]
    #[schemars(length(max = 32))]
    tools: Option<Vec<Tool>>,
    /// How often the bot is asked at most.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    max_iterations: Option<u32>,
    /// How long one execution may take, in seconds.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3600))]
    timeout_seconds: Option<u32>,
    /// Where ended executions are told; another address has another secret, `null` tells nobody.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(length(max = 2048))]
    callback_url: Option<Option<String>>,
}

/// A prompt, a bot and what it may call.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AgentLoop {
    /// Its id.
    id: AgentLoopId,
    /// What people call it.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// What the bot is told; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    /// The bot that is asked.
    bot_id: BotId,
    /// What it may call; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool>>,
    /// How often the bot is asked at most.
    max_iterations: u32,
    /// How long one execution may take, in seconds.
    timeout_seconds: u32,
    /// Where ended executions are told.
    callback_url: Option<String>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

/// An agent loop that was just made or changed. Nobody shows `callback_secret` again.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AgentLoopWithSecret {
    #[serde(flatten)]
    agent_loop: AgentLoop,
    /// What signs the callback, `whsec_…`, when its address was just set.
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_secret: Option<String>,
}

impl AgentLoop {
    fn listed(record: AgentLoopRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            description: record.description,
            prompt: None,
            bot_id: record.bot,
            tools: None,
            max_iterations: record.max_iterations,
            timeout_seconds: record.timeout_seconds,
            callback_url: record.callback_url,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }

    fn whole(record: AgentLoopRecord) -> Result<Self, Problem> {
        let tools = serde_json::from_str(&record.tools).map_err(Problem::unavailable)?;
        Ok(Self { prompt: Some(record.prompt.clone()), tools: Some(tools), ..Self::listed(record) })
    }
}

fn with_secret((record, secret): (AgentLoopRecord, Callback)) -> Result<Data<AgentLoopWithSecret>, Problem> {
    let callback_secret = secret.map(|secret| secret.to_string());
    Ok(Data::new(AgentLoopWithSecret { agent_loop: AgentLoop::whole(record)?, callback_secret }))
}

/// The answer to what a loop does not take.
pub(crate) fn of_loop(error: LoopError) -> Problem {
    match error {
        LoopError::NotFound => Problem::not_found(),
        LoopError::Invalid(faults) => {
            Problem::validation(faults.into_iter().map(|(field, message)| FieldError::new(field, message)).collect())
        }
        LoopError::Full(sentence) => Problem::conflict(sentence),
        LoopError::Busy => Problem::rate_limited(60),
        LoopError::Ended => Problem::conflict("This execution is over"),
        other => Problem::unavailable(other),
    }
}

/// A tool sends a connection's secrets wherever its author lets it: who writes one may know connections.
fn may_use<I>(call: &Call<I>, tools: &[Tool]) -> Result<(), Problem> {
    if tools.iter().any(|tool| tool.connection().is_some()) {
        connections::READ.decide(&call.caller)?;
    }
    Ok(())
}

async fn list_agent_loops(app: App, call: Call<PageQuery>) -> Result<List<AgentLoop>, Problem> {
    let request = call.input.request()?;
    let page = app.workspace(&call)?.agent_loops(request).await?;
    Ok(List::of(page, request, AgentLoop::listed))
}

async fn create_agent_loop(app: App, call: Call<NewAgentLoop>) -> Result<Data<AgentLoopWithSecret>, Problem> {
    let tenant = call.tenant()?;
    may_use(&call, &call.input.tools)?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"name": call.input.name, "bot_id": call.input.bot_id})));
    let sent = call.input;
    let new = NewRecord {
        bot: sent.bot_id,
        name: sent.name,
        description: sent.description,
        prompt: sent.prompt,
        tools: sent.tools,
        max_iterations: sent.max_iterations,
        timeout_seconds: sent.timeout_seconds,
        callback_url: sent.callback_url,
    };
    with_secret(app.loops().create(tenant, new, audit).await.map_err(of_loop)?)
}

async fn get_agent_loop(app: App, call: Call<Nothing>) -> Result<Data<AgentLoop>, Problem> {
    Ok(Data::new(AgentLoop::whole(app.workspace(&call)?.agent_loop(call.id("id")?).await?)?))
}

async fn update_agent_loop(app: App, call: Call<AgentLoopPatch>) -> Result<Data<AgentLoopWithSecret>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<AgentLoopId>("id")?);
    let _turn = app.turn(id.0).await;
    may_use(&call, call.input.tools.as_deref().unwrap_or_default())?;
    let patch = &call.input;
    let sent = [
        ("name", patch.name.is_some()),
        ("description", patch.description.is_some()),
        ("prompt", patch.prompt.is_some()),
        ("bot_id", patch.bot_id.is_some()),
        ("tools", patch.tools.is_some()),
        ("max_iterations", patch.max_iterations.is_some()),
        ("timeout_seconds", patch.timeout_seconds.is_some()),
        ("callback_url", patch.callback_url.is_some()),
    ];
    let fields: Vec<_> = sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "fields": fields })));
    let AgentLoopPatch { name, description, prompt, bot_id, tools, max_iterations, timeout_seconds, callback_url } =
        call.input;
    let bot = bot_id;
    let change = LoopUpdate { bot, name, description, prompt, tools, max_iterations, timeout_seconds, callback_url };
    with_secret(app.loops().update(tenant, id, change, audit).await.map_err(of_loop)?)
}

async fn delete_agent_loop(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (tenant, actor) = (call.tenant()?, call.actor());
    app.loops().delete(tenant, call.id("id")?, call.audit(&actor, None)).await.map_err(of_loop)?;
    Ok(Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loop_does_not_take_has_its_status() {
        let status = |error| of_loop(error).status().as_u16();
        assert_eq!(status(LoopError::NotFound), 404);
        assert_eq!(status(LoopError::Invalid(vec![("name".to_owned(), "no".to_owned())])), 422);
        assert_eq!((status(LoopError::Full("full")), status(LoopError::Ended)), (409, 409));
        assert_eq!((status(LoopError::Busy), status(LoopError::Unavailable("disk".into()))), (429, 503));
    }
}

//! Agent loops and their executions: to read, to start and to stop. They are made by the API.

use access::Role;
use ambient::{AgentLoopId, ExecutionId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Form,
    bots::long_text,
    desk::Desk,
    doers::Doer,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble, When},
};

const SHOW_LOOPS: Operation<PageQuery, Raw> =
    page("/_/agent-loops", "show_agent_loops_page", "The list of agent loops.", Role::Member);
const SHOW_LOOP: Operation<PageQuery, Raw> =
    page("/_/agent-loops/{id}", "show_agent_loop_page", "An agent loop and its executions.", Role::Member);
const RUN_LOOP: Operation<Form, Raw> =
    form("/_/agent-loops/{id}/run", "run_agent_loop_page", "Start an execution of an agent loop.", Role::Admin);
const SHOW_EXECUTION: Operation<Nothing, Raw> =
    page("/_/executions/{id}", "show_execution_page", "An execution with its steps.", Role::Member);
const CANCEL_EXECUTION: Operation<Form, Raw> =
    form("/_/executions/{id}/cancel", "cancel_execution_page", "End an execution.", Role::Admin);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_LOOPS, show_loops);
    routes.mount(SHOW_LOOP, show_loop);
    routes.mount(RUN_LOOP, run_loop);
    routes.mount(SHOW_EXECUTION, show_execution);
    routes.mount(CANCEL_EXECUTION, cancel_execution);
}

#[derive(Clone, Debug, Deserialize)]
struct AgentLoop {
    id: String,
    name: String,
    description: Option<String>,
    prompt: Option<String>,
    bot_id: String,
    #[serde(default)]
    tools: Vec<Tool>,
    max_iterations: u32,
    timeout_seconds: u32,
    callback_url: Option<String>,
    updated_at: When,
}

/// What may be called: a request that has a name, or all that a server offers.
#[derive(Clone, Debug, Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    url: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Execution {
    id: String,
    agent_loop_id: String,
    status: String,
    reason: Option<String>,
    output: Option<String>,
    iterations: u32,
    usage: Tokens,
    started_by: String,
    created_at: When,
    finished_at: Option<When>,
    input: Option<Value>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    position: u32,
    kind: String,
    text: Option<String>,
    name: Option<String>,
    content: Option<String>,
    #[serde(default)]
    is_error: bool,
    #[serde(default)]
    is_cut: bool,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
    took_ms: u64,
    created_at: When,
}

#[derive(Clone, Debug, Deserialize)]
struct ToolCall {
    name: String,
}

impl Step {
    /// What it was, in words.
    fn title(&self) -> String {
        let name = self.name.as_deref().unwrap_or("a tool");
        match self.kind.as_str() {
            "model" => "The bot answered".to_owned(),
            "tool_call" => format!("{name} is called"),
            "tool_result" if self.is_error => format!("{name} failed"),
            "tool_result" => format!("{name} answered"),
            other => other.to_owned(),
        }
    }
}

impl Execution {
    fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    fn badge(&self) -> &'static str {
        match self.status.as_str() {
            "completed" => "good",
            "failed" => "wrong",
            "stopped" | "cancelled" => "warn",
            _ => "",
        }
    }

    /// What it was given, as text.
    fn given(&self) -> Option<String> {
        match self.input.as_ref()? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => serde_json::to_string_pretty(other).ok(),
        }
    }
}

#[derive(Template)]
#[template(path = "loops/list.html")]
struct LoopsPage {
    frame: Frame,
    loops: Vec<AgentLoop>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "loops/show.html")]
struct LoopPage {
    frame: Frame,
    agent_loop: AgentLoop,
    executions: Vec<(Execution, Doer)>,
    pager: Pager,
    input: String,
    trouble: Trouble,
    may_run: bool,
}

#[derive(Template)]
#[template(path = "loops/execution.html")]
struct ExecutionPage {
    frame: Frame,
    execution: Execution,
    starter: Doer,
    may_cancel: bool,
}

async fn show_loops(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (loops, pager) = desk.list(Ask::to("list_agent_loops"), call.input.page, "/_/agent-loops", &[]).await?;
    desk.render(&LoopsPage { frame: desk.frame("Agent loops", "show_agent_loops_page"), loops, pager })
}

async fn show_loop(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    one_loop(&desk, call.id("id")?, call.input.page, (String::new(), Trouble::default())).await
}

async fn one_loop(
    desk: &Desk<'_>,
    id: AgentLoopId,
    number: Option<u32>,
    (input, trouble): (String, Trouble),
) -> Result<Raw, Problem> {
    let agent_loop = desk.get::<One<AgentLoop>>(Ask::to("get_agent_loop").at("id", id)).await?.data;
    let ask = Ask::to("list_executions").at("id", id);
    let (executions, pager) = desk.list::<Execution>(ask, number, &format!("/_/agent-loops/{id}"), &[]).await?;
    let starters = Doer::of_all(desk, executions.iter().map(|one| one.started_by.as_str())).await;
    desk.render(&LoopPage {
        frame: desk.frame(agent_loop.name.clone(), "show_agent_loops_page"),
        agent_loop,
        executions: executions.into_iter().zip(starters).collect(),
        pager,
        input,
        trouble,
        may_run: desk.may("run_agent_loop"),
    })
}

#[derive(Deserialize)]
struct Started {
    id: String,
}

async fn run_loop(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<AgentLoopId>("id")?;
    let body = json!({ "input": long_text(&call.input, "input") });
    let ask = Ask::to("run_agent_loop").at("id", id).body(&body).once(call.input.text("once"));
    match desk.get::<One<Started>>(ask).await {
        Ok(started) => Ok(Raw::see_other(&format!("/_/executions/{}", started.data.id))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let page = one_loop(&desk, id, None, (call.input.raw("input").to_owned(), trouble)).await?;
            Ok(page.with_status(status))
        }
    }
}

async fn show_execution(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("get_execution").at("id", call.id::<ExecutionId>("id")?);
    let execution = desk.get::<One<Execution>>(ask).await?.data;
    let starter = Doer::of(&desk, &execution.started_by).await;
    let (frame, may_cancel) = (desk.frame("Execution", "show_agent_loops_page"), desk.may("cancel_execution"));
    desk.render(&ExecutionPage { frame, execution, starter, may_cancel })
}

async fn cancel_execution(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<ExecutionId>("id")?;
    match desk.ask(Ask::to("cancel_execution").at("id", id).body(&json!({}))).await {
        // Over already: the page says how.
        Ok(_) => Ok(Raw::see_other(&format!("/_/executions/{id}"))),
        Err(problem) if problem.status() == http::StatusCode::CONFLICT => {
            Ok(Raw::see_other(&format!("/_/executions/{id}")))
        }
        Err(problem) => Err(problem),
    }
}

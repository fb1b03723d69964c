//! Runs: a list, and each with what happened in it.

mod timeline;

use access::Role;
use ambient::{DeploymentId, RunId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::timeline::{Entry, Event, entries};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Paged, Pager, Trouble, When},
    workflows::{
        DeploymentRow, design,
        tree::{self},
    },
};

const SHOW_RUNS: Operation<RunsQuery, Raw> =
    page("/_/runs", "show_runs_page", "The list of runs, by deployment and status.", Role::Member);
const SHOW_RUN: Operation<AfterQuery, Raw> =
    page("/_/runs/{id}", "show_run_page", "A run with its timeline and results.", Role::Member);
const CANCEL_RUN: Operation<Form, Raw> = form("/_/runs/{id}/cancel", "cancel_run_page", "End a run.", Role::Admin);
const CREATE_TOKEN: Operation<Form, Raw> = form(
    "/_/runs/{id}/tokens",
    "create_run_token_page",
    "Let somebody into a run; the token is on the page that answers, once.",
    Role::Admin,
);

/// What the menu calls these pages.
const HERE: &str = "show_runs_page";
/// Deployments to choose from.
const CHOICES: u32 = 100;
/// Events on a page.
const EVENTS: u32 = 100;
/// What a run's status may be, with its words.
pub(crate) const STATUSES: [(&str, &str); 6] = [
    ("waiting", "Waiting"),
    ("running", "Running"),
    ("pending", "Pending"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
];

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_RUNS, show_runs);
    routes.mount(SHOW_RUN, show_run);
    routes.mount(CANCEL_RUN, cancel_run);
    routes.mount(CREATE_TOKEN, create_token);
}

/// Which runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct RunsQuery {
    /// From 1.
    page: Option<u32>,
    /// Of one deployment.
    deployment_id: Option<String>,
    /// Of one status.
    status: Option<String>,
}

/// Where a timeline goes on.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct AfterQuery {
    /// After the event with this number.
    after: Option<u64>,
}

#[derive(Deserialize)]
struct RunRow {
    id: String,
    deployment_id: String,
    status: String,
    origin: String,
    current_step_id: Option<String>,
    created_at: When,
    updated_at: When,
}

/// The badge of a status.
pub(crate) fn tone(status: &str) -> &'static str {
    match status {
        "completed" => "good",
        "failed" => "wrong",
        "waiting" | "running" | "pending" => "warn",
        _ => "",
    }
}

impl RunRow {
    fn tone(&self) -> &'static str {
        tone(&self.status)
    }

    /// What its deployment is called, where that is known.
    fn deployment<'a>(&'a self, choices: &'a [DeploymentRow]) -> &'a str {
        choices.iter().find(|one| one.id == self.deployment_id).map_or(&self.deployment_id, |one| &one.name)
    }
}

#[derive(Template)]
#[template(path = "runs/list.html")]
struct ListPage {
    frame: Frame,
    runs: Vec<RunRow>,
    pager: Pager,
    choices: Vec<DeploymentRow>,
    deployment: String,
    status: String,
}

async fn show_runs(_: App, call: Call<RunsQuery>) -> Result<Raw, Problem> {
    let (desk, query) = (Desk::open(&call).await?, &call.input);
    let (deployment, status) =
        (query.deployment_id.clone().unwrap_or_default(), query.status.clone().unwrap_or_default());
    let others = [("deployment_id", deployment.as_str()), ("status", &status)];
    let ask = others.iter().fold(Ask::to("list_workspace_runs"), |ask, (name, value)| ask.query_if(name, Some(value)));
    let (runs, pager) = desk.list(ask, query.page, "/_/runs", &others).await?;
    let choices = desk.get::<Paged<DeploymentRow>>(Ask::to("list_deployments").query("per_page", CHOICES)).await?;
    let mut choices = choices.data;
    // One that is older than those must not fall out of the form.
    if !deployment.is_empty() && !choices.iter().any(|one| one.id == deployment) {
        let ask = Ask::to("get_deployment").at("id", &deployment);
        choices.push(desk.get::<One<DeploymentRow>>(ask).await?.data);
    }
    desk.render(&ListPage { frame: desk.frame("Runs", HERE), runs, pager, choices, deployment, status })
}

#[derive(Deserialize)]
struct Ending {
    message: String,
    step: Option<String>,
}

#[derive(Deserialize)]
struct Run {
    id: String,
    deployment_id: DeploymentId,
    status: String,
    origin: String,
    input: Map<String, Value>,
    state: Map<String, Value>,
    current_step_id: Option<String>,
    ending: Option<Ending>,
    created_at: When,
    updated_at: When,
    finished_at: Option<When>,
}

impl Run {
    fn tone(&self) -> &'static str {
        tone(&self.status)
    }

    /// Why it ended, as operators read it.
    fn why(&self) -> String {
        let Some(ending) = &self.ending else { return String::new() };
        let at = ending.step.as_ref().map(|step| format!(" (at {step})")).unwrap_or_default();
        format!("{}{at}", ending.message)
    }
}

#[derive(Deserialize)]
struct Timeline {
    events: Vec<Event>,
    next_after: u64,
    last_seq: u64,
}

#[derive(Template)]
#[template(path = "runs/detail.html")]
struct DetailPage {
    frame: Frame,
    run: Run,
    deployment: DeploymentRow,
    entries: Vec<Entry>,
    after: u64,
    /// Where the timeline goes on.
    next: Option<u64>,
    input: String,
    results: Vec<(String, String)>,
    /// Whom somebody may be let in as; none where the design is gone.
    roles: Vec<String>,
    may_cancel: bool,
    may_let_in: bool,
    trouble: Trouble,
}

async fn show(desk: &Desk<'_>, id: RunId, after: u64, trouble: Trouble) -> Result<Raw, Problem> {
    let run = desk.get::<One<Run>>(Ask::to("get_workspace_run").at("id", id)).await?.data;
    let events = Ask::to("list_workspace_run_events").at("id", id).query("after", after).query("limit", EVENTS);
    let Timeline { events, next_after, last_seq } = desk.get(events).await?;
    let deployment = Ask::to("get_deployment").at("id", run.deployment_id);
    let deployment = desk.get::<One<DeploymentRow>>(deployment).await?.data;
    let is_open = run.finished_at.is_none();
    let may_let_in = is_open && deployment.revoked_at.is_none() && desk.may("create_workspace_run_token");
    let roles = if may_let_in { roles(desk, &deployment).await } else { Vec::new() };
    desk.render(&DetailPage {
        frame: desk.frame(format!("Run of {}", deployment.name), HERE),
        entries: entries(&events, run.created_at.0),
        after,
        next: (next_after < last_seq).then_some(next_after),
        input: if run.input.is_empty() { String::new() } else { design::pretty(&Value::Object(run.input.clone())) },
        results: run.state.iter().map(|(step, value)| (step.clone(), timeline::shown(value))).collect(),
        roles,
        may_cancel: is_open && desk.may("cancel_workspace_run"),
        may_let_in,
        trouble,
        deployment,
        run,
    })
}

impl DetailPage {
    /// From the run's start to its end, or to what happened last.
    fn lasted(&self) -> String {
        let end = self.run.finished_at.unwrap_or(self.run.updated_at);
        timeline::lasted(end.0.since(self.run.created_at.0))
    }
}

/// Of the version that was deployed.
async fn roles(desk: &Desk<'_>, deployment: &DeploymentRow) -> Vec<String> {
    #[derive(Deserialize)]
    struct Version {
        definition: Value,
    }
    let ask = Ask::to("get_workflow_version").at("id", &deployment.workflow_id).at("version", deployment.version);
    let version = desk.get::<One<Version>>(ask).await;
    version.map(|one| tree::participants(&one.data.definition)).unwrap_or_default()
}

async fn show_run(_: App, call: Call<AfterQuery>) -> Result<Raw, Problem> {
    show(&Desk::open(&call).await?, call.id("id")?, call.input.after.unwrap_or(0), Trouble::default()).await
}

async fn cancel_run(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<RunId>("id")?);
    let body = call.input.some("reason").map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    match desk.ask(Ask::to("cancel_workspace_run").at("id", id).body(&body)).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/runs/{id}?done=run-cancelled"))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(show(&desk, id, 0, trouble).await?.with_status(status))
        }
    }
}

#[derive(Deserialize)]
struct Token {
    participant_token: String,
}

#[derive(Template)]
#[template(path = "runs/token.html")]
struct TokenPage {
    frame: Frame,
    run: String,
    role: String,
    token: String,
    snippet: String,
}

async fn create_token(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<RunId>("id")?);
    let role = call.input.text("role");
    let ask = Ask::to("create_workspace_run_token").at("id", id).body(&json!({ "role": role }));
    match desk.get::<One<Token>>(ask.once(call.input.text("once"))).await {
        Ok(made) => {
            let (token, url) = (made.data.participant_token, app.settings().public_url.trim_end_matches('/'));
            let snippet = format!(
                "<script src=\"{url}/widget/chat-widget.js\" data-run-id=\"{id}\" \
                 data-participant-token=\"{token}\" defer></script>"
            );
            let frame = desk.frame(format!("Token for {role}"), HERE);
            desk.render(&TokenPage { frame, run: id.to_string(), role: role.to_owned(), token, snippet })
        }
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(show(&desk, id, 0, trouble).await?.with_status(status))
        }
    }
}

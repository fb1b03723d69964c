//! The runs of a workspace, for those who operate it: listed, looked at, cancelled, and let people into. A deployment's
//! own key has its own operations (`runs`).

use access::{Access, Limit, Role, Scope};
use ambient::{DeploymentId, KeyId, Millis, RunId};
use gate::{Bare, Call, Data, List, Nothing, Operation, PageQuery, Problem, Routes};
use runs::RunError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{RunFilter, RunRecord};

use crate::{
    App,
    problem::of_run,
    results::rows::StatusName,
    runs::{Cancel, NewToken, ParticipantToken, RunView, Timeline, TimelineQuery, mint_token, timeline},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::RunsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::RunsWrite).audited();
/// A server has the deployment's key for it.
const LET_IN: Access = Access::closed(Limit::Write).member(Role::Admin).audited();

pub(crate) const LIST_RUNS: Operation<RunQuery, List<RunListed>> = Operation::get(
    "/v1/runs",
    "list_workspace_runs",
    "List the runs of every deployment without what was said in them, the newest first.",
    READ,
);
pub(crate) const GET_RUN: Operation<Nothing, Data<RunView>> = Operation::get(
    "/v1/runs/{id}",
    "get_workspace_run",
    "Read how a run of any deployment stands, and the results of its steps.",
    READ,
);
pub(crate) const LIST_EVENTS: Operation<TimelineQuery, Bare<Timeline>> = Operation::get(
    "/v1/runs/{id}/events",
    "list_workspace_run_events",
    "Read the timeline of a run of any deployment.",
    READ,
);
pub(crate) const CANCEL_RUN: Operation<Cancel, Data<RunView>> = Operation::post(
    "/v1/runs/{id}/cancel",
    "cancel_workspace_run",
    "End a run of any deployment; what it has under way is cut.",
    WRITE,
);
pub(crate) const CREATE_TOKEN: Operation<NewToken, Data<ParticipantToken>> = Operation::post(
    "/v1/runs/{id}/tokens",
    "create_workspace_run_token",
    "Let somebody into a run as one of its roles: a participant's token, shown once; it lives for an hour.",
    LET_IN,
)
.creates()
.dangerous();

/// What the operators read where nobody said why.
const NO_REASON: &str = "An operator cancelled it";

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_RUNS, list_runs);
    routes.mount(GET_RUN, get_run);
    routes.mount(LIST_EVENTS, list_events);
    routes.mount(CANCEL_RUN, cancel_run);
    routes.mount(CREATE_TOKEN, create_token);
}

/// Which runs are listed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct RunQuery {
    /// Which page, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    /// Of this deployment alone.
    deployment_id: Option<DeploymentId>,
    /// Those of one status alone.
    #[schemars(with = "Option<StatusName>")]
    status: Option<String>,
}

/// A run in a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RunListed {
    /// Its id.
    id: RunId,
    /// What it is a run of.
    deployment_id: DeploymentId,
    /// `pending`, `running`, `waiting`, `completed`, `failed` or `cancelled`.
    status: String,
    /// What started it: `api`, `public`, `webhook` or `cron`.
    origin: String,
    /// What is waited for.
    current_step_id: Option<String>,
    /// The number of its last event.
    last_seq: u64,
    /// When it was started.
    created_at: Millis,
    /// When it last went on.
    updated_at: Millis,
    /// When it was over.
    finished_at: Option<Millis>,
}

impl From<RunRecord> for RunListed {
    fn from(record: RunRecord) -> Self {
        Self {
            id: record.id,
            deployment_id: record.deployment,
            status: record.status,
            origin: record.origin,
            current_step_id: record.current_step,
            last_seq: record.seq,
            created_at: record.created_at,
            updated_at: record.updated_at,
            finished_at: record.finished_at,
        }
    }
}

async fn list_runs(app: App, call: Call<RunQuery>) -> Result<List<RunListed>, Problem> {
    let RunQuery { page, per_page, deployment_id, status } = &call.input;
    let request = PageQuery { page: *page, per_page: *per_page }.request()?;
    let status = status.as_deref().map(StatusName::known).transpose()?;
    let filter = RunFilter { deployment: *deployment_id, status };
    let page = app.workspace(&call)?.runs(request, filter).await?;
    Ok(List::of(page, request, RunListed::from))
}

async fn run_of<I>(app: &App, call: &Call<I>) -> Result<RunRecord, Problem> {
    Ok(app.workspace(call)?.run(call.id("id")?).await?)
}

async fn get_run(app: App, call: Call<Nothing>) -> Result<Data<RunView>, Problem> {
    Ok(Data::new(RunView::of(run_of(&app, &call).await?)?))
}

async fn list_events(app: App, call: Call<TimelineQuery>) -> Result<Bare<Timeline>, Problem> {
    let range = call.input.range()?;
    let run = run_of(&app, &call).await?;
    timeline(&app, call.tenant()?, &run, range).await.map(Bare)
}

async fn cancel_run(app: App, call: Call<Cancel>) -> Result<Data<RunView>, Problem> {
    call.input.check()?;
    let run = run_of(&app, &call).await?;
    let reason = call.input.reason.as_deref().unwrap_or(NO_REASON);
    let run = app.runs().cancel(call.tenant()?, run.id, reason).await.map_err(of_run)?;
    let (actor, detail) = (call.actor(), json!({"deployment_id": run.deployment, "reason": call.input.reason}));
    app.workspace(&call)?.write_audit(call.audit(&actor, Some(detail)), "run", &run.id.to_string()).await?;
    Ok(Data::new(RunView::of(run)?))
}

async fn create_token(app: App, call: Call<NewToken>) -> Result<Data<ParticipantToken>, Problem> {
    let (tenant, run) = (call.tenant()?, run_of(&app, &call).await?);
    if run.finished_at.is_some() {
        return Err(of_run(RunError::Ended));
    }
    // A deployment and its key have the same number. What is revoked is not found: no token of it would be good.
    let key = app.cluster().find_key(KeyId(run.deployment.0)).await?;
    let key = key.ok_or_else(|| of_run(RunError::Revoked))?;
    let token = mint_token(&app, tenant, &run, &call.input, (key.id(), key.epoch()), call.request.now).await?;
    let (actor, detail) = (call.actor(), json!({"deployment_id": run.deployment, "role": call.input.role}));
    app.workspace(&call)?.write_audit(call.audit(&actor, Some(detail)), "run", &run.id.to_string()).await?;
    Ok(Data::new(token))
}

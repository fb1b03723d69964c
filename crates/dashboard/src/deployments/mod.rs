//! Deployments: how each is reached, what starts it, and its end.

mod results;
mod triggers;

use access::Role;
use ambient::DeploymentId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

pub(crate) use self::triggers::TriggerRow;
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Paged, Pager, Trouble, When},
    workflows::DeploymentRow,
};

const SHOW_DEPLOYMENTS: Operation<PageQuery, Raw> =
    page("/_/deployments", "show_deployments_page", "The list of deployments.", Role::Member);
const SHOW_DEPLOYMENT: Operation<Nothing, Raw> = page(
    "/_/deployments/{id}",
    "show_deployment_page",
    "A deployment: its limits, where it is reached, and what starts its runs.",
    Role::Member,
);
const SHOW_REVOKE: Operation<Nothing, Raw> = page(
    "/_/deployments/{id}/revoke",
    "show_revoke_deployment_page",
    "What the end of a deployment cuts.",
    Role::Admin,
);
const REVOKE: Operation<Form, Raw> = form(
    "/_/deployments/{id}/revoke",
    "revoke_deployment_page",
    "Revoke a deployment; the page that answers says what that cut, and how long it took.",
    Role::Admin,
);

/// What the menu calls these pages.
const HERE: &str = "show_deployments_page";

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_DEPLOYMENTS, show_deployments);
    routes.mount(SHOW_DEPLOYMENT, show_deployment);
    routes.mount(SHOW_REVOKE, show_revoke);
    routes.mount(REVOKE, revoke);
    triggers::mount(routes);
    results::mount(routes);
}

/// Where a deployment is reached.
pub(crate) struct Places {
    /// The server's public address.
    pub(crate) url: String,
    /// The hosted page of a survey.
    pub(crate) survey: String,
    /// What puts it on somebody's page.
    pub(crate) snippet: String,
}

impl Places {
    pub(crate) fn of(app: &App, deployment: &str) -> Self {
        let url = app.settings().public_url.trim_end_matches('/').to_owned();
        Self {
            survey: format!("{url}/s/{deployment}"),
            snippet: format!(
                "<script src=\"{url}/widget/chat-widget.js\" data-deployment-id=\"{deployment}\" defer></script>"
            ),
            url,
        }
    }
}

/// A deployment that was just made, with its key.
#[derive(Deserialize)]
pub(crate) struct With {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) survey_mode: bool,
    pub(crate) key: String,
}

#[derive(Deserialize)]
struct Deployment {
    #[serde(flatten)]
    row: DeploymentRow,
    daily_runs: Option<u32>,
    daily_replies: Option<u32>,
    runs_per_minute: Option<u32>,
    input_mapping: Option<std::collections::BTreeMap<String, String>>,
    challenge: String,
}

#[derive(Template)]
#[template(path = "deployments/list.html")]
struct ListPage {
    frame: Frame,
    deployments: Vec<DeploymentRow>,
    pager: Pager,
}

async fn show_deployments(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("list_deployments");
    let (deployments, pager) = desk.list(ask, call.input.page, "/_/deployments", &[]).await?;
    desk.render(&ListPage { frame: desk.frame("Deployments", HERE), deployments, pager })
}

#[derive(Template)]
#[template(path = "deployments/detail.html")]
struct DetailPage {
    frame: Frame,
    deployment: Deployment,
    places: Places,
    /// The workflow's name, unless it is gone.
    workflow: Option<String>,
    triggers: Vec<TriggerRow>,
    may_change: bool,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn read(desk: &Desk<'_>, id: DeploymentId) -> Result<Deployment, Problem> {
    Ok(desk.get::<One<Deployment>>(Ask::to("get_deployment").at("id", id)).await?.data)
}

/// At most 20 of them.
async fn triggers_of(desk: &Desk<'_>, id: DeploymentId) -> Result<Vec<TriggerRow>, Problem> {
    let ask = Ask::to("list_triggers").at("id", id).query("per_page", 100);
    Ok(desk.get::<Paged<TriggerRow>>(ask).await?.data)
}

async fn show_deployment(app: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<DeploymentId>("id")?);
    let deployment = read(&desk, id).await?;
    let workflow = desk.get::<One<Named>>(Ask::to("get_workflow").at("id", &deployment.row.workflow_id)).await;
    desk.render(&DetailPage {
        frame: desk.frame(deployment.row.name.clone(), HERE),
        places: Places::of(&app, &deployment.row.id),
        workflow: workflow.ok().map(|one| one.data.name),
        triggers: triggers_of(&desk, id).await?,
        may_change: desk.may("create_trigger") && deployment.row.revoked_at.is_none(),
        deployment,
    })
}

#[derive(Template)]
#[template(path = "deployments/revoke.html")]
struct RevokePage {
    frame: Frame,
    deployment: Deployment,
    triggers: usize,
    waiting: u64,
    running: u64,
    trouble: Trouble,
}

async fn show(desk: &Desk<'_>, id: DeploymentId, trouble: Trouble) -> Result<Raw, Problem> {
    let deployment = read(desk, id).await?;
    let count = async |status: &str| {
        let ask =
            Ask::to("list_workspace_runs").query("deployment_id", id).query("status", status).query("per_page", 1);
        desk.get::<Paged<serde_json::Value>>(ask).await.map(|list| list.meta.total)
    };
    desk.render(&RevokePage {
        frame: desk.frame(format!("Revoke {}", deployment.row.name), HERE),
        triggers: triggers_of(desk, id).await?.len(),
        waiting: count("waiting").await?,
        running: count("running").await? + count("pending").await?,
        deployment,
        trouble,
    })
}

async fn show_revoke(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    show(&Desk::open(&call).await?, call.id("id")?, Trouble::default()).await
}

#[derive(Deserialize)]
struct Receipt {
    revoked_at: When,
    took_ms: f64,
    streams_closed: u64,
    runs_cancelled: u64,
}

#[derive(Template)]
#[template(path = "deployments/revoked.html")]
struct RevokedPage {
    frame: Frame,
    deployment: Deployment,
    receipt: Receipt,
    is_cancelled: bool,
}

impl RevokedPage {
    fn took(&self) -> String {
        format!("{:.1} ms", self.receipt.took_ms)
    }
}

async fn revoke(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<DeploymentId>("id")?);
    let runs = call.input.text("runs");
    if !["finish", "cancel"].contains(&runs) {
        let trouble = Trouble::of(&Problem::invalid_field("runs", "Say what becomes of the runs that are not over"));
        return Ok(show(&desk, id, trouble).await?.with_status(http::StatusCode::UNPROCESSABLE_ENTITY));
    }
    match desk.get::<One<Receipt>>(Ask::to("revoke_deployment").at("id", id).body(&json!({ "runs": runs }))).await {
        Ok(receipt) => {
            let deployment = read(&desk, id).await?;
            let frame = desk.frame(format!("{} is revoked", deployment.row.name), HERE);
            desk.render(&RevokedPage { frame, deployment, receipt: receipt.data, is_cancelled: runs == "cancel" })
        }
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(show(&desk, id, trouble).await?.with_status(status))
        }
    }
}

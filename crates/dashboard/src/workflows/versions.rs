//! What a workflow was: its versions, each as it was and beside another.

use access::Role;
use ambient::WorkflowId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, PageQuery, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    HERE, VersionRow, WorkflowRow, design,
    difference::{Line, compare},
    tree::{Piece, pieces},
};
use crate::{
    desk::Desk,
    frame::Frame,
    page,
    show::{One, Pager, When},
};

const SHOW_VERSIONS: Operation<PageQuery, Raw> = page(
    "/_/workflows/{id}/versions",
    "show_workflow_versions_page",
    "What a workflow was, version by version.",
    Role::Member,
);
const SHOW_VERSION: Operation<VersionQuery, Raw> = page(
    "/_/workflows/{id}/versions/{version}",
    "show_workflow_version_page",
    "A version of a workflow, and what is different from another.",
    Role::Member,
);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_VERSIONS, show_versions);
    routes.mount(SHOW_VERSION, show_version);
}

/// What a version is compared with.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct VersionQuery {
    /// The other version; the one before it by default.
    with: Option<u32>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
    definition: Value,
    created_at: When,
}

#[derive(Template)]
#[template(path = "workflows/versions.html")]
struct VersionsPage {
    frame: Frame,
    workflow: WorkflowRow,
    versions: Vec<VersionRow>,
    pager: Pager,
}

async fn show_versions(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WorkflowId>("id")?);
    let workflow = desk.get::<One<WorkflowRow>>(Ask::to("get_workflow").at("id", id)).await?.data;
    let (ask, path) = (Ask::to("list_workflow_versions").at("id", id), format!("/_/workflows/{id}/versions"));
    let (versions, pager) = desk.list(ask, call.input.page, &path, &[]).await?;
    desk.render(&VersionsPage {
        frame: desk.frame(format!("Versions of {}", workflow.name), HERE),
        versions,
        pager,
        workflow,
    })
}

#[derive(Template)]
#[template(path = "workflows/version.html")]
struct VersionPage {
    frame: Frame,
    workflow: WorkflowRow,
    version: Version,
    text: String,
    pieces: Vec<Piece>,
    /// The version that this one is compared with, unless it is the only one.
    with: Option<u64>,
    lines: Vec<Line>,
}

async fn show_version(_: App, call: Call<VersionQuery>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WorkflowId>("id")?);
    let workflow = desk.get::<One<WorkflowRow>>(Ask::to("get_workflow").at("id", id)).await?.data;
    let read = async |number: u64| {
        let ask = Ask::to("get_workflow_version").at("id", id).at("version", number);
        desk.get::<One<Version>>(ask).await.map(|one| one.data)
    };
    let version = read(call.id::<u32>("version")?.into()).await?;
    let text = design::pretty(&version.definition);
    let other = match call.input.with {
        Some(other) => Some(read(other.into()).await?),
        // The one before may be kept no longer.
        None => read(version.version - 1).await.ok(),
    };
    let (with, lines) = match other {
        Some(other) => {
            let (with, other) = (other.version, design::pretty(&other.definition));
            let is_older = with < version.version;
            let (before, after) = if is_older { (&other, &text) } else { (&text, &other) };
            (Some(with), compare(before, after))
        }
        None => (None, Vec::new()),
    };
    desk.render(&VersionPage {
        frame: desk.frame(format!("{}, version {}", workflow.name, version.version), HERE),
        pieces: pieces(&version.definition),
        workflow,
        version,
        text,
        with,
        lines,
    })
}

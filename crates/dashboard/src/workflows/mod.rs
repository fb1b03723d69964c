//! Workflows: a list, and each as a text and as a tree.

mod deploy;
pub(crate) mod design;
mod difference;
pub(crate) mod tree;
mod versions;

use access::Role;
use ambient::WorkflowId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    design::Fault,
    tree::{Piece, pieces},
};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Paged, Pager, Trouble, When},
};

const SHOW_WORKFLOWS: Operation<PageQuery, Raw> =
    page("/_/workflows", "show_workflows_page", "The list of workflows.", Role::Member);
const SHOW_NEW_WORKFLOW: Operation<Nothing, Raw> =
    page("/_/workflows/new", "show_new_workflow_page", "The editor for a new workflow.", Role::Admin);
const CREATE_WORKFLOW: Operation<Form, Raw> = form(
    "/_/workflows",
    "create_workflow_page",
    "Create a workflow, or show its faults with their lines.",
    Role::Admin,
);
const SHOW_WORKFLOW: Operation<Nothing, Raw> = page(
    "/_/workflows/{id}",
    "show_workflow_page",
    "A workflow: drawn, as text, with its versions and deployments.",
    Role::Member,
);
const UPDATE_WORKFLOW: Operation<Form, Raw> = form(
    "/_/workflows/{id}",
    "update_workflow_page",
    "Save a workflow, or show its faults with their lines.",
    Role::Admin,
);
const SHOW_DELETE_WORKFLOW: Operation<Nothing, Raw> = page(
    "/_/workflows/{id}/delete",
    "show_delete_workflow_page",
    "What goes and what stays when a workflow is deleted.",
    Role::Admin,
);
const DELETE_WORKFLOW: Operation<Form, Raw> =
    form("/_/workflows/{id}/delete", "delete_workflow_page", "Delete a workflow.", Role::Admin);

/// What the menu calls these pages.
const HERE: &str = "show_workflows_page";
/// Versions and deployments on the page of a workflow.
const FEW: u32 = 5;

/// What a new one begins with: a survey of one question that goes on by its answer.
const BEGINNING: &str = r#"{
  "type": "Workflow",
  "id": "feedback",
  "title": "How was it?",
  "participants": [{ "name": "guest" }],
  "children": [
    {
      "type": "Input",
      "id": "score",
      "prompt": "How likely are you to come back?",
      "input_type": "nps"
    },
    {
      "type": "Conditional",
      "id": "unhappy",
      "branches": [
        {
          "when": { "left": "{{score}}", "op": "le", "right": 6 },
          "children": [
            {
              "type": "Input",
              "id": "why",
              "prompt": "You gave {{score}}. Why?",
              "input_type": "textarea",
              "required": false
            }
          ]
        }
      ]
    },
    { "type": "Message", "id": "thanks", "text": "Thank you." }
  ]
}"#;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_WORKFLOWS, show_workflows);
    routes.mount(SHOW_NEW_WORKFLOW, show_new_workflow);
    routes.mount(CREATE_WORKFLOW, create_workflow);
    routes.mount(SHOW_WORKFLOW, show_workflow);
    routes.mount(UPDATE_WORKFLOW, update_workflow);
    routes.mount(SHOW_DELETE_WORKFLOW, show_delete_workflow);
    routes.mount(DELETE_WORKFLOW, delete_workflow);
    versions::mount(routes);
    deploy::mount(routes);
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WorkflowRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: u64,
    updated_at: When,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WorkflowWhole {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) definition: Value,
    created_at: When,
    updated_at: When,
}

#[derive(Clone, Debug, Deserialize)]
struct VersionRow {
    version: u64,
    created_at: When,
}

/// A deployment, as lists show it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DeploymentRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) workflow_id: String,
    pub(crate) version: u64,
    pub(crate) survey_mode: bool,
    pub(crate) display: String,
    pub(crate) created_at: When,
    pub(crate) revoked_at: Option<When>,
}

#[derive(Template)]
#[template(path = "workflows/list.html")]
struct ListPage {
    frame: Frame,
    workflows: Vec<WorkflowRow>,
    pager: Pager,
    may_create: bool,
}

async fn show_workflows(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (workflows, pager) = desk.list(Ask::to("list_workflows"), call.input.page, "/_/workflows", &[]).await?;
    desk.render(&ListPage {
        frame: desk.frame("Workflows", HERE),
        workflows,
        pager,
        may_create: desk.may("create_workflow"),
    })
}

/// A definition that is being written.
struct Editor {
    name: String,
    text: String,
    faults: Vec<Fault>,
    trouble: Trouble,
}

impl Editor {
    fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), faults: Vec::new(), trouble: Trouble::default() }
    }

    fn lines(&self) -> usize {
        self.text.lines().count().clamp(12, 40)
    }

    /// With what the API said about it; what it says about the definition stands at its lines.
    fn refused(mut self, trouble: Trouble) -> Self {
        self.faults = design::faults(&self.text, &trouble.fields);
        self.trouble = trouble;
        self.trouble.fields.retain(|error| !error.field.starts_with("/definition") && error.field != "definition");
        self
    }

    /// With a text that is no JSON.
    fn unread(mut self, fault: Fault) -> Self {
        self.trouble = Trouble::of(&Problem::invalid_field("definition", fault.message.clone()));
        self.trouble.fields.clear();
        self.faults = vec![fault];
        self
    }

    /// Saves what was sent, by `ask`.
    async fn save(self, desk: &Desk<'_>, ask: Ask) -> Result<Result<WorkflowRow, Self>, Problem> {
        let definition = match design::parse(&self.text) {
            Ok(definition) => definition,
            Err(fault) => return Ok(Err(self.unread(fault))),
        };
        let body = json!({"name": self.name, "definition": definition});
        match desk.get::<One<WorkflowRow>>(ask.body(&body)).await {
            Ok(saved) => Ok(Ok(saved.data)),
            Err(problem) => Ok(Err(self.refused(Trouble::again(problem)?))),
        }
    }
}

#[derive(Template)]
#[template(path = "workflows/new.html")]
struct NewPage {
    frame: Frame,
    editor: Editor,
    /// Of the text, where it can be read.
    pieces: Vec<Piece>,
    action: String,
}

fn show_editor(desk: &Desk<'_>, editor: Editor) -> Result<Raw, Problem> {
    let pieces = design::parse(&editor.text).map(|definition| pieces(&definition)).unwrap_or_default();
    let frame = desk.frame("New workflow", HERE);
    desk.render(&NewPage { frame, editor, pieces, action: "/_/workflows".to_owned() })
}

async fn show_new_workflow(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    show_editor(&Desk::open(&call).await?, Editor::new("Feedback", BEGINNING))
}

async fn create_workflow(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let editor = Editor::new(call.input.text("name"), call.input.raw("definition"));
    match editor.save(&desk, Ask::to("create_workflow").once(call.input.text("once"))).await? {
        Ok(saved) => Ok(Raw::see_other(&format!("/_/workflows/{}?done=created", saved.id))),
        Err(editor) => Ok(show_editor(&desk, editor)?.with_status(http::StatusCode::UNPROCESSABLE_ENTITY)),
    }
}

#[derive(Template)]
#[template(path = "workflows/detail.html")]
struct DetailPage {
    frame: Frame,
    workflow: WorkflowWhole,
    participants: Vec<String>,
    inputs: Vec<String>,
    pieces: Vec<Piece>,
    editor: Editor,
    action: String,
    versions: Vec<VersionRow>,
    more_versions: bool,
    deployments: Vec<DeploymentRow>,
    more_deployments: bool,
    may_update: bool,
    may_deploy: bool,
}

async fn show_detail(desk: &Desk<'_>, id: WorkflowId, editor: Option<Editor>) -> Result<Raw, Problem> {
    let workflow = desk.get::<One<WorkflowWhole>>(Ask::to("get_workflow").at("id", id)).await?.data;
    let versions = Ask::to("list_workflow_versions").at("id", id).query("per_page", FEW);
    let versions: Paged<VersionRow> = desk.get(versions).await?;
    let deployments = Ask::to("list_deployments").query("workflow_id", id).query("per_page", FEW);
    let deployments: Paged<DeploymentRow> = desk.get(deployments).await?;
    let editor = editor.unwrap_or_else(|| Editor::new(&workflow.name, &design::pretty(&workflow.definition)));
    desk.render(&DetailPage {
        frame: desk.frame(workflow.name.clone(), HERE),
        participants: tree::participants(&workflow.definition),
        inputs: tree::inputs(&workflow.definition),
        pieces: pieces(&workflow.definition),
        editor,
        action: format!("/_/workflows/{id}"),
        more_versions: versions.meta.total > u64::from(FEW),
        versions: versions.data,
        more_deployments: deployments.meta.total > u64::from(FEW),
        deployments: deployments.data,
        may_update: desk.may("update_workflow"),
        may_deploy: desk.may("create_deployment"),
        workflow,
    })
}

async fn show_workflow(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    show_detail(&Desk::open(&call).await?, call.id("id")?, None).await
}

async fn update_workflow(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WorkflowId>("id")?);
    let editor = Editor::new(call.input.text("name"), call.input.raw("definition"));
    match editor.save(&desk, Ask::to("update_workflow").at("id", id)).await? {
        Ok(_) => Ok(Raw::see_other(&format!("/_/workflows/{id}?done=saved"))),
        Err(editor) => {
            let page = show_detail(&desk, id, Some(editor)).await?;
            Ok(page.with_status(http::StatusCode::UNPROCESSABLE_ENTITY))
        }
    }
}

#[derive(Template)]
#[template(path = "workflows/delete.html")]
struct DeletePage {
    frame: Frame,
    workflow: WorkflowWhole,
    deployments: u64,
    trouble: Trouble,
}

async fn show_delete(desk: &Desk<'_>, id: WorkflowId, trouble: Trouble) -> Result<Raw, Problem> {
    let workflow = desk.get::<One<WorkflowWhole>>(Ask::to("get_workflow").at("id", id)).await?.data;
    let deployments = Ask::to("list_deployments").query("workflow_id", id).query("per_page", 1);
    let deployments = desk.get::<Paged<DeploymentRow>>(deployments).await?.meta.total;
    let frame = desk.frame(format!("Delete {}", workflow.name), HERE);
    desk.render(&DeletePage { frame, workflow, deployments, trouble })
}

async fn show_delete_workflow(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    show_delete(&Desk::open(&call).await?, call.id("id")?, Trouble::default()).await
}

async fn delete_workflow(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WorkflowId>("id")?);
    match desk.ask(Ask::to("delete_workflow").at("id", id)).await {
        Ok(_) => Ok(Raw::see_other("/_/workflows?done=deleted")),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(show_delete(&desk, id, trouble).await?.with_status(status))
        }
    }
}

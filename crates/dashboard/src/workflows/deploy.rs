//! A workflow is deployed: how, and then its key, once.

use access::Role;
use ambient::WorkflowId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde_json::{Map, Value, json};

use super::{
    HERE, WorkflowWhole,
    tree::{self, Step, pieces},
};
use crate::{
    Form,
    deployments::{Places, With},
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble},
};

const SHOW_DEPLOY: Operation<Nothing, Raw> = page(
    "/_/workflows/{id}/deploy",
    "show_deploy_workflow_page",
    "How a workflow is deployed: for whom, and how much of it.",
    Role::Admin,
)
.dangerous();
const DEPLOY: Operation<Form, Raw> = form(
    "/_/workflows/{id}/deploy",
    "deploy_workflow_page",
    "Deploy a workflow; the key of the deployment is on the page that answers, once.",
    Role::Admin,
);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_DEPLOY, show_deploy);
    routes.mount(DEPLOY, deploy);
}

/// What was typed in.
#[derive(Default)]
struct Fields {
    name: String,
    survey_mode: bool,
    daily_runs: String,
    daily_replies: String,
    runs_per_minute: String,
    challenge: String,
    input_mapping: String,
}

impl Fields {
    fn of(form: &Form) -> Self {
        let text = |name| form.text(name).to_owned();
        Self {
            name: text("name"),
            survey_mode: form.flag("survey_mode"),
            daily_runs: text("daily_runs"),
            daily_replies: text("daily_replies"),
            runs_per_minute: text("runs_per_minute"),
            challenge: text("challenge"),
            input_mapping: form.raw("input_mapping").to_owned(),
        }
    }
}

/// What the API is asked for; what is empty is left out.
fn body(form: &Form) -> Value {
    let mut body = Map::new();
    if let Some(name) = form.some("name") {
        body.insert("name".to_owned(), json!(name));
    }
    for name in ["daily_runs", "daily_replies", "runs_per_minute"] {
        if let Some(number) = form.number(name) {
            body.insert(name.to_owned(), number);
        }
    }
    let mapping: Map<String, Value> = form
        .raw("input_mapping")
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_once('=').unwrap_or((line, "")))
        .map(|(input, template)| (input.trim().to_owned(), json!(template.trim())))
        .collect();
    if !mapping.is_empty() {
        body.insert("input_mapping".to_owned(), Value::Object(mapping));
    }
    if let Some(challenge) = form.some("challenge") {
        body.insert("challenge".to_owned(), json!(challenge));
    }
    body.insert("survey_mode".to_owned(), json!(form.flag("survey_mode")));
    Value::Object(body)
}

#[derive(Template)]
#[template(path = "workflows/deploy.html")]
struct DeployPage {
    frame: Frame,
    workflow: WorkflowWhole,
    fields: Fields,
    trouble: Trouble,
    participants: Vec<String>,
    inputs: Vec<String>,
    /// Whether strangers can be one participant, without being asked who.
    can_be_survey: bool,
    first: Option<Step>,
}

async fn show(desk: &Desk<'_>, id: WorkflowId, fields: Option<Fields>, trouble: Trouble) -> Result<Raw, Problem> {
    let workflow = desk.get::<One<WorkflowWhole>>(Ask::to("get_workflow").at("id", id)).await?.data;
    let participants = tree::participants(&workflow.definition);
    let fields = fields.unwrap_or_else(|| Fields { name: workflow.name.clone(), ..Fields::default() });
    desk.render(&DeployPage {
        frame: desk.frame(format!("Deploy {}", workflow.name), HERE),
        fields,
        trouble,
        can_be_survey: participants.len() == 1,
        participants,
        inputs: tree::inputs(&workflow.definition),
        first: tree::first_question(&pieces(&workflow.definition)).cloned(),
        workflow,
    })
}

async fn show_deploy(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    show(&Desk::open(&call).await?, call.id("id")?, None, Trouble::default()).await
}

#[derive(Template)]
#[template(path = "workflows/deployed.html")]
struct DeployedPage {
    frame: Frame,
    made: With,
    places: Places,
}

impl DeployedPage {
    /// Starts a run.
    fn curl(&self) -> String {
        format!(
            "curl {}/api/v1/runs -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{{\"input\":{{}}}}'",
            self.places.url, self.made.key
        )
    }
}

async fn deploy(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WorkflowId>("id")?);
    let ask = Ask::to("create_deployment").at("id", id).body(&body(&call.input)).once(call.input.text("once"));
    match desk.get::<One<With>>(ask).await {
        Ok(made) => {
            let places = Places::of(&app, &made.data.id);
            desk.render(&DeployedPage { frame: desk.frame("Deployed", HERE), made: made.data, places })
        }
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(show(&desk, id, Some(Fields::of(&call.input)), trouble).await?.with_status(status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_a_line_for_each_input_and_what_is_empty_is_left_out() {
        let form = |text: &str| serde_urlencoded::from_str::<Form>(text).unwrap();
        let sent =
            form("name=+&daily_runs=5&runs_per_minute=many&input_mapping=email+%3D+%7B%7Bbody.a%7D%7D%0D%0A%0D%0Aodd");
        assert_eq!(
            body(&sent),
            json!({"survey_mode": false, "daily_runs": 5, "runs_per_minute": "many",
                "input_mapping": {"email": "{{body.a}}", "odd": ""}})
        );
        assert_eq!(body(&form("survey_mode=on&challenge=auto")), json!({"survey_mode": true, "challenge": "auto"}));
    }
}

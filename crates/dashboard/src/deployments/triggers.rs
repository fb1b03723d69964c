//! What starts a deployment's runs besides its key: webhooks, whose address is shown once, and schedules.

use access::Role;
use ambient::{DeploymentId, TriggerId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Deployment, HERE, read};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble, When},
};

const SHOW_NEW_TRIGGER: Operation<KindQuery, Raw> = page(
    "/_/deployments/{id}/triggers/new",
    "show_new_trigger_page",
    "How a webhook or a schedule starts runs of a deployment.",
    Role::Admin,
);
const CREATE_TRIGGER: Operation<Form, Raw> = form(
    "/_/deployments/{id}/triggers",
    "create_trigger_page",
    "Let a webhook or a schedule start runs; a webhook's address is on the page that answers, once.",
    Role::Admin,
);
const UPDATE_TRIGGER: Operation<Form, Raw> =
    form("/_/triggers/{id}", "update_trigger_page", "Turn a trigger off, or on again.", Role::Admin);
const DELETE_TRIGGER: Operation<Form, Raw> =
    form("/_/triggers/{id}/delete", "delete_trigger_page", "Delete a trigger.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_NEW_TRIGGER, show_new_trigger);
    routes.mount(CREATE_TRIGGER, create_trigger);
    routes.mount(UPDATE_TRIGGER, update_trigger);
    routes.mount(DELETE_TRIGGER, delete_trigger);
}

/// Which form.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct KindQuery {
    /// `webhook`, or `cron`.
    kind: Option<String>,
}

/// A trigger, as a deployment's page shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TriggerRow {
    pub(crate) id: String,
    pub(crate) deployment_id: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) signing: Option<String>,
    pub(crate) schedule: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) next_times: Vec<When>,
    pub(crate) last_at: Option<When>,
    pub(crate) last_error: Option<String>,
}

/// What was typed in.
#[derive(Default)]
struct Fields {
    name: String,
    signing: String,
    delivery_id_header: String,
    schedule: String,
    timezone: String,
    input: String,
}

impl Fields {
    fn of(form: &Form) -> Self {
        let text = |name| form.text(name).to_owned();
        Self {
            name: text("name"),
            signing: text("signing"),
            delivery_id_header: text("delivery_id_header"),
            schedule: text("schedule"),
            timezone: text("timezone"),
            input: form.raw("input").to_owned(),
        }
    }
}

/// What the API is asked for, of one kind alone.
///
/// # Errors
/// The sentence about an input that is no JSON.
fn body(form: &Form, is_cron: bool) -> Result<Value, String> {
    let mut body = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    let text = |name| form.some(name).map(Value::from);
    add("kind", Some(json!(if is_cron { "cron" } else { "webhook" })));
    add("name", Some(json!(form.text("name"))));
    if is_cron {
        add("schedule", text("schedule"));
        add("timezone", text("timezone"));
        let input = form.some("input").map(serde_json::from_str::<Map<String, Value>>).transpose();
        add("input", input.map_err(|error| format!("is no JSON object: {error}"))?.map(Value::Object));
    } else {
        add("signing", text("signing"));
        add("secret", text("secret"));
        add("delivery_id_header", text("delivery_id_header"));
    }
    Ok(Value::Object(body))
}

#[derive(Template)]
#[template(path = "deployments/trigger.html")]
struct NewPage {
    frame: Frame,
    deployment: Deployment,
    is_cron: bool,
    fields: Fields,
    trouble: Trouble,
}

async fn show(
    desk: &Desk<'_>,
    id: DeploymentId,
    is_cron: bool,
    fields: Fields,
    trouble: Trouble,
) -> Result<Raw, Problem> {
    let deployment = read(desk, id).await?;
    let title = if is_cron { "New schedule" } else { "New webhook" };
    desk.render(&NewPage { frame: desk.frame(title, HERE), deployment, is_cron, fields, trouble })
}

async fn show_new_trigger(_: App, call: Call<KindQuery>) -> Result<Raw, Problem> {
    let is_cron = call.input.kind.as_deref() == Some("cron");
    let fields = Fields { timezone: "UTC".to_owned(), ..Fields::default() };
    show(&Desk::open(&call).await?, call.id("id")?, is_cron, fields, Trouble::default()).await
}

/// A trigger that was just made.
#[derive(Deserialize)]
struct Made {
    #[serde(flatten)]
    trigger: TriggerRow,
    url: Option<String>,
    secret: Option<String>,
}

#[derive(Template)]
#[template(path = "deployments/triggered.html")]
struct MadePage {
    frame: Frame,
    trigger: TriggerRow,
    url: String,
    secret: Option<String>,
}

async fn create_trigger(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<DeploymentId>("id")?);
    let is_cron = call.input.text("kind") == "cron";
    let asked = match body(&call.input, is_cron) {
        Ok(body) => {
            let ask = Ask::to("create_trigger").at("id", id).body(&body).once(call.input.text("once"));
            desk.get::<One<Made>>(ask).await
        }
        Err(sentence) => Err(Problem::invalid_field("input", sentence)),
    };
    match asked {
        Ok(One { data: Made { trigger, url: Some(url), secret } }) => {
            desk.render(&MadePage { frame: desk.frame("Webhook created", HERE), trigger, url, secret })
        }
        Ok(_) => Ok(Raw::see_other(&format!("/_/deployments/{id}?done=created"))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(show(&desk, id, is_cron, Fields::of(&call.input), trouble).await?.with_status(status))
        }
    }
}

async fn update_trigger(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<TriggerId>("id")?);
    let body = json!({"enabled": call.input.text("enabled") == "yes"});
    let changed = desk.get::<One<TriggerRow>>(Ask::to("update_trigger").at("id", id).body(&body)).await?;
    Ok(Raw::see_other(&format!("/_/deployments/{}?done=saved", changed.data.deployment_id)))
}

async fn delete_trigger(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<TriggerId>("id")?);
    let trigger = desk.get::<One<TriggerRow>>(Ask::to("get_trigger").at("id", id)).await?.data;
    desk.ask(Ask::to("delete_trigger").at("id", id)).await?;
    Ok(Raw::see_other(&format!("/_/deployments/{}?done=deleted", trigger.deployment_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_one_kind_says_nothing_of_the_other() {
        let form = |text: &str| serde_urlencoded::from_str::<Form>(text).unwrap();
        let both = form("name=N&schedule=%40daily&timezone=&signing=none&secret=&input=%7B%22a%22%3A1%7D");
        assert_eq!(body(&both, false).unwrap(), json!({"kind": "webhook", "name": "N", "signing": "none"}));
        let cron = json!({"kind": "cron", "name": "N", "schedule": "@daily", "input": {"a": 1}});
        assert_eq!(body(&both, true).unwrap(), cron);
        for odd in ["input=%5B1%5D", "input=x"] {
            assert!(body(&form(odd), true).unwrap_err().starts_with("is no JSON object"), "{odd}");
        }
    }
}

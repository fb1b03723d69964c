//! The workspace's own settings, and how its reader looks at it.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble, When},
};

const SHOW_SETTINGS: Operation<Nothing, Raw> =
    page("/_/settings", "show_settings_page", "The workspace's settings.", Role::Member);
const UPDATE_SETTINGS: Operation<Form, Raw> =
    form("/_/settings", "update_workspace_page", "Change the workspace's settings.", Role::Owner);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_SETTINGS, show_settings);
    routes.mount(UPDATE_SETTINGS, update_settings);
}

/// The workspace, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Workspace {
    id: String,
    name: String,
    leak_policy: String,
    leak_grace_seconds: u32,
    created_at: When,
}

/// What is in the fields.
struct Fields {
    name: String,
    leak_policy: String,
    leak_grace_seconds: String,
}

#[derive(Template)]
#[template(path = "workspace/settings.html")]
struct SettingsPage {
    frame: Frame,
    workspace: Workspace,
    fields: Fields,
    may_write: bool,
    trouble: Trouble,
}

async fn settings_page(desk: &Desk<'_>, sent: Option<&Form>, trouble: Trouble) -> Result<Raw, Problem> {
    let workspace = desk.get::<One<Workspace>>(Ask::to("get_workspace")).await?.data;
    let fields = match sent {
        Some(form) => Fields {
            name: form.text("name").to_owned(),
            leak_policy: form.text("leak_policy").to_owned(),
            leak_grace_seconds: form.text("leak_grace_seconds").to_owned(),
        },
        None => Fields {
            name: workspace.name.clone(),
            leak_policy: workspace.leak_policy.clone(),
            leak_grace_seconds: workspace.leak_grace_seconds.to_string(),
        },
    };
    let (frame, status) = (desk.frame("Settings", "show_settings_page"), trouble.status);
    let page = SettingsPage { frame, workspace, fields, may_write: desk.may("update_workspace"), trouble };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_settings(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    settings_page(&Desk::open(&call).await?, None, Trouble::default()).await
}

async fn update_settings(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, form) = (Desk::open(&call).await?, &call.input);
    let grace = form.number("leak_grace_seconds");
    let body = json!({
        "name": form.text("name"), "leak_policy": form.text("leak_policy"), "leak_grace_seconds": grace,
    });
    match desk.ask(Ask::to("update_workspace").body(&body)).await {
        Ok(_) => Ok(Raw::see_other("/_/settings?done=saved")),
        Err(problem) => settings_page(&desk, Some(form), Trouble::again(problem)?).await,
    }
}

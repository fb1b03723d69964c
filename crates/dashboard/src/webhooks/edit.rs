//! The form of an endpoint, and its secret, which is shown once.

use access::Role;
use ambient::WebhookId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Webhook;
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble},
};

const SHOW_NEW: Operation<Nothing, Raw> =
    page("/_/webhooks/new", "show_new_webhook_page", "The form of a new endpoint.", Role::Admin);
const CREATE: Operation<Form, Raw> =
    form("/_/webhooks", "create_webhook_page", "Send events to an address; its secret is shown once.", Role::Admin);
const SHOW_EDIT: Operation<Nothing, Raw> =
    page("/_/webhooks/{id}/edit", "show_edit_webhook_page", "The form of an endpoint.", Role::Admin);
const UPDATE: Operation<Form, Raw> =
    form("/_/webhooks/{id}", "update_webhook_page", "Change an endpoint.", Role::Admin);
const SHOW_ROTATE: Operation<Nothing, Raw> =
    page("/_/webhooks/{id}/rotate", "show_rotate_webhook_page", "The form of a new secret.", Role::Admin);
const ROTATE: Operation<Form, Raw> = form(
    "/_/webhooks/{id}/rotate",
    "rotate_webhook_secret_page",
    "Give an endpoint another secret, shown once.",
    Role::Admin,
);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_NEW, show_new);
    routes.mount(CREATE, create);
    routes.mount(SHOW_EDIT, show_edit);
    routes.mount(UPDATE, update);
    routes.mount(SHOW_ROTATE, show_rotate);
    routes.mount(ROTATE, rotate);
}

/// A kind of event, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct EventKind {
    name: String,
    about: String,
}

/// What is in the fields.
struct Fields {
    url: String,
    description: String,
    /// Those that are ticked; none of them is all of them.
    events: Vec<String>,
}

impl Fields {
    fn sent(form: &Form) -> Self {
        Self {
            url: form.text("url").to_owned(),
            description: form.text("description").to_owned(),
            events: form.all("events").into_iter().map(str::to_owned).collect(),
        }
    }

    fn has(&self, kind: &EventKind) -> bool {
        self.events.contains(&kind.name)
    }

    fn body(&self) -> Value {
        let events = if self.events.is_empty() { Value::Null } else { json!(self.events) };
        let description = if self.description.is_empty() { Value::Null } else { json!(self.description) };
        json!({"url": self.url, "description": description, "events": events})
    }
}

#[derive(Template)]
#[template(path = "webhooks/form.html")]
struct FormPage {
    frame: Frame,
    action: String,
    is_new: bool,
    fields: Fields,
    kinds: Vec<EventKind>,
    trouble: Trouble,
}

async fn form_page(desk: &Desk<'_>, id: Option<WebhookId>, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let kinds = desk.get::<One<Vec<EventKind>>>(Ask::to("list_webhook_events")).await?.data;
    let (title, action) = match id {
        None => ("New webhook", "/_/webhooks".to_owned()),
        Some(id) => ("Change a webhook", format!("/_/webhooks/{id}")),
    };
    let (frame, status) = (desk.frame(title, "show_webhooks_page"), trouble.status);
    let page = FormPage { frame, action, is_new: id.is_none(), fields, kinds, trouble };
    Ok(desk.render(&page)?.with_status(status))
}

/// An endpoint, with what signs if that was just made.
#[derive(Deserialize)]
struct WithSecret {
    id: String,
    url: String,
    secret: Option<String>,
}

#[derive(Template)]
#[template(path = "webhooks/secret.html")]
struct SecretPage {
    frame: Frame,
    id: String,
    url: String,
    secret: String,
}

/// The page on which a secret is shown, this once; without one, the endpoint's own.
fn secret_page(desk: &Desk<'_>, made: WithSecret) -> Result<Raw, Problem> {
    let WithSecret { id, url, secret } = made;
    match secret {
        Some(secret) => {
            let frame = desk.frame("The webhook's secret", "show_webhooks_page");
            desk.render(&SecretPage { frame, id, url, secret })
        }
        None => Ok(Raw::see_other(&format!("/_/webhooks/{id}?done=saved"))),
    }
}

async fn show_new(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let fields = Fields::sent(&Form::default());
    form_page(&Desk::open(&call).await?, None, fields, Trouble::default()).await
}

async fn create(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, fields) = (Desk::open(&call).await?, Fields::sent(&call.input));
    let ask = Ask::to("create_webhook").body(&fields.body()).once(call.input.text("once"));
    match desk.get::<One<WithSecret>>(ask).await {
        Ok(made) => secret_page(&desk, made.data),
        Err(problem) => form_page(&desk, None, fields, Trouble::again(problem)?).await,
    }
}

async fn of(desk: &Desk<'_>, id: WebhookId) -> Result<Webhook, Problem> {
    Ok(desk.get::<One<Webhook>>(Ask::to("get_webhook").at("id", id)).await?.data)
}

async fn show_edit(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WebhookId>("id")?);
    let webhook = of(&desk, id).await?;
    let (description, events) = (webhook.description.text().to_owned(), webhook.events.unwrap_or_default());
    form_page(&desk, Some(id), Fields { url: webhook.url, description, events }, Trouble::default()).await
}

async fn update(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WebhookId>("id")?);
    let (fields, before) = (Fields::sent(&call.input), of(&desk, id).await?);
    let mut body = fields.body();
    // Another address gets another secret: the same one is not said again.
    if before.url == fields.url
        && let Some(members) = body.as_object_mut()
    {
        members.remove("url");
    }
    match desk.get::<One<WithSecret>>(Ask::to("update_webhook").at("id", id).body(&body)).await {
        Ok(changed) => secret_page(&desk, changed.data),
        Err(problem) => form_page(&desk, Some(id), fields, Trouble::again(problem)?).await,
    }
}

#[derive(Template)]
#[template(path = "webhooks/rotate.html")]
struct RotatePage {
    frame: Frame,
    webhook: Webhook,
    grace: String,
    trouble: Trouble,
}

async fn rotate_page(desk: &Desk<'_>, id: WebhookId, grace: &str, trouble: Trouble) -> Result<Raw, Problem> {
    let webhook = of(desk, id).await?;
    let (frame, status) = (desk.frame("Rotate the secret", "show_webhooks_page"), trouble.status);
    Ok(desk.render(&RotatePage { frame, webhook, grace: grace.to_owned(), trouble })?.with_status(status))
}

async fn show_rotate(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WebhookId>("id")?);
    rotate_page(&desk, id, "86400", Trouble::default()).await
}

async fn rotate(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WebhookId>("id")?);
    let grace = call.input.number("grace_seconds").unwrap_or_default();
    let ask = Ask::to("rotate_webhook_secret").at("id", id).body(&json!({ "grace_seconds": grace }));
    match desk.get::<One<WithSecret>>(ask).await {
        Ok(made) => secret_page(&desk, made.data),
        Err(problem) => rotate_page(&desk, id, call.input.text("grace_seconds"), Trouble::again(problem)?).await,
    }
}

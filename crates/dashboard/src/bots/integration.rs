//! Where a bot's answers come from.

use std::collections::BTreeMap;

use access::Role;
use ambient::{BotId, IntegrationId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Bot, Secret, show_secrets};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Paged, Trouble, When},
};

const SHOW_NEW_INTEGRATION: Operation<Nothing, Raw> = page(
    "/_/bots/{id}/integrations/new",
    "show_new_integration_page",
    "The form for a new integration of a bot.",
    Role::Admin,
);
const CREATE_INTEGRATION: Operation<Form, Raw> =
    form("/_/bots/{id}/integrations", "create_integration_page", "Add an integration to a bot.", Role::Admin);
const SHOW_INTEGRATION: Operation<Nothing, Raw> =
    page("/_/integrations/{id}", "show_integration_page", "An integration of a bot.", Role::Member);
const UPDATE_INTEGRATION: Operation<Form, Raw> =
    form("/_/integrations/{id}", "update_integration_page", "Change an integration.", Role::Admin);
const ROTATE_INTEGRATION: Operation<Form, Raw> = form(
    "/_/integrations/{id}/rotate-secret",
    "rotate_integration_secret_page",
    "Give an integration a new secret, shown once.",
    Role::Admin,
);
const DELETE_INTEGRATION: Operation<Form, Raw> =
    form("/_/integrations/{id}/delete", "delete_integration_page", "Delete an integration.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_NEW_INTEGRATION, show_new);
    routes.mount(CREATE_INTEGRATION, create);
    routes.mount(SHOW_INTEGRATION, show);
    routes.mount(UPDATE_INTEGRATION, update);
    routes.mount(ROTATE_INTEGRATION, rotate);
    routes.mount(DELETE_INTEGRATION, delete);
}

/// An integration, as the API shows it: of its headers the names alone.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Integration {
    pub(super) id: String,
    pub(super) bot_id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) url: Option<String>,
    pub(super) model: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) timeout_seconds: u32,
    pub(super) weight: u32,
    pub(super) fallback: bool,
    pub(super) previous_secret_expires_at: Option<When>,
    pub(super) updated_at: When,
}

impl Integration {
    /// Of a bot.
    pub(super) async fn all_of(desk: &Desk<'_>, bot: &str) -> Result<Vec<Self>, Problem> {
        let list = Ask::to("list_integrations").at("bot_id", bot).query("per_page", 100);
        Ok(desk.get::<Paged<Self>>(list).await?.data)
    }

    pub(super) fn is_echo(&self) -> bool {
        self.kind == "echo"
    }
}

/// Whether anything but echo has a share of the traffic: then echo has none, whatever its weight.
pub(super) fn is_connected(integrations: &[Integration]) -> bool {
    integrations.iter().any(|integration| integration.weight > 0 && !integration.is_echo())
}

/// One that was just made, or has a new secret.
#[derive(Deserialize)]
struct Made {
    id: String,
    bot_id: String,
    secret: Option<String>,
}

/// What its form holds.
struct Fields {
    name: String,
    kind: String,
    url: String,
    model: String,
    headers: String,
    timeout_seconds: String,
    weight: String,
    fallback: bool,
}

impl Fields {
    fn new() -> Self {
        let (name, url, model, headers) = Default::default();
        let (timeout_seconds, weight) = ("30".to_owned(), "1".to_owned());
        Self { name, kind: "openai".to_owned(), url, model, headers, timeout_seconds, weight, fallback: false }
    }

    fn of(integration: &Integration) -> Self {
        let lines: Vec<_> = integration.headers.iter().map(|(name, mask)| format!("{name}: {mask}")).collect();
        Self {
            name: integration.name.clone(),
            kind: integration.kind.clone(),
            url: integration.url.clone().unwrap_or_default(),
            model: integration.model.clone().unwrap_or_default(),
            headers: lines.join("\n"),
            timeout_seconds: integration.timeout_seconds.to_string(),
            weight: integration.weight.to_string(),
            fallback: integration.fallback,
        }
    }

    /// What was typed in; without the values of headers, which no page shows again.
    fn sent(form: &Form) -> Self {
        Self {
            name: form.text("name").to_owned(),
            kind: form.text("kind").to_owned(),
            url: form.text("url").to_owned(),
            model: form.text("model").to_owned(),
            headers: String::new(),
            timeout_seconds: form.text("timeout_seconds").to_owned(),
            weight: form.text("weight").to_owned(),
            fallback: form.flag("fallback"),
        }
    }
}

/// A name and a value on each line.
fn headers(text: &str) -> Map<String, Value> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.trim().to_owned(), json!(value.trim()))
    };
    lines.map(pair).collect()
}

/// What the API is sent: what does not belong to the kind is none.
fn body(form: &Form, is_new: bool) -> Value {
    let kind = form.text("kind");
    let headers = Some(headers(form.raw("headers"))).filter(|headers| !headers.is_empty());
    let of = |kinds: &[&str], name: &str| form.some(name).filter(|_| kinds.contains(&kind));
    let mut body = json!({
        "kind": kind,
        "url": of(&["openai", "webhook"], "url"),
        "model": of(&["openai"], "model"),
        "fallback": form.flag("fallback"),
    });
    if kind != "echo" {
        body["headers"] = json!(headers);
    }
    if kind == "echo" && !is_new {
        // Whatever it had goes with its kind.
        body = json!({ "kind": kind, "fallback": form.flag("fallback") });
    }
    if let Some(name) = form.some("name") {
        body["name"] = json!(name);
    }
    for name in ["timeout_seconds", "weight"] {
        if let Some(number) = form.number(name) {
            body[name] = number;
        }
    }
    body
}

const KINDS: [(&str, &str); 3] = [
    ("openai", "A model that speaks OpenAI's format"),
    ("webhook", "A server of your own, which is asked with signed requests"),
    ("echo", "Echo: says back what it hears, for trying things out"),
];

#[derive(Template)]
#[template(path = "bots/integration_new.html")]
struct NewPage {
    frame: Frame,
    bot: Bot,
    fields: Fields,
    trouble: Trouble,
    kinds: &'static [(&'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "bots/integration.html")]
struct IntegrationPage {
    frame: Frame,
    bot: Bot,
    integration: Integration,
    fields: Fields,
    trouble: Trouble,
    may_change: bool,
    kinds: &'static [(&'static str, &'static str)],
}

async fn show_new(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    new_page(&desk, call.id("id")?, Fields::new(), Trouble::default()).await
}

async fn new_page(desk: &Desk<'_>, bot: BotId, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let bot = Bot::read(desk, &bot.to_string()).await?;
    let frame = desk.frame(format!("New integration of {}", bot.name), "show_bots_page");
    desk.render(&NewPage { frame, bot, fields, trouble, kinds: &KINDS })
}

const SENTENCE: &str = "Your server verifies with it that a question comes from here. It cannot be shown again.";

fn with_secret(desk: &Desk<'_>, made: Made, done: &str) -> Result<Raw, Problem> {
    let Some(text) = made.secret else {
        return Ok(Raw::see_other(&format!("/_/bots/{}?done={done}", made.bot_id)));
    };
    let secrets = vec![Secret { id: "secret", label: "secret of the integration", text }];
    show_secrets(desk, "show_bots_page", SENTENCE, secrets, format!("/_/integrations/{}", made.id))
}

async fn create(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (bot, once) = (call.id::<BotId>("id")?, call.input.text("once"));
    let ask = Ask::to("create_integration").at("bot_id", bot).body(&body(&call.input, true)).once(once);
    match desk.get::<One<Made>>(ask).await {
        Ok(made) => with_secret(&desk, made.data, "connected"),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(new_page(&desk, bot, Fields::sent(&call.input), trouble).await?.with_status(status))
        }
    }
}

async fn read(desk: &Desk<'_>, id: IntegrationId) -> Result<Integration, Problem> {
    Ok(desk.get::<One<Integration>>(Ask::to("get_integration").at("id", id)).await?.data)
}

async fn show(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let integration = read(&desk, call.id("id")?).await?;
    let fields = Fields::of(&integration);
    one(&desk, integration, fields, Trouble::default()).await
}

async fn one(desk: &Desk<'_>, integration: Integration, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let bot = Bot::read(desk, &integration.bot_id).await?;
    let frame = desk.frame(format!("{} of {}", integration.name, bot.name), "show_bots_page");
    let may_change = desk.may("update_integration");
    desk.render(&IntegrationPage { frame, bot, integration, fields, trouble, may_change, kinds: &KINDS })
}

/// The page again, with what was wrong.
async fn again(desk: &Desk<'_>, id: IntegrationId, form: Option<&Form>, problem: Problem) -> Result<Raw, Problem> {
    let trouble = Trouble::again(problem)?;
    let status = trouble.status;
    let integration = read(desk, id).await?;
    let mut fields = Fields::of(&integration);
    if let Some(form) = form {
        fields = Fields { headers: fields.headers, ..Fields::sent(form) };
    }
    Ok(one(desk, integration, fields, trouble).await?.with_status(status))
}

async fn update(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<IntegrationId>("id")?;
    let ask = Ask::to("update_integration").at("id", id).body(&body(&call.input, false));
    match desk.get::<One<Made>>(ask).await {
        Ok(made) => with_secret(&desk, made.data, "saved"),
        Err(problem) => again(&desk, id, Some(&call.input), problem).await,
    }
}

async fn rotate(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<IntegrationId>("id")?;
    let grace = call.input.number("grace_seconds").unwrap_or_else(|| json!(86_400));
    let ask = Ask::to("rotate_integration_secret").at("id", id).body(&json!({ "grace_seconds": grace }));
    match desk.get::<One<Made>>(ask).await {
        Ok(made) => with_secret(&desk, made.data, "saved"),
        Err(problem) => again(&desk, id, None, problem).await,
    }
}

async fn delete(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let integration = read(&desk, call.id("id")?).await?;
    desk.ask(Ask::to("delete_integration").at("id", &integration.id)).await?;
    Ok(Raw::see_other(&format!("/_/bots/{}?done=deleted", integration.bot_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pairs: &[(&str, &str)]) -> Form {
        serde_json::from_value(json!(pairs)).unwrap()
    }

    #[test]
    fn a_header_is_a_name_and_a_value_on_a_line() {
        let read = headers("Authorization: Bearer a:b\r\n\r\n x-team : blue \nbroken");
        assert_eq!(json!(read), json!({"Authorization": "Bearer a:b", "x-team": "blue", "broken": ""}));
    }

    #[test]
    fn what_does_not_belong_to_the_kind_is_not_sent() {
        let form = sent(&[
            ("kind", "webhook"),
            ("url", "https://bot.example.com/a"),
            ("model", "left over"),
            ("headers", "x-a: 1"),
            ("weight", "x"),
        ]);
        let whole = body(&form, true);
        assert_eq!((&whole["model"], &whole["url"]), (&Value::Null, &json!("https://bot.example.com/a")));
        assert_eq!(
            (&whole["headers"], &whole["weight"]),
            (&json!({"x-a": "1"}), &json!("x")),
            "the API says what is wrong"
        );
        let echo = body(&sent(&[("kind", "echo"), ("url", "https://x.example"), ("headers", "x-a: 1")]), false);
        assert_eq!(echo, json!({"kind": "echo", "fallback": false}));
    }

    #[test]
    fn a_header_s_value_is_not_shown_again() {
        let fields = Fields::sent(&sent(&[("kind", "openai"), ("headers", "Authorization: Bearer hunter2")]));
        assert_eq!(fields.headers, "");
    }
}

//! The list of bots, and one with its settings.

use access::Role;
use ambient::BotId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Bot,
    integration::{Integration, is_connected},
    long_text,
};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble},
};

const SHOW_BOTS: Operation<PageQuery, Raw> = page("/_/bots", "show_bots_page", "The list of bots.", Role::Member);
const SHOW_NEW_BOT: Operation<Nothing, Raw> =
    page("/_/bots/new", "show_new_bot_page", "The form for a new bot.", Role::Admin);
const CREATE_BOT: Operation<Form, Raw> = form("/_/bots", "create_bot_page", "Make a bot.", Role::Admin);
const SHOW_BOT: Operation<Nothing, Raw> =
    page("/_/bots/{id}", "show_bot_page", "A bot, its settings and its integrations.", Role::Member);
const UPDATE_BOT: Operation<Form, Raw> = form("/_/bots/{id}", "update_bot_page", "Change a bot.", Role::Admin);
const DELETE_BOT: Operation<Form, Raw> =
    form("/_/bots/{id}/delete", "delete_bot_page", "Delete a bot and its integrations.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_BOTS, show_bots);
    routes.mount(SHOW_NEW_BOT, show_new_bot);
    routes.mount(CREATE_BOT, create_bot);
    routes.mount(SHOW_BOT, show_bot);
    routes.mount(UPDATE_BOT, update_bot);
    routes.mount(DELETE_BOT, delete_bot);
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// What a bot's form holds.
struct Fields {
    name: String,
    description: String,
    greeting: String,
    instructions: String,
    architecture: String,
    context_messages: String,
}

impl Fields {
    fn new() -> Self {
        let (name, description, greeting, instructions) = Default::default();
        let (architecture, context_messages) = ("text".to_owned(), "10".to_owned());
        Self { name, description, greeting, instructions, architecture, context_messages }
    }

    fn of(bot: &Bot) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            name: bot.name.clone(),
            description: text(&bot.description),
            greeting: text(&bot.greeting),
            instructions: text(&bot.instructions),
            architecture: bot.architecture.clone(),
            context_messages: bot.context_messages.to_string(),
        }
    }

    fn sent(form: &Form) -> Self {
        Self {
            name: form.text("name").to_owned(),
            description: form.text("description").to_owned(),
            greeting: form.raw("greeting").to_owned(),
            instructions: form.raw("instructions").to_owned(),
            architecture: form.text("architecture").to_owned(),
            context_messages: form.text("context_messages").to_owned(),
        }
    }
}

/// What the API is sent: an empty field is none.
fn body(form: &Form) -> Value {
    let mut body = json!({
        "name": form.text("name"),
        "description": form.some("description"),
        "greeting": long_text(form, "greeting"),
        "instructions": long_text(form, "instructions"),
    });
    if let Some(architecture) = form.some("architecture") {
        body["architecture"] = json!(architecture);
    }
    if let Some(count) = form.number("context_messages") {
        body["context_messages"] = count;
    }
    body
}

const ARCHITECTURES: [(&str, &str); 3] = [
    ("text", "By text"),
    ("pipeline", "By voice: speech to text, a model, text to speech"),
    ("realtime", "By voice: one model that hears and speaks"),
];

#[derive(Template)]
#[template(path = "bots/list.html")]
struct BotsPage {
    frame: Frame,
    bots: Vec<Bot>,
    pager: Pager,
    may_create: bool,
}

#[derive(Template)]
#[template(path = "bots/new.html")]
struct NewBotPage {
    frame: Frame,
    fields: Fields,
    trouble: Trouble,
    /// As it was in the form that came back, so that a thing is made once.
    once: String,
    architectures: &'static [(&'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "bots/show.html")]
struct BotPage {
    frame: Frame,
    here: &'static str,
    bot: Bot,
    integrations: Vec<Integration>,
    /// See [`is_connected`].
    is_connected: bool,
    fields: Fields,
    trouble: Trouble,
    may_change: bool,
    architectures: &'static [(&'static str, &'static str)],
}

async fn show_bots(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (bots, pager) = desk.list(Ask::to("list_bots"), call.input.page, "/_/bots", &[]).await?;
    desk.render(&BotsPage {
        frame: desk.frame("Bots", "show_bots_page"),
        bots,
        pager,
        may_create: desk.may("create_bot"),
    })
}

async fn show_new_bot(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    new_bot(&desk, Fields::new(), Trouble::default(), desk.nonce())
}

fn new_bot(desk: &Desk<'_>, fields: Fields, trouble: Trouble, once: String) -> Result<Raw, Problem> {
    let frame = desk.frame("New bot", "show_bots_page");
    desk.render(&NewBotPage { frame, fields, trouble, once, architectures: &ARCHITECTURES })
}

async fn create_bot(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let once = call.input.text("once");
    match desk.get::<One<Made>>(Ask::to("create_bot").body(&body(&call.input)).once(once)).await {
        Ok(made) => Ok(Raw::see_other(&format!("/_/bots/{}?done=bot-created", made.data.id))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            // What is sent next is something else.
            Ok(new_bot(&desk, Fields::sent(&call.input), trouble, desk.nonce())?.with_status(status))
        }
    }
}

async fn show_bot(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let bot = Bot::read(&desk, &call.id::<BotId>("id")?.to_string()).await?;
    let fields = Fields::of(&bot);
    one_bot(&desk, bot, fields, Trouble::default()).await
}

async fn one_bot(desk: &Desk<'_>, bot: Bot, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let integrations = Integration::all_of(desk, &bot.id).await?;
    desk.render(&BotPage {
        frame: desk.frame(bot.name.clone(), "show_bots_page"),
        here: "bot",
        bot,
        is_connected: is_connected(&integrations),
        integrations,
        fields,
        trouble,
        may_change: desk.may("update_bot"),
        architectures: &ARCHITECTURES,
    })
}

async fn update_bot(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<BotId>("id")?;
    match desk.ask(Ask::to("update_bot").at("id", id).body(&body(&call.input))).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/bots/{id}?done=saved"))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let bot = Bot::read(&desk, &id.to_string()).await?;
            Ok(one_bot(&desk, bot, Fields::sent(&call.input), trouble).await?.with_status(status))
        }
    }
}

async fn delete_bot(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    desk.ask(Ask::to("delete_bot").at("id", call.id::<BotId>("id")?)).await?;
    Ok(Raw::see_other("/_/bots?done=deleted"))
}

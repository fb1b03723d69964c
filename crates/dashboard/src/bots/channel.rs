//! The ways to a bot that have a name.

use access::Role;
use ambient::{BotId, ChannelId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bot, Secret, long_text, show_secrets};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble, When},
};

const SHOW_CHANNELS: Operation<PageQuery, Raw> =
    page("/_/bots/{id}/channels", "show_channels_page", "The channels of a bot.", Role::Member);
const SHOW_NEW_CHANNEL: Operation<KindQuery, Raw> =
    page("/_/bots/{id}/channels/new", "show_new_channel_page", "The form for a new channel of a bot.", Role::Admin);
const CREATE_CHANNEL: Operation<Form, Raw> =
    form("/_/bots/{id}/channels", "create_channel_page", "Add a channel to a bot.", Role::Admin);
const SHOW_CHANNEL: Operation<Nothing, Raw> =
    page("/_/channels/{id}", "show_channel_page", "A channel of a bot.", Role::Member);
const UPDATE_CHANNEL: Operation<Form, Raw> =
    form("/_/channels/{id}", "update_channel_page", "Change a channel.", Role::Admin);
const ROTATE_CHANNEL: Operation<Form, Raw> = form(
    "/_/channels/{id}/rotate-secret",
    "rotate_channel_secret_page",
    "Give a webhook channel new secrets, shown once.",
    Role::Admin,
);
const DELETE_CHANNEL: Operation<Form, Raw> =
    form("/_/channels/{id}/delete", "delete_channel_page", "Delete a channel.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_CHANNELS, show_channels);
    routes.mount(SHOW_NEW_CHANNEL, show_new);
    routes.mount(CREATE_CHANNEL, create);
    routes.mount(SHOW_CHANNEL, show);
    routes.mount(UPDATE_CHANNEL, update);
    routes.mount(ROTATE_CHANNEL, rotate);
    routes.mount(DELETE_CHANNEL, delete);
}

/// Which form it is: the kinds have little in common.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
struct KindQuery {
    /// `widget` or `webhook`.
    kind: Option<String>,
}

/// A channel, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
struct Channel {
    id: String,
    bot_id: String,
    kind: String,
    name: String,
    title: Option<String>,
    color: Option<String>,
    greeting: Option<String>,
    snippet: Option<String>,
    inbound_url: Option<String>,
    signing: Option<String>,
    reply_url: Option<String>,
    reply_disabled_at: Option<When>,
    is_active: bool,
    previous_secret_expires_at: Option<When>,
    created_at: When,
}

impl Channel {
    fn is_widget(&self) -> bool {
        self.kind == "widget"
    }
}

/// One that was just made, or has new secrets.
#[derive(Deserialize)]
struct Made {
    id: String,
    secret: Option<String>,
    reply_secret: Option<String>,
}

/// What its form holds.
#[derive(PartialEq, Eq)]
struct Fields {
    is_widget: bool,
    name: String,
    title: String,
    color: String,
    greeting: String,
    reply_url: String,
    signing: String,
    is_active: bool,
}

impl Fields {
    fn new(kind: &str) -> Self {
        let (name, title, color, greeting, reply_url) = Default::default();
        let (is_widget, signing) = (kind != "webhook", "standard_webhooks".to_owned());
        Self { is_widget, name, title, color, greeting, reply_url, signing, is_active: true }
    }

    fn of(channel: &Channel) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            is_widget: channel.is_widget(),
            name: channel.name.clone(),
            title: text(&channel.title),
            color: text(&channel.color),
            greeting: text(&channel.greeting),
            reply_url: text(&channel.reply_url),
            signing: text(&channel.signing),
            is_active: channel.is_active,
        }
    }

    fn sent(form: &Form, is_widget: bool) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        Self {
            is_widget,
            name: text("name"),
            title: text("title"),
            color: text("color"),
            greeting: form.raw("greeting").to_owned(),
            reply_url: text("reply_url"),
            signing: text("signing"),
            is_active: form.flag("is_active"),
        }
    }
}

/// What the API is sent: what belongs to the kind.
fn body(form: &Form, is_widget: bool) -> Value {
    let (name, is_active) = (form.text("name"), form.flag("is_active"));
    if is_widget {
        let (title, color, greeting) = (form.some("title"), form.some("color"), long_text(form, "greeting"));
        return json!({"name": name, "is_active": is_active, "title": title, "color": color, "greeting": greeting});
    }
    let mut body = json!({"name": name, "is_active": is_active, "reply_url": form.some("reply_url")});
    if let Some(signing) = form.some("signing") {
        body["signing"] = json!(signing);
    }
    body
}

const SIGNINGS: [(&str, &str); 2] = [
    ("standard_webhooks", "Standard Webhooks 1.0, and in no other way"),
    ("plain", "Also by a plain HMAC of the body, X-Chatbot-Signature"),
];

#[derive(Template)]
#[template(path = "bots/channels.html")]
struct ChannelsPage {
    frame: Frame,
    here: &'static str,
    bot: Bot,
    channels: Vec<Channel>,
    pager: Pager,
    may_change: bool,
}

#[derive(Template)]
#[template(path = "bots/channel_new.html")]
struct NewPage {
    frame: Frame,
    bot: Bot,
    fields: Fields,
    trouble: Trouble,
    signings: &'static [(&'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "bots/channel.html")]
struct ChannelPage {
    frame: Frame,
    bot: Bot,
    channel: Channel,
    fields: Fields,
    trouble: Trouble,
    may_change: bool,
    signings: &'static [(&'static str, &'static str)],
}

async fn show_channels(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let bot = Bot::read(&desk, &call.id::<BotId>("id")?.to_string()).await?;
    let (ask, path) = (Ask::to("list_channels").at("bot_id", &bot.id), format!("/_/bots/{}/channels", bot.id));
    let (channels, pager) = desk.list(ask, call.input.page, &path, &[]).await?;
    desk.render(&ChannelsPage {
        frame: desk.frame(format!("Channels of {}", bot.name), "show_bots_page"),
        here: "channels",
        bot,
        channels,
        pager,
        may_change: desk.may("create_channel"),
    })
}

async fn show_new(_: App, call: Call<KindQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let fields = Fields::new(call.input.kind.as_deref().unwrap_or_default());
    new_page(&desk, call.id("id")?, fields, Trouble::default()).await
}

async fn new_page(desk: &Desk<'_>, bot: BotId, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let bot = Bot::read(desk, &bot.to_string()).await?;
    let frame = desk.frame(format!("New channel of {}", bot.name), "show_bots_page");
    desk.render(&NewPage { frame, bot, fields, trouble, signings: &SIGNINGS })
}

const SENTENCE: &str = "Put both into your server now: the first signs what you send here, by the second you know that a \
                        reply comes from here. They cannot be shown again.";

fn with_secrets(desk: &Desk<'_>, made: Made, done: &str) -> Result<Raw, Problem> {
    let next = format!("/_/channels/{}", made.id);
    let Some(text) = made.secret else { return Ok(Raw::see_other(&format!("{next}?done={done}"))) };
    let mut secrets = vec![Secret { id: "secret", label: "secret for what you send", text }];
    secrets.extend(made.reply_secret.map(|text| Secret { id: "reply-secret", label: "secret of our replies", text }));
    show_secrets(desk, "show_bots_page", SENTENCE, secrets, next)
}

async fn create(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (bot, kind) = (call.id::<BotId>("id")?, call.input.text("kind"));
    let is_widget = kind != "webhook";
    let mut body = body(&call.input, is_widget);
    body["kind"] = json!(kind);
    let ask = Ask::to("create_channel").at("bot_id", bot).body(&body).once(call.input.text("once"));
    match desk.get::<One<Made>>(ask).await {
        Ok(made) => with_secrets(&desk, made.data, "created"),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            Ok(new_page(&desk, bot, Fields::sent(&call.input, is_widget), trouble).await?.with_status(status))
        }
    }
}

async fn read(desk: &Desk<'_>, id: ChannelId) -> Result<Channel, Problem> {
    Ok(desk.get::<One<Channel>>(Ask::to("get_channel").at("id", id)).await?.data)
}

async fn show(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let channel = read(&desk, call.id("id")?).await?;
    let fields = Fields::of(&channel);
    one(&desk, channel, fields, Trouble::default()).await
}

async fn one(desk: &Desk<'_>, channel: Channel, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let bot = Bot::read(desk, &channel.bot_id).await?;
    let frame = desk.frame(format!("{} of {}", channel.name, bot.name), "show_bots_page");
    let may_change = desk.may("update_channel");
    desk.render(&ChannelPage { frame, bot, channel, fields, trouble, may_change, signings: &SIGNINGS })
}

/// The page again, with what was wrong.
async fn again(desk: &Desk<'_>, channel: Channel, fields: Fields, problem: Problem) -> Result<Raw, Problem> {
    let trouble = Trouble::again(problem)?;
    let status = trouble.status;
    Ok(one(desk, channel, fields, trouble).await?.with_status(status))
}

async fn update(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let channel = read(&desk, call.id("id")?).await?;
    let mut body = body(&call.input, channel.is_widget());
    // Sent anew it would turn an endpoint on that was disabled: only who changes it, or ticks the box, means that.
    if form_keeps(&call.input, &channel) {
        body.as_object_mut().map(|members| members.remove("reply_url"));
    }
    // What only cuts is asked for alone: it takes no fresh proof then.
    if only_turns_off(&call.input, &channel) {
        body = json!({"is_active": false});
    }
    match desk.ask(Ask::to("update_channel").at("id", &channel.id).body(&body)).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/channels/{}?done=saved", channel.id))),
        Err(problem) => {
            let fields = Fields::sent(&call.input, channel.is_widget());
            again(&desk, channel, fields, problem).await
        }
    }
}

fn form_keeps(form: &Form, channel: &Channel) -> bool {
    !form.flag("enable_replies") && form.some("reply_url") == channel.reply_url.as_deref()
}

fn only_turns_off(form: &Form, channel: &Channel) -> bool {
    // Browsers end the lines of a text in their own way.
    let of_lines = |fields: Fields| Fields { greeting: fields.greeting.replace("\r\n", "\n"), ..fields };
    let (was, sent) = (of_lines(Fields::of(channel)), of_lines(Fields::sent(form, channel.is_widget())));
    let is_cut = was.is_active && !sent.is_active && !form.flag("enable_replies");
    is_cut && was == Fields { is_active: true, ..sent }
}

async fn rotate(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<ChannelId>("id")?;
    let grace = call.input.number("grace_seconds").unwrap_or_else(|| json!(86_400));
    let ask = Ask::to("rotate_channel_secret").at("id", id).body(&json!({ "grace_seconds": grace }));
    match desk.get::<One<Made>>(ask).await {
        Ok(made) => with_secrets(&desk, made.data, "saved"),
        Err(problem) => {
            let channel = read(&desk, id).await?;
            let fields = Fields::of(&channel);
            again(&desk, channel, fields, problem).await
        }
    }
}

async fn delete(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let channel = read(&desk, call.id("id")?).await?;
    desk.ask(Ask::to("delete_channel").at("id", &channel.id)).await?;
    Ok(Raw::see_other(&format!("/_/bots/{}/channels?done=deleted", channel.bot_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_sent_its_own_fields() {
        let pairs = json!([["name", "A"], ["title", "T"], ["reply_url", "https://a.example"], ["signing", "plain"]]);
        let form: Form = serde_json::from_value(pairs).unwrap();
        let widget = body(&form, true);
        assert_eq!((widget.get("reply_url"), &widget["title"], &widget["color"]), (None, &json!("T"), &Value::Null));
        let webhook = body(&form, false);
        assert_eq!((webhook.get("title"), &webhook["signing"]), (None, &json!("plain")));
    }
}

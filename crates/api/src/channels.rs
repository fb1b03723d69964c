//! Channels: ways to a bot that have a name. A widget on a page, or a server that sends signed messages and gets
//! signed replies.

use access::{Access, Limit, Role, Scope, Tenant};
use ambient::{BotId, ChannelId, Millis, WebhookId};
use chat::{channel_place, new_secret};
use credential::webhook::{mint_sealed, open_sealed, secret_place};
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{ChannelChange, ChannelRecord, NewChannel as NewRecord, NewReplyEndpoint, StoreError};
use zeroize::Zeroizing;

use crate::{
    App,
    channel_settings::{ChannelKind, ChannelSigning, Settings},
    input,
    problem::of_chat,
    signing::RotateSecret,
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ChannelsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::ChannelsWrite).audited();

pub(crate) const LIST_CHANNELS: Operation<PageQuery, List<Channel>> = Operation::get(
    "/v1/bots/{bot_id}/channels",
    "list_channels",
    "List the channels of a bot, the newest first.",
    READ,
);
pub(crate) const CREATE_CHANNEL: Operation<NewChannel, Data<ChannelWithSecrets>> = Operation::post(
    "/v1/bots/{bot_id}/channels",
    "create_channel",
    "Add a channel to a bot; the secrets of a webhook channel are shown once.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const GET_CHANNEL: Operation<Nothing, Data<Channel>> =
    Operation::get("/v1/channels/{id}", "get_channel", "Read a channel.", READ);
pub(crate) const UPDATE_CHANNEL: Operation<ChannelPatch, Data<Channel>> = Operation::patch(
    "/v1/channels/{id}",
    "update_channel",
    "Change a channel. With a `reply_url`, an endpoint that was disabled is on again.",
    WRITE,
)
.dangerous_but_to_turn_off("is_active");
pub(crate) const DELETE_CHANNEL: Operation<Nothing, Empty> = Operation::delete(
    "/v1/channels/{id}",
    "delete_channel",
    "Delete a channel, with what waits in it; its conversations stay readable.",
    WRITE,
)
.answers_nothing();
pub(crate) const ROTATE_CHANNEL_SECRET: Operation<RotateSecret, Data<ChannelWithSecrets>> = Operation::post(
    "/v1/channels/{id}/rotate-secret",
    "rotate_channel_secret",
    "Give a webhook channel new secrets, shown once; those before count too for `grace_seconds`.",
    WRITE,
)
.dangerous();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_CHANNELS, list_channels);
    routes.mount(CREATE_CHANNEL, create_channel);
    routes.mount(GET_CHANNEL, get_channel);
    routes.mount(UPDATE_CHANNEL, update_channel);
    routes.mount(DELETE_CHANNEL, delete_channel);
    routes.mount(ROTATE_CHANNEL_SECRET, rotate_channel_secret);
}

/// A channel to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewChannel {
    /// `widget` or `webhook`.
    kind: ChannelKind,
    /// What people call it, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// Of a widget: its title, at most 100 characters; the bot's name by default.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    title: Option<String>,
    /// Of a widget: its colour, such as `#0a7c66`.
    #[serde(default)]
    #[schemars(regex(pattern = "^#[0-9a-fA-F]{6}$"))]
    color: Option<String>,
    /// Of a widget: its first words, at most 2,000 characters; the bot's by default.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2000))]
    greeting: Option<String>,
    /// Of a webhook: where replies are sent.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    reply_url: Option<String>,
    /// Of a webhook: how messages are signed; `standard_webhooks` by default.
    #[serde(default)]
    signing: Option<ChannelSigning>,
    /// Whether it takes anything yet; true by default.
    #[serde(default = "yes")]
    is_active: bool,
}

const fn yes() -> bool {
    true
}

/// What is to be different about a channel; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelPatch {
    /// What people call it, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// Of a widget: its title; `null` for the bot's name.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(length(min = 1, max = 100))]
    title: Option<Option<String>>,
    /// Of a widget: its colour, such as `#0a7c66`; `null` for the widget's own.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(regex(pattern = "^#[0-9a-fA-F]{6}$"))]
    color: Option<Option<String>>,
    /// Of a widget: its first words; `null` for the bot's.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(length(min = 1, max = 2000))]
    greeting: Option<Option<String>>,
    /// Of a webhook: where replies are sent.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    reply_url: Option<String>,
    /// Of a webhook: how messages are signed.
    #[serde(default)]
    signing: Option<ChannelSigning>,
    /// Whether it takes anything.
    #[serde(default)]
    is_active: Option<bool>,
}

/// A way to a bot that has a name.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Channel {
    /// Its id.
    id: ChannelId,
    /// Who answers.
    bot_id: BotId,
    /// `widget` or `webhook`.
    kind: String,
    /// What people call it.
    name: String,
    /// Of a widget: its title.
    title: Option<String>,
    /// Of a widget: its colour.
    color: Option<String>,
    /// Of a widget: its first words, instead of the bot's.
    greeting: Option<String>,
    /// Of a widget: what to put into a page, with a widget key of yours in it.
    snippet: Option<String>,
    /// Of a webhook: where its messages are sent to, signed.
    inbound_url: Option<String>,
    /// Of a webhook: how messages are signed.
    signing: Option<ChannelSigning>,
    /// Of a webhook: where replies are sent.
    reply_url: Option<String>,
    /// Of a webhook: since when replies are not sent, because their address wanted none or failed for days. Send
    /// `reply_url` again to turn it on.
    reply_disabled_at: Option<Millis>,
    /// Whether it takes anything.
    is_active: bool,
    /// Until when the secrets before the present ones count too.
    previous_secret_expires_at: Option<Millis>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

/// A channel with new secrets. This is the only time that they are shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChannelWithSecrets {
    #[serde(flatten)]
    channel: Channel,
    /// Of a webhook: what to sign messages with, `whsec_…`.
    secret: Option<String>,
    /// Of a webhook: what its replies are signed with, `whsec_…`.
    reply_secret: Option<String>,
}

impl Channel {
    fn of(app: &App, record: ChannelRecord) -> Self {
        let url = &app.settings().public_url;
        let settings: Settings = serde_json::from_str(&record.settings).unwrap_or_default();
        let is_webhook = record.kind == ChannelKind::Webhook.as_str();
        Self {
            snippet: (!is_webhook).then(|| snippet(url, &record, &settings)),
            inbound_url: is_webhook.then(|| format!("{url}/v1/channels/{}/messages", record.id)),
            id: record.id,
            bot_id: record.bot,
            kind: record.kind,
            name: record.name,
            title: settings.title,
            color: settings.color,
            greeting: settings.greeting,
            signing: is_webhook.then(|| settings.signing.unwrap_or_default()),
            reply_url: record.reply_url,
            reply_disabled_at: record.reply_disabled_at,
            is_active: record.disabled_at.is_none(),
            previous_secret_expires_at: record.secret.previous_until,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn snippet(url: &str, channel: &ChannelRecord, settings: &Settings) -> String {
    let (bot, id) = (channel.bot, channel.id);
    let mut text = format!(
        "<script src=\"{url}/widget/chat-widget.js\" data-widget-key=\"tk_widget_…\" data-agent-id=\"{bot}\" \
         data-channel-id=\"{id}\""
    );
    for (name, value) in [("data-title", &settings.title), ("data-accent-color", &settings.color)] {
        if let Some(value) = value {
            text.push_str(&format!(" {name}=\"{}\"", escape(value)));
        }
    }
    text + " defer></script>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What of a channel's fields belongs to its kind and fits.
struct Check<'a> {
    title: Option<&'a String>,
    color: Option<&'a String>,
    greeting: Option<&'a String>,
    reply_url: Option<&'a String>,
    signing: Option<ChannelSigning>,
}

impl Check<'_> {
    fn run(&self, errors: &mut Vec<FieldError>, kind: ChannelKind) {
        let widget = [("title", self.title.is_some()), ("color", self.color.is_some())];
        let widget = widget.into_iter().chain([("greeting", self.greeting.is_some())]);
        match kind {
            ChannelKind::Webhook => {
                for (name, _) in widget.filter(|(_, is_sent)| *is_sent) {
                    errors.push(FieldError::new(name, "belongs to a widget channel"));
                }
            }
            ChannelKind::Widget if self.reply_url.is_some() => {
                errors.push(FieldError::new("reply_url", "belongs to a webhook channel"));
            }
            ChannelKind::Widget if self.signing.is_some() => {
                errors.push(FieldError::new("signing", "belongs to a webhook channel"));
            }
            ChannelKind::Widget => {}
        }
        if let Some(title) = self.title {
            field::text(errors, "title", title, 1, 100);
        }
        if let Some(greeting) = self.greeting {
            field::text(errors, "greeting", greeting, 1, 2000);
        }
        if let Some(color) = self.color
            && !(color.len() == 7 && color.starts_with('#') && color.bytes().skip(1).all(|b| b.is_ascii_hexdigit()))
        {
            errors.push(FieldError::new("color", "must be `#` and six hexadecimal digits"));
        }
    }
}

/// The address in its canonical form, where the operator lets it be called. A name is judged again at each call.
fn check_url(app: &App, errors: &mut Vec<FieldError>, url: &str) -> Option<String> {
    match app.chat().check_url(url) {
        Ok(url) => Some(url),
        Err(refusal) => {
            errors.push(FieldError::new("reply_url", refusal));
            None
        }
    }
}

async fn list_channels(app: App, call: Call<PageQuery>) -> Result<List<Channel>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let bot = data.bot(call.id("bot_id")?).await?;
    let page = data.channels(bot.id, request).await?;
    Ok(List::of(page, request, |record| Channel::of(&app, record)))
}

async fn create_channel(app: App, call: Call<NewChannel>) -> Result<Data<ChannelWithSecrets>, Problem> {
    let (tenant, bot) = (call.tenant()?, call.id::<BotId>("bot_id")?);
    let (sent, mut errors) = (&call.input, Vec::new());
    input::name(&mut errors, &sent.name, 100);
    let NewChannel { title, color, greeting, reply_url, signing, .. } = sent;
    let check = Check {
        title: title.as_ref(),
        color: color.as_ref(),
        greeting: greeting.as_ref(),
        reply_url: reply_url.as_ref(),
        signing: *signing,
    };
    check.run(&mut errors, sent.kind);
    let is_webhook = sent.kind == ChannelKind::Webhook;
    let url = match &sent.reply_url {
        Some(url) if is_webhook => check_url(&app, &mut errors, url),
        None if is_webhook => {
            errors.push(FieldError::new("reply_url", "must say where replies are sent"));
            None
        }
        _ => None,
    };
    input::done(errors)?;
    let data = app.store().workspace(tenant);
    let bot = data.bot(bot).await?;
    let id: ChannelId = data.new_id()?;
    let (mut secret_sealed, mut reply) = (None, None);
    if let Some(url) = url {
        let sealed = new_secret(app.secrets().sealer(), &channel_place(tenant, id), app.random());
        secret_sealed = Some(sealed.map_err(of_chat)?.0);
        let id = WebhookId::mint(app.clock(), app.random()).map_err(Problem::unavailable)?;
        reply = Some(NewReplyEndpoint { id, url, secret_sealed: mint_reply(&app, tenant, id)? });
    }
    let (title, color, greeting) = (title.clone(), color.clone(), greeting.clone());
    let settings = Settings { signing: *signing, title, color, greeting };
    let new = NewRecord {
        id,
        bot: bot.id,
        kind: sent.kind.as_str().to_owned(),
        name: sent.name.clone(),
        settings: serde_json::to_string(&settings).map_err(Problem::unavailable)?,
        secret_sealed,
        reply,
        is_active: sent.is_active,
    };
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"bot_id": bot.id, "kind": sent.kind, "name": sent.name})));
    let made = data.create_channel(new, audit).await.map_err(of_store)?;
    with_secrets(&app, tenant, made).await
}

async fn get_channel(app: App, call: Call<Nothing>) -> Result<Data<Channel>, Problem> {
    let record = app.workspace(&call)?.channel(call.id("id")?).await?;
    Ok(Data::new(Channel::of(&app, record)))
}

async fn update_channel(app: App, call: Call<ChannelPatch>) -> Result<Data<Channel>, Problem> {
    let (data, id) = (app.workspace(&call)?, call.id::<ChannelId>("id")?);
    let _turn = app.turn(id.0).await;
    let before = data.channel(id).await?;
    let is_webhook = before.kind == ChannelKind::Webhook.as_str();
    let kind = if is_webhook { ChannelKind::Webhook } else { ChannelKind::Widget };
    let (sent, mut errors) = (&call.input, Vec::new());
    if let Some(name) = &sent.name {
        input::name(&mut errors, name, 100);
    }
    let check = Check {
        title: sent.title.as_ref().and_then(Option::as_ref),
        color: sent.color.as_ref().and_then(Option::as_ref),
        greeting: sent.greeting.as_ref().and_then(Option::as_ref),
        reply_url: sent.reply_url.as_ref(),
        signing: sent.signing,
    };
    check.run(&mut errors, kind);
    let reply_url = match &sent.reply_url {
        Some(url) if is_webhook => check_url(&app, &mut errors, url),
        _ => None,
    };
    input::done(errors)?;
    let mut settings: Settings = serde_json::from_str(&before.settings).map_err(Problem::unavailable)?;
    for (old, new) in [
        (&mut settings.title, &sent.title),
        (&mut settings.color, &sent.color),
        (&mut settings.greeting, &sent.greeting),
    ] {
        if let Some(new) = new {
            old.clone_from(new);
        }
    }
    settings.signing = sent.signing.or(settings.signing);
    let change = ChannelChange {
        name: sent.name.clone(),
        settings: Some(serde_json::to_string(&settings).map_err(Problem::unavailable)?),
        reply_url,
        is_active: sent.is_active,
    };
    let fields = [
        ("name", sent.name.is_some()),
        ("title", sent.title.is_some()),
        ("color", sent.color.is_some()),
        ("greeting", sent.greeting.is_some()),
        ("reply_url", sent.reply_url.is_some()),
        ("signing", sent.signing.is_some()),
        ("is_active", sent.is_active.is_some()),
    ];
    let fields: Vec<_> = fields.into_iter().filter_map(|(name, is_sent)| is_sent.then_some(name)).collect();
    let actor = call.actor();
    let changed = data.update_channel(id, change, call.audit(&actor, Some(json!({ "fields": fields })))).await;
    Ok(Data::new(Channel::of(&app, changed.map_err(of_store)?)))
}

async fn delete_channel(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let actor = call.actor();
    app.workspace(&call)?.delete_channel(call.id("id")?, call.audit(&actor, None)).await?;
    Ok(Empty)
}

async fn rotate_channel_secret(app: App, call: Call<RotateSecret>) -> Result<Data<ChannelWithSecrets>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<ChannelId>("id")?);
    let until = call.input.until(app.clock().now())?;
    let data = app.store().workspace(tenant);
    let _turn = app.turn(id.0).await;
    let before = data.channel(id).await?;
    let Some(webhook) = before.webhook else {
        return Err(Problem::conflict("A widget channel has no secret; its credential is a widget key"));
    };
    let sealed = new_secret(app.secrets().sealer(), &channel_place(tenant, id), app.random()).map_err(of_chat)?.0;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(call.input.detail()));
    let rotated = data.rotate_channel(id, (sealed, mint_reply(&app, tenant, webhook)?), until, audit).await;
    with_secrets(&app, tenant, rotated.map_err(of_store)?).await
}

/// A new secret for replies, sealed.
fn mint_reply(app: &App, tenant: Tenant, webhook: WebhookId) -> Result<Vec<u8>, Problem> {
    let place = secret_place(&tenant.workspace, &tenant.environment, &webhook);
    Ok(mint_sealed(app.secrets(), &place, app.random()).map_err(Problem::unavailable)?.sealed)
}

/// Opened from what is stored: after a crash the second attempt shows what the first has made.
async fn with_secrets(app: &App, tenant: Tenant, record: ChannelRecord) -> Result<Data<ChannelWithSecrets>, Problem> {
    let (mut secret, mut reply_secret) = (None, None);
    if let (Some(sealed), Some(webhook)) = (&record.secret.current, record.webhook) {
        let plain = app.secrets().sealer().open(&channel_place(tenant, record.id), sealed);
        let plain = Zeroizing::new(plain.map_err(Problem::unavailable)?.to_vec());
        secret = Some(String::from_utf8(plain.to_vec()).map_err(Problem::unavailable)?);
        let endpoint = app.store().workspace(tenant).owned_webhook(webhook).await?;
        let place = secret_place(&tenant.workspace, &tenant.environment, &webhook);
        let opened = open_sealed(app.secrets(), &place, &endpoint.secret_sealed).map_err(Problem::unavailable)?;
        reply_secret = Some(opened.to_text().to_string());
    }
    Ok(Data::new(ChannelWithSecrets { channel: Channel::of(app, record), secret, reply_secret }))
}

fn of_store(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("channels") => Problem::conflict("There are 500 channels already; delete one first"),
        StoreError::Conflict("kind") => Problem::conflict("A widget channel sends no replies"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippet_s_values_stay_inside_their_quotes() {
        assert_eq!(escape(r#"a"><script>&"#), "a&quot;&gt;&lt;script&gt;&amp;");
    }

    #[test]
    fn a_field_belongs_to_one_kind() {
        let text = "x".to_owned();
        let wrong = |kind, title: Option<&String>, color: Option<&String>, reply_url: Option<&String>| {
            let mut errors = Vec::new();
            Check { title, color, greeting: None, reply_url, signing: None }.run(&mut errors, kind);
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(wrong(ChannelKind::Webhook, Some(&text), None, Some(&text)), ["title"]);
        assert_eq!(wrong(ChannelKind::Widget, Some(&text), Some(&text), Some(&text)), ["reply_url", "color"]);
        let (good, bad) = ("#0aF09c".to_owned(), "#0aF09g".to_owned());
        assert!(wrong(ChannelKind::Widget, None, Some(&good), None).is_empty());
        assert_eq!(wrong(ChannelKind::Widget, None, Some(&bad), None), ["color"]);
    }
}

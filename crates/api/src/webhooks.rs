//! Webhooks out: where a workspace's events go. Who sends them is the room `webhook`.

use access::{Access, Limit, Role, Scope};
use ambient::{AttemptId, EventId, Millis, WebhookId};
use credential::webhook::{MintedSecret, mint_sealed, secret_place};
use gate::{Call, Data, Empty, FieldError, List, ListMeta, LogQuery, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::json;
use store::{
    AttemptRecord, EventKind, MAX_WEBHOOKS, NewWebhook as NewRecord, PageRequest, StoreError, WebhookChange,
    WebhookRecord, Workspace,
};

use crate::{
    App,
    conversations::after,
    input,
    overview::host_of,
    signing::RotateSecret,
    webhook_scopes::{must_read, must_read_kept},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::WebhooksRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::WebhooksWrite).audited();

pub(crate) const LIST_WEBHOOKS: Operation<PageQuery, List<Webhook>> =
    Operation::get("/v1/webhooks", "list_webhooks", "List the endpoints that events go to, the newest first.", READ);
pub(crate) const CREATE_WEBHOOK: Operation<NewWebhook, Data<WebhookWithSecret>> = Operation::post(
    "/v1/webhooks",
    "create_webhook",
    "Send events to an address from now on; the secret that signs them is shown once.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const GET_WEBHOOK: Operation<Nothing, Data<Webhook>> =
    Operation::get("/v1/webhooks/{id}", "get_webhook", "Read an endpoint, and whether events arrive.", READ);
pub(crate) const UPDATE_WEBHOOK: Operation<WebhookPatch, Data<ChangedWebhook>> = Operation::patch(
    "/v1/webhooks/{id}",
    "update_webhook",
    "Change an endpoint, or turn it off and on. What it did not get while it was off it gets by `recover` alone.",
    WRITE,
)
.dangerous_but_to_turn_off("is_active");
pub(crate) const DELETE_WEBHOOK: Operation<Nothing, Empty> = Operation::delete(
    "/v1/webhooks/{id}",
    "delete_webhook",
    "Delete an endpoint, with what has not arrived yet.",
    WRITE,
)
.answers_nothing();
pub(crate) const TEST_WEBHOOK: Operation<Nothing, Data<Sent>> = Operation::post(
    "/v1/webhooks/{id}/test",
    "test_webhook",
    "Send a `webhook.test` event to an endpoint, as every event is sent.",
    WRITE,
)
.accepts();
pub(crate) const ROTATE_WEBHOOK_SECRET: Operation<RotateSecret, Data<WebhookWithSecret>> = Operation::post(
    "/v1/webhooks/{id}/rotate-secret",
    "rotate_webhook_secret",
    "Give an endpoint another secret, shown once; for `grace_seconds` the one before signs along.",
    WRITE,
)
.dangerous();
pub(crate) const LIST_WEBHOOK_ATTEMPTS: Operation<LogQuery, List<Attempt>> = Operation::get(
    "/v1/webhooks/{id}/attempts",
    "list_webhook_attempts",
    "List the attempts to reach an endpoint, the newest first; `after` reads on from one, the oldest first.",
    READ,
);
pub(crate) const REPLAY_WEBHOOK_ATTEMPT: Operation<Nothing, Data<Sent>> = Operation::post(
    "/v1/webhooks/{id}/attempts/{attempt}/replay",
    "replay_webhook_attempt",
    "Send the event of an attempt again, with the same id.",
    WRITE,
)
.accepts();
pub(crate) const RECOVER_WEBHOOK: Operation<Recover, Data<Recovered>> = Operation::post(
    "/v1/webhooks/{id}/recover",
    "recover_webhook",
    "Send again what an endpoint did not take since a time, at most 30 days ago.",
    WRITE,
)
.accepts();

/// The kind of an event that was asked for.
const TEST: &str = "webhook.test";
/// The most characters of a description.
const MAX_DESCRIPTION: usize = 500;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_WEBHOOKS, list_webhooks);
    routes.mount(CREATE_WEBHOOK, create_webhook);
    routes.mount(GET_WEBHOOK, get_webhook);
    routes.mount(UPDATE_WEBHOOK, update_webhook);
    routes.mount(DELETE_WEBHOOK, delete_webhook);
    routes.mount(TEST_WEBHOOK, test_webhook);
    routes.mount(ROTATE_WEBHOOK_SECRET, rotate_webhook_secret);
    routes.mount(LIST_WEBHOOK_ATTEMPTS, list_webhook_attempts);
    routes.mount(REPLAY_WEBHOOK_ATTEMPT, replay_webhook_attempt);
    routes.mount(RECOVER_WEBHOOK, recover_webhook);
}

/// One of the kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventName(EventKind);

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = EventKind::ALL.iter().find(|kind| kind.as_str() == text);
        known.map(|kind| Self(*kind)).ok_or_else(|| de::Error::custom("not a kind of event"))
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl JsonSchema for EventName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let about: Vec<_> =
            EventKind::ALL.iter().map(|kind| format!("`{}`: {}", kind.as_str(), kind.about())).collect();
        json_schema!({"type": "string", "enum": kinds, "description": about.join(" ")})
    }
}

/// An endpoint to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// Where events go: `https://`, at most 2,048 bytes, to a public address unless the operator opened others.
    #[schemars(length(min = 1, max = 2048))]
    url: String,
    /// Which events, 1 to 50; absent or `null`: all, also those of later versions.
    #[serde(default)]
    #[schemars(length(min = 1, max = 50))]
    events: Option<Vec<EventName>>,
    /// What it is for, at most 500 characters.
    #[serde(default)]
    #[schemars(length(max = 500))]
    description: Option<String>,
    /// Whether it gets events from now on.
    #[serde(default)]
    is_active: Option<bool>,
}

/// What is to be different about an endpoint; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    /// Where events go. Another address gets another secret.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    url: Option<String>,
    /// Which events, 1 to 50; `null`: all.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(length(min = 1, max = 50))]
    events: Option<Option<Vec<EventName>>>,
    /// What it is for.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(length(max = 500))]
    description: Option<Option<String>>,
    /// Whether it gets events. Turned on it begins anew, also where it was disabled because it failed.
    #[serde(default)]
    is_active: Option<bool>,
}

/// How an endpoint is doing.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WebhookStatus {
    /// Its last attempt arrived, or there was none.
    Active,
    /// Every attempt has failed since `failing_since`; after five days it is disabled.
    Failing,
    /// It gets nothing: `disabled_reason` says why.
    Disabled,
}

/// Where events go.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Webhook {
    /// Its id.
    id: WebhookId,
    /// Where events go.
    url: String,
    /// Which events; `null` for all.
    events: Option<Vec<String>>,
    /// What it is for.
    description: Option<String>,
    /// Whether it gets events.
    is_active: bool,
    /// How it is doing.
    status: WebhookStatus,
    /// `gone` when it answered 410, `failing` after five days of failure, `paused` when it was turned off.
    disabled_reason: Option<String>,
    /// Since when it gets nothing.
    disabled_at: Option<Millis>,
    /// Since when every attempt has failed.
    failing_since: Option<Millis>,
    /// Until when the secret before the last rotation signs along.
    previous_secret_expires_at: Option<Millis>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

/// An endpoint whose secret was just made. This is the only time that `secret` is shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WebhookWithSecret {
    #[serde(flatten)]
    webhook: Webhook,
    /// What signs, as Standard Webhooks 1.0 says: `whsec_` and base64.
    secret: String,
}

/// An endpoint that was changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChangedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// What signs, when the address is another one now. This is the only time that it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// An event that is on its way.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Sent {
    /// The event: the `webhook-id` of each attempt.
    event_id: EventId,
}

/// Since when.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recover {
    /// Events from then on that were given up, or for which the endpoint was disabled.
    since: Millis,
}

/// What is sent again.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Recovered {
    /// How many events.
    events: u64,
}

/// One attempt to reach an endpoint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attempt {
    /// Its id.
    id: AttemptId,
    /// What was sent.
    event_id: EventId,
    /// Its kind; `null` when the event is no longer kept.
    event_type: Option<String>,
    /// Which attempt at this event it is, from 1; replays count on.
    number: u32,
    /// Whether it arrived: the answer's status was 2xx.
    delivered: bool,
    /// The answer's status, if there was an answer.
    status: Option<u16>,
    /// `refused` (an address that is not called), `resolve`, `connect`, `timeout`, `transport`, `redirect` (never
    /// followed), or `status`.
    error: Option<String>,
    /// The first kilobyte of the answer.
    answer: Option<String>,
    /// Milliseconds.
    took_ms: u64,
    /// When it was over.
    created_at: Millis,
    /// Of the last attempt at an event: when the next one is due, if one is.
    next_attempt_at: Option<Millis>,
}

impl Webhook {
    fn of(record: WebhookRecord, now: Millis) -> Self {
        let status = match (record.disabled_at, record.failing_since) {
            (Some(_), _) => WebhookStatus::Disabled,
            (None, Some(_)) => WebhookStatus::Failing,
            (None, None) => WebhookStatus::Active,
        };
        Self {
            id: record.id,
            url: record.url,
            events: record.events,
            description: record.description,
            is_active: record.disabled_at.is_none(),
            status,
            disabled_reason: record.disabled_reason,
            disabled_at: record.disabled_at,
            failing_since: record.failing_since,
            previous_secret_expires_at: record.previous_until.filter(|until| now < *until),
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

impl From<AttemptRecord> for Attempt {
    fn from(record: AttemptRecord) -> Self {
        Self {
            id: record.id,
            event_id: record.event,
            event_type: record.kind,
            number: record.number,
            delivered: record.error.is_none(),
            status: record.status,
            error: record.error,
            answer: record.answer,
            took_ms: record.took_ms,
            created_at: record.created_at,
            next_attempt_at: record.next_at,
        }
    }
}

/// The address in the form that is stored.
fn check_url(app: &App, errors: &mut Vec<FieldError>, text: &str) -> String {
    match app.webhooks().check_url(text) {
        Ok(url) => url.into(),
        Err(refusal) => {
            errors.push(FieldError::new("url", refusal.to_string()));
            String::new()
        }
    }
}

fn check_events(errors: &mut Vec<FieldError>, events: &[EventName]) -> Vec<String> {
    if !(1..=50).contains(&events.len()) {
        errors.push(FieldError::new("events", "must be 1 to 50 kinds, or null for all"));
    }
    let mut events = events.to_vec();
    events.sort_unstable();
    events.dedup();
    events.into_iter().map(|name| name.0.as_str().to_owned()).collect()
}

fn mint(app: &App, call: &Call<impl Sized>, id: WebhookId) -> Result<MintedSecret, Problem> {
    let tenant = call.tenant()?;
    let place = secret_place(&tenant.workspace, &tenant.environment, &id);
    mint_sealed(app.secrets(), &place, app.random()).map_err(Problem::unavailable)
}

fn of_disabled(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("disabled") => Problem::conflict("The endpoint is disabled; turn it on first"),
        other => other.into(),
    }
}

/// The data in which the endpoint is, for somebody who may read all that it is told.
async fn may_send_again(app: &App, call: &Call<impl Sized>, id: WebhookId) -> Result<Workspace, Problem> {
    let data = app.workspace(call)?;
    must_read_kept(&data, &call.caller, &data.webhook(id).await?).await?;
    Ok(data)
}

async fn list_webhooks(app: App, call: Call<PageQuery>) -> Result<List<Webhook>, Problem> {
    let (request, now) = (call.input.request()?, call.request.now);
    let page = app.workspace(&call)?.webhooks(request).await?;
    Ok(List::of(page, request, |record| Webhook::of(record, now)))
}

async fn create_webhook(app: App, call: Call<NewWebhook>) -> Result<Data<WebhookWithSecret>, Problem> {
    let mut errors = Vec::new();
    let url = check_url(&app, &mut errors, &call.input.url);
    let events = call.input.events.as_deref().map(|events| check_events(&mut errors, events));
    input::optional_text(&mut errors, "description", call.input.description.as_ref(), MAX_DESCRIPTION);
    input::done(errors)?;
    must_read(&call.caller, events.as_deref())?;
    let id = WebhookId::mint(app.clock(), app.random())?;
    let minted = mint(&app, &call, id)?;
    let new = NewRecord {
        id,
        url,
        events,
        description: call.input.description.clone(),
        secret_sealed: minted.sealed,
        is_active: call.input.is_active.unwrap_or(true),
    };
    let detail = json!({"host": host_of(&new.url), "events": new.events, "is_active": new.is_active});
    let actor = call.actor();
    let made = app.workspace(&call)?.create_webhook(new, call.audit(&actor, Some(detail))).await;
    let record = made.map_err(|error| match error {
        StoreError::Conflict("webhooks") => Problem::conflict(format!(
            "A workspace has at most {MAX_WEBHOOKS} endpoints in each environment; delete one first"
        )),
        other => other.into(),
    })?;
    let webhook = Webhook::of(record, call.request.now);
    Ok(Data::new(WebhookWithSecret { webhook, secret: minted.shown.to_string() }))
}

async fn get_webhook(app: App, call: Call<Nothing>) -> Result<Data<Webhook>, Problem> {
    let record = app.workspace(&call)?.webhook(call.id("id")?).await?;
    Ok(Data::new(Webhook::of(record, call.request.now)))
}

async fn update_webhook(app: App, call: Call<WebhookPatch>) -> Result<Data<ChangedWebhook>, Problem> {
    let (patch, id) = (&call.input, call.id::<WebhookId>("id")?);
    let mut errors = Vec::new();
    let mut change = WebhookChange {
        secret_sealed: None,
        url: patch.url.as_ref().map(|url| check_url(&app, &mut errors, url)),
        events: patch.events.as_ref().map(|events| events.as_deref().map(|events| check_events(&mut errors, events))),
        description: patch.description.clone(),
        is_active: patch.is_active,
    };
    let description = patch.description.as_ref().and_then(Option::as_ref);
    input::optional_text(&mut errors, "description", description, MAX_DESCRIPTION);
    input::done(errors)?;
    let data = app.workspace(&call)?;
    if patch.url.is_some() || patch.events.is_some() || patch.is_active.is_some() {
        must_read_kept(&data, &call.caller, &data.webhook(id).await?).await?;
    }
    if let Some(events) = &change.events {
        must_read(&call.caller, events.as_deref())?;
    }
    let minted = patch.url.as_ref().map(|_| mint(&app, &call, id)).transpose()?;
    change.secret_sealed = minted.as_ref().map(|minted| minted.sealed.clone());
    let sent = [
        ("url", patch.url.is_some()),
        ("events", patch.events.is_some()),
        ("description", patch.description.is_some()),
        ("is_active", patch.is_active.is_some()),
    ];
    let fields: Vec<_> = sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"fields": fields, "host": change.url.as_deref().map(host_of)})));
    let record = data.update_webhook(id, change, audit).await?;
    let minted = minted.filter(|minted| minted.sealed == record.secret_sealed);
    let webhook = Webhook::of(record, call.request.now);
    Ok(Data::new(ChangedWebhook { webhook, secret: minted.map(|minted| minted.shown.to_string()) }))
}

async fn delete_webhook(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (id, actor) = (call.id("id")?, call.actor());
    Ok(app.workspace(&call)?.delete_webhook(id, call.audit(&actor, None)).await.map(|()| Empty)?)
}

async fn test_webhook(app: App, call: Call<Nothing>) -> Result<Data<Sent>, Problem> {
    let (id, actor) = (call.id::<WebhookId>("id")?, call.actor());
    let data = json!({"webhook_id": id, "message": "This event was asked for; nothing has happened."});
    let sent = app.workspace(&call)?.test_webhook(id, TEST, &data, call.audit(&actor, None)).await;
    Ok(Data::new(Sent { event_id: sent.map_err(of_disabled)? }))
}

async fn rotate_webhook_secret(app: App, call: Call<RotateSecret>) -> Result<Data<WebhookWithSecret>, Problem> {
    let (id, actor, now) = (call.id("id")?, call.actor(), call.request.now);
    let until = call.input.until(now)?;
    let minted = mint(&app, &call, id)?;
    let audit = call.audit(&actor, Some(call.input.detail()));
    let data = may_send_again(&app, &call, id).await?;
    let record = data.rotate_webhook(id, minted.sealed, until, audit).await?;
    let webhook = Webhook::of(record, now);
    Ok(Data::new(WebhookWithSecret { webhook, secret: minted.shown.to_string() }))
}

async fn list_webhook_attempts(app: App, call: Call<LogQuery>) -> Result<List<Attempt>, Problem> {
    let (request, id) = (call.input.request()?, call.id("id")?);
    let data = app.workspace(&call)?;
    data.webhook(id).await?;
    let Some(after) = after(&call.input)? else {
        return Ok(List::of(data.attempts(id, request).await?, request, Attempt::from));
    };
    let rows = data.attempts_after(id, after, request.per_page).await?;
    let one = data.attempts(id, PageRequest { page: 1, per_page: 1 }).await?;
    let meta = ListMeta::of(&one, request);
    Ok(List { data: rows.into_iter().map(Attempt::from).collect(), meta })
}

async fn replay_webhook_attempt(app: App, call: Call<Nothing>) -> Result<Data<Sent>, Problem> {
    let (id, attempt, actor) = (call.id("id")?, call.id::<AttemptId>("attempt")?, call.actor());
    let audit = call.audit(&actor, Some(json!({"attempt_id": attempt})));
    let sent = may_send_again(&app, &call, id).await?.replay_attempt(id, attempt, audit).await;
    Ok(Data::new(Sent { event_id: sent.map_err(of_disabled)? }))
}

async fn recover_webhook(app: App, call: Call<Recover>) -> Result<Data<Recovered>, Problem> {
    let (id, actor, since) = (call.id("id")?, call.actor(), call.input.since);
    let audit = call.audit(&actor, Some(json!({"since": since})));
    let recovered = may_send_again(&app, &call, id).await?.recover_webhook(id, since, audit).await;
    Ok(Data::new(Recovered { events: recovered.map_err(of_disabled)? }))
}

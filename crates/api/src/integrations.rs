//! Integrations: where a bot's replies come from. Their rules (addresses, headers) are `chat`'s.

use std::{collections::BTreeMap, fmt};

use access::{Access, Limit, Role, Scope, Tenant};
use ambient::{BotId, IntegrationId, Millis};
use chat::{HEADER_MASK, Headers, IntegrationUpdate, NewIntegration as NewRecord};
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{IntegrationRecord, Page};

use crate::{App, input, overview::host_of, problem::of_chat, signing::RotateSecret};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::IntegrationsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::IntegrationsWrite).audited();

pub(crate) const LIST_INTEGRATIONS: Operation<PageQuery, List<Integration>> = Operation::get(
    "/v1/bots/{bot_id}/integrations",
    "list_integrations",
    "List the integrations of a bot, the oldest first.",
    READ,
);
pub(crate) const CREATE_INTEGRATION: Operation<NewIntegration, Data<IntegrationWithSecret>> = Operation::post(
    "/v1/bots/{bot_id}/integrations",
    "create_integration",
    "Add an integration to a bot; header values are sealed and never shown, the secret of a webhook is shown once.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const GET_INTEGRATION: Operation<Nothing, Data<Integration>> =
    Operation::get("/v1/integrations/{id}", "get_integration", "Read an integration.", READ);
pub(crate) const UPDATE_INTEGRATION: Operation<IntegrationPatch, Data<IntegrationWithSecret>> = Operation::patch(
    "/v1/integrations/{id}",
    "update_integration",
    "Change an integration. With another address the headers must be sent again; become a webhook, it has a secret.",
    WRITE,
)
.dangerous();
pub(crate) const ROTATE_INTEGRATION_SECRET: Operation<RotateSecret, Data<IntegrationWithSecret>> = Operation::post(
    "/v1/integrations/{id}/rotate-secret",
    "rotate_integration_secret",
    "Give a webhook integration a new secret, shown once; the one before signs too for `grace_seconds`.",
    WRITE,
)
.dangerous();
pub(crate) const DELETE_INTEGRATION: Operation<Nothing, Empty> =
    Operation::delete("/v1/integrations/{id}", "delete_integration", "Delete an integration.", WRITE).answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_INTEGRATIONS, list_integrations);
    routes.mount(CREATE_INTEGRATION, create_integration);
    routes.mount(GET_INTEGRATION, get_integration);
    routes.mount(UPDATE_INTEGRATION, update_integration);
    routes.mount(ROTATE_INTEGRATION_SECRET, rotate_integration_secret);
    routes.mount(DELETE_INTEGRATION, delete_integration);
}

/// The kind that is signed.
const WEBHOOK: &str = "webhook";

/// Names and values of request headers. `Debug` shows the names alone.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct HeaderInput(BTreeMap<String, String>);

impl fmt::Debug for HeaderInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl From<HeaderInput> for Headers {
    fn from(input: HeaderInput) -> Self {
        input.0.into_iter().collect()
    }
}

/// The most headers of one integration or connection, and the longest value in bytes.
const MAX_HEADERS: usize = 20;
const MAX_VALUE: usize = 4096;

impl HeaderInput {
    /// Whether a value is the mask, which is no value.
    pub(crate) fn has_mask(&self) -> bool {
        self.0.values().any(|value| value == HEADER_MASK)
    }

    /// Names and what they may be are `chat`'s to check; here is how many and how long.
    pub(crate) fn check(&self, errors: &mut Vec<FieldError>) {
        if self.0.len() > MAX_HEADERS {
            errors.push(FieldError::new("headers", format!("must be at most {MAX_HEADERS}")));
        }
        for (name, value) in &self.0 {
            let visible = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            if value != HEADER_MASK && (!visible || value.len() > MAX_VALUE) {
                let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                let message = "must be visible ASCII characters, at most 4 KiB";
                errors.push(FieldError::new(format!("headers.{name}"), message));
            }
        }
    }
}

/// An integration to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIntegration {
    /// What people call it, at most 100 characters; its kind by default.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// `echo`; `openai` for any endpoint that speaks OpenAI's format; `webhook` for a server of your own that takes a
    /// signed `{messages, conversation_id, user, bot, metadata}` and answers `{"content": "…"}`.
    kind: String,
    /// The base URL of an `openai` integration, ending in `/v1`; what a `webhook` integration calls.
    #[serde(default)]
    url: Option<String>,
    /// What the upstream of an `openai` integration calls its model, at most 200 characters.
    #[serde(default)]
    model: Option<String>,
    /// Sent with each request, such as `Authorization`; sealed at rest.
    #[serde(default)]
    headers: Option<HeaderInput>,
    /// 1 to 300, 30 by default: until the head of the answer, and between two parts of it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 300))]
    timeout_seconds: Option<u32>,
    /// Its share of the traffic, 0 to 1000, 1 by default; 0 is off.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    weight: Option<u32>,
    /// Whether it is asked when the chosen one fails.
    #[serde(default)]
    fallback: Option<bool>,
}

/// What is to be different about an integration; what is absent stays as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntegrationPatch {
    /// What people call it, at most 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// `echo`, `openai` or `webhook`; turned to `echo`, it loses address, model and headers.
    #[serde(default)]
    kind: Option<String>,
    /// The base URL; with another host the headers must be sent again.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    url: Option<Option<String>>,
    /// What the upstream calls its model.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    model: Option<Option<String>>,
    /// All headers anew; a value that is sent back masked stays, `null` removes all.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    headers: Option<Option<HeaderInput>>,
    /// 1 to 300.
    #[serde(default)]
    #[schemars(range(min = 1, max = 300))]
    timeout_seconds: Option<u32>,
    /// 0 to 1000; 0 is off.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    weight: Option<u32>,
    /// Whether it is asked when the chosen one fails.
    #[serde(default)]
    fallback: Option<bool>,
}

/// Where a bot's replies come from.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Integration {
    /// Its id.
    id: IntegrationId,
    /// Whose.
    bot_id: BotId,
    /// What people call it.
    name: String,
    /// `echo`, `openai` or `webhook`.
    kind: String,
    /// The base URL; of a webhook, what is called.
    url: Option<String>,
    /// What the upstream calls its model.
    model: Option<String>,
    /// The names of its headers; values are masked.
    headers: BTreeMap<String, &'static str>,
    /// Until the head of the answer, and between two parts of it.
    timeout_seconds: u32,
    /// Its share of the traffic; 0 is off.
    weight: u32,
    /// Whether it is asked when the chosen one fails.
    fallback: bool,
    /// Until when the secret before the present one signs too.
    previous_secret_expires_at: Option<Millis>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

/// An integration that was made or changed. This is the only time that a new `secret` is shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct IntegrationWithSecret {
    #[serde(flatten)]
    integration: Integration,
    /// The new secret of a `webhook`, `whsec_…`: what signs the questions.
    secret: Option<String>,
}

impl From<IntegrationRecord> for Integration {
    fn from(record: IntegrationRecord) -> Self {
        Self {
            id: record.id,
            bot_id: record.bot,
            name: record.name,
            kind: record.kind,
            url: record.url,
            model: record.model,
            headers: record.header_names.into_iter().map(|name| (name, HEADER_MASK)).collect(),
            timeout_seconds: record.timeout_seconds,
            weight: record.weight,
            fallback: record.fallback,
            previous_secret_expires_at: record.secret.previous_until,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn check(name: Option<&String>, model: Option<&String>, headers: Option<&HeaderInput>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    if let Some(name) = name {
        input::name(&mut errors, name, 100);
    }
    input::optional_text(&mut errors, "model", model, 200);
    if let Some(headers) = headers {
        headers.check(&mut errors);
    }
    input::done(errors)
}

async fn list_integrations(app: App, call: Call<PageQuery>) -> Result<List<Integration>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let bot = data.bot(call.id("bot_id")?).await?;
    let all = data.integrations(bot.id).await?;
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let per_page = usize::try_from(request.per_page).unwrap_or(usize::MAX);
    let before = usize::try_from(request.page - 1).unwrap_or(usize::MAX).saturating_mul(per_page);
    let rows = all.into_iter().skip(before).take(per_page).collect();
    Ok(List::of(Page { rows, total, is_capped: false }, request, Integration::from))
}

/// What was stored, with the secret if that is new.
fn shown(
    app: &App,
    tenant: Tenant,
    record: IntegrationRecord,
    is_new: bool,
) -> Result<Data<IntegrationWithSecret>, Problem> {
    let secret = if is_new { Some(app.chat().integration_secret(tenant, &record).map_err(of_chat)?) } else { None };
    let secret = secret.map(|secret| secret.to_string());
    Ok(Data::new(IntegrationWithSecret { integration: record.into(), secret }))
}

async fn create_integration(app: App, call: Call<NewIntegration>) -> Result<Data<IntegrationWithSecret>, Problem> {
    let (tenant, bot) = (call.tenant()?, call.id::<BotId>("bot_id")?);
    check(call.input.name.as_ref(), call.input.model.as_ref(), call.input.headers.as_ref())?;
    let actor = call.actor();
    let host = call.input.url.as_deref().map(host_of);
    let detail = json!({"bot_id": bot, "kind": call.input.kind, "model": call.input.model, "host": host});
    let audit = call.audit(&actor, Some(detail));
    let input = call.input;
    let new = NewRecord {
        name: input.name,
        kind: input.kind,
        url: input.url,
        model: input.model,
        headers: input.headers.map(Headers::from).unwrap_or_default(),
        timeout_seconds: input.timeout_seconds,
        weight: input.weight,
        fallback: input.fallback,
    };
    let _turn = app.turn(bot.0).await;
    let made = app.chat().create_integration(tenant, bot, new, audit).await.map_err(of_chat)?;
    let is_new = made.kind == WEBHOOK;
    shown(&app, tenant, made, is_new)
}

async fn get_integration(app: App, call: Call<Nothing>) -> Result<Data<Integration>, Problem> {
    Ok(Data::new(app.workspace(&call)?.integration(call.id("id")?).await?.into()))
}

async fn rotate_integration_secret(app: App, call: Call<RotateSecret>) -> Result<Data<IntegrationWithSecret>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<IntegrationId>("id")?);
    let until = call.input.until(app.clock().now())?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(call.input.detail()));
    let _turn = app.turn(id.0).await;
    let rotated = app.chat().rotate_integration_secret(tenant, id, until, audit).await.map_err(of_chat)?;
    shown(&app, tenant, rotated, true)
}

async fn update_integration(app: App, call: Call<IntegrationPatch>) -> Result<Data<IntegrationWithSecret>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<IntegrationId>("id")?);
    let patch = &call.input;
    let model = patch.model.as_ref().and_then(Option::as_ref);
    check(patch.name.as_ref(), model, patch.headers.as_ref().and_then(Option::as_ref))?;
    let sent = [
        ("name", patch.name.is_some()),
        ("kind", patch.kind.is_some()),
        ("url", patch.url.is_some()),
        ("model", patch.model.is_some()),
        ("headers", patch.headers.is_some()),
        ("timeout_seconds", patch.timeout_seconds.is_some()),
        ("weight", patch.weight.is_some()),
        ("fallback", patch.fallback.is_some()),
    ];
    let fields: Vec<_> = sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let actor = call.actor();
    let host = patch.url.as_ref().and_then(|url| url.as_deref()).map(host_of);
    let audit = call.audit(&actor, Some(json!({"fields": fields, "host": host})));
    let patch = call.input;
    let update = IntegrationUpdate {
        name: patch.name,
        kind: patch.kind,
        url: patch.url,
        model: patch.model,
        headers: patch.headers.map(|headers| headers.map(Headers::from).unwrap_or_default()),
        timeout_seconds: patch.timeout_seconds,
        weight: patch.weight,
        fallback: patch.fallback,
    };
    let _turn = app.turn(id.0).await;
    let before = app.store().workspace(tenant).integration(id).await?;
    let changed = app.chat().update_integration(tenant, id, update, audit).await.map_err(of_chat)?;
    let is_new = changed.kind == WEBHOOK && before.kind != WEBHOOK;
    shown(&app, tenant, changed, is_new)
}

async fn delete_integration(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let actor = call.actor();
    app.workspace(&call)?.delete_integration(call.id("id")?, call.audit(&actor, None)).await?;
    Ok(Empty)
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;

    use super::*;

    #[test]
    fn header_values_are_masked_and_stay_out_of_debug() {
        let input: NewIntegration = serde_json::from_value(json!({
            "kind": "openai", "headers": {"Authorization": "Bearer hunter2"},
        }))
        .unwrap();
        assert!(!format!("{input:?}").contains("hunter2"));
        let record = IntegrationRecord {
            id: IntegrationId(Ulid(1)),
            bot: BotId(Ulid(2)),
            name: "a".to_owned(),
            kind: "openai".to_owned(),
            url: None,
            model: None,
            headers_sealed: Some(b"sealed".to_vec()),
            header_names: vec!["authorization".to_owned()],
            timeout_seconds: 30,
            weight: 1,
            fallback: false,
            secret: store::SealedSecret { current: Some(b"sealed".to_vec()), ..store::SealedSecret::default() },
            created_at: Millis(0),
            updated_at: Millis(0),
        };
        let view = serde_json::to_value(Integration::from(record)).unwrap();
        assert_eq!(view["headers"], json!({"authorization": HEADER_MASK}));
        assert!(!view.to_string().contains("seal"));
    }

    #[test]
    fn headers_are_few_short_and_visible() {
        let wrong = |headers: serde_json::Value| {
            let headers: HeaderInput = serde_json::from_value(headers).unwrap();
            let mut errors = Vec::new();
            headers.check(&mut errors);
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert!(wrong(json!({"a": "x".repeat(4096), "b": HEADER_MASK})).is_empty());
        assert_eq!(wrong(json!({"a": "x".repeat(4097)})), ["headers.a"]);
        assert_eq!(wrong(json!({"a": "1\r\nhost: b"})), ["headers.a"]);
        let many: serde_json::Map<_, _> = (0..21).map(|n| (format!("x-{n}"), json!("1"))).collect();
        assert_eq!(wrong(many.into()), ["headers"]);
    }
}

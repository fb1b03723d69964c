//! Triggers: what starts runs of a deployment besides its key. A webhook has an address that is a secret; a
//! schedule has a time and a place.

use std::fmt;

use access::{Access, Limit, Role, Scope};
use ambient::{DeploymentId, Millis, TriggerId};
use credential::key::mint_trigger;
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes};
use runs::{Schedule, ScheduleError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{
    MAX_TRIGGERS, MAX_TRIGGERS_OF_WORKSPACE, NewTrigger as NewRecord, Page, StoreError, TriggerChange, TriggerRecord,
};
use workflow::Definition;

use crate::{
    App, input,
    problem::of_run,
    signing::{Signing, WebhookSettings, seal, secret_of},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::DeploymentsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::DeploymentsWrite).audited();

pub(crate) const CREATE_TRIGGER: Operation<NewTrigger, Data<TriggerWithSecret>> = Operation::post(
    "/v1/deployments/{id}/triggers",
    "create_trigger",
    "Let a webhook or a schedule start runs of a deployment; the webhook's address is shown once.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const LIST_TRIGGERS: Operation<PageQuery, List<Trigger>> = Operation::get(
    "/v1/deployments/{id}/triggers",
    "list_triggers",
    "List the triggers of a deployment, the oldest first.",
    READ,
);
pub(crate) const GET_TRIGGER: Operation<Nothing, Data<Trigger>> =
    Operation::get("/v1/triggers/{id}", "get_trigger", "Read a trigger, and how it went last.", READ);
pub(crate) const UPDATE_TRIGGER: Operation<TriggerPatch, Data<Trigger>> = Operation::patch(
    "/v1/triggers/{id}",
    "update_trigger",
    "Change a trigger, or turn it off and on again. Its address stays.",
    WRITE,
)
.dangerous_but_to_turn_off("enabled");
pub(crate) const DELETE_TRIGGER: Operation<Nothing, Empty> =
    Operation::delete("/v1/triggers/{id}", "delete_trigger", "Delete a trigger; its runs go on.", WRITE)
        .answers_nothing();

/// The most characters of a name.
const MAX_NAME: usize = 100;
/// The most bytes of a schedule's input, written as JSON.
const MAX_INPUT: usize = 64 * 1024;
/// How many of the next times of a schedule are shown.
const SHOWN_TIMES: usize = 3;
/// A webhook, in the database.
pub(crate) const WEBHOOK: &str = "webhook";

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CREATE_TRIGGER, create_trigger);
    routes.mount(LIST_TRIGGERS, list_triggers);
    routes.mount(GET_TRIGGER, get_trigger);
    routes.mount(UPDATE_TRIGGER, update_trigger);
    routes.mount(DELETE_TRIGGER, delete_trigger);
}

/// What starts runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TriggerKind {
    /// Somebody's call.
    Webhook,
    /// The time.
    Cron,
}

/// A secret that comes in. `Debug` shows nothing.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct SecretInput(String);

impl fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretInput(…)")
    }
}

/// A trigger to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTrigger {
    /// `webhook` or `cron`.
    kind: TriggerKind,
    /// What people call it, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// Of a webhook: how its sender signs; `none` by default.
    #[serde(default)]
    signing: Option<Signing>,
    /// Of a webhook that is signed: the secret that its sender has made; without it one is made and shown once.
    #[serde(default)]
    secret: Option<SecretInput>,
    /// Of a webhook: which header names the event, so that one that comes twice starts one run; `webhook-id`,
    /// `X-GitHub-Delivery` and `Idempotency-Key` are known.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    delivery_id_header: Option<String>,
    /// Of a cron: five fields such as `*/5 * * * *`, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    schedule: Option<String>,
    /// Of a cron: where the schedule is meant, such as `Europe/Berlin`; `UTC` by default.
    #[serde(default)]
    timezone: Option<String>,
    /// Of a cron: what runs are started with.
    #[serde(default)]
    input: Option<Map<String, Value>>,
}

/// What is to be different about a trigger; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggerPatch {
    /// What people call it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// Whether it starts runs.
    #[serde(default)]
    enabled: Option<bool>,
    /// Of a webhook that is signed: its new secret, in force at once.
    #[serde(default)]
    secret: Option<SecretInput>,
    /// Of a cron: when.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    schedule: Option<String>,
    /// Of a cron: where that is meant.
    #[serde(default)]
    timezone: Option<String>,
    /// Of a cron: what runs are started with, all of it.
    #[serde(default)]
    input: Option<Map<String, Value>>,
}

/// What starts runs of a deployment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Trigger {
    /// Its id.
    id: TriggerId,
    /// Whose runs it starts.
    deployment_id: DeploymentId,
    /// `webhook` or `cron`.
    kind: TriggerKind,
    /// What people call it.
    name: String,
    /// Whether it starts runs.
    enabled: bool,
    /// Of a webhook: how its sender signs.
    signing: Option<Signing>,
    /// Of a webhook: which header names the event, besides those that are known.
    delivery_id_header: Option<String>,
    /// Of a cron: when.
    schedule: Option<String>,
    /// Of a cron: where that is meant.
    timezone: Option<String>,
    /// Of a cron: what runs are started with.
    input: Option<Map<String, Value>>,
    /// Of a cron: when it starts the next runs.
    next_times: Vec<Millis>,
    /// When it last started a run, or should have.
    last_at: Option<Millis>,
    /// Why it did not.
    last_error: Option<String>,
    /// When it was made.
    created_at: Millis,
    /// Since when it is off.
    disabled_at: Option<Millis>,
}

/// A trigger that was just made. This is the only time that `url` and `secret` are shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TriggerWithSecret {
    #[serde(flatten)]
    trigger: Trigger,
    /// Where a webhook is called. Whoever knows it starts runs: keep it as you keep a key.
    url: Option<String>,
    /// What its sender signs with, unless it was sent.
    secret: Option<String>,
}

impl Trigger {
    fn of(record: TriggerRecord) -> Self {
        let is_webhook = record.kind == WEBHOOK;
        let stored = record.input.as_deref();
        let settings = WebhookSettings::read(stored).filter(|_| is_webhook);
        let zone = record.timezone.as_deref().unwrap_or_default();
        let schedule = record.schedule.as_deref().and_then(|text| Schedule::parse(text, zone).ok());
        // The first is the one that is stored: it may be due at this moment.
        let next_times = record.next_at.map_or_else(Vec::new, |first| {
            let further = schedule.map_or_else(Vec::new, |one| one.upcoming(first, SHOWN_TIMES - 1));
            std::iter::once(first).chain(further).collect()
        });
        Self {
            id: record.id,
            deployment_id: record.deployment,
            kind: if is_webhook { TriggerKind::Webhook } else { TriggerKind::Cron },
            name: record.name,
            enabled: record.disabled_at.is_none(),
            signing: settings.as_ref().map(|settings| settings.signing),
            delivery_id_header: settings.and_then(|settings| settings.delivery_id_header),
            input: stored.filter(|_| !is_webhook).and_then(|text| serde_json::from_str(text).ok()),
            schedule: record.schedule,
            timezone: record.timezone,
            next_times,
            last_at: record.last_at,
            last_error: record.last_error,
            created_at: record.created_at,
            disabled_at: record.disabled_at,
        }
    }
}

/// What is wrong with fields that belong to the other kind.
fn strangers(errors: &mut Vec<FieldError>, kind: TriggerKind, fields: &[(&str, TriggerKind, bool)]) {
    for (name, of, sent) in fields {
        if *sent && *of != kind {
            let whose = if *of == TriggerKind::Cron { "cron" } else { "webhook" };
            errors.push(FieldError::new(*name, format!("belongs to a trigger of the kind `{whose}`")));
        }
    }
}

fn schedule(errors: &mut Vec<FieldError>, expression: &str, zone: &str) -> Option<Schedule> {
    match Schedule::parse(expression, zone) {
        Ok(schedule) => return Some(schedule),
        Err(ScheduleError::Expression(sentence)) => errors.push(FieldError::new("schedule", sentence)),
        Err(error @ ScheduleError::Zone) => errors.push(FieldError::new("timezone", error.to_string())),
    }
    None
}

/// As the workflow declares it.
fn check_input(errors: &mut Vec<FieldError>, definition: &Definition, given: &Map<String, Value>) {
    let given = Value::Object(given.clone());
    if given.to_string().len() > MAX_INPUT {
        errors.push(FieldError::new("input", "must be at most 64 KiB, written as JSON"));
    } else if let Err(faults) = definition.check_input(&given) {
        let named = |fault: workflow::FieldFault| FieldError::new(format!("input.{}", fault.field), fault.message);
        errors.extend(faults.into_iter().map(named));
    }
}

async fn create_trigger(app: App, call: Call<NewTrigger>) -> Result<Data<TriggerWithSecret>, Problem> {
    let (tenant, data) = (call.tenant()?, app.workspace(&call)?);
    let deployment = data.deployment(call.id("id")?).await?;
    let definition = app.runs().definition(tenant, deployment.id).await.map_err(of_run)?;
    let sent = call.input.clone();
    let mut errors = Vec::new();
    input::name(&mut errors, &sent.name, MAX_NAME);
    let (webhook, cron) = (TriggerKind::Webhook, TriggerKind::Cron);
    let fields = [
        ("signing", webhook, sent.signing.is_some()),
        ("secret", webhook, sent.secret.is_some()),
        ("delivery_id_header", webhook, sent.delivery_id_header.is_some()),
        ("schedule", cron, sent.schedule.is_some()),
        ("timezone", cron, sent.timezone.is_some()),
        ("input", cron, sent.input.is_some()),
    ];
    strangers(&mut errors, sent.kind, &fields);
    let id = TriggerId::mint(app.clock(), app.random())?;
    let mut new = NewRecord {
        id,
        deployment: deployment.id,
        kind: if sent.kind == webhook { WEBHOOK } else { "cron" }.to_owned(),
        name: sent.name,
        digest: None,
        secret_sealed: None,
        schedule: None,
        timezone: None,
        input: None,
        next_at: None,
    };
    let (mut url, mut shown) = (None, None);
    match sent.kind {
        TriggerKind::Webhook => {
            let settings = WebhookSettings {
                signing: sent.signing.unwrap_or_default(),
                delivery_id_header: sent.delivery_id_header.map(|name| name.to_ascii_lowercase()),
            };
            settings.check(&mut errors);
            let given = sent.secret.as_ref().map(|secret| secret.0.as_str());
            let secret = secret_of(&mut errors, settings.signing, given, app.random())?;
            input::done(errors)?;
            let token = mint_trigger(app.random())?;
            url = Some(format!("{}/api/webhooks/{}", app.settings().public_url, token.expose()));
            new.digest = Some(app.secrets().digest_for(WEBHOOK, token.expose().as_bytes()));
            new.input = Some(serde_json::to_string(&settings).map_err(Problem::unavailable)?);
            if let Some(secret) = secret {
                new.secret_sealed = Some(seal(&app, tenant, id, &secret)?);
                shown = given.is_none().then(|| secret.to_string());
            }
        }
        TriggerKind::Cron => {
            let zone = sent.timezone.unwrap_or_else(|| "UTC".to_owned());
            let schedule = match &sent.schedule {
                Some(expression) => schedule(&mut errors, expression, &zone),
                None => {
                    errors.push(FieldError::new("schedule", "must say when, such as `0 9 * * mon-fri`"));
                    None
                }
            };
            let given = sent.input.unwrap_or_default();
            check_input(&mut errors, &definition, &given);
            input::done(errors)?;
            new.timezone = schedule.as_ref().map(|one| one.zone().to_owned());
            new.next_at = schedule.and_then(|one| one.next_after(call.request.now));
            new.schedule = sent.schedule;
            new.input = Some(Value::Object(given).to_string());
        }
    }
    let actor = call.actor();
    let detail = json!({"name": new.name, "kind": new.kind, "deployment_id": new.deployment});
    let record = data.create_trigger(new, call.audit(&actor, Some(detail))).await.map_err(|error| match error {
        StoreError::Conflict("triggers") => {
            Problem::conflict(format!("A deployment has at most {MAX_TRIGGERS} triggers; delete one first"))
        }
        StoreError::Conflict("workspace_triggers") => Problem::conflict(format!(
            "A workspace has at most {MAX_TRIGGERS_OF_WORKSPACE} triggers in each environment; delete one first"
        )),
        other => of_deployment(other),
    })?;
    app.runs().wake();
    Ok(Data::new(TriggerWithSecret { trigger: Trigger::of(record), url, secret: shown }))
}

fn of_deployment(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("revoked") => Problem::conflict("The deployment was revoked: it starts no run any more"),
        other => other.into(),
    }
}

async fn list_triggers(app: App, call: Call<PageQuery>) -> Result<List<Trigger>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let deployment = data.deployment(call.id("id")?).await?;
    let all = data.triggers(deployment.id).await?;
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let per_page = usize::try_from(request.per_page).unwrap_or(usize::MAX);
    let before = usize::try_from(request.page - 1).unwrap_or(usize::MAX).saturating_mul(per_page);
    let rows = all.into_iter().skip(before).take(per_page).collect();
    Ok(List::of(Page { rows, total, is_capped: false }, request, Trigger::of))
}

async fn get_trigger(app: App, call: Call<Nothing>) -> Result<Data<Trigger>, Problem> {
    Ok(Data::new(Trigger::of(app.workspace(&call)?.trigger(call.id("id")?).await?)))
}

async fn update_trigger(app: App, call: Call<TriggerPatch>) -> Result<Data<Trigger>, Problem> {
    let (tenant, data, id) = (call.tenant()?, app.workspace(&call)?, call.id::<TriggerId>("id")?);
    let _turn = app.turn(id.0).await;
    let old = data.trigger(id).await?;
    let is_webhook = old.kind == WEBHOOK;
    let kind = if is_webhook { TriggerKind::Webhook } else { TriggerKind::Cron };
    let sent = call.input.clone();
    let mut errors = Vec::new();
    if let Some(name) = &sent.name {
        input::name(&mut errors, name, MAX_NAME);
    }
    let fields = [
        ("secret", TriggerKind::Webhook, sent.secret.is_some()),
        ("schedule", TriggerKind::Cron, sent.schedule.is_some()),
        ("timezone", TriggerKind::Cron, sent.timezone.is_some()),
        ("input", TriggerKind::Cron, sent.input.is_some()),
    ];
    strangers(&mut errors, kind, &fields);
    let mut change = TriggerChange { name: sent.name, is_enabled: sent.enabled, ..TriggerChange::default() };
    let mut secret = None;
    if is_webhook {
        if let Some(given) = &sent.secret {
            let signing = WebhookSettings::read(old.input.as_deref()).unwrap_or_default().signing;
            secret = secret_of(&mut errors, signing, Some(&given.0), app.random())?;
        }
    } else {
        let expression = sent.schedule.as_ref().or(old.schedule.as_ref()).map_or("", String::as_str);
        let zone = sent.timezone.as_ref().or(old.timezone.as_ref()).map_or("", String::as_str);
        let schedule = schedule(&mut errors, expression, zone);
        change.timezone = schedule.as_ref().map(|one| one.zone().to_owned());
        // Also when it is turned on again: what was due meanwhile is no more. Else what is due stays due.
        if sent.enabled == Some(true) || sent.schedule.is_some() || sent.timezone.is_some() {
            change.next_at = Some(schedule.and_then(|one| one.next_after(call.request.now)));
        }
        change.schedule = sent.schedule;
        if let Some(given) = sent.input {
            let definition = app.runs().definition(tenant, old.deployment).await.map_err(of_run)?;
            check_input(&mut errors, &definition, &given);
            change.input = Some(Value::Object(given).to_string());
        }
    }
    input::done(errors)?;
    if let Some(secret) = secret {
        change.secret_sealed = Some(seal(&app, tenant, id, &secret)?);
    }
    let patched = [
        ("name", call.input.name.is_some()),
        ("enabled", call.input.enabled.is_some()),
        ("secret", call.input.secret.is_some()),
        ("schedule", call.input.schedule.is_some()),
        ("timezone", call.input.timezone.is_some()),
        ("input", call.input.input.is_some()),
    ];
    let patched: Vec<_> = patched.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"fields": patched, "deployment_id": old.deployment})));
    let record = data.update_trigger(id, change, audit).await.map_err(of_deployment)?;
    app.runs().wake();
    Ok(Data::new(Trigger::of(record)))
}

async fn delete_trigger(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let actor = call.actor();
    app.workspace(&call)?.delete_trigger(call.id("id")?, call.audit(&actor, None)).await?;
    Ok(Empty)
}

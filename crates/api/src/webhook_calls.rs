//! Calls of webhooks: the token in the path starts a run, once for each event.

use access::{Access, Limit, Tenant};
use ambient::RunId;
use cluster::Bucket;
use credential::key::is_trigger;
use gate::{Bare, Call, FieldError, Operation, Problem, Routes};
use runs::RunError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::{DeploymentRecord, Fired, TriggerFire, TriggerRecord};
use workflow::InputMapping;

use crate::{
    App, charge_start,
    problem::of_run,
    signing::{WebhookSettings, place, seal},
    triggers::WEBHOOK,
};

pub(crate) const CALL_WEBHOOK: Operation<Value, Bare<CalledWebhook>> = Operation::post(
    "/api/webhooks/{token}",
    "call_webhook",
    "Start a run of the deployment whose trigger has this token, once for each event.",
    Access::closed(Limit::Trigger).public(),
)
.accepts()
.raw();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CALL_WEBHOOK, call_webhook);
}

/// What a call came to.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct CalledWebhook {
    /// The run of this event.
    run_id: RunId,
    /// Whether the event was here before: this call has started nothing.
    duplicate: bool,
}

/// A webhook that can start a run at this moment.
struct Webhook {
    tenant: Tenant,
    trigger: TriggerRecord,
    deployment: DeploymentRecord,
    settings: WebhookSettings,
}

/// What a token opens. `Unknown` and `Closed` are one answer, and only the first costs the caller's address.
enum Opened {
    /// No such token, or it is gone.
    Unknown,
    /// One that is off, or whose deployment was revoked or has a key that has expired.
    Closed,
    Webhook(Box<Webhook>),
}

/// The trigger of a token, whose environment comes with it.
async fn find(app: &App, token: &str) -> Result<Option<(Tenant, TriggerRecord)>, Problem> {
    if !is_trigger(token) {
        return Ok(None);
    }
    let digest = app.secrets().digest_for(WEBHOOK, token.as_bytes());
    let mut found = app.store().trigger_by_digest(&digest).await?;
    if found.is_none()
        && let Some(previous) = app.secrets().previous_digest_for(WEBHOOK, token.as_bytes())
        && let Some((tenant, trigger)) = app.store().trigger_by_digest(&previous).await?
    {
        // Made with the secret before this one, which will go.
        let secret_sealed = match &trigger.secret_sealed {
            None => None,
            Some(sealed) => {
                let opened = app.secrets().sealer().open(&place(tenant, trigger.id), sealed);
                let opened = opened.map_err(Problem::unavailable)?;
                Some(seal(app, tenant, trigger.id, std::str::from_utf8(&opened).map_err(Problem::unavailable)?)?)
            }
        };
        app.store().workspace(tenant).renew_trigger(trigger.id, &digest, secret_sealed.clone()).await?;
        found = Some((tenant, TriggerRecord { secret_sealed, ..trigger }));
    }
    Ok(found)
}

async fn open_webhook(app: &App, call: &Call<Value>) -> Result<Opened, Problem> {
    let token = call.request.param("token").unwrap_or_default();
    // A service that sends for many has few addresses: a token that is right is found whatever else comes from
    // there. Where somebody guesses, few are looked up at once.
    let must_queue = is_trigger(token) && call.request.door().has_failed_too_often();
    let place = if must_queue { Some(app.guesses().take(call.request.address).await?) } else { None };
    let found = find(app, token).await?;
    drop(place);
    let Some((tenant, trigger)) = found else { return Ok(Opened::Unknown) };
    if trigger.disabled_at.is_some() {
        return Ok(Opened::Closed);
    }
    let deployment = app.store().workspace(tenant).deployment(trigger.deployment).await?;
    let Some(settings) = WebhookSettings::read(trigger.input.as_deref()) else {
        return Err(Problem::unavailable(format!("the settings of the trigger {} cannot be read", trigger.id)));
    };
    let is_open = deployment.revoked_at.is_none() && app.cluster().find_key(deployment.key()).await?.is_some();
    if !is_open {
        return Ok(Opened::Closed);
    }
    Ok(Opened::Webhook(Box::new(Webhook { tenant, trigger, deployment, settings })))
}

/// The budget of the workspace's servers: no trigger's own budget may bring the workspace beyond it.
fn charge_workspace(app: &App, tenant: Tenant) -> Result<(), Problem> {
    let budgets = app.cluster().budgets_of(tenant.workspace);
    let verdict = app.cluster().charge(&[Bucket::Workspace(&budgets)], app.clock().elapsed());
    if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
}

async fn call_webhook(app: App, call: Call<Value>) -> Result<Bare<CalledWebhook>, Problem> {
    let webhook = match open_webhook(&app, &call).await? {
        Opened::Webhook(webhook) => webhook,
        Opened::Closed => return Err(Problem::not_found()),
        Opened::Unknown => {
            call.request.door().charge_failure()?;
            return Err(Problem::not_found());
        }
    };
    let Webhook { tenant, trigger, deployment, settings } = *webhook;
    let sent = call.request.sent.as_ref().ok_or_else(|| Problem::unavailable("the request was not handed over"))?;
    settings.verify(&app, &place(tenant, trigger.id), trigger.secret_sealed.as_deref(), sent)?;
    let delivery = settings.delivery(sent, call.request.idempotency_key.as_deref())?;
    let data = app.store().workspace(tenant);
    if let Some(name) = &delivery
        && let Some(run_id) = data.delivered(trigger.id, name).await?
    {
        return Ok(Bare(CalledWebhook { run_id, duplicate: true }));
    }
    let definition = app.runs().definition(tenant, deployment.id).await.map_err(of_run)?;
    let body = sent.value()?;
    let input = match &deployment.input_mapping {
        None => InputMapping::members(&definition, body),
        Some(stored) => {
            // It was checked when it was stored.
            let templates = serde_json::from_str(stored).map_err(Problem::unavailable)?;
            let mapping = InputMapping::parse(&definition, &templates);
            let broken = |_| Problem::unavailable(format!("the mapping of {} cannot be read", deployment.id));
            mapping.map_err(broken)?.render(body, sent.query())
        }
    };
    definition.check_input(&input).map_err(|faults| {
        let named = |fault: workflow::FieldFault| FieldError::new(format!("input.{}", fault.field), fault.message);
        Problem::validation(faults.into_iter().map(named).collect())
    })?;
    charge_workspace(&app, tenant)?;
    charge_start(&app, tenant, &deployment, WEBHOOK).await?;
    let fire = TriggerFire { trigger: trigger.id, delivery, times: None };
    match app.runs().start_by_trigger(tenant, &deployment, &input, WEBHOOK, &fire).await {
        Ok(Fired::Started(run)) => Ok(Bare(CalledWebhook { run_id: run.id, duplicate: false })),
        Ok(Fired::Before(run_id)) => Ok(Bare(CalledWebhook { run_id, duplicate: true })),
        Err(RunError::NotFound | RunError::Revoked) => Err(Problem::not_found()),
        Err(error) => Err(of_run(error)),
    }
}

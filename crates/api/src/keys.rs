//! API keys: make, read, change, rotate, revoke. Every change goes through `cluster`, so that it is
//! in force when it is answered.

use access::{Access, KeyKind, Limit, Role, Scope, ScopeSet};
use ambient::{KeyId, Millis};
use cluster::Receipt;
use credential::key::Family;
use gate::{Call, Data, Nothing, Operation, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{KeyChange, KeyRecord, KeySettings};

use crate::{
    App, input,
    key_input::{self, KeyPatch, MAX_NAME, NewKey},
    key_list::{account_of, disabled_accounts},
    key_view::{KeyView, KeyWithSecret, RotatedKey},
    problem::{must_be_newest, must_cover},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ApiKeysRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Owner).key(Scope::ApiKeysWrite).audited();

pub(crate) const CREATE_API_KEY: Operation<NewKey, Data<KeyWithSecret>> =
    Operation::post("/v1/api-keys", "create_api_key", "Create an API key; its secret is shown once.", WRITE)
        .creates()
        .dangerous();
pub(crate) const GET_API_KEY: Operation<Nothing, Data<KeyView>> =
    Operation::get("/v1/api-keys/{id}", "get_api_key", "Read an API key, also a revoked one.", READ);
pub(crate) const UPDATE_API_KEY: Operation<KeyPatch, Data<KeyView>> = Operation::patch(
    "/v1/api-keys/{id}",
    "update_api_key",
    "Change what an API key is called and may do; in force at once.",
    WRITE,
)
.dangerous();
pub(crate) const REVOKE_API_KEY: Operation<Nothing, Data<RevokeReceipt>> = Operation::delete(
    "/v1/api-keys/{id}",
    "revoke_api_key",
    "Revoke an API key for good, with its tokens and open streams; answered when no node accepts it any more.",
    WRITE,
);
pub(crate) const GET_REVOCATION_IMPACT: Operation<Nothing, Data<RevocationImpact>> = Operation::get(
    "/v1/api-keys/{id}/impact",
    "get_revocation_impact",
    "Count what revoking an API key would cut at this moment.",
    READ,
);
pub(crate) const ROTATE_API_KEY: Operation<Rotate, Data<RotatedKey>> = Operation::post(
    "/v1/api-keys/{id}/rotate",
    "rotate_api_key",
    "Give an API key a new secret, shown once; the one before works until its grace ends.",
    WRITE,
)
.dangerous();
pub(crate) const END_GRACE: Operation<Nothing, Data<KeyView>> = Operation::post(
    "/v1/api-keys/{id}/end-grace",
    "end_api_key_grace",
    "End the grace of an API key's previous secret now; without one nothing changes.",
    WRITE,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CREATE_API_KEY, create_api_key);
    routes.mount(GET_API_KEY, get_api_key);
    routes.mount(UPDATE_API_KEY, update_api_key);
    routes.mount(REVOKE_API_KEY, revoke_api_key);
    routes.mount(GET_REVOCATION_IMPACT, get_revocation_impact);
    routes.mount(ROTATE_API_KEY, rotate_api_key);
    routes.mount(END_GRACE, end_api_key_grace);
}

/// How a key is rotated.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    /// How long the secret before works on: 0 to 2,592,000 seconds (30 days); 0 for a leak.
    #[serde(default = "one_day")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub(crate) grace_seconds: u32,
}

const MAX_GRACE: u32 = 2_592_000;

const fn one_day() -> u32 {
    86_400
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct RevokeReceipt {
    /// The key.
    id: KeyId,
    /// When it was revoked; the first time counts.
    revoked_at: Millis,
    /// Milliseconds until no node accepted it any more.
    took_ms: f64,
    /// Nodes that have confirmed.
    nodes_confirmed: u32,
    /// Open streams that were ended.
    streams_closed: u64,
}

/// What a revocation would cut.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct RevocationImpact {
    /// Open streams and sockets: replies on their way, runs that are followed, tails.
    open_streams: u64,
    /// Chat sessions that were used in the last 30 minutes, as far as the server knows since it started. Their tokens
    /// stop.
    live_sessions: u64,
    /// Whether it works with runs: their participants' tokens stop too.
    ends_deployment: bool,
}

impl From<Receipt> for RevokeReceipt {
    fn from(receipt: Receipt) -> Self {
        let Receipt { id, revoked_at, took_ms, nodes_confirmed, streams_closed } = receipt;
        Self { id, revoked_at, took_ms, nodes_confirmed, streams_closed }
    }
}

async fn create_api_key(app: App, call: Call<NewKey>) -> Result<Data<KeyWithSecret>, Problem> {
    let (tenant, now, held) = (call.tenant()?, call.request.now, call.caller.scopes());
    let kind = KeyKind::from(call.input.kind);
    let common = call.input.common();
    let mut errors = Vec::new();
    input::name(&mut errors, &call.input.name, MAX_NAME);
    let environment = key_input::environment(&mut errors, call.input.environment, &[tenant.environment]);
    let settings = common.apply(&mut errors, kind, KeySettings::default());
    let expires_at = common.expiry(&mut errors, now, &call.caller);
    if kind == KeyKind::Widget && call.input.allowed_domains.is_none() {
        errors.push(gate::FieldError::new("allowed_domains", "a widget key needs at least one domain"));
    }
    input::done(errors)?;
    let (family, scopes) = match kind {
        KeyKind::Widget => (Family::Widget, ScopeSet::NONE),
        _ => (Family::Secret, common.scopes.unwrap_or(held)),
    };
    must_cover(held, powers(kind, scopes))?;
    let actor = call.actor();
    let detail = json!({"name": call.input.name, "kind": kind, "environment": environment, "scopes": scopes});
    let new = cluster::NewKey {
        environment,
        kind,
        name: call.input.name.clone(),
        scopes,
        settings,
        service_account: None,
        expires_at,
    };
    let (record, key) = app.cluster().create_key(tenant, new, family, call.audit(&actor, Some(detail))).await?;
    Ok(Data::new(KeyWithSecret { view: KeyView::of(record, false, now), key }))
}

async fn get_api_key(app: App, call: Call<Nothing>) -> Result<Data<KeyView>, Problem> {
    let fresh = app.cluster().fresh_uses().await;
    let mut record = app.workspace(&call)?.key(call.id("id")?).await?;
    fresh.add_to(&mut record);
    drop(fresh);
    show(&app, record, call.request.now).await
}

async fn update_api_key(app: App, call: Call<KeyPatch>) -> Result<Data<KeyView>, Problem> {
    let (tenant, now, id) = (call.tenant()?, call.request.now, call.id::<KeyId>("id")?);
    let _turn = app.turn(id.0).await;
    let record = app.store().workspace(tenant).key(id).await?;
    refuse_revoked(&record)?;
    let common = call.input.common();
    let mut errors = Vec::new();
    if let Some(name) = &call.input.name {
        input::name(&mut errors, name, MAX_NAME);
    }
    key_input::check_future(&mut errors, common.expires_at, now);
    let settings = common.apply(&mut errors, record.kind, record.settings.clone());
    common.check_lifting(&mut errors, &call.caller, &record, &settings);
    input::done(errors)?;
    let held = call.caller.scopes();
    must_cover(held, powers(record.kind, record.scopes))?;
    must_cover(held, common.scopes.unwrap_or_default())?;
    let wanted = if record.kind == KeyKind::Secret { common.scopes } else { None };
    if let (Some(account), Some(scopes)) = (record.service_account, wanted) {
        let account = account_of(&app, &record, account).await?;
        must_be_held(account.map_or(ScopeSet::NONE, |account| account.scopes), scopes)?;
    }
    let mut fields = common.names();
    fields.extend(call.input.name.as_ref().map(|_| "name"));
    let change = KeyChange {
        name: call.input.name.clone(),
        scopes: wanted,
        settings: common.changes_settings().then_some(settings),
        expires_at: common.expires_at,
    };
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "fields": fields })));
    let record = app.cluster().update_key(tenant, id, change, audit).await?;
    show(&app, record, now).await
}

async fn rotate_api_key(app: App, call: Call<Rotate>) -> Result<Data<RotatedKey>, Problem> {
    let (tenant, now, id) = (call.tenant()?, call.request.now, call.id::<KeyId>("id")?);
    let grace = call.input.grace_seconds;
    let mut errors = Vec::new();
    field::range(&mut errors, "grace_seconds", u64::from(grace), 0, u64::from(MAX_GRACE));
    input::done(errors)?;
    let _turn = app.turn(id.0).await;
    let record = app.store().workspace(tenant).key(id).await?;
    refuse_revoked(&record)?;
    if record.expires_at.is_some_and(|at| at <= now) {
        return Err(Problem::conflict("This key has expired: a new secret of it would not work"));
    }
    must_be_newest(&call.caller)?;
    // A rotation hands out a secret: nobody gets one that may more than the one presented.
    must_cover(call.caller.scopes(), powers(record.kind, record.scopes))?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "grace_seconds": grace })));
    let (mut record, key) = app.cluster().rotate_key(tenant, id, i64::from(grace) * 1000, audit).await?;
    app.cluster().fresh_uses().await.add_to(&mut record);
    let previous_expires_at = record.secrets.get(1).and_then(|secret| secret.expires_at).unwrap_or(record.updated_at);
    let Data { data: view } = show(&app, record, now).await?;
    Ok(Data::new(RotatedKey { view, key, previous_expires_at }))
}

async fn end_api_key_grace(app: App, call: Call<Nothing>) -> Result<Data<KeyView>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<KeyId>("id")?);
    let _turn = app.turn(id.0).await;
    refuse_revoked(&app.store().workspace(tenant).key(id).await?)?;
    let actor = call.actor();
    let mut record = app.cluster().end_grace(tenant, id, call.audit(&actor, None)).await?;
    app.cluster().fresh_uses().await.add_to(&mut record);
    show(&app, record, call.request.now).await
}

async fn revoke_api_key(app: App, call: Call<Nothing>) -> Result<Data<RevokeReceipt>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<KeyId>("id")?);
    let actor = call.actor();
    let receipt = app.cluster().revoke_key(tenant, id, call.audit(&actor, None)).await?;
    Ok(Data::new(receipt.into()))
}

async fn get_revocation_impact(app: App, call: Call<Nothing>) -> Result<Data<RevocationImpact>, Problem> {
    let record = app.workspace(&call)?.key(call.id("id")?).await?;
    let works = record.revoked_at.is_none();
    // What a revoked key had is in memory for a while, and of no use to anybody.
    let (open_streams, live_sessions) = if works { app.cluster().held_by(record.id, call.request.now) } else { (0, 0) };
    let ends_deployment = works && record.kind == KeyKind::Deployment;
    Ok(Data::new(RevocationImpact { open_streams, live_sessions, ends_deployment }))
}

/// One key as it stands.
async fn show(app: &App, record: KeyRecord, now: Millis) -> Result<Data<KeyView>, Problem> {
    let disabled = disabled_accounts(app, std::slice::from_ref(&record)).await?;
    Ok(Data::new(KeyView::of(record, !disabled.is_empty(), now)))
}

/// What a holder of such a key can do, in scopes: a widget key has none, and opens chat sessions; a
/// deployment's has none, and is handed out by who may deploy.
const fn powers(kind: KeyKind, scopes: ScopeSet) -> ScopeSet {
    match kind {
        KeyKind::Widget => ScopeSet::NONE.with(Scope::ChatWrite),
        KeyKind::Deployment => ScopeSet::NONE.with(Scope::DeploymentsWrite),
        KeyKind::Secret => scopes,
    }
}

/// An account's keys hold no more than the account.
pub(crate) fn must_be_held(account: ScopeSet, wanted: ScopeSet) -> Result<(), Problem> {
    match wanted.iter().find(|scope| !account.allows(*scope)) {
        Some(scope) => Err(Problem::invalid_field("scopes", format!("the service account does not hold {scope}"))),
        None => Ok(()),
    }
}

fn refuse_revoked(record: &KeyRecord) -> Result<(), Problem> {
    match record.revoked_at {
        Some(_) => Err(Problem::conflict("This key was revoked, for good; create another")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_widget_key_is_worth_what_it_can_do() {
        let made = powers(KeyKind::Widget, ScopeSet::NONE);
        assert!(must_cover(ScopeSet::NONE.with(Scope::ApiKeysWrite), made).is_err());
        assert!(must_cover(ScopeSet::NONE.with(Scope::ChatWrite), made).is_ok());
        assert_eq!(powers(KeyKind::Secret, ScopeSet::ADMIN), ScopeSet::ADMIN);
    }

    #[test]
    fn a_grace_is_a_day_unless_said_otherwise() {
        let read = |json: &str| serde_json::from_str::<Rotate>(json);
        assert_eq!(read("{}").unwrap().grace_seconds, 86_400);
        assert_eq!(read("{\"grace_seconds\":0}").unwrap().grace_seconds, 0);
        assert!(read("{\"grace_seconds\":-1}").is_err() && read("{\"grace\":1}").is_err());
    }

    #[test]
    fn an_account_does_not_hold_more_than_it_has() {
        let account = ScopeSet::NONE.with(Scope::BotsRead);
        assert!(must_be_held(account, account).is_ok());
        assert_eq!(must_be_held(account, ScopeSet::ADMIN).unwrap_err().status().as_u16(), 422);
    }
}

//! The keys of a service account (seed S3).

use access::{Access, KeyKind, Limit, Role, Scope};
use ambient::ServiceAccountId;
use credential::key::Family;
use gate::{Call, Data, List, Operation, PageQuery, Problem, Routes};
use serde_json::json;
use store::{KeyFilter, KeySettings};

use crate::{
    App, input,
    key_input::{self, MAX_NAME, NewServiceAccountKey},
    key_list::list_keys,
    key_view::{KeyView, KeyWithSecret},
    keys::must_be_held,
    problem::must_cover,
};

pub(crate) const LIST_SERVICE_ACCOUNT_KEYS: Operation<PageQuery, List<KeyView>> = Operation::get(
    "/v1/service-accounts/{id}/api-keys",
    "list_service_account_keys",
    "List the API keys of a service account, the newest first.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::ApiKeysRead),
);
pub(crate) const CREATE_SERVICE_ACCOUNT_KEY: Operation<NewServiceAccountKey, Data<KeyWithSecret>> = Operation::post(
    "/v1/service-accounts/{id}/api-keys",
    "create_service_account_key",
    "Create an API key of a service account; its secret is shown once.",
    Access::closed(Limit::Write).member(Role::Owner).key(Scope::ApiKeysWrite).audited(),
)
.creates()
.dangerous();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_SERVICE_ACCOUNT_KEYS, list_service_account_keys);
    routes.mount(CREATE_SERVICE_ACCOUNT_KEY, create_service_account_key);
}

async fn list_service_account_keys(app: App, call: Call<PageQuery>) -> Result<List<KeyView>, Problem> {
    let id = call.id::<ServiceAccountId>("id")?;
    app.workspace(&call)?.service_account(id).await?;
    let filter = KeyFilter { service_account: Some(id), ..KeyFilter::default() };
    list_keys(&app, &call, &call.input, filter).await
}

async fn create_service_account_key(
    app: App,
    call: Call<NewServiceAccountKey>,
) -> Result<Data<KeyWithSecret>, Problem> {
    let (tenant, now, held) = (call.tenant()?, call.request.now, call.caller.scopes());
    let id = call.id::<ServiceAccountId>("id")?;
    let _turn = app.turn(id.0).await;
    let account = app.store().workspace(tenant).service_account(id).await?;
    let common = call.input.common();
    let mut errors = Vec::new();
    input::name(&mut errors, &call.input.name, MAX_NAME);
    let parents = [tenant.environment, account.environment];
    let environment = key_input::environment(&mut errors, call.input.environment, &parents);
    let settings = common.apply(&mut errors, KeyKind::Secret, KeySettings::default());
    let expires_at = common.expiry(&mut errors, now, &call.caller);
    input::done(errors)?;
    let scopes = common.scopes.unwrap_or_else(|| account.scopes.intersect(held));
    must_cover(held, scopes)?;
    must_be_held(account.scopes, scopes)?;
    let new = cluster::NewKey {
        environment,
        kind: KeyKind::Secret,
        name: call.input.name.clone(),
        scopes,
        settings,
        service_account: Some(id),
        expires_at,
    };
    let actor = call.actor();
    let detail = json!({
        "name": call.input.name, "service_account_id": id, "environment": environment, "scopes": scopes,
    });
    let audit = call.audit(&actor, Some(detail));
    let (record, key) = app.cluster().create_key(tenant, new, Family::ServiceAccount, audit).await?;
    Ok(Data::new(KeyWithSecret { view: KeyView::of(record, account.disabled_at.is_some(), now), key }))
}

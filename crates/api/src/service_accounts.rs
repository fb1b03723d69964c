//! Service accounts (seed S3): software that acts without a person.

use access::{Access, Caller, Limit, Refusal, Role, Scope, ScopeSet};
use ambient::{Millis, ServiceAccountId, WorkspaceId};
use credential::key::Environment;
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{NewServiceAccount as NewRecord, ServiceAccountChange, ServiceAccountRecord};

use crate::{App, input, problem::must_cover};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ServiceAccountsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::ServiceAccountsWrite).audited();

const MAX_NAME: usize = 50;
const MAX_DESCRIPTION: usize = 500;

pub(crate) const LIST_SERVICE_ACCOUNTS: Operation<PageQuery, List<ServiceAccount>> =
    Operation::get("/v1/service-accounts", "list_service_accounts", "List service accounts, the newest first.", READ);
pub(crate) const CREATE_SERVICE_ACCOUNT: Operation<NewServiceAccount, Data<ServiceAccount>> =
    Operation::post("/v1/service-accounts", "create_service_account", "Create a service account.", WRITE)
        .creates()
        .dangerous();
pub(crate) const GET_SERVICE_ACCOUNT: Operation<Nothing, Data<ServiceAccount>> =
    Operation::get("/v1/service-accounts/{id}", "get_service_account", "Read a service account.", READ);
pub(crate) const UPDATE_SERVICE_ACCOUNT: Operation<ServiceAccountPatch, Data<ServiceAccount>> = Operation::patch(
    "/v1/service-accounts/{id}",
    "update_service_account",
    "Change a service account; in force at once for all its keys. A disabled account's keys stop.",
    WRITE,
)
.dangerous_but_to_turn_off("is_active");
pub(crate) const DELETE_SERVICE_ACCOUNT: Operation<Nothing, Empty> = Operation::delete(
    "/v1/service-accounts/{id}",
    "delete_service_account",
    "Delete a service account and revoke its keys. While it has any, this takes who may revoke keys: others disable it.",
    WRITE,
)
.answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_SERVICE_ACCOUNTS, list_service_accounts);
    routes.mount(CREATE_SERVICE_ACCOUNT, create_service_account);
    routes.mount(GET_SERVICE_ACCOUNT, get_service_account);
    routes.mount(UPDATE_SERVICE_ACCOUNT, update_service_account);
    routes.mount(DELETE_SERVICE_ACCOUNT, delete_service_account);
}

/// The roles that software can have; owners are people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccountRole {
    /// Everything but creating, rotating and revoking keys.
    Admin,
    /// Reads, and opens chat sessions.
    #[default]
    Member,
}

impl From<AccountRole> for Role {
    fn from(role: AccountRole) -> Self {
        match role {
            AccountRole::Admin => Self::Admin,
            AccountRole::Member => Self::Member,
        }
    }
}

/// A service account to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewServiceAccount {
    /// What the system and its environment are called, 1 to 50 characters: `production-crm-sync`.
    #[schemars(length(min = 1, max = 50))]
    name: String,
    /// What it is for, at most 500 characters.
    #[serde(default)]
    description: Option<String>,
    /// The most that it may hold.
    #[serde(default)]
    role: AccountRole,
    /// What it holds: all that its role and you have in common, unless said otherwise.
    #[serde(default)]
    scopes: Option<ScopeSet>,
    /// Whether its keys work; they do by default.
    #[serde(default)]
    is_active: Option<bool>,
}

/// What is to be different about a service account; what is absent stays as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceAccountPatch {
    /// What the system and its environment are called, 1 to 50 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 50))]
    name: Option<String>,
    /// What it is for, at most 500 characters.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    description: Option<Option<String>>,
    /// The most that it may hold; a lesser role takes scopes away.
    #[serde(default)]
    role: Option<AccountRole>,
    /// What it holds.
    #[serde(default)]
    scopes: Option<ScopeSet>,
    /// Whether its keys work.
    #[serde(default)]
    is_active: Option<bool>,
}

/// Software that acts without a person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceAccount {
    /// Its id.
    id: ServiceAccountId,
    /// Where.
    workspace_id: WorkspaceId,
    /// Made by a live or a test credential; the latter sees only its own.
    environment: Environment,
    /// What people call it.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// The most that it may hold.
    role: Role,
    /// What it holds; its keys hold the same or less.
    scopes: ScopeSet,
    /// Whether its keys work.
    is_active: bool,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

impl From<ServiceAccountRecord> for ServiceAccount {
    fn from(record: ServiceAccountRecord) -> Self {
        Self {
            id: record.id,
            workspace_id: record.workspace,
            environment: record.environment,
            name: record.name,
            description: record.description,
            role: record.role,
            scopes: record.scopes,
            is_active: record.disabled_at.is_none(),
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

async fn list_service_accounts(app: App, call: Call<PageQuery>) -> Result<List<ServiceAccount>, Problem> {
    let request = call.input.request()?;
    let page = app.workspace(&call)?.service_accounts(request).await?;
    Ok(List::of(page, request, ServiceAccount::from))
}

async fn create_service_account(app: App, call: Call<NewServiceAccount>) -> Result<Data<ServiceAccount>, Problem> {
    let (tenant, held) = (call.tenant()?, call.caller.scopes());
    let new = &call.input;
    let mut errors = Vec::new();
    input::name(&mut errors, &new.name, MAX_NAME);
    input::optional_text(&mut errors, "description", new.description.as_ref(), MAX_DESCRIPTION);
    let role = Role::from(new.role);
    let scopes = scopes_of(&mut errors, role, new.scopes, || role.scopes().intersect(held));
    input::done(errors)?;
    must_cover(held, scopes)?;
    let record = NewRecord {
        environment: tenant.environment,
        name: new.name.clone(),
        description: new.description.clone(),
        role,
        scopes,
        disabled_at: (new.is_active == Some(false)).then_some(call.request.now),
    };
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"name": new.name, "role": role, "scopes": scopes})));
    Ok(Data::new(app.cluster().create_service_account(tenant, record, audit).await?.into()))
}

async fn get_service_account(app: App, call: Call<Nothing>) -> Result<Data<ServiceAccount>, Problem> {
    Ok(Data::new(app.workspace(&call)?.service_account(call.id("id")?).await?.into()))
}

async fn update_service_account(app: App, call: Call<ServiceAccountPatch>) -> Result<Data<ServiceAccount>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<ServiceAccountId>("id")?);
    let _turn = app.turn(id.0).await;
    let old = app.store().workspace(tenant).service_account(id).await?;
    let patch = &call.input;
    let mut errors = Vec::new();
    if let Some(name) = &patch.name {
        input::name(&mut errors, name, MAX_NAME);
    }
    input::optional_text(
        &mut errors,
        "description",
        patch.description.as_ref().and_then(Option::as_ref),
        MAX_DESCRIPTION,
    );
    let role = patch.role.map(Role::from);
    let scopes = match (role, patch.scopes) {
        (None, None) => None,
        (role, wanted) => {
            let role = role.unwrap_or(old.role);
            Some(scopes_of(&mut errors, role, wanted, || role.scopes().intersect(old.scopes)))
        }
    };
    input::done(errors)?;
    let starts = patch.is_active == Some(true) && old.disabled_at.is_some();
    if starts || scopes.is_some() {
        // Nobody sets to work what holds more than himself.
        must_cover(call.caller.scopes(), scopes.unwrap_or(old.scopes))?;
    }
    let sent = [
        ("name", patch.name.is_some()),
        ("description", patch.description.is_some()),
        ("role", role.is_some()),
        ("scopes", patch.scopes.is_some()),
        ("is_active", patch.is_active.is_some()),
    ];
    let fields: Vec<_> = sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let change = ServiceAccountChange {
        name: patch.name.clone(),
        description: patch.description.clone(),
        role,
        scopes,
        disabled_at: patch.is_active.map(|active| (!active).then_some(call.request.now)),
    };
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "fields": fields })));
    Ok(Data::new(app.cluster().update_service_account(tenant, id, change, audit).await?.into()))
}

async fn delete_service_account(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (tenant, id, now) = (call.tenant()?, call.id::<ServiceAccountId>("id")?, call.request.now);
    let _turn = app.turn(id.0).await;
    let keys = app.store().workspace(tenant).keys_of_service_account(id).await?;
    let is_in_use = keys.iter().any(|key| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| now < at));
    if is_in_use && !call.caller.scopes().allows(Scope::ApiKeysWrite) {
        let lacks = match call.caller {
            Caller::Member(_) => Refusal::MissingRole(Role::Owner),
            _ => Refusal::MissingScope(Scope::ApiKeysWrite),
        };
        return Err(Problem::from(lacks).saying("Its keys would be revoked for good: disable it instead"));
    }
    let actor = call.actor();
    app.cluster().delete_service_account(tenant, id, call.audit(&actor, None)).await?;
    Ok(Empty)
}

/// The scopes of an account of `role`: what was asked for, if the role has it.
fn scopes_of(
    errors: &mut Vec<FieldError>,
    role: Role,
    wanted: Option<ScopeSet>,
    default: impl FnOnce() -> ScopeSet,
) -> ScopeSet {
    let Some(wanted) = wanted else { return default() };
    if let Some(scope) = wanted.iter().find(|scope| !role.scopes().allows(*scope)) {
        errors.push(FieldError::new("scopes", format!("the role {role} does not include {scope}")));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_never_an_owner() {
        for body in [json!({"name": "a", "role": "owner"}), json!({"name": "a", "workspace_id": "ws_1"}), json!({})] {
            assert!(serde_json::from_value::<NewServiceAccount>(body.clone()).is_err(), "{body}");
        }
        let least: NewServiceAccount = serde_json::from_value(json!({"name": "a"})).unwrap();
        assert_eq!(least.role, AccountRole::Member, "the least is the default");
    }

    #[test]
    fn a_role_bounds_the_scopes() {
        let scopes = |role, wanted: Option<ScopeSet>| {
            let mut errors = Vec::new();
            let scopes = scopes_of(&mut errors, role, wanted, || ScopeSet::NONE.with(Scope::BotsRead));
            (scopes, errors.len())
        };
        assert_eq!(scopes(Role::Member, Some(ScopeSet::NONE.with(Scope::BotsWrite))).1, 1);
        assert_eq!(scopes(Role::Admin, Some(ScopeSet::NONE.with(Scope::BotsWrite))).1, 0);
        assert_eq!(scopes(Role::Admin, Some(ScopeSet::ADMIN)).1, 1);
        assert_eq!(scopes(Role::Admin, Some(ScopeSet::NONE.with(Scope::ApiKeysWrite))).1, 1);
        assert_eq!(scopes(Role::Member, Some(ScopeSet::NONE)), (ScopeSet::NONE, 0), "`[]` is nothing");
        assert_eq!(scopes(Role::Member, None).0, ScopeSet::NONE.with(Scope::BotsRead));
    }
}

//! What people of each role may do, as the table of operations says.

use access::{Access, Limit, Role, Scope, ScopeSet};
use gate::{Call, Data, Meta, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;

pub(crate) const LIST_ROLES: Operation<Nothing, Data<Roles>> = Operation::get(
    "/v1/roles",
    "list_roles",
    "Show what each role may do: its scopes, and the least role of each operation that people may ask for.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::MembersRead),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_ROLES, list_roles);
}

/// The roles, and what they are needed for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Roles {
    /// The roles, the least first.
    roles: Vec<RoleScopes>,
    /// What people may do, by name; whoever has a higher role may do it as well.
    operations: Vec<RoleOperation>,
}

/// A role as scopes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RoleScopes {
    /// Which.
    role: Role,
    /// A key with these could do the same.
    scopes: ScopeSet,
}

/// An operation that people may ask for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RoleOperation {
    /// Its name, which is its action in the audit log.
    id: &'static str,
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    method: &'static str,
    /// Where.
    path: &'static str,
    /// What it does.
    summary: &'static str,
    /// The least role that may ask for it.
    role: Role,
    /// What a key needs for it; `null` where no scope opens it.
    scope: Option<Scope>,
    /// Whether a person must have confirmed who it is a short while ago.
    confirmed: bool,
}

impl RoleOperation {
    /// Pages ask for the same, under their own names.
    fn of(meta: &Meta) -> Option<Self> {
        let role = meta.access.required_role()?;
        let Meta { id, path, summary, .. } = *meta;
        let (scope, method) = (meta.access.required_scope(), meta.method.as_str());
        meta.refusal.is_none().then_some(Self { id, method, path, summary, role, scope, confirmed: meta.dangerous })
    }
}

async fn list_roles(_: App, call: Call<Nothing>) -> Result<Data<Roles>, Problem> {
    let roles = Role::ALL.into_iter().map(|role| RoleScopes { role, scopes: role.scopes() }).collect();
    Ok(Data::new(Roles { roles, operations: call.request.operations().filter_map(RoleOperation::of).collect() }))
}

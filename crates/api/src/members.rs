//! The people of a workspace.

use access::{Access, Limit, Role, Scope};
use ambient::{MemberId, Millis};
use gate::{Call, Data, Empty, List, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{MemberChange, MemberRecord, StoreError};

use crate::{
    App, input,
    people::{NAME_PATTERN, held_role, must_give, must_touch, of_change, of_people},
    problem::must_be_newest,
};

pub(crate) const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::MembersRead);
pub(crate) const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::MembersWrite).audited();

/// Characters of a person's name.
pub(crate) const MAX_NAME: usize = 100;

pub(crate) const LIST_MEMBERS: Operation<PageQuery, List<Member>> =
    Operation::get("/v1/members", "list_members", "List the people of the workspace, the newest first.", READ);
pub(crate) const GET_MEMBER: Operation<Nothing, Data<Member>> =
    Operation::get("/v1/members/{id}", "get_member", "Read a member.", READ);
pub(crate) const UPDATE_MEMBER: Operation<MemberPatch, Data<Member>> = Operation::patch(
    "/v1/members/{id}",
    "update_member",
    "Change a member's name or role, in force with the next request. Owners are changed, and made, by owners.",
    WRITE,
)
.dangerous();
pub(crate) const REMOVE_MEMBER: Operation<Nothing, Empty> = Operation::delete(
    "/v1/members/{id}",
    "remove_member",
    "Remove a member, who is signed out everywhere. A workspace keeps one owner; who removes one proves who it is.",
    WRITE,
)
.answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_MEMBERS, list_members);
    routes.mount(GET_MEMBER, get_member);
    routes.mount(UPDATE_MEMBER, update_member);
    routes.mount(REMOVE_MEMBER, remove_member);
}

/// A person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Member {
    /// The person.
    pub(crate) id: MemberId,
    /// Address.
    pub(crate) email: String,
    /// What people call the person; empty when nobody said.
    pub(crate) name: String,
    /// What the person may do.
    pub(crate) role: Role,
    /// When the person was last signed in, to a minute.
    pub(crate) last_seen_at: Option<Millis>,
    /// When the person joined.
    pub(crate) created_at: Millis,
    /// When it last changed.
    pub(crate) updated_at: Millis,
}

impl From<MemberRecord> for Member {
    fn from(record: MemberRecord) -> Self {
        Self {
            id: record.id,
            email: record.email,
            name: record.name,
            role: record.role,
            last_seen_at: record.last_seen_at,
            created_at: record.created_at,
            updated_at: record.updated_at.unwrap_or(record.created_at),
        }
    }
}

/// What is to be different about a member; what is absent stays as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberPatch {
    /// What people call the person, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = NAME_PATTERN))]
    name: Option<String>,
    /// What the person may do.
    #[serde(default)]
    role: Option<Role>,
}

async fn list_members(app: App, call: Call<PageQuery>) -> Result<List<Member>, Problem> {
    let request = call.input.request()?;
    let page = app.store().workspace(of_people(&call)?).members(request).await?;
    Ok(List::of(page, request, Member::from))
}

async fn get_member(app: App, call: Call<Nothing>) -> Result<Data<Member>, Problem> {
    let tenant = of_people(&call)?;
    Ok(Data::new(app.store().workspace(tenant).member(call.id("id")?).await?.into()))
}

async fn update_member(app: App, call: Call<MemberPatch>) -> Result<Data<Member>, Problem> {
    let (tenant, id) = (of_people(&call)?, call.id::<MemberId>("id")?);
    let patch = &call.input;
    let mut errors = Vec::new();
    if let Some(name) = &patch.name {
        input::name(&mut errors, name, MAX_NAME);
    }
    input::done(errors)?;
    // What does not exist is not found, whoever asks.
    let members = app.store().workspace(tenant);
    let before = members.member(id).await?.role;
    must_touch(&call.caller, before)?;
    if let Some(role) = patch.role {
        must_give(&call.caller, role)?;
        must_be_newest(&call.caller)?;
    }
    let change = MemberChange { name: patch.name.clone(), role: patch.role };
    let actor = call.actor();
    let changes = input::Changes::default().of("role", &before, patch.role.as_ref()).into_value();
    let detail = json!({"role": patch.role, "renamed": patch.name.is_some(), "changes": changes});
    let audit = call.audit(&actor, Some(detail));
    let changed = members.update_member(id, change, held_role(&call.caller), audit).await;
    Ok(Data::new(changed.map_err(|error| of_change(&call.caller, error))?.into()))
}

async fn remove_member(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (tenant, id) = (of_people(&call)?, call.id::<MemberId>("id")?);
    let actor = call.actor();
    let (held, audit) = (held_role(&call.caller), call.audit(&actor, None));
    let members = app.store().workspace(tenant);
    must_touch(&call.caller, members.member(id).await?.role)?;
    // What only cuts does not wait; but whoever finds an owner's browser open is not to be the last owner left. The
    // store knows at the moment of the removal who is one.
    let allowed = if call.is_confirmed() { held } else { held.min(Role::Admin) };
    members.remove_member(id, allowed, audit).await.map_err(|error| match error {
        StoreError::Conflict("role") if allowed < held => Problem::confirmation_required(),
        other => of_change(&call.caller, other),
    })?;
    Ok(Empty)
}

//! The workspace itself.

use access::{Access, Limit, Role, Scope};
use ambient::{Millis, WorkspaceId};
use gate::{Call, Data, FieldError, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{WorkspaceChange, WorkspaceRecord};

use crate::{
    App, input,
    people::{NAME_PATTERN, of_people},
};

/// Seconds that a leaked key's old secret may work: a week.
const MAX_GRACE: u32 = 7 * 24 * 3600;

pub(crate) const GET_WORKSPACE: Operation<Nothing, Data<WorkspaceView>> = Operation::get(
    "/v1/workspace",
    "get_workspace",
    "Read the workspace's own settings.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::MembersRead),
);
pub(crate) const UPDATE_WORKSPACE: Operation<WorkspacePatch, Data<WorkspaceView>> = Operation::patch(
    "/v1/workspace",
    "update_workspace",
    "Rename the workspace, or say what happens to keys that are reported as leaked.",
    Access::closed(Limit::Write).member(Role::Owner).key(Scope::Admin).audited(),
)
.dangerous();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_WORKSPACE, get_workspace);
    routes.mount(UPDATE_WORKSPACE, update_workspace);
}

/// What happens to a key that is reported as leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LeakPolicy {
    /// It stops at once.
    Revoke,
    /// It gets another secret; the old one works for `leak_grace_seconds`.
    Rotate,
    /// An event says so, and nothing else happens.
    Notify,
}

impl From<store::LeakPolicy> for LeakPolicy {
    fn from(policy: store::LeakPolicy) -> Self {
        match policy {
            store::LeakPolicy::Revoke => Self::Revoke,
            store::LeakPolicy::Rotate => Self::Rotate,
            store::LeakPolicy::Notify => Self::Notify,
        }
    }
}

impl From<LeakPolicy> for store::LeakPolicy {
    fn from(policy: LeakPolicy) -> Self {
        match policy {
            LeakPolicy::Revoke => Self::Revoke,
            LeakPolicy::Rotate => Self::Rotate,
            LeakPolicy::Notify => Self::Notify,
        }
    }
}

/// The workspace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct WorkspaceView {
    /// Its id.
    id: WorkspaceId,
    /// What people call it.
    name: String,
    /// What happens to a key that is reported as leaked.
    leak_policy: LeakPolicy,
    /// How long a leaked key's old secret works, where it is rotated.
    leak_grace_seconds: u32,
    /// When it was made.
    created_at: Millis,
}

impl From<WorkspaceRecord> for WorkspaceView {
    fn from(record: WorkspaceRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            leak_policy: record.leak_policy.into(),
            leak_grace_seconds: record.leak_grace_seconds,
            created_at: record.created_at,
        }
    }
}

/// What is to be different about the workspace; what is absent stays as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspacePatch {
    /// What people call it, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = NAME_PATTERN))]
    name: Option<String>,
    /// What happens to a key that is reported as leaked.
    #[serde(default)]
    leak_policy: Option<LeakPolicy>,
    /// How long a leaked key's old secret works, where it is rotated: 0 to 604800.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    leak_grace_seconds: Option<u32>,
}

async fn get_workspace(app: App, call: Call<Nothing>) -> Result<Data<WorkspaceView>, Problem> {
    Ok(Data::new(app.store().workspace(of_people(&call)?).record().await?.into()))
}

async fn update_workspace(app: App, call: Call<WorkspacePatch>) -> Result<Data<WorkspaceView>, Problem> {
    let tenant = of_people(&call)?;
    let WorkspacePatch { name, leak_policy, leak_grace_seconds } = call.input.clone();
    let mut errors = Vec::new();
    if let Some(name) = &name {
        input::name(&mut errors, name, 100);
    }
    if leak_grace_seconds.is_some_and(|seconds| seconds > MAX_GRACE) {
        errors.push(FieldError::new("leak_grace_seconds", format!("must be at most {MAX_GRACE}")));
    }
    input::done(errors)?;
    let actor = call.actor();
    let data = app.store().workspace(tenant);
    let before = WorkspaceView::from(data.record().await?);
    let changes = input::Changes::default()
        .of("name", &before.name, name.as_ref())
        .of("leak_policy", &before.leak_policy, leak_policy.as_ref())
        .of("leak_grace_seconds", &before.leak_grace_seconds, leak_grace_seconds.as_ref());
    let detail = json!({
        "renamed": name.is_some(), "leak_policy": leak_policy, "leak_grace_seconds": leak_grace_seconds,
        "changes": changes.into_value(),
    });
    let change = WorkspaceChange { name, leak_policy: leak_policy.map(Into::into), leak_grace_seconds };
    let changed = data.update(change, call.audit(&actor, Some(detail))).await?;
    Ok(Data::new(changed.into()))
}

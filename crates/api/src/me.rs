//! Who is this? Answered of a key from memory: the call that every client makes first, and the one that is
//! measured.

use access::{Access, Caller, KeyKind, Limit, Refusal, Role, ScopeSet};
use ambient::{ConversationId, KeyId, MemberId, Millis, ServiceAccountId, WorkspaceId};
use credential::key::Environment;
use gate::{Call, Data, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;

pub(crate) const GET_ME: Operation<Nothing, Data<Me>> = Operation::get(
    "/v1/me",
    "get_me",
    "Say who this credential is and what it may do.",
    Access::closed(Limit::Read).any_credential(),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_ME, get_me);
}

/// Who is calling, by kind of credential.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Me {
    /// An API key.
    ApiKey(KeyMe),
    /// A session token.
    Session(SessionMe),
    /// A person.
    Member(MemberMe),
}

/// An API key.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyMe {
    /// The key.
    id: KeyId,
    /// What it is for.
    kind: KeyKind,
    /// Whose data it sees.
    environment: Environment,
    /// Its workspace.
    workspace_id: WorkspaceId,
    /// The service account that it belongs to.
    service_account_id: Option<ServiceAccountId>,
    /// What it may do, cut to what its service account may.
    scopes: ScopeSet,
    /// When it stops; `null` is never.
    expires_at: Option<Millis>,
}

/// A session token.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SessionMe {
    /// The one conversation that it may touch.
    conversation_id: ConversationId,
    /// Its workspace.
    workspace_id: WorkspaceId,
    /// Whose data it sees.
    environment: Environment,
    /// The key that minted it.
    key_id: KeyId,
}

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MemberMe {
    /// The person.
    id: MemberId,
    /// Address.
    email: String,
    /// What people call the person; empty when nobody said.
    name: String,
    /// The workspace.
    workspace_id: WorkspaceId,
    /// Whose data is looked at.
    environment: Environment,
    /// What the person may do.
    role: Role,
    /// The same as scopes.
    scopes: ScopeSet,
}

async fn get_me(app: App, call: Call<Nothing>) -> Result<Data<Me>, Problem> {
    let me = match call.caller {
        Caller::Anonymous => return Err(Refusal::MissingCredential.into()),
        Caller::Static(_) | Caller::Participant(_) => return Err(Refusal::WrongCredential.into()),
        Caller::Key(key) => Me::ApiKey(KeyMe {
            id: key.key,
            kind: key.kind,
            environment: key.tenant.environment,
            workspace_id: key.tenant.workspace,
            service_account_id: key.service_account,
            scopes: key.scopes,
            expires_at: key.expires_at,
        }),
        Caller::Session(session) => Me::Session(SessionMe {
            conversation_id: session.conversation,
            workspace_id: session.tenant.workspace,
            environment: session.tenant.environment,
            key_id: session.key,
        }),
        Caller::Member(member) => {
            let record = app.store().workspace(member.tenant).member(member.member).await?;
            Me::Member(MemberMe {
                id: member.member,
                email: record.email,
                name: record.name,
                workspace_id: member.tenant.workspace,
                environment: member.tenant.environment,
                role: member.role,
                scopes: member.role.scopes(),
            })
        }
    };
    Ok(Data::new(me))
}

use std::{fmt, net::IpAddr, sync::Arc};

use ambient::{
    ConversationId, DeploymentId, KeyId, MemberId, MemberSessionId, Millis, RequestId, RunId, ServiceAccountId,
    WorkspaceId,
};
use credential::key::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Role, ScopeSet};

/// Whose data, and which half of it. Every statement that reads or writes a tenant's rows takes
/// one; live and test data never meet (contract, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its live or its test data.
    pub environment: Environment,
}

/// What an API key is for. Secret keys include those of service accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// For servers; does what its scopes say.
    Secret,
    /// For browsers; opens sessions from listed origins, and nothing else.
    Widget,
    /// For servers; runs one frozen version of a workflow.
    Deployment,
}

impl KeyKind {
    /// The text form, as stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Widget => "widget",
            Self::Deployment => "deployment",
        }
    }
}

/// Who is calling. Made by the gate, and by nothing else.
#[derive(Clone, Debug)]
pub enum Caller {
    /// No credential was presented.
    Anonymous,
    /// An API key.
    Key(KeyCaller),
    /// A session token, minted with an API key.
    Session(SessionCaller),
    /// A participant token, minted with a deployment's key or by its public start.
    Participant(ParticipantCaller),
    /// A person, signed in to the dashboard.
    Member(MemberCaller),
    /// A key from the operator's environment, on the drop-in surface.
    Static(StaticCaller),
}

/// Which of the two keys of the environment (seed S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaticKind {
    /// `WIDGET_API_KEY`: chats.
    Widget,
    /// `ADMIN_API_KEY`: reads the conversations.
    Admin,
}

impl StaticKind {
    /// The text form, as logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Widget => "widget",
            Self::Admin => "admin",
        }
    }
}

/// A request under a key of the environment. It has no id and no scopes: it opens the doors that
/// name it, and no other.
#[derive(Clone, Copy, Debug)]
pub struct StaticCaller {
    /// Which of the two.
    pub kind: StaticKind,
    /// Whose data it reaches.
    pub tenant: Tenant,
}

/// A request under an API key.
#[derive(Clone, Debug)]
pub struct KeyCaller {
    /// The key.
    pub key: KeyId,
    /// Its workspace and environment.
    pub tenant: Tenant,
    /// What it is for.
    pub kind: KeyKind,
    /// What it may do: already cut to its service account's.
    pub scopes: ScopeSet,
    /// The service account that it belongs to.
    pub service_account: Option<ServiceAccountId>,
    /// When it stops, or the secret that was presented, if that is sooner; `None` is never.
    pub expires_at: Option<Millis>,
    /// When the secret that was presented stops: it is in its grace. `None` is the newest.
    pub secret_ends: Option<Millis>,
    /// Tokens minted now carry this; they die when the key's epoch moves on.
    pub epoch: u32,
    /// The allowed `Origin` the request came from (widget keys), to be bound into tokens.
    pub origin: Option<Arc<str>>,
}

/// A request under a session token.
#[derive(Clone, Debug)]
pub struct SessionCaller {
    /// The one conversation it may touch.
    pub conversation: ConversationId,
    /// Its workspace and environment.
    pub tenant: Tenant,
    /// The key that minted it.
    pub key: KeyId,
    /// The key's epoch when it was minted.
    pub epoch: u32,
    /// When its token ends.
    pub expires_at: Millis,
}

/// A request under a participant token: one run, one role.
#[derive(Clone, Debug)]
pub struct ParticipantCaller {
    /// The one run it may touch.
    pub run: RunId,
    /// The role in it, as the workflow names it.
    pub role: Arc<str>,
    /// What the run executes.
    pub deployment: DeploymentId,
    /// Its workspace and environment.
    pub tenant: Tenant,
    /// The deployment's key: its ids have the same number.
    pub key: KeyId,
    /// The key's epoch when the token was minted.
    pub epoch: u32,
    /// When its token ends.
    pub expires_at: Millis,
}

/// A request by a person.
#[derive(Clone, Copy, Debug)]
pub struct MemberCaller {
    /// The person.
    pub member: MemberId,
    /// The workspace, and the half of its data that the person looks at.
    pub tenant: Tenant,
    /// What the person may do.
    pub role: Role,
    /// The browser in which the person is signed in.
    pub session: MemberSessionId,
    /// When the person last proved in it who it is.
    pub confirmed_at: Millis,
}

impl Caller {
    /// Whose data the caller may reach; `None` without a credential.
    #[must_use]
    pub fn tenant(&self) -> Option<Tenant> {
        match self {
            Self::Anonymous => None,
            Self::Key(key) => Some(key.tenant),
            Self::Session(session) => Some(session.tenant),
            Self::Participant(participant) => Some(participant.tenant),
            Self::Member(member) => Some(member.tenant),
            Self::Static(key) => Some(key.tenant),
        }
    }

    /// What the caller may hand on to a key that it makes.
    #[must_use]
    pub fn scopes(&self) -> ScopeSet {
        match self {
            Self::Anonymous | Self::Session(_) | Self::Participant(_) | Self::Static(_) => ScopeSet::NONE,
            Self::Key(key) => key.scopes,
            Self::Member(member) => member.role.scopes(),
        }
    }
}

/// Which kind of party did something, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// An API key.
    ApiKey,
    /// A session token.
    Session,
    /// A participant token.
    Participant,
    /// A person.
    Member,
    /// A stranger.
    Anonymous,
    /// A key of the operator's environment.
    StaticKey,
    /// The server itself, or its operator at the command line.
    System,
}

impl ActorKind {
    /// The text form, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Session => "session",
            Self::Participant => "participant",
            Self::Member => "member",
            Self::Anonymous => "anonymous",
            Self::StaticKey => "static_key",
            Self::System => "system",
        }
    }
}

/// Who did it, from where, in which request: written with every change, in its transaction.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Which kind of party.
    pub kind: ActorKind,
    /// Its id; empty for a stranger and for the server.
    pub id: String,
    /// The key's epoch when it was let in, for an API key: a later one means that it was cut since.
    pub epoch: Option<u32>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The request.
    pub request: Option<RequestId>,
}

impl Actor {
    /// The server itself, or its operator.
    #[must_use]
    pub const fn system() -> Self {
        Self { kind: ActorKind::System, id: String::new(), epoch: None, address: None, request: None }
    }

    /// The party behind a request.
    #[must_use]
    pub fn of(caller: &Caller, address: Option<IpAddr>, request: RequestId) -> Self {
        let (kind, id) = match caller {
            Caller::Anonymous => (ActorKind::Anonymous, String::new()),
            Caller::Key(key) => (ActorKind::ApiKey, key.key.to_string()),
            Caller::Session(session) => (ActorKind::Session, session.conversation.to_string()),
            Caller::Participant(participant) => {
                (ActorKind::Participant, format!("{}/{}", participant.run, participant.role))
            }
            Caller::Member(member) => (ActorKind::Member, member.member.to_string()),
            Caller::Static(key) => (ActorKind::StaticKey, key.kind.as_str().to_owned()),
        };
        let epoch = match caller {
            Caller::Key(key) => Some(key.epoch),
            Caller::Anonymous | Caller::Session(_) | Caller::Participant(_) | Caller::Member(_) | Caller::Static(_) => {
                None
            }
        };
        Self { kind, id, epoch, address, request: Some(request) }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if self.id.is_empty() { Ok(()) } else { write!(f, ":{}", self.id) }
    }
}

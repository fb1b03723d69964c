//! What a caller wants stored. Ids, times and versions are the store's to give.

use std::fmt;

use access::{KeyKind, Role, ScopeSet};
use ambient::{BotId, ChannelId, IntegrationId, KeyId, Millis, ServiceAccountId};
use credential::key::{Environment, Family};

use crate::record::{KeySettings, SealedSecret, SecretRecord};

/// A workspace to be made.
#[derive(Clone, Debug)]
pub struct NewWorkspace {
    /// What people call it.
    pub name: String,
}

/// A person to be made; the first of a workspace is its owner.
#[derive(Clone)]
pub struct NewMember {
    /// Address; stored in lower case.
    pub email: String,
    /// What people call the person; may be empty.
    pub name: String,
    /// Argon2id, PHC string.
    pub password_hash: String,
}

impl fmt::Debug for NewMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewMember(…)")
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose data it sees. A test tenant makes test keys only.
    pub environment: Environment,
    /// What it is for.
    pub kind: KeyKind,
    /// What its text begins with.
    pub family: Family,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// Everything else that can be set.
    pub settings: KeySettings,
    /// The service account that owns it.
    pub service_account: Option<ServiceAccountId>,
    /// When it stops; `None` is never.
    pub expires_at: Option<Millis>,
    /// Its first secret.
    pub secret: SecretRecord,
}

/// What is to be different about a key; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Option<ScopeSet>,
    /// Everything else that can be set, as a whole.
    pub settings: Option<KeySettings>,
    /// When it stops; `Some(None)` is never.
    pub expires_at: Option<Option<Millis>>,
}

/// A service account to be made.
#[derive(Clone, Debug)]
pub struct NewServiceAccount {
    /// Who sees it. A test tenant makes test accounts only.
    pub environment: Environment,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The most that it may hold.
    pub role: Role,
    /// What it holds.
    pub scopes: ScopeSet,
    /// Since when its keys do not work.
    pub disabled_at: Option<Millis>,
}

/// What is to be different about a service account; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ServiceAccountChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// The most that it may hold.
    pub role: Option<Role>,
    /// What it holds.
    pub scopes: Option<ScopeSet>,
    /// `Some(None)` makes its keys work again; an account that is disabled already keeps its time.
    pub disabled_at: Option<Option<Millis>>,
}

/// A bot to be made.
#[derive(Clone, Debug)]
pub struct NewBot {
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its first words.
    pub greeting: Option<String>,
    /// The system message.
    pub instructions: Option<String>,
    /// `text`, `pipeline` or `realtime`.
    pub architecture: String,
    /// How many messages of the conversation the model is shown.
    pub context_messages: u32,
}

/// What is to be different about a bot; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct BotChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// Its first words.
    pub greeting: Option<Option<String>>,
    /// The system message.
    pub instructions: Option<Option<String>>,
    /// `text`, `pipeline` or `realtime`.
    pub architecture: Option<String>,
    /// How many messages of the conversation the model is shown.
    pub context_messages: Option<u32>,
}

/// An integration to be made. Its maker gives the id, because the headers are sealed for it.
#[derive(Clone, Debug)]
pub struct NewIntegration {
    /// Its id.
    pub id: IntegrationId,
    /// Whose.
    pub bot: BotId,
    /// What people call it.
    pub name: String,
    /// `echo`, `openai` or `webhook`.
    pub kind: String,
    /// Base URL.
    pub url: Option<String>,
    /// What the upstream calls its model.
    pub model: Option<String>,
    /// Request headers as JSON, sealed.
    pub headers_sealed: Option<Vec<u8>>,
    /// Their names.
    pub header_names: Vec<String>,
    /// Until the answer's headers, and between two parts of it.
    pub timeout_seconds: u32,
    /// Share of the traffic; 0 is off.
    pub weight: u32,
    /// Whether it is asked when the chosen one fails.
    pub fallback: bool,
    /// Signs the questions of a `webhook`, sealed.
    pub secret_sealed: Option<Vec<u8>>,
}

/// What is to be different about an integration; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct IntegrationChange {
    /// What people call it.
    pub name: Option<String>,
    /// `echo`, `openai` or `webhook`.
    pub kind: Option<String>,
    /// Base URL.
    pub url: Option<Option<String>>,
    /// What the upstream calls its model.
    pub model: Option<Option<String>>,
    /// Sealed headers and their names, which only change together.
    pub headers: Option<(Option<Vec<u8>>, Vec<String>)>,
    /// Until the answer's headers, and between two parts of it.
    pub timeout_seconds: Option<u32>,
    /// Share of the traffic; 0 is off.
    pub weight: Option<u32>,
    /// Whether it is asked when the chosen one fails.
    pub fallback: Option<bool>,
    /// What signs the questions of a `webhook`.
    pub secret: Option<SealedSecret>,
}

/// A conversation to be opened.
#[derive(Clone, Debug)]
pub struct NewConversation {
    /// Who answers.
    pub bot: BotId,
    /// Which door it came through.
    pub channel: String,
    /// The key under which it is opened.
    pub key: Option<KeyId>,
    /// The customer's own name for the user.
    pub user_identifier: Option<String>,
    /// The customer's own notes.
    pub metadata: Option<serde_json::Value>,
    /// The channel of the bot that it belongs to.
    pub channel_id: Option<ChannelId>,
}

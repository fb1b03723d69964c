//! What the rows say, as values. No row type holds a plaintext secret.

use std::{fmt, net::IpAddr};

use access::{KeyKind, Role, ScopeSet, Tenant};
use ambient::{
    AuditId, BotId, ChannelId, ConversationId, IntegrationId, KeyId, MemberId, MessageId, Millis, ServiceAccountId,
    WorkspaceId,
};
use credential::{
    key::{Environment, Family},
    secret::Digest,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::people::LeakPolicy;

/// A tenant.
#[derive(Clone, Debug)]
pub struct WorkspaceRecord {
    /// Its id.
    pub id: WorkspaceId,
    /// What people call it.
    pub name: String,
    /// Requests a minute; `None` is the installation's default.
    pub rate_limit: Option<u32>,
    /// What happens to a key that is reported as leaked.
    pub leak_policy: LeakPolicy,
    /// How long a leaked key's old secret works, where it is rotated.
    pub leak_grace_seconds: u32,
    /// When it was made.
    pub created_at: Millis,
}

impl WorkspaceRecord {
    /// As a new row of the table is.
    pub(crate) const fn new(id: WorkspaceId, name: String, created_at: Millis) -> Self {
        Self { id, name, rate_limit: None, leak_policy: LeakPolicy::Revoke, leak_grace_seconds: 3600, created_at }
    }
}

/// A person in a workspace.
#[derive(Clone)]
pub struct MemberRecord {
    /// The person.
    pub id: MemberId,
    /// Where.
    pub workspace: WorkspaceId,
    /// Lower-case address, unique in the installation.
    pub email: String,
    /// What people call the person; empty when nobody said.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Argon2id, PHC string. Never shown.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Option<Millis>,
    /// When the person was last signed in, to a minute.
    pub last_seen_at: Option<Millis>,
}

impl fmt::Debug for MemberRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberRecord")
            .field("id", &self.id)
            .field("workspace", &self.workspace)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Software that acts without a person.
#[derive(Clone, Debug)]
pub struct ServiceAccountRecord {
    /// Its id.
    pub id: ServiceAccountId,
    /// Where.
    pub workspace: WorkspaceId,
    /// Made by a live or a test credential: the latter sees only its own.
    pub environment: Environment,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The most that it may hold: `admin` or `member`.
    pub role: Role,
    /// What it holds; its keys hold the same or less.
    pub scopes: ScopeSet,
    /// Since when its keys do not work.
    pub disabled_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// What a key may be told besides its scopes; one JSON column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySettings {
    /// Entries of the origin rule, canonical (widget keys).
    pub allowed_domains: Vec<String>,
    /// Whether `localhost` passes the origin rule; absent means yes (seed S2).
    pub deny_localhost: bool,
    /// A reverse proxy forwards `Origin`: the audience firewall lets this key pass.
    pub allow_origin_header: bool,
    /// The client must come from one of these; empty is anywhere.
    pub allowed_ips: Vec<IpNet>,
    /// Requests a minute under this key; `None` is no budget of its own.
    pub rate_limit: Option<u32>,
    /// Sessions in 24 hours (widget keys); `None` is no ceiling.
    pub daily_sessions: Option<u32>,
    /// Messages in 24 hours, in all of its sessions (widget keys); `None` is no ceiling.
    pub daily_messages: Option<u32>,
    /// Requests with it on one day, UTC; `None` is no ceiling.
    pub daily_requests: Option<u32>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// When somebody should rotate it.
    pub rotate_after: Option<Millis>,
    /// The customer's own notes, at most 4 KiB of JSON.
    pub metadata: Option<serde_json::Value>,
    /// Of an imported key: a keyed digest of the hash that it came with, so that it is not imported again after it
    /// was used (which changes its digest) or revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
}

/// An API key; its secrets are rows of their own.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its id; stays through rotations.
    pub id: KeyId,
    /// Where.
    pub workspace: WorkspaceId,
    /// Whose data it sees.
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
    /// Who made it, as [`access::Actor`] prints itself.
    pub created_by: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// When it stops; `None` is never.
    pub expires_at: Option<Millis>,
    /// When it was revoked; never undone.
    pub revoked_at: Option<Millis>,
    /// Moves on when tokens minted under it must die while it lives (rotation without grace).
    pub epoch: u32,
    /// Moves on with every change: the keyring's compare-and-set.
    pub version: u64,
    /// Its secrets, the newest first: one, or two during a grace.
    pub secrets: Vec<SecretRecord>,
}

/// One secret of a key: the digest, never the text.
#[derive(Clone, Debug)]
pub struct SecretRecord {
    /// HMAC under the pepper; of an imported key that was not used yet, plain SHA-256.
    pub digest: Digest,
    /// Which installation secret the pepper came from; [`credential::secret::IMPORTED`] where there is none yet.
    pub pepper_id: String,
    /// What may be shown of it.
    pub display: String,
    /// When it was made.
    pub created_at: Millis,
    /// When its grace ends; `None` while it is the newest.
    pub expires_at: Option<Millis>,
    /// When it was last used, as far as it is written: within a minute.
    pub last_used_at: Option<Millis>,
    /// From where.
    pub last_used_ip: Option<IpAddr>,
    /// How often since it was made.
    pub uses: u64,
}

impl SecretRecord {
    /// Whether nobody was shown it: it took the place of one that leaked, and is in force until the owner rotates.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.display.ends_with('…')
    }
}

/// What happened to a secret since the last report, to be added to what is stored.
#[derive(Clone, Debug)]
pub struct SecretUse {
    /// Whose key it is, and whose data the key sees.
    pub tenant: Tenant,
    /// The key.
    pub key: KeyId,
    /// Which secret.
    pub digest: Digest,
    /// When it was last used.
    pub last_used_at: Millis,
    /// From where.
    pub last_used_ip: Option<IpAddr>,
    /// Uses since the last report; without any, when and from where says nothing.
    pub uses: u64,
    /// Requests with it that were refused since the last report. They are no uses.
    pub refused: u64,
    /// The hour that both count for, and so the day: whole hours since 1970-01-01T00, UTC.
    pub hour: i64,
}

/// What the keyring needs of a key and its workspace: one row of the load at start.
#[derive(Clone, Debug)]
pub struct LiveKey {
    /// The key.
    pub key: KeyRecord,
    /// The owning account's scopes, when there is one; the key's are cut to them.
    pub service_account_scopes: Option<ScopeSet>,
    /// The owning account is disabled: the key is known, and does not work.
    pub disabled: bool,
    /// The workspace's own budget.
    pub workspace_rate_limit: Option<u32>,
}

/// What answers.
#[derive(Clone, Debug)]
pub struct BotRecord {
    /// Its id.
    pub id: BotId,
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
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// Where a bot's replies come from.
#[derive(Clone, Debug)]
pub struct IntegrationRecord {
    /// Its id.
    pub id: IntegrationId,
    /// Whose.
    pub bot: BotId,
    /// What people call it.
    pub name: String,
    /// `echo`, `openai` or `webhook`.
    pub kind: String,
    /// Base URL, ending in `/v1` for `openai`.
    pub url: Option<String>,
    /// What the upstream calls its model.
    pub model: Option<String>,
    /// Names and values of request headers as JSON, sealed; values are never shown.
    pub headers_sealed: Option<Vec<u8>>,
    /// The names alone, to be shown.
    pub header_names: Vec<String>,
    /// Until the answer's headers, and between two parts of it.
    pub timeout_seconds: u32,
    /// Share of the traffic; 0 is off.
    pub weight: u32,
    /// Whether it is asked when the chosen one fails.
    pub fallback: bool,
    /// Signs the questions of a `webhook`.
    pub secret: SealedSecret,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// A secret that signs, and the one before it while that still counts; sealed both.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SealedSecret {
    /// In force.
    pub current: Option<Vec<u8>>,
    /// The one before.
    pub previous: Option<Vec<u8>>,
    /// Until when that one counts.
    pub previous_until: Option<Millis>,
}

impl SealedSecret {
    /// A new one takes the place of this, which counts until then, if at all.
    #[must_use]
    pub fn rotate(self, new: Vec<u8>, previous_until: Option<Millis>) -> Self {
        let previous_until = previous_until.filter(|_| self.current.is_some());
        Self { current: Some(new), previous: self.current.filter(|_| previous_until.is_some()), previous_until }
    }

    /// What is in force at a moment, the newer first.
    pub fn in_force(&self, now: Millis) -> impl Iterator<Item = &[u8]> {
        let previous = self.previous.as_deref().filter(|_| self.previous_until.is_some_and(|until| now < until));
        self.current.as_deref().into_iter().chain(previous)
    }

    pub(crate) fn read(row: &crate::row::Row) -> Result<Self, crate::error::StoreError> {
        Ok(Self {
            current: row.maybe_blob("secret_sealed")?,
            previous: row.maybe_blob("previous_sealed")?,
            previous_until: row.maybe_time("previous_until")?,
        })
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret").field("previous_until", &self.previous_until).finish_non_exhaustive()
    }
}

/// An exchange of messages.
#[derive(Clone, Debug)]
pub struct ConversationRecord {
    /// Its id.
    pub id: ConversationId,
    /// Who answers.
    pub bot: BotId,
    /// Which door it came through: `session`.
    pub channel: String,
    /// The key under which it was opened.
    pub key: Option<KeyId>,
    /// The customer's own name for the user.
    pub user_identifier: Option<String>,
    /// The customer's own notes.
    pub metadata: Option<serde_json::Value>,
    /// The channel of the bot that it belongs to.
    pub channel_id: Option<ChannelId>,
    /// When it was opened.
    pub created_at: Millis,
    /// When something last happened in it.
    pub updated_at: Millis,
    /// When it was ended; its token is dead since.
    pub ended_at: Option<Millis>,
    /// How many messages it holds.
    pub message_count: u64,
}

/// A conversation that a client has named (seed S4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedConversation {
    /// Its id.
    pub id: ConversationId,
    /// What the client calls it.
    pub name: String,
    /// When it was opened.
    pub created_at: Millis,
    /// When something last happened in it.
    pub updated_at: Millis,
    /// The first 500 characters of the newest message; empty when there is none.
    pub last_message: String,
}

/// One message.
#[derive(Clone, Debug)]
pub struct MessageRecord {
    /// Its id.
    pub id: MessageId,
    /// Where.
    pub conversation: ConversationId,
    /// Its place, from 1, without gaps.
    pub position: u64,
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// The text.
    pub content: String,
    /// `complete`, or `partial` when the reply was cut.
    pub status: String,
    /// Tokens, as the upstream counts them, or words where it does not say.
    pub token_count: Option<u64>,
    /// When it was stored.
    pub created_at: Millis,
}

/// Who did what to what.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// Its id; sorts by time.
    pub id: AuditId,
    /// When.
    pub created_at: Millis,
    /// Which kind of party.
    pub actor_kind: String,
    /// Its id.
    pub actor_id: String,
    /// The operation, or `api_key.exposed`.
    pub action: String,
    /// `api_key`, `bot`, …
    pub target_kind: String,
    /// Its id.
    pub target_id: String,
    /// The client's address.
    pub address: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// What changed: field names, never secret values.
    pub detail: Option<serde_json::Value>,
}

/// The first words of the audit entry that a change writes in its own transaction.
#[derive(Clone, Debug)]
pub struct AuditEntry<'a> {
    /// Who did it.
    pub actor: &'a access::Actor,
    /// The operation's id, or a system action.
    pub action: &'a str,
    /// What changed.
    pub detail: Option<serde_json::Value>,
}

/// One page of a list, newest first unless said otherwise.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// How many there are in all, counted up to [`MAX_TOTAL`].
    pub total: u64,
    /// Whether there are more than that.
    pub is_capped: bool,
}

/// Where counting ends: nobody leafs further, and a million rows take longer to count than to find.
pub const MAX_TOTAL: u64 = 10_000;

impl<T> Page<T> {
    pub(crate) fn counted(rows: Vec<T>, counted: u64) -> Self {
        Self { rows, total: counted.min(MAX_TOTAL), is_capped: counted > MAX_TOTAL }
    }

    /// Of a list whose rows are counted anyway.
    pub(crate) const fn exact(rows: Vec<T>, total: u64) -> Self {
        Self { rows, total, is_capped: false }
    }

    /// The same page with other rows.
    pub fn with_rows<U>(&self, rows: Vec<U>) -> Page<U> {
        Page { rows, total: self.total, is_capped: self.is_capped }
    }
}

/// Which page: `page` from 1, `per_page` from 1 to 100.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// Which, from 1.
    pub page: u32,
    /// How many rows.
    pub per_page: u32,
}

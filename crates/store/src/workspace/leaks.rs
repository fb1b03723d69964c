//! What is done about a key that was found where it should not be, and the list of what was.

use access::{ActorKind, KeyKind};
use ambient::{KeyId, LeakId, Millis};
use credential::{key::Environment, secret::Digest};
use serde_json::{Map, json};

use super::{Workspace, limits};
use crate::{
    EventKind,
    catalogue::{keys as key_sql, leaks as sql},
    error::StoreError,
    record::{AuditEntry, KeyRecord, Page, PageRequest, SecretRecord},
    row::Row,
    tx::Tx,
};

/// Reports of one key that are kept; later ones still act, and are not told.
const MAX_REPORTS: u64 = 100;

/// What was done about a leaked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakAction {
    /// The key is revoked.
    Revoked,
    /// The leaked secret was in its grace, which has ended now; the key's newest secret works on.
    SecretEnded,
    /// The leaked secret works until the workspace's grace is over.
    GraceStarted,
    /// Nothing but telling.
    Notified,
}

impl LeakAction {
    const ALL: [Self; 4] = [Self::Revoked, Self::SecretEnded, Self::GraceStarted, Self::Notified];

    /// The text form, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::SecretEnded => "secret_ended",
            Self::GraceStarted => "grace_started",
            Self::Notified => "notified",
        }
    }
}

/// A report of a leaked secret.
#[derive(Clone, Debug)]
pub struct NewLeak {
    /// Which key.
    pub key: KeyId,
    /// Which of its secrets.
    pub digest: Digest,
    /// What kind of place, such as `commit`.
    pub source: String,
    /// Where.
    pub url: Option<String>,
    /// A secret that nobody is shown, for a workspace that rotates: it takes the leaked one's place.
    pub unseen: SecretRecord,
}

/// A key that was found where it should not be.
#[derive(Clone, Debug)]
pub struct LeakRecord {
    /// Its id; sorts by time.
    pub id: LeakId,
    /// The key's.
    pub environment: Environment,
    /// Which key.
    pub key: KeyId,
    /// What was done.
    pub action: LeakAction,
    /// What kind of place.
    pub source: String,
    /// Where.
    pub url: Option<String>,
    /// When it was reported.
    pub created_at: Millis,
}

impl Workspace {
    /// Does what the workspace wants done about a leaked secret, and tells of it: audit, event and list in the
    /// same transaction. `None` when there is nothing to do or to tell: the secret is dead already, or the same
    /// was told before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn report_leak(&self, leak: NewLeak, audit: AuditEntry<'_>) -> Result<Option<LeakRecord>, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let key = self.read_key(&mut tx, leak.key).await?;
        let Some(secret) = key.secrets.iter().find(|secret| secret.digest == leak.digest) else { return Ok(None) };
        if key.revoked_at.is_some() {
            return Ok(None);
        }
        let unseen = key.secrets.first().is_some_and(SecretRecord::is_unseen);
        // Whoever found a secret may have made the newer one with it: that is worth no more.
        let is_newest = secret.expires_at.is_none()
            || (!unseen && !self.is_replaced_by_another(&mut tx, key.id, secret.created_at).await?);
        let policy = tx.row(sql::LEAK_POLICY.bound().id(self.tenant.workspace)).await?.ok_or(StoreError::NotFound)?;
        let grace_ends = now.plus(policy.count::<i64>("leak_grace_seconds")?.max(0).saturating_mul(1000));
        let action = match (policy.string("leak_policy")?.as_str(), is_newest) {
            ("notify", _) | ("rotate", false) => LeakAction::Notified,
            ("rotate", true) => {
                self.start_grace(&mut tx, &key, grace_ends, &leak.unseen).await?;
                LeakAction::GraceStarted
            }
            // Its end was set by an earlier report; its owner has no other secret yet.
            (_, false) if unseen => LeakAction::Notified,
            (_, false) => {
                self.end_secret(&mut tx, &leak).await?;
                LeakAction::SecretEnded
            }
            (_, true) => {
                self.mark_key_revoked(&mut tx, key.id, now).await?;
                self.revoke_deployment_of(&mut tx, &key, now).await?;
                LeakAction::Revoked
            }
        };
        if action != LeakAction::Notified {
            self.take_back_invitations(&mut tx, ActorKind::ApiKey, &key.id).await?;
        }
        let record = self.tell_leak(&mut tx, &key, &leak, action, audit).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Whether the newest secret was made by somebody who did not need the one before, of `since`: a person, or a key
    /// that was there before it. Where that is not known, it was not.
    async fn is_replaced_by_another(&self, tx: &mut Tx, id: KeyId, since: Millis) -> Result<bool, StoreError> {
        let workspace = self.tenant.workspace;
        let Some(row) = tx.row(sql::ROTATED_BY.bound().id(workspace).id(id).time(since)).await? else {
            return Ok(false);
        };
        let kind = row.string("actor_kind")?;
        if kind != ActorKind::ApiKey.as_str() {
            return Ok(kind == ActorKind::Member.as_str());
        }
        let by = row.string("actor_id")?;
        Ok(by != id.to_string() && tx.total(sql::OLDER_KEY.bound().id(workspace).text(by).time(since)).await? > 0)
    }

    /// The newest secret gets an end. A deployment's key is not rotated: it expires.
    async fn start_grace(
        &self,
        tx: &mut Tx,
        key: &KeyRecord,
        ends: Millis,
        unseen: &SecretRecord,
    ) -> Result<(), StoreError> {
        let (workspace, now) = (self.tenant.workspace, self.store.now());
        tx.change(self.seen(&key_sql::LOCK_KEY).id(key.id).time(now)).await?;
        if key.kind == KeyKind::Deployment {
            return tx.change(sql::EXPIRE_KEY.bound().id(workspace).id(key.id).time(ends)).await;
        }
        tx.execute(key_sql::END_SECRETS.bound().id(workspace).id(key.id).time(ends).time(now)).await?;
        tx.execute(self.insert_secret(key.id, unseen)).await?;
        Ok(())
    }

    /// Tokens that were minted meanwhile may have been minted with it: they die.
    async fn end_secret(&self, tx: &mut Tx, leak: &NewLeak) -> Result<(), StoreError> {
        let (workspace, now) = (self.tenant.workspace, self.store.now());
        tx.change(self.seen(&key_sql::LOCK_KEY).id(leak.key).time(now)).await?;
        tx.change(sql::END_SECRET.bound().id(workspace).id(leak.key).digest(&leak.digest).time(now)).await?;
        tx.change(key_sql::BUMP_EPOCH.bound().id(workspace).id(leak.key)).await
    }

    async fn tell_leak(
        &self,
        tx: &mut Tx,
        key: &KeyRecord,
        leak: &NewLeak,
        action: LeakAction,
        audit: AuditEntry<'_>,
    ) -> Result<Option<LeakRecord>, StoreError> {
        let (workspace, url) = (self.tenant.workspace, leak.url.as_deref().unwrap_or_default());
        let told = sql::LEAKS_OF_KEY.bound().id(workspace).id(key.id).text(&leak.source).text(url);
        let told = tx.row(told).await?.ok_or(StoreError::NotFound)?;
        let (total, same): (u64, u64) = (told.count("total")?, told.count("same")?);
        if action == LeakAction::Notified && (same > 0 || total >= MAX_REPORTS) {
            return Ok(None);
        }
        let record = LeakRecord {
            id: LeakId::mint(self.store.clock(), self.store.random())?,
            environment: key.environment,
            key: key.id,
            action,
            source: leak.source.clone(),
            url: leak.url.clone(),
            created_at: self.store.now(),
        };
        let insert = sql::INSERT_LEAK.bound().id(workspace).text(key.environment.as_str()).id(record.id).id(key.id);
        let insert = insert.text(action.as_str()).text(&record.source);
        tx.execute(insert.maybe_id(record.url.as_ref()).time(record.created_at)).await?;
        let detail = json!({"action": action.as_str(), "source": record.source, "url": record.url});
        let audit = AuditEntry { detail: Some(detail), ..audit };
        self.insert_audit(tx, &audit, "api_key", &key.id).await?;
        let display = key.secrets.iter().find(|secret| secret.digest == leak.digest).map(|secret| &secret.display);
        let more = [
            ("display", json!(display)),
            ("leak_id", json!(record.id)),
            ("action", json!(action.as_str())),
            ("source", json!(record.source)),
            ("url", json!(record.url)),
        ];
        let more = more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.key_event(tx, EventKind::ApiKeyExposed, key, &audit, more).await?;
        if action == LeakAction::Revoked {
            self.key_event(tx, EventKind::ApiKeyRevoked, key, &audit, Map::new()).await?;
        }
        Ok(Some(record))
    }

    /// A page of reports, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn leaks(&self, page: PageRequest) -> Result<Page<LeakRecord>, StoreError> {
        self.page(limits(self.seen(&sql::LEAKS), page), self.seen(&sql::LEAK_COUNT), leak_record).await
    }
}

fn leak_record(row: &Row) -> Result<LeakRecord, StoreError> {
    Ok(LeakRecord {
        id: row.id("id")?,
        environment: row.id("environment")?,
        key: row.id("key_id")?,
        action: row.word("action", |text| LeakAction::ALL.into_iter().find(|action| action.as_str() == text))?,
        source: row.string("source")?,
        url: row.maybe_string("url")?,
        created_at: row.time("created_at")?,
    })
}

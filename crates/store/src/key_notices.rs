//! The notices of every workspace's keys: who looks for them is nobody's tenant.

use access::{Actor, Tenant};
use ambient::{KeyId, Millis};
use serde_json::{Map, Value, json};

use crate::{
    catalogue::keys as sql,
    error::StoreError,
    notice::{Dates, Notice},
    record::{AuditEntry, KeyRecord, LiveKey},
    store::Store,
    tx::Tx,
    workspace::EventKind,
};

/// Keys of one transaction.
const BATCH: u32 = 50;
/// When a key that cannot be read is looked at again, in milliseconds.
const LATER: i64 = 86_400_000;

impl Store {
    /// Tells what is due of keys by `now`: `api_key.expiring` 30, 7 and 1 days before an end, and
    /// `api_key.rotation_due`. Each once for a key and the time that it is about; of revoked, expired and disabled
    /// keys nothing. Looks at a few keys, those that are due first; whether there may be more.
    ///
    /// # Errors
    /// When the database cannot be used; what was not told then is told the next time.
    pub async fn give_key_notices(&self, now: Millis) -> Result<bool, StoreError> {
        let due = self.rows(sql::DUE_NOTICES.bound().time(now).count(BATCH)).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let mut keys = Vec::with_capacity(due.len());
        for row in &due {
            let (id, since): (KeyId, Millis) = (row.id("id")?, row.time("notice_at")?);
            keys.push((id, since, self.key_for_notice(id).await?));
        }
        let mut tx = self.begin().await?;
        for (id, since, key) in &keys {
            self.give_notices_of(&mut tx, *id, *since, key, now).await?;
        }
        tx.commit().await?;
        Ok(due.len() >= BATCH as usize)
    }

    /// A key that cannot be read does not keep the others waiting.
    async fn key_for_notice(&self, id: KeyId) -> Result<Found, StoreError> {
        match self.find_key(id).await {
            Ok(Some(live)) => Ok(Found::Key(Box::new(live))),
            Ok(None) => Ok(Found::Gone),
            Err(StoreError::Corrupt(_)) => Ok(Found::Unreadable),
            Err(error) => Err(error),
        }
    }

    async fn give_notices_of(
        &self,
        tx: &mut Tx,
        id: KeyId,
        since: Millis,
        found: &Found,
        now: Millis,
    ) -> Result<(), StoreError> {
        let (next, version) = match found {
            Found::Gone => (None, None),
            Found::Unreadable => (Some(now.plus(LATER)), None),
            Found::Key(live) if is_over(&live.key, now) => (None, Some(live.key.version)),
            Found::Key(live) => (dates(&live.key).next_look(now), Some(live.key.version)),
        };
        let taken = sql::TAKE_NOTICE.bound().id(id).time(since).maybe_time(next).maybe_count(version);
        // Somebody else was faster, or the key has changed since it was read: then it is looked at once more.
        if tx.execute(taken).await? == 0 {
            return Ok(());
        }
        let Found::Key(live) = found else { return Ok(()) };
        if live.disabled || is_over(&live.key, now) {
            return Ok(());
        }
        for notice in dates(&live.key).due(since, now) {
            self.give_notice(tx, &live.key, notice, now).await?;
        }
        Ok(())
    }

    async fn give_notice(&self, tx: &mut Tx, key: &KeyRecord, notice: Notice, now: Millis) -> Result<(), StoreError> {
        let (name, about) = notice.key();
        let noted = sql::INSERT_NOTICE.bound().id(key.workspace).id(key.id).text(name).time(about).time(now);
        if tx.execute(noted).await? == 0 {
            return Ok(());
        }
        let (kind, more) = match notice {
            Notice::Expiring { end, days_left, .. } => {
                (EventKind::ApiKeyExpiring, [("expires_at", json!(end)), ("days_left", json!(days_left))])
            }
            Notice::RotationDue { at } => {
                (EventKind::ApiKeyRotationDue, [("expires_at", json!(key.expires_at)), ("rotate_after", json!(at))])
            }
        };
        let more: Map<String, Value> = more.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let actor = Actor::system();
        let by = AuditEntry { actor: &actor, action: kind.as_str(), detail: None };
        let data = self.workspace(Tenant { workspace: key.workspace, environment: key.environment });
        data.key_event(tx, kind, key, &by, more).await
    }
}

enum Found {
    Key(Box<LiveKey>),
    Gone,
    Unreadable,
}

fn is_over(key: &KeyRecord, now: Millis) -> bool {
    key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now)
}

pub(crate) const fn dates(key: &KeyRecord) -> Dates {
    Dates { expires_at: key.expires_at, rotate_after: key.settings.rotate_after }
}

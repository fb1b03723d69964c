//! What somebody sees first: today's numbers, and what wants attention. Bounded, however much there is.

use ambient::{AuditId, ConversationId, CreditEntryId, KeyId, LeakId, Millis, Ulid, WebhookId};

use super::Workspace;
use crate::{catalogue::overview as sql, error::StoreError, row::Row};

/// Rows that are counted of one thing, the newest.
const MOST: u32 = 5000;

/// How many in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// Whole hours since 1970-01-01T00, UTC.
    pub hour: i64,
    /// How many.
    pub total: u64,
}

/// A key that wants attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Which.
    pub key: KeyId,
    /// Its name.
    pub name: String,
    /// Since when or until when; `None` is never.
    pub at: Option<Millis>,
}

/// An endpoint that the server has disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookAtRest {
    /// Which.
    pub id: WebhookId,
    /// Where.
    pub url: String,
    /// When.
    pub at: Millis,
    /// Why.
    pub reason: String,
}

/// The first id that could have been made at a time.
fn first_id(since: Millis) -> Ulid {
    Ulid(u128::try_from(since.0).unwrap_or(0) << 80)
}

impl Workspace {
    /// Conversations by the hour in which they began: of the newest 5,000 since then.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn conversation_hours(&self, since: Millis) -> Result<Vec<HourCount>, StoreError> {
        let bound = self.own(&sql::CONVERSATION_HOURS).id(ConversationId(first_id(since))).count(MOST);
        self.store.rows(bound).await?.iter().map(hour_count).collect()
    }

    /// Credits of the workspace by the hour in which they were charged: of the newest 5,000 entries since then.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn credit_hours(&self, since: Millis) -> Result<Vec<HourCount>, StoreError> {
        let bound = sql::CREDIT_HOURS.bound().id(self.tenant.workspace).id(CreditEntryId(first_id(since)));
        self.store.rows(bound.count(MOST)).await?.iter().map(hour_count).collect()
    }

    /// Keys of this environment that end after `now` and until `until`, the first first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn expiring_keys(&self, now: Millis, until: Millis, most: u32) -> Result<Vec<Attention>, StoreError> {
        self.attention(self.own(&sql::EXPIRING_KEYS).time(now).time(until).count(most)).await
    }

    /// Keys of this environment that work, were made before `since` and not used since, the longest unused first.
    /// What is not written yet is missing: a minute at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn unused_keys(&self, since: Millis, now: Millis, most: u32) -> Result<Vec<Attention>, StoreError> {
        self.attention(self.own(&sql::UNUSED_KEYS).time(since).time(now).count(most)).await
    }

    /// Keys of this environment that are not revoked and were reported as leaked since then.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn leaked_keys(&self, since: Millis, most: u32) -> Result<Vec<Attention>, StoreError> {
        self.attention(self.own(&sql::LEAKED_KEYS).id(LeakId(first_id(since))).count(most)).await
    }

    /// Keys for servers that are not revoked and came from a browser since then.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn exposed_keys(&self, since: Millis, most: u32) -> Result<Vec<Attention>, StoreError> {
        self.attention(self.own(&sql::EXPOSED_KEYS).id(AuditId(first_id(since))).count(most)).await
    }

    /// Endpoints of this environment that the server has disabled, the last one first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn webhooks_at_rest(&self, most: u32) -> Result<Vec<WebhookAtRest>, StoreError> {
        let rows = self.store.rows(self.own(&sql::WEBHOOKS_AT_REST).count(most)).await?;
        let read = |row: &Row| {
            Ok(WebhookAtRest {
                id: row.id("id")?,
                url: row.string("url")?,
                at: row.time("disabled_at")?,
                reason: row.string("disabled_reason")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Endpoints of this environment of which every attempt fails, and that are still tried: where, and since when, the
    /// longest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn failing_webhooks(&self, most: u32) -> Result<Vec<(WebhookId, String, Millis)>, StoreError> {
        let rows = self.store.rows(self.own(&sql::FAILING_WEBHOOKS).count(most)).await?;
        rows.iter().map(|row| Ok((row.id("id")?, row.string("url")?, row.time("failing_since")?))).collect()
    }

    /// Whether this environment has any key, any bot, any conversation.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn has_any(&self) -> Result<(bool, bool, bool), StoreError> {
        let row = self.store.row(self.own(&sql::HAS_ANY)).await?.ok_or(StoreError::NotFound)?;
        let is_there = |column: &str| Ok::<bool, StoreError>(row.count::<i64>(column)? > 0);
        Ok((is_there("keys")?, is_there("bots")?, is_there("conversations")?))
    }

    /// The names of these keys of the workspace, in no order.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn names_of_keys(&self, keys: &[KeyId]) -> Result<Vec<(KeyId, String)>, StoreError> {
        let mut names = Vec::new();
        for chunk in keys.chunks(sql::NAMED_KEYS) {
            let mut bound = sql::NAMES_OF_KEYS.bound().id(self.tenant.workspace);
            for at in 0..sql::NAMED_KEYS {
                bound = bound.text(chunk.get(at).map(ToString::to_string).unwrap_or_default());
            }
            for row in self.store.rows(bound).await? {
                names.push((row.id("id")?, row.string("name")?));
            }
        }
        Ok(names)
    }

    async fn attention(&self, bound: crate::catalogue::Bound) -> Result<Vec<Attention>, StoreError> {
        let read =
            |row: &Row| Ok(Attention { key: row.id("id")?, name: row.string("name")?, at: row.maybe_time("at")? });
        self.store.rows(bound).await?.iter().map(read).collect()
    }
}

fn hour_count(row: &Row) -> Result<HourCount, StoreError> {
    Ok(HourCount { hour: row.count("hour")?, total: row.count("total")? })
}

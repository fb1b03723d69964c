use std::fmt;

use ambient::Millis;
use credential::secret::Digest;

use super::Workspace;
use crate::{
    catalogue::{Bound, Statement, records as sql},
    error::StoreError,
    store::IDEMPOTENCY_TTL,
};

/// A request that has not ended after this many milliseconds never will: its node is gone.
const ABANDONED: i64 = 60_000;

/// What is known of a request with an `Idempotency-Key`.
pub enum Idempotent {
    /// Nothing: go on, and finish or abandon it with the same `now`.
    Fresh,
    /// It was answered: say the same again.
    Replay {
        /// The answer's status.
        status: u16,
        /// The answer's body, sealed: it may hold a key that is shown once.
        body: Vec<u8>,
    },
    /// It is being answered: 409.
    Running,
    /// It was another request: 422.
    OtherBody,
}

impl fmt::Debug for Idempotent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("Fresh"),
            Self::Replay { status, .. } => write!(f, "Replay({status})"),
            Self::Running => f.write_str("Running"),
            Self::OtherBody => f.write_str("OtherBody"),
        }
    }
}

impl Workspace {
    /// Begins a request that must happen once in 24 hours. `now` names this attempt.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn begin_idempotent(
        &self,
        caller_id: &str,
        operation: &str,
        key: &str,
        fingerprint: &Digest,
        now: Millis,
    ) -> Result<Idempotent, StoreError> {
        let call = |statement| self.call(statement, caller_id, operation, key);
        let mut tx = self.store.begin().await?;
        if tx.execute(call(&sql::INSERT_IDEMPOTENT).digest(fingerprint).time(now)).await? > 0 {
            tx.commit().await?;
            return Ok(Idempotent::Fresh);
        }
        // Gone between the two statements: somebody has just given it up. The caller may try again.
        let Some(row) = tx.row(call(&sql::IDEMPOTENT)).await? else { return Ok(Idempotent::Running) };
        let begun = row.time("created_at")?;
        let status: Option<u16> = row.maybe_count("status")?;
        let most = if status.is_some() { IDEMPOTENCY_TTL } else { ABANDONED };
        if now.since(begun) > most {
            let take = call(&sql::TAKE_OVER_IDEMPOTENT).digest(fingerprint).time(now).time(begun);
            let taken = tx.execute(take).await? > 0;
            tx.commit().await?;
            return Ok(if taken { Idempotent::Fresh } else { Idempotent::Running });
        }
        if row.digest("fingerprint")? != *fingerprint {
            return Ok(Idempotent::OtherBody);
        }
        Ok(match status {
            Some(status) => Idempotent::Replay { status, body: row.maybe_blob("body")?.unwrap_or_default() },
            None => Idempotent::Running,
        })
    }

    /// Keeps the answer of an attempt that began at `begun_at`, body sealed. Nothing happens when the
    /// attempt was given up meanwhile.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn finish_idempotent(
        &self,
        caller_id: &str,
        operation: &str,
        key: &str,
        begun_at: Millis,
        status: u16,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let finish = self.call(&sql::FINISH_IDEMPOTENT, caller_id, operation, key).time(begun_at);
        self.store.execute(finish.count(status).blob(body)).await.map(|_| ())
    }

    /// Forgets an attempt that came to nothing, so that it may be repeated at once.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn abandon_idempotent(
        &self,
        caller_id: &str,
        operation: &str,
        key: &str,
        begun_at: Millis,
    ) -> Result<(), StoreError> {
        let abandon = self.call(&sql::ABANDON_IDEMPOTENT, caller_id, operation, key).time(begun_at);
        self.store.execute(abandon).await.map(|_| ())
    }

    fn call(&self, statement: &Statement, caller_id: &str, operation: &str, key: &str) -> Bound {
        self.own(statement).text(caller_id).text(operation).text(key)
    }
}

use std::fmt;

use ambient::{Millis, Ulid};
use credential::secret::Digest;

use super::Workspace;
use crate::{
    attempt::{self, Attempt, SOMETHING},
    catalogue::{Bound, Statement, records as sql},
    error::StoreError,
    store::IDEMPOTENCY_TTL,
};

/// A request that has not ended after this many milliseconds never will: its node is gone.
const ABANDONED: i64 = 60_000;

/// What is known of a request with an `Idempotency-Key`.
pub enum Idempotent {
    /// Nothing, or how far an attempt came that is over: go on within this one, and finish or abandon it.
    Fresh(Attempt),
    /// It was answered: say the same again.
    Replay {
        /// The answer's status.
        status: u16,
        /// The answer's body, sealed: it may hold a key that is shown once.
        body: Vec<u8>,
    },
    /// It is being answered: 409.
    Running,
    /// An attempt that is over has done something, and nobody knows what it would have answered: 409.
    Lost,
    /// It was another request: 422.
    OtherBody,
}

impl fmt::Debug for Idempotent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh(attempt) => write!(f, "Fresh({attempt:?})"),
            Self::Replay { status, .. } => write!(f, "Replay({status})"),
            Self::Running => f.write_str("Running"),
            Self::Lost => f.write_str("Lost"),
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
        let attempt = |object, is_again| {
            Idempotent::Fresh(Attempt::new(self.tenant, (caller_id, operation, key), now, object, is_again))
        };
        let fresh = || Ok(attempt(Ulid::mint(self.store.clock(), self.store.random())?, false));
        let mut tx = self.store.begin().await?;
        if tx.execute(call(&sql::INSERT_IDEMPOTENT).digest(fingerprint).time(now)).await? > 0 {
            tx.commit().await?;
            return fresh();
        }
        // Gone between the two statements: somebody has just given it up. The caller may try again.
        let Some(row) = tx.row(call(&sql::IDEMPOTENT)).await? else { return Ok(Idempotent::Running) };
        let begun = row.time("created_at")?;
        let status: Option<u16> = row.maybe_count("status")?;
        if now.since(begun) > IDEMPOTENCY_TTL {
            let renew = call(&sql::RENEW_IDEMPOTENT).digest(fingerprint).time(now).time(begun);
            let renewed = tx.execute(renew).await? > 0;
            tx.commit().await?;
            return if renewed { fresh() } else { Ok(Idempotent::Running) };
        }
        let is_same = row.digest("fingerprint")? == *fingerprint;
        if let Some(status) = status {
            let body = || Ok::<_, StoreError>(row.maybe_blob("body")?.unwrap_or_default());
            return Ok(if is_same { Idempotent::Replay { status, body: body()? } } else { Idempotent::OtherBody });
        }
        let done = row.maybe_text("object_id")?;
        if now.since(begun) <= ABANDONED || (done.is_some() && !is_same) {
            return Ok(if is_same { Idempotent::Running } else { Idempotent::OtherBody });
        }
        if done == Some(SOMETHING) {
            return Ok(Idempotent::Lost);
        }
        let take = call(&sql::TAKE_OVER_IDEMPOTENT).digest(fingerprint).time(now).time(begun);
        let Some(taken) = tx.row(take).await? else { return Ok(Idempotent::Running) };
        tx.commit().await?;
        match taken.maybe_text("object_id")? {
            None => fresh(),
            Some(SOMETHING) => Ok(Idempotent::Lost),
            Some(_) => Ok(attempt(taken.id("object_id")?, true)),
        }
    }

    /// Keeps the answer of an attempt, body sealed. Nothing happens when another has taken its place.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn finish_idempotent(&self, attempt: &Attempt, status: u16, body: &[u8]) -> Result<(), StoreError> {
        let finish = attempt.bound(&sql::FINISH_IDEMPOTENT);
        self.store.execute(finish.count(status).blob(body)).await.map(|_| ())
    }

    /// Ends an attempt that has failed, so that it may be repeated at once. What it has made is kept for the one
    /// that repeats it; where it was not said what that is, the answer has said what is to be known.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn abandon_idempotent(&self, attempt: &Attempt) -> Result<(), StoreError> {
        if self.store.execute(attempt.bound(&sql::ABANDON_IDEMPOTENT).text(SOMETHING)).await? > 0 {
            return Ok(());
        }
        let past = attempt.begun_at().plus(-ABANDONED - 1);
        self.store.execute(attempt.bound(&sql::RELEASE_IDEMPOTENT).time(past)).await.map(|_| ())
    }

    /// The id of what a request makes: the same in every attempt at a request that must happen once, else a new
    /// one. For one thing of a request; what makes it then asks `made_before` first.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new_id<T: From<Ulid>>(&self) -> Result<T, StoreError> {
        let id = match attempt::take_object() {
            Some(id) => id,
            None => Ulid::mint(self.store.clock(), self.store.random())?,
        };
        Ok(id.into())
    }

    /// What an attempt before this one has made under this id; `look` reads it.
    pub(crate) async fn made_before<T>(
        &self,
        id: impl Into<Ulid>,
        look: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        if !attempt::may_be_there(id.into()) {
            return Ok(None);
        }
        match look.await {
            Ok(made) => Ok(Some(made)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn call(&self, statement: &Statement, caller_id: &str, operation: &str, key: &str) -> Bound {
        self.own(statement).text(caller_id).text(operation).text(key)
    }
}

//! Requests that must happen once. While one runs, its attempt goes along with the task, and every transaction of
//! it says in the same commit that something was done. So after a crash it is known whether to begin again, to go
//! on with what there is, or to leave it alone; and an attempt whose place another has taken commits nothing.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use access::Tenant;
use ambient::{Millis, Ulid};

use crate::{
    catalogue::{Bound, Statement, records as sql},
    error::StoreError,
    tx::Tx,
};

/// Stored instead of an id by an attempt that has committed something without using the id that it was given.
pub(crate) const SOMETHING: &str = "-";

tokio::task_local! {
    static CURRENT: Attempt;
}

/// One attempt at a request that must happen once. Clones are the same.
#[derive(Clone)]
pub struct Attempt(Arc<Inner>);

struct Inner {
    tenant: Tenant,
    caller_id: String,
    operation: String,
    key: String,
    begun_at: Millis,
    object: Ulid,
    is_again: bool,
    is_used: AtomicBool,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, begun_at, is_again, .. } = &*self.0;
        write!(f, "Attempt({operation}, {begun_at}, again: {is_again})")
    }
}

impl Attempt {
    /// `object` is the id of what it is about to make; `is_again` when an attempt before it may have made that.
    pub(crate) fn new(
        tenant: Tenant,
        (caller_id, operation, key): (&str, &str, &str),
        begun_at: Millis,
        object: Ulid,
        is_again: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            tenant,
            caller_id: caller_id.to_owned(),
            operation: operation.to_owned(),
            key: key.to_owned(),
            begun_at,
            object,
            is_again,
            is_used: AtomicBool::new(is_again),
        }))
    }

    /// Runs what is to happen once. What it spawns is no part of it, unless [`in_this_attempt`] takes it along.
    pub async fn run<F: Future>(&self, what: F) -> F::Output {
        CURRENT.scope(self.clone(), what).await
    }

    /// Whether it goes on with what an attempt before it has begun.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.0.is_again
    }

    pub(crate) fn begun_at(&self) -> Millis {
        self.0.begun_at
    }

    /// `$1` to `$5` name the request, `$6` is the attempt.
    pub(crate) fn bound(&self, statement: &Statement) -> Bound {
        let Inner { tenant, caller_id, operation, key, begun_at, .. } = &*self.0;
        let bound = statement.bound().id(tenant.workspace).text(tenant.environment.as_str());
        bound.text(caller_id).text(operation).text(key).time(*begun_at)
    }
}

/// Takes the attempt of this task, if it is one, along into another.
pub fn in_this_attempt<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(Attempt::clone).ok();
    async move {
        match current {
            Some(attempt) => attempt.run(what).await,
            None => what.await,
        }
    }
}

/// The id that this task's attempt gives to what it makes.
pub(crate) fn take_object() -> Option<Ulid> {
    let take = |attempt: &Attempt| {
        attempt.0.is_used.store(true, Ordering::Relaxed);
        attempt.0.object
    };
    CURRENT.try_with(take).ok()
}

/// Whether an attempt before this task's may have made this.
pub(crate) fn may_be_there(id: Ulid) -> bool {
    CURRENT.try_with(|attempt| attempt.0.is_again && attempt.0.object == id).unwrap_or(false)
}

/// Last in every transaction: says that this attempt has done something.
pub(crate) async fn mark(tx: &mut Tx) -> Result<(), StoreError> {
    let Ok(attempt) = CURRENT.try_with(Attempt::clone) else { return Ok(()) };
    let object =
        if attempt.0.is_used.load(Ordering::Relaxed) { attempt.0.object.to_string() } else { SOMETHING.to_owned() };
    match tx.execute(attempt.bound(&sql::MARK_IDEMPOTENT).text(object)).await? {
        0 => Err(StoreError::Conflict("another attempt")),
        _ => Ok(()),
    }
}

use std::sync::Arc;

use sqlx::{Any, Transaction};
use tokio::sync::Notify;

use crate::{attempt, catalogue::Bound, error::StoreError, row::Row};

/// A transaction that writes. Dropped without [`Tx::commit`], it leaves nothing.
pub(crate) struct Tx {
    inner: Transaction<'static, Any>,
    /// Rung once it is durable, if [`Tx::ring`] was called.
    bell: Arc<Notify>,
    rings: bool,
}

impl Tx {
    pub(crate) const fn new(inner: Transaction<'static, Any>, bell: Arc<Notify>) -> Self {
        Self { inner, bell, rings: false }
    }

    /// An event was written: whoever delivers is woken when it is durable.
    pub(crate) const fn ring(&mut self) {
        self.rings = true;
    }

    /// Runs a statement; the answer is how many rows it changed.
    pub(crate) async fn execute(&mut self, bound: Bound) -> Result<u64, StoreError> {
        let done = bound.query.execute(&mut *self.inner).await;
        Ok(done.map_err(|error| StoreError::from_statement(bound.name, &error))?.rows_affected())
    }

    /// Runs a statement that must change a row: [`StoreError::NotFound`] when it changes none.
    pub(crate) async fn change(&mut self, bound: Bound) -> Result<(), StoreError> {
        if self.execute(bound).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Every row, to the end: a `RETURNING` that is left half read may not be done.
    pub(crate) async fn rows(&mut self, bound: Bound) -> Result<Vec<Row>, StoreError> {
        let name = bound.name;
        let rows = bound.query.fetch_all(&mut *self.inner).await;
        let rows = rows.map_err(|error| StoreError::from_statement(name, &error))?;
        Ok(rows.into_iter().map(|row| Row::new(name, row)).collect())
    }

    /// The first row.
    pub(crate) async fn row(&mut self, bound: Bound) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(bound).await?.into_iter().next())
    }

    /// What a statement has counted as `total`.
    pub(crate) async fn total(&mut self, bound: Bound) -> Result<u64, StoreError> {
        self.row(bound).await?.ok_or(StoreError::NotFound)?.count("total")
    }

    /// Makes it durable. Of an attempt at a request that must happen once, this says that something was done.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        attempt::mark(&mut self).await?;
        let bell = self.rings.then(|| Arc::clone(&self.bell));
        self.finish().await?;
        if let Some(bell) = bell {
            bell.notify_one();
        }
        Ok(())
    }

    /// Makes it durable, then answers.
    #[cfg(not(feature = "fault-ack-early"))]
    async fn finish(self) -> Result<(), StoreError> {
        self.inner.commit().await.map_err(|error| StoreError::from_statement("commit", &error))
    }

    /// Answers, then makes it durable: the fault that the crash rig must find.
    #[cfg(feature = "fault-ack-early")]
    #[expect(clippy::unused_async, reason = "the same shape as the commit that waits")]
    async fn finish(self) -> Result<(), StoreError> {
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            if let Err(error) = self.inner.commit().await {
                tracing::error!(%error, "the early answer was wrong");
            }
        });
        Ok(())
    }
}

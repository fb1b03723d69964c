use crate::{
    catalogue::{Bound, installation as sql},
    error::StoreError,
    store::Store,
};

/// Which node serves from this database, and how often it has said so. Whether that is long ago is
/// for each to judge by its own steady clock, from when it saw the beat change: two machines need not
/// agree what time it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The node, by a name that it has made up for this start.
    pub node: String,
    /// Counts up with every renewal.
    pub beat: u64,
}

impl Store {
    /// Who has the lease; `None` when nobody has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lease(&self) -> Result<Option<Lease>, StoreError> {
        let rows = self.rows_from(&self.pools().lease, sql::LEASE.bound()).await?;
        rows.first().map(|row| Ok(Lease { node: row.string("node")?, beat: row.count("beat")? })).transpose()
    }

    /// Takes the lease for `node` if it is still as `seen`; whether it did. Of several that try, one does.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn take_lease(&self, node: &str, seen: Option<&Lease>) -> Result<bool, StoreError> {
        let now = self.now();
        let take = match seen {
            None => sql::TAKE_FREE_LEASE.bound().text(node).time(now),
            Some(seen) => sql::TAKE_STALE_LEASE.bound().text(node).time(now).text(&seen.node).count(seen.beat),
        };
        Ok(self.set_lease(take).await? > 0)
    }

    /// A sign of life of `node`; false when it no longer has the lease.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn renew_lease(&self, node: &str) -> Result<bool, StoreError> {
        Ok(self.set_lease(sql::RENEW_LEASE.bound().text(node).time(self.now())).await? > 0)
    }

    /// Gives the lease up, so that the next start need not wait. Nothing when another node has it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn release_lease(&self, node: &str) -> Result<(), StoreError> {
        self.set_lease(sql::RELEASE_LEASE.bound().text(node)).await.map(|_| ())
    }

    /// A transaction of one statement, on the lease's own connection.
    async fn set_lease(&self, bound: Bound) -> Result<u64, StoreError> {
        let done = bound.query.execute(&self.pools().lease).await;
        Ok(done.map_err(|error| StoreError::from_statement(bound.name, &error))?.rows_affected())
    }
}

use ambient::{DeploymentId, Millis, RunId, Ulid};

use super::Workspace;
use crate::{catalogue::ceilings as sql, error::StoreError};

impl Workspace {
    /// How many runs of a deployment were started since a moment; by one origin, if asked.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn count_runs_since(
        &self,
        deployment: DeploymentId,
        since: Millis,
        origin: Option<&str>,
    ) -> Result<u64, StoreError> {
        // An id begins with its time.
        let first = RunId(Ulid(u128::try_from(since.0).unwrap_or(0) << 80));
        let count = self.own(&sql::RUN_COUNT_SINCE).id(deployment).id(first).text(origin.unwrap_or("%"));
        self.store.total(count).await
    }

    /// How many events of a kind the runs of a deployment have had since a moment, of one origin or of any.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn count_events_since(
        &self,
        deployment: DeploymentId,
        since: Millis,
        kind: &str,
        origin: Option<&str>,
    ) -> Result<u64, StoreError> {
        let count = self.own(&sql::EVENT_COUNT_SINCE).id(deployment).time(since).text(kind).text(origin.unwrap_or("%"));
        self.store.total(count).await
    }
}

use ambient::RunId;

use super::{Workspace, runs::run_record};
use crate::{
    catalogue::{Bound, Statement, runs as sql},
    error::StoreError,
    participation::{RunRange, RunRecord},
};

impl Workspace {
    /// Runs of a deployment with their states, the oldest first, over or not; without their inputs. A state
    /// may be a mebibyte: ask for few at a time.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_results(&self, range: &RunRange, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let bound = self.ranged(&sql::RUN_RESULTS, range).count(limit);
        self.store.rows(bound).await?.iter().map(run_record).collect()
    }

    /// The same, the newest first, behind so many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn newest_run_results(
        &self,
        range: &RunRange,
        limit: u32,
        offset: u64,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let bound = self.ranged(&sql::NEWEST_RUN_RESULTS, range).count(limit).count(offset);
        self.store.rows(bound).await?.iter().map(run_record).collect()
    }

    /// How many runs of a deployment there are in a range.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_result_count(&self, range: &RunRange) -> Result<u64, StoreError> {
        self.store.total(self.ranged(&sql::RUN_RESULT_COUNT, range)).await
    }

    /// What participants answered in a run, in order: the facts of the events, JSON. Nothing when there is no
    /// such run.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_answers(&self, run: RunId, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = self.store.rows(self.own(&sql::RUN_ANSWERS).id(run).count(limit)).await?;
        rows.iter().map(|row| row.string("data")).collect()
    }

    fn ranged(&self, statement: &Statement, range: &RunRange) -> Bound {
        let bound = self.own(statement).id(range.deployment).id(range.after).id(range.last);
        bound.text(range.status.as_deref().unwrap_or_default())
    }
}

use ambient::RunId;

use super::{Workspace, runs::run_record};
use crate::{
    catalogue::{Bound, Statement, runs as sql},
    error::StoreError,
    participation::{RunRange, RunRecord},
    row::Row,
};

impl Workspace {
    /// Runs of a deployment with their states, the oldest first, over or not; without their inputs. A state
    /// may be a mebibyte: ask for their sizes first.
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

    /// The runs that [`Self::run_results`] reads, and the bytes of their states, which are not read here.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_result_sizes(&self, range: &RunRange, limit: u32) -> Result<Vec<(RunId, u64)>, StoreError> {
        let bound = self.ranged(&sql::RUN_RESULT_SIZES, range).count(limit);
        self.store.rows(bound).await?.iter().map(size).collect()
    }

    /// The same of [`Self::newest_run_results`].
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn newest_run_result_sizes(
        &self,
        range: &RunRange,
        limit: u32,
        offset: u64,
    ) -> Result<Vec<(RunId, u64)>, StoreError> {
        let bound = self.ranged(&sql::NEWEST_RUN_RESULT_SIZES, range).count(limit).count(offset);
        self.store.rows(bound).await?.iter().map(size).collect()
    }

    /// How many runs of a deployment there are in a range.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_result_count(&self, range: &RunRange) -> Result<u64, StoreError> {
        self.store.total(self.ranged(&sql::RUN_RESULT_COUNT, range)).await
    }

    /// What participants answered in a run after an event's number, in order: numbers and facts of the events,
    /// JSON. Nothing when there is no such run.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_answers(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        let rows = self.store.rows(self.own(&sql::RUN_ANSWERS).id(run).count(after).count(limit)).await?;
        rows.iter().map(|row| Ok((row.count("seq")?, row.string("data")?))).collect()
    }

    fn ranged(&self, statement: &Statement, range: &RunRange) -> Bound {
        let bound = self.own(statement).id(range.deployment).id(range.after).id(range.last);
        bound.text(range.status.as_deref().unwrap_or_default())
    }
}

fn size(row: &Row) -> Result<(RunId, u64), StoreError> {
    Ok((row.id("id")?, row.count("size")?))
}

use std::collections::BTreeMap;

use access::Tenant;
use ambient::Millis;

use super::Workspace;
use crate::{catalogue::outcomes as sql, error::StoreError, store::Store};

/// Hours that are kept: 32 days.
const HOURS_KEPT: i64 = 32 * 24;
const HOUR: i64 = 3_600_000;

/// How often callers came to the same end in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeCount {
    /// Whole hours since 1970-01-01T00, UTC.
    pub hour: i64,
    /// The code of the refusal, or [`OutcomeCount::LET_IN`].
    pub code: String,
    /// How many requests.
    pub requests: u64,
}

impl OutcomeCount {
    /// What stands for a code where nothing was refused.
    pub const LET_IN: &'static str = "OK";
}

impl Store {
    /// Adds what was counted, all or nothing.
    ///
    /// # Errors
    /// When the database cannot be used; then nothing was added.
    pub async fn record_outcomes(&self, counts: &[(Tenant, OutcomeCount)]) -> Result<(), StoreError> {
        // Each place once, and in the same order on every node.
        let mut places: BTreeMap<(String, &str, i64, &str), u64> = BTreeMap::new();
        for (tenant, count) in counts {
            let place = (tenant.workspace.to_string(), tenant.environment.as_str(), count.hour, count.code.as_str());
            let sum = places.entry(place).or_default();
            *sum = sum.saturating_add(count.requests);
        }
        let places: Vec<_> = places.into_iter().collect();
        let mut tx = self.begin().await?;
        for chunk in places.chunks(sql::OUTCOME_ROWS) {
            let mut insert = sql::COUNT_OUTCOMES.bound();
            for ((workspace, environment, hour, code), requests) in chunk {
                insert = insert.id(workspace).text(*environment).count(*hour).text(*code).count(*requests);
            }
            for _ in chunk.len()..sql::OUTCOME_ROWS {
                insert = insert.text("").text("").count(0).text("").count(0);
            }
            tx.execute(insert).await?;
        }
        tx.commit().await
    }

    /// Forgets what is older than 32 days; how many rows.
    pub(crate) async fn sweep_outcomes(&self, now: Millis) -> Result<u64, StoreError> {
        self.execute(sql::SWEEP_OUTCOMES.bound().count(now.0.div_euclid(HOUR) - HOURS_KEPT)).await
    }
}

impl Workspace {
    /// What callers of this environment came to, from an hour to an hour, as far as it is written.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn outcomes(&self, from: i64, to: i64) -> Result<Vec<OutcomeCount>, StoreError> {
        let rows = self.store.rows(self.own(&sql::OUTCOMES).count(from).count(to)).await?;
        let read = |row: &crate::row::Row| {
            Ok(OutcomeCount { hour: row.count("hour")?, code: row.string("code")?, requests: row.count("requests")? })
        };
        rows.iter().map(read).collect()
    }
}

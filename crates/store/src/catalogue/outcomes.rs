//! How often callers were let in or refused, by the hour.

use super::{Statement, statements};

/// A row of [`COUNT_OUTCOMES`]; PostgreSQL wants to be told the types.
macro_rules! outcome_row {
    ($workspace:literal, $environment:literal, $hour:literal, $code:literal, $requests:literal) => {
        concat!(
            "(CAST($",
            $workspace,
            " AS TEXT), CAST($",
            $environment,
            " AS TEXT), CAST($",
            $hour,
            " AS BIGINT), CAST($",
            $code,
            " AS TEXT), CAST($",
            $requests,
            " AS BIGINT))"
        )
    };
}

/// Rows of one [`COUNT_OUTCOMES`].
pub(crate) const OUTCOME_ROWS: usize = 8;

statements! {
    /// Each place once. Rows that are not needed have no code.
    COUNT_OUTCOMES "count_outcomes" concat!(
        "WITH counted (workspace_id, environment, hour, code, requests) AS (VALUES ",
        outcome_row!(1, 2, 3, 4, 5), ", ",
        outcome_row!(6, 7, 8, 9, 10), ", ",
        outcome_row!(11, 12, 13, 14, 15), ", ",
        outcome_row!(16, 17, 18, 19, 20), ", ",
        outcome_row!(21, 22, 23, 24, 25), ", ",
        outcome_row!(26, 27, 28, 29, 30), ", ",
        outcome_row!(31, 32, 33, 34, 35), ", ",
        outcome_row!(36, 37, 38, 39, 40),
        ") INSERT INTO outcomes (workspace_id, environment, hour, code, requests)
        SELECT workspace_id, environment, hour, code, requests FROM counted WHERE code <> ''
        ON CONFLICT (workspace_id, environment, hour, code) DO UPDATE SET
            requests = outcomes.requests + excluded.requests"
    );
    OUTCOMES "outcomes"
        "SELECT hour, code, requests FROM outcomes
        WHERE workspace_id = $1 AND environment = $2 AND hour >= $3 AND hour <= $4 ORDER BY hour, code";
    SWEEP_OUTCOMES "sweep_outcomes" "DELETE FROM outcomes WHERE hour < $1";
}

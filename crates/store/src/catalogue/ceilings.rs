//! What a deployment has used of its ceilings: strictly of one environment, `$2`.

use super::{Statement, statements};

statements! {
    /// `$4` is the first id of a moment, `$5` a pattern of origins.
    RUN_COUNT_SINCE "run_count_since"
        "SELECT COUNT(*) AS total FROM runs
        WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3 AND id >= $4 AND origin LIKE $5";
    EVENT_COUNT_SINCE "event_count_since"
        "SELECT COUNT(*) AS total FROM run_events
        WHERE workspace_id = $1 AND environment = $2 AND created_at >= $4 AND kind = $5 AND run_id IN (
            SELECT id FROM runs
            WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3 AND updated_at >= $4
                AND origin LIKE $6)";
}

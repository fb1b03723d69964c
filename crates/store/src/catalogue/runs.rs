//! Runs, their events and what is still to be done for them: strictly of one environment, `$2`.

use super::{Statement, counted, statements};

macro_rules! runs_where {
    ($input:literal, $state:literal, $which:literal) => {
        concat!(
            "SELECT id, deployment_id, origin, status, ",
            $input,
            " AS input, ",
            $state,
            " AS state, current_step, version, seq, created_at, updated_at, finished_at
            FROM runs WHERE workspace_id = $1 AND environment = $2 ",
            $which
        )
    };
}

macro_rules! effect_columns {
    () => {
        "id, kind, payload, due_at, attempts, created_at"
    };
}

statements! {
    INSERT_RUN "insert_run"
        "INSERT INTO runs (workspace_id, environment, id, deployment_id, origin, status, input, state, current_step,
            version, seq, created_at, updated_at, finished_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, 0, 0, $9, $9, NULL)";
    RUN "run" runs_where!("input", "state", "AND id = $3");
    /// Without inputs and states: a page of them could fill memory.
    RUNS "runs" runs_where!("''", "''", "ORDER BY id DESC LIMIT $3 OFFSET $4");
    RUNS_OF_DEPLOYMENT "runs_of_deployment"
        runs_where!("''", "''", "AND deployment_id = $5 ORDER BY id DESC LIMIT $3 OFFSET $4");
    RUNS_OF_STATUS "runs_of_status"
        runs_where!("''", "''", "AND status = $5 ORDER BY id DESC LIMIT $3 OFFSET $4");
    RUNS_OF_DEPLOYMENT_AND_STATUS "runs_of_deployment_and_status"
        runs_where!("''", "''", "AND deployment_id = $5 AND status = $6 ORDER BY id DESC LIMIT $3 OFFSET $4");
    RUN_COUNT_OF_STATUS "run_count_of_status"
        counted!("FROM runs WHERE workspace_id = $1 AND environment = $2 AND status = $3");
    RUN_COUNT_OF_DEPLOYMENT_AND_STATUS "run_count_of_deployment_and_status"
        counted!("FROM runs WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3 AND status = $4");
    RUN_COUNT "run_count" counted!("FROM runs WHERE workspace_id = $1 AND environment = $2");
    RUN_COUNT_OF_DEPLOYMENT "run_count_of_deployment"
        counted!("FROM runs WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3");
    /// A period is a range of ids, which begin with the time. An empty `$6` is every status.
    RUN_RESULTS "run_results" runs_where!("''", "state",
        "AND deployment_id = $3 AND id > $4 AND id <= $5 AND ($6 = '' OR status = $6) ORDER BY id LIMIT $7");
    NEWEST_RUN_RESULTS "newest_run_results" runs_where!("''", "state",
        "AND deployment_id = $3 AND id > $4 AND id <= $5 AND ($6 = '' OR status = $6)
            ORDER BY id DESC LIMIT $7 OFFSET $8");
    RUN_RESULT_COUNT "run_result_count"
        "SELECT COUNT(*) AS total FROM runs WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3
            AND id > $4 AND id <= $5 AND ($6 = '' OR status = $6)";
    /// How large the states are, without reading them.
    RUN_RESULT_SIZES "run_result_sizes"
        "SELECT id, OCTET_LENGTH(state) AS size FROM runs WHERE workspace_id = $1 AND environment = $2
            AND deployment_id = $3 AND id > $4 AND id <= $5 AND ($6 = '' OR status = $6) ORDER BY id LIMIT $7";
    NEWEST_RUN_RESULT_SIZES "newest_run_result_sizes"
        "SELECT id, OCTET_LENGTH(state) AS size FROM runs WHERE workspace_id = $1 AND environment = $2
            AND deployment_id = $3 AND id > $4 AND id <= $5 AND ($6 = '' OR status = $6)
            ORDER BY id DESC LIMIT $7 OFFSET $8";
    RUN_ANSWERS "run_answers"
        "SELECT seq, data FROM run_events WHERE workspace_id = $1 AND environment = $2 AND run_id = $3
            AND kind = 'step.answered' AND seq > $4 ORDER BY seq LIMIT $5";
    OPEN_RUNS "open_runs"
        "SELECT id FROM runs WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3 AND id > $4
            AND finished_at IS NULL ORDER BY id LIMIT $5";
    /// First in a turn: it locks the row, and finds that somebody else had this turn, or that the run is over.
    TAKE_TURN "take_turn"
        "UPDATE runs SET status = $5, state = $6, current_step = $7, version = version + 1, seq = seq + $8,
            updated_at = $9, finished_at = $10
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND version = $4 AND finished_at IS NULL
        RETURNING deployment_id, origin, input, version, seq, created_at";
    RUN_STANDING "run_standing"
        "SELECT status, current_step FROM runs WHERE workspace_id = $1 AND environment = $2 AND id = $3";

    INSERT_RUN_EVENT "insert_run_event"
        "INSERT INTO run_events (workspace_id, environment, run_id, seq, kind, roles, data, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    RUN_EVENTS "run_events"
        "SELECT seq, kind, roles, data, created_at FROM run_events
        WHERE workspace_id = $1 AND environment = $2 AND run_id = $3 AND seq > $4 ORDER BY seq LIMIT $5";

    INSERT_RUN_EFFECT "insert_run_effect"
        "INSERT INTO run_effects (workspace_id, environment, run_id, id, kind, payload, due_at, attempts, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)";
    RESOLVE_RUN_EFFECT "resolve_run_effect"
        "DELETE FROM run_effects WHERE workspace_id = $1 AND environment = $2 AND run_id = $3 AND id = $4";
    FORGET_RUN_EFFECTS "forget_run_effects"
        "DELETE FROM run_effects WHERE workspace_id = $1 AND environment = $2 AND run_id = $3";
    POSTPONE_RUN_EFFECT "postpone_run_effect"
        "UPDATE run_effects SET due_at = $5, attempts = $6
        WHERE workspace_id = $1 AND environment = $2 AND run_id = $3 AND id = $4";
    RUN_EFFECTS "run_effects" concat!(
        "SELECT ", effect_columns!(), " FROM run_effects
        WHERE workspace_id = $1 AND environment = $2 AND run_id = $3 ORDER BY due_at, id"
    );
    /// Without payloads: many of them could fill memory.
    DUE_RUN_EFFECTS "due_run_effects"
        "SELECT workspace_id, environment, run_id, id, kind, '' AS payload, due_at, attempts, created_at
        FROM run_effects WHERE due_at <= $1 ORDER BY due_at, run_id, id LIMIT $2";
    /// Reads all that is due, however much that is, so that nobody's is hidden behind another's.
    DUE_RUN_EFFECTS_OF_EACH "due_run_effects_of_each"
        "SELECT workspace_id, environment, run_id, id, kind, '' AS payload, due_at, attempts, created_at FROM (
            SELECT workspace_id, environment, run_id, id, kind, due_at, attempts, created_at, ROW_NUMBER() OVER (
                PARTITION BY workspace_id, environment, CASE WHEN kind IN ('ask_bot', 'call_tool') THEN 1 ELSE 0 END
                ORDER BY due_at, run_id, id) AS place
            FROM run_effects WHERE due_at <= $1) AS due
        WHERE place <= $2 ORDER BY place, due_at, run_id, id LIMIT $3";
    NEXT_RUN_EFFECT "next_run_effect" "SELECT MIN(due_at) AS due_at FROM run_effects WHERE due_at > $1";

    BOUND_AT "bound_at"
        "SELECT bound_at FROM run_participants
        WHERE workspace_id = $1 AND environment = $2 AND run_id = $3 AND role = $4";
    /// Inserts nothing when the role was there before.
    BIND_PARTICIPANT "bind_participant"
        "INSERT INTO run_participants (workspace_id, environment, run_id, role, bound_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
}

//! What starts runs besides a key, and which events it has started one for: strictly of one environment, `$2`.

use super::{Statement, statements};

macro_rules! trigger_columns {
    () => {
        "id, deployment_id, kind, name, secret_sealed, schedule, timezone, input, next_at, last_at, last_error,
            created_at, disabled_at"
    };
}

statements! {
    INSERT_TRIGGER "insert_trigger"
        "INSERT INTO triggers (workspace_id, environment, id, deployment_id, kind, name, digest, secret_sealed,
            schedule, timezone, input, next_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    TRIGGER "trigger" concat!(
        "SELECT ", trigger_columns!(), " FROM triggers WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    TRIGGERS_OF_DEPLOYMENT "triggers_of_deployment" concat!(
        "SELECT ", trigger_columns!(),
        " FROM triggers WHERE workspace_id = $1 AND environment = $2 AND deployment_id = $3 ORDER BY id LIMIT $4"
    );
    /// First in every change of a trigger.
    LOCK_TRIGGER "lock_trigger" concat!(
        "UPDATE triggers SET name = name WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ",
        trigger_columns!()
    );
    UPDATE_TRIGGER "update_trigger"
        "UPDATE triggers SET name = $4, secret_sealed = $5, schedule = $6, timezone = $7, input = $8, next_at = $9,
            last_error = $10, disabled_at = $11
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    DELETE_TRIGGER "delete_trigger"
        "DELETE FROM triggers WHERE workspace_id = $1 AND environment = $2 AND id = $3";

    /// Whoever has the token says no more than that.
    TRIGGER_BY_DIGEST "trigger_by_digest" concat!(
        "SELECT workspace_id, environment, ", trigger_columns!(), " FROM triggers WHERE digest = $1"
    );
    RENEW_TRIGGER "renew_trigger"
        "UPDATE triggers SET digest = $4, secret_sealed = $5
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    /// Holds a trigger that is on, and says that it has just started a run.
    FIRE_WEBHOOK "fire_webhook"
        "UPDATE triggers SET last_at = $4, last_error = NULL
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND disabled_at IS NULL";
    /// Takes a time of a schedule: whoever finds another one, or none, came too late.
    TAKE_TRIGGER_TIME "take_trigger_time"
        "UPDATE triggers SET next_at = $5, last_at = $6, last_error = $7
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND next_at = $4 AND disabled_at IS NULL";
    DISABLE_TRIGGER "disable_trigger"
        "UPDATE triggers SET next_at = NULL, last_error = $5, disabled_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    TRIGGER_COUNT "trigger_count"
        "SELECT COUNT(*) AS total FROM triggers WHERE workspace_id = $1 AND environment = $2";
    /// Tenants take turns: one that has many keeps nobody waiting.
    DUE_TRIGGERS "due_triggers"
        "SELECT workspace_id, environment, id, next_at FROM (
            SELECT workspace_id, environment, id, next_at, ROW_NUMBER() OVER (
                PARTITION BY workspace_id, environment ORDER BY next_at, id) AS place
            FROM triggers WHERE next_at <= $1) AS due
        ORDER BY place, next_at, id LIMIT $2";
    NEXT_TRIGGER "next_trigger" "SELECT MIN(next_at) AS next_at FROM triggers WHERE next_at > $1";

    TRIGGER_DELIVERY "trigger_delivery"
        "SELECT run_id FROM trigger_deliveries
        WHERE workspace_id = $1 AND environment = $2 AND trigger_id = $3 AND delivery_id = $4";
    INSERT_TRIGGER_DELIVERY "insert_trigger_delivery"
        "INSERT INTO trigger_deliveries (workspace_id, environment, trigger_id, delivery_id, run_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    SWEEP_TRIGGER_DELIVERIES "sweep_trigger_deliveries" "DELETE FROM trigger_deliveries WHERE created_at < $1";
}

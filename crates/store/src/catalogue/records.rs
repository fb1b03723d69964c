//! What is kept about requests: the audit log, and the answers to repeated requests.

use super::{Statement, statements};

macro_rules! audit_columns {
    () => {
        "id, created_at, actor_kind, actor_id, action, target_kind, target_id, address, request_id, detail"
    };
}

/// A live tenant sees its whole workspace's, a test tenant what the partial indexes hold.
macro_rules! audit_log {
    ($of_test:expr, $which:expr, $order:literal) => {
        concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit_log WHERE workspace_id = $1",
            $of_test,
            $which,
            " ORDER BY ",
            $order,
            " LIMIT $2 OFFSET $3"
        )
    };
}
/// How many there are, as far as `LIMIT` counts.
macro_rules! audit_count {
    ($of_test:expr, $which:expr) => {
        concat!(
            "SELECT COUNT(*) AS total FROM (SELECT 1 AS one FROM audit_log WHERE workspace_id = $1",
            $of_test,
            $which,
            " LIMIT $2 OFFSET $3) AS counted"
        )
    };
}
/// What lies between two records; an empty text asks for nothing. The pairs say `action = $6`, and leave no index but
/// the one of both: SQLite takes the primary key's where it can.
macro_rules! of {
    (all) => {
        ""
    };
    (test) => {
        " AND environment = 'test'"
    };
    (time) => {
        " AND id > $4 AND id < $5"
    };
    (action) => {
        " AND (action, id) > ($6, $4) AND (action, id) < ($6, $5)"
    };
    (actor) => {
        " AND (actor_id, id) > ($6, $4) AND (actor_id, id) < ($6, $5) AND ($7 = '' OR action = $7)"
    };
    (target) => {
        " AND (target_id, id) > ($6, $4) AND (target_id, id) < ($6, $5)
            AND ($7 = '' OR action = $7) AND ($8 = '' OR actor_id = $8)"
    };
}

statements! {
    INSERT_AUDIT "insert_audit"
        "INSERT INTO audit_log (workspace_id, environment, id, created_at, actor_kind, actor_id, action, target_kind,
            target_id, address, request_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    AUDIT "audit" audit_log!(of!(all), of!(time), "id DESC");
    AUDIT_AFTER "audit_after" audit_log!(of!(all), of!(time), "id");
    AUDIT_COUNT "audit_count" audit_count!(of!(all), of!(time));
    AUDIT_OF_TEST "audit_of_test" audit_log!(of!(test), of!(time), "id DESC");
    AUDIT_AFTER_OF_TEST "audit_after_of_test" audit_log!(of!(test), of!(time), "id");
    AUDIT_COUNT_OF_TEST "audit_count_of_test" audit_count!(of!(test), of!(time));
    AUDIT_OF_ACTION "audit_of_action" audit_log!(of!(all), of!(action), "action DESC, id DESC");
    AUDIT_AFTER_OF_ACTION "audit_after_of_action" audit_log!(of!(all), of!(action), "action, id");
    AUDIT_COUNT_OF_ACTION "audit_count_of_action" audit_count!(of!(all), of!(action));
    AUDIT_OF_ACTION_OF_TEST "audit_of_action_of_test" audit_log!(of!(test), of!(action), "action DESC, id DESC");
    AUDIT_AFTER_OF_ACTION_OF_TEST "audit_after_of_action_of_test" audit_log!(of!(test), of!(action), "action, id");
    AUDIT_COUNT_OF_ACTION_OF_TEST "audit_count_of_action_of_test" audit_count!(of!(test), of!(action));
    AUDIT_OF_ACTOR "audit_of_actor" audit_log!(of!(all), of!(actor), "actor_id DESC, id DESC");
    AUDIT_AFTER_OF_ACTOR "audit_after_of_actor" audit_log!(of!(all), of!(actor), "actor_id, id");
    AUDIT_COUNT_OF_ACTOR "audit_count_of_actor" audit_count!(of!(all), of!(actor));
    AUDIT_OF_ACTOR_OF_TEST "audit_of_actor_of_test" audit_log!(of!(test), of!(actor), "actor_id DESC, id DESC");
    AUDIT_AFTER_OF_ACTOR_OF_TEST "audit_after_of_actor_of_test" audit_log!(of!(test), of!(actor), "actor_id, id");
    AUDIT_COUNT_OF_ACTOR_OF_TEST "audit_count_of_actor_of_test" audit_count!(of!(test), of!(actor));
    AUDIT_OF_TARGET "audit_of_target" audit_log!(of!(all), of!(target), "target_id DESC, id DESC");
    AUDIT_AFTER_OF_TARGET "audit_after_of_target" audit_log!(of!(all), of!(target), "target_id, id");
    AUDIT_COUNT_OF_TARGET "audit_count_of_target" audit_count!(of!(all), of!(target));
    AUDIT_OF_TARGET_OF_TEST "audit_of_target_of_test" audit_log!(of!(test), of!(target), "target_id DESC, id DESC");
    AUDIT_AFTER_OF_TARGET_OF_TEST "audit_after_of_target_of_test" audit_log!(of!(test), of!(target), "target_id, id");
    AUDIT_COUNT_OF_TARGET_OF_TEST "audit_count_of_target_of_test" audit_count!(of!(test), of!(target));

    INSERT_IDEMPOTENT "insert_idempotent"
        "INSERT INTO idempotency (workspace_id, environment, caller_id, operation, idempotency_key, fingerprint,
            status, body, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, $7) ON CONFLICT DO NOTHING";
    IDEMPOTENT "idempotent"
        "SELECT fingerprint, status, body, created_at, object_id FROM idempotency
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5";
    /// Only one of two that find the same remains gets them. Where something was done, it is still the same request.
    TAKE_OVER_IDEMPOTENT "take_over_idempotent"
        "UPDATE idempotency SET fingerprint = $6, created_at = $7
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5
            AND created_at = $8 AND status IS NULL AND (object_id IS NULL OR fingerprint = $6)
        RETURNING object_id";
    /// An answer that is too old to be given again: a new request.
    RENEW_IDEMPOTENT "renew_idempotent"
        "UPDATE idempotency SET fingerprint = $6, status = NULL, body = NULL, object_id = NULL, created_at = $7
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5
            AND created_at = $8";
    /// In the transaction of what was done. Changes nothing when another attempt has taken over.
    MARK_IDEMPOTENT "mark_idempotent"
        "UPDATE idempotency SET object_id = $7
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5
            AND created_at = $6 AND status IS NULL";
    /// `created_at` names the attempt: one that was given up and comes back late changes nothing.
    FINISH_IDEMPOTENT "finish_idempotent"
        "UPDATE idempotency SET status = $7, body = $8
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5
            AND created_at = $6 AND status IS NULL";
    ABANDON_IDEMPOTENT "abandon_idempotent"
        "DELETE FROM idempotency
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5
            AND created_at = $6 AND status IS NULL AND (object_id IS NULL OR object_id = $7)";
    /// Whoever comes next goes on at once with what there is.
    RELEASE_IDEMPOTENT "release_idempotent"
        "UPDATE idempotency SET created_at = $7
        WHERE workspace_id = $1 AND environment = $2 AND caller_id = $3 AND operation = $4 AND idempotency_key = $5
            AND created_at = $6 AND status IS NULL";
}

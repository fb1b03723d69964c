//! What is kept about requests: the audit log, and the answers to repeated requests.

use super::{Statement, statements};

macro_rules! audit_columns {
    () => {
        "id, created_at, actor_kind, actor_id, action, target_kind, target_id, address, request_id, detail"
    };
}

statements! {
    INSERT_AUDIT "insert_audit"
        "INSERT INTO audit_log (workspace_id, environment, id, created_at, actor_kind, actor_id, action, target_kind,
            target_id, address, request_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    AUDIT "audit" concat!(
        "SELECT ", audit_columns!(),
        " FROM audit_log WHERE workspace_id = $1 AND environment IN ($2, $3) ORDER BY id DESC LIMIT $4 OFFSET $5"
    );
    AUDIT_OF_ACTION "audit_of_action" concat!(
        "SELECT ", audit_columns!(),
        " FROM audit_log WHERE workspace_id = $1 AND environment IN ($2, $3) AND action = $6
        ORDER BY id DESC LIMIT $4 OFFSET $5"
    );
    AUDIT_AFTER "audit_after" concat!(
        "SELECT ", audit_columns!(),
        " FROM audit_log WHERE workspace_id = $1 AND environment IN ($2, $3) AND id > $5 ORDER BY id LIMIT $4"
    );
    AUDIT_AFTER_OF_ACTION "audit_after_of_action" concat!(
        "SELECT ", audit_columns!(),
        " FROM audit_log WHERE workspace_id = $1 AND environment IN ($2, $3) AND id > $5 AND action = $6
        ORDER BY id LIMIT $4"
    );
    AUDIT_COUNT "audit_count"
        "SELECT COUNT(*) AS total FROM audit_log WHERE workspace_id = $1 AND environment IN ($2, $3)";
    AUDIT_COUNT_OF_ACTION "audit_count_of_action"
        "SELECT COUNT(*) AS total FROM audit_log WHERE workspace_id = $1 AND environment IN ($2, $3) AND action = $4";

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

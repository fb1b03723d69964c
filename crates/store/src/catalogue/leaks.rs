//! Keys that were found where they should not be, and what a report does. A live tenant sees both environments'.

use super::{Statement, counted, statements};

statements! {
    LEAK_POLICY "leak_policy" "SELECT leak_policy, leak_grace_seconds FROM workspaces WHERE id = $1";
    LEAKS_OF_KEY "leaks_of_key"
        "SELECT COUNT(*) AS total,
            COUNT(CASE WHEN source = $3 AND COALESCE(url, '') = $4 THEN 1 END) AS same
        FROM leaks WHERE workspace_id = $1 AND key_id = $2";
    INSERT_LEAK "insert_leak"
        "INSERT INTO leaks (workspace_id, environment, id, key_id, action, source, url, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    LEAKS "leaks"
        "SELECT id, environment, key_id, action, source, url, created_at FROM leaks
        WHERE workspace_id = $1 AND environment IN ($2, $3) ORDER BY id DESC LIMIT $4 OFFSET $5";
    LEAK_COUNT "leak_count"
        counted!("FROM leaks WHERE workspace_id = $1 AND environment IN ($2, $3)");
    /// Who has made the newest secret of a key.
    ROTATED_BY "rotated_by"
        "SELECT actor_kind, actor_id FROM audit_log
        WHERE workspace_id = $1 AND action = 'rotate_api_key' AND target_id = $2 AND created_at >= $3
        ORDER BY id DESC LIMIT 1";
    OLDER_KEY "older_key"
        "SELECT COUNT(*) AS total FROM api_keys WHERE workspace_id = $1 AND id = $2 AND created_at <= $3";
    /// One secret in its grace.
    END_SECRET "end_secret"
        "UPDATE api_key_secrets SET expires_at = $4
        WHERE workspace_id = $1 AND key_id = $2 AND digest = $3 AND expires_at IS NOT NULL";
    /// The newest secret, which nobody was shown: the one before it keeps its end.
    DROP_UNSEEN "drop_unseen"
        "DELETE FROM api_key_secrets WHERE workspace_id = $1 AND key_id = $2 AND expires_at IS NULL";
    EXPIRE_KEY "expire_key"
        "UPDATE api_keys SET expires_at = CASE WHEN expires_at < $3 THEN expires_at ELSE $3 END
        WHERE workspace_id = $1 AND id = $2";
}

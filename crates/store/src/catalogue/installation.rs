use super::{Statement, statements};

statements! {
    SCHEMA_VERSION "schema_version" "SELECT COALESCE(MAX(version), 0) AS version FROM schema_migrations";
    INSERT_SCHEMA_VERSION "insert_schema_version"
        "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)";
    PING "ping" "SELECT CAST(1 AS BIGINT) AS one";
    META "meta" "SELECT value FROM meta WHERE name = $1";
    SET_META "set_meta"
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    SET_META_IF_ABSENT "set_meta_if_absent"
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    DELETE_META "delete_meta" "DELETE FROM meta WHERE name = $1";
    TAKE_META "take_meta" "DELETE FROM meta WHERE name = $1 RETURNING value";
    WORKSPACE_COUNT "workspace_count" "SELECT COUNT(*) AS total FROM workspaces";
    MEMBER_COUNT "member_count" "SELECT COUNT(*) AS total FROM members";
    OLDEST_WORKSPACE "oldest_workspace"
        "SELECT id, name, rate_limit, leak_policy, leak_grace_seconds, created_at FROM workspaces
        ORDER BY created_at, id LIMIT 1";
    WORKSPACE "workspace"
        "SELECT id, name, rate_limit, leak_policy, leak_grace_seconds, created_at FROM workspaces WHERE id = $1";
    INSERT_WORKSPACE "insert_workspace"
        "INSERT INTO workspaces (id, name, rate_limit, created_at) VALUES ($1, $2, NULL, $3)";
    RENAME_WORKSPACE "rename_workspace" "UPDATE workspaces SET name = $2 WHERE id = $1 RETURNING created_at";
    INSERT_MEMBER "insert_member"
        "INSERT INTO members (workspace_id, id, email, role, name, password_hash, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LEASE "lease" "SELECT node, beat FROM node_lease WHERE name = 'installation'";
    TAKE_FREE_LEASE "take_free_lease"
        "INSERT INTO node_lease (name, node, beat, renewed_at) VALUES ('installation', $1, 1, $2)
        ON CONFLICT (name) DO NOTHING";
    /// Compares and sets: nothing when its owner has given a sign of life since.
    TAKE_STALE_LEASE "take_stale_lease"
        "UPDATE node_lease SET node = $1, beat = 1, renewed_at = $2
        WHERE name = 'installation' AND node = $3 AND beat = $4";
    RENEW_LEASE "renew_lease"
        "UPDATE node_lease SET beat = beat + 1, renewed_at = $2 WHERE name = 'installation' AND node = $1";
    RELEASE_LEASE "release_lease" "DELETE FROM node_lease WHERE name = 'installation' AND node = $1";
    SWEEP_IDEMPOTENCY "sweep_idempotency" "DELETE FROM idempotency WHERE created_at < $1";
}

//! What people at the dashboard need: proofs of who they are, and counts by the hour.

/// See [`crate::schema::MIGRATIONS`].
pub(crate) const DASHBOARD: &[&str] = &[
    // When the person last proved, in this browser, who it is: what is dangerous asks for that again after a while.
    "ALTER TABLE member_sessions ADD COLUMN confirmed_at BIGINT NOT NULL DEFAULT 0",
    "UPDATE member_sessions SET confirmed_at = created_at",
    // A second factor (RFC 6238). `totp_step`: the last one that was used, none is used twice. Without
    // `totp_confirmed_at` it was begun and is not asked for.
    "ALTER TABLE members ADD COLUMN totp_sealed BLOB",
    "ALTER TABLE members ADD COLUMN totp_confirmed_at BIGINT",
    "ALTER TABLE members ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0",
    // For who has lost the second factor; each is used once.
    "CREATE TABLE member_recovery_codes (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        member_id TEXT COLLATE \"C\" NOT NULL,
        digest TEXT COLLATE \"C\" NOT NULL,
        used_at BIGINT,
        PRIMARY KEY (workspace_id, member_id, digest),
        FOREIGN KEY (workspace_id, member_id) REFERENCES members (workspace_id, id) ON DELETE CASCADE
    ) STRICT",
    // `hour`: since 1970-01-01T00, UTC. Kept for some days; `key_usage` has the days.
    "CREATE TABLE key_usage_hours (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        key_id TEXT COLLATE \"C\" NOT NULL,
        hour BIGINT NOT NULL,
        requests BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, key_id, hour)
    ) STRICT",
    "CREATE INDEX key_usage_hours_by_age ON key_usage_hours (hour)",
    // How often a workspace's callers were refused, and why.
    "CREATE TABLE refusals (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        hour BIGINT NOT NULL,
        code TEXT COLLATE \"C\" NOT NULL,
        requests BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, hour, code)
    ) STRICT",
    "CREATE INDEX refusals_by_age ON refusals (hour)",
];

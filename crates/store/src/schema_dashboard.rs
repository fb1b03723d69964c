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
    // Lists of 100,000 keys are sorted and filtered in their indexes; the name without its case, as it is searched.
    "ALTER TABLE api_keys ADD COLUMN folded_name TEXT COLLATE \"C\" NOT NULL DEFAULT ''",
    "UPDATE api_keys SET folded_name = LOWER(name)",
    "DROP INDEX api_keys_by_workspace",
    "CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, id, environment, kind, service_account_id, revoked_at,
        expires_at, folded_name)",
    "DROP INDEX api_keys_by_service_account",
    "CREATE INDEX api_keys_by_service_account ON api_keys (workspace_id, service_account_id, id, environment, kind,
        revoked_at, expires_at, folded_name)",
    "CREATE INDEX api_keys_by_name ON api_keys (workspace_id, folded_name, id, environment, kind, service_account_id,
        revoked_at, expires_at)",
    "CREATE INDEX api_keys_by_expiry ON api_keys (workspace_id, (COALESCE(expires_at, 9223372036854775807)), id,
        environment, kind, service_account_id, revoked_at, expires_at, folded_name)",
    "CREATE INDEX api_keys_by_kind ON api_keys (workspace_id, kind, id, environment, service_account_id, revoked_at,
        expires_at, folded_name)",
    "CREATE INDEX api_keys_revoked ON api_keys (workspace_id, id, environment, kind, service_account_id, expires_at,
        folded_name, revoked_at) WHERE revoked_at IS NOT NULL",
    "CREATE INDEX api_keys_of_test ON api_keys (workspace_id, id, kind, service_account_id, revoked_at, expires_at,
        folded_name, environment) WHERE environment = 'test'",
    "CREATE INDEX api_key_secrets_by_use ON api_key_secrets (workspace_id, (COALESCE(last_used_at, 0)), key_id)",
    "CREATE INDEX api_key_secrets_by_display ON api_key_secrets (workspace_id, display)",
    // How often a workspace's callers were let in (`OK`) or refused, and why. `hour`: as above.
    "CREATE TABLE outcomes (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        hour BIGINT NOT NULL,
        code TEXT COLLATE \"C\" NOT NULL,
        requests BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, hour, code)
    ) STRICT",
    "CREATE INDEX outcomes_by_age ON outcomes (hour)",
    // A log of a million: what little a test tenant has in it is not looked for among the rest, nor one thing's history.
    "CREATE INDEX audit_log_of_test ON audit_log (workspace_id, id) WHERE environment = 'test'",
    "CREATE INDEX audit_log_of_test_by_action ON audit_log (workspace_id, action, id) WHERE environment = 'test'",
    "CREATE INDEX audit_log_of_test_by_actor ON audit_log (workspace_id, actor_id, id) WHERE environment = 'test'",
    "CREATE INDEX audit_log_of_test_by_target ON audit_log (workspace_id, target_id, id) WHERE environment = 'test'",
    "CREATE INDEX audit_log_by_actor ON audit_log (workspace_id, actor_id, id)",
    "CREATE INDEX audit_log_by_target ON audit_log (workspace_id, target_id, id)",
    // What conversations are filtered by, and what usage is summed up from, without their rows.
    "CREATE INDEX conversations_by_filter
        ON conversations (workspace_id, environment, id, channel, bot_id, channel_id, ended_at)",
    "DROP INDEX conversations_by_bot",
    "CREATE INDEX conversations_by_bot
        ON conversations (workspace_id, environment, bot_id, id, channel, channel_id, ended_at)",
    "CREATE INDEX conversations_by_door
        ON conversations (workspace_id, environment, channel, id, bot_id, channel_id, ended_at)",
    "CREATE INDEX conversations_open ON conversations (workspace_id, environment, id, channel, bot_id, channel_id, ended_at)
        WHERE ended_at IS NULL",
    "CREATE INDEX conversations_ended ON conversations (workspace_id, environment, id, channel, bot_id, channel_id, ended_at)
        WHERE ended_at IS NOT NULL",
    "CREATE INDEX key_usage_of_key ON key_usage (workspace_id, environment, key_id, day, requests, refused)",
    "CREATE INDEX key_usage_summed ON key_usage (workspace_id, environment, day, key_id, requests, refused)",
    "CREATE INDEX key_usage_ranked ON key_usage (workspace_id, environment, day, requests DESC, key_id)",
    // The sums of `key_usage`, written with it: of all keys by the day, of each key by the month. `month`: its first day.
    "CREATE TABLE usage_days (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        day BIGINT NOT NULL,
        requests BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, day)
    ) STRICT",
    "CREATE INDEX usage_days_by_age ON usage_days (day)",
    "INSERT INTO usage_days (workspace_id, environment, day, requests, refused)
        SELECT workspace_id, environment, day, CAST(SUM(requests) AS BIGINT), CAST(SUM(refused) AS BIGINT)
        FROM key_usage GROUP BY workspace_id, environment, day",
    "CREATE TABLE key_usage_months (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        key_id TEXT COLLATE \"C\" NOT NULL,
        month BIGINT NOT NULL,
        requests BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, key_id, month)
    ) STRICT",
    "CREATE INDEX key_usage_months_by_age ON key_usage_months (month)",
    "CREATE INDEX key_usage_months_ranked ON key_usage_months (workspace_id, environment, month, requests DESC, key_id)",
    // As `month_of` in Rust: the day in its 400 years, their year, the day in that, from March.
    "INSERT INTO key_usage_months (workspace_id, environment, key_id, month, requests, refused)
        SELECT workspace_id, environment, key_id, month, CAST(SUM(requests) AS BIGINT), CAST(SUM(refused) AS BIGINT)
        FROM (
            SELECT k.*, day - day_of_year + (153 * ((5 * day_of_year + 2) / 153) + 2) / 5 AS month FROM (
                SELECT j.*, day_of_era - (365 * years + years / 4 - years / 100) AS day_of_year FROM (
                    SELECT i.*, (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365 AS years
                    FROM (SELECT h.*, (day + 719468) % 146097 AS day_of_era FROM key_usage h) i
                ) j
            ) k
        ) l GROUP BY workspace_id, environment, key_id, month",
    // What a workflow was before it was changed: the last hundred of each.
    "CREATE TABLE workflow_versions (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        workflow_id TEXT COLLATE \"C\" NOT NULL,
        version BIGINT NOT NULL,
        definition TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, workflow_id, version),
        FOREIGN KEY (workspace_id, environment, workflow_id)
            REFERENCES workflows (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "INSERT INTO workflow_versions (workspace_id, environment, workflow_id, version, definition, created_at)
        SELECT workspace_id, environment, id, version, definition, updated_at FROM workflows",
    "CREATE INDEX runs_by_status ON runs (workspace_id, environment, status, id)",
];

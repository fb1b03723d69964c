//! The tables, in words that [`crate::dialect::Dialect::translate`] turns into each database's own.
//!
//! Only TEXT, BIGINT and BLOB: times are milliseconds, ids prefixed text, digests base64url,
//! sets and settings JSON text.
//! What belongs to a tenant has the workspace first in its primary key, so that a workspace is the
//! unit of sharding; what belongs to one environment has that second, and references carry both.
//! Text that is compared or sorted is `COLLATE "C"`: both databases then sort alike.

/// A step that brings the schema from one version to the next, in one transaction.
pub(crate) struct Migration {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) statements: &'static [&'static str],
}

/// Every step, oldest first. A released step is never edited: append another.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "the door", statements: THE_DOOR },
    Migration { version: 2, name: "one node at a time", statements: ONE_NODE },
    Migration { version: 3, name: "browsers", statements: BROWSERS },
    Migration { version: 4, name: "participants", statements: PARTICIPANTS },
    Migration { version: 5, name: "triggers and connections", statements: TRIGGERS },
    Migration { version: 6, name: "workspaces", statements: crate::schema_workspaces::WORKSPACES },
    Migration { version: 7, name: "dashboard", statements: crate::schema_dashboard::DASHBOARD },
];

const THE_DOOR: &[&str] = &[
    "CREATE TABLE meta (
        name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE workspaces (
        id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        rate_limit BIGINT,
        created_at BIGINT NOT NULL
    ) STRICT",
    "CREATE TABLE members (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        id TEXT COLLATE \"C\" NOT NULL,
        email TEXT COLLATE \"C\" NOT NULL UNIQUE,
        role TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
    "CREATE TABLE service_accounts (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        role TEXT NOT NULL,
        scopes TEXT NOT NULL,
        disabled_at BIGINT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
    // The keyring finds a key by its id alone, before it knows the workspace. No reference to the
    // service account: revoked keys outlive it.
    "CREATE TABLE api_keys (
        id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        kind TEXT NOT NULL,
        family TEXT NOT NULL,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        settings TEXT NOT NULL,
        service_account_id TEXT COLLATE \"C\",
        created_by TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        expires_at BIGINT,
        revoked_at BIGINT,
        epoch BIGINT NOT NULL,
        version BIGINT NOT NULL
    ) STRICT",
    "CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, id)",
    "CREATE INDEX api_keys_by_service_account ON api_keys (workspace_id, service_account_id, id)",
    "CREATE TABLE api_key_secrets (
        digest TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        key_id TEXT COLLATE \"C\" NOT NULL REFERENCES api_keys (id),
        pepper_id TEXT NOT NULL,
        display TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        last_used_at BIGINT,
        last_used_ip TEXT,
        uses BIGINT NOT NULL
    ) STRICT",
    "CREATE INDEX api_key_secrets_by_key ON api_key_secrets (key_id)",
    "CREATE TABLE bots (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        greeting TEXT,
        instructions TEXT,
        architecture TEXT NOT NULL,
        context_messages BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    "CREATE TABLE integrations (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        bot_id TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        url TEXT,
        model TEXT,
        headers_sealed BLOB,
        header_names TEXT NOT NULL,
        timeout_seconds BIGINT NOT NULL,
        weight BIGINT NOT NULL,
        fallback BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id),
        FOREIGN KEY (workspace_id, environment, bot_id) REFERENCES bots (workspace_id, environment, id)
            ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX integrations_by_bot ON integrations (workspace_id, environment, bot_id, id)",
    // No reference to the bot: its conversations stay readable when it goes.
    "CREATE TABLE conversations (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        bot_id TEXT COLLATE \"C\" NOT NULL,
        channel TEXT NOT NULL,
        key_id TEXT COLLATE \"C\",
        user_identifier TEXT,
        metadata TEXT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        ended_at BIGINT,
        message_count BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    "CREATE INDEX conversations_by_bot ON conversations (workspace_id, environment, bot_id, id)",
    "CREATE TABLE messages (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        conversation_id TEXT COLLATE \"C\" NOT NULL,
        position BIGINT NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        status TEXT NOT NULL,
        token_count BIGINT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, conversation_id, position),
        FOREIGN KEY (workspace_id, environment, conversation_id)
            REFERENCES conversations (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE TABLE audit_log (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        created_at BIGINT NOT NULL,
        actor_kind TEXT NOT NULL,
        actor_id TEXT NOT NULL,
        action TEXT COLLATE \"C\" NOT NULL,
        target_kind TEXT NOT NULL,
        target_id TEXT NOT NULL,
        address TEXT,
        request_id TEXT,
        detail TEXT,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
    "CREATE INDEX audit_log_by_action ON audit_log (workspace_id, action, id)",
    "CREATE TABLE idempotency (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        caller_id TEXT COLLATE \"C\" NOT NULL,
        operation TEXT COLLATE \"C\" NOT NULL,
        idempotency_key TEXT COLLATE \"C\" NOT NULL,
        fingerprint TEXT NOT NULL,
        status BIGINT,
        body BLOB,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, caller_id, operation, idempotency_key)
    ) STRICT",
    "CREATE INDEX idempotency_by_age ON idempotency (created_at)",
];

/// Which node serves from this database; see [`crate::Lease`].
const ONE_NODE: &[&str] = &["CREATE TABLE node_lease (
        name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        node TEXT COLLATE \"C\" NOT NULL,
        beat BIGINT NOT NULL,
        renewed_at BIGINT NOT NULL
    ) STRICT"];

/// Conversations that a client names itself (seed S4), messages that are sent twice and kept once, and
/// what a workspace has paid for.
const BROWSERS: &[&str] = &[
    "ALTER TABLE conversations ADD COLUMN external_id TEXT COLLATE \"C\"",
    "CREATE UNIQUE INDEX conversations_by_external_id
        ON conversations (workspace_id, environment, channel, external_id)",
    "CREATE INDEX conversations_by_update ON conversations (workspace_id, environment, channel, updated_at)",
    "ALTER TABLE messages ADD COLUMN client_key TEXT COLLATE \"C\"",
    "CREATE UNIQUE INDEX messages_by_client_key
        ON messages (workspace_id, environment, conversation_id, client_key)",
    // What is free plus what is held is what the workspace has left. Without `metered_at` nothing is counted.
    "CREATE TABLE credit_accounts (
        workspace_id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY REFERENCES workspaces (id),
        free BIGINT NOT NULL CHECK (free >= 0),
        held BIGINT NOT NULL CHECK (held >= 0),
        metered_at BIGINT,
        updated_at BIGINT NOT NULL
    ) STRICT",
    "CREATE TABLE credit_holds (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES credit_accounts (workspace_id),
        id TEXT COLLATE \"C\" NOT NULL,
        amount BIGINT NOT NULL,
        conversation_id TEXT COLLATE \"C\",
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
    "CREATE INDEX credit_holds_by_expiry ON credit_holds (expires_at)",
    // Append-only: grants are positive, charges negative.
    "CREATE TABLE credit_entries (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES credit_accounts (workspace_id),
        id TEXT COLLATE \"C\" NOT NULL,
        kind TEXT NOT NULL,
        amount BIGINT NOT NULL,
        conversation_id TEXT COLLATE \"C\",
        note TEXT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
];

/// Workflows, their frozen versions, and what people do in them (seed S0). A deployment and its key have the
/// same number in their ids.
const PARTICIPANTS: &[&str] = &[
    "CREATE TABLE workflows (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        definition TEXT NOT NULL,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    // A stranger names a deployment by its id alone. No reference to the workflow: it may go, the version stays.
    "CREATE TABLE deployments (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL UNIQUE,
        workflow_id TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        version BIGINT NOT NULL,
        definition TEXT NOT NULL,
        survey_mode BIGINT NOT NULL,
        daily_runs BIGINT,
        daily_replies BIGINT,
        created_at BIGINT NOT NULL,
        revoked_at BIGINT,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    "CREATE INDEX deployments_by_workflow ON deployments (workspace_id, environment, workflow_id, id)",
    // `version` counts turns: a turn is written by whoever read the one before.
    "CREATE TABLE runs (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        deployment_id TEXT COLLATE \"C\" NOT NULL,
        origin TEXT NOT NULL,
        status TEXT COLLATE \"C\" NOT NULL,
        input TEXT NOT NULL,
        state TEXT NOT NULL,
        current_step TEXT,
        version BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        finished_at BIGINT,
        PRIMARY KEY (workspace_id, environment, id),
        FOREIGN KEY (workspace_id, environment, deployment_id) REFERENCES deployments (workspace_id, environment, id)
    ) STRICT",
    "CREATE INDEX runs_by_deployment ON runs (workspace_id, environment, deployment_id, id)",
    // `roles`: who may see it, as JSON text; NULL is everybody in the run.
    "CREATE TABLE run_events (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        run_id TEXT COLLATE \"C\" NOT NULL,
        seq BIGINT NOT NULL,
        kind TEXT NOT NULL,
        roles TEXT,
        data TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, run_id, seq),
        FOREIGN KEY (workspace_id, environment, run_id) REFERENCES runs (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    // What is still to be done for a run: deleted in the turn that folds its result in.
    "CREATE TABLE run_effects (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        run_id TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        due_at BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, run_id, id),
        FOREIGN KEY (workspace_id, environment, run_id) REFERENCES runs (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX run_effects_by_due ON run_effects (due_at)",
    "CREATE TABLE run_participants (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        run_id TEXT COLLATE \"C\" NOT NULL,
        role TEXT COLLATE \"C\" NOT NULL,
        bound_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, run_id, role),
        FOREIGN KEY (workspace_id, environment, run_id) REFERENCES runs (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE TABLE triggers (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        deployment_id TEXT COLLATE \"C\" NOT NULL,
        kind TEXT NOT NULL,
        digest TEXT COLLATE \"C\" UNIQUE,
        secret_sealed BLOB,
        schedule TEXT,
        timezone TEXT,
        input TEXT,
        next_at BIGINT,
        created_at BIGINT NOT NULL,
        disabled_at BIGINT,
        PRIMARY KEY (workspace_id, environment, id),
        FOREIGN KEY (workspace_id, environment, deployment_id) REFERENCES deployments (workspace_id, environment, id)
    ) STRICT",
    "CREATE INDEX triggers_by_time ON triggers (next_at)",
];

/// What starts runs besides a key, and the secrets of the tools that runs call.
const TRIGGERS: &[&str] = &[
    // `input_mapping`: declared inputs and the templates that fill them from what a trigger brought, as JSON.
    "ALTER TABLE deployments ADD COLUMN input_mapping TEXT",
    "ALTER TABLE deployments ADD COLUMN runs_per_minute BIGINT",
    "ALTER TABLE deployments ADD COLUMN challenge TEXT NOT NULL DEFAULT 'off'",
    "ALTER TABLE triggers ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE triggers ADD COLUMN last_at BIGINT",
    "ALTER TABLE triggers ADD COLUMN last_error TEXT",
    // One run for a webhook that is delivered twice, and for a time of a schedule.
    "CREATE TABLE trigger_deliveries (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        trigger_id TEXT COLLATE \"C\" NOT NULL,
        delivery_id TEXT COLLATE \"C\" NOT NULL,
        run_id TEXT COLLATE \"C\" NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, trigger_id, delivery_id),
        FOREIGN KEY (workspace_id, environment, trigger_id)
            REFERENCES triggers (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX trigger_deliveries_by_age ON trigger_deliveries (created_at)",
    // The secret goes to this origin and to no other, whatever a template makes of the address.
    "CREATE TABLE connections (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        header_names TEXT NOT NULL,
        headers_sealed BLOB NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
];

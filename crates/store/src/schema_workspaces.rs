//! The tables of workspaces that are run by software and by people: members, webhooks, channels, agent loops, contacts.

/// See [`crate::schema::MIGRATIONS`].
pub(crate) const WORKSPACES: &[&str] = &[
    // `con_` is a contact's from here on. A connection's secrets are sealed under its old name: it is made anew.
    "DELETE FROM connections",
    // The id that the first attempt gave to what it made: a later attempt after a crash finds it by this.
    "ALTER TABLE idempotency ADD COLUMN object_id TEXT COLLATE \"C\"",
    // What happens to a key that is reported as leaked: `revoke`, `rotate` or `notify`.
    "ALTER TABLE workspaces ADD COLUMN leak_policy TEXT NOT NULL DEFAULT 'revoke'",
    "ALTER TABLE workspaces ADD COLUMN leak_grace_seconds BIGINT NOT NULL DEFAULT 3600",
    "ALTER TABLE members ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE members ADD COLUMN updated_at BIGINT",
    "ALTER TABLE members ADD COLUMN last_seen_at BIGINT",
    // A person who is signed in. `digest`: of the cookie's text.
    "CREATE TABLE member_sessions (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        id TEXT COLLATE \"C\" NOT NULL,
        member_id TEXT COLLATE \"C\" NOT NULL,
        digest TEXT COLLATE \"C\" NOT NULL UNIQUE,
        address TEXT,
        user_agent TEXT,
        created_at BIGINT NOT NULL,
        seen_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id),
        FOREIGN KEY (workspace_id, member_id) REFERENCES members (workspace_id, id) ON DELETE CASCADE
    ) STRICT",
    // Used once. `digest`: of the token in the link, which is shown once.
    "CREATE TABLE invitations (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        id TEXT COLLATE \"C\" NOT NULL,
        email TEXT COLLATE \"C\" NOT NULL,
        role TEXT NOT NULL,
        digest TEXT COLLATE \"C\" NOT NULL UNIQUE,
        invited_by TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        accepted_at BIGINT,
        revoked_at BIGINT,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
    // `hmac` under a pepper, or `sha256` of an imported key until it is used for the first time.
    "ALTER TABLE api_key_secrets ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'hmac'",
    // When its owners are to be told something next: of its end, or that it should be rotated. 0: to be worked out.
    "ALTER TABLE api_keys ADD COLUMN notice_at BIGINT",
    "UPDATE api_keys SET notice_at = 0
        WHERE revoked_at IS NULL AND (expires_at IS NOT NULL OR settings LIKE '%rotate_after%')",
    "CREATE INDEX api_keys_by_notice ON api_keys (notice_at) WHERE notice_at IS NOT NULL",
    // `day`: since 1970-01-01, UTC. No reference to the key: what was used stays counted.
    "CREATE TABLE key_usage (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        key_id TEXT COLLATE \"C\" NOT NULL,
        day BIGINT NOT NULL,
        requests BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, key_id, day)
    ) STRICT",
    "CREATE INDEX key_usage_by_day ON key_usage (workspace_id, day)",
    // Warnings that were given, each once for the time that it is `about`.
    "CREATE TABLE key_notices (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        key_id TEXT COLLATE \"C\" NOT NULL,
        notice TEXT COLLATE \"C\" NOT NULL,
        about BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, key_id, notice, about)
    ) STRICT",
    // `events`: `*`, or names between commas, `,run.started,run.failed,`. `owner_id`: the channel or agent loop that has
    // this endpoint for its own answers; such an endpoint hears only what is sent to it by name.
    "CREATE TABLE webhooks (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        owner_id TEXT COLLATE \"C\",
        url TEXT NOT NULL,
        events TEXT NOT NULL,
        description TEXT,
        secret_sealed BLOB NOT NULL,
        previous_sealed BLOB,
        previous_until BIGINT,
        disabled_at BIGINT,
        disabled_reason TEXT,
        failing_since BIGINT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    // Written in the transaction of what happened, and only where somebody listens. `subject_id`: the conversation, or
    // the thing that it is about; with that it is deleted.
    "CREATE TABLE webhook_events (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        kind TEXT COLLATE \"C\" NOT NULL,
        data TEXT NOT NULL,
        subject_id TEXT COLLATE \"C\",
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    "CREATE INDEX webhook_events_by_age ON webhook_events (created_at)",
    "CREATE INDEX webhook_events_by_subject ON webhook_events (workspace_id, environment, subject_id)
        WHERE subject_id IS NOT NULL",
    // `state`: `pending`, `delivered`, `failed`. `due_at` is empty when nothing is left to do.
    "CREATE TABLE webhook_deliveries (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        webhook_id TEXT COLLATE \"C\" NOT NULL,
        event_id TEXT COLLATE \"C\" NOT NULL,
        state TEXT COLLATE \"C\" NOT NULL,
        attempts BIGINT NOT NULL,
        due_at BIGINT,
        claimed_until BIGINT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, webhook_id, event_id),
        FOREIGN KEY (workspace_id, environment, webhook_id)
            REFERENCES webhooks (workspace_id, environment, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, environment, event_id)
            REFERENCES webhook_events (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (workspace_id, environment, event_id)",
    // `answer`: the first kilobyte.
    "CREATE TABLE webhook_attempts (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        webhook_id TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        event_id TEXT COLLATE \"C\" NOT NULL,
        status BIGINT,
        error TEXT,
        answer TEXT,
        took_ms BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, webhook_id, id),
        FOREIGN KEY (workspace_id, environment, webhook_id)
            REFERENCES webhooks (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX webhook_attempts_by_age ON webhook_attempts (created_at)",
    // `secret_sealed`: what signs incoming messages. `webhook_id`: where replies go.
    "CREATE TABLE channels (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        bot_id TEXT COLLATE \"C\" NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        settings TEXT NOT NULL,
        secret_sealed BLOB,
        previous_sealed BLOB,
        previous_until BIGINT,
        webhook_id TEXT COLLATE \"C\",
        disabled_at BIGINT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id),
        FOREIGN KEY (workspace_id, environment, bot_id) REFERENCES bots (workspace_id, environment, id)
            ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX channels_by_bot ON channels (workspace_id, environment, bot_id, id)",
    // A message names nothing but its channel.
    "CREATE UNIQUE INDEX channels_by_id ON channels (id)",
    // A signed message counts once. It waits here until the conversation's earlier ones are answered; `due_at` is
    // empty when it is answered itself, or never will be. `user_data`: who sent it, as it was sent.
    "CREATE TABLE channel_deliveries (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        channel_id TEXT COLLATE \"C\" NOT NULL,
        delivery_id TEXT COLLATE \"C\" NOT NULL,
        conversation_id TEXT COLLATE \"C\" NOT NULL,
        message_id TEXT COLLATE \"C\" NOT NULL,
        content TEXT NOT NULL,
        user_data TEXT NOT NULL,
        attempts BIGINT NOT NULL,
        due_at BIGINT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, channel_id, delivery_id),
        FOREIGN KEY (workspace_id, environment, channel_id)
            REFERENCES channels (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX channel_deliveries_by_age ON channel_deliveries (created_at)",
    "CREATE INDEX channel_deliveries_open ON channel_deliveries (workspace_id, environment, conversation_id, message_id)
        WHERE due_at IS NOT NULL",
    // Signs the questions that a `webhook` integration is asked.
    "ALTER TABLE integrations ADD COLUMN secret_sealed BLOB",
    "ALTER TABLE integrations ADD COLUMN previous_sealed BLOB",
    "ALTER TABLE integrations ADD COLUMN previous_until BIGINT",
    "ALTER TABLE conversations ADD COLUMN channel_id TEXT COLLATE \"C\"",
    "CREATE INDEX conversations_by_channel ON conversations (workspace_id, environment, channel_id, id)",
    "CREATE INDEX conversations_by_channel_user
        ON conversations (workspace_id, environment, channel_id, user_identifier, id) WHERE channel_id IS NOT NULL",
    // Those of one user, and the last grant behind many charges.
    "CREATE INDEX conversations_by_identifier ON conversations (workspace_id, environment, user_identifier, id)",
    "CREATE INDEX credit_grants ON credit_entries (workspace_id, id) WHERE kind = 'grant'",
    // `webhook_id`: who is called back when an execution has ended.
    "CREATE TABLE agent_loops (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        bot_id TEXT COLLATE \"C\" NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        prompt TEXT NOT NULL,
        tools TEXT NOT NULL,
        max_iterations BIGINT NOT NULL,
        timeout_seconds BIGINT NOT NULL,
        webhook_id TEXT COLLATE \"C\",
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, id),
        FOREIGN KEY (workspace_id, environment, bot_id) REFERENCES bots (workspace_id, environment, id)
            ON DELETE CASCADE
    ) STRICT",
    // `state`: the loop as it was when it was started; its steps say how far it has come. `started_at`: its first step.
    "CREATE TABLE executions (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        loop_id TEXT COLLATE \"C\" NOT NULL,
        status TEXT COLLATE \"C\" NOT NULL,
        input TEXT NOT NULL,
        metadata TEXT,
        state TEXT NOT NULL,
        output TEXT,
        error TEXT,
        iterations BIGINT NOT NULL,
        input_tokens BIGINT NOT NULL,
        output_tokens BIGINT NOT NULL,
        started_by TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        started_at BIGINT,
        finished_at BIGINT,
        PRIMARY KEY (workspace_id, environment, id),
        FOREIGN KEY (workspace_id, environment, loop_id) REFERENCES agent_loops (workspace_id, environment, id)
            ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX executions_by_loop ON executions (workspace_id, environment, loop_id, id)",
    "CREATE INDEX executions_open ON executions (status) WHERE finished_at IS NULL",
    "CREATE TABLE execution_steps (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        execution_id TEXT COLLATE \"C\" NOT NULL,
        position BIGINT NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL,
        took_ms BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, execution_id, position),
        FOREIGN KEY (workspace_id, environment, execution_id)
            REFERENCES executions (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    // `search`: name, email, phone and external id in lower case.
    "CREATE TABLE contacts (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        name TEXT,
        email TEXT COLLATE \"C\",
        phone TEXT COLLATE \"C\",
        external_id TEXT COLLATE \"C\",
        custom_fields TEXT NOT NULL,
        search TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        archived_at BIGINT,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    // Whoever asks for neither is not led through these: PostgreSQL, which knows little of a new table, took them for all.
    "CREATE UNIQUE INDEX contacts_by_external_id ON contacts (workspace_id, environment, external_id)
        WHERE external_id IS NOT NULL",
    "CREATE INDEX contacts_by_email ON contacts (workspace_id, environment, LOWER(email)) WHERE email IS NOT NULL",
    // Few are archived: what has a label and is not archived is counted as the difference.
    "CREATE INDEX contacts_archived ON contacts (workspace_id, environment, archived_at, id)
        WHERE archived_at IS NOT NULL",
    // What a list, a count and a search look at, and nothing else: they go through all contacts.
    "CREATE INDEX contacts_by_search ON contacts (workspace_id, environment, id, archived_at, search)",
    "CREATE TABLE contact_tags (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        tag TEXT COLLATE \"C\" NOT NULL,
        contact_id TEXT COLLATE \"C\" NOT NULL,
        PRIMARY KEY (workspace_id, environment, tag, contact_id),
        FOREIGN KEY (workspace_id, environment, contact_id)
            REFERENCES contacts (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE INDEX contact_tags_by_contact ON contact_tags (workspace_id, environment, contact_id)",
    // `position`: how many bytes of the file are done; written with the rows, so that a crash repeats none.
    "CREATE TABLE contact_imports (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        environment TEXT COLLATE \"C\" NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        status TEXT NOT NULL,
        options TEXT NOT NULL,
        bytes BIGINT NOT NULL,
        position BIGINT NOT NULL,
        rows_total BIGINT,
        rows_done BIGINT NOT NULL,
        created BIGINT NOT NULL,
        updated BIGINT NOT NULL,
        failed BIGINT NOT NULL,
        error TEXT,
        created_by TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        finished_at BIGINT,
        PRIMARY KEY (workspace_id, environment, id)
    ) STRICT",
    "CREATE INDEX contact_imports_open ON contact_imports (created_at) WHERE finished_at IS NULL",
    // The file, in parts; gone when the import is over.
    "CREATE TABLE contact_import_parts (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        import_id TEXT COLLATE \"C\" NOT NULL,
        position BIGINT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (workspace_id, environment, import_id, position),
        FOREIGN KEY (workspace_id, environment, import_id)
            REFERENCES contact_imports (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    "CREATE TABLE contact_import_errors (
        workspace_id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        import_id TEXT COLLATE \"C\" NOT NULL,
        line BIGINT NOT NULL,
        field TEXT COLLATE \"C\" NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (workspace_id, environment, import_id, line, field),
        FOREIGN KEY (workspace_id, environment, import_id)
            REFERENCES contact_imports (workspace_id, environment, id) ON DELETE CASCADE
    ) STRICT",
    // A key that was found where it should not be, and what was done about it. Never the key.
    "CREATE TABLE leaks (
        workspace_id TEXT COLLATE \"C\" NOT NULL REFERENCES workspaces (id),
        id TEXT COLLATE \"C\" NOT NULL,
        environment TEXT COLLATE \"C\" NOT NULL,
        key_id TEXT COLLATE \"C\" NOT NULL,
        action TEXT NOT NULL,
        source TEXT NOT NULL,
        url TEXT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    ) STRICT",
];

//! Endpoints, and the deliveries to them. What is due is looked for over all tenants; everything else is a tenant's.

use super::{Statement, counted, statements};

macro_rules! webhook_columns {
    () => {
        "id, owner_id, url, events, description, secret_sealed, previous_sealed, previous_until, disabled_at,
            disabled_reason, failing_since, created_at, updated_at"
    };
}

/// Some attempts of an endpoint. `number` counts those at the same event; the last one of them knows of the next.
macro_rules! attempts {
    ($some:literal, $order:literal) => {
        concat!(
            "WITH page AS (
                SELECT id, event_id, status, error, answer, took_ms, created_at FROM webhook_attempts
                WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3",
            $some,
            "), counted AS (
                SELECT id, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY id) AS number,
                    COUNT(*) OVER (PARTITION BY event_id) AS total
                FROM webhook_attempts
                WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3
                    AND event_id IN (SELECT event_id FROM page))
            SELECT page.id, page.event_id, page.status, page.error, page.answer, page.took_ms, page.created_at,
                counted.number, e.kind,
                CASE WHEN counted.number = counted.total AND d.claimed_until IS NULL THEN d.due_at END AS next_at
            FROM page JOIN counted ON counted.id = page.id
            LEFT JOIN webhook_events e ON e.workspace_id = $1 AND e.environment = $2 AND e.id = page.event_id
            LEFT JOIN webhook_deliveries d ON d.workspace_id = $1 AND d.environment = $2 AND d.webhook_id = $3
                AND d.event_id = page.event_id
            ORDER BY ",
            $order
        )
    };
}

statements! {
    INSERT_WEBHOOK "insert_webhook"
        "INSERT INTO webhooks (workspace_id, environment, id, owner_id, url, events, description, secret_sealed,
            disabled_at, disabled_reason, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    WEBHOOK "webhook" concat!(
        "SELECT ", webhook_columns!(), " FROM webhooks
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND owner_id IS NULL"
    );
    /// Of a channel or an agent loop.
    OWNED_WEBHOOK "owned_webhook" concat!(
        "SELECT ", webhook_columns!(), " FROM webhooks
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND owner_id IS NOT NULL"
    );
    WEBHOOKS "webhooks" concat!(
        "SELECT ", webhook_columns!(), " FROM webhooks
        WHERE workspace_id = $1 AND environment = $2 AND owner_id IS NULL ORDER BY id DESC LIMIT $3 OFFSET $4"
    );
    WEBHOOK_COUNT "webhook_count"
        "SELECT COUNT(*) AS total FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND owner_id IS NULL";
    /// Whoever holds it changes it alone; an owner's own has `owner_id`.
    LOCK_WEBHOOK "lock_webhook" concat!(
        "UPDATE webhooks SET url = url WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ",
        webhook_columns!()
    );
    UPDATE_WEBHOOK "update_webhook"
        "UPDATE webhooks SET url = $4, events = $5, description = $6, secret_sealed = $7, previous_sealed = $8,
            previous_until = $9, disabled_at = $10, disabled_reason = $11, failing_since = $12, updated_at = $13
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    DELETE_WEBHOOK "delete_webhook"
        "DELETE FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND owner_id IS NULL";
    DELETE_OWNED_WEBHOOK "delete_owned_webhook"
        "DELETE FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND owner_id IS NOT NULL";

    /// It hears nothing any more; nothing when it was disabled before.
    DISABLE_WEBHOOK "disable_webhook"
        "UPDATE webhooks SET disabled_at = $4, disabled_reason = $5, updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND disabled_at IS NULL";
    FAIL_DELIVERIES "fail_deliveries"
        "UPDATE webhook_deliveries SET state = 'failed', due_at = NULL, claimed_until = NULL, updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND state = 'pending'";
    BEGIN_FAILING "begin_failing"
        "UPDATE webhooks SET failing_since = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND failing_since IS NULL";
    END_FAILING "end_failing"
        "UPDATE webhooks SET failing_since = NULL
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND failing_since IS NOT NULL";

    DUE_DELIVERIES "due_deliveries"
        "SELECT workspace_id, environment, webhook_id, event_id FROM webhook_deliveries
        WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
    /// Some of each endpoint, however much is due of one.
    DUE_DELIVERIES_OF_EACH "due_deliveries_of_each"
        "SELECT workspace_id, environment, webhook_id, event_id FROM (
            SELECT workspace_id, environment, webhook_id, event_id, due_at,
                ROW_NUMBER() OVER (PARTITION BY workspace_id, environment, webhook_id ORDER BY due_at) AS place
            FROM webhook_deliveries WHERE due_at <= $1) AS due
        WHERE place <= $2 ORDER BY place, due_at LIMIT $3";
    NEXT_DELIVERY "next_delivery"
        "SELECT due_at FROM webhook_deliveries WHERE due_at > $1 ORDER BY due_at LIMIT 1";
    /// Whoever dies with it loses nothing: it is due again at the end of the claim.
    CLAIM_DELIVERY "claim_delivery"
        "UPDATE webhook_deliveries SET due_at = $5, claimed_until = $5
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND event_id = $4 AND due_at <= $6";
    /// What the one before was busy with when it died.
    RELEASE_DELIVERIES "release_deliveries"
        "UPDATE webhook_deliveries SET due_at = $1, claimed_until = NULL WHERE claimed_until IS NOT NULL";
    DELIVERY_JOB "delivery_job" concat!(
        "SELECT ", webhook_columns!(), ",
            (SELECT kind FROM webhook_events WHERE workspace_id = $1 AND environment = $2 AND id = $4) AS event_kind,
            (SELECT data FROM webhook_events WHERE workspace_id = $1 AND environment = $2 AND id = $4) AS event_data,
            (SELECT created_at FROM webhook_events WHERE workspace_id = $1 AND environment = $2 AND id = $4)
                AS event_at,
            (SELECT attempts FROM webhook_deliveries
                WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND event_id = $4) AS attempts
        FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    /// Not when somebody else has it, or has done with it.
    FINISH_DELIVERY "finish_delivery"
        "UPDATE webhook_deliveries SET state = $6, attempts = attempts + 1, due_at = $7, claimed_until = NULL,
            updated_at = $8
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND event_id = $4 AND claimed_until = $5";
    THROTTLE_DELIVERIES "throttle_deliveries"
        "UPDATE webhook_deliveries SET due_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND due_at < $4 AND claimed_until IS NULL";
    INSERT_ATTEMPT "insert_attempt"
        "INSERT INTO webhook_attempts (workspace_id, environment, webhook_id, event_id, id, status, error, answer,
            took_ms, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    ATTEMPTS "attempts" attempts!(" ORDER BY id DESC LIMIT $4 OFFSET $5", "page.id DESC");
    ATTEMPTS_AFTER "attempts_after" attempts!(" AND id > $5 ORDER BY id LIMIT $4", "page.id");
    ATTEMPT_COUNT "attempt_count"
        counted!("FROM webhook_attempts
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3");
    ATTEMPT_EVENT "attempt_event"
        "SELECT event_id FROM webhook_attempts
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND id = $4";
    REPLAY_DELIVERY "replay_delivery"
        "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $5, claimed_until = NULL,
            updated_at = $5
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND event_id = $4";
    RECOVER_DELIVERIES "recover_deliveries"
        "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $4, claimed_until = NULL,
            updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3 AND state = 'failed' AND created_at >= $5";
    SWEEP_EVENTS "sweep_events"
        "DELETE FROM webhook_events WHERE (workspace_id, environment, id) IN (
            SELECT workspace_id, environment, id FROM webhook_events WHERE created_at < $1 ORDER BY created_at
            LIMIT $2)";
    SWEEP_ATTEMPTS "sweep_attempts"
        "DELETE FROM webhook_attempts WHERE (workspace_id, environment, webhook_id, id) IN (
            SELECT workspace_id, environment, webhook_id, id FROM webhook_attempts WHERE created_at < $1
            ORDER BY created_at LIMIT $2)";
}

//! What happened, and who is to be told: written in the transaction of what happened.

use super::{Statement, statements};

/// An endpoint that hears an event of the kind `$3`. An underscore in a kind matches itself, too.
macro_rules! listens {
    () => {
        "workspace_id = $1 AND environment = $2 AND owner_id IS NULL AND disabled_at IS NULL
            AND (events = '*' OR events LIKE '%,' || $3 || ',%')"
    };
}

statements! {
    INSERT_EVENT "insert_event" concat!(
        "INSERT INTO webhook_events (workspace_id, environment, kind, id, data, created_at, subject_id)
        SELECT $1, $2, $3, $4, $5, $6, $7 WHERE EXISTS (SELECT 1 FROM webhooks WHERE ", listens!(), ")"
    );
    INSERT_DELIVERIES "insert_deliveries" concat!(
        "INSERT INTO webhook_deliveries (workspace_id, environment, webhook_id, event_id, state, attempts, due_at,
            created_at, updated_at)
        SELECT workspace_id, environment, id, $4, 'pending', 0, $5, $5, $5 FROM webhooks WHERE ", listens!()
    );
    /// An event for one endpoint alone, `$7`.
    INSERT_EVENT_FOR "insert_event_for"
        "INSERT INTO webhook_events (workspace_id, environment, kind, id, data, created_at, subject_id)
        SELECT $1, $2, $3, $4, $5, $6, $8 WHERE EXISTS (SELECT 1 FROM webhooks
            WHERE workspace_id = $1 AND environment = $2 AND id = $7 AND disabled_at IS NULL)";
    INSERT_DELIVERY "insert_delivery"
        "INSERT INTO webhook_deliveries (workspace_id, environment, webhook_id, event_id, state, attempts, due_at,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5, $5)";
    /// With their deliveries.
    DELETE_EVENTS_OF "delete_events_of"
        "DELETE FROM webhook_events WHERE workspace_id = $1 AND environment = $2 AND subject_id = $3";
    KINDS_KEPT "kinds_kept"
        "SELECT DISTINCT kind FROM webhook_events WHERE workspace_id = $1 AND environment = $2 AND id IN (
            SELECT event_id FROM webhook_deliveries
            WHERE workspace_id = $1 AND environment = $2 AND webhook_id = $3)";
}

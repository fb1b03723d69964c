//! Bots and integrations: strictly of one environment, `$2`.

use super::{Statement, statements};

macro_rules! bot_columns {
    () => {
        "id, name, description, greeting, instructions, architecture, context_messages, created_at, updated_at"
    };
}

macro_rules! integration_columns {
    () => {
        "id, bot_id, name, kind, url, model, headers_sealed, header_names, timeout_seconds, weight, fallback,
        secret_sealed, previous_sealed, previous_until, created_at, updated_at"
    };
}

statements! {
    INSERT_BOT "insert_bot"
        "INSERT INTO bots (workspace_id, environment, id, name, description, greeting, instructions, architecture,
            context_messages, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)";
    BOT "bot" concat!(
        "SELECT ", bot_columns!(), " FROM bots WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    BOTS "bots" concat!(
        "SELECT ", bot_columns!(),
        " FROM bots WHERE workspace_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3 OFFSET $4"
    );
    BOT_COUNT "bot_count" "SELECT COUNT(*) AS total FROM bots WHERE workspace_id = $1 AND environment = $2";
    LOCK_BOT "lock_bot" concat!(
        "UPDATE bots SET updated_at = $4 WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ",
        bot_columns!()
    );
    UPDATE_BOT "update_bot"
        "UPDATE bots SET name = $4, description = $5, greeting = $6, instructions = $7, architecture = $8,
            context_messages = $9
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    /// Its integrations go with it, by the foreign key.
    DELETE_BOT "delete_bot" "DELETE FROM bots WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    /// Those whose channel or agent loop went with its bot. After that, because one may be made until the bot is gone.
    DELETE_OWNERLESS_WEBHOOKS "delete_ownerless_webhooks"
        "DELETE FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND owner_id IS NOT NULL
            AND owner_id NOT IN (
                SELECT id FROM channels WHERE workspace_id = $1 AND environment = $2
                UNION ALL SELECT id FROM agent_loops WHERE workspace_id = $1 AND environment = $2)";

    INSERT_INTEGRATION "insert_integration"
        "INSERT INTO integrations (workspace_id, environment, id, bot_id, name, kind, url, model, headers_sealed,
            header_names, timeout_seconds, weight, fallback, secret_sealed, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)";
    INTEGRATION "integration" concat!(
        "SELECT ", integration_columns!(),
        " FROM integrations WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    /// Oldest first: the order in which they are asked.
    INTEGRATIONS_OF_BOT "integrations_of_bot" concat!(
        "SELECT ", integration_columns!(),
        " FROM integrations WHERE workspace_id = $1 AND environment = $2 AND bot_id = $3 ORDER BY id"
    );
    /// Of the bots of one page, which is a range of ids.
    INTEGRATIONS_OF_BOTS "integrations_of_bots" concat!(
        "SELECT ", integration_columns!(),
        " FROM integrations WHERE workspace_id = $1 AND environment = $2 AND bot_id >= $3 AND bot_id <= $4
        ORDER BY bot_id, id"
    );
    LOCK_INTEGRATION "lock_integration" concat!(
        "UPDATE integrations SET updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ", integration_columns!()
    );
    UPDATE_INTEGRATION "update_integration"
        "UPDATE integrations SET name = $4, kind = $5, url = $6, model = $7, headers_sealed = $8, header_names = $9,
            timeout_seconds = $10, weight = $11, fallback = $12, secret_sealed = $13, previous_sealed = $14,
            previous_until = $15
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    DELETE_INTEGRATION "delete_integration"
        "DELETE FROM integrations WHERE workspace_id = $1 AND environment = $2 AND id = $3";
}

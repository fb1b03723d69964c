//! Channels and what comes in through them: strictly of one environment, `$2`, but for the look at what is due.

use super::{Statement, statements};

macro_rules! channel_columns {
    () => {
        "id, bot_id, kind, name, settings, secret_sealed, previous_sealed, previous_until, webhook_id, disabled_at,
            created_at, updated_at, (
                SELECT url FROM webhooks
                WHERE workspace_id = $1 AND environment = $2 AND id = channels.webhook_id
            ) AS reply_url, (
                SELECT disabled_at FROM webhooks
                WHERE workspace_id = $1 AND environment = $2 AND id = channels.webhook_id
            ) AS reply_disabled_at"
    };
}

statements! {
    INSERT_CHANNEL "insert_channel"
        "INSERT INTO channels (workspace_id, environment, id, bot_id, kind, name, settings, secret_sealed, webhook_id,
            disabled_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    CHANNEL "channel" concat!(
        "SELECT ", channel_columns!(), " FROM channels WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    CHANNELS_OF_BOT "channels_of_bot" concat!(
        "SELECT ", channel_columns!(), " FROM channels
        WHERE workspace_id = $1 AND environment = $2 AND bot_id = $3 ORDER BY id DESC LIMIT $4 OFFSET $5"
    );
    CHANNEL_COUNT_OF_BOT "channel_count_of_bot"
        "SELECT COUNT(*) AS total FROM channels WHERE workspace_id = $1 AND environment = $2 AND bot_id = $3";
    CHANNEL_COUNT "channel_count"
        "SELECT COUNT(*) AS total FROM channels WHERE workspace_id = $1 AND environment = $2";
    /// A message names nothing but its channel; its signature says the rest.
    TENANT_OF_CHANNEL "tenant_of_channel" "SELECT workspace_id, environment FROM channels WHERE id = $1";
    /// First in every change of a channel, and while a message comes in: a user's first two make one conversation.
    LOCK_CHANNEL "lock_channel"
        "UPDATE channels SET name = name WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    UPDATE_CHANNEL "update_channel"
        "UPDATE channels SET name = $4, settings = $5, secret_sealed = $6, previous_sealed = $7, previous_until = $8,
            disabled_at = $9, updated_at = $10
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    DELETE_CHANNEL "delete_channel" "DELETE FROM channels WHERE workspace_id = $1 AND environment = $2 AND id = $3";

    TAKEN_MESSAGE "taken_message"
        "SELECT conversation_id, message_id FROM channel_deliveries
        WHERE workspace_id = $1 AND environment = $2 AND channel_id = $3 AND delivery_id = $4";
    WAITING_MESSAGES "waiting_messages"
        "SELECT COUNT(*) AS total FROM channel_deliveries
        WHERE workspace_id = $1 AND environment = $2 AND due_at IS NOT NULL";
    WAITING_MESSAGES_OF_CONVERSATION "waiting_messages_of_conversation"
        "SELECT COUNT(*) AS total FROM channel_deliveries
        WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND due_at IS NOT NULL";
    CONVERSATION_OF_USER "conversation_of_user"
        "SELECT id FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND channel_id = $3 AND user_identifier = $4 AND ended_at IS NULL
        ORDER BY id DESC LIMIT 1";
    CONVERSATION_OF_CHANNEL "conversation_of_channel"
        "SELECT ended_at FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND channel_id = $4 AND user_identifier = $5";
    INSERT_CHANNEL_MESSAGE "insert_channel_message"
        "INSERT INTO channel_deliveries (workspace_id, environment, channel_id, delivery_id, conversation_id,
            message_id, content, user_data, attempts, due_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)";
    /// It waits for nothing: it is another name of one that does.
    INSERT_CHANNEL_ALIAS "insert_channel_alias"
        "INSERT INTO channel_deliveries (workspace_id, environment, channel_id, delivery_id, conversation_id,
            message_id, content, user_data, attempts, due_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, '', '{}', 0, NULL, $7)
        ON CONFLICT (workspace_id, environment, channel_id, delivery_id) DO NOTHING";
    /// Of each conversation the first that waits. Tenants take turns: one that has many keeps nobody waiting.
    DUE_CHANNEL_MESSAGES "due_channel_messages"
        "SELECT workspace_id, environment, channel_id, delivery_id, conversation_id, message_id, content, attempts
        FROM (
            SELECT workspace_id, environment, channel_id, delivery_id, conversation_id, message_id, content, attempts,
                due_at, ROW_NUMBER() OVER (PARTITION BY workspace_id, environment ORDER BY due_at, message_id) AS place
            FROM channel_deliveries AS waiting
            WHERE due_at <= $1 AND NOT EXISTS (
                SELECT 1 FROM channel_deliveries AS earlier
                WHERE earlier.workspace_id = waiting.workspace_id AND earlier.environment = waiting.environment
                AND earlier.conversation_id = waiting.conversation_id AND earlier.message_id < waiting.message_id
                AND earlier.due_at IS NOT NULL)
        ) AS due
        WHERE place <= $2 ORDER BY place, due_at LIMIT $3";
    NEXT_CHANNEL_MESSAGE "next_channel_message"
        "SELECT MIN(due_at) AS due_at FROM channel_deliveries WHERE due_at > $1";
    /// Nothing when it is over already. What was said is in the conversation by then, or nowhere.
    FINISH_CHANNEL_MESSAGE "finish_channel_message"
        "UPDATE channel_deliveries SET due_at = NULL, content = ''
        WHERE workspace_id = $1 AND environment = $2 AND channel_id = $3 AND delivery_id = $4 AND due_at IS NOT NULL
        RETURNING user_data";
    POSTPONE_CHANNEL_MESSAGE "postpone_channel_message"
        "UPDATE channel_deliveries SET due_at = $5, attempts = $6
        WHERE workspace_id = $1 AND environment = $2 AND channel_id = $3 AND delivery_id = $4 AND due_at IS NOT NULL";
    SWEEP_CHANNEL_MESSAGES "sweep_channel_messages"
        "DELETE FROM channel_deliveries WHERE created_at < $1 AND due_at IS NULL
            AND (created_at < $2 OR delivery_id NOT LIKE 'plain:%' AND delivery_id NOT LIKE 'body:%')";
    STRIP_CHANNEL_MESSAGES "strip_channel_messages"
        "UPDATE channel_deliveries SET user_data = '{}'
        WHERE created_at < $1 AND due_at IS NULL AND user_data <> '{}'";
}

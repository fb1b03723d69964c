//! Conversations that a client names itself (seed S4): strictly of one environment, `$2`.

use super::{Statement, statements};

macro_rules! named_columns {
    () => {
        "id, external_id, created_at, updated_at, (
            SELECT SUBSTR(content, 1, 500) FROM messages WHERE workspace_id = $1 AND environment = $2
            AND conversation_id = conversations.id AND position = conversations.message_count
        ) AS last_message"
    };
}

statements! {
    CONVERSATION_BY_NAME "conversation_by_name"
        "SELECT id, bot_id, ended_at FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND channel = $3 AND external_id = $4";
    /// Inserts nothing when the name is taken, or when the bot is not this tenant's.
    INSERT_NAMED_CONVERSATION "insert_named_conversation"
        "INSERT INTO conversations (workspace_id, environment, bot_id, id, channel, external_id, key_id, created_at,
            updated_at, message_count)
        SELECT workspace_id, environment, id, $4, $5, $6, $7, CAST($8 AS BIGINT), CAST($8 AS BIGINT), 0
        FROM bots WHERE workspace_id = $1 AND environment = $2 AND id = $3
        ON CONFLICT DO NOTHING";
    /// Changes nothing when the bot is not this tenant's.
    RESUME_CONVERSATION "resume_conversation"
        "UPDATE conversations SET bot_id = $4, ended_at = NULL
        WHERE workspace_id = $1 AND environment = $2 AND id = $3
        AND EXISTS (SELECT 1 FROM bots WHERE workspace_id = $1 AND environment = $2 AND id = $4)";
    /// The names from $4 up to $5, which is no longer one of them.
    NAMED_CONVERSATIONS "named_conversations" concat!(
        "SELECT ", named_columns!(), " FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND channel = $3 AND external_id >= $4 AND external_id < $5
        ORDER BY updated_at DESC, id DESC LIMIT $6"
    );
    NAMED_CONVERSATION_COUNT "named_conversation_count"
        "SELECT COUNT(*) AS total FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND channel = $3 AND external_id >= $4 AND external_id < $5";
    NAMED_CONVERSATION "named_conversation" concat!(
        "SELECT ", named_columns!(), " FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND channel = $3 AND external_id >= $4 AND external_id < $5
        AND id = $6"
    );
    OLDEST_BOT "oldest_bot" "SELECT id FROM bots WHERE workspace_id = $1 AND environment = $2 ORDER BY id LIMIT 1";
}

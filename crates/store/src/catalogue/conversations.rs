//! Conversations and messages: strictly of one environment, `$2`.

use super::{Statement, counted, statements};

macro_rules! conversation_columns {
    () => {
        "id, bot_id, channel, key_id, user_identifier, metadata, channel_id, created_at, updated_at, ended_at,
            message_count"
    };
}

macro_rules! message_columns {
    () => {
        "id, conversation_id, position, role, content, status, token_count, created_at"
    };
}

/// What is found: `$3` by its index, ids between `$4` and `$5`, and all else where it is not empty.
macro_rules! found {
    ($what:expr, $lead:literal, $rest:literal) => {
        concat!(
            $what,
            "FROM conversations WHERE workspace_id = $1 AND environment = $2 AND ",
            $lead,
            " = $3 AND id > $4 AND id < $5 AND ($6 = '' OR channel = $6) AND ($7 = '' OR bot_id = $7)
            AND ($8 = '' OR channel_id = $8)
            AND ($9 = '' OR ($9 = 'open' AND ended_at IS NULL) OR ($9 = 'ended' AND ended_at IS NOT NULL))",
            $rest
        )
    };
}

/// Conversations of one [`CONVERSATIONS_WITH_WORDS`].
pub(crate) const SEARCHED: usize = 25;

statements! {
    /// Inserts nothing when the bot is not this tenant's.
    INSERT_CONVERSATION "insert_conversation"
        "INSERT INTO conversations (workspace_id, environment, bot_id, id, channel, key_id, user_identifier, metadata,
            created_at, updated_at, ended_at, message_count, channel_id)
        SELECT workspace_id, environment, id, $4, $5, $6, $7, $8, CAST($9 AS BIGINT), CAST($9 AS BIGINT), NULL, 0, $10
        FROM bots WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    CONVERSATION "conversation" concat!(
        "SELECT ", conversation_columns!(),
        " FROM conversations WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    CONVERSATIONS "conversations" concat!(
        "SELECT ", conversation_columns!(),
        " FROM conversations WHERE workspace_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3 OFFSET $4"
    );
    CONVERSATIONS_OF_BOT "conversations_of_bot" concat!(
        "SELECT ", conversation_columns!(),
        " FROM conversations WHERE workspace_id = $1 AND environment = $2 AND bot_id = $5
        ORDER BY id DESC LIMIT $3 OFFSET $4"
    );
    /// The ids by an index that has all that is asked, and then their rows.
    FOUND_CONVERSATIONS "found_conversations" concat!(
        "SELECT ", conversation_columns!(), " FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND id IN (",
        found!("SELECT id ", "''", " ORDER BY id DESC LIMIT $10 OFFSET $11"), ") ORDER BY id DESC"
    );
    FOUND_CONVERSATIONS_OF_BOT "found_conversations_of_bot"
        found!(concat!("SELECT ", conversation_columns!(), " "), "bot_id", " ORDER BY id DESC LIMIT $10 OFFSET $11");
    FOUND_CONVERSATIONS_OF_CHANNEL "found_conversations_of_channel"
        found!(concat!("SELECT ", conversation_columns!(), " "), "channel_id", " ORDER BY id DESC LIMIT $10 OFFSET $11");
    FOUND_CONVERSATIONS_OF_USER "found_conversations_of_user"
        found!(concat!("SELECT ", conversation_columns!(), " "), "user_identifier", " ORDER BY id DESC LIMIT $10 OFFSET $11");
    FOUND_CONVERSATIONS_OF_DOOR "found_conversations_of_door"
        found!(concat!("SELECT ", conversation_columns!(), " "), "channel", " ORDER BY id DESC LIMIT $10 OFFSET $11");
    FOUND_OPEN_CONVERSATIONS "found_open_conversations" concat!(
        "SELECT ", conversation_columns!(), " FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND id IN (",
        found!("SELECT id ", "ended_at IS NULL AND ''", " ORDER BY id DESC LIMIT $10 OFFSET $11"), ") ORDER BY id DESC"
    );
    FOUND_ENDED_CONVERSATIONS "found_ended_conversations" concat!(
        "SELECT ", conversation_columns!(), " FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND id IN (",
        found!("SELECT id ", "ended_at IS NOT NULL AND ''", " ORDER BY id DESC LIMIT $10 OFFSET $11"), ") ORDER BY id DESC"
    );
    FOUND_CONVERSATION_COUNT_OF_DOOR "found_conversation_count_of_door" counted!(found!("", "channel", ""));
    FOUND_OPEN_CONVERSATION_COUNT "found_open_conversation_count" counted!(found!("", "ended_at IS NULL AND ''", ""));
    FOUND_ENDED_CONVERSATION_COUNT "found_ended_conversation_count"
        counted!(found!("", "ended_at IS NOT NULL AND ''", ""));
    FOUND_CONVERSATION_COUNT "found_conversation_count" counted!(found!("", "''", ""));
    FOUND_CONVERSATION_COUNT_OF_BOT "found_conversation_count_of_bot" counted!(found!("", "bot_id", ""));
    FOUND_CONVERSATION_COUNT_OF_CHANNEL "found_conversation_count_of_channel"
        counted!(found!("", "channel_id", ""));
    FOUND_CONVERSATION_COUNT_OF_USER "found_conversation_count_of_user"
        counted!(found!("", "user_identifier", ""));
    /// Which of [`SEARCHED`] conversations have a text with `$3` in it, of those behind a place and up to another; ids
    /// that are not needed are empty. What takes long is done once for each text, for which there is a `LIMIT` above
    /// what it may be, and in a time that grows with its length alone: `LIKE` compares the whole word at each character.
    /// Of letters that are not ASCII two become ASCII in lower case.
    CONVERSATIONS_WITH_WORDS "conversations_with_words"
        "SELECT DISTINCT conversation_id AS id FROM (
            SELECT conversation_id, REPLACE(REPLACE(REPLACE(LOWER(SUBSTR(content, 1, 10000)),
                '\u{212a}', 'k'), '\u{130}', 'i'), 'i\u{307}', 'i') AS content
            FROM messages WHERE workspace_id = $1 AND environment = $2 AND position > $4 AND position <= $5
                AND conversation_id IN ($6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                    $22, $23, $24, $25, $26, $27, $28, $29, $30) LIMIT 2500
        ) AS texts WHERE $3 = '' OR REPLACE(content, $3, '') <> content";
    /// The beginnings of the messages behind a place, up to another: no user's is longer.
    MESSAGE_TEXTS "message_texts"
        "SELECT SUBSTR(content, 1, 10000) AS content FROM messages
        WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND position > $4 AND position <= $5";
    /// Of a whole environment, the oldest first.
    CONVERSATIONS_IN_ORDER "conversations_in_order" concat!(
        "SELECT ", conversation_columns!(), " FROM conversations
        WHERE workspace_id = $1 AND environment = $2 AND id > $3 AND id < $4 AND ($5 = '' OR bot_id = $5)
        ORDER BY id LIMIT $6"
    );
    /// How long the messages are of these conversations that follow one and are not younger than `$6`.
    MESSAGE_SIZES_IN_ORDER "message_sizes_in_order"
        "SELECT OCTET_LENGTH(content) AS size FROM messages
        WHERE workspace_id = $1 AND environment = $2 AND (conversation_id, position) > ($3, $4)
            AND conversation_id <= $5 AND created_at <= $6
        ORDER BY conversation_id, position LIMIT $7";
    MESSAGES_IN_ORDER "messages_in_order" concat!(
        "SELECT ", message_columns!(), " FROM messages
        WHERE workspace_id = $1 AND environment = $2 AND (conversation_id, position) > ($3, $4)
            AND conversation_id <= $5 AND created_at <= $6
        ORDER BY conversation_id, position LIMIT $7"
    );
    CONVERSATION_COUNT "conversation_count"
        counted!("FROM conversations WHERE workspace_id = $1 AND environment = $2");
    CONVERSATION_COUNT_OF_BOT "conversation_count_of_bot"
        counted!("FROM conversations WHERE workspace_id = $1 AND environment = $2 AND bot_id = $3");
    /// Its messages go with it, by the foreign key.
    DELETE_CONVERSATION "delete_conversation"
        "DELETE FROM conversations WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    END_CONVERSATION "end_conversation"
        "UPDATE conversations SET ended_at = $4, updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND ended_at IS NULL";
    TOUCH_CONVERSATION "touch_conversation"
        "UPDATE conversations SET updated_at = $4 WHERE workspace_id = $1 AND environment = $2 AND id = $3";

    /// Takes the next place; the row stays locked until the message is in it.
    NEXT_POSITION "next_position"
        "UPDATE conversations SET message_count = message_count + 1, updated_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING message_count, ended_at";
    INSERT_MESSAGE "insert_message"
        "INSERT INTO messages (workspace_id, environment, conversation_id, position, id, role, content, status,
            token_count, created_at, client_key)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    MESSAGE_BY_CLIENT_KEY "message_by_client_key" concat!(
        "SELECT ", message_columns!(),
        " FROM messages WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND client_key = $4"
    );
    /// Places have no gaps: what comes before a page is not read.
    MESSAGES "messages" concat!(
        "SELECT ", message_columns!(),
        " FROM messages WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND position > $5
        ORDER BY position LIMIT $4"
    );
    MESSAGES_AFTER "messages_after" concat!(
        "SELECT ", message_columns!(),
        " FROM messages WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND position > $5
        ORDER BY position LIMIT $4"
    );
    /// The newest, as many as have at most $5 bytes of text together; what is left out is not read.
    LAST_MESSAGES "last_messages" concat!(
        "SELECT ", message_columns!(),
        " FROM messages WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND position >= (
            SELECT MIN(position) FROM (SELECT position, SUM(size) OVER (ORDER BY position DESC) AS bytes
                FROM (SELECT position, OCTET_LENGTH(content) AS size
                    FROM messages WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3
                    ORDER BY position DESC LIMIT $4
                ) AS newest
            ) AS summed WHERE bytes <= $5
        ) ORDER BY position DESC"
    );
    POSITION_OF "position_of"
        "SELECT position FROM messages
        WHERE workspace_id = $1 AND environment = $2 AND conversation_id = $3 AND id = $4";
}

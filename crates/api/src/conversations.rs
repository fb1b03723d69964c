//! Conversations as the customer reads them, whichever door they came through.

use access::{Access, Limit, Role, Scope};
use ambient::{BotId, ConversationId, KeyId, MessageId, Millis};
use gate::{Call, Data, Empty, List, ListMeta, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{ConversationRecord, MessageRecord};

use crate::{App, problem::of_chat};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ConversationsRead);

pub(crate) const LIST_CONVERSATIONS: Operation<ConversationQuery, List<Conversation>> =
    Operation::get("/v1/conversations", "list_conversations", "List conversations, the newest first.", READ);
pub(crate) const LIST_BOT_CONVERSATIONS: Operation<PageQuery, List<Conversation>> = Operation::get(
    "/v1/bots/{bot_id}/conversations",
    "list_bot_conversations",
    "List the conversations of a bot, the newest first.",
    READ,
);
pub(crate) const GET_CONVERSATION: Operation<Nothing, Data<Conversation>> =
    Operation::get("/v1/conversations/{id}", "get_conversation", "Read a conversation.", READ);
pub(crate) const DELETE_CONVERSATION: Operation<Nothing, Empty> = Operation::delete(
    "/v1/conversations/{id}",
    "delete_conversation",
    "Delete a conversation with its messages; its session dies.",
    Access::closed(Limit::Write).member(Role::Admin).key(Scope::ConversationsWrite).audited(),
)
.answers_nothing();
pub(crate) const LIST_MESSAGES: Operation<PageQuery, List<Message>> = Operation::get(
    "/v1/conversations/{id}/messages",
    "list_messages",
    "List the messages of a conversation, the oldest first; `after` reads on from one.",
    READ,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_CONVERSATIONS, list_conversations);
    routes.mount(LIST_BOT_CONVERSATIONS, list_bot_conversations);
    routes.mount(GET_CONVERSATION, get_conversation);
    routes.mount(DELETE_CONVERSATION, delete_conversation);
    routes.mount(LIST_MESSAGES, list_messages);
}

/// Which conversations.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ConversationQuery {
    /// Which page, from 1.
    #[schemars(range(min = 1))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    /// Those of one bot alone.
    bot_id: Option<BotId>,
}

/// An exchange of messages.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Conversation {
    /// Its id.
    id: ConversationId,
    /// Who answers.
    bot_id: BotId,
    /// Which door it came through.
    channel: String,
    /// `open`, or `ended`.
    status: &'static str,
    /// The key under which it was opened.
    key_id: Option<KeyId>,
    /// Your name for the user.
    user_identifier: Option<String>,
    /// Your notes.
    metadata: Option<serde_json::Value>,
    /// How many messages it holds.
    message_count: u64,
    /// When it was opened.
    created_at: Millis,
    /// When something last happened in it.
    updated_at: Millis,
    /// When it was ended.
    ended_at: Option<Millis>,
}

impl From<ConversationRecord> for Conversation {
    fn from(record: ConversationRecord) -> Self {
        Self {
            id: record.id,
            bot_id: record.bot,
            channel: record.channel,
            status: if record.ended_at.is_some() { "ended" } else { "open" },
            key_id: record.key,
            user_identifier: record.user_identifier,
            metadata: record.metadata,
            message_count: record.message_count,
            created_at: record.created_at,
            updated_at: record.updated_at,
            ended_at: record.ended_at,
        }
    }
}

/// One message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Message {
    /// Its id.
    id: MessageId,
    /// Its place, from 1, without gaps.
    position: u64,
    /// `user`, `assistant` or `system`.
    role: String,
    /// The text.
    content: String,
    /// `complete`, or `partial` when the reply was cut.
    status: String,
    /// Tokens, as the upstream counts them, or words where it does not say.
    token_count: Option<u64>,
    /// When it was stored.
    created_at: Millis,
}

impl From<MessageRecord> for Message {
    fn from(record: MessageRecord) -> Self {
        Self {
            id: record.id,
            position: record.position,
            role: record.role,
            content: record.content,
            status: record.status,
            token_count: record.token_count,
            created_at: record.created_at,
        }
    }
}

async fn list_conversations(app: App, call: Call<ConversationQuery>) -> Result<List<Conversation>, Problem> {
    let ConversationQuery { page, per_page, bot_id } = call.input;
    let request = PageQuery { page, per_page, after: None }.request()?;
    let page = app.workspace(&call)?.conversations(request, bot_id).await?;
    Ok(List::of(page, request, Conversation::from))
}

async fn list_bot_conversations(app: App, call: Call<PageQuery>) -> Result<List<Conversation>, Problem> {
    let request = call.input.request()?;
    // No look at the bot: the conversations of one that was deleted stay readable.
    let page = app.workspace(&call)?.conversations(request, Some(call.id("bot_id")?)).await?;
    Ok(List::of(page, request, Conversation::from))
}

async fn get_conversation(app: App, call: Call<Nothing>) -> Result<Data<Conversation>, Problem> {
    Ok(Data::new(app.workspace(&call)?.conversation(call.id("id")?).await?.into()))
}

async fn delete_conversation(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (tenant, id) = (call.tenant()?, call.id("id")?);
    let actor = call.actor();
    app.chat().delete_conversation(tenant, id, call.audit(&actor, None)).await.map_err(of_chat)?;
    Ok(Empty)
}

async fn list_messages(app: App, call: Call<PageQuery>) -> Result<List<Message>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let conversation = call.id("id")?;
    let Some(after) = after(&call.input)? else {
        return Ok(List::of(data.messages(conversation, request).await?, request, Message::from));
    };
    let total = data.conversation(conversation).await?.message_count;
    let rows = data.messages_after(conversation, after, request.per_page).await?;
    let meta = ListMeta { page: request.page, per_page: request.per_page, total };
    Ok(List { data: rows.into_iter().map(Message::from).collect(), meta })
}

/// The id in `after`. It reads on from a row, so it has no pages.
pub(crate) fn after<T: std::str::FromStr>(query: &PageQuery) -> Result<Option<T>, Problem> {
    let Some(text) = &query.after else { return Ok(None) };
    if query.page.is_some() {
        return Err(Problem::invalid_request("The query parameters `page` and `after` exclude each other"));
    }
    let id =
        text.parse().map_err(|_| Problem::invalid_request("The query parameter `after` is not an id of this list"))?;
    Ok(Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_is_an_id_of_the_list_and_has_no_pages() {
        let query = |after: Option<&str>, page| PageQuery { page, per_page: None, after: after.map(str::to_owned) };
        let id = MessageId(ambient::Ulid(7));
        assert_eq!(after::<MessageId>(&query(None, Some(2))).unwrap(), None);
        assert_eq!(after(&query(Some(&id.to_string()), None)).unwrap(), Some(id));
        for wrong in [query(Some("aud_x"), None), query(Some(&id.to_string()), Some(1))] {
            assert_eq!(after::<MessageId>(&wrong).unwrap_err().status().as_u16(), 400);
        }
    }
}

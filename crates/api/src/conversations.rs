//! Conversations as the customer reads them, whichever door they came through.

use access::{Access, Limit, Role, Scope};
use ambient::{BotId, ChannelId, ConversationId, KeyId, MessageId, Millis};
use gate::{Bare, Call, Data, Empty, List, ListMeta, LogQuery, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{ConversationFilter, ConversationRecord, FoundConversations, MessageRecord, PageRequest};

use crate::{
    App,
    problem::of_chat,
    results::rows::{DayOrTime, time},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ConversationsRead);

pub(crate) const LIST_CONVERSATIONS: Operation<ConversationQuery, Bare<ConversationPage>> =
    Operation::get("/v1/conversations", "list_conversations", "List or search conversations, the newest first.", READ);
pub(crate) const LIST_BOT_CONVERSATIONS: Operation<BotConversationQuery, Bare<ConversationPage>> = Operation::get(
    "/v1/bots/{bot_id}/conversations",
    "list_bot_conversations",
    "List or search the conversations of a bot, the newest first.",
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
pub(crate) const LIST_MESSAGES: Operation<LogQuery, List<Message>> = Operation::get(
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

/// The most characters of what is searched and of the words that are asked for.
const MAX_SEARCH: usize = 200;
const MAX_WORD: usize = 256;

macro_rules! conversation_query {
    ($(#[$about:meta])* $name:ident { $($(#[$own_about:meta])* $own:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        pub(crate) struct $name {
            /// Which page, from 1; not with `search`.
            #[schemars(range(min = 1, max = 1_000_000))]
            page: Option<u32>,
            /// How many rows: 20 by default, 100 at most.
            #[schemars(range(min = 1, max = 100))]
            per_page: Option<u32>,
            /// Words in the user's name, the id or the messages, whatever their case. One call looks at the newest
            /// 1,000 conversations, or at their newest 10,000 messages: 500 of each, and 10,000 characters of a message;
            /// or as far as it comes in 10 ms: it then finishes the group it is in, of 100 messages or one
            /// conversation. `meta.next` says where it goes on.
            #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
            search: Option<String>,
            /// Which door they came through: `session`, `voice`, `dropin`, `trial`, or the kind of a channel.
            #[schemars(length(max = 256), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
            channel: Option<String>,
            /// Those of one channel alone.
            channel_id: Option<ChannelId>,
            /// Those of one user, by your name for the user.
            #[schemars(length(max = 256), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
            user_identifier: Option<String>,
            /// Those that are open, or have ended.
            status: Option<ConversationStatus>,
            /// Opened at this time or later: RFC 3339, or a day in UTC.
            #[schemars(with = "Option<DayOrTime>")]
            from: Option<String>,
            /// Opened before this time: RFC 3339, or a day in UTC.
            #[schemars(with = "Option<DayOrTime>")]
            to: Option<String>,
            /// Opened before this one, by its id: where a search goes on.
            before: Option<ConversationId>,
            $($(#[$own_about])* $own: $type,)*
        }

        impl $name {
            fn asked(&self, bot: Option<BotId>) -> Result<Asked, Problem> {
                let text = |name: &str, value: &Option<String>| word(name, value.as_deref());
                let when = |name: &str, value: &Option<String>| {
                    value.as_deref().map(|text| time(name, text)).transpose()
                };
                let filter = ConversationFilter {
                    bot,
                    channel: text("channel", &self.channel)?,
                    channel_id: self.channel_id,
                    user_identifier: text("user_identifier", &self.user_identifier)?,
                    ended: self.status.map(|status| status == ConversationStatus::Ended),
                    from: when("from", &self.from)?,
                    to: when("to", &self.to)?,
                    before: self.before,
                };
                let search = text("search", &self.search)?;
                if search.as_ref().is_some_and(|words| words.chars().count() > MAX_SEARCH) {
                    return Err(Problem::invalid_request("The query parameter `search` has at most 200 characters"));
                }
                if search.is_some() && self.page.is_some() {
                    let message = "The query parameters `search` and `page` exclude each other; go on with `before`";
                    return Err(Problem::invalid_request(message));
                }
                let page = PageQuery { page: self.page, per_page: self.per_page }.request()?;
                Ok(Asked { page, search, filter })
            }
        }
    };
}

conversation_query! {
    /// Which conversations.
    ConversationQuery {
        /// Those of one bot alone.
        bot_id: Option<BotId>,
    }
}

conversation_query! {
    /// Which conversations of a bot.
    BotConversationQuery {}
}

/// A query that was read.
struct Asked {
    page: PageRequest,
    search: Option<String>,
    filter: ConversationFilter,
}

/// A text of a parameter; an empty one asks for nothing.
fn word(name: &str, value: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    if value.chars().count() > MAX_WORD || value.chars().any(char::is_control) {
        let message =
            format!("The query parameter `{name}` has at most {MAX_WORD} characters, none a control character");
        return Err(Problem::invalid_request(message));
    }
    Ok(Some(value.to_owned()))
}

/// Whether anything more may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConversationStatus {
    /// It may.
    Open,
    /// It may not.
    Ended,
}

/// Some conversations.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ConversationPage {
    data: Vec<Conversation>,
    meta: ConversationMeta,
}

/// Where in a list this page is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct ConversationMeta {
    /// Which page, from 1.
    page: u32,
    /// How many a page holds.
    per_page: u32,
    /// How many there are in all, counted up to 10,000; `null` when a search has not looked at everything.
    total: Option<u64>,
    /// `true` where there are more than `total`, and absent elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    capped: bool,
    /// Of a search: true when it ends early, because it has looked at as much as one call may.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    /// Of a search that can go on: the next call's `before`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<ConversationId>,
}

impl ConversationPage {
    fn found(found: FoundConversations, page: PageRequest, is_first: bool) -> Self {
        let FoundConversations { rows, next, is_cut } = found;
        let total = (is_first && next.is_none()).then_some(rows.len() as u64);
        let meta =
            ConversationMeta { page: 1, per_page: page.per_page, total, capped: false, truncated: Some(is_cut), next };
        Self { data: rows.into_iter().map(Conversation::from).collect(), meta }
    }
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
    /// The channel of the bot that it belongs to.
    channel_id: Option<ChannelId>,
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
            channel_id: record.channel_id,
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

async fn list_conversations(app: App, call: Call<ConversationQuery>) -> Result<Bare<ConversationPage>, Problem> {
    let asked = call.input.asked(call.input.bot_id)?;
    list(&app, &call, asked).await
}

async fn list_bot_conversations(app: App, call: Call<BotConversationQuery>) -> Result<Bare<ConversationPage>, Problem> {
    // No look at the bot: the conversations of one that was deleted stay readable.
    let asked = call.input.asked(Some(call.id("bot_id")?))?;
    list(&app, &call, asked).await
}

async fn list<I>(app: &App, call: &Call<I>, asked: Asked) -> Result<Bare<ConversationPage>, Problem> {
    let Asked { page, search, filter } = asked;
    let data = app.workspace(call)?;
    if let Some(words) = search {
        let place = app.pages().take(call.tenant()?.workspace).await?;
        let limit = usize::try_from(page.per_page).unwrap_or(usize::MAX);
        let is_first = filter.before.is_none();
        let search = async move { data.search_conversations(&words, &filter, limit).await };
        return Ok(Bare(ConversationPage::found(place.held_for(search).await??, page, is_first)));
    }
    let found = data.find_conversations(page, &filter).await?;
    let meta = ConversationMeta {
        page: page.page,
        per_page: page.per_page,
        total: Some(found.total),
        capped: found.is_capped,
        truncated: None,
        next: None,
    };
    Ok(Bare(ConversationPage { data: found.rows.into_iter().map(Conversation::from).collect(), meta }))
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

async fn list_messages(app: App, call: Call<LogQuery>) -> Result<List<Message>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let conversation = call.id("id")?;
    let Some(after) = after(&call.input)? else {
        return Ok(List::of(data.messages(conversation, request).await?, request, Message::from));
    };
    let total = data.conversation(conversation).await?.message_count;
    let rows = data.messages_after(conversation, after, request.per_page).await?;
    let meta = ListMeta { page: request.page, per_page: request.per_page, total, capped: false };
    Ok(List { data: rows.into_iter().map(Message::from).collect(), meta })
}

/// The id in `after`. It reads on from a row, so it has no pages.
pub(crate) fn after<T: std::str::FromStr>(query: &LogQuery) -> Result<Option<T>, Problem> {
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
        let query = |after: Option<&str>, page| LogQuery { page, per_page: None, after: after.map(str::to_owned) };
        let id = MessageId(ambient::Ulid(7));
        assert_eq!(after::<MessageId>(&query(None, Some(2))).unwrap(), None);
        assert_eq!(after(&query(Some(&id.to_string()), None)).unwrap(), Some(id));
        for wrong in [query(Some("aud_x"), None), query(Some(&id.to_string()), Some(1))] {
            assert_eq!(after::<MessageId>(&wrong).unwrap_err().status().as_u16(), 400);
        }
    }
}

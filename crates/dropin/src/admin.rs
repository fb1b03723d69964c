//! What the admin key reads: the conversations of the environment's widget key, and no other.

use access::{Access, Limit};
use ambient::{ConversationId, MessageId};
use api::App;
use gate::{Bare, Call, Nothing, Operation, Problem, Routes};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{MessageRecord, NamedConversation};

use crate::{STATIC, text::first_units};

const ACCESS: Access = Access::closed(Limit::Read).static_admin();
const MAX_LIMIT: u32 = 200;
const DEFAULT_LIMIT: u32 = 100;
const LONGEST_ID: usize = 128;
/// The newest messages of a thread that are shown; the store adds that they are at most 1 MiB.
const MAX_MESSAGES: u32 = 10_000;
const LAST_MESSAGE_UNITS: usize = 500;

pub(crate) const LIST: Operation<ListQuery, Bare<Conversations>> = Operation::get(
    "/v1/admin/conversations",
    "list_dropin_conversations",
    "List the conversations of the drop-in surface, the last updated first.",
    ACCESS,
)
.drop_in();
pub(crate) const THREAD: Operation<Nothing, Bare<Thread>> = Operation::get(
    "/v1/admin/conversations/{conversationId}",
    "get_dropin_conversation",
    "Read a conversation of the drop-in surface with its messages.",
    ACCESS,
)
.drop_in();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST, list_conversations);
    routes.mount(THREAD, get_conversation);
}

/// How many conversations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// 1 to 200; 100 by default.
    limit: Option<String>,
}

impl ListQuery {
    fn limit(&self) -> Result<u32, Problem> {
        let Some(text) = &self.limit else { return Ok(DEFAULT_LIMIT) };
        let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        number
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Problem::invalid_request("The query parameter `limit` is 1 to 200"))
    }
}

/// The conversations that were updated last.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Conversations {
    /// The last updated first.
    conversations: Vec<Conversation>,
    /// How many there are in all.
    total: u64,
}

/// A conversation; times are in milliseconds since 1970.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversation {
    #[serde(rename = "_id")]
    id: ConversationId,
    #[serde(rename = "_creationTime")]
    creation_time: i64,
    /// The client's name for the visitor.
    session_id: String,
    created_at: i64,
    updated_at: i64,
    /// The first 500 UTF-16 units of the newest message.
    last_message: String,
}

/// A conversation with its messages.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Thread {
    conversation: Conversation,
    /// The oldest first: the newest 10,000 that are 1 MiB together.
    messages: Vec<Message>,
}

/// One message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    #[serde(rename = "_id")]
    id: MessageId,
    /// `user` or `assistant`.
    role: String,
    content: String,
    created_at: i64,
}

impl From<NamedConversation> for Conversation {
    fn from(record: NamedConversation) -> Self {
        Self {
            id: record.id,
            creation_time: record.created_at.0,
            session_id: record.name,
            created_at: record.created_at.0,
            updated_at: record.updated_at.0,
            last_message: first_units(&record.last_message, LAST_MESSAGE_UNITS).to_owned(),
        }
    }
}

impl From<MessageRecord> for Message {
    fn from(record: MessageRecord) -> Self {
        Self { id: record.id, role: record.role, content: record.content, created_at: record.created_at.0 }
    }
}

async fn list_conversations(app: App, call: Call<ListQuery>) -> Result<Bare<Conversations>, Problem> {
    let limit = call.input.limit()?;
    let page = app.store().workspace(call.tenant()?).named_conversations(STATIC, limit).await?;
    let conversations = page.rows.into_iter().map(Conversation::from).collect();
    Ok(Bare(Conversations { conversations, total: page.total }))
}

async fn get_conversation(app: App, call: Call<Nothing>) -> Result<Bare<Thread>, Problem> {
    let id = call.request.param("conversationId").unwrap_or_default();
    if id.len() > LONGEST_ID {
        let problem = Problem::invalid_request("A conversationId has at most 128 characters");
        return Err(problem.said_as(StatusCode::BAD_REQUEST, "Invalid conversationId"));
    }
    let id: ConversationId = call.id("conversationId")?;
    let data = app.store().workspace(call.tenant()?);
    let conversation = data.named_conversation(STATIC, id).await?.into();
    let messages = data.last_messages(id, MAX_MESSAGES).await?.into_iter().map(Message::from).collect();
    Ok(Bare(Thread { conversation, messages }))
}

#[cfg(test)]
mod tests {
    use ambient::{Millis, Ulid};

    use super::*;

    #[test]
    fn a_limit_is_a_whole_number_from_1_to_200() {
        let limit = |text: &str| ListQuery { limit: Some(text.to_owned()) }.limit().ok();
        assert_eq!(ListQuery { limit: None }.limit().ok(), Some(100));
        assert_eq!((limit("1"), limit("200"), limit("007")), (Some(1), Some(200), Some(7)));
        for wrong in ["", "0", "201", "-1", "+1", "1.0", "1e1", " 1", "x", "99999999999"] {
            assert_eq!(limit(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_conversation_has_the_originals_members() {
        let record = NamedConversation {
            id: ConversationId(Ulid(1)),
            name: "visitor".to_owned(),
            created_at: Millis(5),
            updated_at: Millis(7),
            last_message: "😀".repeat(251),
        };
        let shown = serde_json::to_string(&Conversation::from(record)).unwrap();
        let id = ConversationId(Ulid(1));
        let last = "😀".repeat(250);
        assert_eq!(
            shown,
            format!(
                r#"{{"_id":"{id}","_creationTime":5,"sessionId":"visitor","createdAt":5,"updatedAt":7,"lastMessage":"{last}"}}"#
            )
        );
    }
}

//! Chat sessions (seed S2): opened with a key, used with a token.

use access::{Access, Caller, KeyCaller, Limit, Refusal, Scope, SessionCaller};
use ambient::{BotId, ConversationId, Millis};
use chat::{EventId, MAX_MESSAGE, OpenSession, SendOptions};
use gate::{Bare, Call, EventStream, FieldError, Nothing, Operation, Problem, RequestContext, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::MessageRecord;

use crate::{
    App, encode,
    input::{self, Metadata},
    problem::of_chat,
};

pub(crate) const CREATE_CHAT_SESSION: Operation<NewSession, Bare<OpenedSession>> = Operation::post(
    "/v1/chat/sessions",
    "create_chat_session",
    "Open a chat session; its token is for the end user's browser, for this conversation alone.",
    Access::closed(Limit::SessionCreate).key(Scope::ChatWrite).widget(),
)
.creates();
pub(crate) const SEND_CHAT_MESSAGE: Operation<NewMessage, EventStream> = Operation::post(
    "/v1/chat/sessions/{id}/messages",
    "send_chat_message",
    "Send a message; the reply streams as server-sent events, or as lines of JSON. With `Idempotency-Key` it \
     can be sent again: the reply then goes on after `Last-Event-ID`.",
    Access::closed(Limit::Message).session(),
);
pub(crate) const LIST_CHAT_MESSAGES: Operation<HistoryQuery, Bare<History>> = Operation::get(
    "/v1/chat/sessions/{id}/messages",
    "list_chat_messages",
    "Read the session's newest messages, the oldest of them first.",
    Access::closed(Limit::History).session(),
);
pub(crate) const FOLLOW_CHAT_SESSION: Operation<Nothing, EventStream> = Operation::get(
    "/v1/chat/sessions/{id}/events",
    "follow_chat_session",
    "Follow the session's replies as they come, from `Last-Event-ID` on; eight at a time may.",
    Access::closed(Limit::History).session(),
);
pub(crate) const CANCEL_CHAT_REPLY: Operation<Nothing, Bare<CancelledReply>> = Operation::post(
    "/v1/chat/sessions/{id}/cancel",
    "cancel_chat_reply",
    "Stop the reply that is on its way; what was said is kept.",
    Access::closed(Limit::History).session(),
);
pub(crate) const RENEW_CHAT_SESSION: Operation<Nothing, Bare<RenewedSession>> = Operation::post(
    "/v1/chat/sessions/{id}/renew",
    "renew_chat_session",
    "Get another token for the session, before this one runs out.",
    Access::closed(Limit::History).session(),
);
pub(crate) const END_CHAT_SESSION: Operation<Nothing, Bare<EndedSession>> = Operation::post(
    "/v1/chat/sessions/{id}/end",
    "end_chat_session",
    "End the session; its token dies.",
    Access::closed(Limit::Session).session().audited(),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CREATE_CHAT_SESSION, create_chat_session);
    routes.mount(SEND_CHAT_MESSAGE, send_chat_message);
    routes.mount(LIST_CHAT_MESSAGES, list_chat_messages);
    routes.mount(FOLLOW_CHAT_SESSION, follow_chat_session);
    routes.mount(CANCEL_CHAT_REPLY, cancel_chat_reply);
    routes.mount(RENEW_CHAT_SESSION, renew_chat_session);
    routes.mount(END_CHAT_SESSION, end_chat_session);
}

/// A session to be opened.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSession {
    /// The bot that answers: its `bot_…` id. `bot_id` is read as well.
    #[serde(alias = "bot_id")]
    agent_id: String,
    /// Your name for the user, at most 255 characters.
    #[serde(default)]
    user_identifier: Option<String>,
    /// Your notes: an object of at most 4 KiB.
    #[serde(default)]
    metadata: Option<Metadata>,
    /// The bot's widget channel that the session counts to, its `ch_…` id; it may have a greeting of its own.
    #[serde(default)]
    channel_id: Option<String>,
}

/// An open session.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct OpenedSession {
    /// Its conversation, and the session's id.
    conversation_id: ConversationId,
    /// The bearer token of the end user's browser: 24 hours, 30 idle minutes.
    session_token: String,
    /// How many seconds it lives; it can be renewed before.
    expires_in: i64,
    /// The bot's name.
    agent_name: String,
    /// The bot's first words.
    greeting: Option<String>,
    /// What the bot runs on.
    agent_model: String,
}

/// A message of the end user. Other fields are ignored: existing widgets send more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct NewMessage {
    /// The text, 1 to 10,000 characters.
    #[schemars(length(min = 1, max = 10_000))]
    pub(crate) message: String,
}

/// How much of the history.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct HistoryQuery {
    /// How many messages: 50 by default, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

/// The newest messages of a session, the oldest of them first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct History {
    /// The messages.
    messages: Vec<HistoryMessage>,
    /// How many there are here.
    count: usize,
}

/// One message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryMessage {
    /// `user`, `assistant` or `system`.
    role: String,
    /// The text.
    content: String,
    /// When it was stored.
    timestamp: Millis,
    /// Tokens, as the upstream counts them, or words where it does not say.
    token_count: Option<u64>,
}

/// Whether a reply was stopped.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct CancelledReply {
    /// False when none was on its way.
    cancelled: bool,
}

/// Another token of the same session.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct RenewedSession {
    /// The bearer token; the one before it lives on to its own end.
    session_token: String,
    /// How many seconds it lives.
    expires_in: i64,
}

/// A session that is over.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct EndedSession {
    /// Always true.
    success: bool,
    /// The same, for people.
    message: &'static str,
}

impl From<MessageRecord> for HistoryMessage {
    fn from(record: MessageRecord) -> Self {
        Self {
            role: record.role,
            content: record.content,
            timestamp: record.created_at,
            token_count: record.token_count,
        }
    }
}

impl NewSession {
    fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        input::optional_text(&mut errors, "user_identifier", self.user_identifier.as_ref(), 255);
        if let Some(metadata) = &self.metadata {
            input::metadata(&mut errors, metadata);
        }
        input::done(errors)
    }
}

impl NewMessage {
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        if self.message.trim().is_empty() {
            errors.push(FieldError::new("message", "must not be empty"));
        } else {
            field::text(&mut errors, "message", &self.message, 1, MAX_MESSAGE);
        }
        input::done(errors)
    }
}

async fn create_chat_session(app: App, call: Call<NewSession>) -> Result<Bare<OpenedSession>, Problem> {
    call.input.check()?;
    let bot: BotId = call.input.agent_id.parse().map_err(|_| Problem::not_found())?;
    let channel = call.input.channel_id.as_deref().map(str::parse).transpose();
    let request = OpenSession {
        bot,
        user_identifier: call.input.user_identifier.clone(),
        metadata: call.input.metadata.clone().map(serde_json::Value::Object),
        channel: channel.map_err(|_| Problem::not_found())?,
    };
    let opened = app.chat().open_session(opener(&call.caller)?, request).await.map_err(of_chat)?;
    Ok(Bare(OpenedSession {
        conversation_id: opened.conversation,
        session_token: opened.token,
        expires_in: opened.expires_in,
        agent_name: opened.agent_name,
        greeting: opened.greeting,
        agent_model: opened.agent_model,
    }))
}

async fn send_chat_message(app: App, call: Call<NewMessage>) -> Result<EventStream, Problem> {
    let session = session(&call)?.clone();
    call.input.check()?;
    let options = SendOptions { after: last_event(&call.request), client_key: call.request.idempotency_key };
    let reply = app.chat().send(&session, call.input.message, options).await.map_err(of_chat)?;
    Ok(encode::respond(reply, call.request.wants_ndjson))
}

async fn list_chat_messages(app: App, call: Call<HistoryQuery>) -> Result<Bare<History>, Problem> {
    let session = session(&call)?;
    let limit = call.input.limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        return Err(Problem::invalid_request("The query parameter `limit` is 1 to 100"));
    }
    let messages = app.chat().history(session, limit).await.map_err(of_chat)?;
    let messages: Vec<_> = messages.into_iter().map(HistoryMessage::from).collect();
    Ok(Bare(History { count: messages.len(), messages }))
}

async fn follow_chat_session(app: App, call: Call<Nothing>) -> Result<EventStream, Problem> {
    let session = session(&call)?;
    let follow = app.chat().follow(session, last_event(&call.request)).await.map_err(of_chat)?;
    Ok(encode::respond(follow, call.request.wants_ndjson))
}

async fn cancel_chat_reply(app: App, call: Call<Nothing>) -> Result<Bare<CancelledReply>, Problem> {
    Ok(Bare(CancelledReply { cancelled: app.chat().cancel(session(&call)?).await }))
}

async fn renew_chat_session(app: App, call: Call<Nothing>) -> Result<Bare<RenewedSession>, Problem> {
    let (session_token, expires_in) = app.chat().renew(session(&call)?).map_err(of_chat)?;
    Ok(Bare(RenewedSession { session_token, expires_in }))
}

async fn end_chat_session(app: App, call: Call<Nothing>) -> Result<Bare<EndedSession>, Problem> {
    let actor = call.actor();
    app.chat().end(session(&call)?, call.audit(&actor, None)).await.map_err(of_chat)?;
    Ok(Bare(EndedSession { success: true, message: "The session has ended" }))
}

fn last_event(request: &RequestContext) -> Option<EventId> {
    request.last_event_id.as_deref().map(EventId::of_last_event)
}

fn opener(caller: &Caller) -> Result<&KeyCaller, Problem> {
    match caller {
        Caller::Key(key) => Ok(key),
        _ => Err(Refusal::WrongCredential.into()),
    }
}

/// The caller's session, if it is the one in the path. A malformed id is another conversation too.
fn session<I>(call: &Call<I>) -> Result<&SessionCaller, Problem> {
    let Caller::Session(session) = &call.caller else { return Err(Refusal::WrongCredential.into()) };
    is_own(session.conversation, call.request.param("id"))?;
    Ok(session)
}

fn is_own(own: ConversationId, named: Option<&str>) -> Result<(), Problem> {
    let named = named.and_then(|text| text.parse::<ConversationId>().ok());
    if named == Some(own) { Ok(()) } else { Err(Refusal::ConversationMismatch.into()) }
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_opens_its_own_conversation_alone() {
        let own = ConversationId(Ulid(5));
        assert!(is_own(own, Some(&own.to_string())).is_ok());
        let other = ConversationId(Ulid(6)).to_string();
        for named in [Some(other.as_str()), Some("nonsense"), Some(""), None] {
            let refused = is_own(own, named).unwrap_err();
            assert_eq!((refused.status().as_u16(), refused.code()), (403, "CONVERSATION_MISMATCH"), "{named:?}");
        }
    }

    #[test]
    fn a_message_has_1_to_10000_characters() {
        let check = |message: String| NewMessage { message }.check();
        assert!(check("ä".repeat(10_000)).is_ok());
        assert!(check("line\nline".to_owned()).is_ok());
        for wrong in ["x".repeat(10_001), String::new(), " \n".to_owned(), "a\u{0}".to_owned()] {
            assert_eq!(check(wrong).unwrap_err().status().as_u16(), 422);
        }
    }

    #[test]
    fn a_session_is_what_its_fields_say_and_a_message_may_bring_more() {
        let session: NewSession = serde_json::from_value(json!({"bot_id": "bot_x", "metadata": {"a": 1}})).unwrap();
        assert!(session.check().is_ok());
        // Whoever sends it believes that it is kept.
        let dropped = json!({"agent_id": "bot_x", "user": {"email": "ada@example.com"}});
        assert!(serde_json::from_value::<NewSession>(dropped).unwrap_err().to_string().contains("`user`"));
        assert!(serde_json::from_value::<NewMessage>(json!({"message": "hi", "stream": true})).is_ok());
        let long =
            json!({"agent_id": "bot_x", "user_identifier": "u".repeat(256), "metadata": {"a": "x".repeat(5000)}});
        let refused = serde_json::from_value::<NewSession>(long).unwrap().check().unwrap_err();
        let text = format!("{refused:?}");
        assert!(text.contains("user_identifier") && text.contains("metadata"), "{text}");
    }
}

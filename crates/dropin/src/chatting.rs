//! A visitor's message and its answer: as one JSON object, or line by line.

use access::{Access, Caller, Limit, Refusal, Tenant};
use ambient::{BotId, ConversationId, KeyId};
use api::App;
use chat::{ChatError, EventId, Numbered, Opener, Reply, ReplyErrorCode, ReplyEvent, SayTo, SendOptions};
use cluster::Bucket;
use futures_util::StreamExt;
use gate::{Bare, Call, EventStream, Operation, Problem, Routes};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use store::PageRequest;

use crate::{
    STATIC,
    lines::{self, HEARTBEAT, Lines},
    message::Message,
};

/// The environment's widget key, or a `tk_widget_` key.
const ACCESS: Access = Access::closed(Limit::DropIn).static_widget().widget();

pub(crate) const CHAT: Operation<Message, Bare<Answer>> =
    Operation::post("/v1/chat", "send_dropin_message", "Send a visitor's message; the answer comes whole.", ACCESS)
        .drop_in();
pub(crate) const CHAT_STREAM: Operation<Message, EventStream> = Operation::post(
    "/v1/chat/stream",
    "stream_dropin_message",
    "Send a visitor's message; the answer streams as NDJSON lines.",
    ACCESS,
)
.drop_in();
pub(crate) const LEGACY_CHAT: Operation<Message, EventStream> = Operation::post(
    "/chat",
    "stream_dropin_message_legacy",
    "Send a visitor's message; the answer streams as NDJSON lines (the older path).",
    ACCESS,
)
.drop_in();

pub(crate) fn mount(routes: &mut Routes<App>, bot: Option<BotId>) {
    routes.mount(CHAT, move |app, call| answer(app, call, bot));
    routes.mount(CHAT_STREAM, move |app, call| stream(app, call, bot));
    routes.mount(LEGACY_CHAT, move |app, call| stream(app, call, bot));
}

/// How far behind its message an answer is looked for.
const MAX_PARTS: u32 = 16;

/// The whole answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    /// The conversation.
    conversation_id: ConversationId,
    /// What was answered.
    message: String,
}

async fn answer(app: App, call: Call<Message>, bot: Option<BotId>) -> Result<Bare<Answer>, Problem> {
    let Begun { place, mut reply, .. } = begin(app, call, bot, false).await?;
    let mut text = String::new();
    while let Some(Numbered { event, .. }) = reply.next().await {
        match event {
            ReplyEvent::Delta(delta) => text.push_str(&delta),
            ReplyEvent::End { .. } => {
                let message = lines::answer(&text).to_owned();
                return Ok(Bare(Answer { conversation_id: place.conversation, message }));
            }
            ReplyEvent::Error { code, .. } => return Err(of_cut(code)),
            _ => {}
        }
    }
    Err(Problem::model_failed("the reply had no end"))
}

async fn stream(app: App, call: Call<Message>, bot: Option<BotId>) -> Result<EventStream, Problem> {
    let named = call.request.idempotency_key.is_some();
    let data = app.store().clone();
    let Begun { place, reply, after } = begin(app, call, bot, true).await?;
    let data = data.workspace(place.tenant);
    let lines = Lines::new(place.conversation, named, after);
    let stored = move |position: u64| {
        let data = data.clone();
        async move {
            // The answer is stored behind its message, and between them the parts of those that came to no end.
            for place_behind in 1..=MAX_PARTS {
                let page = PageRequest { page: u32::try_from(position).ok()?.checked_add(place_behind)?, per_page: 1 };
                let answer = data.messages(place.conversation, page).await.ok()?.rows.pop()?;
                match (answer.role.as_str(), answer.status.as_str()) {
                    ("assistant", "complete") => return Some(answer.content),
                    ("assistant", _) => {}
                    _ => return None,
                }
            }
            None
        }
    };
    Ok(EventStream::ndjson(lines::stream(reply, lines, HEARTBEAT, stored)))
}

/// A reply on its way.
struct Begun {
    place: Place,
    reply: Reply,
    /// The last event that the client has seen.
    after: Option<EventId>,
}

/// Stores the message and begins its answer, to the end also when the client leaves meanwhile: the reply is
/// then dropped, and with it the call to the model.
async fn begin(app: App, call: Call<Message>, bot: Option<BotId>, resumes: bool) -> Result<Begun, Problem> {
    let beginning = async move {
        let place = place(&app, &call, bot).await?;
        let opener = opener(&call.caller);
        let Call { input, request, .. } = call;
        let client_key = request.idempotency_key;
        // Only a client that named its message can come back to the reply.
        let after = request.last_event_id.filter(|_| resumes && client_key.is_some());
        let after = after.as_deref().map(EventId::of_last_event);
        let to = SayTo { tenant: place.tenant, conversation: place.conversation, opener, context_messages: None };
        let reply = app.chat().say(to, input.message, SendOptions { client_key, after }).await.map_err(of_chat)?;
        Ok(Begun { place, reply, after })
    };
    tokio::spawn(beginning).await.unwrap_or_else(|error| Err(Problem::unavailable(error)))
}

/// Where a message goes.
#[derive(Clone, Copy)]
struct Place {
    tenant: Tenant,
    conversation: ConversationId,
}

/// The key and the page of the request; none where the environment's key came with it.
fn opener(caller: &Caller) -> Option<Opener> {
    let Caller::Key(caller) = caller else { return None };
    Some(Opener { key: caller.key, epoch: caller.epoch, origin: caller.origin.clone() })
}

/// The conversation of the visitor, made at the first message. Visitors of two keys never share one.
async fn place(app: &App, call: &Call<Message>, bot: Option<BotId>) -> Result<Place, Problem> {
    call.input.check()?;
    let (tenant, key) = match &call.caller {
        Caller::Static(caller) => (caller.tenant, None),
        Caller::Key(caller) => (caller.tenant, Some(caller.key)),
        _ => return Err(Refusal::WrongCredential.into()),
    };
    let data = app.store().workspace(tenant);
    let bot = match (key, &call.input.agent_id) {
        (None, _) => bot,
        (Some(_), None) => data.oldest_bot().await?,
        (Some(_), Some(id)) => {
            let unknown = || Problem::invalid_request("agentId is not one of your bots");
            let id: BotId = id.parse().map_err(|_| unknown())?;
            match data.bot(id).await {
                Ok(bot) => Some(bot.id),
                Err(store::StoreError::NotFound) => return Err(unknown()),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let bot = bot.ok_or_else(no_bot)?;
    let owner = key.map_or_else(|| STATIC.to_owned(), |key| key.to_string());
    if let Some(key) = key
        && !data.has_named(&owner, &call.input.session_id).await?
    {
        charge_session(app, key)?;
    }
    let found = data.conversation_by_name(&owner, &call.input.session_id, bot, key).await;
    let conversation = found.map_err(|error| match error {
        // It was deleted since.
        store::StoreError::NotFound => no_bot(),
        other => other.into(),
    })?;
    Ok(Place { tenant, conversation })
}

/// A visitor's first message opens what other surfaces call a session: were it free here, a key's ceiling on
/// them would be none.
fn charge_session(app: &App, key: KeyId) -> Result<(), Problem> {
    let handle = app.cluster().key_by_id(key).ok_or(Refusal::InvalidApiKey)?;
    let buckets = [Bucket::SessionsOfKey(key), Bucket::DailySessionsOf(&handle)];
    let verdict = app.cluster().charge(&buckets, app.clock().elapsed());
    if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
}

fn no_bot() -> Problem {
    Problem::unavailable("there is no bot to answer on the drop-in surface")
        .said_as(StatusCode::SERVICE_UNAVAILABLE, "No bot is configured")
}

fn of_chat(error: ChatError) -> Problem {
    match error {
        ChatError::Revoked => Refusal::InvalidApiKey.into(),
        ChatError::Ended => Problem::not_found(),
        // The conversation was there a moment ago: it is its bot that was deleted.
        ChatError::NotFound => no_bot(),
        other => api::problem_of_chat(other),
    }
}

/// What a client without a stream is told of a reply that was cut.
fn of_cut(code: ReplyErrorCode) -> Problem {
    match code {
        ReplyErrorCode::Revoked | ReplyErrorCode::Expired => Refusal::InvalidApiKey.into(),
        ReplyErrorCode::Ended => Problem::not_found(),
        ReplyErrorCode::Shutdown => Problem::unavailable("the server is stopping"),
        other => Problem::model_failed(format!("a drop-in reply failed: {}", other.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_key_is_401_and_a_deleted_conversation_404() {
        let status = |problem: Problem| problem.status().as_u16();
        assert_eq!(status(of_chat(ChatError::Revoked)), 401);
        assert_eq!(status(of_chat(ChatError::Ended)), 404);
        assert_eq!(status(of_chat(ChatError::Busy)), 429);
        assert_eq!(status(of_cut(ReplyErrorCode::Revoked)), 401);
        assert_eq!(status(of_cut(ReplyErrorCode::Expired)), 401);
        assert_eq!(status(of_cut(ReplyErrorCode::Ended)), 404);
        assert_eq!(status(of_cut(ReplyErrorCode::UpstreamTimeout)), 503);
    }
}

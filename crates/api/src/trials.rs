//! A person of the workspace tries a bot out: the same conversations and the same stream, without a key.

use access::{Access, Caller, Limit, MemberCaller, Refusal, Role};
use ambient::{BotId, ConversationId};
use chat::{EventId, Numbered, Reply, ReplyErrorCode, SendOptions};
use cluster::Bucket;
use futures_util::{Stream, StreamExt, stream};
use gate::{Call, Data, EventStream, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{App, encode, problem::of_chat, sessions::NewMessage, streamed::Leave};

pub(crate) const OPEN_TRIAL: Operation<Nothing, Data<OpenedTrial>> = Operation::post(
    "/v1/bots/{bot_id}/trials",
    "open_trial",
    "Open a conversation in which the person who is signed in tries a bot out.",
    Access::closed(Limit::Write).member(Role::Member),
)
.creates();
pub(crate) const SEND_TRIAL_MESSAGE: Operation<NewMessage, EventStream> = Operation::post(
    "/v1/trials/{id}/messages",
    "send_trial_message",
    "Say something in a trial of one's own; the reply streams as in a chat session, and costs what any reply costs.",
    Access::closed(Limit::Write).member(Role::Member),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(OPEN_TRIAL, open_trial);
    routes.mount(SEND_TRIAL_MESSAGE, send_trial_message);
}

/// A conversation that was just begun.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct OpenedTrial {
    /// Its id: it can be read where all conversations are, and its `channel` is `trial`.
    conversation_id: ConversationId,
    /// The bot's name.
    agent_name: String,
    /// The bot's first words.
    greeting: Option<String>,
    /// What the bot runs on.
    agent_model: String,
}

async fn open_trial(app: App, call: Call<Nothing>) -> Result<Data<OpenedTrial>, Problem> {
    let opened = app.chat().open_trial(person(&call.caller)?, call.id::<BotId>("bot_id")?).await.map_err(of_chat)?;
    Ok(Data::new(OpenedTrial {
        conversation_id: opened.conversation,
        agent_name: opened.agent_name,
        greeting: opened.greeting,
        agent_model: opened.agent_model,
    }))
}

async fn send_trial_message(app: App, call: Call<NewMessage>) -> Result<EventStream, Problem> {
    call.input.check()?;
    let (conversation, leave) = (call.id::<ConversationId>("id")?, Leave::take(&app, &call)?);
    let after = call.request.last_event_id.as_deref().map(EventId::of_last_event);
    let options = SendOptions { after, client_key: call.request.idempotency_key.clone() };
    let person = person(&call.caller)?;
    // Nobody but the person draws on the trial's budget.
    app.chat().check_trial(person, conversation).await.map_err(of_chat)?;
    let verdict = app.cluster().charge(&[Bucket::MessagesOf(conversation)], app.clock().elapsed());
    if !verdict.allowed {
        return Err(Problem::limited(verdict));
    }
    let reply = app.chat().say_in_trial(person, conversation, call.input.message, options).await.map_err(of_chat)?;
    Ok(encode::respond(while_allowed(reply, leave), call.request.wants_ndjson))
}

fn person(caller: &Caller) -> Result<&MemberCaller, Problem> {
    match caller {
        Caller::Member(person) => Ok(person),
        _ => Err(Refusal::WrongCredential.into()),
    }
}

/// The reply, until whoever reads it is removed or signed out.
fn while_allowed(reply: Reply, leave: Leave) -> impl Stream<Item = Numbered> + Send + Unpin + 'static {
    let ended = Box::pin(async move { leave.ended().await });
    let reading = (reply, ended, EventId { position: 0, number: 0 });
    let events = stream::unfold(Some(reading), |reading| async move {
        let (mut reply, mut ended, last) = reading?;
        tokio::select! {
            biased;
            _ = &mut ended => Some((Numbered { id: last, event: ReplyErrorCode::Ended.event() }, None)),
            event = reply.next() => {
                let event = event?;
                let id = event.id;
                Some((event, Some((reply, ended, id))))
            }
        }
    });
    Box::pin(events)
}

//! A chat to try a bot out. A script streams the answers; without it the page comes back with them.

use access::Role;
use ambient::{BotId, ConversationId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Bot, Message, Thread,
    integration::{Integration, is_connected},
};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble},
};

const SHOW_TRIAL: Operation<TrialQuery, Raw> =
    page("/_/bots/{id}/try", "show_trial_page", "A chat to try a bot out.", Role::Member);
const SAY_IN_TRIAL: Operation<Form, Raw> =
    form("/_/bots/{id}/try", "say_in_trial_page", "Say something to a bot that is tried out.", Role::Member);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_TRIAL, show);
    routes.mount(SAY_IN_TRIAL, say);
}

/// Which trial it goes on with.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
struct TrialQuery {
    /// The conversation of the trial, if it has begun.
    conversation: Option<String>,
}

#[derive(Deserialize)]
struct Opened {
    conversation_id: ConversationId,
}

/// What of a conversation tells whether it is a trial, and how long it is.
#[derive(Deserialize)]
struct Conversation {
    bot_id: String,
    message_count: u64,
}

#[derive(Template)]
#[template(path = "bots/try.html")]
struct TrialPage {
    frame: Frame,
    here: &'static str,
    bot: Bot,
    /// See [`is_connected`].
    is_connected: bool,
    conversation: Option<ConversationId>,
    messages: Vec<Message>,
    /// There are earlier ones than are shown.
    is_cut: bool,
    text: String,
    trouble: Trouble,
    /// Why the bot has not answered, or not to the end.
    failure: Option<String>,
}

/// What the person types, and what became of it.
#[derive(Default)]
struct Tried {
    text: String,
    trouble: Trouble,
    failure: Option<String>,
}

fn named(text: &str) -> Result<Option<ConversationId>, Problem> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| Problem::not_found()) }
}

async fn show(_: App, call: Call<TrialQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let conversation = named(call.input.conversation.as_deref().unwrap_or_default())?;
    trial(&desk, call.id("id")?, conversation, Tried::default()).await
}

async fn trial(
    desk: &Desk<'_>,
    bot: BotId,
    conversation: Option<ConversationId>,
    tried: Tried,
) -> Result<Raw, Problem> {
    let bot = Bot::read(desk, &bot.to_string()).await?;
    let mut thread = Thread { messages: Vec::new(), older: None, newer: None };
    if let Some(id) = conversation {
        let found = desk.get::<One<Conversation>>(Ask::to("get_conversation").at("id", id)).await?.data;
        if found.bot_id != bot.id {
            return Err(Problem::not_found());
        }
        thread = Thread::read(desk, id, found.message_count, None).await?;
    }
    let Tried { text, trouble, failure } = tried;
    desk.render(&TrialPage {
        frame: desk.frame(format!("Try {}", bot.name), "show_bots_page"),
        here: "try",
        is_connected: is_connected(&Integration::all_of(desk, &bot.id).await?),
        bot,
        conversation,
        messages: thread.messages,
        is_cut: thread.older.is_some(),
        text,
        trouble,
        failure,
    })
}

async fn say(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (bot, once) = (call.id::<BotId>("id")?, call.input.text("once"));
    let conversation = match named(call.input.text("conversation"))? {
        Some(conversation) => conversation,
        None => {
            let ask = Ask::to("open_trial").at("bot_id", bot).body(&json!({})).once(once);
            desk.get::<One<Opened>>(ask).await?.data.conversation_id
        }
    };
    let message = call.input.raw("message").replace("\r\n", "\n");
    let ask = Ask::to("send_trial_message").at("id", conversation).body(&json!({ "message": message })).once(once);
    let (tried, status) = match desk.ask(ask).await {
        Ok(answered) => match failure(&answered.body) {
            None => {
                let path = format!("/_/bots/{bot}/try?conversation={conversation}#message");
                return Ok(Raw::see_other(&path));
            }
            failure => (Tried { failure, ..Tried::default() }, StatusCode::OK.into()),
        },
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            (Tried { text: message, trouble, failure: None }, status)
        }
    };
    Ok(trial(&desk, bot, Some(conversation), tried).await?.with_status(status))
}

/// What a stream ends with, unless that is its end.
fn failure(stream: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stream);
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    let last: Value = last.and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    match last["type"].as_str() {
        Some("stream_end") => None,
        Some("error") => Some(last["message"].as_str().unwrap_or("The bot did not answer").to_owned()),
        _ => Some("The answer came to no end".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_at_its_end_what_failed() {
        let end =
            "id: 1-1\ndata: {\"type\":\"chunk\",\"delta\":\"error\"}\n\nid: 1-2\ndata: {\"type\":\"stream_end\"}\n\n";
        assert_eq!(failure(end.as_bytes()), None);
        let refused = "data: {\"type\":\"error\",\"error\":\"x\",\"message\":\"It refused\"}\n\n: heartbeat\n\n";
        assert_eq!(failure(refused.as_bytes()).as_deref(), Some("It refused"));
        assert!(failure(b"").is_some() && failure(b"data: {\"type\":\"chunk\"}\n\n").is_some());
    }
}

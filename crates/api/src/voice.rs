//! Voice sessions (seed S2): a room of the operator's LiveKit server, opened with a key.

use access::{Access, Caller, Limit, Refusal, Scope};
use ambient::{BotId, ConversationId};
use gate::{Bare, Call, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{App, problem::of_chat};

pub(crate) const CREATE_VOICE_SESSION: Operation<NewVoiceSession, Bare<OpenedVoiceSession>> = Operation::post(
    "/v1/chat/voice-sessions",
    "create_voice_session",
    "Open a voice session; its token lets the end user's browser into one room of LiveKit for an hour.",
    Access::closed(Limit::SessionCreate).key(Scope::ChatWrite).widget(),
)
.creates();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CREATE_VOICE_SESSION, create_voice_session);
}

/// A voice session to be opened. Other fields are ignored: existing widgets send more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct NewVoiceSession {
    /// The bot that answers, of the architecture `pipeline` or `realtime`: its `bot_…` id. `bot_id` is read as
    /// well.
    #[serde(alias = "bot_id")]
    agent_id: String,
}

/// An open voice session.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct OpenedVoiceSession {
    /// The room: the id of its conversation.
    room_name: ConversationId,
    /// LiveKit's access token to this room: 1 hour, and nothing calls it back.
    token: String,
    /// Where the browser connects.
    livekit_url: String,
    /// The bot's name.
    agent_name: String,
}

async fn create_voice_session(app: App, call: Call<NewVoiceSession>) -> Result<Bare<OpenedVoiceSession>, Problem> {
    let bot: BotId = call.input.agent_id.parse().map_err(|_| Problem::not_found())?;
    let Caller::Key(opener) = &call.caller else { return Err(Refusal::WrongCredential.into()) };
    let opened = app.chat().open_voice(opener, bot).await.map_err(of_chat)?;
    Ok(Bare(OpenedVoiceSession {
        room_name: opened.conversation,
        token: opened.token,
        livekit_url: opened.url,
        agent_name: opened.agent_name,
    }))
}

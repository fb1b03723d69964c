//! Bots: what answers.

use std::collections::BTreeMap;

use access::{Access, Limit, Role, Scope};
use ambient::{BotId, Millis};
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{BotChange, BotRecord, NewBot as NewRecord, Workspace};

use crate::{App, input};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::BotsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::BotsWrite).audited();

pub(crate) const LIST_BOTS: Operation<PageQuery, List<Bot>> =
    Operation::get("/v1/bots", "list_bots", "List bots, the newest first.", READ);
pub(crate) const CREATE_BOT: Operation<NewBot, Data<Bot>> =
    Operation::post("/v1/bots", "create_bot", "Create a bot; it echoes until it has an integration.", WRITE).creates();
pub(crate) const GET_BOT: Operation<Nothing, Data<Bot>> =
    Operation::get("/v1/bots/{id}", "get_bot", "Read a bot.", READ);
pub(crate) const UPDATE_BOT: Operation<BotPatch, Data<Bot>> =
    Operation::patch("/v1/bots/{id}", "update_bot", "Change a bot; its next reply knows.", WRITE);
pub(crate) const DELETE_BOT: Operation<Nothing, Empty> = Operation::delete(
    "/v1/bots/{id}",
    "delete_bot",
    "Delete a bot and its integrations; its conversations stay readable.",
    WRITE,
)
.answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_BOTS, list_bots);
    routes.mount(CREATE_BOT, create_bot);
    routes.mount(GET_BOT, get_bot);
    routes.mount(UPDATE_BOT, update_bot);
    routes.mount(DELETE_BOT, delete_bot);
}

/// How a bot talks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Architecture {
    /// By text.
    #[default]
    Text,
    /// By voice: speech to text, a model, text to speech.
    Pipeline,
    /// By voice: one model that hears and speaks.
    Realtime,
}

impl Architecture {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Pipeline => "pipeline",
            Self::Realtime => "realtime",
        }
    }
}

/// A bot to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBot {
    /// What people call it, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// What it is for, at most 500 characters.
    #[serde(default)]
    description: Option<String>,
    /// Its first words, at most 2,000 characters.
    #[serde(default)]
    greeting: Option<String>,
    /// The system message, at most 32,000 characters.
    #[serde(default)]
    instructions: Option<String>,
    /// How it talks.
    #[serde(default)]
    architecture: Architecture,
    /// How many messages of the conversation the model is shown, 1 to 100; 10 by default.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    context_messages: u32,
}

const fn ten() -> u32 {
    10
}

/// What is to be different about a bot; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BotPatch {
    /// What people call it, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// What it is for, at most 500 characters.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    description: Option<Option<String>>,
    /// Its first words, at most 2,000 characters.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    greeting: Option<Option<String>>,
    /// The system message, at most 32,000 characters.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    instructions: Option<Option<String>>,
    /// How it talks.
    #[serde(default)]
    architecture: Option<Architecture>,
    /// How many messages of the conversation the model is shown, 1 to 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    context_messages: Option<u32>,
}

/// What answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Bot {
    /// Its id.
    id: BotId,
    /// What people call it.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Its first words.
    greeting: Option<String>,
    /// The system message.
    instructions: Option<String>,
    /// `text`, `pipeline` or `realtime`.
    architecture: String,
    /// How many messages of the conversation the model is shown.
    context_messages: u32,
    /// The model of its heaviest integration, or `echo`.
    model: String,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

impl Bot {
    fn of(record: BotRecord, model: String) -> Self {
        Self {
            id: record.id,
            name: record.name,
            description: record.description,
            greeting: record.greeting,
            instructions: record.instructions,
            architecture: record.architecture,
            context_messages: record.context_messages,
            model,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }

    async fn read(data: &Workspace, record: BotRecord) -> Result<Self, Problem> {
        let model = chat::model_of(&data.integrations(record.id).await?);
        Ok(Self::of(record, model))
    }
}

/// The rules of the texts, for both ways to set them.
fn check_texts(errors: &mut Vec<FieldError>, texts: [Option<&String>; 3], context_messages: Option<u32>) {
    for ((name, max), value) in
        [("description", 500), ("greeting", 2_000), ("instructions", 32_000)].into_iter().zip(texts)
    {
        input::optional_text(errors, name, value, max);
    }
    if let Some(count) = context_messages {
        field::range(errors, "context_messages", u64::from(count), 1, 100);
    }
}

impl NewBot {
    fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        input::name(&mut errors, &self.name, 100);
        let texts = [self.description.as_ref(), self.greeting.as_ref(), self.instructions.as_ref()];
        check_texts(&mut errors, texts, Some(self.context_messages));
        input::done(errors)
    }
}

impl BotPatch {
    fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        if let Some(name) = &self.name {
            input::name(&mut errors, name, 100);
        }
        let texts = [&self.description, &self.greeting, &self.instructions].map(|text| text.as_ref()?.as_ref());
        check_texts(&mut errors, texts, self.context_messages);
        input::done(errors)
    }

    fn names(&self) -> Vec<&'static str> {
        let sent = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("greeting", self.greeting.is_some()),
            ("instructions", self.instructions.is_some()),
            ("architecture", self.architecture.is_some()),
            ("context_messages", self.context_messages.is_some()),
        ];
        sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect()
    }
}

async fn list_bots(app: App, call: Call<PageQuery>) -> Result<List<Bot>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let page = data.bots(request).await?;
    // The newest is the first.
    let all = match (page.rows.last(), page.rows.first()) {
        (Some(oldest), Some(newest)) => data.integrations_of_bots(oldest.id, newest.id).await?,
        _ => Vec::new(),
    };
    let mut integrations: BTreeMap<BotId, Vec<_>> = BTreeMap::new();
    for integration in all {
        integrations.entry(integration.bot).or_default().push(integration);
    }
    let model = |bot: &BotRecord| chat::model_of(integrations.get(&bot.id).map_or(&[], Vec::as_slice));
    let bots = page.rows.iter().map(|record| Bot::of(record.clone(), model(record))).collect();
    Ok(List::of(page.with_rows(bots), request, std::convert::identity))
}

async fn create_bot(app: App, call: Call<NewBot>) -> Result<Data<Bot>, Problem> {
    call.input.check()?;
    let data = app.workspace(&call)?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "name": call.input.name })));
    let NewBot { name, description, greeting, instructions, architecture, context_messages } = call.input;
    let architecture = architecture.as_str().to_owned();
    let new = NewRecord { name, description, greeting, instructions, architecture, context_messages };
    let record = data.create_bot(new, audit).await?;
    Ok(Data::new(Bot::read(&data, record).await?))
}

async fn get_bot(app: App, call: Call<Nothing>) -> Result<Data<Bot>, Problem> {
    let data = app.workspace(&call)?;
    let record = data.bot(call.id("id")?).await?;
    Ok(Data::new(Bot::read(&data, record).await?))
}

async fn update_bot(app: App, call: Call<BotPatch>) -> Result<Data<Bot>, Problem> {
    let id = call.id::<BotId>("id")?;
    call.input.check()?;
    let data = app.workspace(&call)?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "fields": call.input.names() })));
    let BotPatch { name, description, greeting, instructions, architecture, context_messages } = call.input;
    let architecture = architecture.map(|architecture| architecture.as_str().to_owned());
    let change = BotChange { name, description, greeting, instructions, architecture, context_messages };
    let record = data.update_bot(id, change, audit).await?;
    Ok(Data::new(Bot::read(&data, record).await?))
}

async fn delete_bot(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let actor = call.actor();
    app.workspace(&call)?.delete_bot(call.id("id")?, call.audit(&actor, None)).await?;
    Ok(Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: serde_json::Value) -> String {
        format!("{:?}", serde_json::from_value::<NewBot>(body).unwrap().check().unwrap_err())
    }

    #[test]
    fn a_bot_has_defaults() {
        let bot: NewBot = serde_json::from_value(json!({"name": "Ada"})).unwrap();
        assert!(bot.check().is_ok());
        assert_eq!((bot.context_messages, bot.architecture), (10, Architecture::Text));
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let text = refused(json!({
            "name": "", "description": "d".repeat(501), "greeting": "g".repeat(2_001),
            "instructions": "i".repeat(32_001), "context_messages": 0,
        }));
        for field in ["name", "description", "greeting", "instructions", "context_messages"] {
            assert!(text.contains(&format!("field: \"{field}\"")), "{field}: {text}");
        }
        assert!(refused(json!({"name": "a", "context_messages": 101})).contains("context_messages"));
        assert!(refused(json!({"name": "a\u{0}b"})).contains("control"), "PostgreSQL has no room for it");
    }

    #[test]
    fn what_a_caller_may_not_say_is_refused() {
        for body in [json!({"name": "a", "id": "bot_1"}), json!({"name": "a", "model": "x"}), json!({"name": 1})] {
            assert!(serde_json::from_value::<NewBot>(body.clone()).is_err(), "{body}");
        }
        assert!(serde_json::from_value::<BotPatch>(json!({"architecture": "brain"})).is_err());
    }

    #[test]
    fn null_clears_and_absence_leaves() {
        let patch: BotPatch = serde_json::from_value(json!({"greeting": null, "name": "b"})).unwrap();
        assert_eq!((patch.greeting.clone(), patch.description.clone()), (Some(None), None));
        assert_eq!(patch.names(), ["name", "greeting"]);
        assert!(patch.check().is_ok());
        let long: BotPatch = serde_json::from_value(json!({"greeting": "g".repeat(2_001)})).unwrap();
        assert!(long.check().is_err());
    }
}

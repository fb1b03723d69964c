//! What the drop-in surface needs before its first message: a workspace, a bot, a model.

use access::{Actor, Tenant};
use ambient::{BotId, IntegrationId};
use api::App;
use chat::{ChatError, Headers, IntegrationUpdate, NewIntegration};
use credential::{Environment, StaticKey};
use gate::{CorsOrigins, DropInConfig};
use store::{AuditEntry, BotChange, IntegrationRecord, NewBot, NewWorkspace, StoreError, Workspace};

use crate::{
    StartError,
    config::{Concealed, CorsOrigin, DropIn},
};

/// Under these names the database keeps the bot that answers, and its integration with the environment's
/// model; empty is none.
const BOT: &str = "dropin_bot";
const INTEGRATION: &str = "dropin_integration";

const WORKSPACE_NAME: &str = "Default";
const BOT_NAME: &str = "Assistant";
const INSTRUCTIONS: &str =
    "You help visitors of a website in its chat window. Answer briefly and kindly, and say so when you do not know.";
/// Until the model begins, and between two parts of its answer.
const TIMEOUT_SECONDS: u32 = 60;
const ECHO: &str = "echo";
const OPENAI: &str = "openai";

/// Who answers under the environment's widget key, and for whom the gate opens.
pub(crate) struct Ready {
    pub(crate) bot: BotId,
    pub(crate) gate: DropInConfig,
}

/// Makes what is missing and brings the rest to the settings. Nothing without a widget key.
pub(crate) async fn prepare(settings: &DropIn, app: &App) -> Result<Option<Ready>, StartError> {
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let Some(widget) = &settings.widget_api_key else { return Ok(None) };
    let actor = Actor::system();
    let tenant = tenant(app, &actor).await?;
    let room = Room { app, settings, tenant, data: app.store().workspace(tenant), actor };
    let bot = room.bot().await?;
    room.model(bot).await?;
    let key = |text: &Concealed| StaticKey::new(text.expose().as_bytes(), app.random());
    let gate = DropInConfig {
        widget: Some(key(widget)?),
        admin: settings.admin_api_key.as_ref().map(key).transpose()?,
        tenant,
        origins: match &settings.cors_origin {
            CorsOrigin::Any => CorsOrigins::Any,
            CorsOrigin::Listed(origins) => CorsOrigins::Listed(origins.clone()),
        },
    };
    Ok(Some(Ready { bot, gate }))
}

/// The oldest workspace. One that is made here waits for its owner: the setup link still works.
async fn tenant(app: &App, actor: &Actor) -> Result<Tenant, StoreError> {
    let workspace = match app.store().default_workspace().await? {
        Some(workspace) => workspace,
        None => {
            let audit = AuditEntry { actor, action: "create_workspace", detail: None };
            app.store().create_unowned_workspace(NewWorkspace { name: WORKSPACE_NAME.to_owned() }, audit).await?
        }
    };
    Ok(Tenant { workspace: workspace.id, environment: Environment::Live })
}

struct Room<'a> {
    app: &'a App,
    settings: &'a DropIn,
    tenant: Tenant,
    data: Workspace,
    actor: Actor,
}

impl Room<'_> {
    fn audit(&self, action: &'static str) -> AuditEntry<'_> {
        AuditEntry { actor: &self.actor, action, detail: None }
    }

    /// The bot of earlier starts with everything that people have changed in it, but for what the settings
    /// say; a new one when it was deleted.
    async fn bot(&self) -> Result<BotId, StartError> {
        let context_messages = self.settings.max_history_messages;
        let known = match self.app.store().meta(BOT).await?.and_then(|text| text.parse().ok()) {
            Some(id) => found(self.data.bot(id).await)?,
            None => None,
        };
        match known {
            Some(bot) if bot.context_messages == context_messages => Ok(bot.id),
            Some(bot) => {
                let change = BotChange { context_messages: Some(context_messages), ..BotChange::default() };
                Ok(self.data.update_bot(bot.id, change, self.audit("update_bot")).await?.id)
            }
            None => {
                let new = NewBot {
                    name: BOT_NAME.to_owned(),
                    description: Some("Answers on the drop-in surface".to_owned()),
                    greeting: None,
                    instructions: Some(INSTRUCTIONS.to_owned()),
                    architecture: "text".to_owned(),
                    context_messages,
                };
                let bot = self.data.create_bot(new, self.audit("create_bot")).await?;
                self.app.store().set_meta(BOT, &bot.id.to_string()).await?;
                Ok(bot.id)
            }
        }
    }

    /// With a credential of a model the model answers, without it the echo; what people have added to the
    /// bot stays.
    async fn model(&self, bot: BotId) -> Result<(), StartError> {
        let known = match self.app.store().meta(INTEGRATION).await?.and_then(|text| text.parse().ok()) {
            Some(id) => found(self.data.integration(id).await)?.filter(|known| known.bot == bot),
            None => None,
        };
        match (&self.settings.openai_api_key, known) {
            (Some(key), Some(known)) => self.update_model(key, known.id).await,
            (Some(key), None) => self.add_model(key, bot).await,
            (None, Some(known)) => {
                // Its sealed credential goes with it.
                self.data.delete_integration(known.id, self.audit("delete_integration")).await?;
                self.app.store().set_meta(INTEGRATION, "").await?;
                self.weigh_echo(bot, 1, |others| others.iter().all(|other| other.weight == 0)).await
            }
            (None, None) => Ok(()),
        }
    }

    async fn add_model(&self, key: &Concealed, bot: BotId) -> Result<(), StartError> {
        let new = NewIntegration {
            name: Some(OPENAI.to_owned()),
            kind: OPENAI.to_owned(),
            url: Some(self.settings.openai_base_url.clone()),
            model: Some(self.settings.openai_model.clone()),
            headers: authorization(key),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            weight: None,
            fallback: None,
        };
        let audit = self.audit("create_integration");
        let made = self.app.chat().create_integration(self.tenant, bot, new, audit).await.map_err(of_model)?;
        self.app.store().set_meta(INTEGRATION, &made.id.to_string()).await?;
        self.weigh_echo(bot, 0, |_| true).await
    }

    async fn update_model(&self, key: &Concealed, id: IntegrationId) -> Result<(), StartError> {
        let change = IntegrationUpdate {
            kind: Some(OPENAI.to_owned()),
            url: Some(Some(self.settings.openai_base_url.clone())),
            model: Some(Some(self.settings.openai_model.clone())),
            headers: Some(authorization(key)),
            ..IntegrationUpdate::default()
        };
        let audit = self.audit("update_integration");
        self.app.chat().update_integration(self.tenant, id, change, audit).await.map(drop).map_err(of_model)
    }

    async fn weigh_echo(
        &self,
        bot: BotId,
        weight: u32,
        when: impl Fn(&[IntegrationRecord]) -> bool,
    ) -> Result<(), StartError> {
        let integrations = self.data.integrations(bot).await?;
        if !when(&integrations) {
            return Ok(());
        }
        for echo in integrations.iter().filter(|other| other.kind == ECHO && other.weight != weight) {
            let change = store::IntegrationChange { weight: Some(weight), ..store::IntegrationChange::default() };
            self.data.update_integration(echo.id, change, self.audit("update_integration")).await?;
        }
        Ok(())
    }
}

fn authorization(key: &Concealed) -> Headers {
    [("authorization", format!("Bearer {}", key.expose()))].into_iter().collect()
}

fn found<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names the variable that the operator has set wrongly.
fn of_model(error: ChatError) -> StartError {
    let named = match &error {
        ChatError::Invalid { field: "url", .. } => "OPENAI_BASE_URL",
        ChatError::Invalid { field: "model", .. } => "OPENAI_MODEL",
        ChatError::Invalid { field: "headers", .. } => "OPENAI_API_KEY",
        _ => return StartError::Model(error),
    };
    let ChatError::Invalid { message, .. } = error else { return StartError::Model(error) };
    StartError::Setting { name: named, message }
}

//! What `chatelaine try` puts into its data directory: one credential of each kind, ready to use.

mod examples;
mod lines;
mod shell;

use std::fmt;

use access::{Actor, KeyKind, Role, Scope, ScopeSet, Tenant};
use ambient::{BotId, DeploymentId, Millis, Random, ServiceAccountId, WorkflowId, WorkspaceId};
use anyhow::Context as _;
use api::App;
use cluster::NewKey;
use credential::{ApiKey, Environment, Family};
use serde::{Deserialize, Serialize};
use store::{AuditEntry, KeySettings, NewBot, NewServiceAccount, PageRequest, Workspace};

pub use examples::TrialWorkflow;
pub use lines::{Line, try_lines};

/// The pages that the widget key works on, besides `localhost`.
const DOMAIN: &str = "example.com";
const EMAIL: &str = "owner@try.example";
const NAME: &str = "Try";
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;
const FIRST: PageRequest = PageRequest { page: 1, per_page: 100 };

/// Where the server is and what opens it; the one JSON line of `chatelaine try --json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Trial {
    /// `http://127.0.0.1:8787`.
    pub url: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Its owner; null when the directory is from an earlier start, because passwords are not kept.
    pub owner: Option<TrialOwner>,
    /// A bot that repeats what it is told.
    pub bot_id: BotId,
    /// A service account with the role `admin`.
    pub service_account_id: ServiceAccountId,
    /// A survey; also among `workflows`.
    pub workflow_id: WorkflowId,
    /// Its deployment, which anybody may start.
    pub deployment_id: DeploymentId,
    /// The page on which anybody may answer the survey.
    pub survey_url: String,
    /// A page with the survey in the widget.
    pub survey_demo_url: String,
    /// The line that puts the survey on any page.
    pub survey_embed: String,
    /// The examples that ship with the product, each deployed. Their runs and links outlive a restart.
    pub workflows: Vec<TrialWorkflow>,
    /// A page with the chat on it; the widget key is in its fragment.
    pub demo_url: String,
    /// The line that puts the chat on a page of `example.com` or `localhost`.
    pub embed: String,
    /// The credentials, in clear.
    pub keys: TrialKeys,
}

/// Who may sign in.
#[derive(Clone, Serialize, Deserialize)]
pub struct TrialOwner {
    /// The address.
    pub email: String,
    /// In clear.
    pub password: String,
}

/// One key of each kind, in clear; those of the other deployments are with them.
#[derive(Clone, Serialize, Deserialize)]
pub struct TrialKeys {
    /// May everything.
    pub secret: String,
    /// Of the service account, with all of its scopes.
    pub service_account: String,
    /// Works on `https://example.com` and on `localhost`.
    pub widget: String,
    /// Starts and reads runs of the survey.
    pub deployment: String,
    /// May read bots and conversations, and nothing else.
    pub restricted: String,
}

impl Trial {
    /// The example of this name.
    fn workflow(&self, name: &str) -> Option<&TrialWorkflow> {
        self.workflows.iter().find(|one| one.name == name)
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("url", &self.url)
            .field("workspace_id", &self.workspace_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TrialOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrialOwner").field("email", &self.email).finish_non_exhaustive()
    }
}

impl fmt::Debug for TrialKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrialKeys(…)")
    }
}

/// What the database of a trial says of itself.
const MARK: &str = "made_by_try";

/// Makes what is missing, and new keys in any case: those of an earlier start are known to nobody. A deployment
/// has one key, which gets a new secret.
///
/// # Errors
/// When the database cannot be written, or is not a trial's.
pub(crate) async fn furnish(app: &App, url: &str) -> anyhow::Result<Trial> {
    let (workspace_id, owner) = match app.store().default_workspace().await? {
        Some(workspace) => {
            anyhow::ensure!(
                app.store().meta(MARK).await?.is_some(),
                "this data was set up by `chatelaine serve`, and `try` would add keys to it that may do everything; \
                 name another directory with --data"
            );
            (workspace.id, None)
        }
        None => {
            app.store().set_meta(MARK, "yes").await?;
            let password = random_password(app.random())?;
            let made =
                api::setup::bootstrap(app, NAME, EMAIL, &password).await.context("the workspace was not made")?;
            (made.workspace_id, Some(TrialOwner { email: EMAIL.to_owned(), password }))
        }
    };
    let tenant = Tenant { workspace: workspace_id, environment: Environment::Live };
    let maker = Maker { app, tenant, data: app.store().workspace(tenant), actor: Actor::system() };
    let bot_id = maker.bot().await?;
    let service_account_id = maker.service_account().await?;
    let reads = ScopeSet::NONE.with(Scope::BotsRead).with(Scope::ConversationsRead);
    let (server, widget) = ((KeyKind::Secret, Family::Secret), (KeyKind::Widget, Family::Widget));
    let pages = KeySettings { allowed_domains: vec![DOMAIN.to_owned()], ..KeySettings::default() };
    let workflows = examples::furnish(app, tenant, &maker.actor, bot_id).await?;
    let survey = workflows.iter().find(|one| one.name == examples::SURVEY).context("there is no survey")?.clone();
    let keys = TrialKeys {
        secret: maker.key("Try: everything", server, ScopeSet::ADMIN, KeySettings::default(), None).await?,
        service_account: maker
            .key(
                "Try: service account",
                (KeyKind::Secret, Family::ServiceAccount),
                Role::Admin.scopes(),
                KeySettings::default(),
                Some(service_account_id),
            )
            .await?,
        widget: maker.key("Try: widget", widget, ScopeSet::NONE, pages, None).await?,
        deployment: survey.key,
        restricted: maker.key("Try: reads only", server, reads, KeySettings::default(), None).await?,
    };
    Ok(Trial {
        demo_url: format!("{url}/demo#key={}&agent={bot_id}", keys.widget),
        embed: format!(
            "<script src=\"{url}/widget/chat-widget.js\" data-widget-key=\"{}\" data-agent-id=\"{bot_id}\" \
             async></script>",
            keys.widget
        ),
        url: url.to_owned(),
        workspace_id,
        owner,
        bot_id,
        service_account_id,
        workflow_id: survey.workflow_id,
        deployment_id: survey.deployment_id,
        survey_url: format!("{url}/s/{}", survey.deployment_id),
        survey_demo_url: format!("{url}/demo#deployment={}", survey.deployment_id),
        survey_embed: format!(
            "<script src=\"{url}/widget/chat-widget.js\" data-deployment-id=\"{}\" async></script>",
            survey.deployment_id
        ),
        workflows,
        keys,
    })
}

struct Maker<'a> {
    app: &'a App,
    tenant: Tenant,
    data: Workspace,
    actor: Actor,
}

impl Maker<'_> {
    fn audit(&self, action: &'static str) -> AuditEntry<'_> {
        AuditEntry { actor: &self.actor, action, detail: None }
    }

    async fn bot(&self) -> anyhow::Result<BotId> {
        if let Some(bot) = self.data.bots(FIRST).await?.rows.into_iter().find(|bot| bot.name == NAME) {
            return Ok(bot.id);
        }
        let bot = NewBot {
            name: NAME.to_owned(),
            description: Some("Repeats what it is told".to_owned()),
            greeting: Some("Hello! I repeat what you say.".to_owned()),
            instructions: None,
            architecture: "text".to_owned(),
            context_messages: 10,
        };
        Ok(self.data.create_bot(bot, self.audit("create_bot")).await?.id)
    }

    async fn service_account(&self) -> anyhow::Result<ServiceAccountId> {
        let accounts = self.data.service_accounts(FIRST).await?.rows;
        if let Some(account) =
            accounts.into_iter().find(|account| account.name == NAME && account.disabled_at.is_none())
        {
            return Ok(account.id);
        }
        let account = NewServiceAccount {
            environment: Environment::Live,
            name: NAME.to_owned(),
            description: None,
            role: Role::Admin,
            scopes: Role::Admin.scopes(),
            disabled_at: None,
        };
        let audit = self.audit("create_service_account");
        Ok(self.app.cluster().create_service_account(self.tenant, account, audit).await?.id)
    }

    async fn key(
        &self,
        name: &str,
        (kind, family): (KeyKind, Family),
        scopes: ScopeSet,
        settings: KeySettings,
        service_account: Option<ServiceAccountId>,
    ) -> anyhow::Result<String> {
        let expires_at: Millis = self.app.clock().now().plus(YEAR_MS);
        let new = NewKey {
            environment: Environment::Live,
            kind,
            name: name.to_owned(),
            scopes,
            settings,
            service_account,
            expires_at: Some(expires_at),
        };
        let made = self.app.cluster().create_key(self.tenant, new, family, self.audit("create_api_key")).await;
        Ok(made.map(|(_, key): (_, ApiKey)| key.expose().to_owned())?)
    }
}

fn random_password(random: &dyn Random) -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

//! A server with two workspaces, and everybody who may come to its door.
#![expect(clippy::expect_used, reason = "a test without its world is over")]

use access::{Actor, KeyKind, Scope, ScopeSet, Tenant};
use ambient::{DeploymentId, KeyId, OsRandom, RunId, WorkspaceId};
use credential::{
    key::{Environment, Family},
    token::ParticipantClaims,
};
use serde_json::{Value, json};
use store::{AuditEntry, KeySettings, NewDeployment, NewMember, NewWorkflow, NewWorkspace};

use crate::{Answer, Backend, Client, Events, Options, Persona, TestDatabase, TestServer, Upstream};

/// The domain of [`World::widget`].
pub const DOMAIN: &str = "example.com";
/// The password of every person.
pub const PASSWORD: &str = "a few easy words";
/// A page there.
pub const ORIGIN: &str = "https://example.com";

/// Two workspaces on one server. Each persona is made when it is asked for, by the first
/// workspace's owner key.
#[derive(Debug)]
pub struct World {
    server: TestServer,
    workspace: WorkspaceId,
    other_workspace: WorkspaceId,
    secret: Persona,
    other: Persona,
}

impl World {
    /// A new world.
    ///
    /// # Panics
    /// When its server does not start.
    pub async fn new(backend: Backend) -> Self {
        Self::with(backend, Options::default()).await
    }

    /// As [`World::new`], with options.
    ///
    /// # Panics
    /// When its server does not start.
    pub async fn with(backend: Backend, options: Options) -> Self {
        let server = TestServer::start_with(backend, options).await;
        let (workspace, secret) = found(&server, "Acme", "secret").await;
        let (other_workspace, other) = found(&server, "Other", "other_workspace").await;
        Self { server, workspace, other_workspace, secret, other }
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &TestServer {
        &self.server
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &store::Store {
        self.server.running().app().store()
    }

    /// A client without a credential.
    #[must_use]
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// The first workspace.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The second.
    #[must_use]
    pub fn other_workspace(&self) -> WorkspaceId {
        self.other_workspace
    }

    /// Stops the server and starts it again on the same data.
    #[must_use]
    pub async fn restart(self) -> Self {
        let server = self.server.restart().await;
        let client = server.client();
        Self { server, secret: self.secret.on(client), other: self.other.on(client), ..self }
    }

    /// The same with other options.
    #[must_use]
    pub async fn restart_with(self, change: impl FnOnce(&mut Options)) -> Self {
        let server = self.server.restart_with(change).await;
        let client = server.client();
        Self { server, secret: self.secret.on(client), other: self.other.on(client), ..self }
    }

    /// Stops the server, lets something be done with its data, and starts it again.
    #[must_use]
    pub async fn restart_after(self, meanwhile: impl AsyncFnOnce(&TestDatabase)) -> Self {
        let server = self.server.restart_after(meanwhile).await;
        let client = server.client();
        Self { server, secret: self.secret.on(client), other: self.other.on(client), ..self }
    }

    /// Stops the server and removes the data.
    pub async fn end(self) {
        drop(self.server.stop().await);
    }

    // Who comes to the door.

    /// Nobody in particular.
    #[must_use]
    pub fn anonymous(&self) -> Persona {
        Persona {
            name: "anonymous",
            client: self.client(),
            id: String::new(),
            credential: None,
            cookie: None,
            origin: None,
        }
    }

    /// A live secret key with the scope `admin`.
    #[must_use]
    pub fn secret(&self) -> Persona {
        self.secret.clone()
    }

    /// The same of another workspace.
    #[must_use]
    pub fn other_workspace_secret(&self) -> Persona {
        self.other.clone()
    }

    /// A secret key that reads bots and conversations, and nothing else.
    pub async fn restricted(&self) -> Persona {
        self.key("restricted", json!({"name": "Restricted", "scopes": ["bots:read", "conversations:read"]})).await
    }

    /// A test secret key with the scope `admin`.
    pub async fn test_secret(&self) -> Persona {
        self.key("test_secret", json!({"name": "Test", "environment": "test", "scopes": ["admin"]})).await
    }

    /// A widget key for pages on example.com, sent from one.
    pub async fn widget(&self) -> Persona {
        let body = json!({"name": "Widget", "kind": "widget", "allowed_domains": [DOMAIN]});
        self.key("widget", body).await.at(Some(ORIGIN))
    }

    /// The key of a service account with the role `admin`.
    pub async fn service_account(&self) -> Persona {
        self.account("service_account_admin", "admin").await.1
    }

    /// The key of a service account with the role `member`.
    pub async fn member_account(&self) -> Persona {
        self.account("service_account_member", "member").await.1
    }

    /// A session that the secret key has opened with an echo bot.
    pub async fn session(&self) -> Persona {
        self.open_session("session", &self.secret, &self.bot().await).await
    }

    /// A session that a widget key has opened, on the widget's page.
    pub async fn widget_session(&self) -> Persona {
        self.open_session("widget_session", &self.widget().await, &self.bot().await).await
    }

    /// The key of a new deployment; the deployment's id has the same number.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn deployment(&self) -> Persona {
        self.deployment_of(r#"{"type":"Workflow","id":"root","children":[]}"#).await
    }

    /// The same of a workflow with this definition.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn deployment_of(&self, definition: &str) -> Persona {
        let app = self.server.running().app();
        let actor = Actor::system();
        let audit = || AuditEntry { actor: &actor, action: "test", detail: None };
        let new = NewWorkflow { name: "W".to_owned(), definition: definition.to_owned() };
        let workflow = self.store().workspace(self.tenant()).create_workflow(new, audit()).await.expect("a workflow");
        let new = NewDeployment {
            id: DeploymentId::mint(app.clock(), &OsRandom).expect("randomness"),
            workflow: workflow.id,
            version: workflow.version,
            name: "D".to_owned(),
            survey_mode: true,
            daily_runs: None,
            daily_replies: None,
            runs_per_minute: None,
            input_mapping: None,
            challenge: "off".to_owned(),
            settings: KeySettings::default(),
        };
        let made = app.cluster().create_deployment(self.tenant(), new, audit()).await;
        let (_, record, key) = made.expect("a deployment");
        let credential = Some(key.expose().to_owned());
        Persona {
            name: "deployment",
            client: self.client(),
            id: record.id.to_string(),
            credential,
            cookie: None,
            origin: None,
        }
    }

    /// Who holds a token for this run and role of a deployment, in a browser.
    ///
    /// # Panics
    /// When `deployment` is none, or the role is empty.
    #[must_use]
    pub fn participant(&self, deployment: &Persona, run: RunId, role: &str) -> Persona {
        let claims = self.participant_claims(deployment, run, role);
        let token = self.server.running().tokens().sign_participant(&claims).expect("a token");
        let id = run.to_string();
        Persona {
            name: "participant",
            client: self.client(),
            id,
            credential: Some(token),
            cookie: None,
            origin: Some(ORIGIN.into()),
        }
    }

    /// What that token says.
    ///
    /// # Panics
    /// When `deployment` is none.
    #[must_use]
    pub fn participant_claims(&self, deployment: &Persona, run: RunId, role: &str) -> ParticipantClaims {
        let key: KeyId = deployment.id.parse().expect("a key's id");
        let now = self.server.running().app().clock().now();
        ParticipantClaims {
            run,
            role: role.to_owned(),
            deployment: DeploymentId(key.0),
            workspace: self.workspace,
            environment: Environment::Live,
            key,
            epoch: 0,
            issued_at: now,
            expires_at: now.plus(3_600_000),
        }
    }

    // What they need.

    /// A key made by the owner's; the body is that of `POST /v1/api-keys`.
    pub async fn key(&self, name: &'static str, body: Value) -> Persona {
        let made = self.secret.post("/v1/api-keys", &body).await.expect(201).data();
        self.holder(name, &made)
    }

    /// Whoever holds a key that an answer shows.
    ///
    /// # Panics
    /// When it shows none.
    #[must_use]
    pub fn holder(&self, name: &'static str, made: &Value) -> Persona {
        let id = made["id"].as_str().expect("an id").to_owned();
        let credential = Some(made["key"].as_str().expect("a plaintext key").to_owned());
        Persona { name, client: self.client(), id, credential, cookie: None, origin: None }
    }

    /// A service account of this role, and a key of it with all that the account holds.
    pub async fn account(&self, name: &'static str, role: &str) -> (String, Persona) {
        let made = self.secret.post("/v1/service-accounts", &json!({"name": name, "role": role})).await;
        let id = id_of(&made.expect(201));
        let made = self.secret.post(&format!("/v1/service-accounts/{id}/api-keys"), &json!({"name": name})).await;
        let key = self.holder(name, &made.expect(201).data());
        (id, key)
    }

    /// A person of this role in the first workspace, invited and signed in, on a page of the server's own.
    ///
    /// # Panics
    /// When one of the answers shows nothing.
    pub async fn member(&self, name: &'static str, role: &str) -> Persona {
        self.member_of(&self.secret, name, role).await
    }

    /// The same, invited by `inviter`. The address is `{name}@people.example`, the password [`PASSWORD`].
    ///
    /// # Panics
    /// When one of the answers shows nothing.
    pub async fn member_of(&self, inviter: &Persona, name: &'static str, role: &str) -> Persona {
        let email = format!("{}@people.example", name.replace('_', "-"));
        let invited = inviter.post("/v1/invitations", &json!({"email": email, "role": role})).await.expect(201).data();
        let accept = json!({"token": invited["token"], "name": name, "password": PASSWORD});
        let accepted = self.client().post("/v1/invitations/accept", &accept).send().await.expect(201);
        Persona { name, id: id_of(&accepted), ..self.sign_in(&email).await }
    }

    /// Whoever has this address, signed in in a new browser.
    ///
    /// # Panics
    /// When the answer sets no cookie.
    pub async fn sign_in(&self, email: &str) -> Persona {
        let body = json!({"email": email, "password": PASSWORD});
        let origin = self.server.url().to_owned();
        let answer = self.client().post("/v1/sign-in", &body).origin(&origin).send().await.expect(200);
        let cookie = answer.header("set-cookie").split(';').next().map(str::to_owned);
        Persona {
            name: "member",
            client: self.client(),
            id: id_of(&answer),
            credential: None,
            cookie: cookie.filter(|text| text.contains('=')),
            origin: Some(origin),
        }
    }

    /// A bot that says what it is told.
    pub async fn bot(&self) -> String {
        self.bot_of(&self.secret).await
    }

    /// The same, made by `maker`.
    pub async fn bot_of(&self, maker: &Persona) -> String {
        id_of(&maker.post("/v1/bots", &json!({"name": "Echo"})).await.expect(201))
    }

    /// A bot that answers with this model of the upstream alone.
    pub async fn bot_on(&self, upstream: &Upstream, model: &str) -> String {
        let bot = self.bot().await;
        self.switch_off(&bot).await;
        self.add_integration(&bot, upstream, model, json!({})).await;
        bot
    }

    /// Sets the weight of all of a bot's integrations to 0.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn switch_off(&self, bot: &str) {
        let list = self.secret.get(&format!("/v1/bots/{bot}/integrations")).await.expect(200).data();
        for integration in list.as_array().expect("a list") {
            let path = format!("/v1/integrations/{}", integration["id"].as_str().expect("an id"));
            let _ = self.secret.patch(&path, &json!({"weight": 0})).await.expect(200);
        }
    }

    /// Gives a bot this model of the upstream; `extra` adds to the body or replaces.
    ///
    /// # Panics
    /// When `extra` is no object.
    pub async fn add_integration(&self, bot: &str, upstream: &Upstream, model: &str, extra: Value) -> String {
        let mut body = json!({"name": model, "kind": "openai", "url": upstream.url(), "model": model});
        let body_members = body.as_object_mut().expect("an object");
        body_members.extend(extra.as_object().expect("an object").clone());
        id_of(&self.secret.post(&format!("/v1/bots/{bot}/integrations"), &body).await.expect(201))
    }

    /// A session that `opener` opens with `bot`, on the opener's origin.
    ///
    /// # Panics
    /// When the answer shows none.
    pub async fn open_session(&self, name: &'static str, opener: &Persona, bot: &str) -> Persona {
        let answer = opener.post("/v1/chat/sessions", &json!({"agent_id": bot})).await.expect(201).json();
        Persona {
            name,
            client: self.client(),
            id: answer["conversation_id"].as_str().expect("a conversation").to_owned(),
            credential: Some(answer["session_token"].as_str().expect("a token").to_owned()),
            cookie: None,
            origin: opener.origin.clone(),
        }
    }

    /// The tenant of the first workspace's live data.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant { workspace: self.workspace, environment: Environment::Live }
    }
}

/// Chatting, for whoever holds a session token.
impl Persona {
    /// The path of its messages.
    #[must_use]
    pub fn messages(&self) -> String {
        format!("/v1/chat/sessions/{}/messages", self.id)
    }

    /// Sends a message and reads the reply as it comes.
    pub async fn say(&self, message: &str) -> Events {
        self.request("POST", &self.messages()).json(&json!({"message": message})).stream().await
    }

    /// Its history.
    ///
    /// # Panics
    /// When there is none.
    pub async fn history(&self) -> Vec<Value> {
        let answer = self.get(&self.messages()).await.expect(200).json();
        answer["messages"].as_array().expect("messages").clone()
    }

    /// Ends the session.
    pub async fn end_session(&self) -> Answer {
        self.request("POST", &format!("/v1/chat/sessions/{}/end", self.id)).send().await
    }
}

/// `data.id` of an answer.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn id_of(answer: &Answer) -> String {
    answer.data()["id"].as_str().expect("an id").to_owned()
}

/// A workspace with its first key, as the command line makes them.
async fn found(server: &TestServer, name: &str, persona: &'static str) -> (WorkspaceId, Persona) {
    let app = server.running().app();
    let actor = Actor::system();
    let audit = |action| AuditEntry { actor: &actor, action, detail: None };
    let owner = NewMember {
        email: format!("owner@{}.example", name.to_lowercase()),
        name: String::new(),
        password_hash: "none".to_owned(),
    };
    let workspace = NewWorkspace { name: name.to_owned() };
    let (workspace, _) =
        app.store().create_workspace(workspace, owner, None, audit("create_workspace")).await.expect("a workspace");
    let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };
    let new = cluster::NewKey {
        environment: Environment::Live,
        kind: KeyKind::Secret,
        name: "Owner".to_owned(),
        scopes: ScopeSet::NONE.with(Scope::Admin),
        settings: KeySettings::default(),
        service_account: None,
        expires_at: None,
    };
    let (record, key) =
        app.cluster().create_key(tenant, new, Family::Secret, audit("create_api_key")).await.expect("a key");
    let persona = Persona {
        name: persona,
        client: server.client(),
        id: record.id.to_string(),
        credential: Some(key.expose().to_owned()),
        cookie: None,
        origin: None,
    };
    (workspace.id, persona)
}

//! What the operations are tried on: things of the first workspace's live data, new for each call
//! that may change them, so that whoever is admitted also succeeds.

use credential::webhook::sign_plain;
use gate::{Meta, Method};
use serde_json::{Value, json};
use testkit::{Persona, WIDGET_API_KEY, World, id_of};

use super::{forms::as_api, part::Part, people};
use crate::{
    agent_loops::waiting_execution,
    imports::{begin, large},
    webhooks::new_attempt,
    workflows::survey,
};

/// A request, without its credential.
pub(crate) struct Target {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// Whose messages the path names.
    pub(crate) session: Option<Persona>,
    /// Its signature, of an operation that takes what others sign.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The id that it names.
    id: String,
}

impl Target {
    /// The same, naming what never was.
    pub(crate) fn absent(&self) -> Self {
        let prefix = self.id.split_once('_').map_or("", |(prefix, _)| prefix);
        let absent = format!("{prefix}_00000000000000000000000001");
        let body =
            self.body.as_ref().map(|body| serde_json::from_str(&body.to_string().replace(&self.id, &absent)).unwrap());
        Self {
            path: self.path.replace(&self.id, &absent),
            body,
            session: self.session.clone(),
            headers: Vec::new(),
            id: absent,
            ..*self
        }
    }
}

/// Where targets come from.
pub(crate) struct Objects<'a> {
    world: &'a World,
    part: &'a Part,
    bot: String,
    integration: String,
    channel: String,
    /// What its messages are signed with.
    channel_secret: String,
    account: String,
    key: String,
    session: Persona,
    /// Under the environment's widget key.
    dropin: String,
    widget: String,
    /// The widget's script under the name of its version.
    script: String,
    voice_bot: String,
    workflow: String,
    connection: String,
    contact: String,
    import: String,
    agent_loop: String,
    execution: String,
    deployment: String,
    trigger: String,
    /// The token of a webhook.
    webhook: String,
    /// Where events go, and an attempt to reach it.
    endpoint: (String, String),
}

impl<'a> Objects<'a> {
    pub(crate) async fn new(world: &'a World, part: &'a Part) -> Self {
        let bot = world.bot().await;
        let list = world.secret().get(&format!("/v1/bots/{bot}/integrations")).await.expect(200).data();
        let say = world.client().post("/v1/chat", &json!({"sessionId": "object", "message": "hello"}));
        let said = say.header("x-api-key", WIDGET_API_KEY).send().await.expect(200).json();
        let demo = world.client().get("/demo").send().await.expect(200).text();
        let script = demo.split("/widget/").find(|part| part.starts_with("chat-widget-")).unwrap();
        let voice = json!({"name": "Voice", "architecture": "realtime"});
        let workflow = new_workflow(world).await;
        let deployment = new_deployment(world, &workflow).await;
        let agent_loop = new_loop(world, &bot).await;
        let (trigger, url) = new_trigger(world, &deployment).await;
        let (channel, channel_secret) = new_channel(world, &bot).await;
        Self {
            world,
            part,
            execution: new_execution(world, &agent_loop).await,
            agent_loop,
            trigger,
            channel,
            channel_secret,
            webhook: url.rsplit('/').next().unwrap().to_owned(),
            endpoint: new_attempt(world).await,
            deployment,
            workflow,
            connection: new_connection(world).await,
            contact: new_contact(world).await,
            import: begin(&world.secret(), "", "name\nAda\n").await,
            dropin: said["conversationId"].as_str().unwrap().to_owned(),
            widget: world.widget().await.id().to_owned(),
            script: script.split('"').next().unwrap().to_owned(),
            voice_bot: id_of(&world.secret().post("/v1/bots", &voice).await.expect(201)),
            integration: list[0]["id"].as_str().unwrap().to_owned(),
            account: world.account("object", "member").await.0,
            key: world.key("object", json!({"name": "Object"})).await.id().to_owned(),
            session: world.open_session("session", &world.secret(), &bot).await,
            bot,
        }
    }

    /// A request that succeeds for whoever is admitted and sees the object.
    pub(crate) async fn target(&self, operation: &Meta) -> Target {
        let (named, method) = as_api(operation);
        let reads = method == Method::Get;
        let mut session = None;
        let somebody = people::id(self.world, operation).await;
        let id = match named.as_str() {
            _ if somebody.is_some() => somebody.unwrap_or_default(),
            "/v1/chat/voice-sessions" => self.voice_bot.clone(),
            path if path.starts_with("/api/export/conversation") => self.session.id().to_owned(),
            path if !path.contains('{') => self.bot.clone(),
            path if path.starts_with("/v1/admin/conversations/") => self.dropin.clone(),
            path if path.starts_with("/widget/frame/") => self.widget.clone(),
            "/widget/{file}" => self.script.clone(),
            path if path.starts_with("/v1/chat/sessions/") => {
                let own = if reads { self.session.clone() } else { self.new_session().await };
                let id = own.id().to_owned();
                session = Some(own);
                id
            }
            // Of whoever sends it: see `people::of_the_sender`.
            path if path.starts_with("/v1/trials/") => self.session.id().to_owned(),
            path if path.starts_with("/v1/conversations/") && reads => self.session.id().to_owned(),
            path if path.starts_with("/v1/conversations/") => self.new_session().await.id().to_owned(),
            path if path.starts_with("/v1/api-keys/") && reads => self.key.clone(),
            path if path.starts_with("/v1/api-keys/") => {
                self.world.key("object", json!({"name": "Object"})).await.id().to_owned()
            }
            path if path.starts_with("/v1/service-accounts/") && reads => self.account.clone(),
            path if path.starts_with("/v1/service-accounts/") => self.new_account().await,
            path if path.starts_with("/v1/integrations/") && reads => self.integration.clone(),
            path if path.starts_with("/v1/integrations/") => self.new_integration().await,
            path if path.starts_with("/v1/channels/") && method != Method::Delete => self.channel.clone(),
            path if path.starts_with("/v1/channels/") => new_channel(self.world, &self.bot).await.0,
            path if path.starts_with("/v1/contacts/imports/") && reads => self.import.clone(),
            // Many rows, so that it is not over before it is stopped.
            path if path.starts_with("/v1/contacts/imports/") => {
                begin(&self.world.secret(), "match=none", large(2000, "p").0).await
            }
            path if path.starts_with("/v1/contacts/") && reads => self.contact.clone(),
            path if path.starts_with("/v1/contacts/") => new_contact(self.world).await,
            path if path.starts_with("/v1/connections/") && reads => self.connection.clone(),
            path if path.starts_with("/v1/connections/") => new_connection(self.world).await,
            path if path.starts_with("/v1/agent-loops/") && method != Method::Delete => self.agent_loop.clone(),
            path if path.starts_with("/v1/agent-loops/") => new_loop(self.world, &self.bot).await,
            "/v1/executions/{id}/cancel" => waiting_execution(self.world).await,
            path if path.starts_with("/v1/executions/") => self.execution.clone(),
            path if path.starts_with("/v1/bots/") && method != Method::Delete => self.bot.clone(),
            path if path.starts_with("/v1/bots/") => self.world.bot().await,
            path if path.starts_with("/v1/workflows/") && method != Method::Delete => self.workflow.clone(),
            path if path.starts_with("/v1/workflows/") => new_workflow(self.world).await,
            path if path.starts_with("/v1/deployments/") && reads => self.deployment.clone(),
            path if path.starts_with("/v1/triggers/") && method != Method::Delete => self.trigger.clone(),
            path if path.starts_with("/v1/triggers/") => {
                let deployment = new_deployment(self.world, &self.workflow).await;
                new_trigger(self.world, &deployment).await.0
            }
            "/api/webhooks/{token}" => self.webhook.clone(),
            path if path.starts_with("/v1/webhooks/") && method != Method::Delete => self.endpoint.0.clone(),
            path if path.starts_with("/v1/webhooks/") => new_webhook(self.world, &self.endpoint.0).await,
            path if path.starts_with("/v1/deployments/") => new_deployment(self.world, &self.workflow).await,
            // The steps of the run that is looked at, in order.
            "/api/participant/steps/{step_id}" => "score".to_owned(),
            path if path.starts_with("/api/participant/steps/") => "talk".to_owned(),
            path if path.starts_with("/api/public/surveys/") || path.starts_with("/s/") => {
                self.part.deployment.id().replace("key_", "dep_")
            }
            "/api/v1/runs/{id}/cancel" | "/v1/runs/{id}/cancel" => self.part.new_run().await,
            path if path.starts_with("/api/v1/runs/") || path.starts_with("/v1/runs/") => self.part.run.to_string(),
            path => panic!("say in matrix/objects.rs what {path} names"),
        };
        let names = |part: &str| part.starts_with('{');
        let path = operation.path.split('/').map(|part| if names(part) { id.as_str() } else { part });
        let mut path = path.collect::<Vec<_>>().join("/");
        if ["replay_webhook_attempt", "replay_webhook_attempt_page"].contains(&operation.id) {
            path = operation.path.replace("{id}", &id).replace("{attempt}", &self.endpoint.1);
        }
        if ["get_workflow_version", "show_workflow_version_page"].contains(&operation.id) {
            path = operation.path.replace("{id}", &id).replace("{version}", "1");
        }
        if operation.id == "draw_deployment_results" {
            path.push_str("?question=score");
        }
        let (body, mut headers) = (self.body(operation).await, Vec::new());
        if let (true, Some(body)) = (operation.id == "send_channel_message", &body) {
            let signature = sign_plain(self.channel_secret.as_bytes(), body.to_string().as_bytes());
            headers.push(("x-chatbot-signature", signature));
        }
        Target { method: operation.method.as_str(), path, body, session, headers, id }
    }

    async fn body(&self, operation: &Meta) -> Option<Value> {
        Some(match operation.id {
            "check_origin" => json!({"origin": "https://a.example.com", "allowed_domains": ["example.com"]}),
            "explain_access" => json!({"credential": "nonsense"}),
            "report_leaks" => json!([{"token": "nonsense"}]),
            "create_api_key" | "create_bot" | "create_service_account" | "create_service_account_key" => {
                json!({"name": "New"})
            }
            "update_agent_loop"
            | "update_api_key"
            | "update_bot"
            | "update_channel"
            | "update_connection"
            | "update_service_account"
            | "update_workflow"
            | "update_trigger" => json!({"name": "Renamed"}),
            "export_conversation_form" | "export_conversation_json" => json!({"conversation_id": self.session.id()}),
            "create_trigger" => json!({"kind": "webhook", "name": "New"}),
            "create_channel" => json!({"kind": "widget", "name": "New"}),
            "send_channel_message" => json!({"message": "hello", "user": {"id": "ada"}}),
            "create_webhook" => {
                make_room(self.world, &self.endpoint.0).await;
                json!({"url": "https://hooks.example.com/a", "events": ["run.failed"]})
            }
            "update_webhook" => json!({"description": "Changed"}),
            "recover_webhook" => json!({"since": "2026-01-01T00:00:00Z"}),
            "create_workflow" => json!({"name": "New", "definition": survey()}),
            "answer_participant_step" => json!({"value": 7}),
            "say_in_participant_step" => json!({"text": "hello"}),
            "create_participant_token" | "create_workspace_run_token" => json!({"role": "customer"}),
            "revoke_deployment" => json!({"runs": "finish"}),
            "create_connection" => connection(),
            "create_agent_loop" => json!({"name": "New", "prompt": "Help.", "bot_id": self.bot}),
            "run_agent_loop" => json!({"input": "hello"}),
            "create_integration" => json!({"name": "New", "kind": "echo"}),
            "update_integration" => json!({"weight": 3}),
            "create_chat_session" => json!({"agent_id": self.bot}),
            "create_voice_session" => json!({"agent_id": self.voice_bot}),
            "create_contact" => json!({"name": "New"}),
            "update_contact" => json!({"archived": true}),
            "import_contacts" | "cancel_contact_import" => json!({}),
            "update_credits" => json!({"metered": false}),
            "grant_credits" => json!({"amount": 5}),
            "send_dropin_message" | "stream_dropin_message" | "stream_dropin_message_legacy" => {
                json!({"sessionId": "matrix", "message": "hello"})
            }
            id if people::takes(id) => people::body(self.world, id).await,
            "send_chat_message" | "send_trial_message" => json!({"message": "hello"}),
            "rotate_api_key"
            | "test_webhook"
            | "rotate_webhook_secret"
            | "replay_webhook_attempt"
            | "cancel_execution"
            | "end_api_key_grace"
            | "end_chat_session"
            | "cancel_chat_reply"
            | "rotate_integration_secret"
            | "rotate_channel_secret"
            | "renew_chat_session"
            | "open_trial"
            | "create_deployment"
            | "create_run"
            | "call_webhook"
            | "cancel_run"
            | "cancel_workspace_run"
            | "start_public_survey"
            | "end_participant_step"
            | "renew_participant_token"
            | "start_survey_page"
            | "answer_survey_run_page" => json!({}),
            "complete_setup" | "complete_setup_page" => {
                let token = api::setup::issue(self.world.server().running().app()).await.unwrap();
                let email = format!("{}@example.com", &token[..16]);
                json!({"token": token, "email": email, "password": "a few easy words", "workspace_name": "New"})
            }
            _ if operation.form => return None,
            id if matches!(operation.method, Method::Post | Method::Patch) => {
                panic!("say in matrix/objects.rs what {id} takes")
            }
            _ => return None,
        })
    }

    async fn new_session(&self) -> Persona {
        self.world.open_session("session", &self.world.secret(), &self.bot).await
    }

    async fn new_account(&self) -> String {
        id_of(&self.world.secret().post("/v1/service-accounts", &json!({"name": "Object"})).await.expect(201))
    }

    async fn new_integration(&self) -> String {
        let body = json!({"name": "Object", "kind": "webhook", "url": "https://bot.example.com/answer"});
        // On a bot of its own: a bot has a limited number of them.
        let bot = self.world.bot().await;
        id_of(&self.world.secret().post(&format!("/v1/bots/{bot}/integrations"), &body).await.expect(201))
    }
}

/// The id of a new webhook channel, and what its messages are signed with.
async fn new_channel(world: &World, bot: &str) -> (String, String) {
    let body = json!({"kind": "webhook", "name": "Object", "reply_url": "https://app.example.com/replies"});
    let made = world.secret().post(&format!("/v1/bots/{bot}/channels"), &body).await.expect(201).data();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

/// Deletes what other calls have made: there is a most of them.
async fn make_room(world: &World, keep: &str) {
    let by = world.secret();
    let all = by.get("/v1/webhooks?per_page=100").await.expect(200).data();
    let all: Vec<_> = all.as_array().unwrap().iter().filter(|one| one["id"] != keep).collect();
    if all.len() > 40 {
        for one in all {
            let _ = by.delete(&format!("/v1/webhooks/{}", one["id"].as_str().unwrap())).await.expect(204);
        }
    }
}

async fn new_webhook(world: &World, keep: &str) -> String {
    make_room(world, keep).await;
    let body = json!({"url": "https://hooks.example.com/a", "events": ["run.failed"]});
    id_of(&world.secret().post("/v1/webhooks", &body).await.expect(201))
}

fn connection() -> Value {
    json!({"name": "New", "origin": "https://api.example.com", "headers": {"authorization": "Bearer a"}})
}

async fn new_contact(world: &World) -> String {
    id_of(&world.secret().post("/v1/contacts", &json!({"name": "Object"})).await.expect(201))
}

async fn new_connection(world: &World) -> String {
    id_of(&world.secret().post("/v1/connections", &connection()).await.expect(201))
}

async fn new_loop(world: &World, bot: &str) -> String {
    let body = json!({"name": "Object", "prompt": "Help.", "bot_id": bot});
    id_of(&world.secret().post("/v1/agent-loops", &body).await.expect(201))
}

async fn new_execution(world: &World, agent_loop: &str) -> String {
    id_of(&world.secret().post(&format!("/v1/agent-loops/{agent_loop}/run"), &json!({})).await.expect(202))
}

async fn new_workflow(world: &World) -> String {
    let body = json!({"name": "Object", "definition": survey()});
    id_of(&world.secret().post("/v1/workflows", &body).await.expect(201))
}

async fn new_deployment(world: &World, workflow: &str) -> String {
    let path = format!("/v1/workflows/{workflow}/deployments");
    id_of(&world.secret().post(&path, &json!({})).await.expect(201))
}

/// The id and the address of a new webhook.
async fn new_trigger(world: &World, deployment: &str) -> (String, String) {
    let body = json!({"kind": "webhook", "name": "Object"});
    let made = world.secret().post(&format!("/v1/deployments/{deployment}/triggers"), &body).await.expect(201).data();
    (made["id"].as_str().unwrap().to_owned(), made["url"].as_str().unwrap().to_owned())
}

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use access::{Access, Actor, Caller, KeyKind, Limit, Scope, ScopeSet, Tenant};
use ambient::{Clock, KeyId, ManualClock, Millis, SeededRandom};
use axum::{Router, body::Body};
use bytes::Bytes;
use cluster::{Cluster, ClusterConfig, NewKey};
use credential::{
    Parser, Secrets, StaticKey, Tokens,
    key::{Environment, Family},
    secret::RootSecret,
    token::{Algorithm, SessionClaims},
};
use gate::{
    Bare, Call, CorsOrigins, DropInConfig, EventStream, Gate, GateConfig, GateParts, Metrics, Nothing, Operation,
    OwnPages, Peer, Problem, RequestLog, Routes, SocketTasks,
};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{AuditEntry, KeySettings, NewBot, NewConversation, NewMember, NewWorkspace, Store};
use tower::ServiceExt;

pub(crate) const OWN: &str = "https://chat.example";
pub(crate) const WIDGET: &str = "a-widget-key-of-the-environment";
pub(crate) const ADMIN: &str = "an-admin-key-of-the-environment";

/// How many requests reached a handler.
pub(crate) type Reached = Arc<AtomicUsize>;

#[derive(Debug, Deserialize, JsonSchema)]
struct Say {
    /// What is said.
    message: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
struct ListQuery {
    /// How many.
    limit: Option<u32>,
}

/// What the handler was told.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Told {
    who: String,
    page: Option<String>,
    bound: Option<String>,
    idempotency_key: Option<String>,
    ours: bool,
}

pub(crate) fn told<I>(call: &Call<I>, tenant: Tenant) -> Bare<Told> {
    let bound = match &call.caller {
        Caller::Key(key) => key.origin.as_deref().map(str::to_owned),
        _ => None,
    };
    Bare(Told {
        who: call.actor().to_string(),
        page: call.request.origin.clone(),
        bound,
        idempotency_key: call.request.idempotency_key.clone(),
        ours: call.tenant().is_ok_and(|of| of == tenant),
    })
}

const CHAT: Operation<Say, Bare<Told>> =
    Operation::post("/v1/chat", "chat", "Chats.", Access::closed(Limit::DropIn).static_widget().widget()).drop_in();
const FAIL: Operation<Say, Bare<Told>> =
    Operation::post("/v1/chat/fail", "chat_fail", "Fails.", Access::closed(Limit::DropIn).static_widget()).drop_in();
const STREAM: Operation<Say, EventStream> =
    Operation::post("/v1/chat/stream", "stream", "Streams.", Access::closed(Limit::DropIn).static_widget()).drop_in();
const LIST: Operation<ListQuery, Bare<Told>> =
    Operation::get("/v1/admin/conversations", "admin_list", "Lists.", Access::closed(Limit::Public).static_admin())
        .drop_in();
const THREAD: Operation<Nothing, Bare<Told>> = Operation::get(
    "/v1/admin/conversations/{id}",
    "admin_thread",
    "Reads.",
    Access::closed(Limit::Public).static_admin(),
)
.drop_in();
const HEALTH: Operation<Nothing, Bare<Told>> =
    Operation::get("/health", "drop_in_health", "Lives.", Access::closed(Limit::Unlimited).public()).drop_in();
const ME: Operation<Nothing, Bare<Told>> =
    Operation::get("/v1/me", "me", "Says.", Access::closed(Limit::Read).any_credential());
const OPEN: Operation<Say, Bare<Told>> = Operation::post(
    "/v1/chat/sessions",
    "open_session",
    "Opens.",
    Access::closed(Limit::SessionCreate).key(Scope::ChatWrite).widget(),
);
const HISTORY: Operation<Nothing, Bare<Told>> =
    Operation::get("/v1/chat/sessions/{id}/messages", "history", "Reads.", Access::closed(Limit::History).session());

pub(crate) struct World {
    pub(crate) secret: String,
    pub(crate) widget: (KeyId, String),
    pub(crate) deployment: (KeyId, String),
    reached: Reached,
    pub(crate) router: Router,
    pub(crate) cluster: Cluster,
    store: Store,
    pub(crate) tenant: Tenant,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sockets: SocketTasks,
    _directory: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and the whole body.
    pub(crate) fn whole(&self) -> (u16, &str) {
        (self.status, &self.text)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// With both keys of the environment, for the pages of `origins`.
pub(crate) fn both(origins: CorsOrigins) -> impl FnOnce(Tenant) -> Option<DropInConfig> {
    move |tenant| {
        let key = |text: &str| Some(StaticKey::new(text.as_bytes(), &SeededRandom::new(9)).unwrap());
        Some(DropInConfig { widget: key(WIDGET), admin: key(ADMIN), tenant, origins })
    }
}

impl World {
    pub(crate) async fn new(drop_in: impl FnOnce(Tenant) -> Option<DropInConfig>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Millis(1_700_000_000_000)));
        let random = Arc::new(SeededRandom::new(7));
        let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
        let store = Store::open(&url, clock.clone(), random.clone()).await.unwrap();
        let secrets = Arc::new(Secrets::new(&RootSecret::generate(&*random).unwrap(), None));
        let parser = Arc::new(Parser::default());
        let tokens = Arc::new(Tokens::new(&secrets, Algorithm::Hs256, OWN).unwrap());
        let config = ClusterConfig { failures_per_minute: 1000, public_per_minute: 1000, ..ClusterConfig::default() };
        let cluster =
            Cluster::start(store.clone(), secrets.clone(), parser.clone(), clock.clone(), random.clone(), config);
        let cluster = cluster.await.unwrap();
        let actor = Actor::system();
        let audit = AuditEntry { actor: &actor, action: "test", detail: None };
        let owner = NewMember { email: "owner@example.com".into(), name: String::new(), password_hash: "x".into() };
        let (workspace, _) =
            store.create_workspace(NewWorkspace { name: "W".into() }, owner, None, audit.clone()).await.unwrap();
        let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };
        let key = async |kind, scopes, family, domains: Vec<String>| {
            let settings = KeySettings { allowed_domains: domains, ..KeySettings::default() };
            let environment = Environment::Live;
            let (service_account, expires_at) = (None, None);
            let new = NewKey { environment, kind, name: "K".into(), scopes, settings, service_account, expires_at };
            let (record, text) = cluster.create_key(tenant, new, family, audit.clone()).await.unwrap();
            (record.id, text.expose().to_owned())
        };
        let secret = key(KeyKind::Secret, ScopeSet::ADMIN, Family::Secret, Vec::new()).await.1;
        let domains = vec!["customer.example".to_owned()];
        let widget = key(KeyKind::Widget, ScopeSet::NONE, Family::Widget, domains).await;
        let deployment = key(KeyKind::Deployment, ScopeSet::NONE, Family::Deployment, Vec::new()).await;
        let sockets = SocketTasks::default();
        let gate = Gate::new(GateParts {
            cluster: cluster.clone(),
            store: store.clone(),
            parser,
            secrets,
            tokens: tokens.clone(),
            clock: clock.clone(),
            random,
            config: GateConfig {
                own_pages: OwnPages { origins: vec![OWN.to_owned()], hosts: Vec::new() },
                trusted_proxies: Vec::new(),
                body_limit: 8 * 1024,
                drop_in: drop_in(tenant),
            },
            metrics: Metrics::new(),
            log: RequestLog::off(),
            sockets: sockets.clone(),
        })
        .unwrap();
        let reached = Reached::default();
        let mut routes = routes(reached.clone(), tenant);
        crate::participants::mount(&mut routes, tenant);
        crate::sockets::mount(&mut routes);
        let router = routes.into_router(&gate);
        Self {
            secret,
            widget,
            deployment,
            reached,
            router,
            cluster,
            store,
            tenant,
            tokens,
            clock,
            sockets,
            _directory: directory,
        }
    }

    /// How many requests reached a handler so far.
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::Relaxed)
    }

    /// The clock goes on, so that budgets are full again.
    pub(crate) fn wait_a_minute(&self) {
        self.clock.advance(std::time::Duration::from_secs(60));
    }

    /// How many exposed keys the audit log tells of.
    pub(crate) async fn exposures(&self) -> u64 {
        let page = store::PageRequest { page: 1, per_page: 1 };
        self.store.workspace(self.tenant).audit(page, Some("api_key.exposed")).await.unwrap().total
    }

    pub(crate) async fn revoke_widget(&self) {
        self.revoke(self.widget.0).await;
    }

    pub(crate) async fn revoke(&self, key: KeyId) {
        let actor = Actor::system();
        let audit = AuditEntry { actor: &actor, action: "test", detail: None };
        let _ = self.cluster.revoke_key(self.tenant, key, audit).await.unwrap();
    }

    /// The path of a session's history and its token, opened with the widget key from `origin`.
    pub(crate) async fn session(&self, origin: &str) -> (String, String) {
        let actor = Actor::system();
        let audit = AuditEntry { actor: &actor, action: "test", detail: None };
        let data = self.store.workspace(self.tenant);
        let (description, greeting, instructions) = (None, None, None);
        let architecture = "text".to_owned();
        let bot = NewBot { name: "B".into(), description, greeting, instructions, architecture, context_messages: 10 };
        let bot = data.create_bot(bot, audit).await.unwrap().id;
        let (key, user_identifier, metadata) = (Some(self.widget.0), None, None);
        let channel = "session".into();
        let new = NewConversation { bot, channel, key, user_identifier, metadata, channel_id: None };
        let conversation = data.create_conversation(new).await.unwrap().id;
        let now = self.clock.now();
        let claims = SessionClaims {
            conversation,
            workspace: self.tenant.workspace,
            environment: self.tenant.environment,
            key: self.widget.0,
            epoch: 0,
            origin: Some(origin.to_owned()),
            issued_at: now,
            expires_at: now.plus(86_400_000),
        };
        let token = self.tokens.sign_session(&claims).unwrap();
        (format!("/v1/chat/sessions/{conversation}/messages"), format!("Bearer {token}"))
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.send_bytes(method, path, &headers, body).await
    }

    pub(crate) async fn send_bytes(&self, method: &str, path: &str, headers: &[(&str, &[u8])], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// One message under the environment's widget key, from the address 192.0.2.`last`.
    pub(crate) async fn chat_from(&self, last: u8) -> Answer {
        let request =
            Request::post("/v1/chat").header("x-api-key", WIDGET).extension(Peer(([192, 0, 2, last], 1).into()));
        self.ask(request.body(Body::from(r#"{"message":"hello"}"#)).unwrap()).await
    }

    pub(crate) async fn chat(&self, headers: &[(&str, &str)]) -> Answer {
        self.send("POST", "/v1/chat", headers, r#"{"message":"hello"}"#).await
    }
}

fn routes(reached: Reached, tenant: Tenant) -> Routes<Reached> {
    let mut routes = Routes::new(reached);
    let enter = |reached: &Reached| reached.fetch_add(1, Ordering::Relaxed);
    routes.mount(CHAT, move |reached, call| {
        enter(&reached);
        std::future::ready(Ok(told(&call, tenant)))
    });
    routes.mount(FAIL, |_, call| {
        std::future::ready(Err(match call.input.message.as_str() {
            "model" => Problem::model_failed("the model hung up"),
            "credits" => Problem::invalid_request("").said_as(http::StatusCode::PAYMENT_REQUIRED, "No credits"),
            _ => Problem::unavailable("the database is away"),
        }))
    });
    routes.mount(STREAM, |_, _| {
        let lines = futures_util::stream::iter([Bytes::from_static(b"{}\n")]);
        std::future::ready(Ok(EventStream::ndjson(lines)))
    });
    routes.mount(LIST, move |reached, call| {
        enter(&reached);
        std::future::ready(match call.input.limit {
            Some(0) => Err(Problem::invalid_request("`limit` is 1 to 200")),
            _ => Ok(told(&call, tenant)),
        })
    });
    routes.mount(THREAD, |_, _| std::future::ready(Err(Problem::not_found())));
    routes.mount(HEALTH, move |_, call| std::future::ready(Ok(told(&call, tenant))));
    routes.mount(ME, move |reached, call| {
        enter(&reached);
        std::future::ready(Ok(told(&call, tenant)))
    });
    routes.mount(OPEN, move |reached, call| {
        enter(&reached);
        std::future::ready(Ok(told(&call, tenant)))
    });
    routes.mount(HISTORY, move |reached, call| {
        enter(&reached);
        std::future::ready(Ok(told(&call, tenant)))
    });
    routes
}

//! A server without a socket: a workspace, its first key, and a clock that moves a
//! millisecond with each request.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ambient::{Clock, ManualClock, Millis, Random, SeededRandom};
use api::{App, AppParts, AppSettings};
use axum::{Router, body::Body};
use chat::{Chat, ChatParts, Credits, Prices};
use cluster::{Cluster, ClusterConfig};
use credential::{Algorithm, Parser, Prefixes, RootSecret, Secrets, Tokens};
use gate::{Gate, GateConfig, GateParts, Meta, Metrics, RequestLog};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) table: Vec<Meta>,
    /// The owner's first key: `admin`.
    pub(crate) key: String,
    pub(crate) ready: Arc<AtomicBool>,
    router: Router,
    clock: Arc<ManualClock>,
    _directory: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The value at a JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    pub(crate) fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_else(|| panic!("no text at {pointer}: {}", self.text)).to_owned()
    }

    pub(crate) fn code(&self) -> (u16, String) {
        (self.status, self.text_at("/error/code"))
    }

    /// The status and the fields that are wrong.
    pub(crate) fn wrong_fields(&self) -> (u16, Vec<String>) {
        let errors = self.at("/error/errors");
        let fields = errors.as_array().into_iter().flatten().map(|error| error["field"].as_str().unwrap().to_owned());
        (self.status, fields.collect())
    }

    /// Succeeds with `status`.
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

/// Who calls, and from which page.
#[derive(Clone, Copy)]
pub(crate) struct As<'a> {
    pub(crate) world: &'a World,
    pub(crate) credential: &'a str,
    pub(crate) origin: Option<&'a str>,
}

impl World {
    pub(crate) async fn empty() -> Self {
        let directory = TempDir::new().unwrap();
        let manual = Arc::new(ManualClock::new(Millis(1_700_000_000_000)));
        let clock: Arc<dyn Clock> = manual.clone();
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(7));
        let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
        let store = Store::open(&url, Arc::clone(&clock), Arc::clone(&random)).await.unwrap();
        let secrets = Arc::new(Secrets::new(&RootSecret::generate(&*random).unwrap(), None));
        let parser = Arc::new(Parser::new(Prefixes::default()).unwrap());
        let tokens = Arc::new(Tokens::new(&secrets, Algorithm::Hs256, "https://chat.example").unwrap());
        let cluster = Cluster::start(
            store.clone(),
            Arc::clone(&secrets),
            Arc::clone(&parser),
            Arc::clone(&clock),
            Arc::clone(&random),
            ClusterConfig { public_per_minute: 1000, ..ClusterConfig::default() },
        );
        let cluster = cluster.await.unwrap();
        let chat = Chat::new(ChatParts {
            store: store.clone(),
            cluster: cluster.clone(),
            outbound: outbound::Client::new(outbound::Policy::default()).unwrap(),
            secrets: Arc::clone(&secrets),
            tokens: Arc::clone(&tokens),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            drain: TaskTracker::new(),
            credits: Credits::new(store.clone(), Arc::clone(&clock), Prices::default(), TaskTracker::new()),
            livekit: None,
            session_life_ms: 24 * 3600 * 1000,
        });
        let runs = runs::Runs::new(runs::RunsParts {
            store: store.clone(),
            cluster: cluster.clone(),
            chat: chat.clone(),
            outbound: outbound::Client::new(outbound::Policy::default()).unwrap(),
            secrets: Arc::clone(&secrets),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            drain: TaskTracker::new(),
        });
        runs.resume();
        let webhooks = webhook::Webhooks::new(webhook::WebhooksParts {
            store: store.clone(),
            outbound: outbound::Client::new(outbound::Policy::default()).unwrap(),
            secrets: Arc::clone(&secrets),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            drain: TaskTracker::new(),
        });
        let imports = contacts::Imports::new(contacts::ImportsParts {
            store: store.clone(),
            clock: Arc::clone(&clock),
            drain: TaskTracker::new(),
        });
        let loops = loops::Loops::new(loops::LoopsParts {
            store: store.clone(),
            cluster: cluster.clone(),
            chat: chat.clone(),
            runs: runs.clone(),
            outbound: outbound::Client::new(outbound::Policy::default()).unwrap(),
            secrets: Arc::clone(&secrets),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            drain: TaskTracker::new(),
        });
        let (metrics, ready) = (Metrics::new(), Arc::new(AtomicBool::new(true)));
        let app = App::new(AppParts {
            store: store.clone(),
            cluster: cluster.clone(),
            chat,
            runs,
            loops,
            imports,
            webhooks,
            secrets: Arc::clone(&secrets),
            tokens: Arc::clone(&tokens),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            metrics: metrics.clone(),
            settings: AppSettings {
                public_url: "https://chat.example".to_owned(),
                version: "0.0.0",
                ready: Arc::clone(&ready),
            },
        });
        let gate = Gate::new(GateParts {
            cluster,
            store,
            parser,
            secrets,
            tokens,
            clock,
            random,
            config: GateConfig {
                own_pages: gate::OwnPages::default(),
                trusted_proxies: Vec::new(),
                body_limit: 256 * 1024,
                drop_in: None,
            },
            metrics,
            log: RequestLog::off(),
            sockets: gate::SocketTasks::default(),
        })
        .unwrap();
        let routes = api::routes(app.clone());
        let table = routes.table();
        Self {
            app,
            table,
            key: String::new(),
            ready,
            router: routes.into_router(&gate),
            clock: manual,
            _directory: directory,
        }
    }

    /// With a workspace and its first key.
    pub(crate) async fn new() -> Self {
        let mut world = Self::empty().await;
        let token = api::setup::issue(&world.app).await.unwrap();
        world.key = world.anyone().post("/v1/setup", setup_body(&token)).await.ok(201).text_at("/key");
        world
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn anyone(&self) -> As<'_> {
        self.with("")
    }

    pub(crate) fn owner(&self) -> As<'_> {
        self.with(&self.key)
    }

    pub(crate) fn with<'a>(&'a self, credential: &'a str) -> As<'a> {
        As { world: self, credential, origin: None }
    }

    /// A key of the owner's making; its id and text.
    pub(crate) async fn make_key(&self, body: Value) -> (String, String) {
        let made = self.owner().post("/v1/api-keys", body).await.ok(201);
        (made.text_at("/data/id"), made.text_at("/data/key"))
    }

    pub(crate) async fn make_bot(&self) -> String {
        self.owner().post("/v1/bots", json!({"name": "Ada", "greeting": "Hello!"})).await.ok(201).text_at("/data/id")
    }

    /// The actions in the audit log, the newest first.
    pub(crate) async fn log(&self) -> Vec<String> {
        let events = self.owner().get("/v1/audit-log?per_page=100").await.ok(200).at("/data");
        events.as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }
}

impl<'a> As<'a> {
    pub(crate) fn on_page(self, origin: &'a str) -> Self {
        Self { origin: Some(origin), ..self }
    }

    pub(crate) async fn get(self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    pub(crate) async fn patch(self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(body)).await
    }

    pub(crate) async fn delete(self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    async fn send(self, method: &str, path: &str, body: Option<Value>) -> Answer {
        // Within one millisecond the order of ids is not the order of making.
        self.world.clock.advance(Duration::from_millis(1));
        let mut request = Request::builder().method(method).uri(path);
        if !self.credential.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.credential));
        }
        if let Some(origin) = self.origin {
            request = request.header("origin", origin);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.world.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }
}

pub(crate) fn setup_body(token: &str) -> Value {
    json!({"token": token, "email": "Ada@Example.com", "password": "a few easy words", "workspace_name": "Acme"})
}

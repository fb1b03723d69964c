//! A database with a workspace and a bot, and nodes that work on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use access::{Actor, Tenant};
use ambient::{BotId, Clock, DeploymentId, OsRandom, Random, RunId, SystemClock, Ulid};
use chat::{Chat, ChatParts, Credits, NewIntegration, Prices};
use cluster::{Cluster, ClusterConfig};
use credential::{Algorithm, Digest, Environment, Parser, Prefixes, RootSecret, Secrets, Tokens};
use runs::{Runs, RunsParts};
use serde_json::Value;
use sqlx::{AnyConnection, Connection, any::AnyConnectOptions};
use store::{
    AuditEntry, DeploymentRecord, KeySettings, NewBot, NewDeployment, NewMember, NewWorkflow, NewWorkspace, RunRecord,
    SecretRecord, Store,
};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use workflow::{Event, RunStatus};

use crate::outside::Outside;

static SYSTEM: Actor = Actor::system();
static NUMBERS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn by(action: &str) -> AuditEntry<'_> {
    AuditEntry { actor: &SYSTEM, action, detail: None }
}

/// A database that is gone with [`Database::remove`], or with its directory.
pub(crate) struct Database {
    pub(crate) url: String,
    schema: Option<(String, String)>,
    _directory: tempfile::TempDir,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
        Self { url, schema: None, _directory: directory }
    }

    pub(crate) async fn postgres() -> Self {
        let base = postgres_url();
        let schema = format!("runs_{}_{}", std::process::id(), NUMBERS.fetch_add(1, Ordering::Relaxed));
        execute(&base, &format!("CREATE SCHEMA {schema}")).await;
        let mark = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{mark}options=-csearch_path%3D{schema}");
        Self { url, schema: Some((base, schema)), _directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn remove(self) {
        if let Some((base, schema)) = &self.schema {
            execute(base, &format!("DROP SCHEMA {schema} CASCADE")).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "where the databases of tests are is no configuration of the server")]
fn postgres_url() -> String {
    std::env::var("CHATELAINE_TEST_POSTGRES_URL").expect("run scripts/test, or set CHATELAINE_TEST_POSTGRES_URL")
}

async fn execute(url: &str, sql: &str) {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.parse().unwrap();
    let mut connection = AnyConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Runs a test on both databases.
pub(crate) async fn on_each(test: impl AsyncFn(World)) {
    for is_sqlite in [true, false] {
        println!("on {}", if is_sqlite { "SQLite" } else { "PostgreSQL" });
        let database = if is_sqlite { Database::sqlite() } else { Database::postgres().await };
        let outside = Outside::start().await;
        let node = Node::open(&database.url, Arc::new(SystemClock::new())).await;
        let (store, cluster) = (node.store.clone(), node.cluster.clone());
        test(World::new(node, outside).await).await;
        cluster.stop().await;
        store.close().await;
        database.remove().await;
    }
}

/// One server's worth of rooms.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) cluster: Cluster,
    pub(crate) chat: Chat,
    pub(crate) runs: Runs,
    pub(crate) clock: Arc<dyn Clock>,
    parts: Box<dyn Fn() -> RunsParts>,
}

impl Node {
    pub(crate) async fn open(url: &str, clock: Arc<dyn Clock>) -> Self {
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let store = Store::open(url, Arc::clone(&clock), Arc::clone(&random)).await.unwrap();
        // Not secret: every node of a test has the same.
        let root = RootSecret::generate(&ambient::SeededRandom::new(1)).unwrap();
        let secrets = Arc::new(Secrets::new(&root, None));
        let parser = Arc::new(Parser::new(Prefixes::default()).unwrap());
        let tokens = Arc::new(Tokens::new(&secrets, Algorithm::Hs256, "https://chat.example").unwrap());
        let (shared, config) = (Arc::clone(&secrets), ClusterConfig::default());
        let cluster = Cluster::start(store.clone(), shared, parser, Arc::clone(&clock), Arc::clone(&random), config);
        let cluster = cluster.await.unwrap();
        let policy = outbound::Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..outbound::Policy::default() };
        let (outbound, drain) = (outbound::Client::new(policy).unwrap(), TaskTracker::new());
        let chat = Chat::new(ChatParts {
            store: store.clone(),
            cluster: cluster.clone(),
            outbound: outbound.clone(),
            secrets: Arc::clone(&secrets),
            tokens,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            drain: drain.clone(),
            credits: Credits::new(store.clone(), Arc::clone(&clock), Prices::default(), drain.clone()),
            livekit: None,
            session_life_ms: 1000,
        });
        let again = (store.clone(), cluster.clone(), chat.clone(), Arc::clone(&clock));
        let parts = move || RunsParts {
            store: again.0.clone(),
            cluster: again.1.clone(),
            chat: again.2.clone(),
            outbound: outbound.clone(),
            secrets: Arc::clone(&secrets),
            clock: Arc::clone(&again.3),
            random: Arc::clone(&random),
            drain: drain.clone(),
        };
        let runs = Runs::new(parts());
        runs.resume();
        Self { store, cluster, chat, runs, clock, parts: Box::new(parts) }
    }

    /// Another driver on the same database.
    pub(crate) fn beside(&self) -> Runs {
        Runs::new((self.parts)())
    }

    /// Waits until a run is as it is wanted.
    pub(crate) async fn wait(&self, tenant: Tenant, run: RunId, wanted: impl Fn(&RunRecord) -> bool) -> RunRecord {
        let data = self.store.workspace(tenant);
        let look = async {
            loop {
                let record = data.run(run).await.unwrap();
                if wanted(&record) {
                    return record;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        match timeout(Duration::from_secs(20), look).await {
            Ok(record) => record,
            Err(_) => panic!("the run stands still: {:?}", data.run(run).await),
        }
    }

    pub(crate) async fn wait_for_step(&self, tenant: Tenant, run: RunId, step: &str) -> RunRecord {
        let at = |run: &RunRecord| run.status == "waiting" && run.current_step.as_deref() == Some(step);
        self.wait(tenant, run, at).await
    }

    pub(crate) async fn wait_for_end(&self, tenant: Tenant, run: RunId) -> RunStatus {
        self.wait(tenant, run, |run| run.finished_at.is_some()).await;
        self.runs.state(tenant, run).await.unwrap().status()
    }

    /// The whole timeline, whose numbers have no gap.
    pub(crate) async fn timeline(&self, tenant: Tenant, run: RunId) -> Vec<Event> {
        let events = self.runs.events(tenant, run, 0, 1000).await.unwrap();
        assert!(events.iter().zip(1..).all(|(event, number)| event.seq == number), "{events:?}");
        events
    }
}

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) outside: Outside,
    pub(crate) tenant: Tenant,
    pub(crate) bot: BotId,
}

impl World {
    pub(crate) async fn new(node: Node, outside: Outside) -> Self {
        let tenant = workspace(&node.store).await;
        let bot = NewBot {
            name: "Ada".to_owned(),
            description: None,
            greeting: None,
            instructions: Some("You are Ada.".to_owned()),
            architecture: "text".to_owned(),
            context_messages: 10,
        };
        let bot = node.store.workspace(tenant).create_bot(bot, by("create_bot")).await.unwrap().id;
        Self { node, outside, tenant, bot }
    }

    /// The bot asks this model from now on.
    pub(crate) async fn add_model(&self, model: &str) {
        let new = NewIntegration {
            kind: "openai".to_owned(),
            url: Some(format!("{}/v1", self.outside.url())),
            model: Some(model.to_owned()),
            weight: Some(1),
            ..NewIntegration::default()
        };
        self.node.chat.create_integration(self.tenant, self.bot, new, by("create_integration")).await.unwrap();
    }

    pub(crate) async fn deploy(&self, definition: &str) -> DeploymentRecord {
        self.deploy_with(definition, None).await
    }

    /// Stores and freezes a definition, with our bot in the place of `bot_example`.
    pub(crate) async fn deploy_with(&self, definition: &str, daily_replies: Option<u32>) -> DeploymentRecord {
        let definition = definition.replace("bot_example", &self.bot.to_string());
        let value: Value = serde_json::from_str(&definition).unwrap();
        workflow::Definition::parse(&value).unwrap();
        let data = self.node.store.workspace(self.tenant);
        let new = NewWorkflow { name: "w".to_owned(), definition };
        let workflow = data.create_workflow(new, by("create_workflow")).await.unwrap();
        let id = DeploymentId(Ulid::mint(&*self.node.clock, &OsRandom).unwrap());
        let new = NewDeployment {
            id,
            workflow: workflow.id,
            version: workflow.version,
            name: "d".to_owned(),
            survey_mode: true,
            daily_runs: None,
            daily_replies,
            runs_per_minute: None,
            input_mapping: None,
            challenge: "off".to_owned(),
            settings: KeySettings::default(),
        };
        let mut digest = [0; 32];
        OsRandom.fill(&mut digest).unwrap();
        let secret = SecretRecord {
            digest: Digest(digest),
            pepper_id: "pepper".to_owned(),
            display: "cf_live_x".to_owned(),
            created_at: self.node.clock.now(),
            expires_at: None,
            last_used_at: None,
            last_used_ip: None,
            uses: 0,
        };
        data.create_deployment(new, secret, by("create_deployment")).await.unwrap().0
    }

    pub(crate) async fn start(&self, deployment: &DeploymentRecord, input: Value) -> RunId {
        let run = self.node.runs.start(self.tenant, deployment, input, "api").await.unwrap();
        assert_eq!(run.status, "pending");
        run.id
    }
}

pub(crate) async fn workspace(store: &Store) -> Tenant {
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let owner =
        NewMember { email: format!("owner{number}@example.com"), name: String::new(), password_hash: "x".to_owned() };
    let new = NewWorkspace { name: "w".to_owned() };
    let (workspace, _) = store.create_workspace(new, owner, None, by("setup")).await.unwrap();
    Tenant { workspace: workspace.id, environment: Environment::Live }
}

pub(crate) fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind.as_str() == kind).count()
}

//! Both databases, empty, for one test.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use access::{Actor, KeyKind, Role, Scope, ScopeSet, Tenant};
use ambient::{
    BotId, Clock, DeploymentId, IntegrationId, ManualClock, Millis, SeededRandom, Ulid, WorkflowId, WorkspaceId,
};
use credential::{
    key::{Environment, Family},
    secret::Digest,
};
use sqlx::{AnyConnection, Connection, any::AnyConnectOptions};
use store::{
    AuditEntry, DeploymentRecord, KeySettings, NewBot, NewDeployment, NewEffect, NewIntegration, NewKey, NewMember,
    NewRun, NewServiceAccount, NewWorkflow, NewWorkspace, PageRequest, RunRecord, SecretRecord, Store, Workspace,
};

/// 2026-01-01.
pub(crate) const START: Millis = Millis(1_767_225_600_000);
pub(crate) const FIRST: PageRequest = PageRequest { page: 1, per_page: 100 };

static ACTOR: Actor = Actor::system();
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// A store on one of the databases, and a clock that stands still.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) clock: Arc<ManualClock>,
}

/// Runs a test on both databases; what it made is gone afterwards.
pub(crate) async fn on_each(test: impl AsyncFn(&World)) {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(format!("sqlite://{}/chatelaine.db", directory.path().display())).await;
    println!("on SQLite");
    test(&world).await;
    world.store.close().await;

    let (base, schema) = (postgres_url(), schema_name());
    run(&base, &format!("CREATE SCHEMA {schema}")).await;
    let mark = if base.contains('?') { '&' } else { '?' };
    let world = World::open(format!("{base}{mark}options=-csearch_path%3D{schema}")).await;
    println!("on PostgreSQL");
    test(&world).await;
    world.store.close().await;
    run(&base, &format!("DROP SCHEMA {schema} CASCADE")).await;
}

#[expect(clippy::disallowed_methods, reason = "where the databases of tests are is no configuration of the server")]
fn postgres_url() -> String {
    std::env::var("CHATELAINE_TEST_POSTGRES_URL").expect("run scripts/test, or set CHATELAINE_TEST_POSTGRES_URL")
}

fn schema_name() -> String {
    format!("store_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed))
}

/// Runs a statement past the store.
pub(crate) async fn run(url: &str, sql: &str) {
    let mut connection = connect(url).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A connection past the store.
pub(crate) async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.parse().unwrap();
    AnyConnection::connect_with(&options).await.unwrap()
}

/// Who does it in these tests.
pub(crate) fn by(action: &str) -> AuditEntry<'_> {
    AuditEntry { actor: &ACTOR, action, detail: None }
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

pub(crate) fn secret(n: u8) -> SecretRecord {
    SecretRecord {
        digest: digest(n),
        pepper_id: "pepper".to_owned(),
        display: format!("sk_live_{n:04}…{n:04}"),
        created_at: START,
        expires_at: None,
        last_used_at: None,
        last_used_ip: None,
        uses: 0,
    }
}

pub(crate) fn new_key(n: u8) -> NewKey {
    NewKey {
        environment: Environment::Live,
        kind: KeyKind::Secret,
        family: Family::Secret,
        name: format!("key {n}"),
        scopes: ScopeSet::NONE.with(Scope::BotsRead),
        settings: KeySettings::default(),
        service_account: None,
        expires_at: None,
        secret: secret(n),
    }
}

pub(crate) fn test_key(n: u8) -> NewKey {
    NewKey { environment: Environment::Test, ..new_key(n) }
}

pub(crate) fn new_account(name: &str) -> NewServiceAccount {
    NewServiceAccount {
        environment: Environment::Live,
        name: name.to_owned(),
        description: None,
        role: Role::Member,
        scopes: ScopeSet::NONE.with(Scope::ChatWrite),
        disabled_at: None,
    }
}

pub(crate) fn new_bot(name: &str) -> NewBot {
    NewBot {
        name: name.to_owned(),
        description: None,
        greeting: Some("Hello".to_owned()),
        instructions: None,
        architecture: "text".to_owned(),
        context_messages: 10,
    }
}

pub(crate) fn new_integration(bot: BotId, n: u128) -> NewIntegration {
    NewIntegration {
        id: IntegrationId(Ulid((u128::from(u32::MAX) << 90) + n)),
        bot,
        name: format!("model {n}"),
        kind: "openai".to_owned(),
        url: Some("https://model.example/v1".to_owned()),
        model: None,
        headers_sealed: Some(vec![0, 255, 1]),
        header_names: vec!["authorization".to_owned()],
        timeout_seconds: 7,
        weight: 3,
        fallback: true,
        secret_sealed: None,
    }
}

pub(crate) fn new_workflow(name: &str) -> NewWorkflow {
    NewWorkflow { name: name.to_owned(), definition: "{\"type\":\"Workflow\"}".to_owned() }
}

pub(crate) fn new_deployment(workflow: WorkflowId, n: u8) -> NewDeployment {
    NewDeployment {
        id: DeploymentId(Ulid((u128::from(u32::MAX) << 90) + u128::from(n))),
        workflow,
        version: 1,
        name: format!("deployment {n}"),
        survey_mode: false,
        daily_runs: None,
        daily_replies: None,
        runs_per_minute: None,
        input_mapping: None,
        challenge: "off".to_owned(),
        settings: KeySettings::default(),
    }
}

/// A deployment with the key of [`secret`] `n`.
pub(crate) async fn deploy(tenant: &Workspace, workflow: WorkflowId, n: u8) -> DeploymentRecord {
    let new = new_deployment(workflow, n);
    tenant.create_deployment(new, secret(n), by("create_deployment")).await.unwrap().0
}

/// A run with one effect, `begin`.
pub(crate) async fn started(tenant: &Workspace, deployment: DeploymentId) -> RunRecord {
    let (input, state) = ("{\"a\":1}".to_owned(), "{}".to_owned());
    let new = NewRun { deployment, origin: "api".to_owned(), input, state };
    let begin = NewEffect { id: "begin".to_owned(), kind: "begin".to_owned(), payload: "{}".to_owned(), due_at: START };
    tenant.create_run(new, vec![begin]).await.unwrap()
}

/// A workspace with a workflow that is deployed.
pub(crate) async fn deployed(world: &World, name: &str) -> (Workspace, WorkflowId, DeploymentId) {
    let (live, _) = world.tenant(name).await;
    let workflow = live.create_workflow(new_workflow("survey"), by("create_workflow")).await.unwrap().id;
    let deployment = deploy(&live, workflow, 1).await.id;
    (live, workflow, deployment)
}

impl World {
    pub(crate) async fn open(url: String) -> Self {
        let (clock, random) = (Arc::new(ManualClock::new(START)), Arc::new(SeededRandom::new(1)));
        let store = Store::open(&url, clock.clone(), random).await.unwrap();
        Self { store, url, clock }
    }

    /// Makes a workspace; the name is part of its owner's address.
    pub(crate) async fn workspace(&self, name: &str) -> WorkspaceId {
        let owner = NewMember {
            email: format!("{name}@example.com"),
            name: String::new(),
            password_hash: "$argon2id$".to_owned(),
        };
        let new = NewWorkspace { name: name.to_owned() };
        self.store.create_workspace(new, owner, None, by("setup")).await.unwrap().0.id
    }

    /// A workspace, seen by its live and by its test credentials.
    pub(crate) async fn tenant(&self, name: &str) -> (Workspace, Workspace) {
        let workspace = self.workspace(name).await;
        let of = |environment| self.store.workspace(Tenant { workspace, environment });
        (of(Environment::Live), of(Environment::Test))
    }

    pub(crate) fn advance(&self, millis: u64) -> Millis {
        self.clock.advance(Duration::from_millis(millis));
        self.clock.now()
    }
}

/// The actions in the log since the tenant was set up, the oldest first.
pub(crate) async fn logged(workspace: &Workspace) -> Vec<String> {
    let page = workspace.audit(FIRST, None).await.unwrap();
    assert_eq!(page.total, page.rows.len() as u64);
    let mut rows: Vec<_> =
        page.rows.into_iter().map(|row| (row.created_at, row.action)).filter(|row| row.1 != "setup").collect();
    rows.sort();
    rows.into_iter().map(|row| row.1).collect()
}

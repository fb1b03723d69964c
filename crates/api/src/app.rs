use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use ambient::{Clock, Random, Ulid, WorkspaceId};
use bytes::Bytes;
use chat::Chat;
use cluster::Cluster;
use contacts::Imports;
use credential::{secret::Secrets, token::Tokens};
use gate::{Metrics, Routes};
use loops::Loops;
use runs::Runs;
use store::{Store, Workspace};
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use webhook::Webhooks;

use crate::{
    leaks::{FetchReporterKeys, Reporters},
    password::Passwords,
    places::{Place, Places, Share},
    system::{Gauges, Probe},
};

/// What the handlers work with. Clones share.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: AppParts,
    passwords: Passwords,
    gauges: Gauges,
    probe: Probe,
    document: OnceLock<Bytes>,
    turns: [Mutex<()>; TURNS],
    counting: Semaphore,
    counters: Places<WorkspaceId>,
    pages: Places<WorkspaceId>,
    exports: Places<WorkspaceId>,
    tails: Places<WorkspaceId>,
    guesses: Places<IpAddr>,
    contact_searches: Places<WorkspaceId>,
    uploads: Places<WorkspaceId>,
    reporters: Reporters,
}

/// Things that are changed share this many turns; two that share one wait for each other, no more.
const TURNS: usize = 64;
/// Calls that look at every run of a deployment at the same time, of all workspaces; further ones wait.
const COUNTING: usize = 2;
/// The same of one workspace.
const COUNTERS: Share = Share { at_once: 1, waiting: 4, patience: Duration::from_secs(30) };
/// Pages of results that are made for a workspace at once: some megabytes each.
const PAGES: Share = Share { at_once: 2, waiting: 8, patience: Duration::from_secs(10) };
/// Exports that a workspace has at once.
const EXPORTS: Share = Share { at_once: 2, waiting: 4, patience: Duration::from_secs(10) };
/// People and programs that follow a workspace's requests at once.
const TAILS: Share = Share { at_once: 16, waiting: 0, patience: Duration::from_secs(1) };
/// Lists and counts of contacts that are made for a workspace at once: some of them go through all contacts.
const CONTACT_SEARCHES: Share = Share { at_once: 4, waiting: 64, patience: Duration::from_secs(10) };
/// Files that a workspace sends at once.
const UPLOADS: Share = Share { at_once: 2, waiting: 2, patience: Duration::from_secs(10) };
/// Tokens of triggers that are looked up at once for an address that guesses them.
const GUESSES: Share = Share { at_once: 2, waiting: 30, patience: Duration::from_secs(5) };

/// The parts of an [`App`], all of them running.
pub struct AppParts {
    /// The database.
    pub store: Store,
    /// The keyring and all that nodes share.
    pub cluster: Cluster,
    /// Replies and conversations.
    pub chat: Chat,
    /// Runs of workflows.
    pub runs: Runs,
    /// Imports of contacts.
    pub imports: Imports,
    /// Agent loops.
    pub loops: Loops,
    /// Delivery of events.
    pub webhooks: Webhooks,
    /// What is derived from the installation's secret.
    pub secrets: Arc<Secrets>,
    /// Signs what browsers are given.
    pub tokens: Arc<Tokens>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub random: Arc<dyn Random>,
    /// The numbers that `/metrics` shows.
    pub metrics: Metrics,
    /// What is configured.
    pub settings: AppSettings,
}

/// What the handlers know of the configuration.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Where this server is reached, without a slash at its end: `https://chat.example.com`.
    pub public_url: String,
    /// The version of the binary.
    pub version: &'static str,
    /// False while the server drains, and before it is up: `/readyz` answers 503 then.
    pub ready: Arc<AtomicBool>,
}

/// See [`App::count_turn`].
pub(crate) struct CountTurn<'a> {
    _turn: SemaphorePermit<'a>,
    _place: Place<WorkspaceId>,
}

impl App {
    /// Puts the parts together. Once for each [`Metrics`]: its numbers are registered here.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let gauges = Gauges::register(&parts.metrics);
        Self(Arc::new(Inner {
            passwords: Passwords::new(),
            gauges,
            probe: Probe::default(),
            document: OnceLock::new(),
            turns: std::array::from_fn(|_| Mutex::new(())),
            counting: Semaphore::new(COUNTING),
            counters: Places::new(COUNTERS),
            pages: Places::new(PAGES),
            exports: Places::new(EXPORTS),
            tails: Places::new(TAILS),
            guesses: Places::new(GUESSES),
            contact_searches: Places::new(CONTACT_SEARCHES),
            uploads: Places::new(UPLOADS),
            reporters: Reporters::default(),
            parts,
        }))
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The keyring and all that nodes share.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.0.parts.cluster
    }

    /// Replies and conversations.
    #[must_use]
    pub fn chat(&self) -> &Chat {
        &self.0.parts.chat
    }

    /// Runs of workflows.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.0.parts.runs
    }

    /// Delivery of events.
    #[must_use]
    pub fn webhooks(&self) -> &Webhooks {
        &self.0.parts.webhooks
    }

    /// Agent loops.
    #[must_use]
    pub fn loops(&self) -> &Loops {
        &self.0.parts.loops
    }

    /// What is derived from the installation's secret.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.0.parts.secrets
    }

    /// Signs what browsers are given.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.parts.tokens
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.0.parts.clock.as_ref()
    }

    /// Where random bytes come from.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        self.0.parts.random.as_ref()
    }

    /// The numbers that `/metrics` shows.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    /// What is configured.
    #[must_use]
    pub fn settings(&self) -> &AppSettings {
        &self.0.parts.settings
    }

    /// The data that the caller of `call` may reach.
    pub(crate) fn workspace<I>(&self, call: &gate::Call<I>) -> Result<Workspace, gate::Problem> {
        Ok(self.store().workspace(call.tenant()?))
    }

    /// Held from the look at a thing until its change: what was allowed of the old one is not done
    /// to the new one, and of two changes at once none is lost. On this node; rows have versions.
    pub(crate) async fn turn(&self, id: Ulid) -> MutexGuard<'_, ()> {
        // The low bits of an id are random.
        let slot = usize::try_from(id.0 % TURNS as u128).unwrap_or(0);
        self.0.turns[slot].lock().await
    }

    /// Held while every run of a deployment is looked at: that keeps a processor busy for a while.
    pub(crate) async fn count_turn(&self, of: WorkspaceId) -> Result<CountTurn<'_>, gate::Problem> {
        // First the workspace's own: in the line for the others' there is one of each.
        let place = self.0.counters.take(of).await?;
        let turn = self.0.counting.acquire().await.map_err(gate::Problem::unavailable)?;
        Ok(CountTurn { _turn: turn, _place: place })
    }

    pub(crate) fn pages(&self) -> &Places<WorkspaceId> {
        &self.0.pages
    }

    pub(crate) fn exports(&self) -> &Places<WorkspaceId> {
        &self.0.exports
    }

    pub(crate) fn tails(&self) -> &Places<WorkspaceId> {
        &self.0.tails
    }

    pub(crate) fn contact_searches(&self) -> &Places<WorkspaceId> {
        &self.0.contact_searches
    }

    pub(crate) fn uploads(&self) -> &Places<WorkspaceId> {
        &self.0.uploads
    }

    /// Imports of contacts.
    #[must_use]
    pub fn imports(&self) -> &Imports {
        &self.0.parts.imports
    }

    pub(crate) fn guesses(&self) -> &Places<IpAddr> {
        &self.0.guesses
    }

    pub(crate) fn reporters(&self) -> &Reporters {
        &self.0.reporters
    }

    /// Believes reports of leaks that are signed with the keys that `fetch` gets; the first time counts.
    pub fn trust_leak_reports(&self, fetch: FetchReporterKeys) {
        self.0.reporters.trust(fetch);
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(crate) fn gauges(&self) -> &Gauges {
        &self.0.gauges
    }

    pub(crate) fn probe(&self) -> &Probe {
        &self.0.probe
    }

    /// Writes the OpenAPI document of `routes`; the first time counts.
    pub(crate) fn describe(&self, routes: &Routes<Self>) {
        self.0.document.get_or_init(|| crate::system::document(routes, self.settings()));
    }

    pub(crate) fn document(&self) -> Bytes {
        self.0.document.get().cloned().unwrap_or_default()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("settings", self.settings()).finish_non_exhaustive()
    }
}

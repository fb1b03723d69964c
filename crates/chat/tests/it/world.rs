//! One server's worth of rooms without HTTP: a workspace, a key, a bot, and a session with it.

use std::{sync::Arc, time::Duration};

use access::{Actor, KeyCaller, KeyKind, ScopeSet, SessionCaller, Tenant};
use ambient::{BotId, Clock, IntegrationId, KeyId, Millis, OsRandom, Random, SystemClock};
use chat::{
    Chat, ChatError, ChatParts, Credits, Headers, NewIntegration, Numbered, OpenSession, OpenedSession, Opener, Prices,
    Reply, ReplyEvent, SendOptions,
};
use cluster::{Cluster, ClusterConfig};
use credential::{Algorithm, Environment, Family, LiveKit, Parser, Prefixes, RootSecret, Secrets, Tokens};
use futures_util::{Stream, StreamExt};
use store::{AuditEntry, BotChange, KeySettings, MessageRecord, NewBot, NewMember, NewWorkspace, Store};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::upstream::Upstream;

pub(crate) struct World {
    pub(crate) chat: Chat,
    pub(crate) store: Store,
    pub(crate) cluster: Cluster,
    secrets: Arc<Secrets>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tenant: Tenant,
    pub(crate) key: KeyId,
    pub(crate) bot: BotId,
    pub(crate) upstream: Upstream,
    pub(crate) drain: TaskTracker,
    pub(crate) directory: TempDir,
}

static SYSTEM: Actor = Actor::system();

pub(crate) fn audit() -> AuditEntry<'static> {
    AuditEntry { actor: &SYSTEM, action: "test", detail: None }
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock::new()), Arc::new(OsRandom));
        let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
        let store = Store::open(&url, Arc::clone(&clock), Arc::clone(&random)).await.unwrap();
        let owner =
            NewMember { email: "owner@example.com".to_owned(), name: String::new(), password_hash: "x".to_owned() };
        let (workspace, _) =
            store.create_workspace(NewWorkspace { name: "w".to_owned() }, owner, None, audit()).await.unwrap();
        let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };
        let secrets = Arc::new(Secrets::new(&RootSecret::generate(&*random).unwrap(), None));
        let parser = Arc::new(Parser::new(Prefixes::default()).unwrap());
        let tokens = Arc::new(Tokens::new(&secrets, Algorithm::Hs256, "https://chat.example").unwrap());
        let cluster = Cluster::start(
            store.clone(),
            Arc::clone(&secrets),
            parser,
            Arc::clone(&clock),
            Arc::clone(&random),
            ClusterConfig::default(),
        );
        let cluster = cluster.await.unwrap();
        let key = create_key(&cluster, tenant).await;
        let drain = TaskTracker::new();
        let parts = (store.clone(), cluster.clone(), Arc::clone(&secrets), Arc::clone(&tokens));
        let chat = chat_of(parts, Arc::clone(&clock), drain.clone());
        let bot = NewBot {
            name: "Ada".to_owned(),
            description: None,
            greeting: None,
            instructions: None,
            architecture: "text".to_owned(),
            context_messages: 10,
        };
        let bot = store.workspace(tenant).create_bot(bot, audit()).await.unwrap().id;
        let upstream = Upstream::start().await;
        Self { chat, store, cluster, secrets, tokens, clock, tenant, key, bot, upstream, drain, directory }
    }

    /// What memory held is gone, as when a server starts anew.
    pub(crate) fn forget(&mut self) {
        let parts = (self.store.clone(), self.cluster.clone(), Arc::clone(&self.secrets), Arc::clone(&self.tokens));
        self.chat = chat_of(parts, Arc::clone(&self.clock), self.drain.clone());
    }

    /// A world whose bot asks `model` of the test upstream.
    pub(crate) async fn with_model(model: &str) -> Self {
        let world = Self::new().await;
        world.add_model(model, 1, false, 5).await;
        world
    }

    pub(crate) fn openai(&self, model: &str) -> NewIntegration {
        NewIntegration {
            kind: "openai".to_owned(),
            url: Some(self.upstream.url()),
            model: Some(model.to_owned()),
            headers: [("Authorization", "Bearer sk-upstream-secret")].into_iter().collect::<Headers>(),
            ..NewIntegration::default()
        }
    }

    pub(crate) async fn add_model(
        &self,
        model: &str,
        weight: u32,
        fallback: bool,
        timeout_seconds: u32,
    ) -> IntegrationId {
        let new = NewIntegration {
            weight: Some(weight),
            fallback: Some(fallback),
            timeout_seconds: Some(timeout_seconds),
            ..self.openai(model)
        };
        let id = self.chat.create_integration(self.tenant, self.bot, new, audit()).await.unwrap().id;
        // Two of one millisecond have no order.
        sleep(Duration::from_millis(2)).await;
        id
    }

    pub(crate) async fn another_key(&self) -> KeyId {
        create_key(&self.cluster, self.tenant).await
    }

    pub(crate) async fn change_bot(&self, change: BotChange) {
        self.store.workspace(self.tenant).update_bot(self.bot, change, audit()).await.unwrap();
    }

    pub(crate) fn caller(&self) -> KeyCaller {
        KeyCaller {
            key: self.key,
            tenant: self.tenant,
            kind: KeyKind::Secret,
            scopes: ScopeSet::ADMIN,
            service_account: None,
            expires_at: None,
            secret_ends: None,
            epoch: 0,
            origin: None,
        }
    }

    pub(crate) fn opener(&self, key: KeyId) -> Opener {
        let epoch = self.cluster.key_by_id(key).map_or(0, |key| key.epoch());
        Opener { key, epoch, origin: None }
    }

    pub(crate) async fn open(&self) -> Result<OpenedSession, ChatError> {
        let request = OpenSession { channel: None, bot: self.bot, user_identifier: None, metadata: None };
        self.chat.open_session(&self.caller(), request).await
    }

    pub(crate) async fn session(&self) -> SessionCaller {
        let conversation = self.open().await.unwrap().conversation;
        SessionCaller { conversation, tenant: self.tenant, key: self.key, epoch: 0, expires_at: Millis(i64::MAX) }
    }

    pub(crate) async fn send(&self, session: &SessionCaller, text: &str) -> Reply {
        self.chat.send(session, text.to_owned(), SendOptions::default()).await.unwrap()
    }

    /// Sends and reads to the end.
    pub(crate) async fn ask(&self, session: &SessionCaller, text: &str) -> Vec<ReplyEvent> {
        read(self.send(session, text).await).await
    }

    pub(crate) async fn history(&self, session: &SessionCaller) -> Vec<MessageRecord> {
        self.chat.history(session, 100).await.unwrap()
    }

    /// Waits until the conversation holds `count` messages.
    pub(crate) async fn wait_for_messages(&self, session: &SessionCaller, count: usize) -> Vec<MessageRecord> {
        let waited = timeout(Duration::from_secs(2), async {
            loop {
                let history = self.history(session).await;
                if history.len() >= count {
                    return history;
                }
                sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.expect("the message was not stored")
    }
}

fn chat_of(
    (store, cluster, secrets, tokens): (Store, Cluster, Arc<Secrets>, Arc<Tokens>),
    clock: Arc<dyn Clock>,
    drain: TaskTracker,
) -> Chat {
    let policy = outbound::Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..outbound::Policy::default() };
    Chat::new(ChatParts {
        credits: Credits::new(store.clone(), Arc::clone(&clock), Prices::default(), drain.clone()),
        store,
        cluster,
        outbound: outbound::Client::new(policy).unwrap(),
        secrets,
        tokens,
        clock,
        random: Arc::new(OsRandom),
        drain,
        livekit: Some(LiveKit::new("wss://voice.example", "APIkey", "a-secret-of-livekit").unwrap()),
        session_life_ms: 24 * 3600 * 1000,
    })
}

async fn create_key(cluster: &Cluster, tenant: Tenant) -> KeyId {
    let new = cluster::NewKey {
        environment: Environment::Live,
        kind: KeyKind::Secret,
        name: "k".to_owned(),
        scopes: ScopeSet::ADMIN,
        settings: KeySettings::default(),
        service_account: None,
        expires_at: None,
    };
    cluster.create_key(tenant, new, Family::Secret, audit()).await.unwrap().0.id
}

pub(crate) async fn read(reply: impl Stream<Item = Numbered>) -> Vec<ReplyEvent> {
    read_numbered(reply).await.into_iter().map(|numbered| numbered.event).collect()
}

pub(crate) async fn read_numbered(reply: impl Stream<Item = Numbered>) -> Vec<Numbered> {
    timeout(Duration::from_secs(10), reply.collect()).await.expect("the reply does not end")
}

pub(crate) async fn next(reply: &mut (impl Stream<Item = Numbered> + Unpin)) -> ReplyEvent {
    next_numbered(reply).await.event
}

pub(crate) async fn next_numbered(reply: &mut (impl Stream<Item = Numbered> + Unpin)) -> Numbered {
    timeout(Duration::from_secs(5), reply.next()).await.expect("no event").expect("the reply is over")
}

/// What the end user reads.
pub(crate) fn text_of(events: &[ReplyEvent]) -> String {
    let delta = |event: &ReplyEvent| if let ReplyEvent::Delta(text) = event { Some(text.clone()) } else { None };
    events.iter().filter_map(delta).collect()
}

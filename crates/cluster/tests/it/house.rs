use std::{sync::Arc, time::Duration};

use access::{Actor, KeyKind, ScopeSet, Tenant};
use ambient::{ConversationId, KeyId, ManualClock, Millis, SeededRandom, ServiceAccountId};
use cluster::{Cluster, ClusterConfig, KeyHandle, Lookup, NewKey, SessionEntry};
use credential::{
    key::{ApiKey, Environment, Family, Parser},
    secret::{RootSecret, Secrets},
    token::SessionClaims,
};
use store::{
    AuditEntry, KeyRecord, KeySettings, NewBot, NewConversation, NewMember, NewServiceAccount, NewWorkspace, Store,
};

/// One node, its database, and a workspace to work in.
pub(crate) struct House {
    pub(crate) cluster: Cluster,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) tenant: Tenant,
    pub(crate) actor: Actor,
    random: Arc<SeededRandom>,
    directory: Arc<tempfile::TempDir>,
}

pub(crate) fn root(seed: u64) -> RootSecret {
    RootSecret::generate(&SeededRandom::new(seed)).unwrap()
}

pub(crate) async fn house() -> House {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let clock = Arc::new(ManualClock::new(Millis(1_700_000_000_000)));
    let random = Arc::new(SeededRandom::new(7));
    let secrets = Arc::new(Secrets::new(&root(1), None));
    let (store, cluster) = open(&directory, &clock, &random, &secrets).await;
    let actor = Actor::system();
    let audit = AuditEntry { actor: &actor, action: "test", detail: None };
    let owner = NewMember { email: "owner@example.com".into(), name: String::new(), password_hash: "x".into() };
    let (workspace, _) = store.create_workspace(NewWorkspace { name: "W".into() }, owner, None, audit).await.unwrap();
    let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };
    House { cluster, store, clock, secrets, tenant, actor, random, directory }
}

async fn open(
    directory: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    random: &Arc<SeededRandom>,
    secrets: &Arc<Secrets>,
) -> (Store, Cluster) {
    let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
    let store = Store::open(&url, clock.clone(), random.clone()).await.unwrap();
    let parser = Arc::new(Parser::default());
    let config = ClusterConfig::default();
    let cluster = Cluster::start(store.clone(), secrets.clone(), parser, clock.clone(), random.clone(), config);
    (store, cluster.await.unwrap())
}

impl House {
    /// How often the store was asked, once what the start does beside everything else is over.
    pub(crate) async fn settled_reads(&self) -> u64 {
        loop {
            let seen = self.store.reads();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.store.reads() == seen {
                return seen;
            }
        }
    }

    /// The same house after a restart, under `secrets`.
    pub(crate) async fn restart(self, secrets: Secrets) -> Self {
        self.cluster.stop().await;
        self.store.close().await;
        let secrets = Arc::new(secrets);
        let (store, cluster) = open(&self.directory, &self.clock, &self.random, &secrets).await;
        Self { cluster, store, secrets, ..self }
    }

    pub(crate) fn now(&self) -> Millis {
        ambient::Clock::now(&*self.clock)
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    pub(crate) fn audit(&self) -> AuditEntry<'_> {
        AuditEntry { actor: &self.actor, action: "test", detail: None }
    }

    pub(crate) fn new_key(&self) -> NewKey {
        NewKey {
            environment: Environment::Live,
            kind: KeyKind::Secret,
            name: "Key".into(),
            scopes: ScopeSet::ADMIN,
            settings: KeySettings::default(),
            service_account: None,
            expires_at: None,
        }
    }

    pub(crate) async fn key(&self) -> (KeyId, ApiKey) {
        let (record, text) = self.make(self.new_key(), Family::Secret).await;
        (record.id, text)
    }

    pub(crate) async fn make(&self, new: NewKey, family: Family) -> (KeyRecord, ApiKey) {
        self.cluster.create_key(self.tenant, new, family, self.audit()).await.unwrap()
    }

    pub(crate) async fn widget(&self) -> (KeyId, ApiKey) {
        let settings =
            KeySettings { allowed_domains: vec!["one.com".into(), "two.com".into()], ..KeySettings::default() };
        let new = NewKey { kind: KeyKind::Widget, scopes: ScopeSet::NONE, settings, ..self.new_key() };
        let (record, text) = self.make(new, Family::Widget).await;
        (record.id, text)
    }

    pub(crate) async fn account(&self, scopes: ScopeSet) -> ServiceAccountId {
        let new = NewServiceAccount {
            environment: Environment::Live,
            name: "A".into(),
            description: None,
            role: access::Role::Admin,
            scopes,
            disabled_at: None,
        };
        self.cluster.create_service_account(self.tenant, new, self.audit()).await.unwrap().id
    }

    pub(crate) async fn key_of(&self, account: ServiceAccountId) -> (KeyId, ApiKey) {
        let new = NewKey { service_account: Some(account), ..self.new_key() };
        let (record, text) = self.make(new, Family::ServiceAccount).await;
        (record.id, text)
    }

    pub(crate) fn look(&self, text: &ApiKey) -> Lookup {
        self.cluster.lookup(&self.secrets.digest(text.expose()), self.now())
    }

    pub(crate) fn find(&self, text: &ApiKey) -> KeyHandle {
        match self.look(text) {
            Lookup::Found(handle) => handle,
            other => panic!("not found: {other:?}"),
        }
    }

    pub(crate) fn works(&self, text: &ApiKey) -> bool {
        matches!(self.look(text), Lookup::Found(_))
    }

    /// A conversation in the database, under `key`, and the claims of its token.
    pub(crate) async fn conversation(&self, key: KeyId, origin: Option<&str>) -> SessionClaims {
        let data = self.store.workspace(self.tenant);
        let bot = NewBot {
            name: "Bot".into(),
            description: None,
            greeting: None,
            instructions: None,
            architecture: "text".into(),
            context_messages: 10,
        };
        let bot = data.create_bot(bot, self.audit()).await.unwrap();
        let new = NewConversation {
            bot: bot.id,
            channel: "session".into(),
            key: Some(key),
            user_identifier: None,
            metadata: None,
            channel_id: None,
        };
        let conversation = data.create_conversation(new).await.unwrap();
        SessionClaims {
            conversation: conversation.id,
            workspace: self.tenant.workspace,
            environment: self.tenant.environment,
            key,
            epoch: self.cluster.key_by_id(key).map_or(0, |handle| handle.epoch()),
            origin: origin.map(str::to_owned),
            issued_at: self.now(),
            expires_at: self.now().plus(86_400_000),
        }
    }

    /// A session that was just opened under `key`.
    pub(crate) async fn session(&self, key: KeyId, origin: Option<&str>) -> ConversationId {
        let claims = self.conversation(key, origin).await;
        self.cluster.open_session(SessionEntry {
            conversation: claims.conversation,
            tenant: self.tenant,
            key,
            epoch: claims.epoch,
            origin: origin.map(Into::into),
        });
        claims.conversation
    }
}

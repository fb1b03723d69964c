//! Two nodes over one database, each of which knows that it is not alone.

use access::{Actor, KeyKind, ScopeSet};
use ambient::{ManualClock, SeededRandom, ServiceAccountId, Ulid};
use credential::{
    key::{ApiKey, Environment, Family},
    secret::RootSecret,
};
use store::{AuditEntry, KeySettings, NewMember, NewServiceAccount, NewWorkspace, ServiceAccountChange};

use super::*;
use crate::{NewKey, doubt::Doubt};

const NOW: Millis = Millis(1_700_000_000_000);

struct Nodes {
    here: Cluster,
    there: Cluster,
    tenant: Tenant,
    actor: Actor,
    directory: tempfile::TempDir,
}

fn secrets(current: u64, previous: Option<u64>) -> Arc<Secrets> {
    let root = |seed| RootSecret::generate(&SeededRandom::new(seed)).unwrap();
    Arc::new(Secrets::new(&root(current), previous.map(root).as_ref()))
}

async fn node(directory: &tempfile::TempDir, seed: u64, secrets: Arc<Secrets>) -> Cluster {
    let (clock, random) = (Arc::new(ManualClock::new(NOW)), Arc::new(SeededRandom::new(seed)));
    let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
    let store = Store::open(&url, clock.clone(), random.clone()).await.unwrap();
    let parser = Arc::new(key::Parser::default());
    Cluster::assemble(store, secrets, parser, (clock, random), ClusterConfig::default(), false).await.unwrap()
}

async fn nodes() -> Nodes {
    let directory = tempfile::tempdir().unwrap();
    let here = node(&directory, 1, secrets(1, None)).await;
    let there = node(&directory, 2, secrets(1, None)).await;
    let actor = Actor::system();
    let audit = AuditEntry { actor: &actor, action: "test", detail: None };
    let owner = NewMember { email: "owner@example.com".into(), name: String::new(), password_hash: "x".into() };
    let (workspace, _) =
        here.0.store.create_workspace(NewWorkspace { name: "W".into() }, owner, None, audit).await.unwrap();
    let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };
    Nodes { here, there, tenant, actor, directory }
}

impl Nodes {
    fn audit(&self) -> AuditEntry<'_> {
        AuditEntry { actor: &self.actor, action: "test", detail: None }
    }

    async fn key_there(&self, service_account: Option<ServiceAccountId>) -> (KeyId, ApiKey) {
        let new = NewKey {
            environment: Environment::Live,
            kind: KeyKind::Secret,
            name: "Key".into(),
            scopes: ScopeSet::ADMIN,
            settings: KeySettings::default(),
            service_account,
            expires_at: None,
        };
        let (record, text) = self.there.create_key(self.tenant, new, Family::Secret, self.audit()).await.unwrap();
        (record.id, text)
    }
}

async fn look(cluster: &Cluster, text: &ApiKey) -> Lookup {
    match cluster.lookup(&cluster.0.secrets.digest(text.expose()), NOW) {
        Lookup::Miss => cluster.lookup_slow(text.expose(), NOW).await.unwrap(),
        found => found,
    }
}

#[tokio::test]
async fn a_key_that_another_node_made_is_read_once() {
    let nodes = nodes().await;
    let (id, text) = nodes.key_there(None).await;
    let reads = nodes.here.0.store.reads();
    for _ in 0..5 {
        assert!(matches!(look(&nodes.here, &text).await, Lookup::Found(handle) if handle.id() == id));
    }
    assert_eq!(nodes.here.0.store.reads(), reads + 1);

    let (id, _) = nodes.key_there(None).await;
    assert!(nodes.here.key_by_id(id).is_none());
    assert_eq!(nodes.here.find_key(id).await.unwrap().unwrap().id(), id);
    assert!(nodes.here.key_by_id(id).is_some());
    assert!(nodes.here.find_key(KeyId(Ulid(1))).await.unwrap().is_none());
}

#[tokio::test]
async fn a_key_that_another_node_revoked_is_refused_when_it_is_first_seen() {
    let nodes = nodes().await;
    let (id, text) = nodes.key_there(None).await;
    nodes.there.revoke_key(nodes.tenant, id, nodes.audit()).await.unwrap();
    assert!(matches!(look(&nodes.here, &text).await, Lookup::Refused));
    assert!(nodes.here.find_key(id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_key_of_the_previous_secret_is_found_in_the_store_and_renewed() {
    let nodes = nodes().await;
    let (id, text) = nodes.key_there(None).await;
    let (revoked, dead) = nodes.key_there(None).await;
    nodes.there.revoke_key(nodes.tenant, revoked, nodes.audit()).await.unwrap();
    let later = node(&nodes.directory, 3, secrets(2, Some(1))).await;
    later.0.keyring.forget(id);
    assert!(matches!(look(&later, &text).await, Lookup::Found(handle) if handle.id() == id));
    let digest = later.0.secrets.digest(text.expose());
    assert!(matches!(later.lookup(&digest, NOW), Lookup::Found(_)));
    assert!(later.0.store.find_key_by_digest(&digest).await.unwrap().is_some(), "stored too");
    assert!(matches!(look(&later, &dead).await, Lookup::Refused));
}

#[tokio::test]
async fn what_is_in_doubt_is_read_again() {
    let nodes = nodes().await;
    let account = NewServiceAccount {
        environment: Environment::Live,
        name: "A".into(),
        description: None,
        role: access::Role::Admin,
        scopes: ScopeSet::every(),
        disabled_at: None,
    };
    let account = nodes.there.create_service_account(nodes.tenant, account, nodes.audit()).await.unwrap().id;
    let ((id, one), (owned, two)) = (nodes.key_there(None).await, nodes.key_there(Some(account)).await);
    assert!(matches!(look(&nodes.here, &one).await, Lookup::Found(_)));
    assert!(matches!(look(&nodes.here, &two).await, Lookup::Found(_)));
    let (first, second) = (nodes.here.hold(id, None).unwrap(), nodes.here.hold(owned, None).unwrap());

    nodes.there.revoke_key(nodes.tenant, id, nodes.audit()).await.unwrap();
    let change = ServiceAccountChange { disabled_at: Some(Some(NOW)), ..ServiceAccountChange::default() };
    nodes.there.update_service_account(nodes.tenant, account, change, nodes.audit()).await.unwrap();
    nodes.here.0.doubts.add(Doubt::Key(id));
    nodes.here.0.doubts.add(Doubt::Account(nodes.tenant, account));
    nodes.here.0.settle_doubts().await;

    assert!(nodes.here.0.doubts.is_empty());
    assert!(!matches!(look(&nodes.here, &one).await, Lookup::Found(_)));
    assert!(matches!(look(&nodes.here, &two).await, Lookup::Refused));
    assert_eq!((first.reason(), second.reason()), (Some(CutReason::Revoked), Some(CutReason::Disabled)));

    nodes.here.0.store.close().await;
    nodes.here.0.doubts.add(Doubt::Key(id));
    nodes.here.0.settle_doubts().await;
    assert!(!nodes.here.0.doubts.is_empty(), "it stays in doubt until the store answers");
}

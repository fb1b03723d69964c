//! A request is let in, its key changes, and only then does the request ask for its change.

use access::{Actor, Caller, KeyKind, Scope, ScopeSet};
use ambient::{KeyId, RequestId, ServiceAccountId, Ulid};
use cluster::{ClusterError, NewKey};
use credential::key::{ApiKey, Family};
use store::{AuditEntry, KeyChange, KeySettings, NewServiceAccount, ServiceAccountChange};

use crate::house::{House, house};

/// A house with a key to change and an account, and every change that an API key may ask for.
struct Changes {
    house: House,
    other: KeyId,
    account: ServiceAccountId,
}

const KEY_CHANGES: [&str; 4] = ["create", "rotate", "update", "revoke"];
const ACCOUNT_CHANGES: [&str; 3] = ["create account", "update account", "delete account"];

fn scopes(scopes: &[Scope]) -> ScopeSet {
    scopes.iter().copied().collect()
}

impl Changes {
    async fn new() -> Self {
        let house = house().await;
        let (other, _) = house.key().await;
        let account = house.account(ScopeSet::every()).await;
        Self { house, other, account }
    }

    /// The caller as the gate saw it.
    fn let_in(&self, text: &ApiKey) -> Actor {
        Actor::of(&Caller::Key(self.house.find(text).caller(None)), None, RequestId(Ulid(1)))
    }

    async fn ask(&self, actor: &Actor, what: &str, scopes: ScopeSet) -> Result<(), ClusterError> {
        let Self { house, other, account } = self;
        let (cluster, tenant) = (&house.cluster, house.tenant);
        let audit = AuditEntry { actor, action: "test", detail: None };
        match what {
            "create" => {
                let new = NewKey { scopes, ..house.new_key() };
                cluster.create_key(tenant, new, Family::Secret, audit).await.map(|_| ())
            }
            "rotate" => cluster.rotate_key(tenant, *other, 0, audit).await.map(|_| ()),
            "update" => {
                let change = KeyChange { scopes: Some(scopes), ..KeyChange::default() };
                cluster.update_key(tenant, *other, change, audit).await.map(|_| ())
            }
            "revoke" => cluster.revoke_key(tenant, *other, audit).await.map(|_| ()),
            "create account" => {
                let new = NewServiceAccount {
                    environment: tenant.environment,
                    name: "B".into(),
                    description: None,
                    role: access::Role::Admin,
                    scopes,
                    disabled_at: None,
                };
                cluster.create_service_account(tenant, new, audit).await.map(|_| ())
            }
            "update account" => {
                let change = ServiceAccountChange { scopes: Some(scopes), ..ServiceAccountChange::default() };
                cluster.update_service_account(tenant, *account, change, audit).await.map(|_| ())
            }
            _ => cluster.delete_service_account(tenant, *account, audit).await.map(|_| ()),
        }
    }

    /// Every change is refused, and none of them has left anything behind.
    async fn all_refused(&self, actor: &Actor) {
        let data = self.house.store.workspace(self.house.tenant);
        let page = store::PageRequest { page: 1, per_page: 100 };
        let before = (data.audit(page, None).await.unwrap().total, self.house.cluster.keys());
        for what in KEY_CHANGES.into_iter().chain(ACCOUNT_CHANGES) {
            let asked = self.ask(actor, what, ScopeSet::NONE).await;
            assert!(matches!(asked, Err(ClusterError::MakerGone)), "{what}: {asked:?}");
        }
        assert_eq!((data.audit(page, None).await.unwrap().total, self.house.cluster.keys()), before);
    }
}

#[tokio::test]
async fn a_key_that_may_does() {
    let changes = Changes::new().await;
    let (_, text) = changes.house.key().await;
    let actor = changes.let_in(&text);
    for what in KEY_CHANGES.into_iter().chain(ACCOUNT_CHANGES) {
        changes.ask(&actor, what, ScopeSet::NONE).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_meanwhile_changes_nothing() {
    let changes = Changes::new().await;
    let (id, text) = changes.house.key().await;
    let actor = changes.let_in(&text);
    changes.house.cluster.revoke_key(changes.house.tenant, id, changes.house.audit()).await.unwrap();
    changes.all_refused(&actor).await;
}

#[tokio::test]
async fn a_key_that_was_rotated_for_a_leak_meanwhile_changes_nothing() {
    let changes = Changes::new().await;
    let (id, text) = changes.house.key().await;
    let actor = changes.let_in(&text);
    changes.house.cluster.rotate_key(changes.house.tenant, id, 0, changes.house.audit()).await.unwrap();
    changes.all_refused(&actor).await;
}

#[tokio::test]
async fn a_key_that_expired_meanwhile_changes_nothing() {
    let changes = Changes::new().await;
    let house = &changes.house;
    let new = NewKey { expires_at: Some(house.now().plus(1000)), ..house.new_key() };
    let (_, text) = house.make(new, Family::Secret).await;
    let actor = changes.let_in(&text);
    house.advance_ms(1000);
    changes.all_refused(&actor).await;
}

#[tokio::test]
async fn a_key_whose_account_was_disabled_or_deleted_meanwhile_changes_nothing() {
    let changes = Changes::new().await;
    let house = &changes.house;
    let owner = house.account(ScopeSet::ADMIN).await;
    let (_, text) = house.key_of(owner).await;
    let actor = changes.let_in(&text);
    changes.ask(&actor, "create", ScopeSet::ADMIN).await.unwrap();
    let disabled = |at| ServiceAccountChange { disabled_at: Some(at), ..ServiceAccountChange::default() };
    let change = disabled(Some(house.now()));
    house.cluster.update_service_account(house.tenant, owner, change, house.audit()).await.unwrap();
    changes.all_refused(&actor).await;
    house.cluster.update_service_account(house.tenant, owner, disabled(None), house.audit()).await.unwrap();
    changes.ask(&actor, "create", ScopeSet::ADMIN).await.unwrap();
    house.cluster.delete_service_account(house.tenant, owner, house.audit()).await.unwrap();
    changes.all_refused(&actor).await;
}

#[tokio::test]
async fn a_key_that_lost_the_scope_of_the_change_meanwhile_is_refused_it() {
    let changes = Changes::new().await;
    let house = &changes.house;
    let (id, text) = house.key().await;
    let actor = changes.let_in(&text);
    let rest = [
        (Scope::ApiKeysWrite, KEY_CHANGES.as_slice(), "create account"),
        (Scope::ServiceAccountsWrite, ACCOUNT_CHANGES.as_slice(), "create"),
    ];
    for (lost, refused, granted) in rest {
        let narrow = Some(ScopeSet::every().without(lost));
        let change = KeyChange { scopes: narrow, ..KeyChange::default() };
        house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
        for what in refused {
            let asked = changes.ask(&actor, what, ScopeSet::NONE).await;
            assert!(matches!(asked, Err(ClusterError::MakerGone)), "{what}: {asked:?}");
        }
        changes.ask(&actor, granted, ScopeSet::NONE).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_was_narrowed_meanwhile_hands_out_no_more_than_it_has_left() {
    let changes = Changes::new().await;
    let house = &changes.house;
    let (id, text) = house.key().await;
    let actor = changes.let_in(&text);
    let left = scopes(&[Scope::ApiKeysWrite, Scope::ServiceAccountsWrite, Scope::BotsRead]);
    let change = KeyChange { scopes: Some(left), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    // The other key may everything: whoever rotates it, or is let near its settings, may everything too.
    for what in ["create", "rotate", "update", "create account", "update account"] {
        let asked = changes.ask(&actor, what, ScopeSet::ADMIN).await;
        assert!(matches!(asked, Err(ClusterError::MakerGone)), "{what}: {asked:?}");
    }
    changes.ask(&actor, "create", left).await.unwrap();
    changes.ask(&actor, "create account", left).await.unwrap();
    let account = ServiceAccountChange { disabled_at: Some(Some(house.now())), ..ServiceAccountChange::default() };
    house.cluster.update_service_account(house.tenant, changes.account, account, house.audit()).await.unwrap();
    let start = || ServiceAccountChange { disabled_at: Some(None), ..ServiceAccountChange::default() };
    let audit = || AuditEntry { actor: &actor, action: "test", detail: None };
    let started = house.cluster.update_service_account(house.tenant, changes.account, start(), audit()).await;
    assert!(matches!(started, Err(ClusterError::MakerGone)), "it holds more than the maker: {started:?}");
    changes.ask(&actor, "update account", left).await.unwrap();
    house.cluster.update_service_account(house.tenant, changes.account, start(), audit()).await.unwrap();

    let narrow = KeyChange { scopes: Some(left), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, changes.other, narrow, house.audit()).await.unwrap();
    let asked = changes.ask(&actor, "update", ScopeSet::ADMIN).await;
    assert!(matches!(asked, Err(ClusterError::MakerGone)), "a narrow key is not made wide: {asked:?}");
    changes.ask(&actor, "update", left).await.unwrap();
    changes.ask(&actor, "rotate", left).await.unwrap();
}

#[tokio::test]
async fn a_widget_key_is_made_by_whoever_still_may_chat() {
    let changes = Changes::new().await;
    let house = &changes.house;
    let (id, text) = house.key().await;
    let actor = changes.let_in(&text);
    let widget = || {
        let settings = KeySettings { allowed_domains: vec!["one.com".into()], ..KeySettings::default() };
        NewKey { kind: KeyKind::Widget, scopes: ScopeSet::NONE, settings, ..house.new_key() }
    };
    let audit = || AuditEntry { actor: &actor, action: "test", detail: None };
    for (held, granted) in [(&[Scope::ApiKeysWrite, Scope::ChatWrite][..], true), (&[Scope::ApiKeysWrite], false)] {
        let change = KeyChange { scopes: Some(scopes(held)), ..KeyChange::default() };
        house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
        let made = house.cluster.create_key(house.tenant, widget(), Family::Widget, audit()).await;
        assert_eq!(made.is_ok(), granted, "{held:?}");
    }
}

#[tokio::test]
async fn changes_and_the_revocation_of_their_maker_take_turns() {
    for _ in 0..20 {
        let changes = Changes::new().await;
        let house = &changes.house;
        let (id, text) = house.key().await;
        let actor = changes.let_in(&text);
        let keys = house.cluster.keys();
        // The revocation begins first: whatever was let in before it, waits for it and is refused.
        let revoked = house.cluster.revoke_key(house.tenant, id, house.audit());
        let made = changes.ask(&actor, "create", ScopeSet::ADMIN);
        let account = changes.ask(&actor, "create account", ScopeSet::NONE);
        let (revoked, made, account) = tokio::join!(biased; revoked, made, account);
        revoked.unwrap();
        assert!(matches!(made, Err(ClusterError::MakerGone)), "{made:?}");
        assert!(matches!(account, Err(ClusterError::MakerGone)), "{account:?}");
        assert_eq!(house.cluster.keys(), keys - 1);
    }
}

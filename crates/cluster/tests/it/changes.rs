use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use access::{Scope, ScopeSet};
use cluster::{ClusterError, CutReason, Lookup, NewKey};
use credential::key::{Environment, Family};
use store::{KeyChange, KeySettings, ServiceAccountChange, StoreError};

use crate::house::house;

#[tokio::test]
async fn a_new_key_works_at_once_and_reads_nothing() {
    let house = house().await;
    let (id, text) = house.key().await;
    let reads = house.settled_reads().await;
    let handle = house.find(&text);
    assert_eq!((handle.id(), handle.tenant(), handle.scopes()), (id, house.tenant, ScopeSet::ADMIN));
    assert_eq!(house.cluster.key_by_id(id).unwrap().id(), id);
    assert_eq!(house.store.reads(), reads);
}

#[tokio::test]
async fn an_unknown_key_costs_no_read() {
    let house = house().await;
    let (_, text) = house.key().await;
    let unknown = text.expose().replace("sk_live_", "sk_live_x");
    let (reads, now) = (house.settled_reads().await, house.now());
    assert!(matches!(house.cluster.lookup(&house.secrets.digest(&unknown), now), Lookup::Miss));
    assert!(matches!(house.cluster.lookup_slow(&unknown, now).await.unwrap(), Lookup::Miss));
    assert_eq!(house.store.reads(), reads);
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_the_very_next_look() {
    let house = house().await;
    let (id, text) = house.key().await;
    house.advance_ms(5);
    let receipt = house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
    assert!(matches!(house.look(&text), Lookup::Miss));
    assert!(house.cluster.key_by_id(id).is_none());
    assert!(matches!(house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap(), Lookup::Miss));
    assert_eq!((receipt.id, receipt.revoked_at, receipt.nodes_confirmed), (id, house.now(), 1));
    house.advance_ms(1000);
    let again = house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
    assert_eq!(again.revoked_at, receipt.revoked_at, "the first time counts");
}

#[tokio::test]
async fn nobody_revokes_another_tenants_key() {
    let house = house().await;
    let (id, text) = house.key().await;
    let mut foreign = house.tenant;
    foreign.workspace = ambient::WorkspaceId(ambient::Ulid(1));
    let refused = house.cluster.revoke_key(foreign, id, house.audit()).await;
    assert!(matches!(refused, Err(ClusterError::Store(StoreError::NotFound))));
    let test = access::Tenant { environment: Environment::Test, ..house.tenant };
    assert!(house.cluster.rotate_key(test, id, 0, house.audit()).await.is_err());
    assert!(house.works(&text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_revocation_has_answered_no_look_succeeds() {
    for _ in 0..20 {
        let house = Arc::new(house().await);
        let (id, text) = house.key().await;
        let digest = house.secrets.digest(text.expose());
        let (answered, stop, looks) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let shared = Arc::new((answered, stop, looks));
        let lookers: Vec<_> = (0..8)
            .map(|_| {
                let (house, shared) = (Arc::clone(&house), Arc::clone(&shared));
                tokio::task::spawn_blocking(move || {
                    let (answered, stop, looks) = &*shared;
                    let mut late = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let after = answered.load(Ordering::SeqCst);
                        let found = matches!(house.cluster.lookup(&digest, house.now()), Lookup::Found(_));
                        late += u64::from(after && found);
                        looks.fetch_add(u64::from(found), Ordering::SeqCst);
                    }
                    late
                })
            })
            .collect();
        while shared.2.load(Ordering::SeqCst) < 100 {
            tokio::task::yield_now().await;
        }
        house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
        shared.0.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        shared.1.store(true, Ordering::SeqCst);
        for looker in lookers {
            assert_eq!(looker.await.unwrap(), 0, "acceptances after the answer");
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_a_revocation() {
    let house = house().await;
    let (id, text) = house.key().await;
    tokio::select! {
        biased;
        _ = house.cluster.revoke_key(house.tenant, id, house.audit()) => panic!("it had no time"),
        () = std::future::ready(()) => {} // dropped after it had begun
    }
    for _ in 0..500 {
        if !house.works(&text) {
            let stored = house.store.workspace(house.tenant).key(id).await.unwrap();
            assert!(stored.revoked_at.is_some());
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still works");
}

#[tokio::test]
async fn both_secrets_work_until_the_grace_ends_then_only_the_new_one() {
    let house = house().await;
    let (id, old) = house.key().await;
    let (record, new) = house.cluster.rotate_key(house.tenant, id, 1000, house.audit()).await.unwrap();
    assert_eq!((record.id, record.secrets.len(), record.epoch), (id, 2, 0));
    assert!(house.works(&old) && house.works(&new));
    house.advance_ms(999);
    assert!(house.works(&old));
    house.advance_ms(1);
    assert!(matches!(house.look(&old), Lookup::Refused));
    assert!(house.works(&new));
    // A second rotation ends the first one's grace.
    let (_, newer) = house.cluster.rotate_key(house.tenant, id, 1000, house.audit()).await.unwrap();
    assert!(!house.works(&old) && house.works(&new) && house.works(&newer));
}

#[tokio::test]
async fn rotation_without_grace_ends_the_old_secret_and_moves_the_epoch() {
    let house = house().await;
    let (id, old) = house.key().await;
    let (record, new) = house.cluster.rotate_key(house.tenant, id, 0, house.audit()).await.unwrap();
    assert!(!house.works(&old) && house.works(&new));
    assert_eq!((record.epoch, house.find(&new).epoch()), (1, 1));
    house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
    let refused = house.cluster.rotate_key(house.tenant, id, 0, house.audit()).await;
    assert!(matches!(refused, Err(ClusterError::Store(StoreError::Conflict(_)))));
}

#[tokio::test]
async fn a_key_is_narrowed_at_once() {
    let house = house().await;
    let (id, text) = house.key().await;
    let scopes = ScopeSet::NONE.with(Scope::BotsRead);
    let settings = KeySettings { rate_limit: Some(5), ..KeySettings::default() };
    let change = KeyChange { scopes: Some(scopes), settings: Some(settings), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    let handle = house.find(&text);
    assert_eq!((handle.scopes(), handle.rate_limit()), (scopes, Some(5)));
}

#[tokio::test]
async fn an_expired_key_is_told_so_also_after_a_restart_and_can_be_prolonged() {
    let house = house().await;
    let new = NewKey { expires_at: Some(house.now().plus(1000)), ..house.new_key() };
    let (record, text) = house.make(new, Family::Secret).await;
    house.advance_ms(1000);
    assert!(matches!(house.look(&text), Lookup::Expired));
    assert!(house.cluster.key_by_id(record.id).is_none());
    let secrets = credential::secret::Secrets::new(&crate::house::root(1), None);
    let house = house.restart(secrets).await;
    assert!(matches!(house.look(&text), Lookup::Expired));
    let change = KeyChange { expires_at: Some(None), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, record.id, change, house.audit()).await.unwrap();
    assert!(house.works(&text));
}

#[tokio::test]
async fn a_service_account_rules_all_its_keys_at_once() {
    let house = house().await;
    let account = house.account(ScopeSet::NONE.with(Scope::BotsRead).with(Scope::BotsWrite)).await;
    let ((id, one), (_, two)) = (house.key_of(account).await, house.key_of(account).await);
    let grant = house.cluster.hold(id, None).unwrap();
    assert!(!house.find(&one).scopes().allows(Scope::AuditRead), "cut to the account's");

    let narrow = ScopeSet::NONE.with(Scope::BotsRead);
    let change = ServiceAccountChange { scopes: Some(narrow), ..ServiceAccountChange::default() };
    house.cluster.update_service_account(house.tenant, account, change, house.audit()).await.unwrap();
    assert_eq!((house.find(&one).scopes(), house.find(&two).scopes()), (narrow, narrow));
    assert!(grant.reason().is_none());

    let change = ServiceAccountChange { disabled_at: Some(Some(house.now())), ..ServiceAccountChange::default() };
    house.cluster.update_service_account(house.tenant, account, change, house.audit()).await.unwrap();
    assert!(matches!(house.look(&one), Lookup::Refused) && matches!(house.look(&two), Lookup::Refused));
    assert!(house.cluster.key_by_id(id).is_none());
    assert_eq!(grant.reason(), Some(CutReason::Disabled));

    let change = ServiceAccountChange { disabled_at: Some(None), ..ServiceAccountChange::default() };
    house.cluster.update_service_account(house.tenant, account, change, house.audit()).await.unwrap();
    assert!(house.works(&one) && house.works(&two));

    let grant = house.cluster.hold(id, None).unwrap();
    let revoked = house.cluster.delete_service_account(house.tenant, account, house.audit()).await.unwrap();
    assert_eq!(revoked.len(), 2);
    assert!(!house.works(&one) && !house.works(&two));
    assert_eq!(grant.reason(), Some(CutReason::Revoked));
}

#[tokio::test]
async fn our_own_outage_is_no_unknown_key() {
    let house = house().await;
    let ((id, text), (_, other)) = (house.key().await, house.key().await);
    house.store.close().await;
    assert!(house.cluster.revoke_key(house.tenant, id, house.audit()).await.is_err());
    assert!(house.works(&other), "what is known goes on working");
    // Nobody knows what was committed: a miss is no longer the last word.
    let unknown = text.expose().replace("sk_live_", "sk_live_x");
    assert!(house.cluster.lookup_slow(&unknown, house.now()).await.is_err());
    assert!(house.cluster.find_key(ambient::KeyId(ambient::Ulid(1))).await.is_err());
}

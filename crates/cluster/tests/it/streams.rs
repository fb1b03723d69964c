use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use access::{Scope, ScopeSet, Tenant};
use cluster::{CutReason, Grant, Opener, SESSION_IDLE_MS, SessionState};
use credential::key::Environment;
use store::{KeyChange, KeySettings, ServiceAccountChange};

use crate::house::{house, root};

#[tokio::test]
async fn a_revocation_cuts_every_stream_of_the_key_and_counts_them() {
    let house = house().await;
    let ((id, _), (other, _)) = (house.key().await, house.key().await);
    let session = house.session(id, None).await;
    let mut grants: Vec<Grant> = (0..100).map(|_| house.cluster.hold(id, Some(session)).unwrap()).collect();
    grants.push(house.cluster.hold(id, None).unwrap());
    let spared = house.cluster.hold(other, None).unwrap();
    assert_eq!(house.cluster.open_streams(), 102);
    let receipt = house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
    assert_eq!(receipt.streams_closed, 101);
    for grant in &grants {
        assert_eq!(grant.reason(), Some(CutReason::Revoked));
    }
    assert!(spared.reason().is_none());
    drop(grants);
    assert_eq!(house.cluster.open_streams(), 1);
    assert!(house.cluster.hold(id, Some(session)).is_none() && house.cluster.hold(id, None).is_none());
    assert_eq!(house.cluster.open_streams(), 1, "a refused stream leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_stream_slips_through_between_the_check_and_its_place() {
    for _ in 0..20 {
        let house = Arc::new(house().await);
        let ((id, _), (other, _)) = (house.key().await, house.key().await);
        let session = house.session(other, None).await;
        let stop = Arc::new(AtomicBool::new(false));
        let holders: Vec<_> = (0..4)
            .map(|_| {
                let (house, stop) = (Arc::clone(&house), Arc::clone(&stop));
                tokio::task::spawn_blocking(move || {
                    let mut held = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        held.extend(house.cluster.hold(id, None));
                        held.extend(house.cluster.hold(other, Some(session)));
                        if held.len() > 500 {
                            held.clear();
                        }
                    }
                    held
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
        house.cluster.end_session(house.tenant, session, house.audit()).await.unwrap();
        stop.store(true, Ordering::SeqCst);
        for holder in holders {
            for grant in holder.await.unwrap() {
                assert!(matches!(grant.reason(), Some(CutReason::Revoked | CutReason::Ended)), "{grant:?}");
            }
        }
    }
}

#[tokio::test]
async fn rotation_without_grace_cuts_and_with_grace_does_not() {
    let house = house().await;
    let (id, _) = house.key().await;
    let session = house.session(id, None).await;
    let grant = house.cluster.hold(id, Some(session)).unwrap();
    house.cluster.rotate_key(house.tenant, id, 1000, house.audit()).await.unwrap();
    assert!(grant.reason().is_none());
    house.cluster.rotate_key(house.tenant, id, 0, house.audit()).await.unwrap();
    assert_eq!(grant.reason(), Some(CutReason::Revoked));
    assert!(house.cluster.hold(id, Some(session)).is_none(), "its token is of the epoch before");
    let fresh = house.session(id, None).await;
    assert!(house.cluster.hold(id, Some(fresh)).is_some());
}

#[tokio::test]
async fn removing_an_origin_cuts_its_sessions_and_no_others() {
    let house = house().await;
    let (id, _) = house.widget().await;
    let one = house.session(id, Some("https://one.com")).await;
    let two = house.session(id, Some("https://shop.two.com")).await;
    let (first, second) = (house.cluster.hold(id, Some(one)).unwrap(), house.cluster.hold(id, Some(two)).unwrap());
    let settings = KeySettings { allowed_domains: vec!["two.com".into()], ..KeySettings::default() };
    let change = KeyChange { settings: Some(settings), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    assert_eq!(first.reason(), Some(CutReason::OriginRemoved));
    assert!(second.reason().is_none());
    assert!(house.cluster.hold(id, Some(one)).is_none() && house.cluster.hold(id, Some(two)).is_some());
}

#[tokio::test]
async fn a_key_that_no_longer_may_chat_loses_its_sessions() {
    let house = house().await;
    let (id, _) = house.key().await;
    let session = house.session(id, None).await;
    let grant = house.cluster.hold(id, Some(session)).unwrap();
    let narrow = |scope| KeyChange { scopes: Some(ScopeSet::NONE.with(scope)), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, narrow(Scope::ChatWrite), house.audit()).await.unwrap();
    assert!(grant.reason().is_none() && house.cluster.key_by_id(id).unwrap().may_chat());
    house.cluster.update_key(house.tenant, id, narrow(Scope::BotsRead), house.audit()).await.unwrap();
    assert_eq!(grant.reason(), Some(CutReason::Revoked));
    assert!(house.cluster.hold(id, Some(session)).is_none() && !house.cluster.key_by_id(id).unwrap().may_chat());
}

#[tokio::test]
async fn an_account_that_no_longer_may_chat_loses_the_sessions_of_its_keys() {
    let house = house().await;
    let account = house.account(ScopeSet::NONE.with(Scope::ChatWrite).with(Scope::BotsRead)).await;
    let ((id, _), (other, _)) = (house.key_of(account).await, house.key().await);
    let (session, spared) = (house.session(id, None).await, house.session(other, None).await);
    let grant = house.cluster.hold(id, Some(session)).unwrap();
    let spared = house.cluster.hold(other, Some(spared)).unwrap();
    let scopes = Some(ScopeSet::NONE.with(Scope::BotsRead));
    let change = ServiceAccountChange { scopes, ..ServiceAccountChange::default() };
    house.cluster.update_service_account(house.tenant, account, change, house.audit()).await.unwrap();
    assert_eq!((grant.reason(), spared.reason()), (Some(CutReason::Revoked), None));
    assert!(house.cluster.hold(id, Some(session)).is_none());
}

#[tokio::test]
async fn a_widget_key_needs_no_scope_to_chat() {
    let house = house().await;
    let (id, _) = house.widget().await;
    let session = house.session(id, Some("https://one.com")).await;
    assert!(house.cluster.hold(id, Some(session)).is_some());
}

#[tokio::test]
async fn the_sweep_cuts_what_has_expired() {
    let house = house().await;
    let (id, _) = house.key().await;
    let (forever, _) = house.key().await;
    let change = KeyChange { expires_at: Some(Some(house.now().plus(1000))), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    let (grant, other) = (house.cluster.hold(id, None).unwrap(), house.cluster.hold(forever, None).unwrap());
    house.advance_ms(999);
    assert_eq!(house.cluster.cut_survivors(), 0);
    house.advance_ms(1);
    // The task may have been faster by its own second; either way the stream is cut.
    house.cluster.cut_survivors();
    assert_eq!(grant.reason(), Some(CutReason::Expired));
    assert!(other.reason().is_none());
    assert!(house.cluster.hold(id, None).is_none());
}

#[tokio::test]
async fn the_sweep_runs_by_itself() {
    let house = house().await;
    let (id, _) = house.key().await;
    let change = KeyChange { expires_at: Some(Some(house.now().plus(1))), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    let grant = house.cluster.hold(id, None).unwrap();
    house.advance_ms(1);
    let cut = tokio::time::timeout(std::time::Duration::from_secs(5), grant.cancelled()).await;
    assert_eq!(cut.unwrap(), CutReason::Expired);
}

#[tokio::test]
async fn an_ended_session_is_dead_and_its_stream_cut() {
    let house = house().await;
    let (id, _) = house.key().await;
    let claims = house.conversation(id, None).await;
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Live);
    let grant = house.cluster.hold(id, Some(claims.conversation)).unwrap();
    assert_eq!(house.cluster.end_session(house.tenant, claims.conversation, house.audit()).await.unwrap(), 1);
    assert_eq!(grant.reason(), Some(CutReason::Ended));
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Ended);
    assert!(house.cluster.hold(id, Some(claims.conversation)).is_none());
    assert_eq!(
        house.cluster.end_session(house.tenant, claims.conversation, house.audit()).await.unwrap(),
        0,
        "once more is no error"
    );
    let stored = house.store.workspace(house.tenant).conversation(claims.conversation).await.unwrap();
    assert!(stored.ended_at.is_some());
}

#[tokio::test]
async fn a_deleted_conversation_takes_its_session_along() {
    let house = house().await;
    let (id, _) = house.key().await;
    let claims = house.conversation(id, None).await;
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Live);
    let grant = house.cluster.hold(id, Some(claims.conversation)).unwrap();
    house.store.workspace(house.tenant).delete_conversation(claims.conversation, house.audit()).await.unwrap();
    assert_eq!(house.cluster.drop_session(claims.conversation), 1);
    assert_eq!(grant.reason(), Some(CutReason::Ended));
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Ended);
}

#[tokio::test]
async fn a_session_is_read_once_and_ends_after_idle_minutes_also_across_a_restart() {
    let house = house().await;
    let (id, _) = house.key().await;
    let claims = house.conversation(id, Some("https://one.com")).await;
    let house = house.restart(credential::secret::Secrets::new(&root(1), None)).await;
    assert!(house.cluster.hold(id, Some(claims.conversation)).is_none(), "not looked at yet");
    let before = house.settled_reads().await;
    for _ in 0..10 {
        assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Live);
    }
    assert_eq!(house.store.reads(), before + 1);
    house.advance_ms(u64::try_from(SESSION_IDLE_MS).unwrap());
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Ended);
    let house = house.restart(credential::secret::Secrets::new(&root(1), None)).await;
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Ended);
}

#[tokio::test]
async fn a_token_that_does_not_fit_its_conversation_opens_nothing() {
    let house = house().await;
    let ((id, _), (other, _)) = (house.key().await, house.key().await);
    let claims = house.conversation(id, None).await;
    let foreign_key = credential::token::SessionClaims { key: other, ..claims.clone() };
    assert_eq!(house.cluster.session(&foreign_key, house.now()).await.unwrap(), SessionState::Ended);
    let test = Tenant { environment: Environment::Test, ..house.tenant };
    let foreign_half = credential::token::SessionClaims { environment: test.environment, ..claims.clone() };
    let unknown = house.cluster.session(&foreign_half, house.now()).await.unwrap();
    assert_eq!(unknown, SessionState::Ended);
    let reads = house.settled_reads().await;
    for dead in [&foreign_key, &foreign_half] {
        assert_eq!(house.cluster.session(dead, house.now()).await.unwrap(), SessionState::Ended);
    }
    assert_eq!(house.store.reads(), reads, "a dead token is read once");
    assert_eq!(house.cluster.session(&claims, house.now()).await.unwrap(), SessionState::Live, "and ends nothing");
}

#[tokio::test]
async fn stopping_cuts_what_is_open() {
    let house = house().await;
    let (id, _) = house.key().await;
    let grant = house.cluster.hold(id, None).unwrap();
    house.cluster.stop().await;
    assert_eq!(grant.reason(), Some(CutReason::Shutdown));
}

#[tokio::test]
async fn a_stream_without_a_session_is_held_by_what_its_request_showed() {
    let house = house().await;
    let (id, _) = house.widget().await;
    let conversation = house.session(id, None).await;
    let from = |origin: &str, epoch| Opener { key: id, epoch, origin: Some(origin.into()) };
    let hold = |opener: &Opener| house.cluster.hold_conversation(conversation, Some(opener));
    let (one, two) = (from("https://one.com", 0), from("https://two.com", 0));
    let (first, second) = (hold(&one).unwrap(), hold(&two).unwrap());
    let settings = KeySettings { allowed_domains: vec!["two.com".into()], ..KeySettings::default() };
    let change = KeyChange { settings: Some(settings), ..KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    assert_eq!((first.reason(), second.reason()), (Some(CutReason::OriginRemoved), None));
    assert!(hold(&one).is_none() && hold(&two).is_some(), "also a request that was let in before");
    house.cluster.rotate_key(house.tenant, id, 0, house.audit()).await.unwrap();
    assert_eq!(second.reason(), Some(CutReason::Revoked));
    assert!(hold(&two).is_none(), "it came with the secret before");
    assert!(hold(&from("https://two.com", 1)).is_some());
}

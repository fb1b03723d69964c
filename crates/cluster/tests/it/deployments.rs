//! Deployments and their keys: made together, gone together.

use std::time::Duration;

use access::{Actor, Caller, KeyKind, Scope, ScopeSet, Tenant};
use ambient::{DeploymentId, RequestId, RunId, Ulid};
use cluster::{Bucket, ClusterError, CutReason, NewKey, Opener};
use credential::key::{ApiKey, Environment, Family};
use store::{AuditEntry, DeploymentRecord, KeyChange, KeySettings, NewDeployment, NewWorkflow, StoreError};

use crate::house::{House, house};

impl House {
    async fn new_deployment(&self, id: u128) -> NewDeployment {
        let new = NewWorkflow { name: "W".into(), definition: "{}".into() };
        let workflow = self.store.workspace(self.tenant).create_workflow(new, self.audit()).await.unwrap();
        NewDeployment {
            id: DeploymentId(Ulid(id)),
            workflow: workflow.id,
            version: workflow.version,
            name: "D".into(),
            survey_mode: true,
            daily_runs: None,
            daily_replies: None,
            runs_per_minute: None,
            input_mapping: None,
            challenge: "off".to_owned(),
            settings: KeySettings::default(),
        }
    }

    async fn deployment(&self, id: u128) -> (DeploymentRecord, ApiKey) {
        let new = self.new_deployment(id).await;
        let (record, _, text) = self.cluster.create_deployment(self.tenant, new, self.audit()).await.unwrap();
        (record, text)
    }

    fn opener(&self, text: &ApiKey) -> Opener {
        let key = self.find(text);
        Opener { key: key.id(), epoch: key.epoch(), origin: None }
    }
}

fn not_found<T>(result: &Result<T, ClusterError>) -> bool {
    matches!(result, Err(ClusterError::Store(StoreError::NotFound)))
}

#[tokio::test]
async fn a_deployment_comes_with_a_key_of_its_number_that_has_no_scopes() {
    let house = house().await;
    let (record, text) = house.deployment(5).await;
    let key = house.find(&text);
    assert_eq!((key.id().0, key.kind(), key.tenant()), (record.id.0, KeyKind::Deployment, house.tenant));
    assert!(key.scopes().is_empty() && text.expose().starts_with("cf_") && key.expires_at().is_none());
    let keys = house.cluster.keys();
    let stale = NewDeployment { version: 2, ..house.new_deployment(6).await };
    let refused = house.cluster.create_deployment(house.tenant, stale, house.audit()).await;
    assert!(matches!(refused, Err(ClusterError::Store(StoreError::Conflict("version")))), "{refused:?}");
    assert_eq!(house.cluster.keys(), keys, "no key without its deployment");
}

#[tokio::test]
async fn revoking_a_deployment_ends_its_key_and_cuts_what_it_opened() {
    let house = house().await;
    let ((record, text), (_, other)) = (house.deployment(5).await, house.deployment(6).await);
    let opener = house.opener(&text);
    let sockets: Vec<_> = (0..10).map(|_| house.cluster.hold_opened(&opener).unwrap()).collect();
    let spared = house.cluster.hold_opened(&house.opener(&other)).unwrap();
    let foreign = Tenant { environment: Environment::Test, ..house.tenant };
    assert!(not_found(&house.cluster.revoke_deployment(foreign, record.id, house.audit()).await));
    assert!(sockets.iter().all(|socket| socket.reason().is_none()) && house.works(&text), "nothing happened");
    let receipt = house.cluster.revoke_deployment(house.tenant, record.id, house.audit()).await.unwrap();
    assert_eq!((receipt.id.0, receipt.streams_closed, receipt.revoked_at), (record.id.0, 10, house.now()));
    assert!(sockets.iter().all(|socket| socket.reason() == Some(CutReason::Revoked)) && spared.reason().is_none());
    assert!(!house.works(&text) && house.works(&other));
    assert!(house.cluster.hold_opened(&opener).is_none() && house.cluster.key_by_id(opener.key).is_none());
    house.advance_ms(1000);
    let again = house.cluster.revoke_deployment(house.tenant, record.id, house.audit()).await.unwrap();
    assert_eq!((again.revoked_at, again.streams_closed), (receipt.revoked_at, 0), "the first time counts");
    let stored = house.store.workspace(house.tenant).deployment(record.id).await.unwrap();
    assert_eq!(stored.revoked_at, Some(receipt.revoked_at));
}

#[tokio::test]
async fn what_was_let_in_before_its_key_was_rotated_holds_no_place() {
    let house = house().await;
    let (_, text) = house.deployment(5).await;
    let before = house.opener(&text);
    let (_, text) = house.cluster.rotate_key(house.tenant, before.key, 0, house.audit()).await.unwrap();
    assert!(house.cluster.hold_opened(&before).is_none());
    assert!(house.cluster.hold_opened(&house.opener(&text)).is_some());
    assert_eq!(house.cluster.open_streams(), 0, "the refused one left nothing behind");
}

#[tokio::test]
async fn a_maker_that_no_longer_may_deploy_neither_makes_nor_revokes() {
    let house = house().await;
    let scopes = ScopeSet::NONE.with(Scope::DeploymentsWrite);
    let (maker, text) = house.make(NewKey { scopes, ..house.new_key() }, Family::Secret).await;
    let actor = Actor::of(&Caller::Key(house.find(&text).caller(None)), None, RequestId(Ulid(1)));
    let audit = || AuditEntry { actor: &actor, action: "test", detail: None };
    let new = house.new_deployment(5).await;
    let made = house.cluster.create_deployment(house.tenant, new, audit()).await.unwrap().0;
    let change = KeyChange { scopes: Some(ScopeSet::NONE.with(Scope::DeploymentsRead)), ..KeyChange::default() };
    let _ = house.cluster.update_key(house.tenant, maker.id, change, house.audit()).await.unwrap();
    let new = house.new_deployment(6).await;
    let refused = house.cluster.create_deployment(house.tenant, new, audit()).await;
    assert!(matches!(refused, Err(ClusterError::MakerGone)), "{refused:?}");
    let refused = house.cluster.revoke_deployment(house.tenant, made.id, audit()).await;
    assert!(matches!(refused, Err(ClusterError::MakerGone)), "{refused:?}");
}

#[tokio::test]
async fn a_day_of_a_deployment_is_its_own_or_the_installation_s() {
    let house = house().await;
    let (one, two) = (DeploymentId(Ulid(5)), DeploymentId(Ulid(6)));
    for _ in 0..3 {
        assert!(house.cluster.charge_deployment_day(one, Some(3)).allowed);
    }
    let over = house.cluster.charge_deployment_day(one, Some(3));
    assert_eq!((over.allowed, over.policy, over.quota, over.window_s), (false, "deployment-day", 3, 86_400));
    assert_eq!(house.cluster.charge_deployment_day(two, None).remaining, 999);
    house.advance_ms(8 * 3600 * 1000);
    assert!(house.cluster.charge_deployment_day(one, Some(3)).allowed, "a third of a day, a third of it");
    assert!(!house.cluster.charge_deployment_day(one, Some(3)).allowed);
    assert!(!house.cluster.charge_deployment_day(two, Some(0)).allowed);
}

#[tokio::test]
async fn participants_triggers_and_networks_have_budgets_apart() {
    let house = house().await;
    let charge = |bucket: Bucket<'_>| house.cluster.charge(&[bucket], Duration::ZERO);
    let (run, other) = (RunId(Ulid(5)), RunId(Ulid(6)));
    let drained = |bucket: Bucket<'_>, quota: u32| {
        assert!((0..quota).all(|_| charge(bucket).allowed) && !charge(bucket).allowed, "{bucket:?}");
    };
    drained(Bucket::Participant(run, "customer"), 60);
    drained(Bucket::Trigger("one"), 60);
    drained(Bucket::PublicStarts("2001:db8::1".parse().unwrap()), 10);
    assert!(!charge(Bucket::PublicStarts("2001:db8::ffff".parse().unwrap())).allowed, "one network");
    for full in [
        Bucket::Participant(run, "reviewer"),
        Bucket::Participant(other, "customer"),
        Bucket::Trigger("two"),
        Bucket::PublicStarts("2001:db8:0:1::1".parse().unwrap()),
    ] {
        assert!(charge(full).allowed, "{full:?}");
    }
}

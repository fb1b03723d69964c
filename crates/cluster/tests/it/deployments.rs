//! Deployments and their keys: made together, gone together.

use std::time::Duration;

use access::{Actor, Caller, KeyKind, Scope, ScopeSet, Tenant};
use ambient::{DeploymentId, RequestId, RunId, Ulid};
use cluster::{Bucket, ClusterError, CutReason, NewKey, Opener, Verdict};
use credential::{
    Secrets,
    key::{ApiKey, Environment, Family},
};
use store::{
    AuditEntry, DeploymentRecord, KeyChange, KeySettings, NewDeployment, NewRun, NewRunEvent, NewWorkflow, StoreError,
    TurnRecord,
};

use crate::house::{House, house, root};

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

fn with(record: &DeploymentRecord, daily_runs: Option<u32>) -> DeploymentRecord {
    DeploymentRecord { daily_runs, ..record.clone() }
}

impl House {
    async fn start(&self, deployment: &DeploymentRecord, is_stranger: bool) -> Verdict {
        self.cluster.charge_start(self.tenant, deployment, is_stranger).await.unwrap()
    }

    async fn store_run(&self, deployment: &DeploymentRecord, origin: &str) -> RunId {
        let (input, state) = ("{}".to_owned(), "{}".to_owned());
        let new = NewRun { deployment: deployment.id, origin: origin.to_owned(), input, state };
        self.store.workspace(self.tenant).create_run(new, Vec::new()).await.unwrap().id
    }
}

#[tokio::test]
async fn a_day_of_a_deployment_is_its_own_or_the_installation_s() {
    let house = house().await;
    let (one, two) = (house.deployment(5).await.0, house.deployment(6).await.0);
    let own = with(&one, Some(3));
    for is_stranger in [true, false, true] {
        assert!(house.start(&own, is_stranger).await.allowed);
    }
    let over = house.start(&own, false).await;
    assert_eq!((over.allowed, over.policy, over.quota, over.window_s), (false, "deployment-day", 3, 86_400));
    assert_eq!(house.start(&two, true).await.remaining, 999);
    assert_eq!(house.start(&two, false).await.policy, "", "the default bounds strangers alone");
    house.advance_ms(8 * 3600 * 1000);
    assert!(house.start(&own, true).await.allowed, "a third of a day, a third of it");
    assert!(!house.start(&own, true).await.allowed);
    assert!(!house.start(&with(&two, Some(0)), true).await.allowed);
}

#[tokio::test]
async fn an_outlook_says_what_a_start_would_meet_and_charges_nothing() {
    let house = house().await;
    let one = house.deployment(5).await.0;
    let look = async |house: &House, deployment: &DeploymentRecord, is_stranger| {
        let outlook = house.cluster.start_outlook(house.tenant, deployment, is_stranger).await.unwrap();
        (outlook.verdict.allowed, outlook.verdict.policy, outlook.day_quarters)
    };
    let own = with(&one, Some(8));
    let mut seen = Vec::new();
    for _ in 0..8 {
        let first = look(&house, &own, true).await;
        assert_eq!(look(&house, &own, true).await, first, "looking costs nothing");
        seen.push(first.2);
        assert!(house.start(&own, true).await.allowed);
    }
    assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(look(&house, &own, true).await, (false, "deployment-day", 4));
    let two = DeploymentRecord { runs_per_minute: Some(1), ..house.deployment(6).await.0 };
    assert_eq!(look(&house, &two, false).await, (true, "deployment-minute", 0));
    assert!(house.start(&two, false).await.allowed);
    assert_eq!(look(&house, &two, true).await, (false, "deployment-minute", 0));
    for _ in 0..3 {
        let _ = house.store_run(&two, "public").await;
    }
    let house = house.restart(Secrets::new(&root(1), None)).await;
    assert_eq!(look(&house, &with(&two, Some(4)), true).await.2, 3, "of the day before the restart too");
}

#[tokio::test]
async fn a_day_goes_on_after_a_restart_with_the_runs_that_count() {
    let house = house().await;
    let (one, two) = (house.deployment(5).await.0, house.deployment(6).await.0);
    let _ = house.store_run(&one, "public").await;
    house.advance_ms(24 * 3600 * 1000 + 1);
    for origin in ["public", "api", "cron"] {
        let _ = house.store_run(&one, origin).await;
    }
    let _ = house.store_run(&two, "public").await;
    let house = house.restart(Secrets::new(&root(1), None)).await;
    assert_eq!(house.start(&with(&one, Some(5)), false).await.remaining, 1, "three of the last day and this one");
    assert_eq!(house.start(&with(&one, Some(5)), false).await.remaining, 0, "they are counted once");
    let house = house.restart(Secrets::new(&root(1), None)).await;
    assert_eq!(house.start(&one, true).await.remaining, 998, "of the default what strangers started");
}

impl House {
    async fn reply(&self, deployment: &DeploymentRecord, is_stranger: bool) -> Verdict {
        self.cluster.charge_reply(self.tenant, deployment, is_stranger, "agent.said").await.unwrap()
    }

    /// A run in which a bot has replied twice.
    async fn store_replies(&self, deployment: &DeploymentRecord, origin: &str) {
        let run = self.store_run(deployment, origin).await;
        let (at, data) = (self.now(), "{}".to_owned());
        let event = |seq, kind: &str| NewRunEvent { seq, kind: kind.to_owned(), roles: None, data: data.clone(), at };
        let turn = TurnRecord {
            status: "running".to_owned(),
            state: "{}".to_owned(),
            events: vec![event(1, "agent.said"), event(2, "step.opened"), event(3, "agent.said")],
            ..TurnRecord::default()
        };
        let _ = self.store.workspace(self.tenant).save_turn(run, 0, turn).await.unwrap();
    }
}

#[tokio::test]
async fn replies_to_strangers_have_the_installation_s_day_and_others_none() {
    let house = house().await;
    let one = house.deployment(5).await.0;
    assert_eq!(house.reply(&one, false).await.policy, "");
    let verdict = house.reply(&one, true).await;
    assert_eq!((verdict.policy, verdict.quota, verdict.window_s), ("deployment-replies", 2000, 86_400));
    for origin in ["api", "public"] {
        house.store_replies(&one, origin).await;
    }
    let house = house.restart(Secrets::new(&root(1), None)).await;
    assert_eq!(house.reply(&one, true).await.remaining, 1997, "of the default what strangers caused");
}

#[tokio::test]
async fn replies_of_the_last_day_count_after_a_restart() {
    let house = house().await;
    let one = DeploymentRecord { daily_replies: Some(4), ..house.deployment(5).await.0 };
    house.store_replies(&one, "api").await;
    let house = house.restart(Secrets::new(&root(1), None)).await;
    assert_eq!(house.reply(&one, false).await.remaining, 1);
    assert_eq!(house.reply(&one, true).await.remaining, 0);
    assert!(!house.reply(&one, false).await.allowed);
    assert_eq!(house.reply(&DeploymentRecord { daily_replies: None, ..one.clone() }, false).await.policy, "");
}

#[tokio::test]
async fn a_solution_is_spent_once_and_none_from_before_the_restart() {
    let house = house().await;
    let (asked, until) = (house.now(), house.now().plus(120_000));
    assert!(house.cluster.spend(7, asked, until));
    assert!(!house.cluster.spend(7, asked, until));
    assert!(!house.cluster.spend(8, asked.plus(-1), until), "asked for before this process began");
    house.advance_ms(120_000);
    assert!(!house.cluster.spend(9, asked, until), "expired");
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
    drained(Bucket::ParticipantsOf("2001:db8::1".parse().unwrap()), 300);
    assert!(!charge(Bucket::ParticipantsOf("2001:db8::ffff".parse().unwrap())).allowed, "one network");
    drained(Bucket::PublicStarts("2001:db8::1".parse().unwrap()), 10);
    assert!(!charge(Bucket::PublicStarts("2001:db8::ffff".parse().unwrap())).allowed, "one network");
    for full in [
        Bucket::Participant(run, "reviewer"),
        Bucket::Participant(other, "customer"),
        Bucket::Trigger("two"),
        Bucket::ParticipantsOf("2001:db8:0:1::1".parse().unwrap()),
        Bucket::PublicStarts("2001:db8:0:1::1".parse().unwrap()),
    ] {
        assert!(charge(full).allowed, "{full:?}");
    }
}

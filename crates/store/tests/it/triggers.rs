//! What starts runs besides a key: once for each event, and each time of a schedule once.

use ambient::{DeploymentId, Millis, TriggerId, Ulid};
use credential::secret::Digest;
use store::{
    Fired, MAX_DEPLOYMENTS, MAX_TRIGGERS, MAX_TRIGGERS_OF_WORKSPACE, NewEffect, NewRun, NewTrigger, StoreError,
    TriggerChange, TriggerFire, Workspace,
};
use tokio::task::JoinSet;

use crate::databases::{
    FIRST, START, by, deploy, deployed, logged, new_deployment, new_workflow, on_each, run, secret,
};

pub(crate) fn new_trigger(deployment: DeploymentId, n: u8, next_at: Option<Millis>) -> NewTrigger {
    NewTrigger {
        id: TriggerId(Ulid(u128::from(n))),
        deployment,
        kind: if next_at.is_some() { "cron" } else { "webhook" }.to_owned(),
        name: format!("trigger {n}"),
        digest: Some(Digest([n; 32])),
        secret_sealed: Some(vec![n; 3]),
        schedule: next_at.map(|_| "*/5 * * * *".to_owned()),
        timezone: next_at.map(|_| "UTC".to_owned()),
        input: Some("{}".to_owned()),
        next_at,
    }
}

async fn fire(data: &Workspace, deployment: DeploymentId, fire: &TriggerFire) -> Result<Fired, StoreError> {
    let (input, state) = ("{}".to_owned(), "{}".to_owned());
    let new = NewRun { deployment, origin: "webhook".to_owned(), input, state };
    let begin = NewEffect { id: "begin".to_owned(), kind: "begin".to_owned(), payload: "{}".to_owned(), due_at: START };
    data.create_triggered_run(new, vec![begin], fire).await
}

/// How many of calls that are made at once start a run.
async fn started_of(data: &Workspace, deployment: DeploymentId, by: &TriggerFire) -> usize {
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (data, by) = (data.clone(), by.clone());
        calls.spawn(async move { fire(&data, deployment, &by).await });
    }
    let fired = calls.join_all().await;
    fired.iter().filter(|one| matches!(one, Ok(Fired::Started(_)))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_starts_one_run_whoever_brings_it_at_once() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "events").await;
        let id = live.create_trigger(new_trigger(deployment, 1, None), by("create_trigger")).await.unwrap().id;
        let event = TriggerFire { trigger: id, delivery: Some("evt".to_owned()), times: None };
        assert_eq!(started_of(&live, deployment, &event).await, 1);
        let run = live.runs(FIRST, Some(deployment)).await.unwrap().rows[0].id;
        assert_eq!(live.delivered(id, "evt").await.unwrap(), Some(run));
        assert!(matches!(fire(&live, deployment, &event).await, Ok(Fired::Before(known)) if known == run));
        assert_eq!(live.effects_of(run).await.unwrap().len(), 1);
        let nameless = TriggerFire { delivery: None, ..event.clone() };
        assert!(matches!(fire(&live, deployment, &nameless).await, Ok(Fired::Started(_))));

        // Forgotten after three days, and not before.
        let day = 24 * 3600 * 1000;
        world.store.sweep(START.plus(3 * day)).await.unwrap();
        assert!(live.delivered(id, "evt").await.unwrap().is_some());
        world.store.sweep(START.plus(3 * day + 1)).await.unwrap();
        assert!(live.delivered(id, "evt").await.unwrap().is_none());

        live.disable_trigger(id, "off").await.unwrap();
        assert!(matches!(fire(&live, deployment, &nameless).await, Err(StoreError::Conflict("trigger"))));
        assert_eq!(live.runs(FIRST, Some(deployment)).await.unwrap().total, 2, "what is off starts nothing");
        live.revoke_deployment(deployment, START, by("revoke_deployment")).await.unwrap();
        assert!(matches!(fire(&live, deployment, &nameless).await, Err(StoreError::Conflict("revoked"))));
        let on = TriggerChange { is_enabled: Some(true), ..TriggerChange::default() };
        let refused = live.update_trigger(id, on, by("update_trigger")).await;
        assert!(matches!(refused, Err(StoreError::Conflict("revoked"))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_time_of_a_schedule_starts_one_run_whoever_finds_it_at_once() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "times").await;
        let new = new_trigger(deployment, 1, Some(START));
        let id = live.create_trigger(new, by("create_trigger")).await.unwrap().id;
        let due = async |now| world.store.due_triggers(now, 10).await.unwrap();
        assert!(due(START.plus(-1)).await.is_empty());
        assert_eq!(due(START).await, [(live.tenant(), id, START)]);
        assert_eq!(world.store.next_trigger_after(START.plus(-1)).await.unwrap(), Some(START));

        let next = START.plus(300_000);
        let time = TriggerFire { trigger: id, delivery: Some("a".to_owned()), times: Some((START, Some(next))) };
        assert_eq!(started_of(&live, deployment, &time).await, 1);
        let late = TriggerFire { delivery: None, ..time };
        assert!(matches!(fire(&live, deployment, &late).await, Err(StoreError::Conflict("trigger"))));
        let now = live.trigger(id).await.unwrap();
        assert_eq!((now.next_at, now.last_at, now.last_error), (Some(next), Some(START), None));
        assert_eq!(world.store.next_trigger_after(START).await.unwrap(), Some(next));

        live.skip_trigger_time(id, START, None, "another's").await.unwrap();
        assert_eq!(live.trigger(id).await.unwrap().next_at, Some(next), "this time had passed");
        live.skip_trigger_time(id, next, None, "spent").await.unwrap();
        let now = live.trigger(id).await.unwrap();
        assert_eq!((now.next_at, now.last_error.as_deref()), (None, Some("spent")));
        assert_eq!(live.runs(FIRST, Some(deployment)).await.unwrap().total, 1);
    })
    .await;
}

#[tokio::test]
async fn who_has_many_schedules_keeps_nobody_waiting() {
    on_each(async |world| {
        let (ours, _, a) = deployed(world, "ours").await;
        let theirs = world.tenant("theirs").await.0;
        let workflow = theirs.create_workflow(new_workflow("w"), by("create_workflow")).await.unwrap().id;
        let b = deploy(&theirs, workflow, 2).await.id;
        for (tenant, deployment, n, at) in [(&ours, a, 1, 0), (&ours, a, 2, 1), (&ours, a, 3, 2), (&theirs, b, 4, 3)] {
            let new = new_trigger(deployment, n, Some(START.plus(at)));
            tenant.create_trigger(new, by("create_trigger")).await.unwrap();
        }
        let due = async |limit| -> Vec<_> {
            let due = world.store.due_triggers(START.plus(3), limit).await.unwrap();
            due.into_iter().map(|(_, id, _)| id.0.0).collect()
        };
        assert_eq!(due(10).await, [1, 4, 2, 3]);
        assert_eq!(due(2).await, [1, 4]);
    })
    .await;
}

#[tokio::test]
async fn an_environment_has_a_bounded_number_of_triggers_and_of_deployments() {
    on_each(async |world| {
        let (live, workflow, deployment) = deployed(world, "full").await;
        live.create_trigger(new_trigger(deployment, 1, None), by("create_trigger")).await.unwrap();
        let other = deploy(&live, workflow, 2).await.id;
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ";
        let triggers = MAX_TRIGGERS_OF_WORKSPACE - 2;
        run(&world.url, &format!(
            "INSERT INTO triggers (workspace_id, environment, id, deployment_id, kind, name, created_at)
            {numbers}{triggers}) SELECT workspace_id, environment, 'trg_' || i, '{other}', kind, name, created_at
            FROM triggers, n WHERE deployment_id = '{deployment}'"
        )).await;
        live.create_trigger(new_trigger(deployment, 2, None), by("create_trigger")).await.unwrap();
        let refused = live.create_trigger(new_trigger(deployment, 3, None), by("create_trigger")).await;
        assert!(matches!(refused, Err(StoreError::Conflict("workspace_triggers"))), "{refused:?}");

        let deployments = MAX_DEPLOYMENTS - 3;
        run(&world.url, &format!(
            "INSERT INTO deployments (workspace_id, environment, id, workflow_id, name, version, definition, survey_mode,
                created_at, challenge)
            {numbers}{deployments}) SELECT workspace_id, environment, 'dep_' || i, workflow_id, name, version,
                definition, survey_mode, created_at, challenge
            FROM deployments, n WHERE id = '{deployment}'"
        )).await;
        let last = deploy(&live, workflow, 3).await.id;
        let refused = live.create_deployment(new_deployment(workflow, 4), secret(4), by("create_deployment")).await;
        assert!(matches!(refused, Err(StoreError::Conflict("deployments"))), "{refused:?}");
        live.revoke_deployment(last, START, by("revoke_deployment")).await.unwrap();
        deploy(&live, workflow, 4).await;
    })
    .await;
}

#[tokio::test]
async fn a_trigger_comes_back_as_it_was_made_and_changed() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "kept").await;
        let made = live.create_trigger(new_trigger(deployment, 1, Some(START)), by("create_trigger")).await.unwrap();
        assert_eq!(format!("{:?}", live.trigger(made.id).await.unwrap()), format!("{made:?}"));
        let (tenant, found) = world.store.trigger_by_digest(&Digest([1; 32])).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{made:?}"));
        assert_eq!(tenant.workspace, live.tenant().workspace);
        assert!(world.store.trigger_by_digest(&Digest([2; 32])).await.unwrap().is_none());

        live.renew_trigger(made.id, &Digest([209; 32]), Some(vec![9])).await.unwrap();
        assert!(world.store.trigger_by_digest(&Digest([1; 32])).await.unwrap().is_none());
        let (_, found) = world.store.trigger_by_digest(&Digest([209; 32])).await.unwrap().unwrap();
        assert_eq!((found.id, found.secret_sealed), (made.id, Some(vec![9])));

        let off = TriggerChange { is_enabled: Some(false), name: Some("n".to_owned()), ..TriggerChange::default() };
        let off = live.update_trigger(made.id, off, by("update_trigger")).await.unwrap();
        assert_eq!((off.name.as_str(), off.next_at, off.disabled_at), ("n", None, Some(START)));
        let on = TriggerChange { is_enabled: Some(true), next_at: Some(Some(START)), ..TriggerChange::default() };
        let on = live.update_trigger(made.id, on, by("update_trigger")).await.unwrap();
        assert_eq!((on.schedule, on.next_at, on.disabled_at), (made.schedule, Some(START), None));

        for n in 2..=u8::try_from(MAX_TRIGGERS).unwrap() {
            live.create_trigger(new_trigger(deployment, n, None), by("create_trigger")).await.unwrap();
        }
        let more = live.create_trigger(new_trigger(deployment, 99, None), by("create_trigger")).await;
        assert!(matches!(more, Err(StoreError::Conflict("triggers"))));
        let ids: Vec<_> = live.triggers(deployment).await.unwrap().iter().map(|one| one.id.0.0).collect();
        assert_eq!(ids, (1..=u128::from(MAX_TRIGGERS)).collect::<Vec<_>>(), "the oldest first");
        live.delete_trigger(made.id, by("delete_trigger")).await.unwrap();
        assert!(matches!(live.trigger(made.id).await, Err(StoreError::NotFound)));
        let log = logged(&live).await;
        for action in ["create_trigger", "update_trigger", "delete_trigger"] {
            assert!(log.iter().any(|one| one == action), "{log:?}");
        }
    })
    .await;
}

/// Called by the test of tenants.
pub(crate) async fn sees_no_trigger_of(owner: &Workspace, stranger: &Workspace, deployment: DeploymentId) {
    fn absent<T: std::fmt::Debug>(what: &str, result: &Result<T, StoreError>) {
        assert!(matches!(result, Err(StoreError::NotFound)), "{what}: {result:?}");
    }
    let id = owner.create_trigger(new_trigger(deployment, 77, Some(START)), by("create")).await.unwrap().id;
    absent("create_trigger", &stranger.create_trigger(new_trigger(deployment, 78, None), by("x")).await);
    absent("trigger", &stranger.trigger(id).await);
    absent("update_trigger", &stranger.update_trigger(id, TriggerChange::default(), by("x")).await);
    absent("delete_trigger", &stranger.delete_trigger(id, by("x")).await);
    let event = TriggerFire { trigger: id, delivery: Some("e".to_owned()), times: None };
    absent("create_triggered_run", &fire(stranger, deployment, &event).await);
    stranger.skip_trigger_time(id, START, None, "x").await.unwrap();
    stranger.disable_trigger(id, "x").await.unwrap();
    stranger.renew_trigger(id, &Digest([5; 32]), None).await.unwrap();
    assert!(stranger.triggers(deployment).await.unwrap().is_empty());
    fire(owner, deployment, &event).await.unwrap();
    assert_eq!(stranger.delivered(id, "e").await.unwrap(), None);
    let kept = owner.trigger(id).await.unwrap();
    assert_eq!((kept.next_at, kept.disabled_at, kept.secret_sealed), (Some(START), None, Some(vec![77; 3])));
}

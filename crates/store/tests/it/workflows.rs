use access::{KeyKind, ScopeSet};
use ambient::{DeploymentId, KeyId, Ulid, WorkflowId};
use credential::key::Family;
use store::{
    DeploymentRecord, KeyChange, KeySettings, NewDeployment, PageRequest, StoreError, WorkflowChange, Workspace,
};

use crate::databases::{
    FIRST, START, by, deploy, deployed, digest, logged, new_deployment, new_workflow, on_each, run, secret,
};

async fn made(tenant: &Workspace) -> WorkflowId {
    tenant.create_workflow(new_workflow("survey"), by("create_workflow")).await.unwrap().id
}

#[tokio::test]
async fn a_workflow_comes_back_and_its_version_moves_with_its_definition_alone() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let made = live.create_workflow(new_workflow("naïve 'name'"), by("create_workflow")).await.unwrap();
        assert_eq!((made.version, made.created_at, made.updated_at), (1, START, START));
        assert_eq!(format!("{:?}", live.workflow(made.id).await.unwrap()), format!("{made:?}"));
        let now = world.advance(5);
        let same = WorkflowChange { name: Some("b".to_owned()), definition: Some(made.definition.clone()) };
        let renamed = live.update_workflow(made.id, same, by("update_workflow")).await.unwrap();
        assert_eq!((renamed.version, renamed.updated_at, renamed.name.as_str()), (1, now, "b"));
        let other = WorkflowChange { definition: Some("{\"other\":1}".to_owned()), ..WorkflowChange::default() };
        let changed = live.update_workflow(made.id, other, by("update_workflow")).await.unwrap();
        assert_eq!((changed.version, changed.name.as_str(), changed.definition.as_str()), (2, "b", "{\"other\":1}"));
        assert_eq!(format!("{:?}", live.workflow(made.id).await.unwrap()), format!("{changed:?}"));
        assert_eq!(logged(&live).await, ["create_workflow", "update_workflow", "update_workflow"]);
    })
    .await;
}

#[tokio::test]
async fn what_a_workflow_was_is_kept_a_hundred_times() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = made(&live).await;
        let first = live.workflow_version(id, 1).await.unwrap();
        assert_eq!((first.version, first.created_at), (1, START));
        assert_eq!(first.definition, live.workflow(id).await.unwrap().definition);
        let change = |name: Option<&str>, definition: Option<String>| WorkflowChange {
            name: name.map(str::to_owned),
            definition,
        };
        live.update_workflow(id, change(Some("other"), None), by("update_workflow")).await.unwrap();
        assert_eq!(live.workflow_versions(id, FIRST).await.unwrap().total, 1, "a name is no version");
        let now = world.advance(5);
        for n in 2..=102 {
            let other = change(None, Some(format!("{{\"n\":{n}}}")));
            live.update_workflow(id, other, by("update_workflow")).await.unwrap();
        }
        let page = live.workflow_versions(id, PageRequest { page: 1, per_page: 2 }).await.unwrap();
        let listed: Vec<_> =
            page.rows.iter().map(|row| (row.version, row.definition.as_str(), row.created_at)).collect();
        assert_eq!((listed, page.total), (vec![(102, "", now), (101, "", now)], 100));
        assert_eq!(live.workflow_version(id, 3).await.unwrap().definition, "{\"n\":3}");
        assert!(matches!(live.workflow_version(id, 2).await, Err(StoreError::NotFound)), "the oldest go");
        live.delete_workflow(id, by("delete_workflow")).await.unwrap();
        assert_eq!(live.workflow_versions(id, FIRST).await.unwrap().total, 0);
    })
    .await;
}

#[tokio::test]
async fn workflows_and_deployments_are_listed_newest_first() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let (mut workflows, mut deployments) = (Vec::new(), Vec::new());
        for n in 1..=3 {
            world.advance(1);
            workflows.push(made(&live).await);
            deployments.push(deploy(&live, workflows[usize::from(n.min(2)) - 1], n).await.id);
        }
        let second = PageRequest { page: 2, per_page: 2 };
        let page = live.workflows(second).await.unwrap();
        assert_eq!((page.rows[0].id, page.rows.len(), page.total), (workflows[0], 1, 3));
        assert_eq!(page.rows[0].definition, "", "a page of definitions could be of any size");
        let page = live.deployments(FIRST, None).await.unwrap();
        let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
        assert_eq!((ids, page.total), (vec![deployments[2], deployments[1], deployments[0]], 3));
        assert!(page.rows.iter().all(|row| row.definition.is_empty()), "a page of definitions could be of any size");
        assert_eq!(page.rows[0].display, secret(3).display);
        let page = live.deployments(FIRST, Some(workflows[1])).await.unwrap();
        let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
        assert_eq!((ids, page.total), (vec![deployments[2], deployments[1]], 2));
    })
    .await;
}

#[tokio::test]
async fn a_deployment_is_the_frozen_version_and_a_key_of_the_same_number() {
    on_each(async |world| {
        for (n, tenant) in [(1, world.tenant("live").await.0), (2, world.tenant("test").await.1)] {
            let workflow = made(&tenant).await;
            let definition = tenant.workflow(workflow).await.unwrap().definition;
            let new = NewDeployment {
                survey_mode: n == 1,
                daily_runs: Some(7),
                runs_per_minute: Some(5),
                input_mapping: (n == 1).then(|| "{\"a\":\"{{body.a}}\"}".to_owned()),
                challenge: "auto".to_owned(),
                settings: KeySettings { rate_limit: Some(9), ..KeySettings::default() },
                ..new_deployment(workflow, n)
            };
            let id = new.id;
            let (made, key) = tenant.create_deployment(new, secret(n), by("create_deployment")).await.unwrap();
            assert_eq!((made.id, made.version, made.definition.as_str()), (id, 1, definition.as_str()));
            assert_eq!((made.survey_mode, made.daily_runs, made.daily_replies), (n == 1, Some(7), None));
            assert_eq!((made.runs_per_minute, made.challenge.as_str()), (Some(5), "auto"));
            assert_eq!(made.input_mapping.is_some(), n == 1);
            assert_eq!((made.display.as_str(), made.key()), (secret(n).display.as_str(), KeyId(id.0)));

            let change = WorkflowChange { definition: Some("{}".to_owned()), ..WorkflowChange::default() };
            tenant.update_workflow(workflow, change, by("update_workflow")).await.unwrap();
            let read = tenant.deployment(id).await.unwrap();
            assert_eq!(format!("{read:?}"), format!("{made:?}"), "frozen");
            let (owner, found) = world.store.deployment_by_id(id).await.unwrap().unwrap();
            assert_eq!(format!("{found:?}"), format!("{made:?}"));
            assert_eq!((owner.workspace, owner.environment), (tenant.tenant().workspace, tenant.tenant().environment));

            assert_eq!((key.id, key.kind, key.family), (KeyId(id.0), KeyKind::Deployment, Family::Deployment));
            assert_eq!((key.environment, key.scopes), (tenant.tenant().environment, ScopeSet::NONE));
            assert_eq!((key.settings.rate_limit, key.expires_at, key.revoked_at), (Some(9), None, None));
            let held = world.store.find_key_by_digest(&digest(n)).await.unwrap().unwrap();
            assert_eq!(format!("{:?}", held.key), format!("{key:?}"), "the keyring knows it by its secret");
            assert_eq!(logged(&tenant).await, ["create_deployment", "create_workflow", "update_workflow"]);
        }
        assert!(world.store.deployment_by_id(DeploymentId(Ulid(5))).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_deployed_leaves_no_key() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let workflow = made(&live).await;
        let create = async |new, n| live.create_deployment(new, secret(n), by("create_deployment")).await;
        let stale = create(NewDeployment { version: 2, ..new_deployment(workflow, 1) }, 1).await;
        assert!(matches!(stale, Err(StoreError::Conflict("version"))), "{stale:?}");
        let gone = create(new_deployment(WorkflowId(Ulid(1)), 1), 1).await;
        assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
        create(new_deployment(workflow, 1), 1).await.unwrap();
        let known = create(new_deployment(workflow, 2), 1).await;
        assert!(matches!(known, Err(StoreError::Conflict("secret"))), "{known:?}");
        // The key goes first: a deployment that fails after it must take it along.
        run(
            &world.url,
            &format!("DELETE FROM api_key_secrets WHERE key_id = '{}'", KeyId(new_deployment(workflow, 1).id.0)),
        )
        .await;
        run(&world.url, "DELETE FROM api_keys").await;
        let doubled = create(new_deployment(workflow, 1), 3).await;
        assert!(matches!(doubled, Err(StoreError::Conflict("duplicate"))), "{doubled:?}");
        assert!(world.store.find_key_by_digest(&digest(3)).await.unwrap().is_none());
        assert_eq!(logged(&live).await, ["create_deployment", "create_workflow"], "one of each");
    })
    .await;
}

#[tokio::test]
async fn the_first_revocation_counts_and_takes_the_key_along() {
    on_each(async |world| {
        let (live, _, id) = deployed(world, "ours").await;
        let first = world.advance(5);
        let (deployment, key) = live.revoke_deployment(id, first, by("revoke_deployment")).await.unwrap();
        assert_eq!((deployment.revoked_at, key.revoked_at), (Some(first), Some(first)));
        let again = live.revoke_deployment(id, world.advance(5), by("revoke_deployment")).await.unwrap();
        assert_eq!((again.0.revoked_at, again.1.revoked_at), (Some(first), Some(first)));
        assert_eq!(live.deployment(id).await.unwrap().revoked_at, Some(first));
        assert_eq!(world.store.find_key(KeyId(id.0)).await.unwrap().unwrap().key.revoked_at, Some(first));
        assert_eq!(world.store.deployment_by_id(id).await.unwrap().unwrap().1.revoked_at, Some(first));
        let refused = live.update_key(KeyId(id.0), KeyChange::default(), by("x")).await;
        assert!(matches!(refused, Err(StoreError::Conflict("revoked"))), "{refused:?}");
        assert_eq!(logged(&live).await, ["create_deployment", "create_workflow", "revoke_deployment"]);
    })
    .await;
}

#[tokio::test]
async fn who_revokes_the_key_revokes_the_deployment() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        for (n, tenant) in [(1, &live), (2, &test)] {
            let DeploymentRecord { id, .. } = deploy(tenant, made(tenant).await, n).await;
            let now = world.advance(5);
            live.revoke_key(KeyId(id.0), now, by("revoke_api_key")).await.unwrap();
            assert_eq!(
                tenant.deployment(id).await.unwrap().revoked_at,
                Some(now),
                "also a test one, by its live owner"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_is_not_there_takes_no_key_of_its_number_along() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let key = live.create_key(crate::databases::new_key(1), by("create")).await.unwrap().id;
        let of_test = deploy(&test, made(&test).await, 2).await.id;
        for id in [DeploymentId(key.0), of_test] {
            let revoked = live.revoke_deployment(id, START, by("revoke_deployment")).await;
            assert!(matches!(revoked, Err(StoreError::NotFound)), "{revoked:?}");
            assert_eq!(live.key(KeyId(id.0)).await.unwrap().revoked_at, None);
        }
        assert_eq!(test.deployment(of_test).await.unwrap().revoked_at, None);
    })
    .await;
}

#[tokio::test]
async fn a_workflow_stays_while_it_is_deployed_and_its_versions_outlive_it() {
    on_each(async |world| {
        let (live, workflow, id) = deployed(world, "ours").await;
        let refused = live.delete_workflow(workflow, by("delete_workflow")).await;
        assert!(matches!(refused, Err(StoreError::Conflict("deployed"))), "{refused:?}");
        live.revoke_deployment(id, START, by("revoke_deployment")).await.unwrap();
        live.delete_workflow(workflow, by("delete_workflow")).await.unwrap();
        assert!(matches!(live.workflow(workflow).await, Err(StoreError::NotFound)));
        assert!(matches!(live.delete_workflow(workflow, by("delete_workflow")).await, Err(StoreError::NotFound)));
        assert_eq!(live.deployment(id).await.unwrap().workflow, workflow);
        let log = logged(&live).await;
        assert_eq!(log.iter().filter(|action| *action == "delete_workflow").count(), 1, "{log:?}");
    })
    .await;
}

#[tokio::test]
async fn who_deletes_and_who_deploys_at_once_do_not_both_win() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        for n in 1..=20 {
            let workflow = made(&live).await;
            let (deployed, deleted) = tokio::join!(
                live.create_deployment(new_deployment(workflow, n), secret(n), by("create_deployment")),
                live.delete_workflow(workflow, by("delete_workflow")),
            );
            assert_ne!(deployed.is_ok(), deleted.is_ok(), "{deployed:?} {deleted:?}");
        }
    })
    .await;
}

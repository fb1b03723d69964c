use std::time::Duration;

use runs::RunError;
use serde_json::json;
use tokio::time::timeout;
use workflow::{RunStatus, examples};

use crate::world::{on_each, workspace};

#[tokio::test]
async fn who_follows_sees_every_event_once_in_order_whenever_they_came() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        let deployment = world.deploy(examples()[1].1).await;
        let run = world.start(&deployment, json!({})).await;
        let follow = async |after| {
            let mut follower = node.runs.follow(tenant, run, after).await.unwrap();
            let mut seen = Vec::new();
            while let Some(events) = timeout(Duration::from_secs(10), follower.next()).await.unwrap().unwrap() {
                seen.extend(events.into_iter().map(|event| event.seq));
            }
            seen
        };
        let answer = async {
            for (step, value) in [("score", json!(9)), ("liked", json!(["speed"]))] {
                node.wait_for_step(tenant, run, step).await;
                node.runs.answer(tenant, run, "respondent", step, value).await.unwrap();
            }
        };
        let (first, second, ()) = tokio::join!(follow(0), follow(2), answer);
        let last = node.timeline(tenant, run).await.len() as u64;
        assert_eq!(first, (1..=last).collect::<Vec<_>>());
        assert_eq!(second, (3..=last).collect::<Vec<_>>());
        assert_eq!(follow(0).await, first, "when all is over");
        assert!(follow(last).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn runs_of_another_workspace_are_not_there() {
    on_each(async |world| {
        let runs = &world.node.runs;
        let deployment = world.deploy(examples()[1].1).await;
        let run = world.start(&deployment, json!({})).await;
        world.node.wait_for_step(world.tenant, run, "score").await;
        let other = workspace(&world.node.store).await;
        let not_found = |error: RunError| assert!(matches!(error, RunError::NotFound), "{error:?}");
        not_found(runs.view(other, run, "respondent").await.unwrap_err());
        not_found(runs.answer(other, run, "respondent", "score", json!(1)).await.unwrap_err());
        not_found(runs.cancel(other, run, "mine").await.unwrap_err());
        not_found(runs.events(other, run, 0, 10).await.unwrap_err());
        not_found(runs.follow(other, run, 0).await.unwrap_err());
        not_found(runs.state(other, run).await.unwrap_err());
        not_found(runs.definition(other, deployment.id).await.unwrap_err());
        not_found(runs.start(other, &deployment, json!({}), "api").await.unwrap_err());
        assert_eq!(runs.cancel_of_deployment(other, deployment.id, "mine").await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_thousand_runs_are_begun_and_finished() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        world.add_model("good").await;
        let definition = json!({"type": "Workflow", "id": "w", "participants": [{"name": "p"}], "children": [
            {"type": "Input", "id": "q", "prompt": "?"}, {"type": "Message", "id": "m", "text": "{{q}}"}]});
        let deployment = world.deploy(&definition.to_string()).await;
        let mut started = Vec::new();
        for _ in 0..1000 {
            started.push(world.start(&deployment, json!({})).await);
        }
        for run in &started {
            node.wait_for_step(tenant, *run, "q").await;
            node.runs.answer(tenant, *run, "p", "q", json!("a")).await.unwrap();
        }
        for run in &started {
            assert_eq!(node.wait_for_end(tenant, *run).await, RunStatus::Completed);
        }
        assert!(node.store.due_effects(node.clock.now().plus(100_000_000), 10).await.unwrap().is_empty());
    })
    .await;
}

use std::time::Duration;

use runs::RunError;
use serde_json::{Value, json};
use store::{NewEffect, NewRun, TurnRecord};
use tokio::time::{sleep, timeout};
use workflow::RunStatus;

use crate::world::{World, by, on_each, workspace};

fn workflow(children: &Value) -> String {
    json!({"type": "Workflow", "id": "w", "participants": [{"name": "p"}], "children": children}).to_string()
}

fn agent() -> Value {
    json!({"type": "Agent", "id": "a", "bot": "bot_example", "prompt": "Hello"})
}

async fn until(wanted: impl Fn() -> bool) {
    let waiting = async {
        while !wanted() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.unwrap();
}

async fn run_to_end(world: &World, children: &Value) -> (RunStatus, workflow::RunState) {
    let deployment = world.deploy(&workflow(children)).await;
    let run = world.start(&deployment, json!({})).await;
    let status = world.node.wait_for_end(world.tenant, run).await;
    (status, world.node.runs.state(world.tenant, run).await.unwrap())
}

#[tokio::test]
async fn a_tool_is_called_with_its_body_and_the_name_of_the_call() {
    on_each(async |world| {
        let tool = json!({"type": "Tool", "id": "t", "method": "PUT", "url": format!("{}/tool", world.outside.url()),
            "headers": {"X-Of": "us"}, "body": {"n": 1}});
        let get = json!({"type": "Tool", "id": "g", "url": format!("{}/tool", world.outside.url())});
        let (status, state) = run_to_end(&world, &json!([tool, get])).await;
        assert_eq!(status, RunStatus::Completed, "{:?}", state.ending());
        assert_eq!(state.results()["t"], json!({"status": 200, "body": {"got": {"n": 1}}}));
        let asked = world.outside.asked();
        let head = asked[0].head.to_lowercase();
        assert!(head.starts_with("put /tool ") && head.contains("\r\nx-of: us"), "{head}");
        assert!(head.contains("\r\nidempotency-key: run_") && head.contains("/t\r\n"), "{head}");
        let head = asked[1].head.to_lowercase();
        assert!(head.starts_with("get /tool ") && !head.contains("content-type"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_called_fails_the_run_with_a_reason() {
    on_each(async |world| {
        for (url, code) in [("http://10.0.0.1/x", "address_refused"), ("http://127.0.0.1:1/x", "not_connected")] {
            let tool = json!([{"type": "Tool", "id": "t", "url": url, "retries": 0, "on_error": "continue"}]);
            let (status, state) = run_to_end(&world, &tool).await;
            assert_eq!((status, &state.results()["t"]["error"]), (RunStatus::Completed, &json!(code)), "{url}");
        }
        let url = format!("{}/tool", world.outside.url());
        let tool = json!([{"type": "Tool", "id": "t", "url": url, "retries": 0, "connection": "conn_1"}]);
        let (status, state) = run_to_end(&world, &tool).await;
        assert_eq!(status, RunStatus::Failed);
        assert!(state.ending().unwrap().message.contains("connection_unavailable"));
        assert!(world.outside.asked().is_empty(), "nothing goes out without its secret");
    })
    .await;
}

#[tokio::test]
async fn who_has_much_to_be_done_keeps_nobody_waiting() {
    on_each(async |mut world| {
        // As many calls as a workspace may have, and behind them more than are looked at.
        let hanging = json!({"type": "Tool", "id": "t", "url": format!("{}/hang", world.outside.url())});
        let deployment = world.deploy(&workflow(&json!([hanging]))).await;
        for _ in 0..32 {
            world.start(&deployment, json!({})).await;
        }
        until(|| world.outside.asked().len() == 32).await;
        let due_at = world.node.clock.now();
        let more =
            |n| NewEffect { id: format!("e{n}"), kind: "call_tool".to_owned(), payload: "{}".to_owned(), due_at };
        let (input, state) = ("{}".to_owned(), "{}".to_owned());
        let new = NewRun { deployment: deployment.id, origin: "api".to_owned(), input, state };
        let theirs = world.node.store.workspace(world.tenant);
        theirs.create_run(new, (0..1200).map(more).collect()).await.unwrap();

        world.tenant = workspace(&world.node.store).await;
        let tool = json!({"type": "Tool", "id": "t", "url": format!("{}/tool", world.outside.url())});
        let steps = json!([{"type": "Wait", "id": "z", "seconds": 1}, tool]);
        let (status, _) = run_to_end(&world, &steps).await;
        assert_eq!((status, world.outside.asked().len()), (RunStatus::Completed, 33));
    })
    .await;
}

#[tokio::test]
async fn a_wait_ends_by_itself() {
    on_each(async |world| {
        let (status, _) = run_to_end(&world, &json!([{"type": "Wait", "id": "z", "seconds": 1}])).await;
        assert_eq!(status, RunStatus::Completed);
    })
    .await;
}

#[tokio::test]
async fn cancelling_a_run_cuts_what_it_has_under_way() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        world.add_model("hang").await;
        let hanging = json!({"type": "Tool", "id": "t", "url": format!("{}/hang", world.outside.url())});
        for (children, hung_up) in [(json!([agent()]), 1), (json!([hanging]), 2)] {
            let deployment = world.deploy(&workflow(&children)).await;
            let run = world.start(&deployment, json!({})).await;
            until(|| world.outside.asked().len() == hung_up).await;
            let cancelled = node.runs.cancel(tenant, run, "enough").await.unwrap();
            assert_eq!(cancelled.status, "cancelled");
            until(|| world.outside.hung_up() == hung_up).await;
            let again = node.runs.cancel(tenant, run, "enough").await;
            assert!(matches!(again, Err(RunError::Ended)));
            assert_eq!(node.runs.state(tenant, run).await.unwrap().ending().unwrap().message, "enough");
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_deployment_starts_nothing_and_its_runs_end_when_asked() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        let deployment = world.deploy(&workflow(&json!([{"type": "Input", "id": "q", "prompt": "?"}]))).await;
        let (first, second) = (world.start(&deployment, json!({})).await, world.start(&deployment, json!({})).await);
        for run in [first, second] {
            node.wait_for_step(tenant, run, "q").await;
        }
        let data = node.store.workspace(tenant);
        let (revoked, _) = data.revoke_deployment(deployment.id, node.clock.now(), by("revoke")).await.unwrap();
        for known in [&revoked, &deployment] {
            let refused = node.runs.start(tenant, known, json!({}), "api").await;
            assert!(matches!(refused, Err(RunError::Revoked)), "also for who has not heard of it: {refused:?}");
        }
        node.runs.answer(tenant, first, "p", "q", json!("still")).await.unwrap();
        assert_eq!(node.runs.cancel_of_deployment(tenant, deployment.id, "revoked").await.unwrap(), 1);
        assert_eq!(node.wait_for_end(tenant, first).await, RunStatus::Completed);
        assert_eq!(node.wait_for_end(tenant, second).await, RunStatus::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn replies_of_a_deployment_have_a_ceiling_of_the_day() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        world.add_model("good").await;
        let deployment = world.deploy_with(&workflow(&json!([agent()])), Some(1)).await;
        let first = world.start(&deployment, json!({})).await;
        assert_eq!(node.wait_for_end(tenant, first).await, RunStatus::Completed);
        let second = world.start(&deployment, json!({})).await;
        node.wait(tenant, second, |run| run.status == "waiting").await;
        let events = node.timeline(tenant, second).await;
        let pause = events.iter().find(|event| event.kind.as_str() == "timer.set").unwrap();
        assert_eq!(pause.data["code"], "daily_replies");
        assert_eq!(world.outside.asked().len(), 1, "the model heard nothing of it");
    })
    .await;
}

#[tokio::test]
async fn a_model_that_fails_is_asked_again_later() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        world.add_model("broken").await;
        let deployment = world.deploy(&workflow(&json!([agent()]))).await;
        let run = world.start(&deployment, json!({})).await;
        node.wait(tenant, run, |run| run.status == "waiting").await;
        let events = node.timeline(tenant, run).await;
        let pause = events.iter().find(|event| event.kind.as_str() == "timer.set").unwrap();
        assert_eq!(pause.data["code"], "upstream_refused", "{pause:?}");
        let waiting = node.store.workspace(tenant).effects_of(run).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert!(waiting[0].due_at > node.clock.now());
    })
    .await;
}

#[tokio::test]
async fn input_that_does_not_fit_starts_nothing() {
    on_each(async |world| {
        let definition = json!({"type": "Workflow", "id": "w", "inputs": [{"name": "n", "type": "number"}],
            "children": [{"type": "Message", "id": "m", "text": "{{input.n}}"}]});
        let deployment = world.deploy(&definition.to_string()).await;
        let refused = world.node.runs.start(world.tenant, &deployment, json!({"n": "x"}), "api").await;
        assert!(matches!(refused, Err(RunError::Invalid(faults)) if faults[0].field == "n"));
        let page = store::PageRequest { page: 1, per_page: 10 };
        assert_eq!(world.node.store.workspace(world.tenant).runs(page, None).await.unwrap().total, 0);
    })
    .await;
}

#[tokio::test]
async fn an_effect_that_comes_twice_changes_nothing() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        let deployment = world.deploy(&workflow(&json!([{"type": "Input", "id": "q", "prompt": "?"}]))).await;
        let run = world.start(&deployment, json!({})).await;
        let record = node.wait_for_step(tenant, run, "q").await;
        let data = node.store.workspace(tenant);
        assert!(data.effects_of(run).await.unwrap().is_empty(), "what is done is forgotten");
        let before = node.timeline(tenant, run).await;
        let again = |id: &str, kind: &str| NewEffect {
            id: id.to_owned(),
            kind: kind.to_owned(),
            payload: "{}".to_owned(),
            due_at: node.clock.now(),
        };
        let turn = TurnRecord {
            status: record.status,
            state: record.state,
            current_step: record.current_step,
            effects: vec![again("begin", "begin"), again("q#1", "set_timer"), again("q#2", "ask_bot")],
            ..TurnRecord::default()
        };
        data.save_turn(run, record.version, turn).await.unwrap();
        node.runs.wake();
        let put_off = async {
            let later = node.clock.now().plus(3_600_000);
            while !data.effects_of(run).await.unwrap().iter().all(|effect| effect.due_at > later) {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(10), put_off).await.unwrap();
        assert_eq!(node.timeline(tenant, run).await, before);
        node.runs.answer(tenant, run, "p", "q", json!("a")).await.unwrap();
        assert_eq!(node.wait_for_end(tenant, run).await, RunStatus::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stops_leaves_its_calls_to_the_next_one() {
    on_each(async |world| {
        let node = &world.node;
        world.add_model("hang").await;
        let deployment = world.deploy(&workflow(&json!([agent()]))).await;
        let run = world.start(&deployment, json!({})).await;
        until(|| world.outside.asked().len() == 1).await;
        node.runs.stop();
        until(|| world.outside.hung_up() == 1).await;
        let effects = node.store.workspace(world.tenant).effects_of(run).await.unwrap();
        assert_eq!((effects.len(), effects[0].attempts), (1, 0), "it was neither answered nor put off");
        let next = node.beside();
        next.resume();
        until(|| world.outside.asked().len() == 2).await;
        next.cancel(world.tenant, run, "enough").await.unwrap();
    })
    .await;
}

//! What a model or a tool may not do: go on for ever, say too much, lead elsewhere, outlive its key.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Upstream, World, eventually};

use super::{call, ended, look, run, scripted, start, tools::ToolServer, waiting_execution};

on_both! {
    a_bot_that_calls_for_ever_is_stopped;
    a_tool_that_misbehaves_is_an_error_to_the_model_and_no_more;
    a_bot_that_cannot_be_asked_fails_the_execution;
    an_execution_ends_when_its_time_is_over;
    a_cancelled_execution_is_cut;
    a_revoked_key_ends_what_it_has_started;
    who_may_no_longer_start_an_execution_has_none_going_on;
    only_so_many_go_on_at_once_and_the_rest_waits;
    a_metered_workspace_pays_for_each_answer;
}

async fn a_bot_that_calls_for_ever_is_stopped(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let tools = json!([{"type": "http", "name": "more", "url": format!("{}/more", server.origin)}]);
    let extra = json!({"tools": tools, "max_iterations": 3});
    let agent_loop = scripted(world, &upstream, json!([call("http__more", json!({}))]), extra).await;
    let done = run(world, &agent_loop).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("stopped"), &json!("max_iterations")), "{done}");
    assert_eq!((&done["iterations"], server.seen("/more").len(), upstream.requests().len()), (&json!(3), 2, 3));
    let last = done["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["kind"], "model", "what the last answer calls is shown, and not called: {last}");
}

async fn a_tool_that_misbehaves_is_an_error_to_the_model_and_no_more(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let tool = |name: &str| json!({"type": "http", "name": name, "url": format!("{}/{name}", server.origin), "timeout_seconds": 1});
    let mut tools: Vec<Value> = ["big", "hang", "redirect", "status"].map(tool).to_vec();
    tools.push(json!({"type": "http", "name": "fill", "url": format!("{}/fill/{{id}}", server.origin)}));
    let mut turns: Vec<Value> =
        ["big", "hang", "redirect", "status", "absent"].map(|name| call(&format!("http__{name}"), json!({}))).to_vec();
    turns.push(call("http__fill", json!({"id": ".."})));
    turns.push(json!({"call": [{"name": "http__fill", "arguments": [1]}]}));
    turns.push(json!({"say": "enough"}));
    let agent_loop = scripted(world, &upstream, json!(turns), json!({"tools": tools})).await;
    let done = run(world, &agent_loop).await;
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!("enough")), "{done}");
    let results: Vec<&Value> =
        done["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == "tool_result").collect();
    let text = |n: usize| results[n]["content"].as_str().unwrap();
    assert!(results[0]["is_cut"] == true && results[0]["is_error"] == false && text(0).len() < 70_000);
    assert!(text(0).ends_with("are shown]"), "the model is told that there was more");
    assert!(results[1..].iter().all(|result| result["is_error"] == true), "{results:?}");
    assert!(text(1).contains("in time") && text(2).contains("redirects are not followed"), "{} {}", text(1), text(2));
    assert!(text(3).contains("404") && text(3).contains("no such thing"), "{}", text(3));
    assert!(
        text(4).contains("no such tool") && text(5).contains("another path") && text(6).contains("not a JSON object")
    );
    assert!(server.seen("/echo").is_empty() && server.seen("/fill").is_empty(), "nothing was followed");
}

async fn a_bot_that_cannot_be_asked_fails_the_execution(world: &World) {
    let upstream = Upstream::start().await;
    for (model, reason) in [("status-500", "upstream_refused"), ("garbage", "upstream_unavailable")] {
        let bot = world.bot_on(&upstream, model).await;
        let body = json!({"name": "L", "prompt": "p", "bot_id": bot});
        let made = world.secret().post("/v1/agent-loops", &body).await.expect(201).data();
        let done = run(world, made["id"].as_str().unwrap()).await;
        assert_eq!((&done["status"], &done["reason"]), (&json!("failed"), &json!(reason)), "{done}");
    }
}

async fn an_execution_ends_when_its_time_is_over(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "hang").await;
    let body = json!({"name": "L", "prompt": "p", "bot_id": bot, "timeout_seconds": 1});
    let made = world.secret().post("/v1/agent-loops", &body).await.expect(201).data();
    let done = run(world, made["id"].as_str().unwrap()).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("stopped"), &json!("timeout")), "{done}");
    assert!(eventually(Duration::from_secs(5), async || upstream.active() == 0).await, "the model is let go");
}

async fn a_cancelled_execution_is_cut(world: &World) {
    let upstream = Upstream::start().await;
    let (by, bot) = (world.secret(), world.bot_on(&upstream, "hang").await);
    let made = by.post("/v1/agent-loops", &json!({"name": "L", "prompt": "p", "bot_id": bot})).await.expect(201).data();
    let id = start(&by, made["id"].as_str().unwrap(), &json!({})).await;
    assert!(eventually(Duration::from_secs(10), async || upstream.active() == 1).await);
    assert_eq!(look(&by, &id).await["status"], "running");
    let path = format!("/v1/executions/{id}/cancel");
    let cancelled = by.post(&path, &json!({})).await.expect(200).data();
    assert_eq!((&cancelled["status"], &cancelled["reason"]), (&json!("cancelled"), &json!("cancelled")));
    assert!(eventually(Duration::from_secs(5), async || upstream.active() == 0).await, "the model is let go");
    let _ = by.post(&path, &json!({})).await.refused(409, "CONFLICT");
    assert_eq!(look(&by, &id).await["status"], "cancelled");
}

async fn a_revoked_key_ends_what_it_has_started(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "hang").await;
    let body = json!({"name": "L", "prompt": "p", "bot_id": bot});
    let made = world.secret().post("/v1/agent-loops", &body).await.expect(201).data();
    let agent_loop = made["id"].as_str().unwrap();
    let scopes = json!(["agent-loops:read", "agent-loops:write"]);
    let key = world.key("starter", json!({"name": "Starter", "scopes": scopes})).await;
    let (mine, other) =
        (start(&key, agent_loop, &json!({})).await, start(&world.secret(), agent_loop, &json!({})).await);
    assert!(eventually(Duration::from_secs(10), async || upstream.active() == 2).await);
    let receipt = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(receipt["streams_closed"], 1, "{receipt}");
    let done = ended(&world.secret(), &mine).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("cancelled"), &json!("revoked")), "{done}");
    assert!(eventually(Duration::from_secs(5), async || upstream.active() == 1).await);
    assert_eq!(look(&world.secret(), &other).await["status"], "running", "another key's goes on");
}

async fn who_may_no_longer_start_an_execution_has_none_going_on(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let tool = json!({"type": "http", "name": "hang", "url": format!("{}/hang", server.origin), "timeout_seconds": 1});
    let extra = json!({"tools": [tool], "max_iterations": 50});
    let agent_loop = scripted(world, &upstream, json!([call("http__hang", json!({}))]), extra).await;
    let scopes = json!(["agent-loops:read", "agent-loops:write"]);
    let key = world.key("narrowed", json!({"name": "Narrowed", "scopes": scopes})).await;
    let (removed, demoted) = (world.member("removed", "admin").await, world.member("demoted", "admin").await);
    let owner = world.secret();
    let mut going = Vec::new();
    for by in [&owner, &key, &removed, &demoted] {
        going.push(start(by, &agent_loop, &json!({})).await);
    }
    assert!(eventually(Duration::from_secs(10), async || server.seen("/hang").len() >= 5).await);
    let narrowed = json!({"scopes": ["agent-loops:read"]});
    let _ = owner.patch(&format!("/v1/api-keys/{}", key.id()), &narrowed).await.expect(200);
    let _ = owner.delete(&format!("/v1/members/{}", removed.id())).await.expect(204);
    let _ = owner.patch(&format!("/v1/members/{}", demoted.id()), &json!({"role": "member"})).await.expect(200);
    for id in &going[1..] {
        let done = ended(&owner, id).await;
        assert_eq!((&done["status"], &done["reason"]), (&json!("cancelled"), &json!("revoked")), "{done}");
    }
    assert_eq!(look(&owner, &going[0]).await["status"], "running", "another's goes on");
}

async fn only_so_many_go_on_at_once_and_the_rest_waits(world: &World) {
    let upstream = Upstream::start().await;
    let (by, bot) = (world.secret(), world.bot_on(&upstream, "hang").await);
    let made = by.post("/v1/agent-loops", &json!({"name": "L", "prompt": "p", "bot_id": bot})).await.expect(201).data();
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(start(&by, made["id"].as_str().unwrap(), &json!({})).await);
    }
    assert!(eventually(Duration::from_secs(10), async || upstream.active() == 4).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((upstream.active(), &look(&by, &ids[4]).await["status"]), (4, &json!("pending")));
    let _ = by.post(&format!("/v1/executions/{}/cancel", ids[0]), &json!({})).await.expect(200);
    assert!(eventually(Duration::from_secs(10), async || look(&by, &ids[4]).await["status"] == "running").await);
    let other = world.other_workspace_secret();
    let bot = world.bot_of(&other).await;
    let body = json!({"name": "L", "prompt": "p", "bot_id": bot});
    let theirs = other.post("/v1/agent-loops", &body).await.expect(201).data();
    let done = ended(&other, &start(&other, theirs["id"].as_str().unwrap(), &json!({})).await).await;
    assert_eq!(done["status"], "completed", "another workspace does not wait");
}

async fn a_metered_workspace_pays_for_each_answer(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let by = world.secret();
    let _ = by.post("/v1/credits/grants", &json!({"amount": 2})).await.expect(201);
    let _ = by.patch("/v1/credits", &json!({"metered": true})).await.expect(200);
    let tools = json!([{"type": "http", "name": "more", "url": format!("{}/more", server.origin)}]);
    let agent_loop = scripted(world, &upstream, json!([call("http__more", json!({}))]), json!({"tools": tools})).await;
    let done = run(world, &agent_loop).await;
    assert_eq!(
        (&done["status"], &done["reason"], &done["iterations"]),
        (&json!("failed"), &json!("no_credits"), &json!(2)),
        "{done}"
    );
    assert_eq!(upstream.requests().len(), 2, "one credit each, and none for the third");
    let _ = waiting_execution(world).await;
}

//! Tools of MCP servers: found, named, called under the guard of our own client.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Backend, Upstream, World, id_of};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::{call, run, scripted, tools::ToolServer};
use crate::harness::in_a_world;

on_both! {
    the_tools_of_a_server_are_found_and_called;
    a_server_that_is_not_there_fails_the_execution;
}

async fn the_tools_of_a_server_are_found_and_called(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let (by, secret) = (world.secret(), "hunter2-of-the-mcp-server");
    let body = json!({"name": "C", "origin": server.origin, "headers": {"authorization": format!("Bearer {secret}")}});
    let connection = id_of(&by.post("/v1/connections", &body).await.expect(201));
    let url = format!("{}/mcp", server.origin);
    let tools = json!([
        {"type": "mcp", "url": url, "connection": connection, "allow": ["add", "leak"]},
        {"type": "mcp", "url": url},
    ]);
    let turns = json!([
        call("mcp1__add", json!({"a": 2, "b": 40})),
        call("mcp1__leak", json!({})),
        call("mcp1__danger_zone", json!({})),
        call("mcp2__danger_zone", json!({})),
        {"say": "end"},
    ]);
    let agent_loop = scripted(world, &upstream, turns, json!({"tools": tools})).await;
    let done = run(world, &agent_loop).await;
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!("end")), "{done}");
    let results: Vec<&Value> =
        done["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == "tool_result").collect();
    let shown: Vec<_> = results.iter().map(|one| (one["content"].as_str().unwrap(), one["is_error"] == true)).collect();
    let want = [("42", false), ("[secret]", false), ("There is no such tool.", true), ("boom", true)];
    assert_eq!(shown, want, "{done}");
    let told = &upstream.requests()[0].body["tools"];
    let names: Vec<_> = told.as_array().unwrap().iter().map(|one| one["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mcp1__add", "mcp1__leak", "mcp2__add", "mcp2__danger_zone", "mcp2__leak"]);
    let calls: Vec<_> = server.seen("/mcp").into_iter().filter(|one| one.body.contains("tools/call")).collect();
    assert_eq!(calls.len(), 3, "what is not allowed is not called");
    assert_eq!(calls[0].header("authorization"), format!("Bearer {secret}"));
    assert_eq!(calls[0].header("idempotency-key"), format!("{}/2", done["id"].as_str().unwrap()));
    assert_eq!((calls[0].header("mcp-session-id"), calls[2].header("authorization")), ("session-1", ""));
    assert!(!done.to_string().contains(secret));
}

async fn a_server_that_is_not_there_fails_the_execution(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let moved = format!("{}/redirect", server.origin);
    for (url, reason) in [(moved.as_str(), "mcp_unavailable"), ("http://127.0.0.1:1/mcp", "mcp_unavailable")] {
        let tools = json!([{"type": "mcp", "url": url}]);
        let agent_loop = scripted(world, &upstream, json!([{"say": "never"}]), json!({"tools": tools})).await;
        let done = run(world, &agent_loop).await;
        assert_eq!((&done["status"], &done["reason"]), (&json!("failed"), &json!(reason)), "{done}");
    }
    assert!(server.seen("/echo").is_empty() && upstream.requests().is_empty());
}

#[expect(clippy::disallowed_methods, reason = "where the SDK is is no configuration of the server")]
fn python() -> String {
    let name = "CHATELAINE_TEST_PYTHON";
    std::env::var(name).unwrap_or_else(|_| panic!("run scripts/test, or set {name}"))
}

#[test]
fn a_server_of_the_protocol_s_own_python_sdk_is_called() {
    let python = python();
    in_a_world(Backend::Sqlite, async |world: &World| {
        let script = format!("{}/../../scripts/verify/mcp-server.py", env!("CARGO_MANIFEST_DIR"));
        let mut server = Command::new(python);
        let server = server.arg(script).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut server = server.spawn().expect("run scripts/test: it installs the SDK");
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().expect("its address");
        let upstream = Upstream::start().await;
        let turns = json!([
            call("mcp1__add", json!({"a": 2, "b": 40})),
            call("mcp1__fail", json!({})),
            call("mcp1__add", json!({"a": "two"})),
            {"say": "end"},
        ]);
        let tools = json!([{"type": "mcp", "url": url}]);
        let agent_loop = scripted(world, &upstream, turns, json!({"tools": tools})).await;
        let done = run(world, &agent_loop).await;
        assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!("end")), "{done}");
        let results: Vec<&Value> =
            done["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == "tool_result").collect();
        assert_eq!((&results[0]["content"], &results[0]["is_error"]), (&json!("42"), &json!(false)), "{done}");
        assert!(results[1]["is_error"] == true && results[2]["is_error"] == true, "{done}");
        let told = &upstream.requests()[0].body["tools"][0]["function"];
        assert_eq!((&told["name"], &told["description"]), (&json!("mcp1__add"), &json!("Adds two numbers.")));
        assert_eq!(told["parameters"]["properties"]["a"]["type"], "integer", "the server's own schema: {told}");
        server.kill().await.unwrap();
    });
}
